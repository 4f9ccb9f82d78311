//! What is not stored: told to those who look, at every PoP, and to nobody else.

use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway_protocol::client::entry::Kind;
use causeway_protocol::client::{self, event, request, response, send_event, server_frame};
use quinn::Connection;
use tokio::time::timeout;

use crate::raw::{Pushes, ask, code, connect, hello};
use crate::world::{PATIENCE, Running, Site};

/// A user who is connected, and what they are pushed.
struct Person {
    connection: Connection,
    user: u64,
    channel: u64,
    pushes: Pushes,
    /// Events that have come.
    events: u64,
}

impl Person {
    /// The demonstration user of this number.
    async fn greet(world: &Running, edge: &str, number: usize) -> Self {
        let connection = connect(world, edge).await;
        let token = &world.workspace("harbor").users[number].token;
        let Some(response::Result::Welcome(welcome)) = hello(&connection, token).await.result
        else {
            panic!("not welcome");
        };
        let boot = welcome.boot.expect("boot data");
        Self {
            pushes: Pushes::of(&connection),
            connection,
            user: boot.self_.expect("a user").id,
            channel: boot.channels.first().expect("a channel").id,
            events: 0,
        }
    }

    async fn ask(&self, body: request::Body) -> client::Response {
        ask(&self.connection, body).await
    }

    async fn open(&self) {
        let channel = self.channel;
        let open = client::OpenChannels {
            channels: vec![client::OpenChannel { channel, seq: 0 }],
            counters: false,
        };
        let opened = self.ask(request::Body::OpenChannels(open)).await;
        assert_eq!(code(&opened), "no error");
    }

    fn typing(&self) -> request::Body {
        request::Body::SendEvent(client::SendEvent {
            channel: self.channel,
            kind: Some(send_event::Kind::Typing(client::Typing::default())),
            good_for_ms: 0,
        })
    }

    /// A custom event, which nothing holds back but the allowance.
    async fn waves(&self, name: &str) -> client::Response {
        let custom = client::CustomEvent {
            name: name.into(),
            ..client::CustomEvent::default()
        };
        self.ask(request::Body::SendEvent(client::SendEvent {
            channel: self.channel,
            kind: Some(send_event::Kind::Custom(custom)),
            good_for_ms: 0,
        }))
        .await
    }

    /// Who of these is known to be online.
    async fn watch(&self, users: &[u64]) -> Vec<u64> {
        let watch = client::WatchPresence {
            users: users.to_vec(),
        };
        match self.ask(request::Body::WatchPresence(watch)).await.result {
            Some(response::Result::Presences(presences)) => online(presences),
            other => panic!("not watched: {other:?}"),
        }
    }

    /// The next frame in which there is something to find.
    async fn find<T>(&mut self, find: impl Fn(server_frame::Body) -> Option<T>) -> T {
        let finding = async {
            loop {
                let body = self.pushes.next().await;
                let is_event = matches!(body, server_frame::Body::Event(_));
                self.events += u64::from(is_event);
                if let Some(found) = find(body) {
                    return found;
                }
            }
        };
        timeout(PATIENCE, finding).await.expect("in time")
    }

    async fn event(&mut self) -> client::Event {
        let event = |body| match body {
            server_frame::Body::Event(event) => Some(event),
            _ => None,
        };
        self.find(event).await
    }

    /// Waits until a user is told to be online, or offline.
    async fn told(&mut self, user: u64, online: bool) {
        let told = client::Presence { user, online };
        self.find(|body| match body {
            server_frame::Body::Presences(presences) => {
                presences.users.contains(&told).then_some(())
            }
            _ => None,
        })
        .await;
    }
}

fn online(presences: client::Presences) -> Vec<u64> {
    let online = presences.users.into_iter().filter(|p| p.online);
    online.map(|p| p.user).collect()
}

fn name(event: &client::Event) -> Option<&str> {
    match &event.kind {
        Some(event::Kind::Custom(custom)) => Some(&custom.name),
        _ => None,
    }
}

/// Waves until it is seen: an open channel takes a moment to get about.
async fn wave_until_seen(sender: &Person, watcher: &mut Person) {
    let start = Instant::now();
    loop {
        assert_eq!(code(&sender.waves("hello").await), "no error");
        let seen = timeout(Duration::from_secs(1), watcher.event()).await;
        if seen.is_ok_and(|event| name(&event) == Some("hello")) {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "nobody sees it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn typing_is_seen_elsewhere_by_those_who_have_the_channel_open_and_a_flood_harms_nobody() {
    let site = Site::new();
    let world = site.start(&[]);
    let ann = Person::greet(&world, "nyc-1", 0).await;
    let mut ben = Person::greet(&world, "nrt-1", 1).await;
    let mut cem = Person::greet(&world, "nrt-1", 2).await;
    ben.open().await;
    wave_until_seen(&ann, &mut ben).await;

    assert_eq!(code(&ann.ask(ann.typing()).await), "no error");
    let typing = loop {
        let event = ben.event().await;
        if name(&event).is_none() {
            break event;
        }
    };
    assert_eq!(typing.user, ann.user);
    assert!(matches!(typing.kind, Some(event::Kind::Typing(_))));

    // Cem is connected to the same edge node, and has nothing open.
    let send = client::SendMessage {
        channel: ann.channel,
        client_msg_id: Bytes::from_static(b"a message"),
        text: "look".into(),
        thread_ts: 0,
    };
    let sent = ann.ask(request::Body::SendMessage(send)).await;
    assert_eq!(code(&sent), "no error");
    cem.find(|body| matches!(body, server_frame::Body::Push(_)).then_some(()))
        .await;
    assert_eq!(cem.events, 0);

    // A thousand at once: refused, and in between nobody waits.
    let start = Instant::now();
    let mut flood = tokio::task::JoinSet::new();
    for _ in 0..1_000 {
        let (connection, typing) = (ann.connection.clone(), ann.typing());
        flood.spawn(async move { code(&ask(&connection, typing).await).to_owned() });
    }
    cem.open().await;
    wave_until_seen(&ben, &mut cem).await;
    let codes = flood.join_all().await;
    assert!(codes.iter().any(|c| c == "ratelimited"));
    assert!(codes.iter().all(|c| c == "ratelimited" || c == "no error"));
    assert_eq!(code(&ben.waves("the end").await), "no error");
    let mut seen = 0;
    loop {
        match name(&ben.event().await) {
            None => seen += 1,
            Some("the end") => break,
            Some(_) => {}
        }
    }
    assert!(seen <= 1 + start.elapsed().as_secs() / 3, "{seen}");

    ben.channel = u64::MAX;
    let refused = ben.ask(ben.typing()).await;
    assert_eq!(code(&refused), "not_in_channel");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_watches_hears_who_comes_and_goes_also_with_their_edge_node() {
    let site = Site::new();
    let world = site.start(&[]);
    let mut ann = Person::greet(&world, "nyc-1", 0).await;
    let ben = Person::greet(&world, "nrt-1", 1).await;
    let (ann_user, ben_user) = (ann.user, ben.user);
    let known = ann.watch(&[ben_user, ann_user]).await;
    if !known.contains(&ben_user) {
        ann.told(ben_user, true).await;
    }
    // Nobody watches in nrt: nobody is told.
    let cem = Person::greet(&world, "gru-1", 2).await;
    let cem_user = cem.user;
    let known = ann.watch(&[ben_user, cem_user]).await;
    assert!(known.contains(&ben_user));
    if !known.contains(&cem_user) {
        ann.told(cem_user, true).await;
    }

    world.run(&["chaos", "kill", "nrt-1"]);
    ann.told(ben_user, false).await;
    let again = Person::greet(&world, "fra-1", 1).await;
    ann.told(ben_user, true).await;
    assert_eq!(again.user, ben_user);
    let mut known = ann.watch(&[ben_user, cem_user]).await;
    known.sort_unstable();
    let mut wanted = vec![ben_user, cem_user];
    wanted.sort_unstable();
    assert_eq!(known, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_mentioned_is_told_of_just_before_and_once() {
    let site = Site::new();
    let world = site.start(&[]);
    let ann = Person::greet(&world, "nyc-1", 0).await;
    let mut ben = Person::greet(&world, "nrt-1", 1).await;
    let cem = Person::greet(&world, "fra-1", 2).await;
    let mut came = Vec::new();
    for text in ["once", "twice"] {
        let send = client::SendMessage {
            channel: ann.channel,
            client_msg_id: Bytes::from_static(text.as_bytes()),
            text: format!("{text}: <@{}>", causeway_protocol::UserId(cem.user)),
            thread_ts: 0,
        };
        let sent = ann.ask(request::Body::SendMessage(send)).await;
        assert_eq!(code(&sent), "no error");
        let mut posted = false;
        while !posted {
            match ben.pushes.next().await {
                server_frame::Body::Introduced(told) => {
                    came.extend(told.users.iter().map(|user| user.id));
                }
                server_frame::Body::Push(push) => {
                    posted = matches!(push.entry.unwrap().kind, Some(Kind::Posted(_)));
                }
                _ => {}
            }
        }
        assert_eq!(came, [cem.user], "{text}");
    }
}
