//! The numbers of what is kept of workspaces.

use std::time::Duration;

use causeway_gossip::page::Page;

use super::count;
use crate::flannel::counters::Counters;

/// How much is kept.
#[derive(Debug, Default)]
pub struct Kept {
    /// Workspaces.
    pub workspaces: usize,
    /// Bytes, about.
    pub bytes: usize,
    /// Of the oldest of it.
    pub age: Duration,
    /// Calls to core nodes so far, of the whole edge node.
    pub calls: u64,
}

/// Writes them.
pub fn tell(page: &mut Page, counters: &Counters, kept: &Kept) {
    for (name, help, counter) in [
        ("boots", "Boots", &counters.boots),
        ("flannel_hits", "Boots from what was kept", &counters.hits),
        (
            "flannel_misses",
            "Boots for which something was read",
            &counters.misses,
        ),
        (
            "flannel_core_reads",
            "Readings from replicas for boots and queries",
            &counters.core_reads,
        ),
        (
            "flannel_alone",
            "Boots that only a replica could serve",
            &counters.alone,
        ),
        (
            "flannel_old",
            "Answers while no replica was within reach",
            &counters.old,
        ),
        (
            "flannel_passed_on",
            "Boots and queries that another edge node of the PoP was asked for",
            &counters.passed_on,
        ),
        (
            "flannel_evicted",
            "Things that made room for others",
            &counters.evicted,
        ),
        (
            "boots_refused",
            "Boots refused, as too many came at once",
            &counters.refused,
        ),
    ] {
        page.counter(name, help, count(counter));
    }
    page.counter("calls", "Calls to core nodes", kept.calls);
    let help = "Workspaces that are kept";
    page.gauge("flannel_workspaces", help, kept.workspaces as u64);
    let help = "What that takes, about";
    page.gauge("flannel_bytes", help, kept.bytes as u64);
    let help = "How old the oldest of it is, in seconds";
    page.gauge("flannel_age_seconds", help, kept.age.as_secs());
}
