//! One UDP port for native clients and WebTransport: which of them it is, the
//! handshake tells.

use std::sync::Arc;
use std::time::Duration;

use causeway_transport::socket::{PATH, SUBPROTOCOL};
use causeway_transport::tls::{CLIENT_ALPN, WEBTRANSPORT_ALPN, alpn};
use quinn::{Connection, Endpoint, Incoming, VarInt};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use web_transport_quinn::http::StatusCode;
use web_transport_quinn::proto::ConnectResponse;
use web_transport_quinn::{Request, Session};

use super::streams::Streams;
use crate::limits::door::{Door, Place};
use crate::session::{Sessions, attend};

/// A handshake must be done by then, and the opening of a WebTransport session.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);
/// Streams that a browser may have open. It refuses to open more instead of waiting,
/// so it has more than it has requests that are served at a time.
const BROWSER_STREAMS_MAX: u32 = 1_024;

/// Accepts clients until `stop`, and then waits for their sessions to end.
pub async fn serve(
    endpoint: Endpoint,
    sessions: Arc<Sessions>,
    door: Door,
    stop: CancellationToken,
) {
    let tracker = TaskTracker::new();
    while let Some(Some(incoming)) = stop.run_until_cancelled(endpoint.accept()).await {
        // Whoever is not let in has been answered.
        if let Some((incoming, place)) = door.let_in(incoming) {
            let sessions = Arc::clone(&sessions);
            tracker.spawn(serve_client(sessions, incoming, place, stop.clone()));
        }
        // A handshake is long work: in a storm of them, those who are there have their turn
        // between any two.
        tokio::task::yield_now().await;
    }
    tracker.close();
    tracker.wait().await;
}

async fn serve_client(
    sessions: Arc<Sessions>,
    incoming: Incoming,
    mut place: Place,
    stop: CancellationToken,
) {
    // What it takes to get there is not kept for as long as the client stays.
    let connecting = Box::pin(connect(incoming, &mut place));
    let Some(Some(streams)) = stop.run_until_cancelled(connecting).await else {
        return;
    };
    let requests = streams.requests();
    attend::serve(&sessions, streams, requests, &stop).await;
}

/// Shakes hands, and opens a WebTransport session where that is what it is.
async fn connect(incoming: Incoming, place: &mut Place) -> Option<Streams> {
    let connection = timeout(HANDSHAKE_TIMEOUT, incoming).await.ok()?.ok()?;
    place.established();
    match alpn(&connection).as_slice() {
        CLIENT_ALPN => {
            // Those that were allowed for the sake of HTTP/3 are not read.
            connection.set_max_concurrent_uni_streams(VarInt::from_u32(0));
            Some(Streams::native(connection))
        }
        WEBTRANSPORT_ALPN => {
            let opened = timeout(HANDSHAKE_TIMEOUT, open(connection)).await;
            opened.ok()?.map(Streams::webtransport)
        }
        // The endpoint offers no others.
        _ => None,
    }
}

/// Opens a WebTransport session, if the client asks for one of ours.
async fn open(connection: Connection) -> Option<Session> {
    connection.set_max_concurrent_bi_streams(VarInt::from_u32(BROWSER_STREAMS_MAX));
    let request = Request::accept(connection).await.ok()?;
    let ours = request.protocols.iter().any(|name| name == SUBPROTOCOL);
    let refusal = match request.url.path() {
        PATH if ours || request.protocols.is_empty() => None,
        PATH => Some(StatusCode::BAD_REQUEST),
        _ => Some(StatusCode::NOT_FOUND),
    };
    if let Some(status) = refusal {
        let connection = request.conn().clone();
        request.reject(status).await.ok()?;
        // The client reads the answer, and closes.
        connection.closed().await;
        return None;
    }
    let response = match ours {
        true => ConnectResponse::OK.with_protocol(SUBPROTOCOL),
        false => ConnectResponse::OK,
    };
    request.respond(response).await.ok()
}
