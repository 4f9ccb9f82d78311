//! The directory's leader looks after the placement of all cells.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use causeway_gossip::{Gossip, Member};
use causeway_protocol::backbone::Cell;
use tokio_util::sync::CancellationToken;

use super::replacement::{Absence, replacements};
use super::{SharedBook, place_cells};
use crate::consensus::Consensus;
use crate::state_records::PlaceCells;

/// Between looks at who is there.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What the keeper needs of the node.
pub struct Keeper {
    /// This node's replica of the directory.
    pub directory: Arc<dyn Consensus>,
    /// What is in it.
    pub book: SharedBook,
    /// Who is there.
    pub gossip: Gossip,
    /// A node that has been away for so long is replaced.
    pub replace_after: Duration,
}

impl Keeper {
    /// Looks after placement until `stop`, whenever this node leads.
    pub async fn run(self, stop: CancellationToken) {
        let mut absence = Absence::default();
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            if self.directory.leadership().borrow().ready {
                self.look(&mut absence).await;
            } else {
                // A new leader gives everybody the whole time again.
                absence = Absence::default();
            }
        }
    }

    async fn look(&self, absence: &mut Absence) {
        let cells: Vec<Cell> = self.book.get().cells().cloned().collect();
        let membership = self.gossip.membership();
        let cores: Vec<Member> = membership.cores(None).cloned().collect();
        let alive: HashSet<_> = cores.iter().map(|core| core.node).collect();
        let now = Instant::now();
        absence.update(&cells, &alive, now);
        let cells = replacements(&cells, &cores, absence, self.replace_after, now);
        if cells.is_empty() {
            return;
        }
        let ids: Vec<u32> = cells.iter().map(|cell| cell.id).collect();
        match place_cells(self.directory.as_ref(), PlaceCells { cells }).await {
            Ok(()) => tracing::info!(cells = ?ids, "replicas of nodes that stay away go to others"),
            Err(error) => tracing::warn!(%error, "replicas could not be replaced"),
        }
    }
}
