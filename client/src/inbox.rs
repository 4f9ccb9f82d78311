//! Entries on their way in: each topic's once and in order, holes filled from
//! the log. A state machine; the reading is done around it.

mod counted;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use causeway_protocol::client::{self, entry::Kind, fact::Kind as FactKind, server_frame::Body};
use causeway_protocol::limits::HELLO_CURSORS_MAX;
use causeway_protocol::{ChannelId, Seq, Topic, UserId};

use self::counted::Counted;

/// Entries that wait behind a hole, per topic; more are read from the log.
const EARLY_MAX: usize = 2_000;
/// Channels that the client is not in and of which it remembers something.
const ABSENT_MAX: usize = HELLO_CURSORS_MAX;

/// What the inbox wants done.
#[derive(Debug, Clone, PartialEq)]
pub enum Take {
    /// Give this entry to the application.
    Deliver(Topic, client::Entry),
    /// Tell the application of metadata that has changed.
    Tell(client::MetadataPush),
    /// Tell the application how far a channel is that is closed.
    Count(client::Counter),
    /// Read these entries from the log and hand them in with [`Inbox::log`].
    Read {
        /// The topic.
        topic: Topic,
        /// The first that is missing.
        from: Seq,
        /// The last that is known to exist.
        to: Seq,
    },
}

#[derive(Debug, Default)]
struct TopicState {
    cursor: Seq,
    early: BTreeMap<Seq, client::Entry>,
    /// The last entry known to exist.
    head: Seq,
    reading: bool,
    /// The channel is closed and counted. What lies between the cursor and the count is no
    /// hole, and is read when the channel is opened.
    counted: Option<Counted>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Absent {
    /// The last entry that was delivered, before the channel was left.
    delivered: Seq,
    /// The last entry known to exist.
    head: Seq,
}

/// What the client has seen: an answer to its next request is not older.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Seen {
    /// The highest position of its cell's log.
    pub position: u64,
    /// Its last write of metadata; empty = none.
    pub wrote: Bytes,
}

impl Seen {
    /// As an answer tells.
    pub fn of(response: &client::Response) -> Self {
        Self {
            position: response.position,
            wrote: response.wrote.clone(),
        }
    }
}

/// What the client has of each topic.
#[derive(Debug, Default)]
pub struct Inbox {
    topics: BTreeMap<Topic, TopicState>,
    /// Channels that the client is not in, as far as it knows: between topics
    /// there is no order, and a push may overtake the news of joining or leaving.
    absent: BTreeMap<Topic, Absent>,
    /// The topics that are on the screen.
    shown: BTreeSet<Topic>,
    /// Of closed channels, too, all entries are wanted.
    counts_nothing: bool,
    me: Option<UserId>,
    seen: Seen,
    /// All metadata up to here has been told.
    version: Bytes,
    disorder: Option<Disorder>,
}

/// A planted bug: entries with an even `seq` are held back behind the next.
#[derive(Debug, Default)]
struct Disorder(BTreeMap<Topic, Take>);

impl Disorder {
    fn spoil(&mut self, takes: Vec<Take>) -> Vec<Take> {
        let mut spoilt = Vec::new();
        for take in takes {
            match &take {
                Take::Deliver(topic, entry) if entry.seq % 2 == 0 => {
                    self.0.insert(*topic, take);
                }
                Take::Deliver(topic, _) => {
                    let held = self.0.remove(topic);
                    spoilt.push(take);
                    spoilt.extend(held);
                }
                Take::Read { .. } | Take::Tell(_) | Take::Count(_) => spoilt.push(take),
            }
        }
        spoilt
    }
}

impl Inbox {
    /// With a bug, for the chaos suite to catch: entries come out of order.
    pub fn out_of_order() -> Self {
        Self {
            disorder: Some(Disorder::default()),
            ..Self::default()
        }
    }

    /// What has been seen; goes with every request.
    pub fn seen(&self) -> Seen {
        self.seen.clone()
    }

    /// All metadata up to this version has been told; goes with every hello.
    pub fn version(&self) -> Bytes {
        self.version.clone()
    }

    /// Takes in what an answer tells.
    pub fn saw(&mut self, seen: Seen) {
        self.seen.position = self.seen.position.max(seen.position);
        if !seen.wrote.is_empty() {
            self.seen.wrote = seen.wrote;
        }
    }

    /// The cursors to say hello with.
    pub fn cursors(&self) -> Vec<client::Cursor> {
        let cursors = self.topics.iter().map(|(topic, state)| client::Cursor {
            topic: Some(topic.to_wire()),
            // Of what is closed, only what is new: the rest is read when it is opened.
            seq: (state.counted)
                .map_or(state.cursor, |counted| counted.last.max(state.cursor))
                .0,
        });
        // Topics beyond the limit begin anew, with a hole that is then filled.
        cursors.take(HELLO_CURSORS_MAX).collect()
    }

    /// Connected: topics that are new begin where the boot data ends, the others
    /// where the client was. Channels that were left meanwhile are forgotten.
    pub fn booted(&mut self, boot: &client::BootData) -> Vec<Take> {
        let channels = boot.channels.iter();
        let mut heads: Vec<_> = channels
            .map(|c| (Topic::Channel(ChannelId(c.id)), Seq(c.last_seq)))
            .collect();
        if let Some(user) = &boot.self_ {
            let user = UserId(user.id);
            self.me = Some(user);
            heads.push((Topic::User(user), Seq(boot.user_seq)));
            let workspace = Topic::Workspace(user.workspace());
            heads.push((workspace, Seq(boot.workspace_seq)));
        }
        let left = |topic: &Topic| {
            matches!(topic, Topic::Channel(_)) && heads.iter().all(|(known, _)| known != topic)
        };
        let left: Vec<Topic> = self.topics.keys().copied().filter(left).collect();
        for topic in left {
            self.leave(topic);
        }
        if self.version.is_empty() {
            self.version = boot.metadata_version.clone();
        }
        let mut takes = Vec::new();
        for (topic, head) in heads {
            let state = self.begin(topic, head);
            state.reading = false;
            takes.extend(state.advance(topic));
        }
        takes
    }

    /// A frame has come in; what is neither of a log nor of metadata is not for the inbox.
    pub fn frame(&mut self, frame: Body) -> Vec<Take> {
        match frame {
            Body::Push(push) => match (Topic::from_wire(push.topic.as_ref()), push.entry) {
                (Some(topic), Some(entry)) => self.push(topic, entry, push.position),
                _ => Vec::new(),
            },
            Body::Missed(missed) => {
                let heads = missed.heads.into_iter();
                let heads = heads.filter_map(|head| {
                    let topic = Topic::from_wire(head.topic.as_ref())?;
                    Some((topic, Seq(head.seq)))
                });
                heads
                    .flat_map(|(topic, head)| self.missed(topic, head))
                    .collect()
            }
            Body::Metadata(push) => self.metadata(push),
            Body::Counters(counters) => {
                let counters = counters.counters.into_iter();
                counters.filter_map(|c| self.counted(c)).collect()
            }
            Body::Event(_)
            | Body::Presences(_)
            | Body::Introduced(_)
            | Body::GoAway(_)
            | Body::Answer(_) => Vec::new(),
        }
    }

    /// A push has come in.
    pub fn push(&mut self, topic: Topic, entry: client::Entry, position: u64) -> Vec<Take> {
        self.seen.position = self.seen.position.max(position);
        let Some(state) = self.topics.get_mut(&topic) else {
            self.hear(topic, Seq(entry.seq));
            return Vec::new();
        };
        if state.counted.is_some() {
            return self.pushed_though_counted(topic, entry);
        }
        state.add(entry);
        let takes = state.advance(topic);
        self.follow(takes)
    }

    /// These channels are on the screen, and no others any more. Returns them with how far
    /// the client has each: what comes after that is pushed.
    pub fn show(&mut self, channels: &[ChannelId]) -> Vec<client::OpenChannel> {
        self.shown = channels.iter().map(|id| Topic::Channel(*id)).collect();
        let open = channels.iter().map(|id| {
            let state = self.topics.get_mut(&Topic::Channel(*id));
            let cursor = state.map_or(Seq(0), |state| {
                state.counted = None;
                state.cursor
            });
            client::OpenChannel {
                channel: id.0,
                seq: cursor.0,
            }
        });
        open.collect()
    }

    /// Metadata has changed. Topics come and go with the facts that say so.
    pub fn metadata(&mut self, push: client::MetadataPush) -> Vec<Take> {
        if !push.version.is_empty() {
            self.version = push.version.clone();
        }
        let mut more = Vec::new();
        for fact in &push.facts {
            match &fact.kind {
                Some(FactKind::Joined(channel)) => more.extend(self.join(channel)),
                Some(FactKind::Left(channel)) => self.leave(Topic::Channel(ChannelId(*channel))),
                _ => {}
            }
        }
        let mut takes = Vec::with_capacity(1 + more.len());
        if push.start_over || !push.facts.is_empty() {
            takes.push(Take::Tell(push));
        }
        takes.extend(more);
        takes
    }

    /// Pushes were dropped: entries up to `head` exist.
    pub fn missed(&mut self, topic: Topic, head: Seq) -> Vec<Take> {
        let Some(state) = self.topics.get_mut(&topic) else {
            self.hear(topic, head);
            return Vec::new();
        };
        match &mut state.counted {
            Some(counted) => {
                let next = counted.next(head);
                if next <= head {
                    counted.lack(next, head);
                }
            }
            None => state.head = state.head.max(head),
        }
        state.advance(topic).into_iter().collect()
    }

    /// The log was read; `None` when it could not be.
    pub fn log(&mut self, topic: Topic, entries: Option<Vec<client::Entry>>) -> Vec<Take> {
        let Some(state) = self.topics.get_mut(&topic) else {
            return Vec::new();
        };
        state.reading = false;
        if let (Some(counted), Topic::Channel(channel)) = (&mut state.counted, topic) {
            let count = counted.read(channel, entries.unwrap_or_default(), self.me);
            return count.into_iter().chain(state.advance(topic)).collect();
        }
        for entry in entries.unwrap_or_default() {
            state.add(entry);
        }
        let takes = state.advance(topic);
        self.follow(takes)
    }

    /// Topics come and go with the entries that say so.
    fn follow(&mut self, mut takes: Vec<Take>) -> Vec<Take> {
        let mut more = Vec::new();
        for take in &takes {
            let Take::Deliver(Topic::User(_), entry) = take else {
                continue;
            };
            match &entry.kind {
                Some(Kind::ChannelJoined(channel)) => more.extend(self.join(channel)),
                Some(Kind::ChannelLeft(channel)) => {
                    self.leave(Topic::Channel(ChannelId(*channel)));
                }
                _ => {}
            }
        }
        takes.extend(more);
        match &mut self.disorder {
            None => takes,
            Some(disorder) => disorder.spoil(takes),
        }
    }

    fn join(&mut self, channel: &client::Channel) -> Vec<Take> {
        let topic = Topic::Channel(ChannelId(channel.id));
        self.begin(topic, Seq(channel.last_seq)).advance(topic)
    }

    /// A topic that is new begins after `last`; of one that the client was in
    /// before, nothing is delivered again.
    fn begin(&mut self, topic: Topic, last: Seq) -> &mut TopicState {
        let absent = self.absent.remove(&topic).unwrap_or_default();
        self.topics.entry(topic).or_insert_with(|| {
            let cursor = last.max(absent.delivered);
            TopicState {
                cursor,
                head: cursor.max(absent.head),
                ..TopicState::default()
            }
        })
    }

    fn leave(&mut self, topic: Topic) {
        if let Some(state) = self.topics.remove(&topic) {
            self.remember(topic, |absent| absent.delivered = state.cursor);
        }
    }

    fn hear(&mut self, topic: Topic, seq: Seq) {
        self.remember(topic, |absent| absent.head = absent.head.max(seq));
    }

    fn remember(&mut self, topic: Topic, what: impl FnOnce(&mut Absent)) {
        if self.absent.len() < ABSENT_MAX || self.absent.contains_key(&topic) {
            what(self.absent.entry(topic).or_default());
        }
    }
}

impl TopicState {
    fn add(&mut self, entry: client::Entry) {
        let seq = Seq(entry.seq);
        self.head = self.head.max(seq);
        if seq > self.cursor && self.early.len() < EARLY_MAX {
            self.early.insert(seq, entry);
        }
    }

    /// Delivers what is next, and asks for what is missing.
    fn advance(&mut self, topic: Topic) -> Vec<Take> {
        if let Some(counted) = &self.counted {
            let untold = counted.untold.filter(|_| !self.reading);
            self.reading |= untold.is_some();
            let read = untold.map(|(from, to)| Take::Read { topic, from, to });
            return read.into_iter().collect();
        }
        let mut takes = Vec::new();
        while let Some(entry) = self.early.remove(&self.cursor.next()) {
            self.cursor = self.cursor.next();
            takes.push(Take::Deliver(topic, entry));
        }
        if self.cursor < self.head && !self.reading {
            self.reading = true;
            let first_early = self.early.first_key_value().map(|(seq, _)| *seq);
            takes.push(Take::Read {
                topic,
                from: self.cursor.next(),
                to: first_early.map_or(self.head, |early| Seq(early.0 - 1)),
            });
        }
        takes
    }
}

#[cfg(test)]
mod tests {
    use causeway_protocol::{UserId, WorkspaceId};
    use rand::rngs::SmallRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    pub(super) fn user() -> UserId {
        UserId::new(WorkspaceId(1), 1)
    }

    pub(super) fn channel(last_seq: u64) -> client::Channel {
        client::Channel {
            id: 5,
            last_seq,
            ..client::Channel::default()
        }
    }

    pub(super) const TOPIC: Topic = Topic::Channel(ChannelId(5));

    pub(super) fn boot(channels: Vec<client::Channel>) -> client::BootData {
        client::BootData {
            self_: Some(client::User {
                id: user().0,
                ..client::User::default()
            }),
            channels,
            ..client::BootData::default()
        }
    }

    pub(super) fn entry(seq: u64) -> client::Entry {
        client::Entry {
            seq,
            ..client::Entry::default()
        }
    }

    #[test]
    fn metadata_is_told_and_its_version_kept() {
        let mut inbox = Inbox::default();
        inbox.booted(&client::BootData {
            metadata_version: Bytes::from_static(b"1"),
            ..boot(vec![channel(0)])
        });
        assert_eq!(inbox.version(), "1");
        let other = client::Channel {
            id: 77,
            last_seq: 3,
            ..client::Channel::default()
        };
        let push = |kind, version: &'static [u8]| client::MetadataPush {
            version: Bytes::from_static(version),
            facts: vec![client::Fact { kind: Some(kind) }],
            ..client::MetadataPush::default()
        };
        let joined = push(FactKind::Joined(other), b"2");
        assert_eq!(inbox.metadata(joined.clone()), [Take::Tell(joined)]);
        let topic = Topic::Channel(ChannelId(77));
        let entries = inbox.push(topic, entry(4), 9);
        assert!(matches!(entries[..], [Take::Deliver(..)]));
        let left = push(FactKind::Left(77), b"3");
        assert_eq!(inbox.metadata(left.clone()), [Take::Tell(left)]);
        assert_eq!(inbox.push(topic, entry(5), 9), []);

        // Only how far it is: the application has nothing to do.
        let further = client::MetadataPush {
            version: Bytes::from_static(b"4"),
            ..client::MetadataPush::default()
        };
        assert_eq!(inbox.metadata(further), []);
        assert_eq!(inbox.version(), "4");
        // Boot data does not say what a client has been told that was away.
        inbox.booted(&client::BootData {
            metadata_version: Bytes::from_static(b"9"),
            ..boot(vec![channel(0)])
        });
        assert_eq!(inbox.version(), "4");
    }

    #[test]
    fn the_planted_bug_is_a_bug() {
        let mut inbox = Inbox::out_of_order();
        inbox.booted(&boot(vec![channel(0)]));
        let seqs = (1..=5).flat_map(|seq| inbox.push(TOPIC, entry(seq), seq));
        let seqs = seqs.map(|take| match take {
            Take::Deliver(_, entry) => entry.seq,
            other => panic!("nothing is missing: {other:?}"),
        });
        assert_eq!(seqs.collect::<Vec<_>>(), [1, 3, 2, 5, 4]);
    }

    /// Pushes lost, doubled and reordered, notices of holes, reconnections, logs
    /// that answer in part or not at all: each entry comes once and in order.
    #[test]
    fn every_entry_is_delivered_once_and_in_order() {
        for seed in 0..1_000 {
            let mut rng = SmallRng::seed_from_u64(seed);
            let mut inbox = Inbox::default();
            let start = rng.random_range(0..20);
            let (mut log, mut delivered) = (start, start);
            let mut wire: Vec<u64> = Vec::new();
            let mut reads: Vec<(u64, u64)> = Vec::new();
            let mut takes = inbox.booted(&boot(vec![channel(log)]));
            for step in 0..600 {
                let storm = step < 300;
                for take in takes.drain(..) {
                    match take {
                        Take::Deliver(_, entry) => {
                            assert_eq!(entry.seq, delivered + 1, "seed {seed}");
                            delivered = entry.seq;
                        }
                        Take::Read { from, to, .. } => reads.push((from.0, to.0)),
                        other => panic!("nothing of that has come: {other:?}"),
                    }
                }
                match rng.random_range(0..10) {
                    0..4 if storm => {
                        log += 1;
                        if rng.random_bool(0.7) {
                            wire.push(log);
                        }
                        if rng.random_bool(0.1) {
                            wire.push(log);
                        }
                    }
                    4 if storm => takes = inbox.missed(TOPIC, Seq(log)),
                    5 if storm && rng.random_bool(0.1) => {
                        wire.clear();
                        reads.clear();
                        takes = inbox.booted(&boot(vec![channel(log)]));
                    }
                    6 | 7 if !reads.is_empty() => {
                        let (from, to) = reads.remove(0);
                        let entries = if storm && rng.random_bool(0.3) {
                            None
                        } else {
                            Some((from..=to.min(from + 10)).map(entry).collect())
                        };
                        takes = inbox.log(TOPIC, entries);
                    }
                    _ if !wire.is_empty() => {
                        let seq = wire.remove(rng.random_range(0..wire.len().min(4)));
                        takes = inbox.push(TOPIC, entry(seq), seq);
                    }
                    _ if !storm => takes = inbox.missed(TOPIC, Seq(log)),
                    _ => {}
                }
            }
            assert_eq!(delivered, log, "seed {seed}");
        }
    }

    #[test]
    fn a_channel_begins_when_it_is_joined_and_ends_when_it_is_left() {
        let mut inbox = Inbox::default();
        inbox.booted(&boot(vec![]));
        assert!(inbox.push(TOPIC, entry(4), 0).is_empty());
        let of_user = |seq, kind| client::Entry {
            kind: Some(kind),
            ..entry(seq)
        };
        let topic = Topic::User(user());
        inbox.push(topic, of_user(1, Kind::ChannelJoined(channel(4))), 0);
        assert_eq!(inbox.push(TOPIC, entry(5), 0).len(), 1);
        inbox.push(topic, of_user(2, Kind::ChannelLeft(5)), 0);
        assert!(inbox.push(TOPIC, entry(6), 0).is_empty());
    }

    #[test]
    fn a_channel_that_is_joined_again_shows_nothing_again() {
        let mut inbox = Inbox::default();
        inbox.booted(&boot(vec![channel(3)]));
        // Left after 3 and joined again at 5, which is heard of late.
        for seq in 4..7 {
            assert_eq!(inbox.push(TOPIC, entry(seq), 0).len(), 1);
        }
        let of_user = |seq, kind| client::Entry {
            kind: Some(kind),
            ..entry(seq)
        };
        let topic = Topic::User(user());
        inbox.push(topic, of_user(1, Kind::ChannelLeft(5)), 0);
        inbox.push(topic, of_user(2, Kind::ChannelJoined(channel(5))), 0);
        assert!(inbox.push(TOPIC, entry(6), 0).is_empty());
        assert_eq!(inbox.push(TOPIC, entry(7), 0).len(), 1);
    }

    #[test]
    fn what_comes_before_the_news_of_joining_is_read_from_the_log() {
        let mut inbox = Inbox::default();
        inbox.booted(&boot(vec![]));
        inbox.push(TOPIC, entry(5), 0);
        let joined = client::Entry {
            kind: Some(Kind::ChannelJoined(channel(4))),
            ..entry(1)
        };
        let takes = inbox.push(Topic::User(user()), joined, 0);
        let read = Take::Read {
            topic: TOPIC,
            from: Seq(5),
            to: Seq(5),
        };
        assert_eq!(takes.last(), Some(&read));
        assert_eq!(inbox.log(TOPIC, Some(vec![entry(5)])).len(), 1);
    }

    #[test]
    fn cursors_say_what_the_client_has() {
        let mut inbox = Inbox::default();
        inbox.booted(&boot(vec![channel(3)]));
        inbox.push(TOPIC, entry(4), 9);
        inbox.push(TOPIC, entry(7), 9);
        let cursors = inbox.cursors();
        let cursor = cursors.iter().find(|c| c.topic == Some(TOPIC.to_wire()));
        assert_eq!(cursor.unwrap().seq, 4);
        assert_eq!(inbox.seen().position, 9);
    }
}
