//! Nodes that were replaced and come back with what only their disk has: their
//! metadata counts until the others have it. Pure decisions of the directory's
//! leader.

use causeway_protocol::backbone::{Cell, Replica};
use causeway_protocol::{ApiError, ErrorCode, NodeId};

/// Nodes that may hand back to one cell at a time, or are remembered as forgotten.
const RETURNING_MAX: usize = 8;

/// Those that hand back to a cell, and count.
pub fn returning(cell: &Cell) -> impl Iterator<Item = &Replica> + Clone {
    cell.returning.iter().filter(|replica| !replica.forgotten)
}

/// The cell's next record, in which `node` counts; `None` if it does already, or an
/// operator has declared it gone.
///
/// # Errors
/// [`ErrorCode::Unavailable`] while too many others are handing back.
pub fn admit(cell: &Cell, node: NodeId) -> Result<Option<Cell>, ApiError> {
    let mut present = cell.replicas.iter().chain(&cell.returning);
    if present.any(|replica| replica.node_id == node.0) {
        return Ok(None);
    }
    if returning(cell).count() >= RETURNING_MAX {
        let text = format!("too many nodes are handing back to cell {}", cell.id);
        return Err(ApiError::new(ErrorCode::Unavailable, text));
    }
    let mut cell = cell.clone();
    cell.epoch += 1;
    cell.returning.push(Replica {
        node_id: node.0,
        counted_since: cell.epoch,
        ..Replica::default()
    });
    Ok(Some(cell))
}

/// The cell's next record, without `node` among those that hand back; `None` if it
/// is not there.
pub fn dismiss(cell: &Cell, node: NodeId) -> Option<Cell> {
    let is_it = |replica: &Replica| replica.node_id == node.0 && !replica.forgotten;
    let place = cell.returning.iter().position(is_it)?;
    let mut cell = cell.clone();
    cell.epoch += 1;
    cell.returning.remove(place);
    Some(cell)
}

/// Notes of a replica that was declared gone, and is replaced, that it still is: of
/// the last few.
pub fn remember_forgotten(cell: &mut Cell, replaced: &Replica) {
    if !replaced.forgotten {
        return;
    }
    let forgotten = |replica: &Replica| replica.forgotten;
    if cell.returning.iter().filter(|r| forgotten(r)).count() >= RETURNING_MAX
        && let Some(oldest) = cell.returning.iter().position(forgotten)
    {
        cell.returning.remove(oldest);
    }
    cell.returning.push(Replica {
        node_id: replaced.node_id,
        forgotten: true,
        ..Replica::default()
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell() -> Cell {
        Cell {
            id: 3,
            epoch: 4,
            replicas: vec![Replica {
                node_id: 1,
                ..Replica::default()
            }],
            ..Cell::default()
        }
    }

    #[test]
    fn who_is_back_counts_from_a_new_epoch_until_it_is_done() {
        let admitted = admit(&cell(), NodeId(9)).unwrap().expect("a change");
        assert_eq!((admitted.epoch, &admitted.replicas), (5, &cell().replicas));
        let returning = &admitted.returning[0];
        assert_eq!((returning.node_id, returning.counted_since), (9, 5));
        assert_eq!(admit(&admitted, NodeId(9)).unwrap(), None);

        let dismissed = dismiss(&admitted, NodeId(9)).expect("a change");
        assert_eq!((dismissed.epoch, dismissed.returning.len()), (6, 0));
        assert_eq!(dismiss(&dismissed, NodeId(9)), None);
    }

    #[test]
    fn a_replica_does_not_return_and_not_everybody_at_once() {
        assert_eq!(admit(&cell(), NodeId(1)).unwrap(), None);
        assert_eq!(dismiss(&cell(), NodeId(1)), None);
        let mut full = cell();
        for node in 0..RETURNING_MAX as u64 {
            full = admit(&full, NodeId(100 + node)).unwrap().expect("room");
        }
        let refused = admit(&full, NodeId(9)).unwrap_err();
        assert_eq!(refused.code, ErrorCode::Unavailable);
    }

    #[test]
    fn who_was_declared_gone_stays_so_when_it_is_replaced() {
        let mut record = cell();
        for node_id in 1..=20 {
            let replaced = Replica {
                node_id,
                forgotten: true,
                ..Replica::default()
            };
            remember_forgotten(&mut record, &replaced);
        }
        let remembered: Vec<u64> = record.returning.iter().map(|r| r.node_id).collect();
        assert_eq!(remembered, [13, 14, 15, 16, 17, 18, 19, 20]);
        assert_eq!(admit(&record, NodeId(20)).unwrap(), None);
        assert_eq!(dismiss(&record, NodeId(20)), None);
        assert!(admit(&record, NodeId(9)).unwrap().is_some());
    }
}
