//! Seeded worlds around one hub: entries that are lost, late, doubled and
//! overtaken, leaders that move, servers that forget, logs that answer slowly or
//! not at all. However bad it was: each session has each entry once, in order, or knows how
//! far the topic is if that is all that it wants.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway_protocol::client::{self, server_frame::Body};
use causeway_protocol::{CellId, ChannelId, NodeId, Seq, Topic, UserId, frame};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::counting::Count;
use super::machine::{Action, Hub, Placement, Server, SessionId};

const TOPIC: Topic = Topic::Channel(ChannelId(1));
const CELL: CellId = CellId(1);
const STEP: Duration = Duration::from_millis(10);

struct Fixed(Option<Server>);

impl Placement for Fixed {
    fn server(&self, _: CellId, _: Topic) -> Option<Server> {
        self.0
    }
}

/// Something on its way to the hub, or to a session.
enum Late {
    Publish(Seq),
    Subscribed(NodeId, Option<Seq>),
    SubscribeFailed(NodeId),
    Fetched(Vec<Seq>),
    /// A session has read the log up to here.
    Read(SessionId, Seq),
}

struct World {
    seed: u64,
    rng: SmallRng,
    now: Instant,
    hub: Hub,
    route: Fixed,
    /// The log: entries 1 to this one exist.
    log: u64,
    /// The channel servers at which the hub is subscribed.
    subscribed: BTreeSet<NodeId>,
    on_the_way: BTreeMap<(Instant, u64), Late>,
    count: u64,
    /// What each session has last.
    sessions: BTreeMap<SessionId, Seq>,
    /// Those that are told how far the topic is, and what they were told last.
    counting: BTreeMap<SessionId, Option<Seq>>,
    calm: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            seed,
            rng: SmallRng::seed_from_u64(seed),
            now: Instant::now(),
            hub: Hub::default(),
            route: Fixed(Some(Server {
                node: NodeId(1),
                term: 1,
            })),
            log: 0,
            subscribed: BTreeSet::new(),
            on_the_way: BTreeMap::new(),
            count: 0,
            sessions: BTreeMap::new(),
            counting: BTreeMap::new(),
            calm: false,
        }
    }

    fn chance(&mut self, percent: u32) -> bool {
        !self.calm && self.rng.random_range(0..100) < percent
    }

    fn later(&mut self, what: Late) {
        self.count += 1;
        let delay = Duration::from_millis(self.rng.random_range(1..200));
        self.on_the_way.insert((self.now + delay, self.count), what);
    }

    /// Every entry is a message.
    fn frame(seq: Seq) -> Bytes {
        let entry = client::Entry {
            seq: seq.0,
            messages: seq.0,
            ..client::Entry::default()
        };
        let push = client::Push {
            entry: Some(entry),
            ..client::Push::default()
        };
        frame::encode(&client::ServerFrame {
            body: Some(Body::Push(push)),
        })
    }

    /// Metadata has changed: whoever is there is told, also while it catches up.
    fn tell(&mut self) {
        let expected: Vec<SessionId> = self.sessions.keys().copied().collect();
        self.hub.tell(TOPIC, Bytes::new(), Bytes::new());
        let told = self
            .hub
            .actions()
            .into_iter()
            .find_map(|action| match action {
                Action::Tell { sessions, .. } => Some(sessions),
                _ => None,
            });
        let mut told = told.unwrap_or_default();
        told.sort();
        assert_eq!(told, expected, "seed {}", self.seed);
    }

    /// One thing happens in the world.
    fn event(&mut self) {
        self.carry_out();
        if self.chance(10) {
            self.tell();
        }
        match self.rng.random_range(0..100) {
            0..60 => {
                self.log += 1;
                let leader = self.route.0.map(|s| s.node);
                if leader.is_some_and(|node| self.subscribed.contains(&node)) && !self.chance(20) {
                    self.later(Late::Publish(Seq(self.log)));
                    if self.chance(10) {
                        self.later(Late::Publish(Seq(self.log)));
                    }
                }
            }
            60..70 if self.sessions.len() < 8 => {
                self.count += 1;
                let session = SessionId(self.count + 1_000);
                let cursor = Seq(self.rng.random_range(0..=self.log));
                self.sessions.insert(session, cursor);
                self.attach(session, cursor);
            }
            70..73 => {
                if let Some(session) = self.sessions.keys().next().copied() {
                    self.sessions.remove(&session);
                    self.counting.remove(&session);
                    self.hub.detach(session, TOPIC, self.now);
                }
            }
            73..78 => self.move_leader(),
            82..86 => self.open_or_close(),
            78..82 => {
                // A channel server restarts and remembers nobody.
                let node = NodeId(self.rng.random_range(1..4));
                self.subscribed.remove(&node);
                if self.chance(70) {
                    self.hub.server_lost(node, &self.route, self.now);
                }
            }
            _ => {}
        }
    }

    fn move_leader(&mut self) {
        let term = self.route.0.map_or(1, |s| s.term) + 1;
        let node = NodeId(self.rng.random_range(1..4));
        self.route = Fixed(Some(Server { node, term }));
        self.hub.routes_changed(&self.route, self.now);
    }

    /// A session only wants to know how far the topic is, or all of it again.
    fn open_or_close(&mut self) {
        let at = self.rng.random_range(0..8);
        let Some((session, cursor)) = self.sessions.iter().nth(at) else {
            return;
        };
        let (session, cursor) = (*session, *cursor);
        if self.counting.remove(&session).is_some() {
            return self.attach(session, cursor);
        }
        self.counting.insert(session, None);
        let (hub, user) = (&mut self.hub, UserId(session.0));
        hub.count(session, user, CELL, TOPIC, &self.route, self.now);
    }

    fn attach(&mut self, session: SessionId, cursor: Seq) {
        self.hub
            .attach(session, CELL, TOPIC, cursor, &self.route, self.now);
    }

    fn arrive(&mut self) {
        while let Some(entry) = self.on_the_way.first_entry() {
            if entry.key().0 > self.now {
                return;
            }
            match entry.remove() {
                Late::Publish(seq) => {
                    self.hub.publish(TOPIC, seq, Self::frame(seq), self.now);
                }
                Late::Subscribed(node, head) => {
                    if let Some(Seq(messages)) = head {
                        let seq = Seq(messages);
                        self.hub.counted(TOPIC, Count { seq, messages });
                    }
                    self.hub.subscribed(TOPIC, node, head, self.now);
                }
                Late::SubscribeFailed(node) => {
                    self.hub.subscribe_failed(TOPIC, node, self.now);
                }
                Late::Fetched(seqs) => {
                    let entries = seqs.into_iter().map(|seq| (seq, Self::frame(seq)));
                    self.hub.fetched(TOPIC, entries.collect(), self.now);
                }
                // Whoever closes the topic meanwhile has no use for it.
                Late::Read(session, _) if self.counting.contains_key(&session) => {}
                Late::Read(session, head) => {
                    let Some(cursor) = self.sessions.get_mut(&session) else {
                        continue;
                    };
                    *cursor = (*cursor).max(head);
                    let cursor = *cursor;
                    self.attach(session, cursor);
                }
            }
        }
    }

    fn carry_out(&mut self) {
        for action in self.hub.actions() {
            match action {
                Action::Deliver {
                    sessions,
                    seq,
                    frame,
                    ..
                } => {
                    assert_eq!(frame, Self::frame(seq), "seed {}", self.seed);
                    for session in sessions {
                        assert!(!self.counting.contains_key(&session), "seed {}", self.seed);
                        let Some(cursor) = self.sessions.get_mut(&session) else {
                            continue;
                        };
                        assert_eq!(cursor.next(), seq, "seed {}: {session:?}", self.seed);
                        *cursor = seq;
                    }
                }
                Action::Count { count, told, .. } => {
                    assert_eq!(count.seq.0, count.messages, "seed {}", self.seed);
                    assert!(count.seq.0 <= self.log, "seed {}", self.seed);
                    for (session, _) in told {
                        let last = self.counting.get_mut(&session).expect("it counts");
                        assert!(last.is_none_or(|last| last <= count.seq));
                        *last = Some(count.seq);
                    }
                }
                Action::Missed { .. } => panic!("seed {}: no hole is that long", self.seed),
                Action::Attached { .. } | Action::Tell { .. } => {}
                Action::Behind { session, head, .. } => {
                    assert!(head.0 <= self.log);
                    self.later(Late::Read(session, head));
                }
                Action::Subscribe { server, .. } => self.subscribe(server),
                Action::Unsubscribe { server, .. } => {
                    self.subscribed.remove(&server);
                }
                Action::Fetch { from, to, .. } => {
                    // The log may be far, behind, or out of reach.
                    let reach = if self.chance(30) {
                        self.rng.random_range(from.0 - 1..=to.0)
                    } else {
                        to.0
                    };
                    let seqs = (from.0..=reach.min(self.log)).map(Seq).collect();
                    self.later(Late::Fetched(seqs));
                }
            }
        }
    }

    fn subscribe(&mut self, server: NodeId) {
        if self.chance(20) {
            return self.later(Late::SubscribeFailed(server));
        }
        if self.chance(10) {
            // No answer at all.
            return;
        }
        self.subscribed.insert(server);
        let leads = self.route.0.is_some_and(|s| s.node == server);
        let head = (leads && !self.chance(10)).then_some(Seq(self.log));
        self.later(Late::Subscribed(server, head));
    }

    fn step(&mut self) {
        self.now += STEP;
        self.arrive();
        self.carry_out();
        self.hub.tick(&self.route, self.now);
        self.carry_out();
    }
}

/// A storm, then calm: everybody must have everything.
fn run(seed: u64) {
    let mut world = World::new(seed);
    for _ in 0..600 {
        world.event();
        world.step();
    }
    world.calm = true;
    for _ in 0..1_500 {
        world.step();
    }
    for (session, cursor) in &world.sessions {
        let knows = match world.counting.get(session) {
            Some(told) => *told,
            None => Some(*cursor),
        };
        let all = Some(Seq(world.log));
        assert_eq!(knows, all, "seed {seed}: {session:?} is behind");
    }
}

#[test]
fn every_session_has_every_entry_once_and_in_order() {
    for seed in 0..1_000 {
        run(seed);
    }
}

/// Set `SEED` to see one world again.
#[test]
fn one_seed() {
    if let Ok(seed) = std::env::var("SEED") {
        run(seed.parse().expect("SEED is a number"));
    }
}

#[test]
fn a_long_hole_is_left_to_the_subscribers() {
    let mut world = World::new(1);
    world.calm = true;
    world.sessions.insert(SessionId(1), Seq(0));
    world.attach(SessionId(1), Seq(0));
    for _ in 0..100 {
        world.step();
    }
    let far = Seq(5_000);
    world.hub.publish(TOPIC, far, World::frame(far), world.now);
    assert_eq!(
        world.hub.actions(),
        [Action::Missed {
            sessions: vec![SessionId(1)],
            topic: TOPIC,
            head: far,
        }]
    );
}

#[test]
fn a_topic_that_nobody_wants_is_given_up_after_a_while() {
    let mut world = World::new(1);
    world.calm = true;
    world.sessions.insert(SessionId(1), Seq(0));
    world.attach(SessionId(1), Seq(0));
    for _ in 0..100 {
        world.step();
    }
    assert_eq!((world.hub.topics(), world.subscribed.len()), (1, 1));
    world.hub.detach(SessionId(1), TOPIC, world.now);
    for _ in 0..2_100 {
        world.step();
    }
    assert_eq!((world.hub.topics(), world.subscribed.len()), (0, 0));
}
