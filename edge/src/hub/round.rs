//! Entries that go to sessions in rounds: what comes in between two rounds shares packets
//! and wake-ups, and what the clients acknowledge meanwhile is taken in with the writing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway_protocol::{Seq, Topic};

use super::introductions::People;
use super::machine::SessionId;

/// From one round to the next, while there is much to give.
const ROUND: Duration = Duration::from_millis(12);
/// A round with so many frames is followed by a wait for the next.
const BUSY_FRAMES: usize = 256;
/// Topics whose entries wait for a round; with more it comes at once.
const TOPICS_MAX: usize = 64;

/// Entries of one topic, in order, and who gets them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    pub sessions: Vec<SessionId>,
    pub topic: Topic,
    pub entries: Vec<(Seq, Bytes)>,
    /// Those whom entries mention.
    pub people: BTreeMap<Seq, People>,
}

/// What is to be given, and when.
#[derive(Debug, Default)]
pub struct Rounds {
    waiting: Vec<Delivery>,
    /// Not before this; at once if there is none.
    not_before: Option<Instant>,
}

impl Rounds {
    /// Adds an entry for these sessions, and those whom it mentions. Entries of a topic
    /// stay in order; between topics there is none.
    pub fn add(
        &mut self,
        sessions: Vec<SessionId>,
        topic: Topic,
        entry: (Seq, Bytes),
        people: Option<People>,
    ) {
        let people = people.map(|people| (entry.0, people));
        let mut last = self.waiting.iter_mut().rev();
        match last.find(|delivery| delivery.topic == topic) {
            Some(delivery) if delivery.sessions == sessions => {
                delivery.entries.push(entry);
                delivery.people.extend(people);
            }
            _ => self.waiting.push(Delivery {
                sessions,
                topic,
                entries: vec![entry],
                people: people.into_iter().collect(),
            }),
        }
    }

    /// What is to be given now.
    pub fn due(&mut self, now: Instant) -> Vec<Delivery> {
        let is_full = self.waiting.len() > TOPICS_MAX;
        if self.waiting.is_empty() || !is_full && self.not_before.is_some_and(|at| now < at) {
            return Vec::new();
        }
        let frames = |given: &Delivery| given.sessions.len() * given.entries.len();
        let is_busy = self.waiting.iter().map(frames).sum::<usize>() >= BUSY_FRAMES;
        self.not_before = is_busy.then(|| now + ROUND);
        self.all()
    }

    /// All that waits for this session.
    pub fn of(&mut self, session: SessionId) -> Vec<Delivery> {
        let mut own = Vec::new();
        for delivery in &mut self.waiting {
            let place = delivery.sessions.iter().position(|other| *other == session);
            if let Some(place) = place {
                delivery.sessions.swap_remove(place);
                own.push(Delivery {
                    sessions: vec![session],
                    topic: delivery.topic,
                    entries: delivery.entries.clone(),
                    people: delivery.people.clone(),
                });
            }
        }
        own
    }

    /// All that waits.
    pub fn all(&mut self) -> Vec<Delivery> {
        std::mem::take(&mut self.waiting)
    }

    /// When something is due, if anything waits.
    pub fn deadline(&self) -> Option<Instant> {
        self.not_before.filter(|_| !self.waiting.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use causeway_protocol::ChannelId;
    use proptest::prelude::*;

    use super::*;

    fn topic(n: u64) -> Topic {
        Topic::Channel(ChannelId(n))
    }

    fn entry(seq: u64) -> (Seq, Bytes) {
        (Seq(seq), Bytes::new())
    }

    fn together(count: usize) -> Vec<SessionId> {
        (0..count as u64).map(SessionId).collect()
    }

    fn seqs(given: &[Delivery]) -> Vec<Vec<u64>> {
        let seqs = |d: &Delivery| d.entries.iter().map(|(seq, _)| seq.0).collect();
        given.iter().map(seqs).collect()
    }

    #[test]
    fn entries_of_a_topic_go_together_as_long_as_they_go_to_the_same() {
        let now = Instant::now();
        let mut rounds = Rounds::default();
        rounds.add(together(2), topic(1), entry(1), None);
        rounds.add(together(2), topic(2), entry(7), None);
        rounds.add(together(2), topic(1), entry(2), None);
        rounds.add(together(1), topic(1), entry(3), None);
        rounds.add(together(2), topic(1), entry(4), None);
        assert_eq!(
            seqs(&rounds.due(now)),
            [vec![1, 2], vec![7], vec![3], vec![4]]
        );
        assert_eq!(rounds.due(now), []);
    }

    #[test]
    fn a_few_are_given_at_once_and_many_in_rounds() {
        let now = Instant::now();
        let mut rounds = Rounds::default();
        for seq in 1..10 {
            rounds.add(together(2), topic(1), entry(seq), None);
            assert_eq!(seqs(&rounds.due(now)), [[seq]]);
        }
        rounds.add(together(BUSY_FRAMES), topic(1), entry(10), None);
        assert_eq!(seqs(&rounds.due(now)), [[10]]);
        rounds.add(together(BUSY_FRAMES), topic(1), entry(11), None);
        rounds.add(together(BUSY_FRAMES), topic(1), entry(12), None);
        assert_eq!(rounds.due(now), []);
        let next = rounds.deadline().expect("something waits");
        assert_eq!(next, now + ROUND);
        assert_eq!(seqs(&rounds.due(next)), [[11, 12]]);
        assert_eq!(rounds.deadline(), None);
    }

    #[test]
    fn a_round_with_many_topics_comes_at_once() {
        let now = Instant::now();
        let mut rounds = Rounds::default();
        rounds.add(together(BUSY_FRAMES), topic(0), entry(1), None);
        rounds.due(now);
        for n in 0..TOPICS_MAX as u64 {
            rounds.add(together(1), topic(n), entry(2), None);
            assert_eq!(rounds.due(now), []);
        }
        rounds.add(together(1), topic(u64::MAX), entry(2), None);
        assert_eq!(rounds.due(now).len(), TOPICS_MAX + 1);
    }

    proptest! {
        /// Every session gets each entry of its topics once, in order, and soon.
        #[test]
        fn nothing_is_lost_doubled_or_late(
            steps in prop::collection::vec((0..3_u64, 1..40_u64, 0..9_u64), 1..80),
        ) {
            let mut now = Instant::now();
            let mut rounds = Rounds::default();
            let mut expected = std::collections::BTreeMap::<_, Vec<u64>>::new();
            let mut given = expected.clone();
            let mut take = |deliveries: Vec<Delivery>| {
                for delivery in deliveries {
                    for session in delivery.sessions {
                        let entries = delivery.entries.iter().map(|(seq, _)| seq.0);
                        given.entry((session, delivery.topic)).or_default().extend(entries);
                    }
                }
            };
            for (seq, (n, sessions, pause)) in steps.into_iter().enumerate() {
                let sessions: Vec<_> = (0..sessions).map(SessionId).collect();
                for session in &sessions {
                    expected.entry((*session, topic(n))).or_default().push(seq as u64);
                }
                rounds.add(sessions, topic(n), entry(seq as u64), None);
                take(rounds.due(now));
                prop_assert!(rounds.deadline().is_none_or(|at| at > now && at <= now + ROUND));
                now += Duration::from_millis(pause);
                take(rounds.due(now));
                if pause == 0 {
                    take(rounds.of(SessionId(n)));
                }
            }
            take(rounds.all());
            prop_assert_eq!(given, expected);
        }
    }
}
