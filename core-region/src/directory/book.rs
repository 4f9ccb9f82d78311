//! What the directory says, as one node knows it: every core node keeps a copy,
//! and passes it on to those who poll.

use std::collections::BTreeMap;

use causeway_gossip::Drains;
use causeway_protocol::backbone::{Cell, Directory, Shard, WorkspaceName};
use causeway_protocol::{CellId, WorkspaceId};

/// A copy of the directory.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Book {
    version: u64,
    cells: BTreeMap<CellId, Cell>,
    shards: BTreeMap<WorkspaceId, Shard>,
    workspaces: BTreeMap<String, WorkspaceName>,
    drains: Drains,
}

impl Book {
    /// The version of its latest record.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Takes in records; older ones than those known change nothing. Returns
    /// whether anything changed.
    pub fn apply(&mut self, directory: &Directory) -> bool {
        let mut changed = false;
        for cell in &directory.cells {
            let id = CellId(cell.id);
            if self
                .cells
                .get(&id)
                .is_none_or(|known| known.version < cell.version)
            {
                self.cells.insert(id, cell.clone());
                changed = true;
            }
        }
        for shard in &directory.shards {
            let id = WorkspaceId(shard.workspace);
            if self
                .shards
                .get(&id)
                .is_none_or(|known| known.version < shard.version)
            {
                self.shards.insert(id, *shard);
                changed = true;
            }
        }
        for name in &directory.workspaces {
            let known = self.workspaces.get(&name.name);
            if known.is_none_or(|known| known.version < name.version) {
                self.workspaces.insert(name.name.clone(), name.clone());
                changed = true;
            }
        }
        for drain in &directory.drains {
            changed |= self.drains.apply(drain);
        }
        changed |= self.version < directory.version;
        self.version = self.version.max(directory.version);
        changed
    }

    /// The records that are later than `version`.
    pub fn since(&self, version: u64) -> Directory {
        Directory {
            version: self.version,
            cells: self
                .cells
                .values()
                .filter(|c| c.version > version)
                .cloned()
                .collect(),
            shards: self
                .shards
                .values()
                .filter(|s| s.version > version)
                .copied()
                .collect(),
            workspaces: (self.workspaces.values())
                .filter(|w| w.version > version)
                .cloned()
                .collect(),
            drains: self.drains.since(version).cloned().collect(),
        }
    }

    /// What is being emptied.
    pub fn drains(&self) -> &Drains {
        &self.drains
    }

    /// All cells, the directory's own among them.
    pub fn cells(&self) -> impl Iterator<Item = &Cell> {
        self.cells.values()
    }

    /// A cell.
    pub fn cell(&self, cell: CellId) -> Option<&Cell> {
        self.cells.get(&cell)
    }

    /// The cell of a workspace.
    pub fn cell_of(&self, workspace: WorkspaceId) -> Option<CellId> {
        self.shards.get(&workspace).map(|shard| CellId(shard.cell))
    }

    /// The workspaces in a cell.
    pub fn workspaces_of(&self, cell: CellId) -> impl Iterator<Item = WorkspaceId> {
        let shards = self.shards.iter().filter(move |(_, s)| s.cell == cell.0);
        shards.map(|(workspace, _)| *workspace)
    }

    /// How many workspaces a cell holds.
    pub fn load(&self, cell: CellId) -> usize {
        self.shards.values().filter(|s| s.cell == cell.0).count()
    }

    /// The workspace of this name.
    pub fn workspace_named(&self, name: &str) -> Option<WorkspaceId> {
        self.workspaces.get(name).map(|w| WorkspaceId(w.workspace))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(workspace: u32, cell: u32, version: u64) -> Directory {
        Directory {
            version,
            shards: vec![Shard {
                workspace,
                cell,
                epoch: 1,
                version,
            }],
            ..Directory::default()
        }
    }

    #[test]
    fn a_copy_made_of_differences_is_the_same() {
        let (mut book, mut copy) = (Book::default(), Book::default());
        for version in 1..20u32 {
            book.apply(&shard(version % 5, version, version.into()));
            if version % 3 == 0 {
                copy.apply(&book.since(copy.version()));
            }
        }
        assert!(copy.apply(&book.since(copy.version())));
        assert_eq!(copy, book);
        assert!(!copy.apply(&book.since(0)));
    }

    #[test]
    fn old_records_change_nothing() {
        let mut book = Book::default();
        book.apply(&shard(1, 5, 9));
        assert!(!book.apply(&shard(1, 4, 8)));
        assert_eq!(book.cell_of(WorkspaceId(1)), Some(CellId(5)));
        assert_eq!((book.load(CellId(5)), book.load(CellId(4))), (1, 0));
    }
}
