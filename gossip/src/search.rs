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
const DIAL_TIMEOUT: Duration = Duration::from_millis(800);
/// After every replica has been tried in vain.
const ROUND_PAUSE: Duration = Duration::from_millis(50);

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
    hinted: Option<Leader>,
    tried: HashSet<NodeId>,
    successor: Option<NodeId>,
}

impl LeaderSearch {
    /// Looks for the leader of `cell` until `deadline`.
    pub fn new(cell: CellId, routes: &Routes, deadline: Instant) -> Self {
        Self {
            cell,
            deadline,
            hinted: leader(routes, cell),
            tried: HashSet::new(),
            successor: None,
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
        }
        let left = self.deadline.saturating_duration_since(now);
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

    /// The node did not answer, or does not lead.
    pub fn failed(&mut self, node: NodeId) {
        self.tried.insert(node);
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

fn leader(routes: &Routes, cell: CellId) -> Option<Leader> {
    routes.cell(cell)?.leader
}

#[cfg(test)]
mod tests {
    use causeway_protocol::backbone::{Cell, Directory, LeaderHint, Replica};

    use super::*;

    const CELL: CellId = CellId(1);

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
        let mut search = LeaderSearch::new(CELL, &routes, now + Duration::from_secs(5));
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
        let mut search = LeaderSearch::new(CELL, &routes, now + Duration::from_secs(5));
        search.failed(NodeId(2));
        search.follow(Some(NodeId(3)));
        assert_eq!(node(search.next(&routes, |_| true, now)), 3);
        search.failed(NodeId(3));
        assert_eq!(node(search.next(&routes, |_| true, now)), 1);
    }

    #[test]
    fn a_new_leader_is_tried_at_once_and_time_ends_the_search() {
        let (mut routes, now) = (routes(), Instant::now());
        let mut search = LeaderSearch::new(CELL, &routes, now + Duration::from_secs(1));
        search.failed(NodeId(3));
        assert!(!search.is_led_by_another(&routes, NodeId(2)));
        routes.apply_hint(&hint(3, 2));
        assert!(search.is_led_by_another(&routes, NodeId(2)));
        assert!(!search.is_led_by_another(&routes, NodeId(3)));
        assert_eq!(node(search.next(&routes, |_| true, now)), 3);
        let late = now + Duration::from_secs(1);
        assert_eq!(search.next(&routes, |_| true, late), Next::GiveUp);
    }
}
