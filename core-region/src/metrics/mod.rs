//! A core node's numbers, for Prometheus.

mod tell;

use std::time::{Duration, Instant};

use causeway_gossip::Gossip;
use causeway_gossip::page::{self, Page};
use causeway_protocol::{ApiError, client};
use causeway_transport::backbone::Backbone;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;

use self::tell::{Disk, Outgoing, Plane, Replica, Replicas, tell_metadata};
use crate::cells::Cells;
use crate::channel_server::ChannelServer;
use crate::directory::SharedBook;
use crate::feeds::Feeds;
use crate::metadata::{Counters, Metadata};
use crate::store::Store;
use crate::vitals::Vitals;

/// Names on the page begin with this.
const PREFIX: &str = "causeway_core";

/// What a core node measures as it happens; clones share it.
#[derive(Debug, Clone)]
pub struct Measures {
    /// Commands, until they were committed and applied.
    pub commits: Histogram,
    requests: Histogram,
    answers: Family<page::Label, Counter>,
}

impl Default for Measures {
    fn default() -> Self {
        Self {
            commits: page::times(),
            requests: page::times(),
            answers: Family::default(),
        }
    }
}

impl Measures {
    /// A request of a user has been carried out, or not.
    pub fn executed(&self, took: Duration, executed: &Result<client::Response, ApiError>) {
        self.requests.observe(took.as_secs_f64());
        let code = executed.as_ref().err().map_or("ok", |e| e.code.as_str());
        self.answers.get_or_create(&[("code", code)]).inc();
    }

    fn tell(&self, page: &mut Page) {
        page.metric(
            "commit_seconds",
            "Time from a command to its being committed and applied",
            self.commits.clone(),
        );
        page.metric(
            "request_seconds",
            "Time that requests of users took here",
            self.requests.clone(),
        );
        page.metric(
            "answers",
            "Answers to requests of users, by code",
            self.answers.clone(),
        );
    }
}

/// Where the numbers come from.
#[derive(Clone)]
pub struct Metrics {
    /// The disk.
    pub store: Store,
    /// How the node is.
    pub vitals: Vitals,
    /// The replicas.
    pub cells: Cells,
    /// The copy of the directory.
    pub book: SharedBook,
    /// Who is there.
    pub gossip: Gossip,
    /// The connections to them.
    pub backbone: Backbone,
    /// The real-time plane.
    pub channel_server: ChannelServer,
    /// The metadata.
    pub metadata: Metadata,
    /// Who is told of it.
    pub feeds: Feeds,
    /// What was measured.
    pub measures: Measures,
}

impl Metrics {
    /// The numbers as they are now.
    pub fn render(&self) -> String {
        let mut page = Page::new(PREFIX);
        page.peers(&self.gossip.membership(), &self.backbone);
        let directory_version = self.book.get().version();
        let help = "Version of the directory";
        page.gauge("directory_version", help, directory_version);
        self.disk().tell(&mut page);
        self.replicas().tell(&mut page);
        self.plane().tell(&mut page);
        tell_metadata(&mut page, self.metadata.counters(), self.metadata.early());
        self.measures.tell(&mut page);
        page.render()
    }

    fn disk(&self) -> Disk {
        let (stalls, refused, free_bytes) = self.vitals.counts();
        let flusher = self.store.flusher();
        let (ahead_us, clock_wrong) = self.vitals.clock().error();
        Disk {
            free_bytes,
            stalls,
            refused,
            unsynced: flusher.oldest_wait(Instant::now()).unwrap_or_default(),
            syncs: flusher.syncs(),
            sync_times: flusher.times(),
            may_lead: self.vitals.unfit().borrow().is_none(),
            clock_ahead_ms: ahead_us / 1_000,
            clock_wrong,
            faults_injected: self.store.faults().is_configured(),
        }
    }

    fn replicas(&self) -> Replicas {
        let membership = self.gossip.membership();
        let mut replicas = Replicas::default();
        for cell in self.cells.all() {
            let (id, consensus) = (cell.id().to_string(), cell.consensus());
            let status = consensus.status();
            let leads = status.leadership.ready;
            replicas.cells.push(Replica {
                cell: id.clone(),
                applied: status.applied.0,
                term: status.leadership.term,
                leads,
                age_ms: consensus.age_ms(),
            });
            for (node, index) in status.matched.iter().filter(|_| leads) {
                let name = membership.get(*node).map(|member| member.name.to_string());
                let name = name.unwrap_or_else(|| node.to_string());
                let behind = status.applied.0.saturating_sub(*index);
                replicas.behind.push((id.clone(), name, behind));
            }
        }
        replicas
    }

    fn plane(&self) -> Plane {
        let (server, feeds) = (&self.channel_server, &self.feeds);
        let (looked_at, events_dropped) = server.event_counts();
        Plane {
            entries: Outgoing::of(server.subscriptions(), server.lanes()),
            changes: Outgoing::of(feeds.subscriptions(), feeds.lanes()),
            looked_at,
            events_dropped,
        }
    }
}

/// A page with every name that there is.
pub fn example() -> String {
    let mut page = Page::new(PREFIX);
    page.members(1, [("peer".to_owned(), Duration::ZERO)]);
    page.gauge("directory_version", "Version of the directory", 0);
    Disk::default().tell(&mut page);
    Replicas::example().tell(&mut page);
    Plane::default().tell(&mut page);
    tell_metadata(&mut page, &Counters::default(), (0, 0));
    let measures = Measures::default();
    measures.executed(Duration::ZERO, &Ok(client::Response::default()));
    measures.tell(&mut page);
    page.render()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_has_all_names() {
        let page = example();
        for name in [
            "members gauge",
            "disk_stalls counter",
            "sync_seconds histogram",
            "cell_behind gauge",
            "metadata_written counter",
            "commit_seconds histogram",
            "answers counter",
        ] {
            let line = format!("# TYPE causeway_core_{name}");
            assert!(
                page.lines().any(|l| l == line),
                "`{line}` is missing in {page}"
            );
        }
    }
}
