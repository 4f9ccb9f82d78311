//! When a cell's leadership goes home, or leaves a node that is being drained:
//! pure decisions. It goes to whom has been there for a while and has caught up,
//! and not all cells at once.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use causeway_protocol::NodeId;
use causeway_protocol::backbone::Cell;

use crate::consensus::GroupStatus;

/// A node that came back must have stayed this long.
const SETTLED: Duration = Duration::from_secs(5);
/// Entries that a successor may be behind: it catches up during the handover.
const BEHIND_MAX: u64 = 64;

/// Since when nodes have been there without a break.
#[derive(Debug, Default)]
pub struct Presence(HashMap<NodeId, Instant>);

impl Presence {
    /// Takes in who is alive at `now`.
    pub fn update(&mut self, alive: &HashSet<NodeId>, now: Instant) {
        self.0.retain(|node, _| alive.contains(node));
        for node in alive {
            self.0.entry(*node).or_insert(now);
        }
    }

    fn is_settled(&self, node: NodeId, now: Instant) -> bool {
        let since = self.0.get(&node);
        since.is_some_and(|since| now.duration_since(*since) >= SETTLED)
    }
}

/// Who should lead a cell instead of its leader `me`, the best first; nobody if
/// it is where it should be. A drained node gives it away, and gets none; else
/// it goes home. `distance` is the round trip from here.
pub fn heirs(
    cell: &Cell,
    me: NodeId,
    is_drained: impl Fn(NodeId) -> bool,
    distance: impl Fn(NodeId) -> Duration,
) -> Vec<NodeId> {
    let replica = cell.replicas.iter().find(|r| r.node_id == me.0);
    let at_home = replica.is_some_and(|r| r.region == cell.home_region);
    let leaves = is_drained(me);
    if at_home && !leaves {
        return Vec::new();
    }
    let voters = cell.replicas.iter().filter(|r| !r.learner);
    let voters = voters.map(|r| (r.region != cell.home_region, NodeId(r.node_id)));
    let mut heirs: Vec<(bool, NodeId)> = voters
        .filter(|(abroad, node)| *node != me && !is_drained(*node) && (leaves || !abroad))
        .collect();
    heirs.sort_by_key(|(abroad, node)| (*abroad, distance(*node)));
    heirs.into_iter().map(|(_, node)| node).collect()
}

/// Of the leaderships that belong elsewhere, so many in a thousand go home in a
/// second; from a drained node they go as fast as the drain says.
pub const HOMECOMING_PERMILLE: u32 = 250;

/// How many of a node's leaderships move at a time.
#[derive(Debug, Default)]
pub struct Pace {
    /// The most that have waited, since none did.
    most: usize,
}

impl Pace {
    /// How many of `waiting` move within this second, at so many in a thousand.
    pub fn allowance(&mut self, waiting: usize, permille: u32) -> usize {
        self.most = if waiting == 0 {
            0
        } else {
            self.most.max(waiting)
        };
        let share = (self.most as u64 * u64::from(permille)).div_ceil(1_000);
        waiting.min(usize::try_from(share).unwrap_or(usize::MAX))
    }
}

/// The heir to which this replica hands over, if it leads and any is fit.
pub fn successor(
    heirs: &[NodeId],
    leader: &GroupStatus,
    present: &Presence,
    now: Instant,
) -> Option<NodeId> {
    let fit = |node: NodeId| leader.is_near(node, BEHIND_MAX) && present.is_settled(node, now);
    let leads = leader.leadership.ready;
    heirs.iter().copied().find(|node| leads && fit(*node))
}

#[cfg(test)]
mod tests {
    use causeway_protocol::Position;
    use causeway_protocol::backbone::Replica;

    use super::*;
    use crate::consensus::Leadership;

    const HOME: NodeId = NodeId(1);

    fn leader(matched: u64) -> GroupStatus {
        GroupStatus {
            leadership: Leadership {
                ready: true,
                ..Leadership::default()
            },
            applied: Position(1_000),
            voters: [HOME, NodeId(2)].into(),
            learners: [NodeId(3)].into(),
            members: [HOME, NodeId(2), NodeId(3)].into(),
            settled: true,
            matched: vec![(HOME, matched), (NodeId(3), 1_000)],
        }
    }

    #[test]
    fn home_takes_over_once_it_is_settled_and_caught_up() {
        let start = Instant::now();
        let mut present = Presence::default();
        present.update(&[HOME].into(), start);
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(successor(&[HOME], &leader(1_000), &present, at(4)), None);
        assert_eq!(
            successor(&[HOME], &leader(1_000), &present, at(5)),
            Some(HOME)
        );
        assert_eq!(successor(&[HOME], &leader(900), &present, at(5)), None);
    }

    #[test]
    fn a_break_starts_the_clock_anew_and_learners_never_lead() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut present = Presence::default();
        present.update(&[HOME, NodeId(3)].into(), start);
        present.update(&[NodeId(3)].into(), at(3));
        present.update(&[HOME, NodeId(3)].into(), at(4));
        assert_eq!(successor(&[HOME], &leader(1_000), &present, at(8)), None);
        assert_eq!(
            successor(&[NodeId(3)], &leader(1_000), &present, at(8)),
            None
        );
        assert_eq!(
            successor(&[HOME], &leader(1_000), &present, at(9)),
            Some(HOME)
        );
    }

    /// Voters 1 in us (home), 2 in eu, 3 in ap, 4 in us; learner 5 in us.
    fn cell() -> Cell {
        let regions = ["us", "eu", "ap", "us", "us"];
        let replicas = regions.iter().zip(1..).map(|(region, node_id)| Replica {
            node_id,
            region: (*region).into(),
            learner: node_id == 5,
            ..Replica::default()
        });
        Cell {
            home_region: "us".into(),
            replicas: replicas.collect(),
            ..Cell::default()
        }
    }

    fn heirs_of(me: u64, drained: &[u64]) -> Vec<u64> {
        // The larger the number, the nearer.
        let distance = |node: NodeId| Duration::from_millis(100 - node.0);
        let is_drained = |node: NodeId| drained.contains(&node.0);
        let heirs = heirs(&cell(), NodeId(me), is_drained, distance);
        heirs.into_iter().map(|node| node.0).collect()
    }

    #[test]
    fn leadership_goes_home_and_stays() {
        assert_eq!(heirs_of(2, &[]), [4, 1]);
        assert_eq!(heirs_of(1, &[]), [] as [u64; 0]);
        assert_eq!(heirs_of(2, &[1]), [4]);
        assert_eq!(heirs_of(2, &[1, 4]), [] as [u64; 0]);
    }

    #[test]
    fn a_drained_leader_gives_way_to_home_first_and_then_to_the_nearest() {
        assert_eq!(heirs_of(1, &[1]), [4, 3, 2]);
        assert_eq!(heirs_of(1, &[1, 4]), [3, 2]);
        assert_eq!(heirs_of(2, &[1, 2, 4]), [3]);
        assert_eq!(heirs_of(1, &[1, 2, 3, 4]), [] as [u64; 0]);
    }

    #[test]
    fn a_tenth_a_second_is_gone_after_ten() {
        let mut pace = Pace::default();
        let mut waiting = 95;
        for _ in 0..10 {
            let go = pace.allowance(waiting, 100);
            assert!(go <= 10);
            waiting -= go;
        }
        assert_eq!(waiting, 0);
        assert_eq!(pace.allowance(0, 100), 0);
        assert_eq!(pace.allowance(3, 100), 1);
        assert_eq!(pace.allowance(3, 1_000), 3);
    }
}
