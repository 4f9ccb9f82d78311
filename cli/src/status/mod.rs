//! A world at a glance, put together from what each node tells of itself.

mod glance;
mod table;
#[cfg(test)]
pub mod tests;
mod text;

use std::collections::HashMap;

use causeway_protocol::backbone::{Drain, EdgeStatus, NodeStatus};

pub use glance::Glance;
pub use table::counted;

/// How far each node's replica of each cell has applied the cell's log.
struct Progress(HashMap<(u32, u64), u64>);

impl Progress {
    fn of(statuses: &[NodeStatus]) -> Self {
        let mut applied = HashMap::new();
        for status in statuses {
            let node = status.self_.as_ref().map_or(0, |me| me.node_id);
            for cell in &status.cells {
                if cell.replicas.iter().any(|replica| replica.node_id == node) {
                    applied.insert((cell.cell, node), cell.applied);
                }
            }
        }
        Self(applied)
    }

    fn furthest(&self, cell: u32) -> u64 {
        let of_cell = self.0.iter().filter(|((id, _), _)| *id == cell);
        of_cell.map(|(_, applied)| *applied).max().unwrap_or(0)
    }

    /// Entries that a replica has yet to apply; `None` when its node is silent.
    fn lag(&self, cell: u32, node: u64) -> Option<u64> {
        let applied = self.0.get(&(cell, node))?;
        Some(self.furthest(cell) - applied)
    }
}

/// Whether every replica is there and has applied all there is.
pub fn is_settled(statuses: &[NodeStatus]) -> bool {
    have_caught_up(statuses, |_| true)
}

/// Whether the replicas on these nodes are there and have applied all there is.
pub fn have_caught_up(statuses: &[NodeStatus], counts: impl Fn(u64) -> bool) -> bool {
    let progress = Progress::of(statuses);
    let mut cells = statuses.iter().flat_map(|status| &status.cells);
    cells.all(|cell| {
        let replicas = cell.replicas.iter().map(|replica| replica.node_id);
        let mut replicas = replicas.filter(|node| counts(*node));
        replicas.all(|node| progress.lag(cell.cell, node) == Some(0))
    })
}

/// The drains in force, as the nodes tell.
pub fn drains(statuses: &[NodeStatus]) -> &[Drain] {
    let newest = statuses.iter().max_by_key(|status| {
        let versions = status.drains.iter().map(|drain| drain.version);
        versions.max()
    });
    newest.map_or(&[], |status| &status.drains)
}

/// The world for people; `None` when no node tells anything.
pub fn render(statuses: &[NodeStatus], edges: &[EdgeStatus]) -> Option<String> {
    Glance::new(statuses, edges, &[]).map(|glance| glance.to_string())
}
