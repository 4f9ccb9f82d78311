//! Whose metadata counts: a pure decision of the directory's leader. A node that an
//! operator declares gone holds nothing back any more; before its metadata counts again,
//! it begins with another's.

use causeway_protocol::backbone::{Cell, Replica, SetCounted};
use causeway_protocol::{ApiError, ErrorCode, NodeId};

/// The records of the cells that change, each with its next epoch.
///
/// # Errors
/// [`ErrorCode::InvalidArguments`] when the node has no replica;
/// [`ErrorCode::NotAllowed`] when no replica of some cell would count.
pub fn recount<'a>(
    cells: impl Iterator<Item = &'a Cell>,
    set: &SetCounted,
) -> Result<Vec<Cell>, ApiError> {
    let node = NodeId(set.node_id);
    let mut of_node = cells
        .filter(|cell| {
            let mut counted = cell.replicas.iter().chain(&cell.returning);
            counted.any(|r| r.node_id == node.0)
        })
        .peekable();
    if of_node.peek().is_none() {
        let text = format!("no cell has a replica on node {node}");
        return Err(ApiError::new(ErrorCode::InvalidArguments, text));
    }
    let changed: Vec<Cell> = of_node.filter_map(|cell| recounted(cell, set)).collect();
    let mut nobody = changed
        .iter()
        .filter(|cell| cell.replicas.iter().all(|r| r.forgotten));
    match nobody.next() {
        Some(cell) => {
            let text = format!("of cell {}, no replica would count", cell.id);
            Err(ApiError::new(ErrorCode::NotAllowed, text))
        }
        None => Ok(changed),
    }
}

/// `None` if it is so already.
fn recounted(cell: &Cell, set: &SetCounted) -> Option<Cell> {
    let is_it = |r: &Replica| r.node_id == set.node_id && r.forgotten == set.counted;
    let mut next = cell.clone();
    next.epoch += 1;
    let mut replicas = next.replicas.iter_mut().chain(&mut next.returning);
    let replica = replicas.find(|replica| is_it(replica))?;
    replica.forgotten = !set.counted;
    if set.counted {
        replica.counted_since = next.epoch;
    }
    Some(next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::returning::admit;

    fn cell(id: u32, replicas: &[u64]) -> Cell {
        let replica = |node_id: &u64| Replica {
            node_id: *node_id,
            ..Replica::default()
        };
        Cell {
            id,
            epoch: 4,
            replicas: replicas.iter().map(replica).collect(),
            ..Cell::default()
        }
    }

    fn set(node_id: u64, counted: bool) -> SetCounted {
        SetCounted { node_id, counted }
    }

    #[test]
    fn a_node_is_forgotten_in_all_its_cells_and_counted_from_a_new_epoch() {
        let cells = [cell(1, &[1, 2]), cell(2, &[2, 3]), cell(3, &[1, 3])];
        let forgotten = recount(cells.iter(), &set(2, false)).unwrap();
        let changed: Vec<_> = forgotten.iter().map(|cell| (cell.id, cell.epoch)).collect();
        assert_eq!(changed, [(1, 5), (2, 5)]);
        assert!(forgotten[0].replicas[1].forgotten && !forgotten[0].replicas[0].forgotten);
        assert_eq!(recount(forgotten.iter(), &set(2, false)).unwrap(), []);
        let counted = recount(forgotten.iter(), &set(2, true)).unwrap();
        let replica = &counted[1].replicas[0];
        assert_eq!((replica.forgotten, replica.counted_since), (false, 6));
    }

    #[test]
    fn a_node_that_is_handing_back_can_be_forgotten() {
        let returning = admit(&cell(1, &[1, 2]), NodeId(7)).unwrap().unwrap();
        let forgotten = recount([&returning].into_iter(), &set(7, false)).unwrap();
        assert_eq!(forgotten[0].epoch, 6);
        assert!(forgotten[0].returning[0].forgotten);
        // Until the operator says so, it does not come back by itself.
        assert_eq!(admit(&forgotten[0], NodeId(7)).unwrap(), None);
        let counted = recount(forgotten.iter(), &set(7, true)).unwrap();
        let replica = &counted[0].returning[0];
        assert_eq!((replica.forgotten, replica.counted_since), (false, 7));
    }

    #[test]
    fn a_node_without_replicas_and_the_last_that_counts_are_refused() {
        let cells = [cell(1, &[1, 2])];
        let code = |cells: &[Cell], set| recount(cells.iter(), &set).unwrap_err().code;
        assert_eq!(code(&cells, set(7, false)), ErrorCode::InvalidArguments);
        let forgotten = recount(cells.iter(), &set(2, false)).unwrap();
        assert_eq!(code(&forgotten, set(1, false)), ErrorCode::NotAllowed);
    }
}
