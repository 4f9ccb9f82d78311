//! A node that should not lead gives its leaderships to replicas that should, and
//! does not ask for elections.

use std::sync::Arc;
use std::time::Duration;

use causeway_protocol::NodeId;
use tokio_util::sync::CancellationToken;

use crate::cell::Cell;
use crate::cells::Cells;
use crate::consensus::{Campaigns, GroupStatus};
use crate::health::Unfit;
use crate::vitals::Vitals;

/// A handover that did not come about is tried again after this.
const AGAIN: Duration = Duration::from_secs(2);
/// Between looks at which replicas there are.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Entries that a successor may be behind: it catches up during the handover.
const BEHIND_MAX: u64 = 1_024;

/// Steps aside until `stop`, whenever this node should not lead.
pub async fn run(cells: Cells, vitals: Vitals, me: NodeId, stop: CancellationToken) {
    let mut unfit = vitals.unfit();
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut tried = None::<tokio::time::Instant>;
    loop {
        let changed = tokio::select! {
            () = stop.cancelled() => return,
            changed = unfit.changed() => changed.is_ok(),
            _ = ticks.tick() => false,
        };
        let now = *unfit.borrow_and_update();
        let all = cells.all();
        for cell in &all {
            cell.consensus().let_campaign(campaigns(now));
        }
        let due = tried.is_none_or(|at| at.elapsed() >= AGAIN);
        if now.is_some() && (changed || due) {
            tried = Some(tokio::time::Instant::now());
            hand_over(&all, &vitals, me).await;
        }
    }
}

/// On a disk that stalls, an election can still be won: better than by nobody.
/// On one that is full, nothing could be written.
fn campaigns(unfit: Option<Unfit>) -> Campaigns {
    match unfit {
        None => Campaigns::Freely,
        Some(Unfit::DiskStalled) => Campaigns::IfNobodyElseDoes,
        Some(Unfit::DiskFull) => Campaigns::Never,
    }
}

async fn hand_over(cells: &[Arc<Cell>], vitals: &Vitals, me: NodeId) {
    for cell in cells {
        let status = cell.consensus().status();
        if !status.leadership.ready {
            continue;
        }
        match successor(&status, me, |node| vitals.may_lead(node)) {
            Some(successor) => {
                tracing::warn!(cell = %cell.id(), to = %successor, "stepping aside");
                cell.consensus().transfer(successor).await;
            }
            None => tracing::warn!(cell = %cell.id(), "no other replica is fit to lead"),
        }
    }
}

/// The voter that is fit, and nearest to the end of the log.
fn successor(leader: &GroupStatus, me: NodeId, is_fit: impl Fn(NodeId) -> bool) -> Option<NodeId> {
    let matched = leader.matched.iter().filter(|(node, index)| {
        let close = index + BEHIND_MAX >= leader.applied.0;
        *node != me && leader.voters.contains(node) && close && is_fit(*node)
    });
    matched
        .max_by_key(|(_, index)| *index)
        .map(|(node, _)| *node)
}

#[cfg(test)]
mod tests {
    use causeway_protocol::Position;

    use super::*;
    use crate::consensus::Leadership;

    const ME: NodeId = NodeId(1);

    fn leader() -> GroupStatus {
        GroupStatus {
            leadership: Leadership::default(),
            applied: Position(5_000),
            voters: [ME, NodeId(2), NodeId(3), NodeId(4)].into(),
            learners: [NodeId(5)].into(),
            members: [ME, NodeId(2), NodeId(3), NodeId(4), NodeId(5)].into(),
            settled: true,
            matched: [(1, 5_001), (2, 4_990), (3, 5_000), (4, 100), (5, 5_000)]
                .map(|(node, index)| (NodeId(node), index))
                .into(),
        }
    }

    #[test]
    fn the_fit_voter_nearest_to_the_end_takes_over() {
        assert_eq!(successor(&leader(), ME, |_| true), Some(NodeId(3)));
        let without_3 = |node| node != NodeId(3);
        assert_eq!(successor(&leader(), ME, without_3), Some(NodeId(2)));
    }

    #[test]
    fn with_nobody_fit_the_leader_stays() {
        assert_eq!(successor(&leader(), ME, |_| false), None);
        // Neither who is far behind nor who has no vote.
        let these = |node| [NodeId(4), NodeId(5)].contains(&node);
        assert_eq!(successor(&leader(), ME, these), None);
    }
}
