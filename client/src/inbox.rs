//! Entries on their way in: each topic's once and in order, holes filled from
//! the log. A state machine; the reading is done around it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use causeway_protocol::client::{self, entry::Kind, fact::Kind as FactKind, server_frame::Body};
use causeway_protocol::limits::HELLO_CURSORS_MAX;
use causeway_protocol::mention::is_mentioned;
use causeway_protocol::{ChannelId, Seq, Topic, UserId};

/// Entries that wait behind a hole, per topic; more are read from the log.
const EARLY_MAX: usize = 2_000;
/// Entries of a channel that is closed and counted that are read for the mentions in them,
/// where nobody has told of them.
const LOOKED_INTO_MAX: u64 = 1_000;
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

/// How far a channel is known to be that is closed and counted.
#[derive(Debug, Clone, Copy)]
struct Counted {
    /// The last entry that the application was told of, and the messages up to there.
    last: Seq,
    messages: u64,
    /// The last entry that was pushed, before the edge knew or after a break. Counters and
    /// entries come on different streams: it may come after the counter that has it.
    pushed: Seq,
    /// From here to there somebody may be mentioned, and nobody has told.
    untold: Option<(Seq, Seq)>,
}

impl Counted {
    /// A channel is closed of which the client has all up to `cursor`, and knows that there
    /// are entries up to `head`.
    fn new(cursor: Seq, head: Seq) -> Self {
        let mut counted = Self {
            last: cursor,
            messages: 0,
            pushed: cursor,
            untold: None,
        };
        counted.lack(cursor.next(), head);
        counted
    }

    /// The first entry that neither counters nor pushes had before this one.
    fn next(&self, seq: Seq) -> Seq {
        match seq > self.last {
            true => self.last.max(self.pushed).next(),
            false => self.pushed.next(),
        }
    }

    /// Nobody has told of these entries.
    fn lack(&mut self, from: Seq, to: Seq) {
        let (from, to) = match self.untold {
            Some((known, last)) => (from.min(known), to.max(last)),
            None => (from, to),
        };
        let from = from.max(Seq(to.0.saturating_sub(LOOKED_INTO_MAX)).next());
        self.untold = (from <= to).then_some((from, to));
    }

    /// Moves on, if that is further.
    fn reach(&mut self, last: Seq, messages: u64) -> bool {
        let is_further = last > self.last;
        if last >= self.last {
            (self.last, self.messages) = (last, messages);
        }
        is_further
    }

    /// What the application is told of these entries, which are in their order.
    fn look_into(
        &mut self,
        channel: ChannelId,
        entries: &[client::Entry],
        me: Option<UserId>,
    ) -> Option<Take> {
        let mentions = entries.iter().filter(|entry| mentions(entry, me));
        let mentioned: Vec<u64> = mentions.map(|entry| entry.seq).collect();
        let end = entries.last()?;
        let is_further = self.reach(Seq(end.seq), end.messages);
        (is_further || !mentioned.is_empty()).then_some(Take::Count(client::Counter {
            channel: channel.0,
            last_seq: self.last.0,
            messages: self.messages,
            mentioned,
        }))
    }

    /// The log was read. Entries of which nobody had told are looked into.
    fn read(
        &mut self,
        channel: ChannelId,
        mut entries: Vec<client::Entry>,
        me: Option<UserId>,
    ) -> Option<Take> {
        let (from, to) = self.untold?;
        entries.retain(|entry| (from.0..=to.0).contains(&entry.seq));
        let end = entries.last()?;
        self.untold = None;
        self.lack(Seq(end.seq).next(), to);
        self.look_into(channel, &entries, me)
    }
}

/// Whether an entry is somebody else's message that mentions the user.
fn mentions(entry: &client::Entry, me: Option<UserId>) -> bool {
    match (&entry.kind, me) {
        (Some(Kind::Posted(message)), Some(me)) => {
            message.user != me.0 && is_mentioned(&message.text, me)
        }
        _ => false,
    }
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
            Body::Event(_) | Body::Presences(_) | Body::GoAway(_) | Body::Answer(_) => Vec::new(),
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

    /// Whether channels that are closed may be counted; if not, all entries are pushed again.
    pub fn count(&mut self, counters: bool) {
        self.counts_nothing = !counters;
        if self.counts_nothing {
            let topics = self.topics.values_mut();
            topics.for_each(|state| state.counted = None);
        }
    }

    /// How far a channel is that is not on the screen.
    pub fn counted(&mut self, counter: client::Counter) -> Option<Take> {
        let topic = Topic::Channel(ChannelId(counter.channel));
        if self.counts_nothing || self.shown.contains(&topic) {
            // It was said before the edge knew that all entries are wanted.
            return None;
        }
        let state = self.topics.get_mut(&topic)?;
        let (cursor, head) = (state.cursor, state.head);
        let counted = (state.counted).get_or_insert_with(|| Counted::new(cursor, head));
        counted.reach(Seq(counter.last_seq), counter.messages);
        // Whatever waited behind a hole is read with the rest.
        state.early.clear();
        state.head = state.cursor;
        Some(Take::Count(counter))
    }

    /// An entry of a channel that is counted counts like a counter.
    fn pushed_though_counted(&mut self, topic: Topic, entry: client::Entry) -> Vec<Take> {
        let seq = Seq(entry.seq);
        let (Topic::Channel(channel), Some(state)) = (topic, self.topics.get_mut(&topic)) else {
            return Vec::new();
        };
        let Some(counted) = state.counted.as_mut().filter(|known| seq > known.pushed) else {
            return Vec::new();
        };
        let next = counted.next(seq);
        if next < seq {
            counted.lack(next, Seq(seq.0 - 1));
        }
        counted.pushed = seq;
        let count = counted.look_into(channel, &[entry], self.me);
        count.into_iter().chain(state.advance(topic)).collect()
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

    fn user() -> UserId {
        UserId::new(WorkspaceId(1), 1)
    }

    fn channel(last_seq: u64) -> client::Channel {
        client::Channel {
            id: 5,
            last_seq,
            ..client::Channel::default()
        }
    }

    const TOPIC: Topic = Topic::Channel(ChannelId(5));

    fn boot(channels: Vec<client::Channel>) -> client::BootData {
        client::BootData {
            self_: Some(client::User {
                id: user().0,
                ..client::User::default()
            }),
            channels,
            ..client::BootData::default()
        }
    }

    fn entry(seq: u64) -> client::Entry {
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

    fn counter(last_seq: u64) -> client::Counter {
        client::Counter {
            channel: 5,
            last_seq,
            messages: last_seq,
            ..client::Counter::default()
        }
    }

    fn read(from: u64, to: u64) -> Take {
        Take::Read {
            topic: TOPIC,
            from: Seq(from),
            to: Seq(to),
        }
    }

    /// A message for the user.
    fn mention(seq: u64) -> client::Entry {
        client::Entry {
            kind: Some(Kind::Posted(client::Message {
                text: format!("<@{}>", user()),
                ..client::Message::default()
            })),
            messages: seq,
            ..entry(seq)
        }
    }

    fn mentioned<const N: usize>(last_seq: u64, mentioned: [u64; N]) -> Take {
        Take::Count(client::Counter {
            mentioned: mentioned.into(),
            ..counter(last_seq)
        })
    }

    #[test]
    fn mentions_that_a_counter_would_have_told_are_found_in_the_log() {
        let mut inbox = Inbox::default();
        inbox.booted(&boot(vec![channel(3)]));
        inbox.counted(counter(10));
        let lost = inbox.missed(TOPIC, Seq(5_000));
        assert_eq!(lost, [read(4_001, 5_000)], "the last thousand");
        assert_eq!(
            inbox.log(TOPIC, None),
            [read(4_001, 5_000)],
            "it is asked again"
        );
        let page: Vec<_> = (4_001..=4_500).map(mention).collect();
        let takes = inbox.log(TOPIC, Some(page));
        let [Take::Count(count), rest] = &takes[..] else {
            panic!("{takes:?}");
        };
        assert_eq!((count.last_seq, count.mentioned.len()), (4_500, 500));
        assert_eq!(*rest, read(4_501, 5_000));
        // After a break it is asked for anew.
        assert_eq!(inbox.booted(&boot(vec![channel(5_000)])), [rest.clone()]);
        let page = vec![
            mention(4_999),
            client::Entry {
                messages: 5_000,
                ..entry(5_000)
            },
        ];
        let told = [mentioned(5_000, [4_999])];
        assert_eq!(inbox.log(TOPIC, Some(page)), told);
    }

    #[test]
    fn entries_that_come_after_the_counter_that_has_them_are_looked_into() {
        let mut inbox = Inbox::default();
        inbox.booted(&boot(vec![channel(3)]));
        inbox.counted(counter(10));
        assert_eq!(inbox.push(TOPIC, entry(4), 0), []);
        assert_eq!(inbox.push(TOPIC, mention(5), 0), [mentioned(10, [5])]);
        // Two have not come.
        let takes = [mentioned(10, [8]), read(6, 7)];
        assert_eq!(inbox.push(TOPIC, mention(8), 0), takes);
        let page = vec![mention(6), entry(7)];
        assert_eq!(inbox.log(TOPIC, Some(page)), [mentioned(10, [6])]);
    }

    #[test]
    fn what_is_missing_when_a_channel_is_closed_is_looked_into() {
        let mut inbox = Inbox::default();
        inbox.booted(&boot(vec![channel(3)]));
        assert_eq!(inbox.push(TOPIC, entry(6), 0), [read(4, 5)]);
        assert!(inbox.counted(counter(6)).is_some());
        let page = vec![entry(4), mention(5)];
        let takes = [mentioned(6, [5]), read(6, 6)];
        assert_eq!(inbox.log(TOPIC, Some(page)), takes);
    }

    #[test]
    fn a_closed_channel_has_no_holes_and_goes_on_where_it_was_closed() {
        let mut inbox = Inbox::default();
        inbox.booted(&boot(vec![channel(3)]));
        assert_eq!(inbox.show(&[ChannelId(5)])[0].seq, 3);
        assert_eq!(inbox.push(TOPIC, entry(4), 0).len(), 1);
        assert_eq!(inbox.counted(counter(4)), None, "it is open");
        inbox.show(&[]);
        let counted = Some(Take::Count(counter(40)));
        assert_eq!(inbox.counted(counter(40)), counted);
        assert_eq!(inbox.missed(TOPIC, Seq(41)), [read(41, 41)]);
        assert_eq!(inbox.missed(TOPIC, Seq(41)), [], "it is being read");
        let one_more = client::Entry {
            messages: 41,
            ..entry(41)
        };
        let counted = [Take::Count(counter(41))];
        assert_eq!(inbox.log(TOPIC, Some(vec![one_more])), counted);
        // After a break, what is new is pushed before the edge knows what is closed.
        assert_eq!(inbox.cursors().iter().map(|c| c.seq).max(), Some(41));
        assert_eq!(inbox.booted(&boot(vec![channel(42)])), []);
        let counts = [mentioned(42, [42])];
        assert_eq!(inbox.push(TOPIC, mention(42), 0), counts);
        assert_eq!(inbox.push(TOPIC, mention(42), 0), [], "twice");
        // Opened, it has all from where it was closed.
        assert_eq!(inbox.show(&[ChannelId(5)])[0].seq, 4);
        for seq in 5..=42 {
            assert_eq!(inbox.push(TOPIC, entry(seq), 0).len(), 1);
        }
    }

    #[test]
    fn what_is_too_much_to_be_pushed_is_read_when_a_channel_is_opened() {
        let mut inbox = Inbox::default();
        inbox.booted(&boot(vec![channel(3)]));
        inbox.counted(counter(5_000));
        assert_eq!(inbox.show(&[ChannelId(5)])[0].seq, 3);
        let read = Take::Read {
            topic: TOPIC,
            from: Seq(4),
            to: Seq(5_000),
        };
        assert_eq!(inbox.missed(TOPIC, Seq(5_000)), [read]);
    }

    #[test]
    fn without_counting_holes_are_holes_again() {
        let mut inbox = Inbox::default();
        inbox.booted(&boot(vec![channel(3)]));
        inbox.counted(counter(9));
        inbox.count(false);
        assert_eq!(inbox.counted(counter(9)), None, "it was on its way");
        let takes = inbox.push(TOPIC, entry(10), 0);
        assert!(matches!(takes[..], [Take::Read { from: Seq(4), .. }]));
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
