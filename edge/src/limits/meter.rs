//! What one connection asks, and how often it has been refused for that.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::cost::PARTS;
use super::rate::{Rate, Single};

/// Refusals for asking too much that a connection may collect. Whoever waits as told
/// comes nowhere near; whoever does not listen costs more than it is worth.
const REFUSALS: Rate = Rate::new(100, 5_000);

/// A connection's own limits.
#[derive(Debug)]
pub struct Meter {
    requests: Single,
    refusals: Single,
    has_flooded: AtomicBool,
}

impl Meter {
    pub(super) fn new(requests: Rate) -> Self {
        Self {
            requests: Single::new(requests, PARTS),
            refusals: Single::new(REFUSALS, 1),
            has_flooded: AtomicBool::new(false),
        }
    }

    pub(super) fn take(&self, parts: NonZeroU32) -> Result<(), Duration> {
        self.requests.take(parts)
    }

    /// Whether that has come.
    pub(super) fn has_flooded(&self) -> bool {
        self.has_flooded.load(Ordering::Relaxed)
    }

    /// Notes a refusal; whether it is the one that is too many.
    pub(super) fn floods(&self) -> bool {
        let one = NonZeroU32::MIN;
        self.refusals.take(one).is_err() && !self.has_flooded.swap(true, Ordering::Relaxed)
    }
}
