//! Whose turn it is while leadership moves from one replica to another: a
//! command that comes meanwhile waits where the next leader will be, instead of
//! being sent around.

use std::sync::Arc;
use std::time::{Duration, Instant};

use causeway_protocol::NodeId;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::{Leadership, ProposeError};

/// An election across an ocean, and the new leader's lease, take less.
const HOLD: Duration = Duration::from_secs(1);

/// What one replica knows of a transfer; clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Handover(Arc<Mutex<Known>>);

#[derive(Debug, Clone, Copy, Default)]
struct Known {
    /// This replica led in this term, and has named its successor.
    successor: Option<(u64, NodeId)>,
    /// The leader of this term has named this replica its successor.
    named_in: Option<u64>,
}

impl Handover {
    /// The leader of `term`, which this replica is, hands over to `to`.
    pub fn begin(&self, term: u64, to: NodeId) {
        self.0.lock().successor = Some((term, to));
    }

    /// The leader of `term` hands over to this replica.
    pub fn named(&self, term: u64) {
        self.0.lock().named_in = Some(term);
    }

    /// Who takes over from this replica.
    pub fn successor(&self, now: &Leadership) -> Option<NodeId> {
        let (term, successor) = self.0.lock().successor?;
        (now.leads && now.term == term).then_some(successor)
    }

    /// Waits for this replica to lead with a lease, as long as that may come
    /// about.
    ///
    /// # Errors
    /// [`ProposeError::NotLeader`] as soon as another leads or is about to;
    /// [`ProposeError::Unavailable`] when nobody does for [`HOLD`].
    pub async fn turn(
        &self,
        mut leadership: watch::Receiver<Leadership>,
        since: Instant,
    ) -> Result<(), ProposeError> {
        let decided = leadership.wait_for(|now| now.ready || self.is_elsewhere(now));
        let decided = tokio::time::timeout_at((since + HOLD).into(), decided).await;
        let decided = decided.map(|known| known.map(|now| *now));
        match decided {
            Ok(Ok(now)) if self.is_elsewhere(&now) => Err(ProposeError::NotLeader),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(ProposeError::Stopped),
            Err(_) if leadership.borrow().leads => Err(ProposeError::Unavailable),
            Err(_) => Err(ProposeError::NotLeader),
        }
    }

    /// Another replica leads, or is about to, other than by this one's election.
    fn is_elsewhere(&self, now: &Leadership) -> bool {
        if now.leads {
            return self.successor(now).is_some();
        }
        now.leader.is_some() && self.0.lock().named_in != Some(now.term)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: NodeId = NodeId(1);
    const OTHER: NodeId = NodeId(2);

    fn follower(term: u64) -> Leadership {
        Leadership {
            term,
            leader: Some(OTHER),
            ..Leadership::default()
        }
    }

    fn leader(term: u64, ready: bool) -> Leadership {
        Leadership {
            term,
            leader: Some(ME),
            leads: true,
            ready,
        }
    }

    async fn turn(handover: &Handover, steps: &[Leadership]) -> Result<(), ProposeError> {
        let (sender, receiver) = watch::channel(steps[0]);
        let turn = handover.turn(receiver, Instant::now());
        let stepping = async {
            for step in &steps[1..] {
                tokio::task::yield_now().await;
                sender.send(*step).unwrap();
            }
            std::future::pending().await
        };
        tokio::select! {
            turn = turn => turn,
            () = stepping => unreachable!(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_follower_sends_on_and_a_named_one_waits_for_its_election() {
        let handover = Handover::default();
        let steps = [follower(3), leader(4, false), leader(4, true)];
        assert_eq!(turn(&handover, &steps).await, Err(ProposeError::NotLeader));
        handover.named(3);
        assert_eq!(turn(&handover, &steps).await, Ok(()));
        let lost = [follower(3), follower(5)];
        assert_eq!(turn(&handover, &lost).await, Err(ProposeError::NotLeader));
        assert_eq!(
            turn(&handover, &[follower(3)]).await,
            Err(ProposeError::NotLeader)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn who_hands_over_sends_on_at_once() {
        let handover = Handover::default();
        handover.begin(4, OTHER);
        assert_eq!(handover.successor(&leader(4, true)), Some(OTHER));
        let steps = [leader(4, true)];
        assert_eq!(turn(&handover, &steps).await, Err(ProposeError::NotLeader));
        // Elected anew, it leads like any other.
        assert_eq!(handover.successor(&leader(6, true)), None);
        assert_eq!(turn(&handover, &[leader(6, true)]).await, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn an_election_is_waited_for_but_not_for_ever() {
        let nobody = Leadership {
            term: 5,
            ..Leadership::default()
        };
        let handover = Handover::default();
        let won = [nobody, leader(5, false), leader(5, true)];
        assert_eq!(turn(&handover, &won).await, Ok(()));
        let lost = [nobody, follower(5)];
        assert_eq!(turn(&handover, &lost).await, Err(ProposeError::NotLeader));
        let isolated = [leader(5, false)];
        assert_eq!(
            turn(&handover, &isolated).await,
            Err(ProposeError::Unavailable)
        );
    }
}
