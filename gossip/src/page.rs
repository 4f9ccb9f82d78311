//! A node's numbers as Prometheus reads them: what edge and core nodes write their
//! pages with.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use causeway_transport::backbone::Backbone;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Metric, Registry};

use crate::Membership;

/// The first of the bounds between which times are counted; each next one is twice as
/// long.
const SHORTEST_S: f64 = 0.000_25;
/// How many there are: the last is eight seconds.
const TIME_BOUNDS: u16 = 16;
/// Bounds between which numbers of things are counted: powers of four.
const SIZE_BOUNDS: u16 = 8;

/// One label and its value.
pub type Label = [(&'static str, &'static str); 1];
/// Histograms by a label.
pub type Histograms = Family<Label, Histogram, fn() -> Histogram>;
type Labels = Vec<(&'static str, String)>;

/// A histogram of times, in seconds.
pub fn times() -> Histogram {
    Histogram::new(exponential_buckets(SHORTEST_S, 2.0, TIME_BOUNDS))
}

/// A histogram of how many there are of something.
pub fn sizes() -> Histogram {
    Histogram::new(exponential_buckets(1.0, 4.0, SIZE_BOUNDS))
}

/// Histograms of times by a label.
pub fn times_by_label() -> Histograms {
    Histograms::new_with_constructor(times)
}

/// A page that is being written.
#[derive(Debug)]
pub struct Page(Registry);

impl Page {
    /// Names on it begin with `prefix`.
    pub fn new(prefix: &str) -> Self {
        Self(Registry::with_prefix(prefix))
    }

    /// What goes up and down.
    pub fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.0.register(name, help, ConstGauge::new(value));
    }

    /// What only goes up; its name gets a `_total`.
    pub fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.0.register(name, help, ConstCounter::new(value));
    }

    /// Gauges by a label.
    pub fn gauges<V: ToString>(
        &mut self,
        (name, help): (&str, &str),
        label: &'static str,
        values: impl IntoIterator<Item = (V, u64)>,
    ) {
        let values = values
            .into_iter()
            .map(|(value, n)| (vec![(label, value.to_string())], n));
        self.labelled_gauges(name, help, values);
    }

    /// Gauges by any labels.
    pub fn labelled_gauges(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels, u64)>,
    ) {
        let family = Family::<Labels, Gauge<u64, AtomicU64>>::default();
        for (labels, value) in values {
            family.get_or_create(&labels).set(value);
        }
        self.0.register(name, help, family);
    }

    /// Counters by a label.
    pub fn counters<V: ToString>(
        &mut self,
        (name, help): (&str, &str),
        label: &'static str,
        values: impl IntoIterator<Item = (V, u64)>,
    ) {
        let family = Family::<Labels, Counter>::default();
        for (value, count) in values {
            let labels = vec![(label, value.to_string())];
            family.get_or_create(&labels).inc_by(count);
        }
        self.0.register(name, help, family);
    }

    /// A metric that counts by itself, such as a histogram.
    pub fn metric(&mut self, name: &str, help: &str, metric: impl Metric) {
        self.0.register(name, help, metric);
    }

    /// What every node has: the members it knows, and how far its peers are.
    pub fn peers(&mut self, membership: &Membership, backbone: &Backbone) {
        let round_trips = backbone.peers().into_iter().filter_map(|peer| {
            let time = backbone.round_trip(peer.node)?;
            Some((peer.identity.name.to_string(), time))
        });
        self.members(membership.len(), round_trips);
    }

    /// The same of a node that knows so many members, and these peers.
    pub fn members(
        &mut self,
        members: usize,
        round_trips: impl IntoIterator<Item = (String, Duration)>,
    ) {
        self.gauge("members", "Members known to gossip", members as u64);
        let family = Family::<Labels, Gauge<f64, AtomicU64>>::default();
        for (peer, time) in round_trips {
            let of_peer = family.get_or_create_owned(&vec![("peer", peer)]);
            of_peer.set(time.as_secs_f64());
        }
        let help = "Round trip to each connected peer";
        self.0.register("peer_round_trip_seconds", help, family);
    }

    /// The page.
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Fails only if a string cannot grow.
        let _ = encode(&mut text, &self.0);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_names_helps_and_types() {
        let mut page = Page::new("causeway_test");
        page.gauge("sessions", "Sessions now", 3);
        page.counter("deliveries", "Entries given to sessions", 7);
        let refused = [("not_authed", 2), ("malformed", 1)];
        page.counters(("refused", "Requests refused"), "code", refused);
        page.gauges(("applied", "Applied position"), "cell", [(4, 9)]);
        let boots = times();
        boots.observe(0.1);
        page.metric("boot_seconds", "Time to the welcome", boots);
        let text = page.render();
        for line in [
            "# HELP causeway_test_sessions Sessions now.",
            "# TYPE causeway_test_deliveries counter",
            "causeway_test_sessions 3",
            "causeway_test_deliveries_total 7",
            "causeway_test_refused_total{code=\"not_authed\"} 2",
            "causeway_test_applied{cell=\"4\"} 9",
            "causeway_test_boot_seconds_count 1",
            "causeway_test_boot_seconds_bucket{le=\"0.128\"} 1",
        ] {
            assert!(
                text.lines().any(|l| l == line),
                "`{line}` is missing in {text}"
            );
        }
    }
}
