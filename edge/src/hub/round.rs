//! Entries that go to sessions in rounds: what comes in between two rounds shares packets
//! and wake-ups. Sessions take turns within a round, so that neither this node nor the way
//! to its clients has all of it to do at once, and nobody waits for all others.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway_protocol::{Seq, Topic};

use super::introductions::People;
use super::machine::SessionId;

/// From a session's turn to its next, while there is much to give.
const ROUND: Duration = Duration::from_millis(12);
/// Turns of a round.
const TURNS: usize = 6;
/// Whoever has been given so many frames in a turn waits for the next.
const BUSY_FRAMES: usize = 32;
/// Topics whose entries wait for a turn; with more it comes at once.
const TOPICS_MAX: usize = 64;

/// Entries of one topic, in order, and who gets them.
#[derive(Debug, PartialEq, Eq)]
pub struct Delivery {
    pub sessions: Vec<SessionId>,
    pub topic: Topic,
    pub entries: Vec<(Seq, Bytes)>,
    /// Those whom entries mention.
    pub people: BTreeMap<Seq, People>,
}

/// What is to be given, and when.
#[derive(Debug)]
pub struct Rounds {
    began: Instant,
    turns: [Turn; TURNS],
}

#[derive(Debug, Default)]
struct Turn {
    waiting: Vec<Delivery>,
    /// Not before this; at once if there is none.
    not_before: Option<Instant>,
}

impl Turn {
    /// Adds an entry. Those of a topic stay in order; between topics there is none.
    fn add(
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

    fn is_due(&self, now: Instant) -> bool {
        let is_full = self.waiting.len() > TOPICS_MAX;
        is_full || self.not_before.is_none_or(|at| at <= now)
    }
}

impl Rounds {
    pub fn new(now: Instant) -> Self {
        Self {
            began: now,
            turns: Default::default(),
        }
    }

    /// Adds an entry for these sessions, and those whom it mentions.
    pub fn add(
        &mut self,
        sessions: Vec<SessionId>,
        topic: Topic,
        entry: (Seq, Bytes),
        people: Option<People>,
    ) {
        let mut by_turn: [Vec<SessionId>; TURNS] = Default::default();
        for session in sessions {
            by_turn[turn_of(session)].push(session);
        }
        for (turn, sessions) in self.turns.iter_mut().zip(by_turn) {
            if !sessions.is_empty() {
                turn.add(sessions, topic, entry.clone(), people.clone());
            }
        }
    }

    /// What is to be given now.
    pub fn due(&mut self, now: Instant) -> Vec<Delivery> {
        let mut due = Vec::new();
        for (index, turn) in self.turns.iter_mut().enumerate() {
            if turn.waiting.is_empty() || !turn.is_due(now) {
                continue;
            }
            let frames = |given: &Delivery| given.sessions.len() * given.entries.len();
            let is_busy = turn.waiting.iter().map(frames).sum::<usize>() >= BUSY_FRAMES;
            due.append(&mut turn.waiting);
            turn.not_before = is_busy.then(|| next(self.began, index, now));
        }
        due
    }

    /// All that waits for this session's turn.
    pub fn of(&mut self, session: SessionId) -> Vec<Delivery> {
        std::mem::take(&mut self.turns[turn_of(session)].waiting)
    }

    /// All that waits.
    pub fn all(&mut self) -> Vec<Delivery> {
        let turns = self.turns.iter_mut();
        turns.flat_map(|turn| turn.waiting.drain(..)).collect()
    }

    /// When something is due, if anything waits.
    pub fn deadline(&self) -> Option<Instant> {
        let waiting = self.turns.iter().filter(|turn| !turn.waiting.is_empty());
        waiting.filter_map(|turn| turn.not_before).min()
    }
}

/// When a turn comes next: each has its own times, or all would come together.
fn next(began: Instant, turn: usize, now: Instant) -> Instant {
    let (round, part) = (ROUND.as_micros(), ROUND.as_micros() / TURNS as u128);
    let since = now.duration_since(began).as_micros();
    let own = part * turn as u128;
    let rounds = (since + round - own) / round;
    let at = u64::try_from(rounds * round + own).unwrap_or(u64::MAX);
    began + Duration::from_micros(at)
}

fn turn_of(session: SessionId) -> usize {
    usize::try_from(session.0).unwrap_or_default() % TURNS
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

    /// Sessions that have their turn together.
    fn together(count: usize) -> Vec<SessionId> {
        (0..count as u64)
            .map(|n| SessionId(n * TURNS as u64))
            .collect()
    }

    fn seqs(given: &[Delivery]) -> Vec<Vec<u64>> {
        let seqs = |d: &Delivery| d.entries.iter().map(|(seq, _)| seq.0).collect();
        given.iter().map(seqs).collect()
    }

    #[test]
    fn entries_of_a_topic_go_together_as_long_as_they_go_to_the_same() {
        let now = Instant::now();
        let mut rounds = Rounds::new(now);
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
    fn a_few_are_given_at_once_and_many_in_turns() {
        let now = Instant::now();
        let mut rounds = Rounds::new(now);
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
        assert!(next > now && next <= now + ROUND);
        assert_eq!(seqs(&rounds.due(next)), [[11, 12]]);
        assert_eq!(rounds.deadline(), None);
    }

    #[test]
    fn sessions_have_their_turns_apart() {
        let now = Instant::now();
        let mut rounds = Rounds::new(now);
        let crowd = || (0..1_000).map(SessionId).collect();
        rounds.add(crowd(), topic(1), entry(1), None);
        assert_eq!(
            rounds.due(now).len(),
            TURNS,
            "nothing has been given before"
        );
        rounds.add(crowd(), topic(1), entry(2), None);
        for turn in 0..TURNS {
            let next = rounds.deadline().expect("a turn is left");
            assert!(next <= now + ROUND);
            assert_eq!(rounds.due(next).len(), 1, "turn {turn} comes alone");
        }
    }

    #[test]
    fn a_turn_with_many_topics_comes_at_once() {
        let now = Instant::now();
        let mut rounds = Rounds::new(now);
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
            let mut rounds = Rounds::new(now);
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
