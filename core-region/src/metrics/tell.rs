//! How the numbers are called, and what they mean.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use causeway_gossip::page::{self, Page};
use causeway_transport::backbone::Lanes;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;

use crate::metadata::Counters;

/// How the disk and the clock are.
pub struct Disk {
    pub free_bytes: u64,
    pub stalls: u64,
    pub refused: u64,
    pub unsynced: Duration,
    pub syncs: u64,
    pub sync_times: Histogram,
    pub may_lead: bool,
    pub clock_ahead_ms: i64,
    pub clock_wrong: u64,
    pub faults_injected: bool,
}

impl Default for Disk {
    fn default() -> Self {
        Self {
            free_bytes: 0,
            stalls: 0,
            refused: 0,
            unsynced: Duration::ZERO,
            syncs: 0,
            sync_times: page::times(),
            may_lead: false,
            clock_ahead_ms: 0,
            clock_wrong: 0,
            faults_injected: false,
        }
    }
}

impl Disk {
    pub fn tell(self, page: &mut Page) {
        let help = "Free bytes of the data's file system";
        page.gauge("disk_free_bytes", help, self.free_bytes);
        page.counter("disk_stalls", "Stalls of the disk", self.stalls);
        let help = "How long the oldest write has been waiting for its sync";
        let unsynced_ms = u64::try_from(self.unsynced.as_millis()).unwrap_or(u64::MAX);
        page.gauge("unsynced_ms", help, unsynced_ms);
        let help = "Syncs of the write-ahead log";
        page.counter("wal_syncs", help, self.syncs);
        let help = "How long syncs of the write-ahead log took";
        page.metric("sync_seconds", help, self.sync_times);
        let help = "Whether the node is fit to lead cells";
        page.gauge("may_lead", help, self.may_lead.into());
        let help = "Commands refused as the disk is nearly full";
        page.counter("refused_storage_full", help, self.refused);
        let help = "How far the clock is ahead of the other core nodes'";
        let ahead_ms = ConstGauge::new(self.clock_ahead_ms);
        page.metric("clock_ahead_ms", help, ahead_ms);
        let help = "How often the clock was found not to be that of the others";
        page.counter("clock_wrong", help, self.clock_wrong);
        let help = "Whether faults can be injected into this node";
        page.gauge("faults_injected", help, self.faults_injected.into());
    }
}

/// A replica at a glance.
#[derive(Default)]
pub struct Replica {
    pub cell: String,
    pub applied: u64,
    pub term: u64,
    pub leads: bool,
    pub age_ms: u32,
}

/// The replicas of this node.
#[derive(Default)]
pub struct Replicas {
    pub cells: Vec<Replica>,
    /// Of cells that are led here: cell, other node, and entries that it lacks.
    pub behind: Vec<(String, String, u64)>,
}

impl Replicas {
    /// One of a cell that is led here, and another.
    pub fn example() -> Self {
        Self {
            cells: vec![Replica::default()],
            behind: vec![Default::default()],
        }
    }

    pub fn tell(self, page: &mut Page) {
        let mut by_cell = |name: &str, help: &str, value: &dyn Fn(&Replica) -> u64| {
            let values = self.cells.iter().map(|r| (r.cell.as_str(), value(r)));
            page.gauges((name, help), "cell", values);
        };
        by_cell("cell_applied", "Applied position of each cell", &|r| {
            r.applied
        });
        by_cell("cell_term", "Raft term of each cell", &|r| r.term);
        let help = "Whether this node leads the cell";
        by_cell("cell_leads", help, &|r| r.leads.into());
        let help = "How long ago the replica last knew that it lacks nothing";
        by_cell("cell_age_ms", help, &|r| r.age_ms.into());
        let behind = self
            .behind
            .into_iter()
            .map(|(cell, node, entries)| (vec![("cell", cell), ("node", node)], entries));
        let help = "Entries that another replica lacks of a cell that is led here";
        page.labelled_gauges("cell_behind", help, behind);
    }
}

/// What goes out to edge nodes.
#[derive(Default)]
pub struct Outgoing {
    subscriptions: usize,
    taken: u64,
    dropped: u64,
    waiting: usize,
}

impl Outgoing {
    /// On these lanes.
    pub fn of(subscriptions: usize, lanes: &Lanes) -> Self {
        Self {
            subscriptions,
            taken: lanes.taken(),
            dropped: lanes.dropped(),
            waiting: lanes.waiting(),
        }
    }
}

/// The real-time plane.
#[derive(Default)]
pub struct Plane {
    pub entries: Outgoing,
    pub changes: Outgoing,
    /// Channels and users.
    pub looked_at: usize,
    pub events_dropped: u64,
}

impl Plane {
    pub fn tell(self, page: &mut Page) {
        let Self {
            entries, changes, ..
        } = self;
        let help = "Topics subscribed to by edges";
        page.gauge("subscriptions", help, entries.subscriptions as u64);
        let help = "Entries on their way to edges and channel servers";
        page.gauge("publish_queue", help, entries.waiting as u64);
        let help = "Entries sent to edges and channel servers, also those that were dropped";
        page.counter("published", help, entries.taken);
        let help = "Entries dropped on the way to edges and channel servers";
        page.counter("publish_dropped", help, entries.dropped);
        let help = "Workspaces subscribed to by edges";
        page.gauge("metadata_subscriptions", help, changes.subscriptions as u64);
        let help = "Changes of metadata on their way to edges";
        page.gauge("metadata_publish_queue", help, changes.waiting as u64);
        let help = "Changes of metadata sent to edges, also those that were dropped";
        page.counter("metadata_published", help, changes.taken);
        let help = "Changes of metadata dropped on the way to edges";
        page.counter("metadata_publish_dropped", help, changes.dropped);
        let help = "Channels and users at which edges look";
        page.gauge("looked_at", help, self.looked_at as u64);
        let help = "Events dropped on the way to edges";
        page.counter("events_dropped", help, self.events_dropped);
    }
}

/// Metadata; operations that wait for those they follow, and that could not.
pub fn tell_metadata(page: &mut Page, counters: &Counters, (waiting, no_room): (u64, u64)) {
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let help = "Operations of metadata that wait for those they follow";
    page.gauge("metadata_waiting", help, waiting);
    for (name, help, value) in [
        (
            "metadata_waiting_dropped",
            "Operations of metadata that could not wait for want of room",
            no_room,
        ),
        (
            "metadata_written",
            "Operations of metadata written here",
            count(&counters.written),
        ),
        (
            "metadata_received",
            "Operations of metadata taken from peers",
            count(&counters.received),
        ),
        (
            "metadata_refused_clock",
            "Operations of metadata refused as the writer's clock is too far ahead",
            count(&counters.refused_clock),
        ),
        (
            "metadata_refused_invalid",
            "Operations of metadata refused as they cannot be valid",
            count(&counters.refused_invalid),
        ),
        (
            "metadata_refused_not_counted",
            "Calls refused of replicas whose metadata is not counted",
            count(&counters.refused_not_counted),
        ),
        (
            "metadata_resyncs",
            "Times that a workspace's metadata was taken anew from a peer",
            count(&counters.resyncs),
        ),
        (
            "metadata_collected",
            "Operations of metadata collected from logs",
            count(&counters.collected),
        ),
        (
            "metadata_overflowed",
            "Changes of metadata of which subscribers could not be told in time",
            count(&counters.overflowed),
        ),
    ] {
        page.counter(name, help, value);
    }
}
