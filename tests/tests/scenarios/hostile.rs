//! Clients that do not read, do not stop, and want everything, all at once at one edge
//! node: each is held to what the protocol says, and those beside them notice nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use causeway_protocol::client::{
    self, entry, event, fact::Kind as FactKind, request, response, send_event, server_frame::Body,
};
use causeway_protocol::limits::{
    EVENTS_AT_ONCE_MAX, EVENTS_PER_S_MAX, HELLO_CURSORS_MAX, OPEN_CHANNELS_MAX, TYPING_EVERY_MS,
    WATCHED_USERS_MAX,
};
use causeway_protocol::{ChannelId, Topic, UserId, WorkspaceId, frame};
use futures::stream::{self, StreamExt};
use quinn::Connection;

use crate::raw::{Pushes, ask, ask_from, code, connect, hello, let_in};
use crate::web_api::number;
use crate::world::{Running, Site};

const EDGE: &str = "nyc-1";
/// Far more topics than anybody may name at a time.
const TOPICS: u32 = 50_000;
/// More than a hello has cursors.
const MANY_CHANNELS: usize = HELLO_CURSORS_MAX + 100;
/// More than what a session's queue, QUIC's windows and the frames that are being written
/// hold together, which is less than five mebibytes.
const LONG_TEXTS: usize = 300;
const LONG_TEXT: usize = 30_000;
/// More than the frames of a session's queue.
const SHORT_TEXTS: usize = 1_200;
/// Of somebody who chats meanwhile.
const WORDS: usize = 200;
/// Requests of one poster under way.
const AT_A_TIME: usize = 30;
/// Typing events a second, in datagrams and in requests each, and for how long.
const TYPING_PER_S: u32 = 1_000;
const TYPING_FOR_S: u32 = 4;
/// The edge node's peak. Some 50 MiB are what the process has with its caches; it may keep
/// 64 MiB of recent entries, each slow session some 4 MiB, and the allocator as much again.
const EDGE_BYTES_MAX: u64 = 192 * 1024 * 1024;

/// A user who is connected, and where they are.
struct Person {
    connection: Connection,
    user: UserId,
    general: u64,
    random: u64,
    /// The first entry of `general` that they are pushed.
    first: u64,
}

impl Person {
    /// The demonstration user of this number.
    async fn greet(world: &Running, number: usize) -> Self {
        let workspace = world.workspace("harbor");
        let connection = connect(world, EDGE).await;
        let welcome = hello(&connection, &workspace.users[number].token).await;
        Self::welcomed(connection, welcome)
    }

    fn welcomed(connection: Connection, welcome: client::Response) -> Self {
        let Some(response::Result::Welcome(welcome)) = welcome.result else {
            panic!("not welcome: {welcome:?}");
        };
        let boot = welcome.boot.expect("boot data");
        let channel = |name| boot.channels.iter().find(|c| c.name == name);
        let general = channel("general").expect("a channel");
        Self {
            connection,
            user: UserId(boot.self_.as_ref().expect("a user").id),
            general: general.id,
            random: channel("random").expect("a channel").id,
            first: general.last_seq + 1,
        }
    }

    async fn ask(&self, body: request::Body) -> client::Response {
        ask(&self.connection, body).await
    }

    /// Posts, and returns the `seq`.
    async fn post(&self, channel: u64, text: &str) -> u64 {
        let id = format!("{} {}", self.user, &text[..text.len().min(40)]);
        let send = client::SendMessage {
            channel,
            client_msg_id: id.into(),
            text: text.into(),
            thread_ts: 0,
        };
        match self.ask(request::Body::SendMessage(send)).await.result {
            Some(response::Result::Sent(sent)) => sent.seq,
            other => panic!("not sent: {other:?}"),
        }
    }

    async fn open(&self, channels: impl IntoIterator<Item = u64>) -> client::Response {
        let channels = channels.into_iter();
        let channels = channels.map(|channel| client::OpenChannel { channel, seq: 0 });
        self.ask(request::Body::OpenChannels(client::OpenChannels {
            channels: channels.collect(),
            counters: false,
        }))
        .await
    }

    async fn watch(&self, users: impl IntoIterator<Item = u64>) -> client::Response {
        let users = users.into_iter().collect();
        self.ask(request::Body::WatchPresence(client::WatchPresence {
            users,
        }))
        .await
    }

    fn typing(&self) -> request::Body {
        request::Body::SendEvent(client::SendEvent {
            channel: self.general,
            kind: Some(send_event::Kind::Typing(client::Typing::default())),
            good_for_ms: 0,
        })
    }

    /// Everything that the log of a channel has.
    async fn log(&self, channel: u64, from: u64, to: u64) -> Vec<client::Entry> {
        let mut entries = Vec::<client::Entry>::new();
        loop {
            let from_seq = entries.last().map_or(from, |last| last.seq + 1);
            if from_seq > to {
                return entries;
            }
            let read = client::ReadLog {
                topic: Some(Topic::Channel(ChannelId(channel)).to_wire()),
                from_seq,
                to_seq: to,
            };
            match self.ask(request::Body::ReadLog(read)).await.result {
                Some(response::Result::Log(page)) => entries.extend(page.entries),
                other => panic!("no log: {other:?}"),
            }
        }
    }

    fn is_connected(&self) -> bool {
        self.connection.close_reason().is_none()
    }
}

/// The texts that a channel has, by `seq`: what was pushed, and what was read.
#[derive(Default)]
struct Texts {
    by_seq: BTreeMap<u64, String>,
    /// Up to here there are entries, as the edge has told.
    missed: u64,
    typing: u64,
}

impl Texts {
    /// An entry has come, once.
    fn take(&mut self, entry: client::Entry) {
        let text = match entry.kind {
            Some(entry::Kind::Posted(message)) => message.text,
            other => panic!("nothing else happens here: {other:?}"),
        };
        let before = self.by_seq.insert(entry.seq, text);
        assert_eq!(before, None, "{} came twice", entry.seq);
    }

    fn last(&self) -> u64 {
        self.by_seq.last_key_value().map_or(0, |(seq, _)| *seq)
    }

    /// Takes in a frame, of which the entries of `channel` count.
    fn frame(&mut self, frame: Body, channel: u64) {
        let topic = Some(Topic::Channel(ChannelId(channel)).to_wire());
        match frame {
            Body::Push(push) if push.topic == topic => {
                let entry = push.entry.expect("an entry");
                let (seq, last) = (entry.seq, self.last());
                assert!(seq > last, "{seq} came after {last}");
                self.take(entry);
            }
            Body::Missed(missed) => {
                let heads = missed.heads.into_iter();
                let mut heads = heads.filter(|head| head.topic == topic);
                let head = heads.next().map_or(0, |head| head.seq);
                self.missed = self.missed.max(head);
            }
            Body::Event(event) if matches!(event.kind, Some(event::Kind::Typing(_))) => {
                self.typing += 1;
            }
            _ => {}
        }
    }

    /// Reads pushes until it has all up to `seq`, or knows that it lacks some.
    async fn read_to(&mut self, pushes: &mut Pushes, channel: u64, seq: u64) {
        while self.last().max(self.missed) < seq {
            let frame = pushes.next().await;
            self.frame(frame, channel);
        }
    }

    /// Each `seq` and each text once.
    fn assert_whole(&self, from: u64, to: u64) {
        assert!(self.by_seq.keys().copied().eq(from..=to), "there are holes");
        let texts: BTreeSet<&String> = self.by_seq.values().collect();
        assert_eq!(texts.len(), self.by_seq.len(), "a text is there twice");
    }
}

fn text(number: usize, chars: usize) -> String {
    format!("{number:06} {}", "x".repeat(chars))
}

/// The most memory that the edge node has had so far.
fn edge_bytes(world: &Running) -> u64 {
    let file = format!("/proc/{}/status", world.node(EDGE).pid);
    let status = std::fs::read_to_string(file).expect("the edge runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    1024 * kib.expect("a peak").parse::<u64>().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deaf_client_a_loud_one_and_a_greedy_one_harm_nobody() {
    let site = Site::new();
    let world = site.start(&[]);
    // One who posts a lot, and one who chats.
    let (ada, dora) = (
        Person::greet(&world, 0).await,
        Person::greet(&world, 3).await,
    );
    let (mut of_ada, mut of_dora) = (Pushes::of(&ada.connection), Pushes::of(&dora.connection));
    assert_eq!(code(&ada.open([ada.general]).await), "no error");
    let deaf = Person::greet(&world, 2).await;
    let (general, random) = (ada.general, ada.random);

    let (last, words, loud, ()) = tokio::join!(
        post_more_than_a_queue_holds(&ada),
        chat(&dora),
        type_without_end(&world),
        want_everything(&world, ada.user.workspace()),
    );

    let mut heard = Texts::default();
    heard.read_to(&mut of_dora, random, words).await;
    heard.assert_whole(words - WORDS as u64 + 1, words);
    assert!(heard.by_seq.values().is_sorted(), "out of order");
    let mut heard = Texts::default();
    heard.read_to(&mut of_ada, general, last).await;
    heard.assert_whole(ada.first, last);
    let typed_at_most = 2 + (loud.as_secs() + 1) * 1_000 / TYPING_EVERY_MS;
    assert!(heard.typing <= typed_at_most, "{}", heard.typing);
    read_on(&deaf, last).await;
    belong_to_more_than_a_hello_names(&world).await;
    for person in [&ada, &dora, &deaf] {
        assert!(person.is_connected());
    }
    let bytes = edge_bytes(&world);
    assert!(bytes < EDGE_BYTES_MAX, "{} MiB", bytes >> 20);
}

/// Returns the last `seq`.
async fn post_more_than_a_queue_holds(person: &Person) -> u64 {
    let lengths = [(LONG_TEXTS, LONG_TEXT), (SHORT_TEXTS, 10)];
    let lengths = (lengths.into_iter()).flat_map(|(count, chars)| vec![chars; count]);
    let posts = lengths.enumerate().map(|(number, chars)| async move {
        let text = text(number, chars);
        person.post(person.general, &text).await
    });
    let seqs = stream::iter(posts).buffer_unordered(AT_A_TIME);
    let seqs: BTreeSet<u64> = seqs.collect().await;
    assert_eq!(seqs.len(), LONG_TEXTS + SHORT_TEXTS);
    seqs.last().copied().expect("some")
}

/// Returns the last `seq`.
async fn chat(person: &Person) -> u64 {
    let mut last = 0;
    for number in 0..WORDS {
        last = person.post(person.random, &text(number, 1)).await;
    }
    last
}

/// A client that has not read at all reads on: what it has missed is told, and is in the
/// log. How long it did not read makes no difference on QUIC; how much it was sent does.
async fn read_on(deaf: &Person, last: u64) {
    let from = deaf.first;
    let mut pushes = Pushes::of(&deaf.connection);
    let mut texts = Texts::default();
    while texts.missed == 0 {
        let frame = pushes.next().await;
        texts.frame(frame, deaf.general);
    }
    texts.read_to(&mut pushes, deaf.general, last).await;
    let has: BTreeSet<u64> = texts.by_seq.keys().copied().collect();
    let lacks: Vec<u64> = (from..=last).filter(|seq| !has.contains(seq)).collect();
    assert!(!lacks.is_empty());
    let told = lacks.iter().all(|seq| *seq <= texts.missed);
    assert!(told, "a hole was not told of");
    let log = deaf.log(deaf.general, from, last).await;
    let missing = log.into_iter().filter(|entry| !has.contains(&entry.seq));
    missing.for_each(|entry| texts.take(entry));
    texts.assert_whole(from, last);

    let next = deaf.post(deaf.general, "I am back").await;
    texts.read_to(&mut pushes, deaf.general, next).await;
    assert_eq!(texts.last(), next, "it is pushed again");
}

/// Types far too often, in datagrams and in requests; and posts. Returns for how long.
async fn type_without_end(world: &Running) -> Duration {
    let bo = Person::greet(world, 1).await;
    let create = request::Body::CreateChannel(client::CreateChannel {
        name: "by-bo".into(),
        ..client::CreateChannel::default()
    });
    let Some(response::Result::Channel(own)) = bo.ask(create).await.result else {
        panic!("no channel");
    };
    let began = Instant::now();
    let ((taken, refused), ()) = tokio::join!(type_on(&bo), async {
        for number in 0..20 {
            bo.post(own.id, &text(number, 2)).await;
        }
    });
    let took = began.elapsed();
    let may = u64::from(EVENTS_AT_ONCE_MAX) + u64::from(EVENTS_PER_S_MAX) * (took.as_secs() + 1);
    assert!(taken <= may, "{taken} of {may}");
    assert!(refused > 0);
    let dropped = "causeway_edge_events_dropped_total{why=\"too_many\"}";
    assert!(number(world, EDGE, dropped).await >= refused);
    assert!(bo.is_connected());
    took
}

/// Returns how many requests were answered with `done`, and how many were refused.
async fn type_on(bo: &Person) -> (u64, u64) {
    let datagram = client::Request {
        body: Some(bo.typing()),
        ..client::Request::default()
    };
    let datagram = frame::encode(&datagram).slice(frame::HEADER_BYTES..);
    let mut requests = tokio::task::JoinSet::new();
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / TYPING_PER_S);
    for _ in 0..TYPING_PER_S * TYPING_FOR_S {
        ticks.tick().await;
        let sent = bo.connection.send_datagram(datagram.clone());
        sent.expect("it is connected");
        let (connection, typing) = (bo.connection.clone(), bo.typing());
        requests.spawn(async move { ask(&connection, typing).await });
    }
    let answers = requests.join_all().await;
    let (mut taken, mut refused) = (0, 0);
    for answer in &answers {
        match &answer.result {
            Some(response::Result::Done(_)) => taken += 1,
            Some(response::Result::Error(error)) => {
                assert_eq!(error.code, "ratelimited");
                assert!(error.retryable && error.retry_after_ms > 0, "{error:?}");
                refused += 1;
            }
            other => panic!("neither done nor refused: {other:?}"),
        }
    }
    (taken, refused)
}

/// Names far more channels and users than may be named, and then as many as may be, but
/// others each time.
async fn want_everything(world: &Running, workspace: WorkspaceId) {
    for (cursors, refusal) in [
        (TOPICS as usize, "too_large"),
        (HELLO_CURSORS_MAX + 1, "invalid_arguments"),
    ] {
        let (connection, answer) = say_hello(world, cursors).await;
        assert_eq!(code(&answer), refusal);
        let refused = matches!(&answer.result, Some(response::Result::Error(e)) if !e.retryable);
        assert!(refused, "{answer:?}");
        connection.close(0u32.into(), b"");
    }
    let (connection, answer) = say_hello(world, HELLO_CURSORS_MAX).await;
    let bo = Person::welcomed(connection, answer);
    let mut pushes = Pushes::of(&bo.connection);
    let ids = || (0..TOPICS).map(|number| made_up(workspace, number));
    for (asked, refusal) in [
        (bo.open(ids()).await, "too_large"),
        (
            bo.open(ids().take(OPEN_CHANNELS_MAX + 1)).await,
            "invalid_arguments",
        ),
        (bo.watch(ids()).await, "too_large"),
        (
            bo.watch(ids().take(WATCHED_USERS_MAX + 1)).await,
            "invalid_arguments",
        ),
    ] {
        assert_eq!(code(&asked), refusal);
    }
    let ids: Vec<u64> = ids().collect();
    for some in ids.chunks(OPEN_CHANNELS_MAX) {
        let opened = bo.open(some.iter().copied()).await;
        assert!(["no error", "ratelimited"].contains(&code(&opened)));
    }
    for some in ids.chunks(WATCHED_USERS_MAX) {
        let watched = bo.watch(some.iter().copied()).await;
        assert!(["no error", "ratelimited"].contains(&code(&watched)));
    }
    assert_eq!(code(&bo.open([bo.general, bo.random]).await), "no error");
    // What is its own is pushed all the same.
    let mut texts = Texts::default();
    let seq = bo.post(bo.general, "and yet").await;
    texts.read_to(&mut pushes, bo.general, seq).await;
    assert!(bo.is_connected());
}

/// Somebody is in more channels than a hello has cursors: of those without one, the boot
/// data tell how far they are, and what comes next is pushed as of any other.
async fn belong_to_more_than_a_hello_names(world: &Running) {
    let (ann, _) = let_in(world, EDGE, "lighthouse").await;
    let mut pushes = Pushes::of(&ann);
    let creating = (0..MANY_CHANNELS).map(|number| {
        let ann = ann.clone();
        async move {
            let create = client::CreateChannel {
                name: format!("many-{number}"),
                private: false,
            };
            let created = ask(&ann, request::Body::CreateChannel(create)).await;
            assert_eq!(code(&created), "no error");
        }
    });
    let creating = stream::iter(creating).buffer_unordered(4 * AT_A_TIME);
    let told = async {
        let mut joined = BTreeSet::new();
        while joined.len() < MANY_CHANNELS {
            let Body::Metadata(push) = pushes.next().await else {
                continue;
            };
            joined.extend(push.facts.into_iter().filter_map(|fact| match fact.kind {
                Some(FactKind::Joined(channel)) => Some(channel.id),
                _ => None,
            }));
        }
    };
    tokio::join!(creating.collect::<()>(), told);

    // What this edge node has told its clients is in what it boots others from.
    let (away, before) = let_in(world, EDGE, "lighthouse").await;
    away.close(0u32.into(), b"");
    assert!(before.channels.len() >= MANY_CHANNELS);
    let (named, unnamed) = before.channels.split_at(HELLO_CURSORS_MAX);
    let (named_one, unnamed_one) = (&named[0], &unnamed[0]);
    let position = post(&ann, named_one.id, "one").await.position;
    let position = position.max(post(&ann, unnamed_one.id, "two").await.position);

    let back = connect(world, EDGE).await;
    let mut pushes = Pushes::of(&back);
    let cursors = named.iter().map(|channel| client::Cursor {
        topic: Some(Topic::Channel(ChannelId(channel.id)).to_wire()),
        seq: channel.last_seq,
    });
    let hello = client::Hello {
        token: world.workspace("lighthouse").users[0].token.clone(),
        cursors: cursors.collect(),
        ..client::Hello::default()
    };
    let welcome = ask_from(&back, position, request::Body::Hello(hello)).await;
    let Some(response::Result::Welcome(client::Welcome {
        boot: Some(boot), ..
    })) = welcome.result
    else {
        panic!("not welcome: {welcome:?}");
    };
    assert_eq!(boot.channels.len(), before.channels.len());
    let now = boot
        .channels
        .iter()
        .find(|channel| channel.id == unnamed_one.id);
    assert_eq!(now.expect("it is there").last_seq, unnamed_one.last_seq + 1);
    post(&ann, unnamed_one.id, "three").await;
    let (mut of_named, mut of_unnamed) = (Texts::default(), Texts::default());
    while of_named.last() == 0 || of_unnamed.last() == 0 {
        let frame = pushes.next().await;
        of_named.frame(frame.clone(), named_one.id);
        of_unnamed.frame(frame, unnamed_one.id);
    }
    assert!(of_named.by_seq.values().eq(["one"]));
    assert!(of_unnamed.by_seq.values().eq(["three"]));
}

async fn post(connection: &Connection, channel: u64, text: &'static str) -> client::Response {
    let send = client::SendMessage {
        channel,
        client_msg_id: text.as_bytes().into(),
        text: text.into(),
        thread_ts: 0,
    };
    let sent = ask(connection, request::Body::SendMessage(send)).await;
    assert_eq!(code(&sent), "no error");
    sent
}

/// Bo says hello with so many cursors, all of channels that there are not.
async fn say_hello(world: &Running, cursors: usize) -> (Connection, client::Response) {
    let connection = connect(world, EDGE).await;
    let cursors = (0..).take(cursors).map(|number| client::Cursor {
        topic: Some(Topic::Channel(ChannelId(made_up(WorkspaceId(1), number))).to_wire()),
        seq: 1,
    });
    let hello = client::Hello {
        token: world.workspace("harbor").users[1].token.clone(),
        cursors: cursors.collect(),
        ..client::Hello::default()
    };
    let answer = ask(&connection, request::Body::Hello(hello)).await;
    (connection, answer)
}

/// The number of a channel, or of a user, that nobody has.
fn made_up(workspace: WorkspaceId, number: u32) -> u64 {
    UserId::new(workspace, 1_000_000 + number).0
}
