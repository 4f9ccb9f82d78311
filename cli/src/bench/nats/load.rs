//! Subscribers and a publisher of a NATS server: how many deliveries there are,
//! and how long each took.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use futures::{StreamExt, TryStreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;

use super::server::Server;
use super::wire::{self, Reader, Said};

const SUBJECT: &str = "bench";
/// Handshakes under way at a time.
const AT_ONCE: usize = 16;
/// A server answers by then.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// All that is under way has arrived by then.
const ARRIVE_TIMEOUT: Duration = Duration::from_secs(30);
/// Between looks how much has arrived.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// Room for what is read at once: a TLS record.
const READ_BYTES: usize = 16 * 1024;
/// A message's first bytes: whether its way is timed, and when it was sent.
const HEAD_BYTES: usize = 9;

/// Subscribers that count, and a publisher.
pub struct Load {
    publisher: Connection,
    subscribers: JoinSet<anyhow::Result<Vec<f64>>>,
    meter: Arc<Meter>,
    count: u64,
    payload_bytes: usize,
    published: u64,
}

/// What all subscribers share.
struct Meter {
    delivered: AtomicU64,
    began: Instant,
}

struct Connection {
    stream: TlsStream<TcpStream>,
    reader: Reader,
}

impl Load {
    /// Connects and subscribes. `connected` is called for each.
    ///
    /// # Errors
    /// The server does not take them.
    pub async fn start(
        server: &Server,
        subscribers: usize,
        payload_bytes: usize,
        connected: impl Fn(),
    ) -> anyhow::Result<Self> {
        ensure!(payload_bytes >= HEAD_BYTES, "a message is too short");
        let tls = server.tls()?;
        let meter = Arc::new(Meter {
            delivered: AtomicU64::new(0),
            began: Instant::now(),
        });
        let connections = (0..subscribers).map(|_| async {
            let mut connection = Connection::open(server, &tls).await?;
            let subscribe = format!("SUB {SUBJECT} 1\r\n");
            connection.ask(subscribe.as_bytes()).await?;
            connected();
            anyhow::Ok(connection)
        });
        let connections: Vec<Connection> = futures::stream::iter(connections)
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        let mut tasks = JoinSet::new();
        for connection in connections {
            tasks.spawn(subscribe(connection, Arc::clone(&meter)));
        }
        Ok(Self {
            publisher: Connection::open(server, &tls).await?,
            subscribers: tasks,
            meter,
            count: subscribers as u64,
            payload_bytes,
            published: 0,
        })
    }

    /// Publishes as fast as all is delivered, with so many messages under way at
    /// most, until the time is over.
    ///
    /// # Errors
    /// The server's, or it does not deliver.
    pub async fn publish_all(&mut self, window: u64, until: Instant) -> anyhow::Result<()> {
        while Instant::now() < until {
            let arrived = self.delivered() / self.count;
            let room = window.saturating_sub(self.published - arrived);
            // Messages in bursts, as a busy publisher's are.
            if room < window.div_ceil(2) {
                self.pause().await?;
                continue;
            }
            self.publish(room, None).await?;
        }
        self.settle().await
    }

    /// Publishes so many messages a second until the time is over. Their way is timed
    /// from when each was due.
    ///
    /// # Errors
    /// The server's, or it does not deliver.
    pub async fn publish_at(&mut self, per_second: f64, until: Instant) -> anyhow::Result<()> {
        let mut due = tokio::time::interval(Duration::from_secs_f64(1.0 / per_second));
        loop {
            let at = due.tick().await.into_std();
            if at >= until {
                return self.settle().await;
            }
            self.publish(1, Some(at)).await?;
        }
    }

    /// How many messages have come in, at all subscribers together.
    pub fn delivered(&self) -> u64 {
        self.meter.delivered.load(Ordering::Relaxed)
    }

    /// Ends it. Returns how long each delivery took that was timed, in milliseconds.
    ///
    /// # Errors
    /// A subscriber's that ended before.
    pub async fn stop(mut self) -> anyhow::Result<Vec<f64>> {
        // A subscriber ends with its connection, and that with an empty message.
        self.publish_one_empty().await?;
        let mut took = Vec::new();
        while let Some(ended) = self.subscribers.join_next().await {
            took.append(&mut ended??);
        }
        Ok(took)
    }

    async fn publish_one_empty(&mut self) -> anyhow::Result<()> {
        let mut request = Vec::new();
        wire::publish(&mut request, SUBJECT, &[]);
        self.publisher.send(&request).await
    }

    async fn publish(&mut self, messages: u64, due: Option<Instant>) -> anyhow::Result<()> {
        let mut payload = vec![b'x'; self.payload_bytes];
        let at = due.unwrap_or_else(Instant::now);
        payload[0] = due.is_some().into();
        payload[1..HEAD_BYTES].copy_from_slice(&self.meter.time(at).to_be_bytes());
        let mut request = Vec::new();
        for _ in 0..messages {
            wire::publish(&mut request, SUBJECT, &payload);
        }
        self.published += messages;
        self.publisher.send(&request).await
    }

    /// Waits until all that was published has arrived.
    async fn settle(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + ARRIVE_TIMEOUT;
        while self.delivered() < self.published * self.count {
            ensure!(
                Instant::now() < deadline,
                "the NATS server does not deliver all: {} of {}",
                self.delivered(),
                self.published * self.count
            );
            self.pause().await?;
        }
        Ok(())
    }

    /// For a moment, unless a subscriber has ended, which none is to do yet.
    async fn pause(&mut self) -> anyhow::Result<()> {
        if let Some(ended) = self.subscribers.try_join_next() {
            ended??;
            bail!("a subscriber has ended");
        }
        tokio::time::sleep(LOOK_EVERY).await;
        Ok(())
    }
}

impl Meter {
    /// Nanoseconds since the beginning.
    fn time(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.began).as_nanos();
        u64::try_from(since).unwrap_or(u64::MAX)
    }
}

impl Connection {
    async fn open(server: &Server, tls: &TlsConnector) -> anyhow::Result<Self> {
        let opening = async {
            let stream = TcpStream::connect(server.address).await?;
            stream.set_nodelay(true)?;
            let name = ServerName::from(server.address.ip());
            anyhow::Ok(tls.connect(name, stream).await?)
        };
        let opened = tokio::time::timeout(ANSWER_TIMEOUT, opening).await;
        let mut connection = Self {
            stream: opened.context("the NATS server does not answer")??,
            reader: Reader::default(),
        };
        connection.ask(wire::CONNECT).await?;
        Ok(connection)
    }

    async fn send(&mut self, request: &[u8]) -> anyhow::Result<()> {
        self.stream.write_all(request).await?;
        Ok(self.stream.flush().await?)
    }

    /// Sends a request, and waits until it is done.
    async fn ask(&mut self, request: &[u8]) -> anyhow::Result<()> {
        self.send(request).await?;
        self.send(wire::PING).await?;
        let answered = async {
            loop {
                while let Some(said) = self.reader.next()? {
                    if said == Said::Pong {
                        return Ok(());
                    }
                }
                self.read().await?;
            }
        };
        let answered = tokio::time::timeout(ANSWER_TIMEOUT, answered).await;
        answered.context("the NATS server does not answer")?
    }

    async fn read(&mut self) -> anyhow::Result<()> {
        let room = self.reader.room(READ_BYTES);
        let read = self.stream.read_buf(room).await?;
        ensure!(read > 0, "the NATS server has closed a connection");
        Ok(())
    }
}

/// Counts what comes in, until a message is empty. Returns how long each took that
/// was timed, in milliseconds.
async fn subscribe(mut connection: Connection, meter: Arc<Meter>) -> anyhow::Result<Vec<f64>> {
    let mut took = Vec::new();
    loop {
        connection.read().await?;
        let now = meter.time(Instant::now());
        let (mut messages, mut asked) = (0, false);
        while let Some(said) = connection.reader.next()? {
            match said {
                Said::Message([]) => return Ok(took),
                Said::Message(payload) => {
                    messages += 1;
                    let sent = timed(payload);
                    took.extend(sent.map(|sent| now.saturating_sub(sent) as f64 / 1e6));
                }
                Said::Ping => asked = true,
                Said::Pong | Said::Other => {}
            }
        }
        meter.delivered.fetch_add(messages, Ordering::Relaxed);
        if asked {
            connection.send(wire::PONG).await?;
        }
    }
}

/// When a message was sent, if its way is timed.
fn timed(payload: &[u8]) -> Option<u64> {
    let (is_timed, rest) = payload.split_first()?;
    let sent = u64::from_be_bytes(*rest.first_chunk()?);
    (*is_timed == 1).then_some(sent)
}
