//! How old what a replica holds may be: when it last knew that it lacked nothing
//! of what had been acknowledged.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use causeway_protocol::Position;
use openraft::async_runtime::{Instant as _, WatchReceiver};
use openraft::type_config::alias::WatchReceiverOf;
use openraft::{RaftMetrics, ServerState};
use parking_lot::Mutex;

use super::types::TypeConfig;

/// Stands on the wire for a time that is not known, or too long for it.
const UNKNOWN_MS: u32 = u32::MAX;

/// What a leader says with each append request: at this time, what was
/// acknowledged went as far as this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Claim {
    /// When a quorum still knew the leader.
    pub at: Instant,
    /// How far its log was committed then.
    pub commit: Position,
}

impl Claim {
    /// Reads what came from a leader at `now`; `None` when it had no lease yet.
    pub fn read(now: Instant, quorum_silent_ms: u32, commit: Position) -> Option<Self> {
        let silent = Duration::from_millis(quorum_silent_ms.into());
        let at = (quorum_silent_ms != UNKNOWN_MS).then(|| now.checked_sub(silent))?;
        at.map(|at| Self { at, commit })
    }
}

/// When a replica last lacked nothing. It hears what there is before it has
/// applied it: a claim counts once the state has reached it.
#[derive(Debug, Default)]
pub(super) struct Freshness {
    current_at: Option<Instant>,
    /// The oldest claim that the state has yet to reach.
    ahead: Option<Claim>,
}

impl Freshness {
    /// The leader has claimed this, and the log holds what it sent.
    pub fn heard(&mut self, claim: Claim, applied: Position) {
        self.settle(applied);
        if claim.commit <= applied {
            self.was_current(claim.at);
        } else if self.ahead.is_none() {
            self.ahead = Some(claim);
        }
    }

    /// The replica lacked nothing at `at`.
    pub fn was_current(&mut self, at: Instant) {
        self.current_at = self.current_at.max(Some(at));
    }

    /// How long ago it last lacked nothing; `None` when it does not know.
    pub fn age(&mut self, applied: Position, now: Instant) -> Option<Duration> {
        self.settle(applied);
        let at = self.current_at?;
        Some(now.saturating_duration_since(at))
    }

    fn settle(&mut self, applied: Position) {
        if let Some(claim) = self.ahead.take_if(|claim| claim.commit <= applied) {
            self.was_current(claim.at);
        }
    }
}

/// Shared by those who hear of the leader and those who ask.
pub(super) type SharedFreshness = Arc<Mutex<Freshness>>;

/// The lease of a leader, as its metrics tell; clones share it.
#[derive(Clone)]
pub(super) struct Lease {
    length: Duration,
    metrics: Arc<OnceLock<WatchReceiverOf<TypeConfig, RaftMetrics<TypeConfig>>>>,
}

impl Lease {
    /// A lease of this length; nothing is known of it until it is observed.
    pub fn new(length: Duration) -> Self {
        Self {
            length,
            metrics: Arc::default(),
        }
    }

    /// Watches these metrics. Only the first call counts.
    pub fn observe(&self, metrics: WatchReceiverOf<TypeConfig, RaftMetrics<TypeConfig>>) {
        let _ = self.metrics.set(metrics);
    }

    /// When a quorum last acknowledged this replica as its leader: now, as long as
    /// the lease lasts. `None` for a replica that does not lead or has had none.
    pub fn known_at(&self, now: Instant) -> Option<Instant> {
        let metrics = self.metrics.get()?.borrow_watched();
        if metrics.state != ServerState::Leader {
            return None;
        }
        let voters: Vec<u64> = metrics.membership_config.membership().voter_ids().collect();
        if voters == [metrics.id] {
            return Some(now);
        }
        let silent = metrics.last_quorum_acked?.elapsed();
        match silent < self.length {
            true => Some(now),
            false => now.checked_sub(silent),
        }
    }

    /// What append requests say of it.
    pub fn quorum_silent_ms(&self) -> u32 {
        let now = Instant::now();
        let known = self
            .known_at(now)
            .map(|at| now.saturating_duration_since(at));
        age_ms(known)
    }
}

/// An age as it is told: the largest number stands for one that is not known.
pub(super) fn age_ms(age: Option<Duration>) -> u32 {
    let millis = age.and_then(|age| u32::try_from(age.as_millis()).ok());
    millis.unwrap_or(UNKNOWN_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_claim_counts_once_it_is_applied() {
        let start = Instant::now();
        let mut freshness = Freshness::default();
        assert_eq!(freshness.age(Position(9), start), None, "never heard");

        let claim = |at: u64, commit| Claim {
            at: start + ms(at),
            commit: Position(commit),
        };
        freshness.heard(claim(0, 5), Position(5));
        freshness.heard(claim(100, 7), Position(6));
        freshness.heard(claim(200, 9), Position(6));
        let age =
            |freshness: &mut Freshness, applied| freshness.age(Position(applied), start + ms(300));
        assert_eq!(age(&mut freshness, 6), Some(ms(300)));
        assert_eq!(age(&mut freshness, 7), Some(ms(200)));
        // The later claim was not kept; the next heartbeat brings another.
        freshness.heard(claim(300, 9), Position(9));
        assert_eq!(age(&mut freshness, 9), Some(ms(0)));
        // An older word than the known one changes nothing.
        freshness.heard(claim(50, 1), Position(9));
        assert_eq!(age(&mut freshness, 9), Some(ms(0)));
    }

    #[test]
    fn a_leader_without_a_quorum_makes_nobody_fresh() {
        let now = Instant::now();
        let commit = Position(3);
        let claim = Claim::read(now + ms(5_000), 0, commit).expect("under lease");
        assert_eq!(claim.at, now + ms(5_000));
        let claim = Claim::read(now + ms(5_000), 4_000, commit).expect("a while ago");
        assert_eq!(claim.at, now + ms(1_000));
        assert_eq!(Claim::read(now, UNKNOWN_MS, commit), None);
    }

    #[test]
    fn what_is_not_known_is_the_oldest() {
        assert_eq!(age_ms(Some(ms(1_234))), 1_234);
        assert_eq!(age_ms(None), u32::MAX);
        assert_eq!(age_ms(Some(Duration::MAX)), u32::MAX);
        assert_eq!(Lease::new(ms(700)).quorum_silent_ms(), u32::MAX);
    }
}
