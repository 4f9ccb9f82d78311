//! Many light clients in one process: each says hello, and counts what it is pushed.
//! They speak the protocol on plain QUIC connections, as the client library would cost
//! more than what is measured.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::Bytes;
use causeway_protocol::client::{self, entry, request, response, server_frame::Body as Frame};
use causeway_protocol::limits::SERVER_FRAME_BYTES_MAX;
use causeway_protocol::{ApiError, ChannelId, frame};
use causeway_transport::endpoint::{Liveness, Streams, bind, client_transport};
use causeway_transport::stream::FrameReader;
use causeway_transport::tls;
use futures::{StreamExt, TryStreamExt};
use parking_lot::Mutex;
use quinn::{Connection, Endpoint, RecvStream};

use crate::world::{World, WorldNode};

/// Handshakes under way at a time.
const AT_A_TIME: usize = 64;
/// A client is let in by then.
const HELLO_TIMEOUT: Duration = Duration::from_secs(30);
/// Connections of one socket. It is read for 50 us in a turn of all tasks: with many
/// connections what comes in for them does not fit into its buffer, and is lost.
const PER_SOCKET: usize = 50;
/// Of so many clients, one looks into what it is pushed, and times it.
const ONE_LOOKS_OF: usize = 16;
/// In front of the time in a message's text.
const STAMP: &str = "sent ";

/// Clients that stay connected as long as this is there.
pub struct Swarm {
    clients: Vec<Connection>,
    _endpoints: Vec<Endpoint>,
    counts: Arc<Counts>,
}

/// What the clients have been pushed.
pub struct Counts {
    began: Instant,
    /// Entries, of each client.
    entries: Vec<AtomicU64>,
    /// Frames that tell of entries that were dropped.
    missed: AtomicU64,
    /// From the sending to the receipt, in milliseconds.
    latencies_ms: Mutex<Vec<f64>>,
}

impl Swarm {
    /// Connects a client for each of these tokens to an edge node.
    ///
    /// # Errors
    /// A client that is not let in.
    pub async fn connect(
        world: &World,
        node: &WorldNode,
        tokens: &[impl AsRef<str>],
        connected: impl Fn(),
    ) -> anyhow::Result<Self> {
        let address = node.client.context("clients connect to edge nodes")?;
        let counts = Arc::new(Counts {
            began: Instant::now(),
            entries: tokens.iter().map(|_| AtomicU64::new(0)).collect(),
            missed: AtomicU64::new(0),
            latencies_ms: Mutex::default(),
        });
        let config = client_config(world)?;
        let endpoints = endpoints(tokens.len())?;
        let clients = futures::stream::iter(tokens.iter().enumerate())
            .map(|(i, token)| {
                let (endpoint, config) = (&endpoints[i % endpoints.len()], config.clone());
                let counts = Arc::clone(&counts);
                let hello = client::Hello {
                    token: token.as_ref().to_owned(),
                    client: "causeway-bench".into(),
                    ..client::Hello::default()
                };
                async move {
                    let Greeting { connection, .. } =
                        greet(endpoint, config, address, hello).await?;
                    tokio::spawn(read_pushes(connection.clone(), counts, i));
                    anyhow::Ok(connection)
                }
            })
            .buffered(AT_A_TIME)
            .inspect_ok(|_| connected())
            .try_collect()
            .await?;
        Ok(Self {
            clients,
            _endpoints: endpoints,
            counts,
        })
    }

    /// What the clients have been pushed.
    pub fn counts(&self) -> &Arc<Counts> {
        &self.counts
    }

    /// The first client's connection, for requests.
    ///
    /// # Errors
    /// There are no clients.
    pub fn first(&self) -> anyhow::Result<Connection> {
        self.clients.first().cloned().context("no client")
    }

    /// The clients' connections, likewise.
    pub fn connections(&self) -> &[Connection] {
        &self.clients
    }

    /// How many clients are still connected.
    pub fn connected(&self) -> usize {
        let is_there = |client: &&Connection| client.close_reason().is_none();
        self.clients.iter().filter(is_there).count()
    }
}

impl Counts {
    /// Entries that all clients together have been pushed.
    pub fn delivered(&self) -> u64 {
        self.each().sum()
    }

    /// Entries that the last of the clients has been pushed.
    pub fn least(&self) -> u64 {
        self.each().min().unwrap_or_default()
    }

    /// Frames that told of dropped entries.
    pub fn missed(&self) -> u64 {
        self.missed.load(Ordering::Relaxed)
    }

    /// The latencies that were seen since the last call, in milliseconds.
    pub fn take_latencies_ms(&self) -> Vec<f64> {
        std::mem::take(&mut self.latencies_ms.lock())
    }

    fn each(&self) -> impl Iterator<Item = u64> + '_ {
        self.entries.iter().map(|n| n.load(Ordering::Relaxed))
    }

    /// A text of `bytes` bytes that says when it was sent.
    pub fn text(&self, bytes: usize) -> String {
        let mut text = format!("{STAMP}{} ", self.began.elapsed().as_micros());
        text.extend(std::iter::repeat_n('x', bytes.saturating_sub(text.len())));
        text
    }

    fn latency_ms(&self, text: &str) -> Option<f64> {
        let sent_us: f64 = text.strip_prefix(STAMP)?.split(' ').next()?.parse().ok()?;
        Some(self.began.elapsed().as_secs_f64() * 1e3 - sent_us / 1e3)
    }

    /// Counts a frame. Whoever looks reads all of it, the others its kind.
    fn count(&self, client: usize, body: Bytes) {
        const PUSH: u8 = 0x0a;
        const MISSED: u8 = 0x12;
        match body.first() {
            Some(&PUSH) => {
                self.entries[client].fetch_add(1, Ordering::Relaxed);
            }
            Some(&MISSED) => {
                self.missed.fetch_add(1, Ordering::Relaxed);
            }
            _ => return,
        }
        if client.is_multiple_of(ONE_LOOKS_OF)
            && let Some(latency) = posted(body).and_then(|text| self.latency_ms(&text))
        {
            self.latencies_ms.lock().push(latency);
        }
    }
}

/// The text of the message that a frame tells of.
fn posted(body: Bytes) -> Option<String> {
    let frame: client::ServerFrame = frame::decode(body).ok()?;
    match frame.body? {
        Frame::Push(push) => match push.entry?.kind? {
            entry::Kind::Posted(message) => Some(message.text),
            _ => None,
        },
        _ => None,
    }
}

/// Sockets for so many connections.
///
/// # Errors
/// The system's.
pub fn endpoints(connections: usize) -> io::Result<Vec<Endpoint>> {
    let sockets = 0..connections.div_ceil(PER_SOCKET);
    sockets
        .map(|_| bind(([127, 0, 0, 1], 0).into(), None, None))
        .collect()
}

/// Settings of light clients: they ping like any other.
///
/// # Errors
/// Certificates that cannot be used.
pub fn client_config(world: &World) -> anyhow::Result<quinn::ClientConfig> {
    let tls = tls::client_plane_client(&world.roots()?)?;
    let mut config = quinn::ClientConfig::new(Arc::new(tls));
    let transport = client_transport(Liveness::CLIENT_PLANE, Streams::CLIENT);
    config.transport_config(Arc::new(transport));
    Ok(config)
}

/// A client that has been let in.
pub struct Greeting {
    /// Its connection.
    pub connection: Connection,
    /// What it was answered.
    pub welcome: client::Welcome,
}

/// Connects to an edge node, and says hello.
///
/// # Errors
/// The refusal, or that it took too long.
pub async fn greet(
    endpoint: &Endpoint,
    config: quinn::ClientConfig,
    address: SocketAddr,
    hello: client::Hello,
) -> anyhow::Result<Greeting> {
    let greeting = async {
        let connecting = endpoint.connect_with(config, address, &address.ip().to_string())?;
        let connection = connecting.await?;
        match ask(&connection, request::Body::Hello(hello)).await? {
            response::Result::Welcome(welcome) => Ok(Greeting {
                connection,
                welcome,
            }),
            _ => bail!("a hello was not answered with a welcome"),
        }
    };
    let greeted = tokio::time::timeout(HELLO_TIMEOUT, greeting).await;
    greeted.context("a client was not let in in time")?
}

/// Makes a request.
///
/// # Errors
/// The refusal, or a connection that breaks.
pub async fn ask(connection: &Connection, body: request::Body) -> anyhow::Result<response::Result> {
    match answer(connection, body).await?.result {
        Some(response::Result::Error(error)) => Err(ApiError::from_wire(error).into()),
        Some(result) => Ok(result),
        None => bail!("no answer"),
    }
}

/// Makes a request, and returns the whole answer.
///
/// # Errors
/// A connection that breaks.
pub async fn answer(
    connection: &Connection,
    body: request::Body,
) -> anyhow::Result<client::Response> {
    let request = client::Request {
        body: Some(body),
        ..client::Request::default()
    };
    let (mut send, recv) = connection.open_bi().await?;
    send.write_chunk(frame::encode(&request)).await?;
    send.finish()?;
    let mut reader = FrameReader::new(recv, SERVER_FRAME_BYTES_MAX);
    reader.message().await?.context("no answer")
}

/// Posts a message.
///
/// # Errors
/// The refusal, or a connection that breaks.
pub async fn post(connection: &Connection, channel: ChannelId, text: String) -> anyhow::Result<()> {
    let id: [u8; 16] = rand::random();
    let send = client::SendMessage {
        channel: channel.0,
        client_msg_id: Bytes::copy_from_slice(&id),
        text,
        thread_ts: 0,
    };
    ask(connection, request::Body::SendMessage(send)).await?;
    Ok(())
}

async fn read_pushes(connection: Connection, counts: Arc<Counts>, client: usize) {
    while let Ok(stream) = connection.accept_uni().await {
        tokio::spawn(read_stream(stream, Arc::clone(&counts), client));
    }
}

async fn read_stream(stream: RecvStream, counts: Arc<Counts>, client: usize) {
    let mut reader = FrameReader::new(stream, SERVER_FRAME_BYTES_MAX);
    while let Ok(Some(body)) = reader.next().await {
        counts.count(client, body);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(clients: usize) -> Counts {
        Counts {
            began: Instant::now(),
            entries: (0..clients).map(|_| AtomicU64::new(0)).collect(),
            missed: AtomicU64::new(0),
            latencies_ms: Mutex::default(),
        }
    }

    fn push(text: String) -> Bytes {
        let message = client::Message {
            text,
            ..client::Message::default()
        };
        let push = client::Push {
            entry: Some(client::Entry {
                kind: Some(entry::Kind::Posted(message)),
                ..client::Entry::default()
            }),
            ..client::Push::default()
        };
        let frame = client::ServerFrame {
            body: Some(Frame::Push(push)),
        };
        frame::encode(&frame).slice(frame::HEADER_BYTES..)
    }

    #[test]
    fn what_comes_is_counted_by_its_kind_and_timed_by_some() {
        let counts = counts(2);
        let text = counts.text(200);
        assert_eq!(text.len(), 200);
        counts.count(0, push(text.clone()));
        counts.count(1, push(text.clone()));
        counts.count(1, push(text));
        let missed = client::ServerFrame {
            body: Some(Frame::Missed(client::Missed::default())),
        };
        counts.count(1, frame::encode(&missed).slice(frame::HEADER_BYTES..));
        assert_eq!((counts.delivered(), counts.least()), (3, 1));
        assert_eq!(counts.missed(), 1);
        let latencies = counts.take_latencies_ms();
        assert_eq!(latencies.len(), 1, "one of {ONE_LOOKS_OF} looks");
        assert!(latencies[0] >= 0.0);
    }
}
