//! Entries that go to sessions in one round: those of a topic together, so that each
//! session is looked up, and its writer woken, once for all of them.

use bytes::Bytes;
use causeway_protocol::{Seq, Topic};

use super::Hubs;
use super::machine::SessionId;

/// Topics whose entries are gathered before they are given.
const TOPICS_MAX: usize = 64;

/// Entries of one topic, in order, and who gets them.
#[derive(Debug, PartialEq, Eq)]
pub struct Delivery {
    pub sessions: Vec<SessionId>,
    pub topic: Topic,
    pub entries: Vec<(Seq, Bytes)>,
}

/// What is to be given next.
pub struct Round<'a> {
    hubs: &'a Hubs,
    gathered: Vec<Delivery>,
    given: usize,
}

impl<'a> Round<'a> {
    pub fn new(hubs: &'a Hubs) -> Self {
        Self {
            hubs,
            gathered: Vec::new(),
            given: 0,
        }
    }

    /// Adds an entry. Those of a topic stay in order; between topics there is none.
    pub fn add(&mut self, sessions: Vec<SessionId>, topic: Topic, entry: (Seq, Bytes)) {
        let mut last = self.gathered.iter_mut().rev();
        match last.find(|delivery| delivery.topic == topic) {
            Some(delivery) if delivery.sessions == sessions => delivery.entries.push(entry),
            _ => {
                if self.gathered.len() >= TOPICS_MAX {
                    self.give();
                }
                self.gathered.push(Delivery {
                    sessions,
                    topic,
                    entries: vec![entry],
                });
            }
        }
    }

    /// Gives what has been gathered.
    pub fn give(&mut self) {
        for delivery in self.gathered.drain(..) {
            self.given += self.hubs.deliver(&delivery);
        }
    }

    /// Gives what is left, and returns how many frames went to sessions.
    pub fn end(mut self) -> usize {
        self.give();
        self.given
    }
}

#[cfg(test)]
mod tests {
    use causeway_protocol::ChannelId;

    use super::*;

    #[test]
    fn entries_of_a_topic_go_together_as_long_as_they_go_to_the_same() {
        let (hubs, _tasks) = Hubs::new();
        let mut round = Round::new(&hubs);
        let topic = |n| Topic::Channel(ChannelId(n));
        let both = || vec![SessionId(1), SessionId(2)];
        let entry = |seq| (Seq(seq), Bytes::new());
        round.add(both(), topic(1), entry(1));
        round.add(both(), topic(2), entry(7));
        round.add(both(), topic(1), entry(2));
        round.add(vec![SessionId(1)], topic(1), entry(3));
        round.add(both(), topic(1), entry(4));
        let gathered = round.gathered.iter();
        let seqs = gathered.map(|d| d.entries.iter().map(|(seq, _)| seq.0).collect());
        let seqs: Vec<Vec<u64>> = seqs.collect();
        assert_eq!(seqs, [vec![1, 2], vec![7], vec![3], vec![4]]);
        assert_eq!(round.end(), 4 + 2 + 1 + 2);
    }
}
