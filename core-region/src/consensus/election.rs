//! What a replica learns on the way to an election that makes the next leader
//! start sooner: until when it is bound to the last one, whose log is longer, and
//! where the logs of the others end.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use causeway_protocol::NodeId;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::types::LogId;

/// From the arrival of a request until openraft has taken note of it.
const TAKEN_LATER: Duration = Duration::from_millis(10);

/// Shared by those who hear of the leader and of candidates, and those who
/// campaign; clones share it.
#[derive(Clone, Default)]
pub(super) struct Election(Arc<Shared>);

#[derive(Default)]
struct Shared {
    heard_at: Mutex<Option<Instant>>,
    /// By node: the end of its log, as it said in this term.
    ends: Mutex<HashMap<NodeId, (u64, LogId)>>,
    awaited: Notify,
}

impl Election {
    /// A leader has spoken.
    pub fn heard_leader(&self, now: Instant) {
        *self.0.heard_at.lock() = Some(now);
    }

    /// How long this replica grants nobody a vote, itself included, with leases of
    /// this length.
    pub fn bound_for(&self, lease: Duration, now: Instant) -> Duration {
        let heard_at = *self.0.heard_at.lock();
        let free_at = heard_at.map(|at| at + lease + TAKEN_LATER);
        free_at.map_or(Duration::ZERO, |at| at.saturating_duration_since(now))
    }

    /// A candidate's log ends here, and this replica's there.
    pub fn compared(&self, candidate: Option<LogId>, own: Option<LogId>) {
        if candidate < own {
            self.0.awaited.notify_waiters();
        }
    }

    /// Ends when a candidate turns out to have the shorter log.
    pub async fn awaited(&self) {
        self.0.awaited.notified().await;
    }

    /// A voter said in `term` that its log ends here.
    pub fn voter_ends(&self, node: NodeId, term: u64, end: LogId) {
        self.0.ends.lock().insert(node, (term, end));
    }

    /// Where a voter's log ended when this replica was elected in `term`.
    pub fn end_of(&self, node: NodeId, term: u64) -> Option<LogId> {
        let (of, end) = self.0.ends.lock().get(&node).copied()?;
        (of == term).then_some(end)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    const LEASE: Duration = Duration::from_millis(700);

    fn id(term: u64, index: u64) -> LogId {
        LogId::new_term_index(term, index)
    }

    #[test]
    fn a_replica_is_bound_until_the_lease_it_granted_is_over() {
        let (election, start) = (Election::default(), Instant::now());
        assert_eq!(election.bound_for(LEASE, start), Duration::ZERO);
        election.heard_leader(start);
        assert_eq!(election.bound_for(LEASE, start), LEASE + TAKEN_LATER);
        let over = start + LEASE + TAKEN_LATER;
        assert_eq!(election.bound_for(LEASE, over), Duration::ZERO);
    }

    #[test]
    fn only_a_longer_log_is_awaited() {
        let election = Election::default();
        let mut awaited = std::pin::pin!(election.awaited());
        assert_eq!(awaited.as_mut().now_or_never(), None);
        election.compared(Some(id(1, 7)), Some(id(1, 7)));
        election.compared(Some(id(2, 1)), Some(id(1, 7)));
        assert_eq!(awaited.as_mut().now_or_never(), None);
        election.compared(Some(id(1, 6)), Some(id(1, 7)));
        assert_eq!(awaited.now_or_never(), Some(()));
    }

    #[test]
    fn the_end_of_a_log_counts_in_the_term_it_was_told_in() {
        let (election, node) = (Election::default(), NodeId(3));
        assert_eq!(election.end_of(node, 2), None);
        election.voter_ends(node, 2, id(1, 9));
        assert_eq!(election.end_of(node, 2), Some(id(1, 9)));
        assert_eq!(election.end_of(node, 3), None);
        assert_eq!(election.end_of(NodeId(4), 2), None);
    }
}
