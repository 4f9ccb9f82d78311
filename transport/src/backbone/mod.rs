//! The backbone: one mutually authenticated, multiplexed QUIC connection for
//! each pair of nodes, opened when first needed.
//!
//! After TLS, both ends exchange a `PeerHello`. Then a stream is one call, one
//! exchange or one flow of frames, headed by its [`Method`]; datagrams are
//! gossip. A connection that dies is reported to whoever [listens](Backbone::events).

mod connection;
mod lanes;
mod peers;
mod services;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use causeway_protocol::backbone::{PeerHello, Reply, reply};
use causeway_protocol::limits::BACKBONE_FRAME_BYTES_MAX;
use causeway_protocol::{ApiError, Method, NodeId, frame};
use parking_lot::Mutex;
use quinn::{SendStream, VarInt};
use thiserror::Error;
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::endpoint::{self, Liveness};
use crate::stream::FrameReader;
use crate::tls::{self, Credentials, Roots, TlsError};
use crate::wan::Wan;

use connection::Link;
pub use lanes::Lanes;
pub use services::{Peer, Services};

/// A dial that takes longer has failed.
const DIAL_TIMEOUT: Duration = Duration::from_secs(2);
/// After a failed dial, callers are refused at once for this long.
const DIAL_PAUSE: Duration = Duration::from_millis(200);
/// Events that a slow listener may be behind.
const EVENTS_MAX: usize = 1_024;

/// Close codes of backbone connections.
pub mod close {
    /// The node is stopping.
    pub const STOPPING: u32 = 1;
    /// Another connection of this pair stays instead.
    pub const DUPLICATE: u32 = 2;
    /// The certificate has no identity, or the hello is not one.
    pub const STRANGER: u32 = 3;
}

/// How to join the backbone.
#[derive(Debug, Clone)]
pub struct BackboneConfig {
    /// Where to listen; the operator's tool does not listen and uses port 0.
    pub listen: SocketAddr,
    /// Certificate and key.
    pub credentials: Credentials,
    /// The authority behind every node's certificate.
    pub roots: Roots,
    /// When silence means death.
    pub liveness: Liveness,
    /// The emulated network, if any.
    pub wan: Option<Wan>,
}

/// A connection to a node came or went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerEvent {
    /// Connected; also when a new connection took the place of an old one.
    Up(Peer),
    /// The connection is gone, and no other has taken its place.
    Down {
        /// Who was there.
        peer: Peer,
        /// It said that it was stopping; otherwise it fell silent.
        stopping: bool,
    },
}

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CallError {
    /// No connection, or it broke: the call may or may not have been served.
    #[error("{}is out of reach: {reason}", named(*node))]
    Unreachable {
        /// The node, or 0 where only its address was known.
        node: NodeId,
        /// For the log.
        reason: String,
    },
    /// No answer in time: the call may or may not have been served.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The peer refused.
    #[error(transparent)]
    Refused(#[from] ApiError),
    /// The answer is not one.
    #[error("the answer cannot be understood: {0}")]
    Malformed(String),
}

/// A node at the beginning of a sentence, where more than its address is known.
fn named(node: NodeId) -> String {
    match node {
        NodeId(0) => "the node ".into(),
        node => format!("node {node} "),
    }
}

impl CallError {
    fn unreachable(node: NodeId, reason: &impl ToString) -> Self {
        let reason = reason.to_string();
        Self::Unreachable { node, reason }
    }
}

/// UDP payload of a connection, from its start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// To the peer.
    pub sent_bytes: u64,
    /// From it.
    pub received_bytes: u64,
}

impl Traffic {
    /// Both ways together.
    pub fn bytes(self) -> u64 {
        self.sent_bytes + self.received_bytes
    }
}

/// A one-way flow of frames.
pub struct OneWay {
    /// What is written here arrives in order.
    pub stream: SendStream,
    /// The [`Peer::connection`] that it is part of.
    pub connection: u64,
}

/// A node's end of the backbone; clones share it.
#[derive(Clone)]
pub struct Backbone(Arc<Inner>);

struct Inner {
    hello: PeerHello,
    me: NodeId,
    endpoint: quinn::Endpoint,
    peers: Mutex<HashMap<NodeId, Entry>>,
    services: OnceLock<Services>,
    events: broadcast::Sender<PeerEvent>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

#[derive(Default)]
struct Entry {
    address: Option<SocketAddr>,
    link: Option<Link>,
    dialling: Option<watch::Receiver<bool>>,
    failed: Option<(Instant, String)>,
}

impl Backbone {
    /// Binds the endpoint. Nobody is let in before [`serve`](Self::serve).
    /// `hello` says who this node is; its address is filled in from the socket
    /// when empty.
    ///
    /// # Errors
    /// [`StartError`] for unusable certificates, or an address that cannot be
    /// bound.
    pub fn bind(config: &BackboneConfig, mut hello: PeerHello) -> Result<Self, StartError> {
        let (server, client) = tls::backbone(&config.credentials, &config.roots)?;
        let transport = || endpoint::backbone_transport(config.liveness);
        let server = endpoint::server_config(server, transport());
        let bound = |source| StartError::Bind {
            address: config.listen,
            source,
        };
        let mut endpoint =
            endpoint::bind(config.listen, Some(server), config.wan.as_ref()).map_err(bound)?;
        let mut dial = quinn::ClientConfig::new(Arc::new(client));
        dial.transport_config(Arc::new(transport()));
        endpoint.set_default_client_config(dial);
        if hello.address.is_empty() {
            hello.address = endpoint.local_addr().map_err(bound)?.to_string();
        }
        let inner = Arc::new(Inner {
            me: NodeId(hello.node_id),
            hello,
            endpoint,
            peers: Mutex::default(),
            services: OnceLock::new(),
            events: broadcast::Sender::new(EVENTS_MAX),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        Ok(Self(inner))
    }

    /// Lets peers in, and serves them until [`close`](Self::close). Only the
    /// first call counts.
    pub fn serve(&self, services: Services) {
        if self.0.services.set(services).is_ok() {
            self.0.tasks.spawn(connection::accept(Arc::clone(&self.0)));
        }
    }

    /// This node.
    pub fn node(&self) -> NodeId {
        self.0.me
    }

    /// Where this node listens.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.0.endpoint.local_addr()
    }

    /// Tells where `node` is to be found.
    pub fn set_address(&self, node: NodeId, address: SocketAddr) {
        let mut peers = self.0.peers.lock();
        let entry = peers.entry(node).or_default();
        if entry.address != Some(address) {
            entry.address = Some(address);
            entry.failed = None;
        }
    }

    /// Forgets where `node` was; an open connection stays.
    pub fn forget_address(&self, node: NodeId) {
        if let Some(entry) = self.0.peers.lock().get_mut(&node) {
            entry.address = None;
        }
    }

    /// Connects to whichever node listens at `address`.
    ///
    /// # Errors
    /// [`CallError::Unreachable`].
    pub async fn connect(&self, address: SocketAddr) -> Result<Peer, CallError> {
        let link = connection::dial(&self.0, address).await;
        let link = link.map_err(|reason| CallError::unreachable(NodeId(0), &reason))?;
        Ok(link.peer)
    }

    /// Sends `body` to `method` of `node` and waits for the answer.
    ///
    /// # Errors
    /// [`CallError`]: whether the call was served is known only for
    /// [`CallError::Refused`].
    pub async fn call(
        &self,
        node: NodeId,
        method: Method,
        body: Bytes,
        timeout: Duration,
    ) -> Result<Bytes, CallError> {
        match tokio::time::timeout(timeout, self.call_untimed(node, method, body)).await {
            Ok(result) => result,
            Err(_) => Err(CallError::Timeout(timeout)),
        }
    }

    async fn call_untimed(
        &self,
        node: NodeId,
        method: Method,
        body: Bytes,
    ) -> Result<Bytes, CallError> {
        let (mut send, mut recv) = self.open(node, method).await?;
        let mut head = BytesMut::with_capacity(frame::HEADER_BYTES);
        let length = u32::try_from(body.len());
        head.put_u32(length.map_err(|e| CallError::unreachable(node, &e))?);
        let sent = send.write_all_chunks(&mut [head.freeze(), body]).await;
        sent.map_err(|e| CallError::unreachable(node, &e))?;
        // Fails only when the peer has stopped the stream: the answer says why.
        let _ = send.finish();
        let reply: Option<Reply> = recv
            .message()
            .await
            .map_err(|e| CallError::unreachable(node, &e))?;
        let closed = || CallError::unreachable(node, &"the peer closed the stream");
        match reply.ok_or_else(closed)?.result {
            Some(reply::Result::Ok(body)) => Ok(body),
            Some(reply::Result::Error(error)) => Err(ApiError::from_wire(error).into()),
            None => Err(CallError::Malformed("an empty reply".into())),
        }
    }

    /// Opens a stream to `method` of `node`.
    ///
    /// # Errors
    /// [`CallError::Unreachable`].
    pub async fn open(
        &self,
        node: NodeId,
        method: Method,
    ) -> Result<(SendStream, FrameReader), CallError> {
        let (way, recv) = self.open_both_ways(node, method).await?;
        Ok((way.stream, recv))
    }

    /// Opens a stream to `method` of `node`, and says of which connection it is part.
    ///
    /// # Errors
    /// [`CallError::Unreachable`].
    pub async fn open_both_ways(
        &self,
        node: NodeId,
        method: Method,
    ) -> Result<(OneWay, FrameReader), CallError> {
        let link = self.link(node).await?;
        let opened = link.connection.open_bi().await;
        let (mut stream, recv) = opened.map_err(|e| CallError::unreachable(node, &e))?;
        write_head(&mut stream, node, method).await?;
        let way = OneWay {
            stream,
            connection: link.peer.connection,
        };
        Ok((way, FrameReader::new(recv, BACKBONE_FRAME_BYTES_MAX)))
    }

    /// Opens a one-way flow of frames to `method` of `node`.
    ///
    /// # Errors
    /// [`CallError::Unreachable`].
    pub async fn open_one_way(&self, node: NodeId, method: Method) -> Result<OneWay, CallError> {
        let link = self.link(node).await?;
        let opened = link.connection.open_uni().await;
        let mut stream = opened.map_err(|e| CallError::unreachable(node, &e))?;
        write_head(&mut stream, node, method).await?;
        Ok(OneWay {
            stream,
            connection: link.peer.connection,
        })
    }

    /// The [`Peer::connection`] in use with `node`, if there is one.
    pub fn connection(&self, node: NodeId) -> Option<u64> {
        let peers = self.0.peers.lock();
        Some(peers.get(&node)?.alive()?.peer.connection)
    }

    /// Sends a datagram if there is a connection; opens one, for the next, if
    /// there is none. Best effort.
    pub fn send_datagram(&self, node: NodeId, bytes: Bytes) {
        let connection = {
            let peers = self.0.peers.lock();
            peers
                .get(&node)
                .and_then(Entry::alive)
                .map(|link| link.connection.clone())
        };
        match connection {
            Some(connection) => {
                // Too large or the connection is closing: gossip repeats itself.
                let _ = connection.send_datagram(bytes);
            }
            None => {
                let backbone = self.clone();
                self.0.tasks.spawn(async move {
                    if let Ok(link) = backbone.link(node).await {
                        let _ = link.connection.send_datagram(bytes);
                    }
                });
            }
        }
    }

    /// What has gone over the connection in use with `node`, if there is one.
    pub fn traffic(&self, node: NodeId) -> Option<Traffic> {
        let peers = self.0.peers.lock();
        let stats = peers.get(&node)?.alive()?.connection.stats();
        Some(Traffic {
            sent_bytes: stats.udp_tx.bytes,
            received_bytes: stats.udp_rx.bytes,
        })
    }

    /// The measured round trip to `node`, if connected.
    pub fn round_trip(&self, node: NodeId) -> Option<Duration> {
        let peers = self.0.peers.lock();
        Some(peers.get(&node)?.alive()?.connection.rtt())
    }

    /// The nodes to which there is a connection now.
    pub fn peers(&self) -> Vec<Peer> {
        let peers = self.0.peers.lock();
        let alive = peers.values().filter_map(Entry::alive);
        alive.map(|link| link.peer.clone()).collect()
    }

    /// Connections that come and go from now on. A listener that lags misses
    /// the oldest and compares with [`peers`](Self::peers).
    pub fn events(&self) -> broadcast::Receiver<PeerEvent> {
        self.0.events.subscribe()
    }

    /// Stops serving, tells every peer, and waits until all is sent.
    pub async fn close(&self) {
        self.0.stop.cancel();
        self.0
            .endpoint
            .close(VarInt::from_u32(close::STOPPING), b"the node is stopping");
        self.0.tasks.close();
        self.0.tasks.wait().await;
        self.0.endpoint.wait_idle().await;
    }

    /// The connection to `node`, dialled if need be; callers share one dial.
    async fn link(&self, node: NodeId) -> Result<Link, CallError> {
        let unreachable = |reason: &str| CallError::unreachable(node, &reason);
        let mut dialling = {
            let mut peers = self.0.peers.lock();
            let entry = peers.entry(node).or_default();
            if let Some(link) = entry.alive() {
                return Ok(link.clone());
            }
            let address = entry
                .address
                .ok_or_else(|| unreachable("its address is not known"))?;
            if let Some((at, reason)) = &entry.failed
                && at.elapsed() < DIAL_PAUSE
            {
                return Err(unreachable(reason));
            }
            match &entry.dialling {
                Some(dialling) => dialling.clone(),
                None => {
                    let (done, dialling) = watch::channel(false);
                    entry.dialling = Some(dialling.clone());
                    self.0
                        .tasks
                        .spawn(Arc::clone(&self.0).dial_shared(node, address, done));
                    dialling
                }
            }
        };
        // An error means that the dial's task is gone: look at what it left.
        let _ = dialling.wait_for(|done| *done).await;
        let peers = self.0.peers.lock();
        let entry = peers.get(&node);
        if let Some(link) = entry.and_then(Entry::alive) {
            return Ok(link.clone());
        }
        let reason = entry
            .and_then(|e| e.failed.as_ref())
            .map(|(_, reason)| reason.as_str());
        Err(unreachable(
            reason.unwrap_or("another node answered at its address"),
        ))
    }
}

/// Every stream begins with its method.
async fn write_head(
    stream: &mut SendStream,
    node: NodeId,
    method: Method,
) -> Result<(), CallError> {
    let written = stream.write_all(&method.number().to_be_bytes()).await;
    written.map_err(|e| CallError::unreachable(node, &e))
}

impl Inner {
    async fn dial_shared(
        self: Arc<Self>,
        node: NodeId,
        address: SocketAddr,
        done: watch::Sender<bool>,
    ) {
        let result = connection::dial(&self, address).await;
        {
            let mut peers = self.peers.lock();
            let entry = peers.entry(node).or_default();
            entry.dialling = None;
            entry.failed = result.err().map(|reason| (Instant::now(), reason));
        }
        done.send_replace(true);
    }
}

impl Entry {
    fn alive(&self) -> Option<&Link> {
        let link = self.link.as_ref()?;
        link.connection.close_reason().is_none().then_some(link)
    }
}

/// Why a backbone cannot start.
#[derive(Debug, Error)]
pub enum StartError {
    /// Certificates.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The address cannot be bound.
    #[error("cannot listen on udp {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}
