//! Who campaigns first when a leader is gone: a pure decision that every replica
//! takes alike. Two candidates at once would each vote for itself, and of the
//! two that are left of three both are needed.

use std::time::Duration;

use causeway_protocol::NodeId;
use causeway_protocol::backbone::{Cell, Replica};

/// The next in line waits this much longer: an election across an ocean is over
/// by then.
const STEP: Duration = Duration::from_millis(450);
/// Voters that are being drained wait this much longer than the last of the
/// others, who have tried several times by then.
const LAST_RESORT: Duration = Duration::from_secs(1);
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
    pub fn new(
        cell: &Cell,
        me: NodeId,
        lost: NodeId,
        is_drained: impl Fn(&Replica) -> bool,
    ) -> Self {
        let turn = turn(cell, me, lost, is_drained);
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
/// Those that are being drained come last, and only if nobody else leads by then.
pub fn turn(
    cell: &Cell,
    me: NodeId,
    lost: NodeId,
    is_drained: impl Fn(&Replica) -> bool,
) -> Duration {
    let heirs = cell.replicas.iter();
    let heirs = heirs.filter(|r| !r.learner && r.node_id != lost.0);
    let (drained, open): (Vec<&Replica>, Vec<&Replica>) = heirs.partition(|r| is_drained(r));
    let last = drained.iter().any(|r| r.node_id == me.0);
    match last && !open.is_empty() {
        true => LAST_RESORT + STEP * (count(&open) + place(cell.id, me, &drained)),
        false if open.is_empty() => STEP * place(cell.id, me, &drained),
        false => STEP * place(cell.id, me, &open),
    }
}

fn count(replicas: &[&Replica]) -> u32 {
    u32::try_from(replicas.len()).unwrap_or(u32::MAX)
}

/// Of these, how many go before `me`.
fn place(cell: u32, me: NodeId, heirs: &[&Replica]) -> u32 {
    let mut ids: Vec<u64> = heirs.iter().map(|r| r.node_id).collect();
    ids.sort_unstable();
    let count = ids.len().max(1);
    let place = ids.iter().position(|id| *id == me.0).unwrap_or(count);
    let first = cell as usize % count;
    u32::try_from((place + count - first) % count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(id: u32, voters: &[u64]) -> Cell {
        let replicas = voters.iter().map(|node_id| Replica {
            node_id: *node_id,
            ..Replica::default()
        });
        Cell {
            id,
            replicas: replicas.collect(),
            ..Cell::default()
        }
    }

    /// In a cell of the nodes 9, 4 and 7, of which 4 is lost.
    fn turn_of_three(id: u32, me: u64) -> Duration {
        turn(&cell(id, &[9, 4, 7]), NodeId(me), NodeId(4), |_| false)
    }

    #[test]
    fn one_heir_goes_at_once_and_each_other_in_its_turn() {
        for id in 0..10 {
            let mut turns = [9, 7].map(|me| turn_of_three(id, me));
            turns.sort();
            assert_eq!(turns, [Duration::ZERO, STEP]);
        }
    }

    #[test]
    fn a_campaign_waits_for_its_turn_and_ends() {
        let cell = cell(1, &[9, 4, 7]);
        let mut campaign = Campaign::new(&cell, NodeId(7), NodeId(4), |_| false);
        let first = turn_of_three(1, 7);
        let waits: Vec<_> = std::iter::from_fn(|| campaign.next_wait()).collect();
        assert_eq!(waits.len(), TRIES);
        assert_eq!((waits[0], waits[1]), (first, PAUSE + first));
        assert!(!campaign.is_won_by(None) && !campaign.is_won_by(Some(NodeId(4))));
        assert!(campaign.is_won_by(Some(NodeId(9))));
    }

    #[test]
    fn cells_are_spread_over_the_heirs() {
        let first = |id: &u32| turn_of_three(*id, 9).is_zero();
        assert_eq!((0..12).filter(first).count(), 6);
    }

    #[test]
    fn the_drained_go_last_and_hold_nobody_up() {
        let is_drained = |r: &Replica| [2, 5].contains(&r.node_id);
        for id in 0..10 {
            let cell = cell(id, &[1, 2, 3, 4, 5]);
            let turn = |me| turn(&cell, NodeId(me), NodeId(1), is_drained);
            let (mut open, mut drained) = ([3, 4].map(turn), [2, 5].map(turn));
            open.sort();
            drained.sort();
            assert_eq!(
                open,
                [Duration::ZERO, STEP],
                "as if the others were not there"
            );
            assert_eq!(drained, [2, 3].map(|before| LAST_RESORT + STEP * before));
        }
    }

    #[test]
    fn with_nobody_else_the_drained_go_at_once() {
        let cell = cell(0, &[9, 4, 7]);
        let turn = |me| turn(&cell, NodeId(me), NodeId(4), |_| true);
        assert_eq!([7, 9].map(turn), [Duration::ZERO, STEP]);
    }
}
