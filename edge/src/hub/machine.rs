//! The hub's decisions: which topics to subscribe to and where, what to deliver
//! to whom, what is missing. A state machine over inputs and `now`; it does no
//! IO, and the same inputs give the same actions.
//!
//! A topic's entries may come late, twice or not at all; its subscribers get
//! each once and in order, or are told up to where they have missed some.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway_protocol::{CellId, NodeId, Seq, Topic, UserId};

use super::backfill::{self, Backfill, Read};
use super::counting::{Count, Counting, Told};
use super::recent::{Budget, Recent};
use crate::pushed;

/// A subscription that has no answer by then is asked for again.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// Between tries while the leader or the channel server is away.
const RETRY_EVERY: Duration = Duration::from_millis(200);
/// A live subscription is renewed this often: what got lost without a trace is
/// noticed by then.
const RENEW_EVERY: Duration = Duration::from_secs(5);
/// A topic that nobody wants is kept this long.
const LINGER: Duration = Duration::from_secs(20);
/// A hole longer than this is not filled here: subscribers read the log.
const HOLE_MAX: u64 = 2_000;
/// Entries that wait behind a hole.
const BEHIND_HOLE_MAX: usize = 1_024;

/// A session, among those of this edge node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

/// Set in the ids of what follows topics like a session, and is none of a client's.
const FOLLOWER: u64 = 1 << 63;

impl SessionId {
    /// The `n`-th that is no client's.
    pub fn follower(n: u64) -> Self {
        Self(n | FOLLOWER)
    }

    /// Whether it is a client's.
    pub fn is_client(self) -> bool {
        self.0 & FOLLOWER == 0
    }
}

/// Where a topic's channel server is, and in which term its leader was elected:
/// a change of either calls for a new subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Server {
    /// The channel server.
    pub node: NodeId,
    /// The term of the cell's leader.
    pub term: u64,
}

/// Knows the channel server of a topic; `None` while its cell has no leader.
pub trait Placement {
    /// Where to subscribe.
    fn server(&self, cell: CellId, topic: Topic) -> Option<Server>;
}

/// What the hub wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Give the frame to these sessions, after those before it.
    Deliver {
        /// To whom.
        sessions: Vec<SessionId>,
        /// The topic.
        topic: Topic,
        /// The entry's place.
        seq: Seq,
        /// As clients receive it.
        frame: Bytes,
    },
    /// Give the frame, which is none of the log, to these sessions.
    Tell {
        /// To whom.
        sessions: Vec<SessionId>,
        /// The topic.
        topic: Topic,
        /// As clients receive it.
        frame: Bytes,
        /// Whoever has this, and all before, has so much of the metadata.
        version: Bytes,
    },
    /// Tell these sessions how far the topic is, whose entries they are not given.
    Count {
        /// The topic.
        topic: Topic,
        /// How far it is.
        count: Count,
        /// Whom, and which messages mention them.
        told: Told,
    },
    /// Tell these sessions that they miss entries up to `head`.
    Missed {
        /// Whom.
        sessions: Vec<SessionId>,
        /// The topic.
        topic: Topic,
        /// The last entry that was missed.
        head: Seq,
    },
    /// The session now gets what comes after its cursor.
    Attached {
        /// Which.
        session: SessionId,
        /// The topic.
        topic: Topic,
    },
    /// The session must read the log up to `head`, and attach again.
    Behind {
        /// Which.
        session: SessionId,
        /// The topic.
        topic: Topic,
        /// Where the topic is here.
        head: Seq,
    },
    /// Subscribe at a channel server.
    Subscribe {
        /// Which.
        server: NodeId,
        /// The topic's cell.
        cell: CellId,
        /// The topic.
        topic: Topic,
    },
    /// End the subscription at a channel server.
    Unsubscribe {
        /// Which.
        server: NodeId,
        /// The topic's cell.
        cell: CellId,
        /// The topic.
        topic: Topic,
    },
    /// Read entries from the log.
    Fetch {
        /// The topic's cell.
        cell: CellId,
        /// The topic.
        topic: Topic,
        /// The first that is missing.
        from: Seq,
        /// The last that is missing.
        to: Seq,
    },
}

impl Action {
    /// Whether sessions hear of it, in order with the entries before it.
    pub fn tells_sessions(&self) -> bool {
        !matches!(
            self,
            Self::Subscribe { .. } | Self::Unsubscribe { .. } | Self::Fetch { .. }
        )
    }
}

/// A topic that somebody wants.
struct TopicState {
    cell: CellId,
    /// The last entry that subscribers have been given; `None` until the first
    /// subscription is answered.
    head: Option<Seq>,
    subscription: Subscription,
    /// Subscribers, and the last entry each has; `None` while it reads the log.
    sessions: BTreeMap<SessionId, Option<Seq>>,
    /// Sessions that are not given entries.
    counting: Counting,
    /// Who waits for `head` to be known.
    waiting: BTreeMap<SessionId, Seq>,
    /// Entries that came before those they follow.
    early: BTreeMap<Seq, Bytes>,
    /// What is known to exist beyond `head`.
    hole: Option<Hole>,
    /// The last entries up to `head`.
    recent: Recent,
    /// Sessions that lack some of them, and more.
    backfill: Backfill,
    unwanted_since: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Hole {
    /// The last entry known to exist.
    to: Seq,
    /// The log is not asked again before.
    ask_at: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subscription {
    /// Not asked for, or failed: try again at this time.
    Wanted(Instant),
    /// Asked for, no answer yet.
    Asked(Server, Instant),
    /// Answered; renew at this time.
    Live(Server, Instant),
}

impl Subscription {
    fn server(self) -> Option<Server> {
        match self {
            Self::Wanted(_) => None,
            Self::Asked(server, _) | Self::Live(server, _) => Some(server),
        }
    }
}

/// The topics of one share of an edge node.
#[derive(Default)]
pub struct Hub {
    topics: BTreeMap<Topic, TopicState>,
    /// Of the entries that are kept of all topics.
    budget: Budget,
    actions: Vec<Action>,
}

impl Hub {
    /// What is to be done since the last call, in this order.
    pub fn actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    /// How many topics are subscribed to.
    pub fn topics(&self) -> usize {
        self.topics.len()
    }

    /// A session wants what comes after `cursor`.
    pub fn attach(
        &mut self,
        session: SessionId,
        cell: CellId,
        topic: Topic,
        cursor: Seq,
        placement: &impl Placement,
        now: Instant,
    ) {
        let topics = &mut self.topics;
        let state = wanted(topics, topic, cell, now);
        state.take_out(session);
        match state.head {
            Some(head) => state.place(session, topic, cursor, head, now, &mut self.actions),
            None => {
                state.waiting.insert(session, cursor);
            }
        }
        self.subscribe_due(topic, placement, now);
    }

    /// A session of this user only wants to know how far a topic is.
    pub fn count(
        &mut self,
        session: SessionId,
        user: UserId,
        cell: CellId,
        topic: Topic,
        placement: &impl Placement,
        now: Instant,
    ) {
        let state = wanted(&mut self.topics, topic, cell, now);
        state.take_out(session);
        state.counting.begin(session, user);
        self.subscribe_due(topic, placement, now);
    }

    /// A session no longer wants a topic.
    pub fn detach(&mut self, session: SessionId, topic: Topic, now: Instant) {
        if let Some(state) = self.topics.get_mut(&topic) {
            state.take_out(session);
            if state.is_unwanted() {
                state.unwanted_since.get_or_insert(now);
            }
        }
    }

    /// An entry has come from a channel server.
    pub fn publish(&mut self, topic: Topic, seq: Seq, frame: Bytes, now: Instant) {
        let Some(state) = self.topics.get_mut(&topic) else {
            return;
        };
        match state.head {
            Some(head) if seq <= head => {}
            Some(head) if seq == head.next() => {
                self.deliver(topic, seq, frame);
                self.advance(topic, now);
            }
            Some(_) => {
                if state.early.len() < BEHIND_HOLE_MAX {
                    state.early.insert(seq, frame);
                }
                state.expect(seq, now);
                self.advance(topic, now);
            }
            // The answer to the subscription is on its way, and may be older.
            None if state.early.len() < BEHIND_HOLE_MAX => {
                state.early.insert(seq, frame);
            }
            None => {}
        }
    }

    /// Facts about a topic's metadata have come from a feed.
    pub fn tell(&mut self, topic: Topic, frame: Bytes, version: Bytes) {
        let Some(state) = self.topics.get(&topic) else {
            return;
        };
        let sessions = state.sessions.keys().chain(state.waiting.keys()).copied();
        let sessions: Vec<SessionId> = sessions.chain(state.counting.sessions()).collect();
        if !sessions.is_empty() {
            self.actions.push(Action::Tell {
                sessions,
                topic,
                frame,
                version,
            });
        }
    }

    /// A channel server has answered a subscription; `head` is `None` when it
    /// did not find the leader.
    pub fn subscribed(&mut self, topic: Topic, server: NodeId, head: Option<Seq>, now: Instant) {
        let Some(state) = self.topics.get_mut(&topic) else {
            return;
        };
        let Some(asked) = state.subscription.server() else {
            return;
        };
        if asked.node != server {
            return;
        }
        let Some(head) = head else {
            state.subscription = Subscription::Wanted(now + RETRY_EVERY);
            return;
        };
        state.subscription = Subscription::Live(asked, now + RENEW_EVERY);
        if state.head.is_none() {
            state.head = Some(head);
            let mut waiting: Vec<_> = std::mem::take(&mut state.waiting).into_iter().collect();
            // Whoever lacks the most decides from where the log is read for all.
            waiting.sort_by_key(|(_, cursor)| *cursor);
            for (session, cursor) in waiting {
                state.place(session, topic, cursor, head, now, &mut self.actions);
            }
        }
        let last_early = state.early.last_key_value().map(|(seq, _)| *seq);
        state.expect(last_early.map_or(head, |early| early.max(head)), now);
        self.advance(topic, now);
    }

    /// So many messages there are in a topic, as a channel server says.
    pub fn counted(&mut self, topic: Topic, count: Count) {
        if let Some(state) = self.topics.get_mut(&topic) {
            state.counting.know(count);
        }
    }

    /// A subscription was not answered.
    pub fn subscribe_failed(&mut self, topic: Topic, server: NodeId, now: Instant) {
        if let Some(state) = self.topics.get_mut(&topic)
            && state
                .subscription
                .server()
                .is_some_and(|s| s.node == server)
        {
            state.subscription = Subscription::Wanted(now + RETRY_EVERY);
        }
    }

    /// Entries have been read from the log, in order.
    pub fn fetched(&mut self, topic: Topic, entries: Vec<(Seq, Bytes)>, now: Instant) {
        let Some(state) = self.topics.get_mut(&topic) else {
            return;
        };
        match state.backfill.fetched(&entries, now) {
            Read::NotOurs => {}
            Read::More(from, to) => {
                let cell = state.cell;
                self.actions.push(Action::Fetch {
                    cell,
                    topic,
                    from,
                    to,
                });
                return;
            }
            Read::Done(read) => return self.backfilled(topic, read),
        }
        if let Some(hole) = &mut state.hole {
            // Whatever is still missing is asked for anew, after a while when
            // nothing came.
            let pause = if entries.is_empty() {
                RETRY_EVERY
            } else {
                Duration::ZERO
            };
            hole.ask_at = now + pause;
        }
        for (seq, frame) in entries {
            let head = self.topics.get(&topic).and_then(|state| state.head);
            if head.is_some_and(|head| seq == head.next()) {
                self.deliver(topic, seq, frame);
            }
        }
        self.advance(topic, now);
    }

    /// The connection to a node is gone, or has been made anew: subscriptions
    /// there are void.
    pub fn server_lost(&mut self, node: NodeId, placement: &impl Placement, now: Instant) {
        let affected: Vec<Topic> = (self.topics.iter())
            .filter(|(_, state)| state.subscription.server().is_some_and(|s| s.node == node))
            .map(|(topic, _)| *topic)
            .collect();
        for topic in affected {
            if let Some(state) = self.topics.get_mut(&topic) {
                state.subscription = Subscription::Wanted(now);
            }
            self.subscribe_due(topic, placement, now);
        }
    }

    /// Leaders or members have changed: topics follow their channel servers.
    pub fn routes_changed(&mut self, placement: &impl Placement, now: Instant) {
        let topics: Vec<Topic> = self.topics.keys().copied().collect();
        for topic in topics {
            let Some(state) = self.topics.get_mut(&topic) else {
                continue;
            };
            let wanted = placement.server(state.cell, topic);
            let present = state.subscription.server();
            if wanted.is_some() && present.is_some() && wanted != present {
                let moved = present.filter(|p| wanted.is_some_and(|w| w.node != p.node));
                if let Some(old) = moved {
                    self.actions.push(Action::Unsubscribe {
                        server: old.node,
                        cell: state.cell,
                        topic,
                    });
                }
                state.subscription = Subscription::Wanted(now);
            }
            self.subscribe_due(topic, placement, now);
        }
    }

    /// Does what is due.
    pub fn tick(&mut self, placement: &impl Placement, now: Instant) {
        let topics: Vec<Topic> = self.topics.keys().copied().collect();
        for topic in topics {
            if self.forget(topic, now) {
                continue;
            }
            self.subscribe_due(topic, placement, now);
            self.advance(topic, now);
            self.tell_counts(topic, now);
            let overdue = |state: &TopicState| state.backfill.is_overdue(now);
            if self.topics.get(&topic).is_some_and(overdue) {
                self.backfilled(topic, Vec::new());
            }
        }
    }

    /// Tells those who are only told how far the topic is.
    fn tell_counts(&mut self, topic: Topic, now: Instant) {
        if let Some(state) = self.topics.get_mut(&topic)
            && let Some(head) = state.head
            && let Some((count, told)) = state.counting.due(head, now)
        {
            self.actions.push(Action::Count { topic, count, told });
        }
    }

    /// Forgets a topic that nobody has wanted for a while.
    fn forget(&mut self, topic: Topic, now: Instant) -> bool {
        let unwanted = self.topics.get(&topic).is_some_and(|state| {
            let since = state.unwanted_since;
            since.is_some_and(|since| now.duration_since(since) >= LINGER)
        });
        if unwanted
            && let Some(state) = self.topics.remove(&topic)
            && let Some(server) = state.subscription.server()
        {
            self.actions.push(Action::Unsubscribe {
                server: server.node,
                cell: state.cell,
                topic,
            });
        }
        unwanted
    }

    /// Subscribes, if it is time to.
    fn subscribe_due(&mut self, topic: Topic, placement: &impl Placement, now: Instant) {
        let Some(state) = self.topics.get_mut(&topic) else {
            return;
        };
        let due = match state.subscription {
            Subscription::Wanted(at) | Subscription::Live(_, at) => at,
            Subscription::Asked(_, since) => since + ANSWER_WITHIN,
        };
        if now < due {
            return;
        }
        match placement.server(state.cell, topic) {
            Some(server) => {
                state.subscription = Subscription::Asked(server, now);
                self.actions.push(Action::Subscribe {
                    server: server.node,
                    cell: state.cell,
                    topic,
                });
            }
            None => state.subscription = Subscription::Wanted(now + RETRY_EVERY),
        }
    }

    /// The next entry, to those who do not have it yet, and to those who come later.
    fn deliver(&mut self, topic: Topic, seq: Seq, frame: Bytes) {
        let Some(state) = self.topics.get_mut(&topic) else {
            return;
        };
        let entry = pushed::entry(&frame);
        state.recent.add(seq, frame.clone(), entry.as_ref());
        state.counting.entry(entry);
        let bytes = frame.len();
        self.actions.extend(state.deliver(topic, seq, frame));
        self.keep(topic, seq, bytes);
    }

    /// The log has been read for those who wait: they go on, or read by themselves.
    fn backfilled(&mut self, topic: Topic, read: Vec<(Seq, Bytes)>) {
        let Some(state) = self.topics.get_mut(&topic) else {
            return;
        };
        let sizes: Vec<_> = read
            .iter()
            .map(|(seq, frame)| (*seq, frame.len()))
            .collect();
        state.recent.put_before(read);
        for (session, cursor) in state.backfill.take() {
            let head = state.head.unwrap_or(cursor);
            if !state.catch_up(session, topic, cursor, head, &mut self.actions) {
                self.actions.push(Action::Behind {
                    session,
                    topic,
                    head,
                });
            }
        }
        state.recent.trim();
        for (seq, bytes) in sizes {
            self.keep(topic, seq, bytes);
        }
    }

    /// The entry that follows on the head, if it has come before its time.
    fn early(&mut self, topic: Topic, seq: Seq) -> Option<Bytes> {
        self.topics.get_mut(&topic)?.early.remove(&seq)
    }

    /// Counts an entry that is kept; the oldest of all go for it.
    fn keep(&mut self, topic: Topic, seq: Seq, bytes: usize) {
        for (topic, seq) in self.budget.keep(topic, seq, bytes) {
            if let Some(state) = self.topics.get_mut(&topic) {
                state.recent.drop_up_to(seq);
            }
        }
    }

    /// Delivers what has become deliverable, and asks for what is missing.
    fn advance(&mut self, topic: Topic, now: Instant) {
        let Some(state) = self.topics.get_mut(&topic) else {
            return;
        };
        let Some(mut head) = state.head else {
            return;
        };
        while let Some(frame) = self.early(topic, head.next()) {
            head = head.next();
            self.deliver(topic, head, frame);
        }
        let Some(state) = self.topics.get_mut(&topic) else {
            return;
        };
        state.early.retain(|seq, _| *seq > head);
        let Some(hole) = state.hole else {
            return;
        };
        if hole.to <= head {
            state.hole = None;
            return;
        }
        if hole.to.0 - head.0 > HOLE_MAX {
            self.actions.extend(state.skip_to(topic, hole.to));
            return;
        }
        if now < hole.ask_at {
            return;
        }
        state.hole = Some(Hole {
            ask_at: now + ANSWER_WITHIN,
            ..hole
        });
        let first_early = state.early.first_key_value().map(|(seq, _)| *seq);
        let last_missing = first_early.map_or(hole.to, |early| Seq(early.0 - 1));
        self.actions.push(Action::Fetch {
            cell: state.cell,
            topic,
            from: head.next(),
            to: last_missing,
        });
    }
}

/// The state of a topic that somebody wants.
fn wanted(
    topics: &mut BTreeMap<Topic, TopicState>,
    topic: Topic,
    cell: CellId,
    now: Instant,
) -> &mut TopicState {
    let state = topics
        .entry(topic)
        .or_insert_with(|| TopicState::new(cell, now));
    state.unwanted_since = None;
    state
}

impl TopicState {
    fn new(cell: CellId, now: Instant) -> Self {
        Self {
            cell,
            head: None,
            subscription: Subscription::Wanted(now),
            sessions: BTreeMap::new(),
            counting: Counting::default(),
            waiting: BTreeMap::new(),
            early: BTreeMap::new(),
            hole: None,
            recent: Recent::default(),
            backfill: Backfill::default(),
            unwanted_since: None,
        }
    }

    /// Nothing is given to a session any more.
    fn take_out(&mut self, session: SessionId) {
        self.sessions.remove(&session);
        self.counting.end(session);
        self.waiting.remove(&session);
        self.backfill.forget(session);
    }

    fn is_unwanted(&self) -> bool {
        self.sessions.is_empty() && self.waiting.is_empty() && self.counting.is_empty()
    }

    /// Takes a session in: it is given what it lacks, or the log is read for it, or it is
    /// told to do so by itself.
    fn place(
        &mut self,
        session: SessionId,
        topic: Topic,
        cursor: Seq,
        head: Seq,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        if self.catch_up(session, topic, cursor, head, actions) {
            return;
        }
        self.sessions.insert(session, None);
        if head.0 - cursor.0 > backfill::BEHIND_MAX {
            actions.push(Action::Behind {
                session,
                topic,
                head,
            });
            return;
        }
        let missing_to = self.recent.first().map_or(head, |first| Seq(first.0 - 1));
        if let Some((from, to)) = self.backfill.wait(session, cursor, missing_to, now) {
            let cell = self.cell;
            actions.push(Action::Fetch {
                cell,
                topic,
                from,
                to,
            });
        }
    }

    /// Takes a session in, if what it lacks is here.
    fn catch_up(
        &mut self,
        session: SessionId,
        topic: Topic,
        cursor: Seq,
        head: Seq,
        actions: &mut Vec<Action>,
    ) -> bool {
        let mut at = cursor;
        if cursor < head {
            let Some(entries) = self.recent.after(cursor, head) else {
                return false;
            };
            actions.extend(entries.map(|(seq, frame)| Action::Deliver {
                sessions: vec![session],
                topic,
                seq,
                frame,
            }));
            at = head;
        }
        self.sessions.insert(session, Some(at));
        actions.push(Action::Attached { session, topic });
        true
    }

    /// The next entry, to those who do not have it yet.
    fn deliver(&mut self, topic: Topic, seq: Seq, frame: Bytes) -> Option<Action> {
        self.head = Some(seq);
        let mut sessions = Vec::with_capacity(self.sessions.len());
        for (session, cursor) in &mut self.sessions {
            if cursor.is_some_and(|cursor| cursor < seq) {
                *cursor = Some(seq);
                sessions.push(*session);
            }
        }
        (!sessions.is_empty()).then_some(Action::Deliver {
            sessions,
            topic,
            seq,
            frame,
        })
    }

    /// An entry exists: there may be a hole before it.
    fn expect(&mut self, seq: Seq, now: Instant) {
        if self.head.is_some_and(|head| seq > head) {
            let hole = self.hole.get_or_insert(Hole {
                to: seq,
                ask_at: now,
            });
            hole.to = hole.to.max(seq);
        }
    }

    /// Gives a long hole up.
    fn skip_to(&mut self, topic: Topic, to: Seq) -> Option<Action> {
        self.head = Some(to);
        self.hole = None;
        self.early.clear();
        self.recent = Recent::default();
        let mut sessions = Vec::new();
        for (session, cursor) in &mut self.sessions {
            if cursor.is_some_and(|cursor| cursor < to) {
                *cursor = Some(to);
                sessions.push(*session);
            }
        }
        (!sessions.is_empty()).then_some(Action::Missed {
            sessions,
            topic,
            head: to,
        })
    }
}
