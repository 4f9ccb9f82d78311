//! What has been done so far, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts.
#[derive(Debug, Default)]
pub struct Counters {
    /// Boots.
    pub boots: AtomicU64,
    /// Boots from what was there.
    pub hits: AtomicU64,
    /// Those for which something had to be read.
    pub misses: AtomicU64,
    /// Readings from replicas.
    pub core_reads: AtomicU64,
    /// Boots that were passed on to a replica, as the client knew more or too little was read.
    pub alone: AtomicU64,
    /// Boots and queries from what was there, however old, as no replica answered.
    pub old: AtomicU64,
    /// Boots and queries that the holder was asked for.
    pub passed_on: AtomicU64,
    /// Things that had to go, as there was no room.
    pub evicted: AtomicU64,
    /// Boots that were refused, as too many came at once.
    pub refused: AtomicU64,
}

impl Counters {
    /// Counts one more.
    pub fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}
