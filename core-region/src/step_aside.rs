//! A node that should not lead, or is about to end, gives its leaderships to
//! replicas that should, and does not ask for elections.

use std::sync::Arc;
use std::time::Duration;

use causeway_protocol::NodeId;
use tokio_util::sync::CancellationToken;

use crate::cell::Cell;
use crate::cells::Cells;
use crate::consensus::{Campaigns, GroupStatus};
use crate::directory::SharedBook;
use crate::health::Unfit;
use crate::heirs::Heirs;

/// A handover that did not come about is tried again after this.
const AGAIN: Duration = Duration::from_secs(2);
/// The same when there is not much time left.
const AGAIN_STOPPING: Duration = Duration::from_millis(500);
/// Between looks at which replicas there are.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Entries that a successor may be behind: it catches up during the handover.
const BEHIND_MAX: u64 = 1_024;
/// A node that is about to end waits this long for successors, and for them to
/// commit what is under way: without one the others elect somebody, which takes
/// longer.
const LEAVE_TIMEOUT: Duration = Duration::from_millis(1_500);

/// Steps aside; clones share what is known.
#[derive(Clone)]
pub struct StepAside {
    /// What this node leads.
    pub cells: Cells,
    /// Who holds the cells.
    pub book: SharedBook,
    /// Who may take them over.
    pub heirs: Heirs,
}

impl StepAside {
    /// Steps aside until `stop`, whenever this node should not lead.
    pub async fn run(self, stop: CancellationToken) {
        let mut unfit = self.heirs.vitals.unfit();
        let mut elections = self.cells.elections();
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut tried = None::<tokio::time::Instant>;
        loop {
            let is_unfit = unfit.borrow().is_some();
            let changed = tokio::select! {
                () = stop.cancelled() => return,
                changed = unfit.changed() => changed.is_ok(),
                // Leadership may have come all the same.
                changed = elections.changed(), if is_unfit => changed.is_ok(),
                _ = ticks.tick() => false,
            };
            let now = *unfit.borrow_and_update();
            for cell in self.cells.all() {
                cell.consensus().let_campaign(campaigns(now));
            }
            let again = match now {
                Some(Unfit::Stopping) => AGAIN_STOPPING,
                _ => AGAIN,
            };
            let is_due = tried.is_none_or(|at| at.elapsed() >= again);
            if now.is_some() && (changed || is_due) {
                if is_due {
                    tried = Some(tokio::time::Instant::now());
                }
                self.hand_over(is_due).await;
            }
        }
    }

    /// Tells the others that this node is about to end, and waits until they lead
    /// what it led, if they can, and what was under way is answered.
    pub async fn leave(&self) {
        self.heirs.vitals.stop_leading();
        let leaving = async {
            let mut elections = self.cells.elections();
            let led: Vec<Arc<Cell>> = self.led_with_heir().collect();
            // Somebody may have named this node their heir a moment ago.
            while self.led_with_heir().next().is_some() && elections.changed().await.is_ok() {}
            let answered = led.iter().map(|cell| async move {
                let mut leadership = cell.consensus().leadership();
                // If the replica has ended, there is nothing to wait for.
                let _ = leadership.wait_for(|l| l.leader.is_some()).await;
                cell.consensus().answered().await;
            });
            futures::future::join_all(answered).await;
        };
        let _ = tokio::time::timeout(LEAVE_TIMEOUT, leaving).await;
    }

    /// What this node leads, and another could.
    fn led_with_heir(&self) -> impl Iterator<Item = Arc<Cell>> {
        let led = self.cells.all().into_iter();
        let led = led.filter(|cell| cell.consensus().leadership().borrow().leads);
        led.filter(|cell| self.heir(cell).is_some())
    }

    /// Hands over what this node leads; what is being handed over already, only
    /// `again`.
    async fn hand_over(&self, again: bool) {
        for cell in self.cells.all() {
            let is_named = cell.consensus().successor().is_some();
            if !cell.consensus().leadership().borrow().ready || (is_named && !again) {
                continue;
            }
            match self.heir(&cell) {
                Some(heir) => {
                    tracing::info!(cell = %cell.id(), to = %heir, "stepping aside");
                    cell.consensus().transfer(heir).await;
                }
                None => tracing::warn!(cell = %cell.id(), "no other replica is fit to lead"),
            }
        }
    }

    fn heir(&self, cell: &Cell) -> Option<NodeId> {
        let heirs = self.heirs.anybody(self.book.get().cell(cell.id())?);
        successor(&heirs, &cell.consensus().status())
    }
}

/// On a disk that stalls, an election can still be won: better than by nobody.
/// On one that is full, nothing could be written; a node that is about to end
/// would be missed again at once.
fn campaigns(unfit: Option<Unfit>) -> Campaigns {
    match unfit {
        None => Campaigns::Freely,
        Some(Unfit::DiskStalled) => Campaigns::IfNobodyElseDoes,
        Some(Unfit::DiskFull | Unfit::Stopping) => Campaigns::Never,
    }
}

/// The first heir that can take over soon.
fn successor(heirs: &[NodeId], leader: &GroupStatus) -> Option<NodeId> {
    let mut heirs = heirs.iter().copied();
    heirs.find(|node| leader.is_near(*node, BEHIND_MAX))
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

    fn successor_of(heirs: &[u64]) -> Option<u64> {
        let heirs: Vec<NodeId> = heirs.iter().map(|node| NodeId(*node)).collect();
        successor(&heirs, &leader()).map(|node| node.0)
    }

    #[test]
    fn the_first_heir_that_is_near_the_end_takes_over() {
        assert_eq!(successor_of(&[3, 2]), Some(3));
        assert_eq!(successor_of(&[2, 3]), Some(2));
        assert_eq!(successor_of(&[4, 2]), Some(2));
    }

    #[test]
    fn with_no_heir_the_leader_stays() {
        assert_eq!(successor_of(&[]), None);
        // Neither who is far behind nor who has no vote.
        assert_eq!(successor_of(&[4, 5]), None);
    }

    #[test]
    fn who_is_about_to_end_asks_for_nothing() {
        assert_eq!(campaigns(None), Campaigns::Freely);
        assert_eq!(campaigns(Some(Unfit::Stopping)), Campaigns::Never);
        assert_eq!(
            campaigns(Some(Unfit::DiskStalled)),
            Campaigns::IfNobodyElseDoes
        );
    }
}
