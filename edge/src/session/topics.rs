//! A session's topics: which it has, how far the client is in each, and what
//! must be read from the log before pushes can go on. A state machine; the
//! reading and pushing is done around it.

use std::collections::{BTreeMap, BTreeSet};

use causeway_protocol::client::{self, entry::Kind, fact::Kind as FactKind};
use causeway_protocol::limits::COUNTED_MEMBERS_MIN;
use causeway_protocol::{ChannelId, Seq, Topic, UserId};

/// A client that is further behind in a topic reads the log by itself.
const RESUME_MAX: u64 = 1_000;

/// What the session wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The topic is new: ask the hub for what comes after `cursor`, and read what has
    /// changed of its metadata.
    Begin(Topic, Seq),
    /// Ask the hub for what comes after `cursor`.
    Attach(Topic, Seq),
    /// Tell the hub that the topic is no longer wanted.
    Detach(Topic),
    /// Read these entries, push them, and report with [`Topics::read`].
    Read {
        /// The topic.
        topic: Topic,
        /// The first entry.
        from: Seq,
        /// The last entry.
        to: Seq,
    },
    /// Tell the client that it misses entries up to here.
    Missed(Topic, Seq),
    /// Ask the hub for no more than how far the topic is.
    Count(Topic),
    /// The client has the topic on its screen: it gets the topic's events.
    Open(Topic),
    /// It no longer has.
    Close(Topic),
    /// Too much has happened to the user's channels: the client must say hello
    /// again.
    StartOver,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    /// The last entry that the client has, as far as it was not pushed live.
    cursor: Seq,
    /// Entries up to here are being read.
    reading_to: Option<Seq>,
    /// A channel of many.
    is_big: bool,
    /// The client is told how far it is, and no entries.
    is_counted: bool,
}

/// The topics of one session.
#[derive(Debug)]
pub struct Topics {
    topics: BTreeMap<Topic, State>,
    /// What the client has on its screen, also before it is known to be its own.
    shown: BTreeSet<Topic>,
    /// Big channels that are not on the screen are counted.
    counts: bool,
    /// Entries of the user's topic up to here are part of the boot data.
    booted_at: Seq,
}

impl Topics {
    /// The topics of a user who has just booted; `cursors` are the client's.
    pub fn start(
        user: UserId,
        boot: &client::BootData,
        cursors: &[client::Cursor],
    ) -> (Self, Vec<Step>) {
        let known: BTreeMap<Topic, Seq> = (cursors.iter())
            .filter_map(|c| Some((Topic::from_wire(c.topic.as_ref())?, Seq(c.seq))))
            .collect();
        let channels = boot.channels.iter().map(|channel| {
            let topic = Topic::Channel(ChannelId(channel.id));
            (topic, Seq(channel.last_seq), is_big(channel))
        });
        let workspace = Topic::Workspace(user.workspace());
        let own = [
            (Topic::User(user), Seq(boot.user_seq), false),
            (workspace, Seq(boot.workspace_seq), false),
        ];
        let mut topics = Self {
            topics: BTreeMap::new(),
            shown: BTreeSet::new(),
            counts: false,
            booted_at: Seq(boot.user_seq),
        };
        let steps = channels.chain(own).map(|(topic, head, is_big)| {
            let cursor = known.get(&topic).copied().unwrap_or(head);
            topics.add(topic, cursor, is_big)
        });
        let steps = steps.collect();
        (topics, steps)
    }

    /// All topics.
    pub fn all(&self) -> impl Iterator<Item = Topic> + '_ {
        self.topics.keys().copied()
    }

    /// Whether the session has a topic.
    pub fn has(&self, topic: Topic) -> bool {
        self.topics.contains_key(&topic)
    }

    /// The topics that are open: on the screen, and the session's own.
    pub fn opened(&self) -> impl Iterator<Item = Topic> + '_ {
        self.shown.iter().copied().filter(|topic| self.has(*topic))
    }

    /// The client has these topics on its screen, and no others any more; each with the
    /// last entry that it has. With `counts`, other big ones are counted.
    pub fn show(&mut self, shown: &BTreeMap<Topic, Seq>, counts: bool) -> Vec<Step> {
        let before = std::mem::replace(&mut self.shown, shown.keys().copied().collect());
        self.counts = counts;
        let own = |topic: &&Topic| self.has(**topic);
        let closed = before.difference(&self.shown).filter(own);
        let opened = self.shown.difference(&before).filter(own);
        let closed = closed.map(|topic| Step::Close(*topic));
        let opened = opened.map(|topic| Step::Open(*topic));
        let mut steps: Vec<Step> = closed.chain(opened).collect();
        for (topic, state) in &mut self.topics {
            let is_counted = counts && state.is_big && !self.shown.contains(topic);
            let was_counted = std::mem::replace(&mut state.is_counted, is_counted);
            let is_opened = self.shown.contains(topic) && !before.contains(topic);
            // Whoever says nothing goes on from where the session began.
            let has = shown.get(topic).copied().filter(|seq| *seq > Seq(0));
            let has = has.unwrap_or(state.cursor);
            let lacks_some = is_opened && has < state.cursor;
            if is_counted && !was_counted {
                state.reading_to = None;
                steps.push(Step::Count(*topic));
            } else if !is_counted && (was_counted || lacks_some) {
                state.cursor = has;
                steps.push(Step::Attach(*topic, has));
            }
        }
        steps
    }

    /// The hub is further than the client.
    pub fn behind(&mut self, topic: Topic, head: Seq) -> Vec<Step> {
        let Some(state) = self.topics.get_mut(&topic) else {
            return Vec::new();
        };
        if state.is_counted {
            // This was said before the hub heard of that.
            return Vec::new();
        }
        if head <= state.cursor {
            return vec![Step::Attach(topic, state.cursor)];
        }
        if head.0 - state.cursor.0 > RESUME_MAX {
            // What the boot data tells need not be read; what came after it
            // decides which channels there are.
            let resume_at = match topic {
                Topic::User(_) if state.cursor >= self.booted_at => return vec![Step::StartOver],
                Topic::User(_) => self.booted_at,
                _ => head,
            };
            state.cursor = resume_at;
            state.reading_to = None;
            return vec![
                Step::Missed(topic, resume_at),
                Step::Attach(topic, resume_at),
            ];
        }
        state.reading_to = Some(head);
        vec![Step::Read {
            topic,
            from: state.cursor.next(),
            to: head,
        }]
    }

    /// These entries of the log were read and pushed; none when it could not be
    /// read.
    pub fn read(&mut self, topic: Topic, entries: &[client::Entry]) -> Vec<Step> {
        let mut steps = Vec::new();
        if let Topic::User(_) = topic {
            steps.extend(entries.iter().flat_map(|entry| self.user_entry(entry)));
        }
        let Some(state) = self.topics.get_mut(&topic) else {
            return steps;
        };
        let Some(to) = state.reading_to else {
            return steps;
        };
        if entries
            .first()
            .is_some_and(|first| Seq(first.seq) > state.cursor.next())
        {
            // Of a reading before the present one.
            return steps;
        }
        let last = entries.last().map(|entry| Seq(entry.seq));
        state.cursor = last.map_or(state.cursor, |last| last.max(state.cursor));
        if state.cursor < to {
            steps.push(Step::Read {
                topic,
                from: state.cursor.next(),
                to,
            });
        } else {
            state.reading_to = None;
            steps.push(Step::Attach(topic, state.cursor));
        }
        steps
    }

    /// An entry of the user's own topic, pushed or read: channels come and go.
    pub fn user_entry(&mut self, entry: &client::Entry) -> Vec<Step> {
        if Seq(entry.seq) <= self.booted_at {
            return Vec::new();
        }
        match &entry.kind {
            Some(Kind::ChannelJoined(channel)) => self.joined(channel),
            Some(Kind::ChannelLeft(channel)) => self.left(*channel),
            _ => Vec::new(),
        }
    }

    /// Facts of the user's own topic, pushed or read: likewise.
    pub fn user_facts(&mut self, facts: &[client::Fact]) -> Vec<Step> {
        let steps = facts.iter().flat_map(|fact| match &fact.kind {
            Some(FactKind::Joined(channel)) => self.joined(channel),
            Some(FactKind::Left(channel)) => self.left(*channel),
            _ => Vec::new(),
        });
        steps.collect()
    }

    fn joined(&mut self, channel: &client::Channel) -> Vec<Step> {
        let topic = Topic::Channel(ChannelId(channel.id));
        if self.has(topic) {
            return Vec::new();
        }
        let is_big = is_big(channel);
        let begin = self.add(topic, Seq(channel.last_seq), is_big);
        let is_shown = self.shown.contains(&topic);
        let then = match self.topics.get_mut(&topic) {
            _ if is_shown => Some(Step::Open(topic)),
            Some(state) if is_big && self.counts => {
                state.is_counted = true;
                Some(Step::Count(topic))
            }
            _ => None,
        };
        [begin].into_iter().chain(then).collect()
    }

    fn left(&mut self, channel: u64) -> Vec<Step> {
        let topic = Topic::Channel(ChannelId(channel));
        if self.topics.remove(&topic).is_none() {
            return Vec::new();
        }
        let close = self.shown.contains(&topic).then_some(Step::Close(topic));
        close.into_iter().chain([Step::Detach(topic)]).collect()
    }

    fn add(&mut self, topic: Topic, cursor: Seq, is_big: bool) -> Step {
        let state = State {
            cursor,
            reading_to: None,
            is_big,
            is_counted: false,
        };
        self.topics.insert(topic, state);
        Step::Begin(topic, cursor)
    }
}

fn is_big(channel: &client::Channel) -> bool {
    channel.members >= COUNTED_MEMBERS_MIN
}

#[cfg(test)]
mod tests {
    use causeway_protocol::WorkspaceId;
    use rand::rngs::SmallRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    const WORKSPACE: WorkspaceId = WorkspaceId(1);

    fn user() -> UserId {
        UserId::new(WORKSPACE, 7)
    }

    fn channel(number: u32, last_seq: u64) -> client::Channel {
        client::Channel {
            id: ChannelId::new(WORKSPACE, number).0,
            last_seq,
            ..client::Channel::default()
        }
    }

    fn topic(number: u32) -> Topic {
        Topic::Channel(ChannelId::new(WORKSPACE, number))
    }

    fn boot(channels: Vec<client::Channel>) -> client::BootData {
        client::BootData {
            channels,
            user_seq: 10,
            workspace_seq: 20,
            ..client::BootData::default()
        }
    }

    fn entry(seq: u64, kind: Kind) -> client::Entry {
        client::Entry {
            seq,
            kind: Some(kind),
            ..client::Entry::default()
        }
    }

    #[test]
    fn a_new_client_starts_at_the_end_and_a_returning_one_where_it_was() {
        let cursor = client::Cursor {
            topic: Some(topic(1).to_wire()),
            seq: 3,
        };
        let boot = boot(vec![channel(1, 5), channel(2, 9)]);
        let (_, steps) = Topics::start(user(), &boot, &[cursor]);
        assert_eq!(
            steps,
            [
                Step::Begin(topic(1), Seq(3)),
                Step::Begin(topic(2), Seq(9)),
                Step::Begin(Topic::User(user()), Seq(10)),
                Step::Begin(Topic::Workspace(WORKSPACE), Seq(20)),
            ]
        );
    }

    #[test]
    fn what_was_missed_is_read_and_too_much_is_left_to_the_client() {
        let (mut topics, _) = Topics::start(user(), &boot(vec![channel(1, 5)]), &[]);
        let read = |from, to| Step::Read {
            topic: topic(1),
            from: Seq(from),
            to: Seq(to),
        };
        assert_eq!(topics.behind(topic(1), Seq(8)), [read(6, 8)]);
        let plain = |seq| client::Entry {
            seq,
            ..client::Entry::default()
        };
        assert_eq!(topics.read(topic(1), &[plain(6), plain(7)]), [read(8, 8)]);
        assert_eq!(topics.read(topic(1), &[]), [read(8, 8)]);
        let attach = Step::Attach(topic(1), Seq(8));
        assert_eq!(topics.read(topic(1), &[plain(8)]), [attach]);
        assert_eq!(
            topics.behind(topic(1), Seq(5_000)),
            [
                Step::Missed(topic(1), Seq(5_000)),
                Step::Attach(topic(1), Seq(5_000))
            ]
        );
    }

    #[test]
    fn channels_come_and_go_with_the_users_topic() {
        let (mut topics, _) = Topics::start(user(), &boot(vec![channel(1, 5)]), &[]);
        let joined = Kind::ChannelJoined(channel(2, 3));
        assert_eq!(topics.user_entry(&entry(10, joined.clone())), []);
        let begin = Step::Begin(topic(2), Seq(3));
        assert_eq!(topics.user_entry(&entry(11, joined.clone())), [begin]);
        assert_eq!(topics.user_entry(&entry(11, joined)), []);
        let left = Kind::ChannelLeft(ChannelId::new(WORKSPACE, 1).0);
        assert_eq!(
            topics.user_entry(&entry(12, left.clone())),
            [Step::Detach(topic(1))]
        );
        assert_eq!(topics.user_entry(&entry(13, left)), []);
        assert_eq!(topics.behind(topic(1), Seq(9)), []);
    }

    #[test]
    fn public_channels_come_and_go_with_facts() {
        let (mut topics, _) = Topics::start(user(), &boot(vec![channel(1, 5)]), &[]);
        let mut told = |kind| topics.user_facts(&[client::Fact { kind: Some(kind) }]);
        let joined = FactKind::Joined(channel(2, 3));
        assert_eq!(told(joined.clone()), [Step::Begin(topic(2), Seq(3))]);
        assert_eq!(told(joined), [], "said again");
        let left = FactKind::Left(ChannelId::new(WORKSPACE, 2).0);
        assert_eq!(told(left.clone()), [Step::Detach(topic(2))]);
        assert_eq!(told(left), []);
    }

    #[test]
    fn what_is_on_the_screen_is_open_as_long_as_it_is_the_sessions_own() {
        let (mut topics, _) = Topics::start(user(), &boot(vec![channel(1, 5)]), &[]);
        let (one, two) = (topic(1), topic(2));
        let shown = |topics: &[Topic]| topics.iter().map(|topic| (*topic, Seq(0))).collect();
        let both = shown(&[one, two]);
        assert_eq!(topics.show(&both, false), [Step::Open(one)]);
        assert_eq!(topics.show(&both, false), [], "said again");
        let joined = FactKind::Joined(channel(2, 3));
        let told = |kind| [client::Fact { kind: Some(kind) }];
        let begins = [Step::Begin(two, Seq(3)), Step::Open(two)];
        assert_eq!(topics.user_facts(&told(joined)), begins);
        assert!(topics.opened().eq([one, two]));
        let left = FactKind::Left(ChannelId::new(WORKSPACE, 1).0);
        let ends = [Step::Close(one), Step::Detach(one)];
        assert_eq!(topics.user_facts(&told(left)), ends);
        assert!(topics.opened().eq([two]));
        assert_eq!(topics.show(&shown(&[one]), false), [Step::Close(two)]);
        assert_eq!(topics.show(&shown(&[]), false), []);
    }

    fn big(number: u32, last_seq: u64) -> client::Channel {
        client::Channel {
            members: COUNTED_MEMBERS_MIN,
            ..channel(number, last_seq)
        }
    }

    #[test]
    fn big_channels_are_counted_while_they_are_closed_if_the_client_asks_for_it() {
        let boot = boot(vec![big(1, 5), channel(2, 9)]);
        let (mut topics, _) = Topics::start(user(), &boot, &[]);
        let (one, nothing) = (topic(1), BTreeMap::new());
        let opened = |seq| BTreeMap::from([(one, Seq(seq))]);
        let open = [Step::Open(one)];
        assert_eq!(topics.show(&opened(5), true), open, "it is pushed anyway");
        let closes = [Step::Close(one), Step::Count(one)];
        assert_eq!(topics.show(&nothing, true), closes);
        assert_eq!(topics.show(&nothing, true), [], "said again");
        assert_eq!(topics.behind(one, Seq(8)), [], "said too late");
        let opens = [Step::Open(one), Step::Attach(one, Seq(7))];
        assert_eq!(topics.show(&opened(7), true), opens);
        let read = Step::Read {
            topic: one,
            from: Seq(8),
            to: Seq(12),
        };
        assert_eq!(topics.behind(one, Seq(12)), [read]);
        topics.show(&nothing, true);
        assert_eq!(topics.read(one, &[]), [], "nobody waits for it");
        let attach = [Step::Attach(one, Seq(7))];
        assert_eq!(topics.show(&nothing, false), attach);
    }

    #[test]
    fn a_client_that_opens_a_channel_gets_what_it_lacks() {
        let (mut topics, _) = Topics::start(user(), &boot(vec![channel(1, 50)]), &[]);
        let one = topic(1);
        let opened = |seq| BTreeMap::from([(one, Seq(seq))]);
        let opens = [Step::Open(one), Step::Attach(one, Seq(40))];
        assert_eq!(topics.show(&opened(40), true), opens, "it began at 50");
        assert_eq!(topics.show(&opened(30), true), [], "it is open");
        topics.show(&BTreeMap::new(), true);
        let open = [Step::Open(one)];
        assert_eq!(
            topics.show(&opened(60), true),
            open,
            "it has been pushed more"
        );
        topics.show(&BTreeMap::new(), true);
        assert_eq!(topics.show(&opened(0), true), open, "it says nothing");
    }

    #[test]
    fn a_big_channel_that_is_joined_is_counted_from_the_beginning() {
        let (mut topics, _) = Topics::start(user(), &boot(vec![]), &[]);
        topics.show(&BTreeMap::new(), true);
        let joined = |number| {
            let kind = FactKind::Joined(big(number, 3));
            [client::Fact { kind: Some(kind) }]
        };
        let begins = [Step::Begin(topic(1), Seq(3)), Step::Count(topic(1))];
        assert_eq!(topics.user_facts(&joined(1)), begins);
        topics.show(&BTreeMap::from([(topic(2), Seq(3))]), true);
        let begins = [Step::Begin(topic(2), Seq(3)), Step::Open(topic(2))];
        assert_eq!(topics.user_facts(&joined(2)), begins);
    }

    #[test]
    fn what_was_read_before_does_not_pass_for_what_is_read_now() {
        let (mut topics, _) = Topics::start(user(), &boot(vec![big(1, 50)]), &[]);
        let one = topic(1);
        topics.behind(one, Seq(60));
        topics.show(&BTreeMap::new(), true);
        topics.show(&BTreeMap::from([(one, Seq(40))]), true);
        topics.behind(one, Seq(60));
        let plain = |seq| client::Entry {
            seq,
            ..client::Entry::default()
        };
        assert_eq!(topics.read(one, &[plain(51), plain(60)]), []);
        let now: Vec<_> = (41..=60).map(plain).collect();
        assert_eq!(topics.read(one, &now), [Step::Attach(one, Seq(60))]);
    }

    #[test]
    fn the_users_own_topic_is_never_skipped_beyond_the_boot_data() {
        let own = Topic::User(user());
        let cursor = client::Cursor {
            topic: Some(own.to_wire()),
            seq: 1,
        };
        let boot = client::BootData {
            user_seq: 5_000,
            ..boot(vec![])
        };
        let (mut topics, _) = Topics::start(user(), &boot, &[cursor]);
        let at = Seq(5_000);
        let skip = [Step::Missed(own, at), Step::Attach(own, at)];
        assert_eq!(topics.behind(own, Seq(5_002)), skip);
        assert_eq!(topics.behind(own, Seq(9_000)), [Step::StartOver]);
    }

    /// A replica that was behind has left a channel out of the boot data.
    #[test]
    fn a_channel_that_was_joined_just_before_is_found_in_the_log() {
        let (mut topics, _) = Topics::start(user(), &boot(vec![]), &[]);
        let own = Topic::User(user());
        topics.behind(own, Seq(11));
        let joined = entry(11, Kind::ChannelJoined(channel(2, 3)));
        assert_eq!(
            topics.read(own, &[joined]),
            [Step::Begin(topic(2), Seq(3)), Step::Attach(own, Seq(11))]
        );
    }

    /// Against a log that grows and answers in pieces: the client gets each
    /// entry once and in order, until it is live.
    #[test]
    fn catching_up_leaves_nothing_out() {
        for seed in 0..500 {
            let mut rng = SmallRng::seed_from_u64(seed);
            let start = rng.random_range(0..50);
            let (mut topics, _) = Topics::start(user(), &boot(vec![channel(1, start)]), &[]);
            let (mut log, mut client) = (start + rng.random_range(0..100), start);
            let mut steps = topics.behind(topic(1), Seq(log));
            let mut live = client == log;
            while let Some(step) = steps.pop() {
                match step {
                    Step::Read { from, to, .. } => {
                        assert_eq!(from.0, client + 1, "seed {seed}");
                        let last = rng.random_range(client..=to.0);
                        let entries = (client + 1..=last).map(|seq| client::Entry {
                            seq,
                            ..client::Entry::default()
                        });
                        let entries: Vec<_> = entries.collect();
                        client = last;
                        steps = topics.read(topic(1), &entries);
                    }
                    Step::Attach(_, cursor) => {
                        assert_eq!(cursor.0, client, "seed {seed}");
                        log += rng.random_range(0..3);
                        if cursor.0 < log {
                            steps = topics.behind(topic(1), Seq(log));
                        } else {
                            live = true;
                        }
                    }
                    other => panic!("seed {seed}: {other:?}"),
                }
            }
            assert!(live, "seed {seed}");
        }
    }
}
