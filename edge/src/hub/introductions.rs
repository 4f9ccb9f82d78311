//! Who is mentioned in a message is told just before it, to sessions that have not been
//! told yet. A message that mentions somebody of whom this node has not read waits for a
//! moment, and what comes after it in its topic likewise. A state machine over inputs and
//! `now`.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway_protocol::client::{self, entry::Kind, server_frame};
use causeway_protocol::mention::{Mention, mentions};
use causeway_protocol::{Seq, Topic, UserId, frame};

use crate::pushed;

/// A message waits for so long for those whom it mentions.
const WAIT_MAX: Duration = Duration::from_millis(250);
/// What has been read of a user is good for so long.
const GOOD_FOR: Duration = Duration::from_secs(10);
/// Users of whom something is kept.
const KNOWN_MAX: usize = 4_096;
/// Topics that wait at a time; what comes in others does without.
const TOPICS_MAX: usize = 256;
/// Entries of a topic that wait; with more it does without.
const ENTRIES_MAX: usize = 64;
/// Users who are told before one message.
pub const INTRODUCED_MAX: usize = 20;

/// A user, as clients are told of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    pub user: UserId,
    /// A `ServerFrame`, with its length.
    pub frame: Bytes,
}

/// Those whom a message mentions.
pub type People = Arc<[Person]>;

/// What becomes of an entry that has come in.
#[derive(Debug, PartialEq, Eq)]
pub enum Came {
    /// It goes on, after these of the same topic.
    GoesOn(Vec<(Seq, Bytes)>),
    /// It waits; these users are to be read.
    Waits(Vec<UserId>),
}

/// What a shard of the hub knows of those who are mentioned.
#[derive(Debug, Default)]
pub struct Introductions {
    known: HashMap<UserId, Known>,
    waiting: HashMap<Topic, Waiting>,
}

#[derive(Debug)]
struct Known {
    /// None: there is no such user.
    frame: Option<Bytes>,
    until: Instant,
}

#[derive(Debug)]
struct Waiting {
    entries: Vec<(Seq, Bytes)>,
    lacking: BTreeSet<UserId>,
    until: Instant,
}

impl Introductions {
    /// An entry has come in.
    pub fn came(&mut self, topic: Topic, seq: Seq, frame: Bytes, now: Instant) -> Came {
        let mut lacking = mentioned(&frame);
        lacking.retain(|user| self.known.get(user).is_none_or(|known| known.until <= now));
        if let Some(waiting) = self.waiting.get_mut(&topic) {
            waiting.entries.push((seq, frame));
            if waiting.entries.len() > ENTRIES_MAX {
                return Came::GoesOn(self.go_on(topic));
            }
            lacking.retain(|user| waiting.lacking.insert(*user));
            return Came::Waits(lacking);
        }
        if lacking.is_empty() || self.waiting.len() >= TOPICS_MAX {
            return Came::GoesOn(vec![(seq, frame)]);
        }
        let waiting = Waiting {
            entries: vec![(seq, frame)],
            lacking: lacking.iter().copied().collect(),
            until: now + WAIT_MAX,
        };
        self.waiting.insert(topic, waiting);
        Came::Waits(lacking)
    }

    /// These users were asked for, and this was found. Returns what goes on.
    pub fn read(
        &mut self,
        asked: &[UserId],
        found: Vec<client::User>,
        now: Instant,
    ) -> Vec<(Topic, Vec<(Seq, Bytes)>)> {
        if self.known.len() + asked.len() > KNOWN_MAX {
            self.known.clear();
        }
        let mut frames: HashMap<u64, Bytes> = found.into_iter().map(introduction).collect();
        for user in asked {
            let known = Known {
                frame: frames.remove(&user.0),
                until: now + GOOD_FOR,
            };
            self.known.insert(*user, known);
        }
        for waiting in self.waiting.values_mut() {
            waiting.lacking.retain(|user| !asked.contains(user));
        }
        self.all_that(|waiting| waiting.lacking.is_empty())
    }

    /// What has waited for long enough.
    pub fn overdue(&mut self, now: Instant) -> Vec<(Topic, Vec<(Seq, Bytes)>)> {
        self.all_that(|waiting| waiting.until <= now)
    }

    /// When something has waited for long enough, if anything waits.
    pub fn deadline(&self) -> Option<Instant> {
        self.waiting.values().map(|waiting| waiting.until).min()
    }

    /// Those whom an entry mentions, as far as they are known.
    pub fn of(&self, entry: &Bytes) -> Option<People> {
        let people = mentioned(entry).into_iter().filter_map(|user| {
            let frame = self.known.get(&user)?.frame.clone()?;
            Some(Person { user, frame })
        });
        let people: People = people.collect();
        (!people.is_empty()).then_some(people)
    }

    fn all_that(&mut self, is_over: impl Fn(&Waiting) -> bool) -> Vec<(Topic, Vec<(Seq, Bytes)>)> {
        let over = self.waiting.extract_if(|_, waiting| is_over(waiting));
        over.map(|(topic, waiting)| (topic, waiting.entries))
            .collect()
    }

    fn go_on(&mut self, topic: Topic) -> Vec<(Seq, Bytes)> {
        let waiting = self.waiting.remove(&topic);
        waiting.map(|waiting| waiting.entries).unwrap_or_default()
    }
}

/// The users whom an entry mentions, the first [`INTRODUCED_MAX`] of them.
pub fn mentioned(entry: &Bytes) -> Vec<UserId> {
    // Most mention nobody: those are not read.
    if !entry.windows(2).any(|two| two == b"<@") {
        return Vec::new();
    }
    let (Some(Kind::Posted(message)) | Some(Kind::Edited(message))) =
        pushed::entry(entry).and_then(|entry| entry.kind)
    else {
        return Vec::new();
    };
    let mut users = Vec::new();
    for mention in mentions(&message.text) {
        if let Mention::User(user) = mention
            && !users.contains(&user)
            && users.len() < INTRODUCED_MAX
        {
            users.push(user);
        }
    }
    users
}

fn introduction(user: client::User) -> (u64, Bytes) {
    let id = user.id;
    let frame = client::ServerFrame {
        body: Some(server_frame::Body::Introduced(client::Introduced {
            users: vec![user],
        })),
    };
    (id, frame::encode(&frame))
}

#[cfg(test)]
mod tests {
    use causeway_protocol::ChannelId;

    use super::*;

    const TOPIC: Topic = Topic::Channel(ChannelId(1));
    const OTHER: Topic = Topic::Channel(ChannelId(2));
    const ANN: UserId = UserId(4_294_967_297);
    const BEN: UserId = UserId(4_294_967_298);

    fn entry(seq: u64, text: &str) -> (Seq, Bytes) {
        let message = client::Message {
            text: text.into(),
            ..client::Message::default()
        };
        let push = client::Push {
            entry: Some(client::Entry {
                seq,
                kind: Some(Kind::Posted(message)),
                ..client::Entry::default()
            }),
            ..client::Push::default()
        };
        let frame = client::ServerFrame {
            body: Some(server_frame::Body::Push(push)),
        };
        (Seq(seq), frame::encode(&frame))
    }

    fn mentions_of(seq: u64, users: &[UserId]) -> (Seq, Bytes) {
        let texts = users.iter().map(|user| format!("<@{user}>"));
        entry(seq, &texts.collect::<Vec<_>>().join(" and "))
    }

    fn user(id: UserId) -> client::User {
        client::User {
            id: id.0,
            name: "name".into(),
            ..client::User::default()
        }
    }

    fn come(all: &mut Introductions, topic: Topic, entry: &(Seq, Bytes), now: Instant) -> Came {
        all.came(topic, entry.0, entry.1.clone(), now)
    }

    #[test]
    fn who_mentions_nobody_goes_on() {
        let (mut all, now) = (Introductions::default(), Instant::now());
        for text in ["hello", "<!here>", "a <@ b", "<@nobody>"] {
            let entry = entry(1, text);
            assert_eq!(
                come(&mut all, TOPIC, &entry, now),
                Came::GoesOn(vec![entry.clone()])
            );
            assert_eq!(all.of(&entry.1), None);
        }
        assert_eq!(all.deadline(), None);
    }

    #[test]
    fn a_message_and_those_after_it_wait_until_its_users_are_known() {
        let (mut all, now) = (Introductions::default(), Instant::now());
        let (first, plain) = (mentions_of(1, &[ANN, BEN, ANN]), entry(2, "plain"));
        assert_eq!(
            come(&mut all, TOPIC, &first, now),
            Came::Waits(vec![ANN, BEN])
        );
        assert_eq!(come(&mut all, TOPIC, &plain, now), Came::Waits(vec![]));
        let others = come(&mut all, OTHER, &plain, now);
        assert_eq!(
            others,
            Came::GoesOn(vec![plain.clone()]),
            "another topic does not wait"
        );

        assert_eq!(all.read(&[ANN], vec![user(ANN)], now), []);
        let on = all.read(&[BEN], vec![], now);
        assert_eq!(on, [(TOPIC, vec![first.clone(), plain])]);
        // There is no Ben.
        let people = all.of(&first.1).expect("Ann is known");
        assert_eq!(people.iter().map(|p| p.user).collect::<Vec<_>>(), [ANN]);
        let Some(server_frame::Body::Introduced(told)) = pushed::body(&people[0].frame) else {
            panic!("no introduction");
        };
        assert_eq!(told.users, [user(ANN)]);

        let again = mentions_of(3, &[BEN, ANN]);
        assert_eq!(
            come(&mut all, TOPIC, &again, now),
            Came::GoesOn(vec![again.clone()])
        );
        let later = now + GOOD_FOR;
        assert_eq!(
            come(&mut all, TOPIC, &again, later),
            Came::Waits(vec![BEN, ANN])
        );
    }

    #[test]
    fn nobody_waits_for_long() {
        let (mut all, now) = (Introductions::default(), Instant::now());
        let first = mentions_of(1, &[ANN]);
        come(&mut all, TOPIC, &first, now);
        assert_eq!(all.overdue(now), []);
        let then = all.deadline().expect("something waits");
        assert_eq!(then, now + WAIT_MAX);
        assert_eq!(all.overdue(then), [(TOPIC, vec![first])]);
        assert_eq!(all.deadline(), None);
    }

    #[test]
    fn a_topic_with_much_to_tell_does_without() {
        let (mut all, now) = (Introductions::default(), Instant::now());
        come(&mut all, TOPIC, &mentions_of(0, &[ANN]), now);
        for seq in 1..ENTRIES_MAX as u64 {
            assert_eq!(
                come(&mut all, TOPIC, &entry(seq, "x"), now),
                Came::Waits(vec![])
            );
        }
        let Came::GoesOn(on) = come(&mut all, TOPIC, &entry(999, "x"), now) else {
            panic!("it waits");
        };
        assert_eq!(on.len(), ENTRIES_MAX + 1);
        assert!(on.is_sorted_by_key(|(seq, _)| *seq));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let (mut all, now) = (Introductions::default(), Instant::now());
        for n in 0..2 * KNOWN_MAX as u64 {
            all.read(&[UserId(n)], vec![], now);
            assert!(all.known.len() <= KNOWN_MAX);
        }
        for n in 0..TOPICS_MAX as u64 {
            come(
                &mut all,
                Topic::Channel(ChannelId(n)),
                &mentions_of(1, &[ANN]),
                now,
            );
        }
        let one_more = mentions_of(1, &[ANN]);
        let topic = Topic::Channel(ChannelId(u64::MAX));
        assert_eq!(
            come(&mut all, topic, &one_more, now),
            Came::GoesOn(vec![one_more.clone()])
        );
    }
}
