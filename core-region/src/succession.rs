//! Who campaigns first when a leader is gone: a pure decision that every replica
//! takes alike. Two candidates at once would each vote for itself, and of the
//! two that are left of three both are needed.

use std::time::Duration;

use causeway_protocol::{CellId, NodeId};

/// The next in line waits this much longer: an election across an ocean is over
/// by then.
const STEP: Duration = Duration::from_millis(450);

/// How long `me` waits before its campaign against `lost`. The order differs
/// from cell to cell, so that the cells of a lost node are spread over the rest.
pub fn turn(cell: CellId, me: NodeId, lost: NodeId, voters: &[NodeId]) -> Duration {
    let mut heirs: Vec<NodeId> = voters.iter().copied().filter(|n| *n != lost).collect();
    heirs.sort();
    let count = heirs.len().max(1);
    let place = heirs.iter().position(|heir| *heir == me).unwrap_or(count);
    let first = cell.0 as usize % count;
    let turn = (place + count - first) % count;
    STEP * u32::try_from(turn).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VOTERS: [NodeId; 3] = [NodeId(9), NodeId(4), NodeId(7)];

    #[test]
    fn one_heir_goes_at_once_and_each_other_in_its_turn() {
        for cell in 0..10 {
            let mut turns: Vec<_> = [NodeId(9), NodeId(7)]
                .map(|me| turn(CellId(cell), me, NodeId(4), &VOTERS))
                .into();
            turns.sort();
            assert_eq!(turns, [Duration::ZERO, STEP]);
        }
    }

    #[test]
    fn cells_are_spread_over_the_heirs() {
        let first = |cell| turn(CellId(cell), NodeId(9), NodeId(4), &VOTERS).is_zero();
        assert_eq!((0..12).filter(|cell| first(*cell)).count(), 6);
    }
}
