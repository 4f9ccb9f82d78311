//! Rates, and the limiters that keep to them: of one, or of each of many.

use std::fmt;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{InsufficientCapacity, NotUntil, Quota, RateLimiter};
use serde::{Deserialize, Serialize};

use super::clock::{Moment, TokioClock};
use super::table::BoundedTable;

/// So many a second, after so many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// In the long run.
    pub per_s: u32,
    /// At once, by one who has been quiet.
    pub burst: u32,
}

impl Rate {
    /// `per_s`, after `burst`.
    pub const fn new(per_s: u32, burst: u32) -> Self {
        Self { per_s, burst }
    }

    /// For a limiter that counts in parts: `parts` make one.
    fn quota(self, parts: u32) -> Quota {
        let counted = |n: u32| non_zero(n.saturating_mul(parts));
        Quota::per_second(counted(self.per_s)).allow_burst(counted(self.burst))
    }
}

fn non_zero(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN)
}

type Limiter<K, S> = RateLimiter<K, S, TokioClock, NoOpMiddleware<Moment>>;
type Answer = Result<Result<(), NotUntil<Moment>>, InsufficientCapacity>;

/// The limiter of one.
pub struct Single(Limiter<NotKeyed, InMemoryState>);

impl Single {
    /// Counts in parts, of which so many make one.
    pub fn new(rate: Rate, parts: u32) -> Self {
        let state = InMemoryState::default();
        Self(RateLimiter::new(rate.quota(parts), state, TokioClock))
    }

    /// Takes so many parts, or tells how long to wait for them.
    ///
    /// # Errors
    /// The time to wait.
    pub fn take(&self, parts: NonZeroU32) -> Result<(), Duration> {
        within_burst(parts, |parts| self.0.check_n(parts))
    }
}

impl fmt::Debug for Single {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Single").finish_non_exhaustive()
    }
}

/// A limiter for each of many.
pub struct Keyed<K: Hash + Eq + Clone>(Limiter<K, BoundedTable<K>>);

impl<K: Hash + Eq + Clone> Keyed<K> {
    /// Remembers up to `entries_max`; counts in parts, of which so many make one.
    pub fn new(rate: Rate, parts: u32, entries_max: usize) -> Self {
        let quota = rate.quota(parts);
        let table = BoundedTable::new(entries_max, quota);
        Self(RateLimiter::new(quota, table, TokioClock))
    }

    /// Takes so many parts of what `key` has, or tells how long to wait for them.
    ///
    /// # Errors
    /// The time to wait.
    pub fn take(&self, key: &K, parts: NonZeroU32) -> Result<(), Duration> {
        within_burst(parts, |parts| self.0.check_key_n(key, parts))
    }

    #[cfg(test)]
    pub fn remembered(self) -> usize {
        self.0.into_state_store().len()
    }
}

impl<K: Hash + Eq + Clone> fmt::Debug for Keyed<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyed").finish_non_exhaustive()
    }
}

/// What weighs more than a whole burst takes a whole burst.
fn within_burst(parts: NonZeroU32, take: impl Fn(NonZeroU32) -> Answer) -> Result<(), Duration> {
    let answer = match take(parts) {
        Err(InsufficientCapacity(burst)) => take(non_zero(burst)),
        answer => answer,
    };
    match answer {
        Ok(Err(not_until)) => Err(not_until.wait_time_from(TokioClock.now())),
        Ok(Ok(())) | Err(InsufficientCapacity(_)) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::advance;

    use super::*;

    const ONE: NonZeroU32 = NonZeroU32::MIN;

    #[tokio::test(start_paused = true)]
    async fn after_a_burst_the_rate_is_kept() {
        let single = Single::new(Rate::new(10, 3), 1);
        for _ in 0..3 {
            single.take(ONE).unwrap();
        }
        assert_eq!(single.take(ONE), Err(Duration::from_millis(100)));
        advance(Duration::from_millis(99)).await;
        assert_eq!(single.take(ONE), Err(Duration::from_millis(1)));
        advance(Duration::from_millis(1)).await;
        single.take(ONE).unwrap();
        single.take(ONE).unwrap_err();
        advance(Duration::from_secs(60)).await;
        let taken = (0..10).filter(|_| single.take(ONE).is_ok());
        assert_eq!(taken.count(), 3, "a burst, however long it was quiet");
    }

    #[tokio::test(start_paused = true)]
    async fn parts_add_up_and_what_is_too_heavy_takes_all() {
        let single = Single::new(Rate::new(1, 2), 10);
        let parts = |n| NonZeroU32::new(n).unwrap();
        single.take(parts(19)).unwrap();
        single.take(parts(1)).unwrap();
        assert_eq!(single.take(parts(5)), Err(Duration::from_millis(500)));
        advance(Duration::from_millis(1_900)).await;
        assert_eq!(single.take(parts(1_000)), Err(Duration::from_millis(100)));
        advance(Duration::from_millis(100)).await;
        single.take(parts(1_000)).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn each_has_a_rate_of_its_own() {
        let keyed = Keyed::new(Rate::new(1, 1), 1, 10);
        keyed.take(&'a', ONE).unwrap();
        keyed.take(&'a', ONE).unwrap_err();
        keyed.take(&'b', ONE).unwrap();
        advance(Duration::from_secs(1)).await;
        keyed.take(&'a', ONE).unwrap();
    }
}
