//! The Web API's listener: HTTP/1.1 over TLS over TCP. A connection on which a
//! WebSocket is opened is handed over.

#[cfg(test)]
pub mod loopback;
mod switch;
#[cfg(test)]
mod tests;
mod write_timeout;

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use bytes::Bytes;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::switch::Switch;
use self::switch::Switching;
use self::write_timeout::WriteTimeout;
use crate::limits::Meter;
use crate::limits::door::{Door, Place};
use crate::transports::websocket::Sockets;

/// A handshake, and then the head of each request, must be done by then.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections at a time; more wait to be accepted.
const CONNECTIONS_MAX: usize = 10_000;
/// After an error of the listener, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// A client that takes nothing of its answer for so long is dropped.
const WRITE_STALL_MAX: Duration = Duration::from_secs(12);
/// Requests that are under way at a stop must be answered by then.
const GRACE: Duration = Duration::from_secs(3);
/// For so long, and so many bytes, a client may send on after its answer.
const LINGER_MAX: Duration = Duration::from_secs(5);
const LINGER_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Binds the address.
///
/// # Errors
/// The system's.
pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Serves `app` until `stop`, and `sockets` are the WebSockets that it opens. Then
/// nobody is accepted any more, and requests under way have a few seconds to end.
pub async fn serve(
    listener: TcpListener,
    tls: ServerConfig,
    app: Router,
    sockets: Option<Sockets>,
    door: Door,
    stop: CancellationToken,
) {
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let site = Site {
        acceptor,
        app,
        sockets,
        stop: stop.clone(),
    };
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let tracker = TaskTracker::new();
    loop {
        let accepting = async {
            let permit = Arc::clone(&connections).acquire_owned().await.ok();
            (permit, listener.accept().await)
        };
        let Some((permit, accepted)) = stop.run_until_cancelled(accepting).await else {
            break;
        };
        match accepted {
            Ok((stream, remote)) => {
                // Whoever is not let in finds the connection closed.
                if let Some(place) = door.let_in_tcp(remote) {
                    tracker.spawn(site.clone().serve(stream, remote, place, permit));
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    // The kernel goes on accepting for as long as there is a listener.
    drop(listener);
    tracker.close();
    // Each ends by itself, within the grace.
    tracker.wait().await;
}

/// What a connection needs; a clone for each.
#[derive(Clone)]
struct Site {
    acceptor: TlsAcceptor,
    app: Router,
    sockets: Option<Sockets>,
    stop: CancellationToken,
}

impl Site {
    async fn serve(
        self,
        stream: TcpStream,
        remote: SocketAddr,
        mut place: Place,
        permit: Option<OwnedSemaphorePermit>,
    ) {
        let stop = &self.stop;
        // Small answers must not wait for more.
        let _ = stream.set_nodelay(true);
        let stream = WriteTimeout::new(stream, WRITE_STALL_MAX);
        let handshake = timeout(HANDSHAKE_TIMEOUT, self.acceptor.accept(stream));
        let Some(Ok(Ok(stream))) = stop.run_until_cancelled(handshake).await else {
            return;
        };
        place.established();
        let meter = Arc::new(place.meter());
        let mut served = serve_http(stream, self.app, meter, stop).await;
        if let Some((stream, Some(read))) = served {
            // A WebSocket stays: it must not take a request's place.
            drop(permit);
            let Some(sockets) = &self.sockets else {
                return;
            };
            let Some(stream) = sockets.serve(stream, read, remote, stop).await else {
                return;
            };
            served = shut_down(stream).await.map(|stream| (stream, None));
        }
        if let Some((mut stream, _)) = served {
            // Below TLS: nobody wants to know what is in there.
            let (tcp, _) = stream.get_mut();
            stop.run_until_cancelled(linger(tcp)).await;
        }
    }
}

/// Answers requests until there are no more, and shuts the stream down; gives it
/// back unless it broke. If the last answer switched protocols, the stream goes on
/// with what has been read.
async fn serve_http<S>(
    stream: S,
    app: Router,
    meter: Arc<Meter>,
    stop: &CancellationToken,
) -> Option<(S, Option<Bytes>)>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let switch = Switch::default();
    let service = Switching::new(app, switch.clone(), meter);
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HANDSHAKE_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    let served = match stop.run_until_cancelled(&mut connection).await {
        Some(served) => served,
        None => {
            Pin::new(&mut connection).graceful_shutdown();
            timeout(GRACE, &mut connection).await.ok()?
        }
    };
    // An error is the client's: it hung up, fell silent, or does not speak HTTP.
    // Only the last is answered.
    match served {
        Err(error) if !error.is_parse() => None,
        _ => {
            let parts = connection.into_parts();
            let read = switch.is_set().then_some(parts.read_buf);
            Some((parts.io.into_inner(), read))
        }
    }
}

/// Ends this side of a WebSocket's stream: the client waits for that.
async fn shut_down<S: AsyncWrite + Unpin>(mut stream: S) -> Option<S> {
    let shutting = timeout(LINGER_MAX, stream.shutdown()).await;
    matches!(shutting, Ok(Ok(()))).then_some(stream)
}

/// Reads what the client still sends, until it closes. A socket that is closed
/// with bytes unread resets the connection, and the client may lose its answer.
async fn linger<S: AsyncRead + Unpin>(stream: S) {
    let mut rest = stream.take(LINGER_BYTES_MAX);
    let mut nowhere = tokio::io::sink();
    // However it ends, the connection is closed.
    let _ = timeout(LINGER_MAX, tokio::io::copy(&mut rest, &mut nowhere)).await;
}
