//! What this edge node looks at, and at which channel servers: of channels that are open
//! their events, of users that are watched whether they are online. A state machine
//! over inputs and `now`.
//!
//! Nothing is lost that must not be: what a channel server did not hear or has forgotten
//! is said again soon.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use causeway_protocol::{CellId, NodeId, Topic};

use crate::hub::machine::{Placement, Server};

/// What is looked at is said again this often.
const RENEW_EVERY: Duration = Duration::from_secs(10);
/// Between tries while the leader or the channel server is away.
const RETRY_EVERY: Duration = Duration::from_millis(500);
/// What nobody looks at any more is kept this long: many come back at once.
const LINGER: Duration = Duration::from_secs(10);
/// Topics that are kept like that: with more, others are forgotten at once. A channel server
/// knows of so many of an edge node, and no more.
const LINGERING_MAX: usize = 64 * 1024;

/// Topics, with their cells, for each channel server.
pub type ByServer = HashMap<NodeId, Vec<(CellId, Topic)>>;

/// What is to be said to channel servers.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Look at these.
    pub look: ByServer,
    /// Look at these no more.
    pub look_away: ByServer,
}

#[derive(Debug)]
struct Look {
    cell: CellId,
    wanted: bool,
    /// Where it was said last.
    server: Option<Server>,
    /// It is said again then, or forgotten if it is not wanted.
    due: Instant,
}

/// Everything that is looked at.
#[derive(Debug, Default)]
pub struct Looks {
    topics: HashMap<Topic, Look>,
    /// The same, by what is due first.
    due: BTreeSet<(Instant, Topic)>,
    look_away: BTreeMap<(NodeId, Topic), CellId>,
    /// Topics at which nobody looks any more.
    lingering: usize,
}

impl Looks {
    /// Somebody looks at a topic at which nobody did.
    pub fn begin(&mut self, topic: Topic, cell: CellId, now: Instant) {
        let look = self.topics.entry(topic).or_insert(Look {
            cell,
            wanted: true,
            server: None,
            due: now,
        });
        if !std::mem::replace(&mut look.wanted, true) {
            self.lingering -= 1;
        }
        self.set_due(topic, now);
    }

    /// Nobody looks at a topic any more.
    pub fn end(&mut self, topic: Topic, now: Instant) {
        let Some(look) = self.topics.get_mut(&topic) else {
            return;
        };
        if std::mem::replace(&mut look.wanted, false) {
            self.lingering += 1;
        }
        let linger = match self.lingering > LINGERING_MAX {
            true => Duration::ZERO,
            false => LINGER,
        };
        self.set_due(topic, now + linger);
    }

    /// A channel server did not answer.
    pub fn failed(&mut self, topic: Topic, server: NodeId, now: Instant) {
        if self.is_said_to(topic, server) {
            self.set_due(topic, now + RETRY_EVERY);
        }
    }

    /// The connection to a node is gone, or has been made anew: it has forgotten what it
    /// was told.
    pub fn server_lost(&mut self, node: NodeId, now: Instant) {
        let of_node = |look: &Look| look.server.is_some_and(|server| server.node == node);
        self.all_due(of_node, now);
    }

    /// Leaders or members have changed: topics follow their channel servers.
    pub fn routes_changed(&mut self, placement: &impl Placement, now: Instant) {
        let mut moved = Vec::new();
        for (topic, look) in &mut self.topics {
            let wanted = placement.server(look.cell, *topic);
            if wanted.is_none() || wanted == look.server {
                continue;
            }
            let old = look.server.take().map(|server| server.node);
            if let Some(old) = old.filter(|old| wanted.is_some_and(|new| new.node != *old)) {
                self.look_away.insert((old, *topic), look.cell);
            }
            moved.push(*topic);
        }
        for topic in moved {
            if self.topics.get(&topic).is_some_and(|look| look.wanted) {
                self.set_due(topic, now);
            }
        }
    }

    /// What is to be said at `now`.
    pub fn said(&mut self, placement: &impl Placement, now: Instant) -> Said {
        let mut said = Said::default();
        while let Some((due, topic)) = self.due.first().copied() {
            if due > now {
                break;
            }
            self.due.pop_first();
            let Some(look) = self.topics.get_mut(&topic) else {
                continue;
            };
            if !look.wanted {
                if let Some(server) = look.server {
                    self.look_away.insert((server.node, topic), look.cell);
                }
                self.topics.remove(&topic);
                self.lingering -= 1;
                continue;
            }
            let pause = match placement.server(look.cell, topic) {
                Some(server) => {
                    let old = look.server.replace(server).map(|server| server.node);
                    if let Some(old) = old.filter(|old| *old != server.node) {
                        self.look_away.insert((old, topic), look.cell);
                    }
                    self.look_away.remove(&(server.node, topic));
                    let topics = said.look.entry(server.node).or_default();
                    topics.push((look.cell, topic));
                    RENEW_EVERY
                }
                // Whoever was told last is told when another is in charge.
                None => RETRY_EVERY,
            };
            look.due = now + pause;
            self.due.insert((look.due, topic));
        }
        for ((server, topic), cell) in std::mem::take(&mut self.look_away) {
            let topics = said.look_away.entry(server).or_default();
            topics.push((cell, topic));
        }
        said
    }

    /// How much is looked at.
    pub fn len(&self) -> usize {
        self.topics.len()
    }

    /// Whether nothing is looked at.
    pub fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    fn is_said_to(&self, topic: Topic, node: NodeId) -> bool {
        let server = self.topics.get(&topic).and_then(|look| look.server);
        server.is_some_and(|server| server.node == node)
    }

    fn all_due(&mut self, which: impl Fn(&Look) -> bool, now: Instant) {
        let affected = (self.topics.iter()).filter(|(_, look)| look.wanted && which(look));
        let affected: Vec<Topic> = affected.map(|(topic, _)| *topic).collect();
        for topic in affected {
            self.set_due(topic, now);
        }
    }

    fn set_due(&mut self, topic: Topic, at: Instant) {
        if let Some(look) = self.topics.get_mut(&topic) {
            self.due.remove(&(look.due, topic));
            look.due = at;
            self.due.insert((at, topic));
        }
    }
}

#[cfg(test)]
mod tests {
    use causeway_protocol::{ChannelId, UserId};
    use rand::rngs::SmallRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    const CELL: CellId = CellId(1);
    const A: NodeId = NodeId(1);
    const B: NodeId = NodeId(2);

    struct At(Option<NodeId>);

    impl Placement for At {
        fn server(&self, _: CellId, _: Topic) -> Option<Server> {
            self.0.map(|node| Server { node, term: 1 })
        }
    }

    fn topic(n: u64) -> Topic {
        Topic::Channel(ChannelId(n))
    }

    fn by(server: NodeId, topics: impl IntoIterator<Item = u64>) -> ByServer {
        let topics = topics.into_iter().map(|n| (CELL, topic(n))).collect();
        HashMap::from([(server, topics)])
    }

    fn look(server: NodeId, n: u64) -> Said {
        Said {
            look: by(server, [n]),
            look_away: ByServer::new(),
        }
    }

    fn look_away(server: NodeId, n: u64) -> Said {
        Said {
            look: ByServer::new(),
            look_away: by(server, [n]),
        }
    }

    #[test]
    fn what_is_looked_at_is_said_at_once_and_again_now_and_then() {
        let (mut looks, now) = (Looks::default(), Instant::now());
        looks.begin(topic(1), CELL, now);
        assert_eq!(looks.said(&At(Some(A)), now), look(A, 1));
        assert_eq!(looks.said(&At(Some(A)), now), Said::default());
        let later = now + RENEW_EVERY;
        assert_eq!(looks.said(&At(Some(A)), later), look(A, 1));
        looks.failed(topic(1), B, later);
        assert_eq!(
            looks.said(&At(Some(A)), later + RETRY_EVERY),
            Said::default()
        );
        looks.failed(topic(1), A, later);
        assert_eq!(looks.said(&At(Some(A)), later + RETRY_EVERY), look(A, 1));
    }

    #[test]
    fn what_nobody_looks_at_is_forgotten_after_a_while() {
        let (mut looks, now) = (Looks::default(), Instant::now());
        looks.begin(topic(1), CELL, now);
        looks.said(&At(Some(A)), now);
        looks.end(topic(1), now);
        looks.begin(topic(1), CELL, now);
        assert_eq!(looks.said(&At(Some(A)), now), look(A, 1), "asked anew");
        looks.end(topic(1), now);
        assert_eq!(looks.said(&At(Some(A)), now), Said::default());
        let later = now + LINGER;
        assert_eq!(looks.said(&At(Some(A)), later), look_away(A, 1));
        assert_eq!(looks.len(), 0);
    }

    #[test]
    fn of_very_many_topics_most_are_forgotten_at_once() {
        let (mut looks, now) = (Looks::default(), Instant::now());
        for n in 0..4 * LINGERING_MAX as u64 {
            looks.begin(topic(n), CELL, now);
            looks.end(topic(n), now);
        }
        looks.said(&At(Some(A)), now);
        assert_eq!(looks.len(), LINGERING_MAX);
        looks.begin(topic(0), CELL, now);
        assert_eq!(looks.said(&At(Some(A)), now), look(A, 0));
        looks.said(&At(Some(A)), now + LINGER);
        assert_eq!((looks.len(), looks.lingering), (1, 0));
    }

    #[test]
    fn a_server_that_was_lost_is_told_again_and_another_instead_of_it() {
        let (mut looks, now) = (Looks::default(), Instant::now());
        looks.begin(topic(1), CELL, now);
        assert_eq!(looks.said(&At(None), now), Said::default());
        looks.routes_changed(&At(Some(A)), now);
        assert_eq!(looks.said(&At(Some(A)), now), look(A, 1));
        looks.server_lost(B, now);
        assert_eq!(looks.said(&At(Some(A)), now), Said::default());
        looks.server_lost(A, now);
        assert_eq!(looks.said(&At(Some(A)), now), look(A, 1));
        looks.routes_changed(&At(Some(B)), now);
        let moves = Said {
            look: by(B, [1]),
            look_away: by(A, [1]),
        };
        assert_eq!(looks.said(&At(Some(B)), now), moves);
    }

    /// Servers that forget, move and do not answer: once all is calm, the one that is in
    /// charge knows of all that is looked at, and the others of nothing.
    #[test]
    fn in_the_end_the_right_server_knows_what_is_looked_at() {
        for seed in 0..300 {
            let mut rng = SmallRng::seed_from_u64(seed);
            let (mut looks, mut now) = (Looks::default(), Instant::now());
            let mut at = At(Some(A));
            let mut wanted = BTreeSet::new();
            let mut known = BTreeMap::<NodeId, BTreeSet<Topic>>::new();
            for step in 0..600 {
                let storm = step < 300;
                now += Duration::from_millis(100);
                let user = Topic::User(UserId(rng.random_range(0..5)));
                match rng.random_range(0..12) {
                    0..3 if storm && wanted.insert(user) => looks.begin(user, CELL, now),
                    3..6 if storm && wanted.remove(&user) => looks.end(user, now),
                    6 if storm => {
                        at = At([None, Some(A), Some(B)][rng.random_range(0..3)]);
                        looks.routes_changed(&at, now);
                    }
                    7 if storm => {
                        let node = NodeId(rng.random_range(1..3));
                        known.remove(&node);
                        looks.server_lost(node, now);
                    }
                    8 if !storm && at.0.is_none() => {
                        at = At(Some(B));
                        looks.routes_changed(&at, now);
                    }
                    _ => {}
                }
                let said = looks.said(&at, now);
                for (node, topics) in said.look_away {
                    let known = known.entry(node).or_default();
                    for (_, topic) in topics {
                        known.remove(&topic);
                    }
                }
                for (node, topics) in said.look {
                    for (_, topic) in topics {
                        match storm && rng.random_bool(0.2) {
                            true => looks.failed(topic, node, now),
                            false => drop(known.entry(node).or_default().insert(topic)),
                        }
                    }
                }
            }
            let at = at.0.expect("calm");
            assert_eq!(known.remove(&at).unwrap_or_default(), wanted, "seed {seed}");
            assert!(known.values().all(BTreeSet::is_empty), "seed {seed}");
        }
    }
}
