//! Routes: shard → cell → leader and replicas, as this node knows them. Fed by
//! the directory and by leaders' hints; wrong for a moment at worst, and
//! corrected by the redirect that follows.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use causeway_protocol::backbone::{self as wire, LeaderHint};
use causeway_protocol::{CellId, Epoch, Name, NodeId, WorkspaceId};

use crate::drains::Drains;
use crate::member::Membership;
use crate::ring::Ring;

/// A replica of a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaRoute {
    /// The node that holds it.
    pub node: NodeId,
    /// Its region.
    pub region: Name,
    /// Whether it only follows, without a vote.
    pub learner: bool,
}

/// How to reach a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellRoute {
    /// Where its leader should be.
    pub home: Name,
    /// Counts changes of its replicas.
    pub epoch: Epoch,
    /// All replicas.
    pub replicas: Vec<ReplicaRoute>,
    /// The last leader heard of.
    pub leader: Option<Leader>,
}

/// Who leads a cell, and since which term.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leader {
    /// The node.
    pub node: NodeId,
    /// The term in which it was elected; the larger is newer.
    pub term: u64,
}

impl CellRoute {
    /// The region in which the leader, and so the channel servers, are.
    pub fn leader_region(&self) -> Option<&Name> {
        let leader = self.leader?.node;
        let replica = self.replicas.iter().find(|r| r.node == leader)?;
        Some(&replica.region)
    }

    /// Nodes to ask for the leader's work, the likeliest first.
    pub fn candidates(&self) -> impl Iterator<Item = NodeId> + '_ {
        let leader = self.leader.map(|l| l.node);
        let voters = self.replicas.iter().filter(|r| !r.learner);
        let at_home = |home: bool| {
            voters
                .clone()
                .filter(move |r| (r.region == self.home) == home)
                .map(|r| r.node)
        };
        let others = at_home(true).chain(at_home(false));
        leader
            .into_iter()
            .chain(others.filter(move |n| Some(*n) != leader))
    }

    /// The replicas, the nearest first; those of unknown distance last.
    pub fn by_distance(&self, round_trip: impl Fn(NodeId) -> Option<Duration>) -> Vec<NodeId> {
        let mut nodes: Vec<_> = self.replicas.iter().map(|r| r.node).collect();
        nodes.sort_by_key(|node| round_trip(*node).unwrap_or(Duration::MAX));
        nodes
    }
}

/// Everything a node knows of where things are.
#[derive(Debug, Clone, Default)]
pub struct Routes {
    version: u64,
    cells: BTreeMap<CellId, CellRoute>,
    /// Hints for cells that the directory has not told of yet.
    early: HashMap<CellId, Leader>,
    shards: HashMap<WorkspaceId, (CellId, Epoch)>,
    workspaces: HashMap<String, WorkspaceId>,
    drains: Drains,
}

impl Routes {
    /// The version of the directory that these routes have reached.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Takes in what the directory says. Returns whether anything changed; an
    /// older word than the known one changes nothing.
    pub fn apply_directory(&mut self, directory: &wire::Directory) -> bool {
        let mut changed = false;
        for cell in &directory.cells {
            changed |= self.apply_cell(cell);
        }
        for shard in &directory.shards {
            let (workspace, epoch) = (WorkspaceId(shard.workspace), Epoch(shard.epoch));
            let known = self.shards.get(&workspace);
            if known.is_none_or(|(_, known)| *known < epoch) {
                self.shards.insert(workspace, (CellId(shard.cell), epoch));
                changed = true;
            }
        }
        for workspace in &directory.workspaces {
            let id = WorkspaceId(workspace.workspace);
            changed |= self.workspaces.insert(workspace.name.clone(), id) != Some(id);
        }
        for drain in &directory.drains {
            changed |= self.drains.apply(drain);
        }
        self.version = self.version.max(directory.version);
        changed
    }

    fn apply_cell(&mut self, cell: &wire::Cell) -> bool {
        let (id, epoch) = (CellId(cell.id), Epoch(cell.epoch));
        let known = self.cells.get(&id);
        if known.is_some_and(|known| known.epoch >= epoch) {
            return false;
        }
        let Ok(home) = cell.home_region.parse() else {
            return false;
        };
        let leader = known.and_then(|known| known.leader);
        let replica = |r: &wire::Replica| {
            Some(ReplicaRoute {
                node: NodeId(r.node_id),
                region: r.region.parse().ok()?,
                learner: r.learner,
            })
        };
        let route = CellRoute {
            home,
            epoch,
            replicas: cell.replicas.iter().filter_map(replica).collect(),
            leader: leader.or_else(|| self.early.remove(&id)),
        };
        self.cells.insert(id, route);
        true
    }

    /// Takes in who leads a cell. Returns whether that is news.
    pub fn apply_hint(&mut self, hint: &LeaderHint) -> bool {
        let cell = CellId(hint.cell);
        let leader = Leader {
            node: NodeId(hint.node_id),
            term: hint.term,
        };
        let newer = |known: Option<Leader>| known.is_none_or(|known| known.term < leader.term);
        match self.cells.get_mut(&cell) {
            Some(route) if newer(route.leader) => {
                route.leader = Some(leader);
                true
            }
            Some(_) => false,
            None => {
                if newer(self.early.get(&cell).copied()) {
                    self.early.insert(cell, leader);
                }
                false
            }
        }
    }

    /// The way to a cell.
    pub fn cell(&self, cell: CellId) -> Option<&CellRoute> {
        self.cells.get(&cell)
    }

    /// All cells.
    pub fn cells(&self) -> impl Iterator<Item = (CellId, &CellRoute)> {
        self.cells.iter().map(|(id, route)| (*id, route))
    }

    /// The cell that holds a workspace.
    pub fn cell_of(&self, workspace: WorkspaceId) -> Option<CellId> {
        self.shards.get(&workspace).map(|(cell, _)| *cell)
    }

    /// The workspace of this name.
    pub fn workspace_named(&self, name: &str) -> Option<WorkspaceId> {
        self.workspaces.get(name).copied()
    }

    /// What is being emptied.
    pub fn drains(&self) -> &Drains {
        &self.drains
    }

    /// The core nodes of each region that serve topics: those that are not being
    /// drained, or all where every one is.
    pub fn rings(&self, membership: &Membership) -> HashMap<Name, Ring> {
        let mut regions = HashMap::<Name, (Vec<NodeId>, Vec<NodeId>)>::new();
        for core in membership.cores(None) {
            let (stay, leave) = regions.entry(core.place.clone()).or_default();
            match self.drains.of(core) {
                None => stay.push(core.node),
                Some(_) => leave.push(core.node),
            }
        }
        let ring = |(stay, leave): (Vec<_>, Vec<_>)| match stay.is_empty() {
            true => Ring::new(leave),
            false => Ring::new(stay),
        };
        let rings = regions.into_iter();
        rings.map(|(region, nodes)| (region, ring(nodes))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(id: u32, epoch: u64, nodes: &[(u64, &str)]) -> wire::Directory {
        let replicas = nodes.iter().map(|(node, region)| wire::Replica {
            node_id: *node,
            region: (*region).into(),
            ..wire::Replica::default()
        });
        wire::Directory {
            version: epoch,
            cells: vec![wire::Cell {
                id,
                home_region: "eu-west".into(),
                replicas: replicas.collect(),
                epoch,
                ..wire::Cell::default()
            }],
            ..wire::Directory::default()
        }
    }

    fn hint(cell: u32, term: u64, node_id: u64) -> LeaderHint {
        LeaderHint {
            cell,
            term,
            node_id,
        }
    }

    const THREE: &[(u64, &str)] = &[(1, "us-east"), (2, "eu-west"), (3, "ap-northeast")];

    #[test]
    fn the_leader_comes_first_and_home_next() {
        let mut routes = Routes::default();
        assert!(routes.apply_directory(&cell(4, 1, THREE)));
        let order = |routes: &Routes| {
            let route = routes.cell(CellId(4)).unwrap();
            route.candidates().map(|n| n.0).collect::<Vec<_>>()
        };
        assert_eq!(order(&routes), [2, 1, 3]);
        assert!(routes.apply_hint(&hint(4, 7, 3)));
        assert_eq!(order(&routes), [3, 2, 1]);
        let route = routes.cell(CellId(4)).unwrap();
        assert_eq!(route.leader_region().unwrap().as_str(), "ap-northeast");
    }

    #[test]
    fn older_words_change_nothing() {
        let mut routes = Routes::default();
        routes.apply_directory(&cell(4, 5, THREE));
        routes.apply_hint(&hint(4, 7, 3));
        assert!(!routes.apply_directory(&cell(4, 4, &[(9, "us-east")])));
        assert!(!routes.apply_hint(&hint(4, 6, 1)));
        assert!(!routes.apply_hint(&hint(4, 7, 1)));
        assert_eq!(
            routes.cell(CellId(4)).unwrap().leader.unwrap().node,
            NodeId(3)
        );
        assert_eq!(routes.version(), 5);
    }

    #[test]
    fn a_hint_may_come_before_its_cell_and_survives_a_change_of_replicas() {
        let mut routes = Routes::default();
        routes.apply_hint(&hint(4, 2, 1));
        routes.apply_directory(&cell(4, 1, THREE));
        let leader = |routes: &Routes| routes.cell(CellId(4)).unwrap().leader.unwrap();
        assert_eq!(leader(&routes).node, NodeId(1));
        routes.apply_directory(&cell(4, 2, &THREE[..2]));
        assert_eq!(leader(&routes).term, 2);
    }

    #[test]
    fn shards_move_with_their_epoch_only() {
        let shard = |cell, epoch| wire::Directory {
            shards: vec![wire::Shard {
                workspace: 1,
                cell,
                epoch,
                version: 0,
            }],
            ..wire::Directory::default()
        };
        let mut routes = Routes::default();
        assert!(routes.apply_directory(&shard(3, 2)));
        assert!(!routes.apply_directory(&shard(5, 1)));
        assert_eq!(routes.cell_of(WorkspaceId(1)), Some(CellId(3)));
        assert_eq!(routes.cell_of(WorkspaceId(2)), None);
    }
}
