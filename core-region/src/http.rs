//! Health checks and metrics of a core node, over plain HTTP: for load balancers
//! and Prometheus, not for the internet.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Instant;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use causeway_gossip::Gossip;
use causeway_protocol::NodeId;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::cells::Cells;
use crate::channel_server::ChannelServer;
use crate::directory::SharedBook;
use crate::feeds::Feeds;
use crate::metadata::Metadata;
use crate::store::Store;
use crate::vitals::Vitals;

/// What the answers are made of.
#[derive(Clone)]
pub struct Health {
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
    /// The real-time plane.
    pub channel_server: ChannelServer,
    /// The metadata.
    pub metadata: Metadata,
    /// Who is told of it.
    pub feeds: Feeds,
    /// This node.
    pub me: NodeId,
}

/// Binds the address.
///
/// # Errors
/// The system's.
pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Serves until `stop`.
pub async fn serve(listener: TcpListener, health: Health, stop: CancellationToken) {
    let app = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(Arc::new(health));
    let served = axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned());
    if let Err(error) = served.await {
        tracing::error!(%error, "health checks are no longer served");
    }
}

/// Ready: the directory is known, and each replica that it gives this node runs
/// and knows a leader.
async fn readyz(State(health): State<Arc<Health>>) -> (StatusCode, String) {
    match unready(&health) {
        None => (StatusCode::OK, "ready\n".into()),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}

fn unready(health: &Health) -> Option<String> {
    let book = health.book.get();
    if book.version() == 0 {
        return Some("the directory is not known yet".into());
    }
    let held_here = |cell: &&causeway_protocol::backbone::Cell| {
        cell.replicas.iter().any(|r| r.node_id == health.me.0)
    };
    for record in book.cells().filter(held_here) {
        let cell = health.cells.get(causeway_protocol::CellId(record.id));
        let leader = cell.and_then(|cell| cell.consensus().leadership().borrow().leader);
        if leader.is_none() {
            return Some(format!("cell {} has no known leader yet", record.id));
        }
    }
    None
}

async fn metrics(State(health): State<Arc<Health>>) -> (StatusCode, String) {
    let mut text = String::new();
    match encode(&mut text, &registry(&health)) {
        Ok(()) => (StatusCode::OK, text),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

/// The numbers as they are now.
fn registry(health: &Health) -> Registry {
    let mut registry = Registry::with_prefix("causeway_core");
    let mut number = |name: &str, help: &str, value: u64| {
        let gauge = Gauge::<u64, AtomicU64>::default();
        gauge.set(value);
        registry.register(name, help, gauge);
    };
    let (subscriptions, dropped) = health.channel_server.counts();
    let (looked_at, events_dropped) = health.channel_server.event_counts();
    number(
        "members",
        "Members known to gossip",
        health.gossip.membership().len() as u64,
    );
    number(
        "wal_syncs",
        "Syncs of the write-ahead log",
        health.store.flusher().syncs(),
    );
    number(
        "subscriptions",
        "Topics subscribed to by edges",
        subscriptions as u64,
    );
    number(
        "publish_dropped",
        "Entries dropped on the way to edges",
        dropped,
    );
    number(
        "looked_at",
        "Channels and users at which edges look",
        looked_at as u64,
    );
    number(
        "events_dropped",
        "Events dropped on the way to edges",
        events_dropped,
    );
    number(
        "directory_version",
        "Version of the directory",
        health.book.get().version(),
    );

    for (name, help, value) in of_metadata(health) {
        number(name, help, value);
    }

    let (stalls, refused, free_bytes) = health.vitals.counts();
    let oldest = health.store.flusher().oldest_wait(Instant::now());
    let oldest_ms = oldest.unwrap_or_default().as_millis();
    let fit = health.vitals.unfit().borrow().is_none();
    let (_, times_wrong) = health.vitals.clock().error();
    for (name, help, value) in [
        (
            "disk_free_bytes",
            "Free bytes of the data's file system",
            free_bytes,
        ),
        ("disk_stalls", "Stalls of the disk", stalls),
        (
            "unsynced_ms",
            "How long the oldest write has been waiting for its sync",
            u64::try_from(oldest_ms).unwrap_or(u64::MAX),
        ),
        (
            "may_lead",
            "Whether the node is fit to lead cells",
            fit.into(),
        ),
        (
            "refused_storage_full",
            "Commands refused as the disk is nearly full",
            refused,
        ),
        (
            "clock_wrong",
            "How often the clock was found not to be that of the others",
            times_wrong,
        ),
        (
            "faults_injected",
            "Whether faults can be injected into this node",
            health.store.faults().is_configured().into(),
        ),
    ] {
        number(name, help, value);
    }
    let ahead_ms = Gauge::<i64, AtomicI64>::default();
    ahead_ms.set(health.vitals.clock().error().0 / 1_000);
    registry.register(
        "clock_ahead_ms",
        "How far the clock is ahead of the other core nodes'",
        ahead_ms,
    );

    type ByCell = Family<Vec<(String, String)>, Gauge<u64, AtomicU64>>;
    let (applied, term, leads) = (ByCell::default(), ByCell::default(), ByCell::default());
    for cell in health.cells.all() {
        let status = cell.consensus().status();
        let label = vec![("cell".to_owned(), cell.id().to_string())];
        applied.get_or_create(&label).set(status.applied.0);
        term.get_or_create(&label).set(status.leadership.term);
        leads
            .get_or_create(&label)
            .set(u64::from(status.leadership.ready));
    }
    registry.register("cell_applied", "Applied position of each cell", applied);
    registry.register("cell_term", "Raft term of each cell", term);
    registry.register("cell_leads", "Whether this node leads the cell", leads);
    registry
}

/// Name, help and value.
type Number = (&'static str, &'static str, u64);

fn of_metadata(health: &Health) -> [Number; 12] {
    let counters = health.metadata.counters();
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let (subscriptions, dropped) = health.feeds.counts();
    let (waiting, no_room) = health.metadata.early();
    [
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
            "metadata_waiting",
            "Operations of metadata that wait for those they follow",
            waiting,
        ),
        (
            "metadata_waiting_dropped",
            "Operations of metadata that could not wait for want of room",
            no_room,
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
        (
            "metadata_subscriptions",
            "Workspaces subscribed to by edges",
            subscriptions as u64,
        ),
        (
            "metadata_publish_dropped",
            "Changes of metadata dropped on the way to edges",
            dropped,
        ),
    ]
}
