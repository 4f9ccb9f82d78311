//! When a cell's leadership goes home: a pure decision. Not before home has been
//! there for a while, and has caught up.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use causeway_protocol::backbone::Cell;
use causeway_protocol::{Name, NodeId};

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

/// The replica to which the leader of `record`, in `region`, hands over; `None`
/// when it does not lead, is at home itself, or finds nobody there fit.
pub fn handover(
    record: &Cell,
    region: &Name,
    status: &GroupStatus,
    present: &Presence,
    now: Instant,
) -> Option<NodeId> {
    if !status.leadership.ready || record.home_region == region.as_str() {
        return None;
    }
    let voters = record.replicas.iter().filter(|r| !r.learner);
    let at_home = voters.filter(|r| r.region == record.home_region);
    let at_home: Vec<NodeId> = at_home.map(|r| NodeId(r.node_id)).collect();
    successor(&at_home, status, present, now)
}

/// The replica at home to which this leader hands over, if any is fit.
pub fn successor(
    at_home: &[NodeId],
    leader: &GroupStatus,
    present: &Presence,
    now: Instant,
) -> Option<NodeId> {
    let fit = |node: NodeId| {
        let matched = leader.matched.iter().find(|(n, _)| *n == node);
        let caught_up = matched.is_some_and(|(_, index)| index + BEHIND_MAX >= leader.applied.0);
        leader.voters.contains(&node) && caught_up && present.is_settled(node, now)
    };
    at_home.iter().copied().find(|node| fit(*node))
}

#[cfg(test)]
mod tests {
    use causeway_protocol::Position;

    use super::*;
    use crate::consensus::Leadership;

    const HOME: NodeId = NodeId(1);

    fn leader(matched: u64) -> GroupStatus {
        GroupStatus {
            leadership: Leadership::default(),
            applied: Position(1_000),
            voters: [HOME, NodeId(2)].into(),
            learners: [NodeId(3)].into(),
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
}
