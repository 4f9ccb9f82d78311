//! Hybrid logical clocks: times that follow the wall clock, grow with every
//! operation, and are later than all that the writer has seen (Kulkarni and
//! others, "Logical Physical Clocks", 2014).

use thiserror::Error;

/// A peer's time may be ahead of this node's clock by so much.
const AHEAD_MS_MAX: u64 = 10_000;
/// The clock is persisted so far ahead of itself, to write that seldom.
const RESERVE_MS: u64 = 1_000;
/// Bits of the counter among operations of one millisecond.
const COUNTER_BITS: u32 = 16;

/// Milliseconds since 1970 and a counter within the millisecond, in one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct HybridTime(pub u64);

impl HybridTime {
    /// The first of a millisecond.
    pub fn at_ms(ms: u64) -> Self {
        Self(ms << COUNTER_BITS)
    }

    /// Milliseconds since 1970.
    pub fn ms(self) -> u64 {
        self.0 >> COUNTER_BITS
    }

    /// By how much it is further ahead of a clock than a peer's time may be.
    pub fn too_far_ahead(self, now_us: u64) -> Option<TooFarAhead> {
        let ahead_ms = self.ms().saturating_sub(now_us / 1_000);
        (ahead_ms > AHEAD_MS_MAX).then_some(TooFarAhead { ahead_ms })
    }

    /// The next time.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// Microseconds since 1970, as people are told.
    pub fn us(self) -> u64 {
        self.ms() * 1_000
    }
}

/// A time that is too far ahead to be taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{ahead_ms} ms ahead of this node's clock, which is more than {AHEAD_MS_MAX}")]
pub struct TooFarAhead {
    /// By so much.
    pub ahead_ms: u64,
}

/// A node's clock: the decision what time it is.
#[derive(Debug, Clone, Default)]
pub struct HybridClock {
    last: HybridTime,
    reserved: HybridTime,
}

impl HybridClock {
    /// Goes on after `reserved`, which an earlier life has left.
    pub fn after(reserved: HybridTime) -> Self {
        Self {
            last: reserved,
            reserved,
        }
    }

    /// The time of an operation written now: later than all given or seen before.
    pub fn tick(&mut self, now_us: u64) -> HybridTime {
        let now = HybridTime::at_ms(now_us / 1_000);
        self.last = now.max(self.last.next());
        self.last
    }

    /// Takes in the time of a peer's operation.
    ///
    /// # Errors
    /// [`TooFarAhead`]; the clock stays where it is.
    pub fn observe(&mut self, time: HybridTime, now_us: u64) -> Result<(), TooFarAhead> {
        if let Some(ahead) = time.too_far_ahead(now_us) {
            return Err(ahead);
        }
        self.last = self.last.max(time);
        Ok(())
    }

    /// The last time that was given or seen.
    pub fn last(&self) -> HybridTime {
        self.last
    }

    /// Goes on after `time`, at which something was written.
    pub fn pass(&mut self, time: HybridTime) {
        self.last = self.last.max(time);
    }

    /// What must be on disk before the last time is: a later life goes on after
    /// it. `None` while what is there is enough.
    pub fn to_reserve(&mut self) -> Option<HybridTime> {
        if self.last < self.reserved {
            return None;
        }
        self.reserved = HybridTime::at_ms(self.last.ms() + RESERVE_MS);
        Some(self.reserved)
    }

    /// Goes back to `time`; for a replica that has taken its later operations
    /// back, which nobody else had.
    pub fn set_back(&mut self, time: HybridTime) {
        if time < self.last {
            (self.last, self.reserved) = (time, time);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAWN_US: u64 = 1_700_000_000_000_000;

    proptest! {
        /// Whatever wall clocks do, and over restarts: times grow.
        #[test]
        fn times_grow(steps in prop::collection::vec((0..4u8, 0..5_000_000u64), 1..100)) {
            let mut clock = HybridClock::default();
            let (mut on_disk, mut last) = (HybridTime::default(), HybridTime::default());
            for (step, jump_us) in steps {
                let now_us = DAWN_US + jump_us;
                match step {
                    0 => clock = HybridClock::after(on_disk),
                    1 => {
                        let seen = HybridTime::at_ms(now_us / 1_000);
                        prop_assert!(clock.observe(seen, DAWN_US).is_ok());
                        last = last.max(seen);
                        on_disk = clock.to_reserve().unwrap_or(on_disk);
                    }
                    _ => {
                        let time = clock.tick(now_us);
                        prop_assert!(time > last);
                        last = time;
                        on_disk = clock.to_reserve().unwrap_or(on_disk);
                        prop_assert!(on_disk > time);
                    }
                }
            }
        }
    }

    #[test]
    fn a_time_too_far_ahead_moves_nothing() {
        let mut clock = HybridClock::default();
        let before = clock.tick(DAWN_US);
        let hour = HybridTime::at_ms(DAWN_US / 1_000 + 3_600_000);
        let refused = clock.observe(hour, DAWN_US);
        assert_eq!(
            refused,
            Err(TooFarAhead {
                ahead_ms: 3_600_000
            })
        );
        assert!(clock.tick(DAWN_US).0 - before.0 == 1);
    }

    #[test]
    fn the_disk_is_written_to_seldom() {
        let mut clock = HybridClock::default();
        let reservations = (0..10_000).filter(|ms| {
            clock.tick(DAWN_US + ms * 1_000);
            clock.to_reserve().is_some()
        });
        assert!(reservations.count() <= 11);
    }
}
