//! An edge node's numbers, for Prometheus.

mod measures;
mod probes;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use causeway_gossip::page::Page;
use causeway_gossip::{Gossip, Router};
use causeway_protocol::ErrorCode;

pub use self::measures::{Kind, Measures, Presence};
pub use self::probes::{Probe, Probes, Sample};
use crate::events::{self, Events};
use crate::feeds::Feeds;
use crate::flannel::{self, Flannel};
use crate::hub::{Counters, Hubs};
use crate::limits::admission::Reason;
use crate::limits::door::Door;
use crate::limits::{self, Limit, Limits, LimitsConfig};
use crate::refusals::Refusals;
use crate::upstream::Upstream;

/// Names on the page begin with this.
const PREFIX: &str = "causeway_edge";

const CALLS: &str = "Calls to core nodes";

/// Where the numbers come from.
#[derive(Clone)]
pub struct Metrics {
    /// Sessions and deliveries.
    pub hubs: Hubs,
    /// The way to the cells.
    pub upstream: Upstream,
    /// Workspaces whose metadata is followed.
    pub feeds: Feeds,
    /// What is kept of workspaces.
    pub flannel: Flannel,
    /// What is not stored.
    pub events: Events,
    /// What was refused.
    pub refusals: Arc<Refusals>,
    /// What was over a limit.
    pub limits: Limits,
    /// Who came in.
    pub doors: Doors,
    /// What was measured.
    pub measures: Measures,
    /// Who is there.
    pub gossip: Gossip,
    /// The way to them.
    pub router: Router,
    /// Whether the network below is emulated.
    pub wan_emulated: bool,
}

/// The doors of an edge node.
#[derive(Debug, Clone)]
pub struct Doors {
    /// That of the QUIC endpoint.
    pub quic: Door,
    /// That of the TCP listener.
    pub tcp: Door,
}

impl Doors {
    /// With nobody in.
    pub fn new(config: &LimitsConfig) -> Self {
        Self {
            quic: Door::quic(config),
            tcp: Door::tcp(config),
        }
    }

    fn both(&self) -> [(&'static str, &Door); 2] {
        [("quic", &self.quic), ("tcp", &self.tcp)]
    }
}

impl Metrics {
    /// The numbers as they are now.
    pub fn render(&self) -> String {
        let mut page = Page::new(PREFIX);
        let (membership, backbone) = (self.gossip.membership(), self.router.backbone());
        page.peers(&membership, backbone);
        let now = Now {
            sessions: self.hubs.sessions(),
            hub_queues: self.hubs.queues(),
            topics: self.hubs.topics(),
            feeds: self.feeds.count(),
            wan_emulated: self.wan_emulated,
        };
        now.tell(&mut page);
        tell_hub(&mut page, self.hubs.counters());
        let (open, watched, looked_at) = self.events.looked_at();
        tell_looks(&mut page, [open, watched, looked_at]);
        tell_events(&mut page, self.events.counters(), self.events.lost());
        tell_limits(&mut page, self.limits.counters(), &self.refusals);
        tell_doors(&mut page, &self.doors);
        page.counter("calls", CALLS, self.upstream.calls());
        tell_flannel(&mut page, self.flannel.counters());
        let (held, bytes) = self.flannel.size();
        tell_kept(&mut page, held, bytes, self.flannel.age_ms());
        self.measures.tell(&mut page);
        page.render()
    }
}

/// A page with every name that there is.
pub fn example() -> String {
    let mut page = Page::new(PREFIX);
    page.members(1, [("peer".to_owned(), Duration::ZERO)]);
    let now = Now {
        hub_queues: vec![0],
        ..Now::default()
    };
    now.tell(&mut page);
    tell_hub(&mut page, &Counters::default());
    tell_looks(&mut page, [0; 3]);
    tell_events(&mut page, &events::counters::Counters::default(), 0);
    let refusals = Refusals::default();
    refusals.count(ErrorCode::Ratelimited.as_str());
    tell_limits(&mut page, &limits::Counters::default(), &refusals);
    tell_doors(&mut page, &Doors::new(&LimitsConfig::default()));
    page.counter("calls", CALLS, 0);
    tell_flannel(&mut page, &flannel::counters::Counters::default());
    tell_kept(&mut page, 0, 0, 0);
    Measures::default().tell(&mut page);
    page.render()
}

/// What there is at the moment.
#[derive(Debug, Default)]
struct Now {
    sessions: usize,
    hub_queues: Vec<usize>,
    topics: usize,
    feeds: usize,
    wan_emulated: bool,
}

impl Now {
    fn tell(&self, page: &mut Page) {
        page.gauge("sessions", "Sessions", self.sessions as u64);
        let help = "Inputs that wait for each shard of the hub";
        let queues = self.hub_queues.iter().map(|queued| *queued as u64);
        page.gauges(("hub_queue", help), "shard", queues.enumerate());
        let help = "Topics subscribed to at channel servers";
        page.gauge("subscriptions", help, self.topics as u64);
        let help = "Workspaces whose metadata is followed";
        page.gauge("feeds", help, self.feeds as u64);
        let help = "1 = the network below is emulated";
        page.gauge("wan_emulated", help, u64::from(self.wan_emulated));
    }
}

fn tell_hub(page: &mut Page, counters: &Counters) {
    for (name, help, counter) in [
        (
            "delivered",
            "Entries given to sessions",
            &counters.delivered,
        ),
        (
            "counts",
            "Times that sessions were told how far a channel is, instead of its entries",
            &counters.counts,
        ),
        (
            "dropped",
            "Entries that slow sessions lost",
            &counters.dropped,
        ),
        (
            "overflowed",
            "Entries lost on the way to a shard of the hub",
            &counters.overflowed,
        ),
        (
            "missed",
            "Times that a session was told that it misses entries",
            &counters.missed,
        ),
        (
            "fetches",
            "Reads of the log that filled holes",
            &counters.fetches,
        ),
    ] {
        page.counter(name, help, count(counter));
    }
}

fn tell_looks(page: &mut Page, [open, watched, looked_at]: [usize; 3]) {
    let help = "Channels that some session has open";
    page.gauge("events_open", help, open as u64);
    let help = "Users whose presence some session watches";
    page.gauge("events_watched", help, watched as u64);
    let help = "Topics at which channel servers are asked for events";
    page.gauge("events_looked_at", help, looked_at as u64);
}

fn tell_events(page: &mut Page, events: &events::counters::Counters, lost: u64) {
    for (name, help, counter) in [
        ("events_sent", "Events of sessions here", &events.sent),
        (
            "events_delivered",
            "Events given to sessions",
            &events.delivered,
        ),
        (
            "events_presences",
            "Frames that told sessions who came and went",
            &events.presences,
        ),
    ] {
        page.counter(name, help, count(counter));
    }
    let dropped = events.dropped().map(|(why, counter)| (why, count(counter)));
    let dropped = dropped.into_iter().chain([("lost", lost)]);
    page.counters(("events_dropped", "Events dropped, by why"), "why", dropped);
}

fn tell_limits(page: &mut Page, counters: &limits::Counters, refusals: &Refusals) {
    let help = "Requests and hellos refused, by code";
    page.counters(("refused", help), "code", refusals.counts());
    let limited = Limit::ALL.map(|limit| (limit.as_str(), counters.limited(limit)));
    let help = "Requests and hellos over a limit, by limit";
    page.counters(("limited", help), "limit", limited);
    let help = "Connections closed as they went on asking";
    page.counter("flooding", help, count(&counters.flooding));
}

fn tell_doors(page: &mut Page, doors: &Doors) {
    let doors = doors.both();
    let open = doors.map(|(name, door)| (name, door.count().open.into()));
    let help = "Connections whose handshake is done, by listener";
    page.gauges(("open_connections", help), "listener", open);
    let handshakes = doors.map(|(name, door)| (name, door.count().handshakes.into()));
    let help = "Handshakes under way, by listener";
    page.gauges(("handshakes", help), "listener", handshakes);
    let accepted = doors.map(|(name, door)| (name, door.accepted()));
    let help = "Connections let in, by listener";
    page.counters(("accepted", help), "listener", accepted);
    let [(_, quic), _] = doors;
    let help = "Connections that had to prove their address";
    page.counter("retried", help, quic.retried());
    let refused = Reason::ALL.map(|reason| {
        let all = doors.iter().map(|(_, door)| door.refused(reason)).sum();
        (reason.as_str(), all)
    });
    let help = "Connections not let in, by reason";
    page.counters(("turned_away", help), "reason", refused);
}

fn tell_flannel(page: &mut Page, counters: &flannel::counters::Counters) {
    for (name, help, counter) in [
        ("boots", "Boots", &counters.boots),
        (
            "boots_refused",
            "Boots refused, as too many came at once",
            &counters.refused,
        ),
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
            "Answers from what was kept, however old, as no replica answered",
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
    ] {
        page.counter(name, help, count(counter));
    }
}

fn tell_kept(page: &mut Page, workspaces: usize, bytes: usize, age_ms: u64) {
    let help = "Workspaces of which something is kept";
    page.gauge("flannel_workspaces", help, workspaces as u64);
    let help = "What that takes in memory, about, in bytes";
    page.gauge("flannel_bytes", help, bytes as u64);
    let help = "How old the oldest of it is, in seconds";
    page.gauge("flannel_age_seconds", help, age_ms / 1_000);
}

fn count(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_has_all_names() {
        let page = example();
        for name in [
            "sessions gauge",
            "delivered counter",
            "limited counter",
            "turned_away counter",
            "connections gauge",
            "boot_seconds histogram",
        ] {
            let line = format!("# TYPE causeway_edge_{name}");
            assert!(
                page.lines().any(|l| l == line),
                "`{line}` is missing in {page}"
            );
        }
        assert!(page.contains("causeway_edge_limited_total{limit=\"connection\"} 0"));
    }
}
