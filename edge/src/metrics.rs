//! An edge node's numbers, for Prometheus.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use causeway_gossip::Gossip;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::events::Events;
use crate::feeds::Feeds;
use crate::hub::Hubs;
use crate::refusals::Refusals;

/// Where the numbers come from.
#[derive(Clone)]
pub struct Metrics {
    /// Sessions and deliveries.
    pub hubs: Hubs,
    /// Workspaces whose metadata is followed.
    pub feeds: Feeds,
    /// What is not stored.
    pub events: Events,
    /// What was refused.
    pub refusals: Arc<Refusals>,
    /// Who is there.
    pub gossip: Gossip,
    /// Whether the network below is emulated.
    pub wan_emulated: bool,
}

impl Metrics {
    /// The numbers as they are now.
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Fails only if a string cannot grow.
        let _ = encode(&mut text, &self.registry());
        text
    }

    fn registry(&self) -> Registry {
        let mut registry = Registry::with_prefix("causeway_edge");
        let mut number = |name: &str, help: &str, value: u64| {
            let gauge = Gauge::<u64, AtomicU64>::default();
            gauge.set(value);
            registry.register(name, help, gauge);
        };
        let counters = self.hubs.counters();
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        number("sessions", "Sessions now", self.hubs.sessions() as u64);
        number(
            "members",
            "Members known to gossip",
            self.gossip.membership().len() as u64,
        );
        number(
            "feeds",
            "Workspaces whose metadata is followed",
            self.feeds.count() as u64,
        );
        number(
            "delivered",
            "Entries given to sessions",
            count(&counters.delivered),
        );
        number(
            "counts",
            "Times that sessions were told how far a channel is, instead of its entries",
            count(&counters.counts),
        );
        number(
            "dropped",
            "Entries that slow sessions lost",
            count(&counters.dropped),
        );
        number(
            "overflowed",
            "Entries lost on the way to a shard",
            count(&counters.overflowed),
        );
        number(
            "fetches",
            "Reads of the log that filled holes",
            count(&counters.fetches),
        );
        let (open, watched, looked_at) = self.events.looked_at();
        let events = self.events.counters();
        number(
            "events_open",
            "Channels that some session has open",
            open as u64,
        );
        number(
            "events_watched",
            "Users whose presence some session watches",
            watched as u64,
        );
        number(
            "events_looked_at",
            "Topics at which channel servers are asked for events",
            looked_at as u64,
        );
        number(
            "events_sent",
            "Events of sessions here",
            count(&events.sent),
        );
        number(
            "events_delivered",
            "Events given to sessions",
            count(&events.delivered),
        );
        number(
            "events_presences",
            "Frames that told sessions who came and went",
            count(&events.presences),
        );
        let emulated = u64::from(self.wan_emulated);
        number(
            "wan_emulated",
            "1 = the network below is emulated",
            emulated,
        );

        let refused = Family::<Vec<(String, String)>, Gauge<u64, AtomicU64>>::default();
        for (code, count) in self.refusals.counts() {
            let label = vec![("code".to_owned(), code.to_owned())];
            refused.get_or_create(&label).set(count);
        }
        registry.register("refused", "Requests refused, by code", refused);

        let dropped = Family::<Vec<(String, String)>, Gauge<u64, AtomicU64>>::default();
        for (why, counter) in events.dropped() {
            let label = vec![("why".to_owned(), why.to_owned())];
            dropped.get_or_create(&label).set(count(counter));
        }
        let lost = vec![("why".to_owned(), "lost".to_owned())];
        dropped.get_or_create(&lost).set(self.events.lost());
        registry.register("events_dropped", "Events dropped, by why", dropped);
        registry
    }
}
