//! Virtual time, and the clocks that nodes read instead.

use std::ops::{Add, Sub};
use std::time::{Duration, Instant};

/// Time since the run began, as nobody in the world can read it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    pub micros: u64,
}

impl Time {
    pub fn from_millis(millis: u64) -> Self {
        Self {
            micros: millis * 1_000,
        }
    }

    pub fn millis(self) -> u64 {
        self.micros / 1_000
    }
}

impl Add<Duration> for Time {
    type Output = Self;

    fn add(self, time: Duration) -> Self {
        Self {
            micros: self.micros + micros(time),
        }
    }
}

impl Sub for Time {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        Duration::from_micros(self.micros.saturating_sub(earlier.micros))
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).expect("a short time")
}

/// A host's clocks: the monotonic one runs a little fast or slow, the time of
/// day is off by up to an hour.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    pub base: Instant,
    pub drift_ppm: u64,
    pub wall_offset_us: u64,
}

impl Clock {
    pub fn instant(&self, now: Time) -> Instant {
        let fast = now.micros / 1_000_000 * self.drift_ppm
            + now.micros % 1_000_000 * self.drift_ppm / 1_000_000;
        self.base + Duration::from_micros(now.micros + fast)
    }

    /// Microseconds since 1970, as this host believes.
    pub fn wall_us(&self, now: Time) -> u64 {
        1_700_000_000_000_000 + self.wall_offset_us + now.micros
    }
}
