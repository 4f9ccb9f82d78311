//! The directory's leader looks after placement, as the product's `Keeper` does.

use std::collections::HashSet;
use std::time::Duration;

use causeway_core_region::directory::{Absence, replacements};
use causeway_core_region::state_records::{Command, PlaceCells, command};
use causeway_gossip::Member;
use causeway_protocol::CellId;
use causeway_protocol::backbone::{Cell, Drain};

use super::Core;
use crate::io::Io;
use crate::planted::Planted;

/// A node that has been away for so long is replaced.
pub const REPLACE_AFTER: Duration = Duration::from_secs(5);

impl Core {
    pub(super) fn look_after_placement(&mut self, io: &mut Io<'_>) {
        let now = io.instant();
        let Some(directory) = self.replicas.get_mut(&CellId::DIRECTORY) else {
            return;
        };
        if !directory.is_ready(now) {
            self.absence = Absence::default();
            return;
        }
        let cells: Vec<Cell> = self.book.cells().cloned().collect();
        let membership = self.gossip.membership();
        let cores: Vec<Member> = membership.cores(None).cloned().collect();
        let alive: HashSet<_> = cores.iter().map(|core| core.node).collect();
        self.absence.update(&cells, &alive, now);
        let cells = replacements(&cells, &cores, &self.absence, REPLACE_AFTER, now);
        if cells.is_empty() || io.has(Planted::NoReplacement) {
            return;
        }
        io.ledger.replacements += cells.len() as u64;
        let command = Command {
            proposed_at_us: io.wall_us(),
            actor: 0,
            body: Some(command::Body::PlaceCells(PlaceCells { cells })),
        };
        directory.propose(command, None, io);
    }

    pub fn propose_drain(&mut self, drain: Drain, io: &mut Io<'_>) {
        let command = Command {
            proposed_at_us: io.wall_us(),
            actor: 0,
            body: Some(command::Body::SetDrain(drain)),
        };
        if let Some(directory) = self.replicas.get_mut(&CellId::DIRECTORY) {
            directory.propose(command, None, io);
        }
    }
}
