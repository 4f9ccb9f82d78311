//! The search for a cell's leader: whom to try next, for how long, and when to
//! give up. A state machine over routes and `now`; the [`Router`](crate::Router)
//! makes the calls.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use causeway_protocol::{CellId, NodeId};

use crate::routes::{Leader, Routes};

/// One try at one node. A quorum across an ocean takes a fraction of this.
pub const TRY_TIMEOUT: Duration = Duration::from_secs(2);
/// A node without a connection is given this long: a handshake across the world
/// and the answer. It is probably dead.
pub(crate) const DIAL_TIMEOUT: Duration = Duration::from_millis(800);
/// After every replica has been tried in vain.
const ROUND_PAUSE: Duration = Duration::from_millis(50);

/// How long a search goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// While this node can reach a majority of the cell's voters: one of them
    /// leads, or is about to.
    pub reaching_quorum: Duration,
    /// While it cannot: whoever asks learns early that nobody will answer. A
    /// failover takes less, and so does noticing that a node is out of reach.
    pub cut_off: Duration,
}

impl Patience {
    /// The same in either case.
    pub const fn whatever_happens(budget: Duration) -> Self {
        Self {
            reaching_quorum: budget,
            cut_off: budget,
        }
    }

    /// What is left of it after some time.
    #[must_use]
    pub fn after(self, elapsed: Duration) -> Self {
        Self {
            reaching_quorum: self.reaching_quorum.saturating_sub(elapsed),
            cut_off: self.cut_off.saturating_sub(elapsed),
        }
    }
}

/// What a search does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Call this node, and wait so long for its answer.
    Try(NodeId, Duration),
    /// Everyone was tried: wait this long, and go on.
    Pause(Duration),
    /// The time is over.
    GiveUp,
}

/// One search, for one call.
#[derive(Debug)]
pub struct LeaderSearch {
    cell: CellId,
    deadline: Instant,
    deadline_cut_off: Instant,
    hinted: Option<Leader>,
    tried: HashSet<NodeId>,
    successor: Option<NodeId>,
    quorum_is_lost: bool,
}

impl LeaderSearch {
    /// Looks for the leader of `cell`, as long as there is patience.
    pub fn new(cell: CellId, routes: &Routes, patience: Patience, now: Instant) -> Self {
        Self {
            cell,
            deadline: now + patience.reaching_quorum,
            deadline_cut_off: now + patience.cut_off.min(patience.reaching_quorum),
            hinted: leader(routes, cell),
            tried: HashSet::new(),
            successor: None,
            quorum_is_lost: false,
        }
    }

    /// What to do now. A node without a connection is tried after those that
    /// have one.
    pub fn next(
        &mut self,
        routes: &Routes,
        is_connected: impl Fn(NodeId) -> bool,
        now: Instant,
    ) -> Next {
        let hinted = leader(routes, self.cell);
        if hinted != self.hinted {
            // Whoever did not lead a moment ago may do so now.
            self.tried.clear();
            self.hinted = hinted;
            self.quorum_is_lost = false;
        }
        let left = self.left(routes, &is_connected, now);
        if left.is_zero() {
            return Next::GiveUp;
        }
        let successor = self.successor.take();
        let Some(node) = successor.or_else(|| self.candidate(routes, &is_connected)) else {
            self.tried.clear();
            return Next::Pause(ROUND_PAUSE.min(left));
        };
        let longest = match is_connected(node) {
            true => TRY_TIMEOUT,
            false => DIAL_TIMEOUT,
        };
        Next::Try(node, left.min(longest))
    }

    /// Whether the time is over, also for a try that is under way.
    pub fn is_over(
        &self,
        routes: &Routes,
        is_connected: impl Fn(NodeId) -> bool,
        now: Instant,
    ) -> bool {
        self.left(routes, is_connected, now).is_zero()
    }

    /// From when on it matters whether a quorum is within reach.
    pub fn deadline_cut_off(&self) -> Instant {
        self.deadline_cut_off
    }

    fn left(
        &self,
        routes: &Routes,
        is_connected: impl Fn(NodeId) -> bool,
        now: Instant,
    ) -> Duration {
        let reaches = reaches_quorum(routes, self.cell, is_connected);
        let deadline = match reaches && !self.quorum_is_lost {
            true => self.deadline,
            false => self.deadline_cut_off,
        };
        deadline.saturating_duration_since(now)
    }

    /// The node did not answer, or does not lead.
    pub fn failed(&mut self, node: NodeId) {
        self.tried.insert(node);
    }

    /// The node that leads cannot reach a quorum: until another one leads, that
    /// this node can reach them says little.
    pub fn lost_quorum(&mut self, node: NodeId) {
        self.quorum_is_lost = true;
        self.failed(node);
    }

    /// A node that does not lead says who is about to, if it knows: that one is
    /// next, as it holds the call until it leads.
    pub fn follow(&mut self, successor: Option<NodeId>) {
        self.successor = successor;
    }

    /// Whether another leader is known by now than the `node` that is being
    /// tried: then its answer is not worth waiting for.
    pub fn is_led_by_another(&self, routes: &Routes, node: NodeId) -> bool {
        let now = leader(routes, self.cell);
        now != self.hinted && now.is_some_and(|leader| leader.node != node)
    }

    fn candidate(&self, routes: &Routes, is_connected: impl Fn(NodeId) -> bool) -> Option<NodeId> {
        let candidates = routes.cell(self.cell)?.candidates();
        let untried: Vec<NodeId> = candidates.filter(|n| !self.tried.contains(n)).collect();
        // A leader without a connection is probably dead: those who elect the
        // next one are asked first.
        let connected = untried.iter().find(|node| is_connected(**node));
        connected.or(untried.first()).copied()
    }
}

/// Whether a node with these connections reaches most of a cell's voters. Of a
/// cell that is not known, nothing is known.
pub fn reaches_quorum(
    routes: &Routes,
    cell: CellId,
    is_connected: impl Fn(NodeId) -> bool,
) -> bool {
    let Some(route) = routes.cell(cell) else {
        return true;
    };
    let voters = route.replicas.iter().filter(|replica| !replica.learner);
    let (reached, voters) = voters.fold((0, 0), |(reached, voters), replica| {
        (
            reached + usize::from(is_connected(replica.node)),
            voters + 1,
        )
    });
    reached > voters / 2
}

fn leader(routes: &Routes, cell: CellId) -> Option<Leader> {
    routes.cell(cell)?.leader
}

#[cfg(test)]
mod tests {
    use causeway_protocol::backbone::{Cell, Directory, LeaderHint, Replica};

    use super::*;

    const CELL: CellId = CellId(1);
    const PATIENCE: Patience = Patience {
        reaching_quorum: Duration::from_secs(5),
        cut_off: Duration::from_millis(1_500),
    };

    /// A cell with voters 1, 2 and 3, led by 2 since term 1.
    fn routes() -> Routes {
        let replica = |node_id| Replica {
            node_id,
            region: "eu".into(),
            ..Replica::default()
        };
        let mut routes = Routes::default();
        routes.apply_directory(&Directory {
            version: 1,
            cells: vec![Cell {
                id: CELL.0,
                home_region: "eu".into(),
                replicas: [1, 2, 3].map(replica).into(),
                epoch: 1,
                ..Cell::default()
            }],
            ..Directory::default()
        });
        routes.apply_hint(&hint(2, 1));
        routes
    }

    fn hint(node_id: u64, term: u64) -> LeaderHint {
        LeaderHint {
            cell: CELL.0,
            term,
            node_id,
        }
    }

    fn node(next: Next) -> u64 {
        match next {
            Next::Try(node, _) => node.0,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_leader_comes_first_and_the_unconnected_last() {
        let (routes, now) = (routes(), Instant::now());
        let mut search = LeaderSearch::new(CELL, &routes, PATIENCE, now);
        assert_eq!(
            search.next(&routes, |_| true, now),
            Next::Try(NodeId(2), TRY_TIMEOUT)
        );
        let dead = |n: NodeId| n.0 != 2;
        for expected in [1, 3] {
            let tried = node(search.next(&routes, dead, now));
            assert_eq!(tried, expected);
            search.failed(NodeId(tried));
        }
        assert_eq!(
            search.next(&routes, dead, now),
            Next::Try(NodeId(2), DIAL_TIMEOUT)
        );
        search.failed(NodeId(2));
        assert_eq!(search.next(&routes, dead, now), Next::Pause(ROUND_PAUSE));
        assert_eq!(node(search.next(&routes, dead, now)), 1);
    }

    #[test]
    fn a_named_successor_is_next_and_once() {
        let (routes, now) = (routes(), Instant::now());
        let mut search = LeaderSearch::new(CELL, &routes, PATIENCE, now);
        search.failed(NodeId(2));
        search.follow(Some(NodeId(3)));
        assert_eq!(node(search.next(&routes, |_| true, now)), 3);
        search.failed(NodeId(3));
        assert_eq!(node(search.next(&routes, |_| true, now)), 1);
    }

    #[test]
    fn a_new_leader_is_tried_at_once_and_time_ends_the_search() {
        let (mut routes, now) = (routes(), Instant::now());
        let mut search = LeaderSearch::new(CELL, &routes, PATIENCE, now);
        search.failed(NodeId(3));
        assert!(!search.is_led_by_another(&routes, NodeId(2)));
        routes.apply_hint(&hint(3, 2));
        assert!(search.is_led_by_another(&routes, NodeId(2)));
        assert!(!search.is_led_by_another(&routes, NodeId(3)));
        assert_eq!(node(search.next(&routes, |_| true, now)), 3);
        let late = now + PATIENCE.reaching_quorum;
        assert_eq!(search.next(&routes, |_| true, late), Next::GiveUp);
    }

    #[test]
    fn without_a_quorum_in_reach_patience_ends_early_and_also_amid_a_try() {
        let (routes, now) = (routes(), Instant::now());
        let mut search = LeaderSearch::new(CELL, &routes, PATIENCE, now);
        let isolated = |node: NodeId| node.0 == 1;
        let one_is_dead = |node: NodeId| node.0 != 2;
        let (early, late) = (now + PATIENCE.cut_off, now + PATIENCE.reaching_quorum);

        // A try lasts no longer than the patience does.
        let next = search.next(&routes, isolated, early - Duration::from_millis(300));
        assert_eq!(next, Next::Try(NodeId(1), Duration::from_millis(300)));
        assert!(search.is_over(&routes, isolated, early));
        assert_eq!(search.next(&routes, isolated, early), Next::GiveUp);

        // The same search goes on where a majority is within reach.
        assert!(!search.is_over(&routes, one_is_dead, early));
        assert_eq!(node(search.next(&routes, one_is_dead, early)), 1);
        assert!(search.is_over(&routes, one_is_dead, late));
    }

    #[test]
    fn a_majority_is_of_voters_alone() {
        let mut with_learners = routes();
        let replica = |(node_id, learner)| Replica {
            node_id,
            region: "eu".into(),
            learner,
            ..Replica::default()
        };
        with_learners.apply_directory(&Directory {
            version: 2,
            cells: vec![Cell {
                id: CELL.0,
                home_region: "eu".into(),
                replicas: [(1, false), (2, false), (3, false), (4, true), (5, true)]
                    .map(replica)
                    .into(),
                epoch: 2,
                ..Cell::default()
            }],
            ..Directory::default()
        });
        assert!(!reaches_quorum(&with_learners, CELL, |n| [1, 4, 5].contains(&n.0)));
        assert!(reaches_quorum(&with_learners, CELL, |n| [1, 3].contains(&n.0)));
        assert!(
            reaches_quorum(&Routes::default(), CELL, |_| false),
            "not known"
        );
    }

    #[test]
    fn a_leader_without_a_quorum_shortens_the_search_until_another_leads() {
        let (mut routes, now) = (routes(), Instant::now());
        let mut search = LeaderSearch::new(CELL, &routes, PATIENCE, now);
        search.lost_quorum(NodeId(2));
        assert_eq!(node(search.next(&routes, |_| true, now)), 1);
        let early = now + PATIENCE.cut_off;
        assert!(search.is_over(&routes, |_| true, early));
        routes.apply_hint(&hint(3, 2));
        assert_eq!(node(search.next(&routes, |_| true, early)), 3);
    }
}
