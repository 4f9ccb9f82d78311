//! Who campaigns first when a leader is gone: a pure decision that every replica
//! takes alike. Two candidates at once would each vote for itself, and of the
//! two that are left of three both are needed.

use std::time::Duration;

use causeway_protocol::{CellId, NodeId};

/// The next in line waits this much longer: an election across an ocean is over
/// by then.
const STEP: Duration = Duration::from_millis(450);
/// Followers of a leader that is gone ask for an election so many times; then
/// the ordinary election timeout takes over.
const TRIES: usize = 16;
/// Between two of them, for the one whose turn is first. Not shorter than it
/// takes across an ocean to ask whether a vote would be granted: the answer to
/// the last try would come amid the next.
const PAUSE: Duration = Duration::from_millis(250);

/// One replica's tries to have a lost leader replaced.
#[derive(Debug, Clone)]
pub struct Campaign {
    lost: NodeId,
    wait: Duration,
    pause: Duration,
    tries_left: usize,
}

impl Campaign {
    /// Of `me` against `lost`, when its turn has come.
    pub fn new(cell: CellId, me: NodeId, lost: NodeId, voters: &[NodeId]) -> Self {
        let turn = turn(cell, me, lost, voters);
        Self {
            lost,
            wait: turn,
            // While a voter's lease lasts, all try in vain. Those whose turn is
            // later must not keep pace with the first after that.
            pause: PAUSE + turn,
            tries_left: TRIES,
        }
    }

    /// How long to wait for another's success before the next try; `None` after
    /// the last.
    pub fn next_wait(&mut self) -> Option<Duration> {
        self.tries_left = self.tries_left.checked_sub(1)?;
        Some(std::mem::replace(&mut self.wait, self.pause))
    }

    /// Whether somebody else leads, so that nothing is left to do.
    pub fn is_won_by(&self, leader: Option<NodeId>) -> bool {
        leader.is_some_and(|leader| leader != self.lost)
    }
}

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
    fn a_campaign_waits_for_its_turn_and_ends() {
        let mut campaign = Campaign::new(CellId(1), NodeId(7), NodeId(4), &VOTERS);
        let first = turn(CellId(1), NodeId(7), NodeId(4), &VOTERS);
        let waits: Vec<_> = std::iter::from_fn(|| campaign.next_wait()).collect();
        assert_eq!(waits.len(), TRIES);
        assert_eq!((waits[0], waits[1]), (first, PAUSE + first));
        assert!(!campaign.is_won_by(None) && !campaign.is_won_by(Some(NodeId(4))));
        assert!(campaign.is_won_by(Some(NodeId(9))));
    }

    #[test]
    fn cells_are_spread_over_the_heirs() {
        let first = |cell| turn(CellId(cell), NodeId(9), NodeId(4), &VOTERS).is_zero();
        assert_eq!((0..12).filter(|cell| first(*cell)).count(), 6);
    }
}
