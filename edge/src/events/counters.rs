//! What has become of events.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts since the node started.
#[derive(Debug, Default)]
pub struct Counters {
    /// Sent on by sessions of this node.
    pub sent: AtomicU64,
    /// Given to sessions of this node.
    pub delivered: AtomicU64,
    /// Told of somebody's coming or going, by frame.
    pub presences: AtomicU64,
    /// Typing that others knew of already.
    pub repeated: AtomicU64,
    /// Too many of one session.
    pub too_many: AtomicU64,
    /// Of a channel that is not the session's, or not what events should be.
    pub invalid: AtomicU64,
    /// No channel server is known.
    pub nowhere: AtomicU64,
    /// A session has too many waiting.
    pub full: AtomicU64,
}

impl Counters {
    /// Those that were dropped, by why.
    pub fn dropped(&self) -> [(&'static str, &AtomicU64); 5] {
        [
            ("repeated", &self.repeated),
            ("too_many", &self.too_many),
            ("invalid", &self.invalid),
            ("nowhere", &self.nowhere),
            ("full", &self.full),
        ]
    }

    /// Counts one.
    pub fn add(&self, which: impl Fn(&Self) -> &AtomicU64) {
        which(self).fetch_add(1, Ordering::Relaxed);
    }
}
