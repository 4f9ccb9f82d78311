//! What the directory's record of a cell asks of one node: pure decisions, which
//! [`CellHost`](crate::cells::CellHost) carries out.

use std::collections::BTreeSet;

use causeway_protocol::backbone::{Cell, Replica};
use causeway_protocol::{CellId, Name, NodeId};

use crate::consensus::GroupStatus;

/// The epoch in which a cell is founded; later ones find it there.
const FIRST_EPOCH: u64 = 1;

/// Those who vote.
pub fn voters(record: &Cell) -> impl Iterator<Item = NodeId> {
    nodes(record, false)
}

/// Those who only follow.
pub fn learners(record: &Cell) -> impl Iterator<Item = NodeId> {
    nodes(record, true)
}

fn nodes(record: &Cell, learner: bool) -> impl Iterator<Item = NodeId> {
    let replicas = record.replicas.iter();
    let wanted = replicas.filter(move |r: &&Replica| r.learner == learner);
    wanted.map(|r| NodeId(r.node_id))
}

/// Whether `node` starts the replica, if it has not. The directory's own replica
/// runs on every core node, in use or not.
pub fn starts(record: &Cell, node: NodeId) -> bool {
    CellId(record.id) != CellId::DIRECTORY && is_held_by(record, node)
}

/// Whether `node` stops the replica that it may have: it is another's now.
pub fn stops(record: &Cell, node: NodeId) -> bool {
    CellId(record.id) != CellId::DIRECTORY && !is_held_by(record, node)
}

fn is_held_by(record: &Cell, node: NodeId) -> bool {
    record.replicas.iter().any(|r| r.node_id == node.0)
}

/// Whether `node` founds the group: the one voter that does so is at home, where
/// its leader should be.
pub fn founds(record: &Cell, node: NodeId) -> bool {
    let voters = record.replicas.iter().filter(|r| !r.learner);
    let at_home = voters.filter(|r| r.region == record.home_region);
    let founder = at_home.map(|r| NodeId(r.node_id)).min();
    record.epoch == FIRST_EPOCH && founder == Some(node)
}

/// Whether `node`, in `region`, asks for an election after its start when it
/// hears of no leader, instead of waiting as long as for a leader that died.
pub fn leads_if_nobody_does(record: &Cell, node: NodeId, region: &Name) -> bool {
    record.home_region == region.as_str() && voters(record).any(|voter| voter == node)
}

/// The voters and learners to which a leader has its group changed; `None` when
/// the replica does not lead, or all is as the directory says.
pub fn change_of_members(
    record: &Cell,
    status: &GroupStatus,
) -> Option<(BTreeSet<NodeId>, BTreeSet<NodeId>)> {
    let wanted = (voters(record).collect(), learners(record).collect());
    let as_wanted = status.voters == wanted.0 && status.learners == wanted.1;
    (status.leadership.ready && !as_wanted).then_some(wanted)
}
