//! The hub: topics on one side, sessions on the other. The decisions are in
//! [`machine`]; this file carries them out, in a few shards, each a task of its
//! own.

mod backfill;
pub mod counting;
pub mod introductions;
pub mod machine;
pub mod places;
mod recent;
mod registry;
mod round;
#[cfg(test)]
mod simulation;
pub mod topic_call;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway_gossip::{Gossip, Membership, Routes};
use causeway_protocol::backbone::Publish;
use causeway_protocol::client::{self, request, response, server_frame};
use causeway_protocol::limits::GET_USERS_MAX;
use causeway_protocol::{CellId, Method, NodeId, Seq, Topic, UserId, frame};
use causeway_transport::backbone::{Backbone, PeerEvent, Services};
use causeway_transport::tls::Role;
use parking_lot::RwLock;
use prost::Message;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use self::counting::Count;
use self::introductions::{Came, Introductions, mentioned};
use self::machine::{Action, Hub, SessionId};
use self::places::Places;
pub use self::registry::Subscriber;
use self::round::Rounds;
use self::topic_call::TopicCall;
use crate::flannel::Flannel;
use crate::session::notice::Notice;
use crate::upstream::{Ask, Upstream};

/// Shards of the hub: topics are spread over them.
const SHARDS: usize = 4;
/// Inputs that wait for a shard.
const INPUTS_MAX: usize = 16 * 1024;
/// Between looks at what is due.
const TICK: Duration = Duration::from_millis(100);

enum Input {
    Attach(SessionId, CellId, Topic, Seq),
    Count(SessionId, UserId, CellId, Topic),
    Detach(SessionId, Topic),
    Publish(Topic, Seq, Bytes),
    Tell(Topic, Bytes, Bytes),
    /// Everything before this has been carried out.
    Done(oneshot::Sender<()>),
    Subscribed(Topic, NodeId, Option<Count>),
    SubscribeFailed(Topic, NodeId),
    Fetched(Topic, Vec<(Seq, Bytes)>),
    /// What was found of users that a topic's entries mention.
    Introduced(Vec<UserId>, Vec<client::User>),
    ServerLost(NodeId),
}

impl Input {
    /// The session that wants something else from now on.
    fn changes_for(&self) -> Option<SessionId> {
        match self {
            Self::Attach(session, ..) | Self::Count(session, ..) | Self::Detach(session, _) => {
                Some(*session)
            }
            _ => None,
        }
    }
}

/// An edge node's hub; clones share it.
#[derive(Clone)]
pub struct Hubs(Arc<Shared>);

struct Shared {
    shards: Vec<mpsc::Sender<Input>>,
    /// Topics that each shard is subscribed to.
    topics: [AtomicUsize; SHARDS],
    sessions: RwLock<HashMap<SessionId, Arc<Subscriber>>>,
    /// How many of these are no client's.
    followers: AtomicUsize,
    counters: Counters,
}

/// What the hub has done so far.
#[derive(Debug, Default)]
pub struct Counters {
    /// Entries given to sessions.
    pub delivered: AtomicU64,
    /// Times that sessions were told how far a topic is, instead.
    pub counts: AtomicU64,
    /// Entries that a slow session lost.
    pub dropped: AtomicU64,
    /// Entries lost on the way to the hub's shards.
    pub overflowed: AtomicU64,
    /// Times that a session was told that it misses entries.
    pub missed: AtomicU64,
    /// Reads of the log that filled holes.
    pub fetches: AtomicU64,
}

/// The inputs of the shards, before their tasks run.
pub struct HubTasks {
    hubs: Hubs,
    inputs: Vec<mpsc::Receiver<Input>>,
}

impl Hubs {
    /// Makes the shards; [`HubTasks::run`] runs them.
    pub fn new() -> (Self, HubTasks) {
        let (shards, inputs) = (0..SHARDS).map(|_| mpsc::channel(INPUTS_MAX)).unzip();
        let hubs = Self(Arc::new(Shared {
            shards,
            topics: Default::default(),
            sessions: RwLock::default(),
            followers: AtomicUsize::new(0),
            counters: Counters::default(),
        }));
        let tasks = HubTasks {
            hubs: hubs.clone(),
            inputs,
        };
        (hubs, tasks)
    }

    /// Takes entries from channel servers.
    #[must_use]
    pub fn register(&self, services: Services) -> Services {
        let hubs = self.clone();
        services.one_way(Method::Publish, &[Role::Core], move |_, mut recv| {
            let hubs = hubs.clone();
            async move {
                while let Ok(Some(body)) = recv.next().await {
                    let Ok(publish) = Publish::decode(body) else {
                        return;
                    };
                    let Some(topic) = Topic::from_wire(publish.topic.as_ref()) else {
                        return;
                    };
                    let input = Input::Publish(topic, Seq(publish.seq), publish.frame);
                    if hubs.shard(topic).try_send(input).is_err() {
                        hubs.count(|c| &c.overflowed);
                    }
                }
            }
        })
    }

    /// Takes a session out; it names its topics, so that none is searched for.
    pub async fn leave(&self, session: SessionId, topics: impl IntoIterator<Item = Topic>) {
        self.forget(session);
        for topic in topics {
            self.detach(session, topic).await;
        }
    }

    /// A session wants what comes after `cursor`.
    pub async fn attach(&self, session: SessionId, cell: CellId, topic: Topic, cursor: Seq) {
        self.input(topic, Input::Attach(session, cell, topic, cursor))
            .await;
    }

    /// A session of this user only wants to know how far a topic is.
    pub async fn count_for(&self, session: SessionId, user: UserId, cell: CellId, topic: Topic) {
        self.input(topic, Input::Count(session, user, cell, topic))
            .await;
    }

    /// A session no longer wants a topic.
    pub async fn detach(&self, session: SessionId, topic: Topic) {
        self.input(topic, Input::Detach(session, topic)).await;
    }

    /// Passes facts on to all who want their topics, and returns when all have them in
    /// their queues. Whoever has them, and all before, has at least `version`.
    pub async fn tell(&self, facts: impl Iterator<Item = (Topic, Bytes)>, version: &Bytes) {
        for (topic, frame) in facts {
            let input = Input::Tell(topic, frame, version.clone());
            self.input(topic, input).await;
        }
        let done = self.0.shards.iter().map(|shard| async {
            let (done, is_done) = oneshot::channel();
            if shard.send(Input::Done(done)).await.is_ok() {
                // Fails only while the node stops.
                let _ = is_done.await;
            }
        });
        futures::future::join_all(done).await;
    }

    /// How many inputs wait for each shard.
    pub fn queues(&self) -> Vec<usize> {
        let shards = self.0.shards.iter();
        shards.map(|s| s.max_capacity() - s.capacity()).collect()
    }

    /// How many topics are subscribed to.
    pub fn topics(&self) -> usize {
        let topics = self.0.topics.iter();
        topics.map(|topics| topics.load(Ordering::Relaxed)).sum()
    }

    /// What has been done so far.
    pub fn counters(&self) -> &Counters {
        &self.0.counters
    }

    async fn input(&self, topic: Topic, input: Input) {
        // Fails only while the node stops: nobody is served any more then.
        let _ = self.shard(topic).send(input).await;
    }

    fn shard(&self, topic: Topic) -> &mpsc::Sender<Input> {
        let [.., low] = topic.key();
        &self.0.shards[usize::from(low) % SHARDS]
    }

    /// Counts one.
    pub fn count(&self, counter: impl Fn(&Counters) -> &AtomicU64) {
        counter(&self.0.counters).fetch_add(1, Ordering::Relaxed);
    }
}

impl HubTasks {
    /// Runs the shards until `stop`.
    pub async fn run(
        self,
        upstream: Upstream,
        flannel: Flannel,
        gossip: Gossip,
        stop: CancellationToken,
    ) {
        let shards = self.inputs.into_iter().enumerate().map(|(index, inputs)| {
            let shard = Shard {
                index,
                hubs: self.hubs.clone(),
                upstream: upstream.clone(),
                flannel: flannel.clone(),
                introductions: Introductions::default(),
                hub: Hub::default(),
                rounds: Rounds::default(),
                waiting: Vec::new(),
            };
            tokio::spawn(shard.run(inputs, gossip.clone(), stop.clone()))
        });
        let shards: Vec<_> = shards.collect();
        let losses = tokio::spawn(watch_servers(
            self.hubs.clone(),
            upstream.router().backbone().clone(),
            stop,
        ));
        for shard in shards {
            if shard.await.is_err() {
                tracing::error!("a shard of the hub has panicked");
            }
        }
        losses.abort();
    }
}

/// Tells every shard of connections to core nodes that come and go: either voids
/// the subscriptions there.
async fn watch_servers(hubs: Hubs, backbone: Backbone, stop: CancellationToken) {
    let mut events = backbone.events();
    while let Some(event) = stop.run_until_cancelled(events.recv()).await {
        let node = match event {
            Ok(PeerEvent::Up(peer) | PeerEvent::Down { peer, .. }) => peer.node,
            Err(_) => continue,
        };
        for shard in &hubs.0.shards {
            if shard.send(Input::ServerLost(node)).await.is_err() {
                return;
            }
        }
    }
}

struct Shard {
    index: usize,
    hubs: Hubs,
    upstream: Upstream,
    flannel: Flannel,
    introductions: Introductions,
    hub: Hub,
    rounds: Rounds,
    /// Who waits for all that came before to be carried out.
    waiting: Vec<oneshot::Sender<()>>,
}

impl Shard {
    async fn run(
        mut self,
        mut inputs: mpsc::Receiver<Input>,
        gossip: Gossip,
        stop: CancellationToken,
    ) {
        let mut routes = self.upstream.router().routes().watch();
        let mut membership = gossip.watch();
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut places = places(&mut routes, &mut membership);
        loop {
            let deadlines = [self.rounds.deadline(), self.introductions.deadline()];
            tokio::select! {
                () = stop.cancelled() => return,
                () = until(deadlines.into_iter().flatten().min()) => {
                    let overdue = self.introductions.overdue(Instant::now());
                    self.publish(overdue);
                }
                Some(input) = inputs.recv() => {
                    self.input(input, &places);
                    // Whatever came in meanwhile is one step, too.
                    while let Ok(input) = inputs.try_recv() {
                        self.input(input, &places);
                    }
                }
                _ = ticks.tick() => {
                    self.hub.tick(&places, Instant::now());
                    self.hubs.0.topics[self.index].store(self.hub.topics(), Ordering::Relaxed);
                }
                _ = routes.changed() => {
                    places = self::places(&mut routes, &mut membership);
                    self.hub.routes_changed(&places, Instant::now());
                }
                _ = membership.changed() => {
                    places = self::places(&mut routes, &mut membership);
                    self.hub.routes_changed(&places, Instant::now());
                }
            }
            self.carry_out();
        }
    }

    fn input(&mut self, input: Input, places: &Places) {
        let now = Instant::now();
        if let Some(session) = input.changes_for() {
            // What it has been sent before comes before.
            self.hubs.deliver(&self.rounds.of(session));
        }
        let hub = &mut self.hub;
        match input {
            Input::Publish(topic, seq, frame) => self.came(topic, seq, frame, now),
            Input::Attach(session, cell, topic, cursor) => {
                hub.attach(session, cell, topic, cursor, places, now);
            }
            Input::Count(session, user, cell, topic) => {
                hub.count(session, user, cell, topic, places, now);
            }
            Input::Detach(session, topic) => hub.detach(session, topic, now),
            Input::Tell(topic, frame, version) => hub.tell(topic, frame, version),
            Input::Done(done) => self.waiting.push(done),
            Input::Subscribed(topic, node, head) => {
                if let Some(count) = head {
                    hub.counted(topic, count);
                }
                hub.subscribed(topic, node, head.map(|count| count.seq), now);
            }
            Input::SubscribeFailed(topic, node) => hub.subscribe_failed(topic, node, now),
            Input::Fetched(topic, entries) => hub.fetched(topic, entries, now),
            Input::Introduced(asked, found) => {
                let ready = self.introductions.read(&asked, found, now);
                self.publish(ready);
            }
            Input::ServerLost(node) => hub.server_lost(node, places, now),
        }
    }

    /// An entry has come from a channel server.
    fn came(&mut self, topic: Topic, seq: Seq, frame: Bytes, now: Instant) {
        match self.introductions.came(topic, seq, frame, now) {
            Came::GoesOn(entries) => self.publish(vec![(topic, entries)]),
            Came::Waits(users) if users.is_empty() => {}
            Came::Waits(users) => {
                let (hubs, upstream) = (self.hubs.clone(), self.upstream.clone());
                let flannel = self.flannel.clone();
                tokio::spawn(async move {
                    let found = people(&upstream, &flannel, topic, &users).await;
                    hubs.input(topic, Input::Introduced(users, found)).await;
                });
            }
        }
    }

    fn publish(&mut self, ready: Vec<(Topic, Vec<(Seq, Bytes)>)>) {
        let now = Instant::now();
        for (topic, entries) in ready {
            for (seq, frame) in entries {
                self.hub.publish(topic, seq, frame, now);
            }
        }
    }

    /// Does what the hub wants done.
    fn carry_out(&mut self) {
        let mut subscribe = HashMap::<NodeId, Vec<(CellId, Topic)>>::new();
        let mut unsubscribe = HashMap::<NodeId, Vec<(CellId, Topic)>>::new();
        for action in self.hub.actions() {
            let action = match action {
                Action::Deliver {
                    sessions,
                    topic,
                    seq,
                    frame,
                } => {
                    let people = self.introductions.of(&frame);
                    self.rounds.add(sessions, topic, (seq, frame), people);
                    continue;
                }
                other => other,
            };
            if action.tells_sessions() {
                // It comes after the entries before it.
                self.hubs.deliver(&self.rounds.all());
            }
            match action {
                Action::Deliver { .. } => {}
                Action::Tell {
                    sessions,
                    topic,
                    frame,
                    version,
                } => self.hubs.give_facts(&sessions, topic, &frame, &version),
                Action::Count { topic, count, told } => self.hubs.tell_count(topic, count, told),
                Action::Missed {
                    sessions,
                    topic,
                    head,
                } => {
                    for subscriber in sessions.iter().filter_map(|s| self.hubs.subscriber(*s)) {
                        subscriber.queue.missed(topic, head);
                        self.hubs.count(|c| &c.missed);
                        if matches!(topic, Topic::User(_)) {
                            // The session would not know its channels any more.
                            subscriber.cut.cancel();
                        }
                    }
                }
                Action::Attached { session, topic } => {
                    if matches!(topic, Topic::User(_)) {
                        self.hubs.notify(session, Notice::OwnAttached);
                    }
                }
                Action::Behind {
                    session,
                    topic,
                    head,
                } => self.hubs.notify(session, Notice::Behind { topic, head }),
                Action::Subscribe {
                    server,
                    cell,
                    topic,
                } => subscribe.entry(server).or_default().push((cell, topic)),
                Action::Unsubscribe {
                    server,
                    cell,
                    topic,
                } => unsubscribe.entry(server).or_default().push((cell, topic)),
                Action::Fetch {
                    cell: _,
                    topic,
                    from,
                    to,
                } => {
                    self.hubs.count(|c| &c.fetches);
                    tokio::spawn(fetch(
                        self.hubs.clone(),
                        self.upstream.clone(),
                        self.flannel.clone(),
                        topic,
                        from,
                        to,
                    ));
                }
            }
        }
        self.hubs.deliver(&self.rounds.due(Instant::now()));
        for done in self.waiting.drain(..) {
            // Whoever waited may be gone.
            let _ = done.send(());
        }
        let backbone = self.upstream.router().backbone();
        for (server, topics) in subscribe {
            for call in TopicCall::split(server, topics) {
                let (hubs, backbone) = (self.hubs.clone(), backbone.clone());
                tokio::spawn(self::subscribe(hubs, backbone, call));
            }
        }
        for (server, topics) in unsubscribe {
            for call in TopicCall::split(server, topics) {
                let backbone = backbone.clone();
                // A server that cannot be reached forgets this node by itself.
                tokio::spawn(async move { drop(call.make(&backbone, Method::Unsubscribe).await) });
            }
        }
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Where topics are served now.
pub fn places(
    routes: &mut watch::Receiver<Arc<Routes>>,
    membership: &mut watch::Receiver<Arc<Membership>>,
) -> Places {
    let routes = routes.borrow_and_update().clone();
    let membership = membership.borrow_and_update().clone();
    Places::new(routes, &membership)
}

async fn subscribe(hubs: Hubs, backbone: Backbone, call: TopicCall) {
    let answer = call.make(&backbone, Method::Subscribe).await;
    let heads = answer
        .and_then(|answer| causeway_protocol::backbone::Heads::decode(answer).ok())
        .filter(|heads| heads.heads.len() == call.topics.len());
    let server = call.server;
    let Some(heads) = heads else {
        for (_, topic) in call.topics {
            hubs.input(topic, Input::SubscribeFailed(topic, server))
                .await;
        }
        return;
    };
    for ((_, topic), head) in call.topics.into_iter().zip(heads.heads) {
        let head = head.known.then_some(Count {
            seq: Seq(head.seq),
            messages: head.messages,
        });
        hubs.input(topic, Input::Subscribed(topic, server, head))
            .await;
    }
}

/// Users, as far as they can be read.
async fn people(
    upstream: &Upstream,
    flannel: &Flannel,
    topic: Topic,
    users: &[UserId],
) -> Vec<client::User> {
    let get = request::Body::GetUsers(client::GetUsers {
        users: users.iter().map(|user| user.0).collect(),
        ..client::GetUsers::default()
    });
    let Ok(cell) = upstream.cell_of(topic.workspace()).await else {
        return Vec::new();
    };
    let platform = UserId::platform(topic.workspace());
    match flannel.query(platform, cell, &get).await {
        Ok(client::Response {
            result: Some(response::Result::Users(page)),
            ..
        }) => page.users,
        _ => Vec::new(),
    }
}

async fn fetch(hubs: Hubs, upstream: Upstream, flannel: Flannel, topic: Topic, from: Seq, to: Seq) {
    let platform = UserId::platform(topic.workspace());
    let entries = read_log(&upstream, platform, topic, from, to).await;
    let entries: Vec<_> = (entries.into_iter())
        .map(|(entry, frame)| (Seq(entry.seq), frame))
        .collect();
    let mentioned = entries.iter().flat_map(|(_, frame)| mentioned(frame));
    let users: BTreeSet<UserId> = mentioned.take(GET_USERS_MAX).collect();
    if !users.is_empty() {
        let users: Vec<_> = users.into_iter().collect();
        let found = people(&upstream, &flannel, topic, &users).await;
        hubs.input(topic, Input::Introduced(users, found)).await;
    }
    hubs.input(topic, Input::Fetched(topic, entries)).await;
}

/// Entries of a topic's log, each beside the frame in which it would be pushed;
/// none when the log is out of reach or refuses.
pub async fn read_log(
    upstream: &Upstream,
    user: UserId,
    topic: Topic,
    from: Seq,
    to: Seq,
) -> Vec<(client::Entry, Bytes)> {
    let read = client::ReadLog {
        topic: Some(topic.to_wire()),
        from_seq: from.0,
        to_seq: to.0,
    };
    let request = client::Request {
        body: Some(request::Body::ReadLog(read)),
        ..client::Request::default()
    };
    let Ok(client::Response {
        position,
        result: Some(response::Result::Log(page)),
        ..
    }) = upstream.ask(user, request).await
    else {
        return Vec::new();
    };
    let framed = page.entries.into_iter().map(|entry| {
        let push = client::Push {
            topic: Some(topic.to_wire()),
            position,
            entry: Some(entry.clone()),
        };
        let frame = client::ServerFrame {
            body: Some(server_frame::Body::Push(push)),
        };
        (entry, frame::encode(&frame))
    });
    framed.collect()
}
