//! Health checks and metrics of a core node, over plain HTTP: for load balancers
//! and Prometheus, not for the internet.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use causeway_protocol::NodeId;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::cells::Cells;
use crate::directory::SharedBook;
use crate::metrics::Metrics;

/// What the answers are made of.
#[derive(Clone)]
pub struct Health {
    /// The replicas.
    pub cells: Cells,
    /// The copy of the directory.
    pub book: SharedBook,
    /// This node.
    pub me: NodeId,
    /// Its numbers.
    pub metrics: Metrics,
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

async fn metrics(State(health): State<Arc<Health>>) -> String {
    health.metrics.render()
}
