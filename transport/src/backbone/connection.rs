//! The life of a backbone connection: dial or accept, hello, serve, end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use causeway_protocol::backbone::{PeerHello, Reply, reply};
use causeway_protocol::limits::BACKBONE_FRAME_BYTES_MAX;
use causeway_protocol::{ApiError, ErrorCode, NodeId, frame};
use quinn::{Connection, ConnectionError, Incoming, RecvStream, SendStream, VarInt};

use super::peers::{LinkFacts, replaces};
use super::services::{Peer, Service};
use super::{DIAL_TIMEOUT, Inner, PeerEvent, close};
use crate::stream::FrameReader;
use crate::tls::{NODE_SERVER_NAME, PeerIdentity, Role};

/// A `PeerHello` is small.
const HELLO_BYTES_MAX: usize = 4 * 1024;
/// A connection that lost to its twin stays this long, so that calls under way
/// on it can end.
const DUPLICATE_LINGER: Duration = Duration::from_secs(3);

impl Inner {
    fn find(&self, method: u16, role: Role) -> Option<Service> {
        self.services.get()?.find(method, role)
    }

    fn on_datagram(&self, peer: &Peer, bytes: Bytes) {
        if let Some(services) = self.services.get() {
            services.on_datagram(peer, bytes);
        }
    }
}

/// A connection whose other end is known.
#[derive(Debug, Clone)]
pub(super) struct Link {
    pub connection: Connection,
    pub peer: Peer,
    facts: LinkFacts,
}

/// Accepts connections until the node stops.
pub(super) async fn accept(inner: Arc<Inner>) {
    while let Some(Some(incoming)) = inner
        .stop
        .run_until_cancelled(inner.endpoint.accept())
        .await
    {
        let task = Arc::clone(&inner);
        inner.tasks.spawn(async move {
            match tokio::time::timeout(DIAL_TIMEOUT, greet(&task, incoming)).await {
                Ok(Ok(link)) => serve(task, link).await,
                Ok(Err(reason)) => tracing::debug!(%reason, "refused a backbone connection"),
                Err(_) => tracing::debug!("a backbone connection did not say hello in time"),
            }
        });
    }
}

/// Connects to `address`, and serves the connection in a task of its own.
pub(super) async fn dial(inner: &Arc<Inner>, address: SocketAddr) -> Result<Link, String> {
    match tokio::time::timeout(DIAL_TIMEOUT, introduce(inner, address)).await {
        Ok(Ok(link)) => {
            let kept = inner.install(&link);
            inner
                .tasks
                .spawn(serve_installed(Arc::clone(inner), link.clone(), kept));
            Ok(link)
        }
        Ok(Err(reason)) => Err(reason),
        Err(_) => Err(format!("no answer from {address} within {DIAL_TIMEOUT:?}")),
    }
}

async fn introduce(inner: &Inner, address: SocketAddr) -> Result<Link, String> {
    let connecting = inner
        .endpoint
        .connect(address, NODE_SERVER_NAME)
        .map_err(|e| e.to_string())?;
    let connection = connecting.await.map_err(|e| e.to_string())?;
    let (mut send, recv) = connection.open_bi().await.map_err(|e| e.to_string())?;
    send.write_all(&frame::encode(&inner.hello))
        .await
        .map_err(|e| e.to_string())?;
    let mut recv = FrameReader::new(recv, HELLO_BYTES_MAX);
    let hello = recv.message().await.map_err(|e| e.to_string())?;
    link(connection, hello, Some(inner.me))
}

async fn greet(inner: &Inner, incoming: Incoming) -> Result<Link, String> {
    let connection = incoming.await.map_err(|e| e.to_string())?;
    let (mut send, recv) = connection.accept_bi().await.map_err(|e| e.to_string())?;
    let mut recv = FrameReader::new(recv, HELLO_BYTES_MAX);
    let hello = recv.message().await.map_err(|e| e.to_string())?;
    let link = link(connection, hello, None)?;
    send.write_all(&frame::encode(&inner.hello))
        .await
        .map_err(|e| e.to_string())?;
    Ok(link)
}

fn link(
    connection: Connection,
    hello: Option<PeerHello>,
    dialled_by: Option<NodeId>,
) -> Result<Link, String> {
    static CONNECTIONS: AtomicU64 = AtomicU64::new(1);
    let identity = PeerIdentity::of(&connection);
    let (Some(hello), Some(identity)) = (hello, identity) else {
        connection.close(VarInt::from_u32(close::STRANGER), b"who are you?");
        return Err(format!(
            "{} has no identity or no hello",
            connection.remote_address()
        ));
    };
    let node = NodeId(hello.node_id);
    Ok(Link {
        connection,
        facts: LinkFacts {
            dialled_by: dialled_by.unwrap_or(node),
            peer_incarnation: hello.incarnation,
        },
        peer: Peer {
            node,
            incarnation: hello.incarnation,
            connection: CONNECTIONS.fetch_add(1, Ordering::Relaxed),
            identity,
        },
    })
}

impl Inner {
    /// Puts the link into the table, unless the pair keeps another. An
    /// operator's tool is served, and never called.
    fn install(&self, link: &Link) -> bool {
        if link.peer.identity.role == Role::Operator {
            return true;
        }
        let mut peers = self.peers.lock();
        let entry = peers.entry(link.peer.node).or_default();
        let old = entry.alive().cloned();
        if let Some(old) = old {
            if !replaces(self.me, link.peer.node, old.facts, link.facts) {
                return false;
            }
            self.tasks.spawn(close_later(old.connection));
        }
        entry.link = Some(link.clone());
        entry.failed = None;
        drop(peers);
        // No listener is fine.
        let _ = self.events.send(PeerEvent::Up(link.peer.clone()));
        true
    }

    /// Takes a dead link out of the table.
    fn remove(&self, link: &Link, stopping: bool) {
        let mut peers = self.peers.lock();
        let Some(entry) = peers.get_mut(&link.peer.node) else {
            return;
        };
        let current = entry.link.as_ref().map(|l| l.peer.connection);
        if current == Some(link.peer.connection) {
            entry.link = None;
            drop(peers);
            let peer = link.peer.clone();
            let _ = self.events.send(PeerEvent::Down { peer, stopping });
        }
    }
}

fn is_stopping(reason: &ConnectionError) -> bool {
    let code = VarInt::from_u32(close::STOPPING);
    matches!(reason, ConnectionError::ApplicationClosed(closed) if closed.error_code == code)
}

async fn close_later(connection: Connection) {
    tokio::select! {
        () = tokio::time::sleep(DUPLICATE_LINGER) => {}
        _ = connection.closed() => {}
    }
    connection.close(
        VarInt::from_u32(close::DUPLICATE),
        b"another connection stays",
    );
}

async fn serve(inner: Arc<Inner>, link: Link) {
    let kept = inner.install(&link);
    serve_installed(inner, link, kept).await;
}

/// Serves what the peer opens, until the connection ends.
async fn serve_installed(inner: Arc<Inner>, link: Link, kept: bool) {
    if !kept {
        inner.tasks.spawn(close_later(link.connection.clone()));
    }
    let connection = &link.connection;
    let reason = loop {
        tokio::select! {
            stream = connection.accept_bi() => match stream {
                Ok((send, recv)) => {
                    let (inner, peer) = (Arc::clone(&inner), link.peer.clone());
                    let stop = inner.stop.clone();
                    let serving = serve_stream(Arc::clone(&inner), peer, send, recv);
                    inner.tasks.spawn(async move { stop.run_until_cancelled(serving).await });
                }
                Err(reason) => break reason,
            },
            stream = connection.accept_uni() => match stream {
                Ok(recv) => {
                    let (inner, peer) = (Arc::clone(&inner), link.peer.clone());
                    let stop = inner.stop.clone();
                    let serving = serve_one_way(Arc::clone(&inner), peer, recv);
                    inner.tasks.spawn(async move { stop.run_until_cancelled(serving).await });
                }
                Err(reason) => break reason,
            },
            datagram = connection.read_datagram() => match datagram {
                Ok(bytes) => inner.on_datagram(&link.peer, bytes),
                Err(reason) => break reason,
            },
        }
    };
    tracing::debug!(peer = %link.peer.identity, %reason, "a backbone connection ended");
    inner.remove(&link, is_stopping(&reason));
}

async fn serve_stream(inner: Arc<Inner>, peer: Peer, mut send: SendStream, recv: RecvStream) {
    let mut recv = FrameReader::new(recv, BACKBONE_FRAME_BYTES_MAX);
    let Ok(head) = recv.prefix::<2>().await else {
        return;
    };
    let number = u16::from_be_bytes(head);
    match inner.find(number, peer.identity.role) {
        Some(Service::Call(handler)) => {
            let result = match recv.next().await {
                Ok(Some(body)) => handler(peer, body).await,
                Ok(None) => Err(ErrorCode::Malformed.into()),
                Err(e) => Err(ApiError::new(ErrorCode::Malformed, e.to_string())),
            };
            answer(&mut send, result).await;
        }
        Some(Service::Stream(handler)) => handler(peer, send, recv).await,
        Some(Service::OneWay(_)) | None => {
            let error = ApiError::new(
                ErrorCode::UnknownMethod,
                format!("{} may not call method {number} here", peer.identity),
            );
            answer(&mut send, Err(error)).await;
        }
    }
}

async fn serve_one_way(inner: Arc<Inner>, peer: Peer, recv: RecvStream) {
    let mut recv = FrameReader::new(recv, BACKBONE_FRAME_BYTES_MAX);
    let Ok(head) = recv.prefix::<2>().await else {
        return;
    };
    let number = u16::from_be_bytes(head);
    match inner.find(number, peer.identity.role) {
        Some(Service::OneWay(handler)) => handler(peer, recv).await,
        _ => recv.stop(close::STRANGER),
    }
}

async fn answer(send: &mut SendStream, result: Result<Bytes, ApiError>) {
    let result = match result {
        Ok(body) => reply::Result::Ok(body),
        Err(error) => reply::Result::Error(error.to_wire()),
    };
    let reply = frame::encode(&Reply {
        result: Some(result),
    });
    // The caller may be gone: nothing is left to do then.
    if send.write_chunk(reply).await.is_ok() {
        let _ = send.finish();
    }
}
