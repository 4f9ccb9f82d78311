//! Replicas that the directory has given to other nodes. What it wants comes
//! about in steps: until the group itself counts the old voter no longer, its
//! vote may be needed, and if it stopped at once, a cell could lose its quorum
//! for good with most of its voters alive. So such a replica goes on, also after
//! a restart, until a leader says that it can go: pure decisions.

use causeway_protocol::backbone::Cell;
use causeway_protocol::{CellId, Epoch, NodeId};

use crate::assignment;
use crate::consensus::GroupStatus;
use crate::directory::returning;

/// What a node's disk has of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OnDisk {
    /// A log, or a vote.
    pub has_rows: bool,
    /// The epoch in which the replica was last released.
    pub released_in: Option<Epoch>,
}

/// Whether a replica that `node` may have is one that the directory gives to
/// other nodes.
pub fn is_surplus(record: &Cell, node: NodeId) -> bool {
    CellId(record.id) != CellId::DIRECTORY && !assignment::is_held_by(record, node)
}

/// Whether `node` starts its surplus replica, if it has not. A release is good
/// for its epoch: in a later one that this node has not seen, its group may have
/// counted it again.
pub fn starts(record: &Cell, node: NodeId, on_disk: OnDisk) -> bool {
    let released_in = on_disk.released_in;
    let released = released_in.is_some_and(|epoch| epoch >= Epoch(record.epoch));
    is_surplus(record, node) && on_disk.has_rows && (!released || is_returning(record, node))
}

/// Whether `node` hands back what only it has, and counts meanwhile.
fn is_returning(record: &Cell, node: NodeId) -> bool {
    returning(record).any(|replica| replica.node_id == node.0)
}

/// A leader's word on whether its group counts a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word {
    /// The leader's term.
    pub term: u64,
    /// The epoch of the directory's record that it goes by.
    pub epoch: Epoch,
    /// The group counts the node, may do so yet, or is going to.
    pub counts: bool,
}

/// What a replica says of `node`, by its copy of the directory's record; nothing
/// unless it leads.
pub fn word(record: &Cell, status: &GroupStatus, node: NodeId) -> Option<Word> {
    let counts = !status.settled || status.members.contains(&node) || is_returning(record, node);
    status.leadership.ready.then(|| Word {
        term: status.leadership.term,
        epoch: Epoch(record.epoch),
        counts: counts || assignment::is_held_by(record, node),
    })
}

/// Whether a leader's word releases the surplus replica of `node`, which is in
/// `term`. Nobody can make it a voter again without its help: a leader has a new
/// voter catch up first, and any who got so far has brought it a later term, in
/// which this word is too old.
pub fn is_released(record: &Cell, node: NodeId, term: u64, word: Word) -> bool {
    let is_new = word.term >= term && word.epoch >= Epoch(record.epoch);
    is_surplus(record, node) && !is_returning(record, node) && is_new && !word.counts
}

#[cfg(test)]
mod tests {
    use causeway_protocol::Position;
    use causeway_protocol::backbone::Replica;

    use super::*;
    use crate::consensus::Leadership;

    const ME: NodeId = NodeId(9);

    fn record(epoch: u64, nodes: &[u64]) -> Cell {
        let replicas = nodes.iter().map(|node_id| Replica {
            node_id: *node_id,
            ..Replica::default()
        });
        Cell {
            id: 3,
            epoch,
            replicas: replicas.collect(),
            ..Cell::default()
        }
    }

    fn on_disk(released_in: Option<u64>) -> OnDisk {
        OnDisk {
            has_rows: true,
            released_in: released_in.map(Epoch),
        }
    }

    fn leader(members: &[u64]) -> GroupStatus {
        let members = members.iter().copied().map(NodeId);
        GroupStatus {
            leadership: Leadership {
                term: 7,
                ready: true,
                ..Leadership::default()
            },
            applied: Position(50),
            voters: members.clone().collect(),
            learners: [].into(),
            members: members.collect(),
            settled: true,
            matched: Vec::new(),
        }
    }

    #[test]
    fn what_is_on_the_disk_goes_on_until_it_is_released() {
        let other_nodes = record(4, &[1, 2, 3]);
        assert!(starts(&other_nodes, ME, on_disk(None)));
        assert!(starts(&other_nodes, ME, on_disk(Some(3))));
        assert!(!starts(&other_nodes, ME, on_disk(Some(4))));
        let nothing = OnDisk {
            has_rows: false,
            released_in: None,
        };
        assert!(!starts(&other_nodes, ME, nothing));
        assert!(!starts(&record(4, &[1, 2, 9]), ME, on_disk(None)));
        let directory = Cell {
            id: CellId::DIRECTORY.0,
            ..other_nodes
        };
        assert!(!starts(&directory, ME, on_disk(None)));
    }

    #[test]
    fn whoever_hands_back_goes_on_and_is_not_released() {
        let mut record = record(4, &[1, 2, 3]);
        record.returning = vec![Replica {
            node_id: ME.0,
            ..Replica::default()
        }];
        assert!(starts(&record, ME, on_disk(Some(4))));
        let word = word(&record, &leader(&[1, 2, 3]), ME).unwrap();
        assert!(word.counts);
        let of_another_record = Word {
            counts: false,
            ..word
        };
        assert!(!is_released(&record, ME, 7, of_another_record));

        record.returning[0].forgotten = true;
        assert!(!starts(&record, ME, on_disk(Some(4))));
    }

    #[test]
    fn a_leader_releases_whom_nothing_counts_any_more() {
        let record = record(4, &[1, 2, 3]);
        let releases = |status: &GroupStatus| {
            let word = word(&record, status, ME);
            word.map(|word| is_released(&record, ME, 7, word))
        };
        assert_eq!(releases(&leader(&[1, 2, 3])), Some(true));
        assert_eq!(releases(&leader(&[1, 2, 9])), Some(false));
        let amid_a_change = GroupStatus {
            settled: false,
            ..leader(&[1, 2, 3])
        };
        assert_eq!(releases(&amid_a_change), Some(false));
        let follower = GroupStatus {
            leadership: Leadership::default(),
            ..leader(&[1, 2, 3])
        };
        assert_eq!(releases(&follower), None);
    }

    #[test]
    fn an_old_word_releases_nobody() {
        let of_leader = |epoch| word(&record(epoch, &[1, 2, 3]), &leader(&[1, 2, 3]), ME);
        let word = of_leader(4).unwrap();
        assert!(!is_released(&record(5, &[1, 2, 3]), ME, 7, word));
        assert!(!is_released(&record(4, &[1, 2, 3]), ME, 8, word));
        assert!(is_released(&record(4, &[1, 2, 3]), ME, 6, word));
    }

    #[test]
    fn whom_the_directory_lists_is_never_released() {
        let listed = record(5, &[1, 2, 9]);
        let by_an_old_record = word(&record(4, &[1, 2, 3]), &leader(&[1, 2, 3]), ME).unwrap();
        assert!(!is_released(&listed, ME, 7, by_an_old_record));
        let by_a_new_one = word(&listed, &leader(&[1, 2, 3]), ME).unwrap();
        assert!(by_a_new_one.counts);
    }
}
