//! What the directory's record of a cell asks of one node: pure decisions, which
//! [`CellHost`](crate::cells::CellHost) carries out.

use std::collections::BTreeSet;

use causeway_protocol::backbone::{Cell, Replica};
use causeway_protocol::{CellId, NodeId};

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

/// Whether `node` should have a replica. One that it has although it should not
/// goes on for a while: see [`surplus`](crate::surplus).
pub fn is_held_by(record: &Cell, node: NodeId) -> bool {
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

/// Whether `node` asks for an election after its start when it hears of no
/// leader, instead of waiting as long as for a leader that died: at home, or, if
/// home is being drained, at one node elsewhere, which differs from cell to cell.
pub fn leads_if_nobody_does(
    record: &Cell,
    node: NodeId,
    is_drained: impl Fn(&Replica) -> bool,
) -> bool {
    let voters = || record.replicas.iter().filter(|r| !r.learner);
    let at_home = |r: &&Replica| r.region == record.home_region;
    let open: Vec<&Replica> = voters().filter(|r| !is_drained(r)).collect();
    if open.is_empty() {
        return voters().filter(at_home).any(|r| r.node_id == node.0);
    }
    if open.iter().any(at_home) {
        let mut open_at_home = open.into_iter().filter(at_home);
        return open_at_home.any(|r| r.node_id == node.0);
    }
    let mut elsewhere: Vec<u64> = open.iter().map(|r| r.node_id).collect();
    elsewhere.sort_unstable();
    elsewhere[record.id as usize % elsewhere.len()] == node.0
}

/// Whether `node` asks for an election at once when the leader is lost. Others
/// that still have a vote leave it to these, until the ordinary timeout.
pub fn campaigns(record: &Cell, node: NodeId) -> bool {
    voters(record).any(|voter| voter == node)
}

/// The voters and learners to which a leader has its group changed; `None` when
/// the replica does not lead, or all is as the directory says.
pub fn change_of_members(
    record: &Cell,
    status: &GroupStatus,
) -> Option<(BTreeSet<NodeId>, BTreeSet<NodeId>)> {
    let wanted: (BTreeSet<_>, BTreeSet<_>) = (voters(record).collect(), learners(record).collect());
    // Amid a change, more may be counted than vote everywhere.
    let everybody = status.members.len() == wanted.0.len() + wanted.1.len();
    let as_wanted = status.voters == wanted.0 && status.learners == wanted.1 && everybody;
    (status.leadership.ready && !as_wanted).then_some(wanted)
}

#[cfg(test)]
mod tests {
    use causeway_protocol::Position;

    use super::*;
    use crate::consensus::Leadership;

    fn record(voters: &[u64]) -> Cell {
        let replicas = voters.iter().map(|node_id| Replica {
            node_id: *node_id,
            ..Replica::default()
        });
        Cell {
            replicas: replicas.collect(),
            ..Cell::default()
        }
    }

    #[test]
    fn a_leader_changes_its_group_until_it_is_as_wanted() {
        let ids = |ids: &[u64]| ids.iter().copied().map(NodeId).collect::<BTreeSet<_>>();
        let status = |voters, learners, members| GroupStatus {
            leadership: Leadership {
                ready: true,
                ..Leadership::default()
            },
            applied: Position(9),
            voters: ids(voters),
            learners: ids(learners),
            members: ids(members),
            settled: true,
            matched: Vec::new(),
        };
        let wanted = record(&[1, 2, 4]);
        let changes = |status| change_of_members(&wanted, &status).is_some();
        assert!(changes(status(&[1, 2, 3], &[], &[1, 2, 3])));
        assert!(
            changes(status(&[1, 2], &[], &[1, 2, 3, 4])),
            "amid the change"
        );
        assert!(changes(status(&[1, 2, 4], &[3], &[1, 2, 3, 4])));
        assert!(
            changes(status(&[1, 2, 4], &[], &[1, 2, 3, 4])),
            "not committed"
        );
        assert!(!changes(status(&[1, 2, 4], &[], &[1, 2, 4])));
    }

    #[test]
    fn after_a_start_home_leads_unless_it_is_being_drained() {
        let regions = [(1, "us"), (2, "us"), (3, "eu"), (4, "ap")];
        let replicas = regions.map(|(node_id, region)| Replica {
            node_id,
            region: region.into(),
            ..Replica::default()
        });
        let record = |id| Cell {
            id,
            home_region: "us".into(),
            replicas: replicas.to_vec(),
            ..Cell::default()
        };
        let who = |id, drained: &[u64]| -> Vec<u64> {
            let is_drained = |r: &Replica| drained.contains(&r.node_id);
            let leads = |node: &u64| leads_if_nobody_does(&record(id), NodeId(*node), is_drained);
            (1..=4).filter(leads).collect()
        };
        assert_eq!(who(7, &[]), [1, 2]);
        assert_eq!(who(7, &[1]), [2]);
        assert_eq!((who(6, &[1, 2]), who(7, &[1, 2])), (vec![3], vec![4]));
        assert_eq!(who(7, &[1, 2, 3, 4]), [1, 2]);
    }

    #[test]
    fn those_that_the_directory_lists_campaign_first() {
        let record = record(&[1, 2, 4]);
        assert!(campaigns(&record, NodeId(4)));
        assert!(!campaigns(&record, NodeId(3)));
    }
}
