//! Events: what is not stored, such as typing and presence, and only for those who look.
//! The decisions are in the files beside this one, which carries them out: it tells
//! channel servers what sessions look at, and passes on what comes of it.

pub mod allowance;
pub mod audience;
pub mod counters;
pub mod draft;
pub mod looks;
pub mod once;
pub mod presence;

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use causeway_gossip::{Gossip, Router};
use causeway_protocol::backbone::{EventRelay, Looked, PresenceChanges};
use causeway_protocol::client::{self, server_frame};
use causeway_protocol::{CellId, Method, Topic, UserId, frame};
use causeway_transport::backbone::{Backbone, Lanes, PeerEvent, Services};
use causeway_transport::tls::Role;
use parking_lot::{Mutex, RwLock};
use prost::Message;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use self::audience::{Audience, Listener};
use self::counters::Counters;
use self::looks::Looks;
use self::presence::{Presence, Shown};
use crate::hub::machine::{Placement, SessionId};
use crate::hub::places::Places;
use crate::hub::topic_call::TopicCall;
use crate::hub::{Hubs, places};

/// Between looks at what is due.
const TICK: Duration = Duration::from_millis(500);
/// An event that has waited for the way to a channel server for so long is dropped.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// The events of an edge node; clones share them.
#[derive(Clone)]
pub struct Events(Arc<Inner>);

struct Inner {
    hubs: Hubs,
    backbone: Backbone,
    lanes: Lanes,
    places: RwLock<Option<Places>>,
    audience: RwLock<Audience>,
    presence: Mutex<Presence>,
    looks: Mutex<Looks>,
    /// Something is to be said to channel servers.
    wake: Notify,
    /// Channel servers have told how users are.
    heard: Notify,
    counters: Counters,
}

impl Events {
    /// For the sessions of these hubs.
    pub fn new(hubs: Hubs, backbone: &Backbone) -> Self {
        Self(Arc::new(Inner {
            hubs,
            backbone: backbone.clone(),
            lanes: Lanes::new(backbone.clone(), Method::Event),
            places: RwLock::default(),
            audience: RwLock::default(),
            presence: Mutex::default(),
            looks: Mutex::default(),
            wake: Notify::new(),
            heard: Notify::new(),
            counters: Counters::default(),
        }))
    }

    /// Takes what channel servers tell.
    #[must_use]
    pub fn register(&self, services: Services) -> Services {
        let (events, presences) = (self.clone(), self.clone());
        services
            .one_way(Method::Event, &[Role::Core], move |_, mut recv| {
                let events = events.clone();
                async move {
                    while let Ok(Some(relay)) = recv.message::<EventRelay>().await {
                        events.deliver(&relay);
                    }
                }
            })
            .one_way(Method::Presence, &[Role::Core], move |_, mut recv| {
                let events = presences.clone();
                async move {
                    while let Ok(Some(changes)) = recv.message::<PresenceChanges>().await {
                        events.heard(&changes);
                    }
                }
            })
    }

    /// Sends an event on.
    pub fn send(&self, cell: CellId, topic: Topic, relay: &EventRelay) {
        let counters = &self.0.counters;
        let Some(server) = self.0.places.read().server(cell, topic) else {
            return counters.add(|c| &c.nowhere);
        };
        let wait = WAIT_MAX.min(good_for(relay));
        let [.., low] = topic.key();
        let relay = frame::encode(relay);
        let until = Instant::now() + wait;
        self.0.lanes.send_until(server.node, low, relay, until);
        counters.add(|c| &c.sent);
    }

    /// A session has a topic open.
    pub fn open(&self, session: SessionId, cell: CellId, topic: Topic, listener: Listener) {
        let mut audience = self.0.audience.write();
        if audience.open(topic, session, listener) {
            self.0.looks.lock().begin(topic, cell, Instant::now());
            self.0.wake.notify_one();
        }
    }

    /// A session no longer has a topic open.
    pub fn close(&self, session: SessionId, topic: Topic) {
        let mut audience = self.0.audience.write();
        if audience.close(topic, session) {
            self.0.looks.lock().end(topic, Instant::now());
        }
    }

    /// A session watches these users, and no others any more. Returns how those are of
    /// whom it is known; of the others it is told soon.
    pub fn watch(&self, session: SessionId, cell: CellId, users: BTreeSet<UserId>) -> Vec<Shown> {
        let mut presence = self.0.presence.lock();
        let watching = presence.watch(session, users);
        let (mut looks, now) = (self.0.looks.lock(), Instant::now());
        for user in watching.begun {
            looks.begin(Topic::User(user), cell, now);
        }
        for user in watching.ended {
            looks.end(Topic::User(user), now);
        }
        self.0.wake.notify_one();
        watching.known
    }

    /// A session is over that has these topics open.
    pub fn leave(&self, session: SessionId, open: impl IntoIterator<Item = Topic>) {
        for topic in open {
            self.close(session, topic);
        }
        let mut presence = self.0.presence.lock();
        let ended = presence.end(session);
        let (mut looks, now) = (self.0.looks.lock(), Instant::now());
        for user in ended {
            looks.end(Topic::User(user), now);
        }
    }

    /// What has become of events so far.
    pub fn counters(&self) -> &Counters {
        &self.0.counters
    }

    /// How many topics are open, how many users are watched, and how many of both channel
    /// servers have been told.
    pub fn looked_at(&self) -> (usize, usize, usize) {
        let open = self.0.audience.read().topics();
        let users = self.0.presence.lock().users();
        (open, users, self.0.looks.lock().len())
    }

    /// Frames that were lost, or late, on the way to channel servers.
    pub fn lost(&self) -> u64 {
        self.0.lanes.dropped()
    }

    /// An event for sessions of this node.
    fn deliver(&self, relay: &EventRelay) {
        let Some(topic) = Topic::from_wire(relay.topic.as_ref()) else {
            return;
        };
        let until = Instant::now() + good_for(relay);
        let counters = &self.0.counters;
        let audience = self.0.audience.read();
        let others = audience.of(topic).filter(|l| l.user.0 != relay.pass_over);
        for listener in others {
            match listener.queue.push_event(relay.frame.clone(), until) {
                true => counters.add(|c| &c.delivered),
                false => counters.add(|c| &c.full),
            }
        }
    }

    fn heard(&self, changes: &PresenceChanges) {
        let now = Instant::now();
        let mut presence = self.0.presence.lock();
        for (users, online) in [(&changes.online, true), (&changes.offline, false)] {
            for user in users {
                presence.heard(UserId(*user), online, now);
            }
        }
        drop(presence);
        self.0.heard.notify_waiters();
    }

    /// Follows the channel servers, and tells sessions of presence, until `stop`.
    pub async fn run(self, router: Router, gossip: Gossip, stop: CancellationToken) {
        let mut routes = router.routes().watch();
        let mut membership = gossip.watch();
        let mut peers = self.0.backbone.events();
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let places = places(&mut routes, &mut membership);
            self.0.looks.lock().routes_changed(&places, Instant::now());
            *self.0.places.write() = Some(places);
            loop {
                self.say();
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = self.0.wake.notified() => {}
                    _ = ticks.tick() => self.tell(),
                    _ = routes.changed() => break,
                    _ = membership.changed() => break,
                    event = peers.recv() => {
                        if let Ok(PeerEvent::Up(peer) | PeerEvent::Down { peer, .. }) = event {
                            self.0.looks.lock().server_lost(peer.node, Instant::now());
                        }
                    }
                }
            }
        }
    }

    /// Says to channel servers what is to be said.
    fn say(&self) {
        let said = {
            let places = self.0.places.read();
            self.0.looks.lock().said(&*places, Instant::now())
        };
        for (server, topics) in said.look {
            for call in TopicCall::split(server, topics) {
                tokio::spawn(look(self.clone(), call));
            }
        }
        for (server, topics) in said.look_away {
            for call in TopicCall::split(server, topics) {
                let backbone = self.0.backbone.clone();
                // A server that cannot be reached forgets this node by itself.
                tokio::spawn(async move { drop(call.make(&backbone, Method::LookAway).await) });
            }
        }
    }

    /// Tells sessions who has come and gone.
    fn tell(&self) {
        let due = self.0.presence.lock().due(Instant::now());
        for (session, shown) in due {
            let Some(subscriber) = self.0.hubs.subscriber(session) else {
                continue;
            };
            let frame = frame::encode(&client::ServerFrame {
                body: Some(server_frame::Body::Presences(presences(&shown))),
            });
            if subscriber.queue.offer(frame) {
                self.0.counters.add(|c| &c.presences);
            } else {
                self.0.presence.lock().untold(session, &shown);
            }
        }
    }
}

/// As clients read it.
pub fn presences(shown: &[Shown]) -> client::Presences {
    let users = shown.iter().map(|(user, online)| client::Presence {
        user: user.0,
        online: *online,
    });
    client::Presences {
        users: users.collect(),
    }
}

fn good_for(relay: &EventRelay) -> Duration {
    Duration::from_millis(relay.good_for_ms.into())
}

async fn look(events: Events, call: TopicCall) {
    let answer = call.make(&events.0.backbone, Method::Look).await;
    let now = Instant::now();
    match answer.and_then(|answer| Looked::decode(answer).ok()) {
        Some(looked) => {
            let online: HashSet<u64> = looked.online.into_iter().collect();
            let mut presence = events.0.presence.lock();
            for (_, topic) in call.topics {
                if let Topic::User(user) = topic {
                    presence.heard(user, online.contains(&user.0), now);
                }
            }
            drop(presence);
            events.0.heard.notify_waiters();
        }
        None => {
            let mut looks = events.0.looks.lock();
            for (_, topic) in call.topics {
                looks.failed(topic, call.server, now);
            }
        }
    }
}
