//! Frames over a WebSocket: each binary message holds one or more of them, each
//! with its length in front, as on a stream.
//!
//! A [`FrameSocket`] is what others see of it; its [`Pump`] moves the bytes, and
//! is run by whoever owns the connection.

use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use causeway_protocol::CloseCode;
use causeway_protocol::frame::HEADER_BYTES;
use causeway_protocol::session::{End, Loss};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_util::sync::CancellationToken;

use crate::closed::Closed;
use crate::endpoint::Liveness;

/// The path at which WebSockets and WebTransport sessions are opened.
pub const PATH: &str = "/connect";
/// What is spoken there; a WebTransport client need not name it.
pub const SUBPROTOCOL: &str = "causeway.1";
/// Frames are gathered into one message up to this.
const MESSAGE_BYTES: usize = 64 * 1024;
/// Of a message to a client, beside the largest frame.
pub const GATHERED_BYTES_MAX: usize = MESSAGE_BYTES;
/// Bytes that are read at a time; more is allocated while a longer message comes in.
const READ_BYTES: usize = 4 * 1024;
/// Bytes that are written at a time.
const WRITE_BYTES: usize = 64 * 1024;
/// Batches of frames that wait to be written.
const BATCHES_MAX: usize = 2;
/// Frames that wait to be taken.
const FRAMES_MAX: usize = 16;
/// The other side agrees to the end by then.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// The socket has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the WebSocket has ended")]
pub struct Ended;

/// One end of a WebSocket; clones share it. When all are gone, it says good-bye.
#[derive(Debug, Clone)]
pub struct FrameSocket {
    batches: mpsc::Sender<Vec<Bytes>>,
    ending: Arc<Ending>,
}

/// How it ends.
#[derive(Debug, Default)]
struct Ending {
    code: OnceLock<CloseCode>,
    asked: CancellationToken,
    how: OnceLock<Closed>,
    ended: CancellationToken,
}

impl Ending {
    fn close(&self, code: CloseCode) {
        // The first reason counts.
        let _ = self.code.set(code);
        self.asked.cancel();
    }

    /// Waits until the end has been asked for, and has not come in time.
    async fn overdue(&self) -> CloseCode {
        self.asked.cancelled().await;
        tokio::time::sleep(CLOSE_TIMEOUT).await;
        self.code()
    }

    fn code(&self) -> CloseCode {
        *self.code.get_or_init(|| CloseCode::GoodBye)
    }

    fn has_ended(&self, how: Closed) {
        let _ = self.how.set(how);
        self.ended.cancel();
    }
}

impl FrameSocket {
    /// Hands frames over to be written, when there is room.
    ///
    /// # Errors
    /// [`Ended`].
    pub async fn send(&self, frames: Vec<Bytes>) -> Result<(), Ended> {
        let sending = self.batches.send(frames);
        match self.ending.ended.run_until_cancelled(sending).await {
            Some(Ok(())) => Ok(()),
            Some(Err(_)) | None => Err(Ended),
        }
    }

    /// Writes what is waiting, and says why this is the end.
    pub fn close(&self, code: CloseCode) {
        self.ending.close(code);
    }

    /// Waits for the end, and tells why.
    pub async fn closed(&self) -> Closed {
        self.ending.ended.cancelled().await;
        let how = self.ending.how.get().cloned();
        how.unwrap_or_else(|| Closed::broken("the connection broke"))
    }
}

/// Settings of a WebSocket whose messages have up to `message_bytes_max` bytes.
pub fn config(message_bytes_max: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BYTES)
        .write_buffer_size(WRITE_BYTES)
        .max_message_size(Some(message_bytes_max))
        .max_frame_size(Some(message_bytes_max))
}

/// The server's end of a WebSocket after its handshake; `read` came after that.
pub async fn server_end<S>(stream: S, read: Bytes, message_bytes_max: usize) -> WebSocketStream<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let config = Some(config(message_bytes_max));
    WebSocketStream::from_partially_read(stream, read.to_vec(), Role::Server, config).await
}

/// Moves the bytes of a [`FrameSocket`].
#[derive(Debug)]
pub struct Pump<S> {
    stream: WebSocketStream<S>,
    liveness: Liveness,
    batches: mpsc::Receiver<Vec<Bytes>>,
    frames: mpsc::Sender<Bytes>,
    ending: Arc<Ending>,
}

/// A socket that sends frames, the frames that come in, and what moves them.
pub fn open<S>(
    stream: WebSocketStream<S>,
    liveness: Liveness,
) -> (FrameSocket, mpsc::Receiver<Bytes>, Pump<S>) {
    let (to_write, batches) = mpsc::channel(BATCHES_MAX);
    let (frames, to_take) = mpsc::channel(FRAMES_MAX);
    let ending = Arc::<Ending>::default();
    let socket = FrameSocket {
        batches: to_write,
        ending: Arc::clone(&ending),
    };
    let pump = Pump {
        stream,
        liveness,
        batches,
        frames,
        ending,
    };
    (socket, to_take, pump)
}

/// Why nothing more comes in.
enum NoMore {
    /// Either side has closed.
    Closed(Closed),
    /// The other side broke the rules.
    Malformed(String),
    /// The connection is of no more use.
    Broken(Closed),
}

impl NoMore {
    fn broken(reason: impl Into<String>) -> Self {
        Self::Broken(Closed::broken(reason))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Pump<S> {
    /// Moves frames until either side ends it. Gives the stream back, unless that
    /// broke.
    pub async fn run(self) -> Option<S> {
        let (mut sink, mut source) = self.stream.split();
        let ended = {
            let mut reading = pin!(read(&mut source, self.frames, self.liveness.idle_timeout));
            let (ending, every) = (&self.ending, self.liveness.keep_alive);
            let mut writing = pin!(write(&mut sink, self.batches, ending, every));
            tokio::select! {
                no_more = &mut reading => {
                    if let NoMore::Malformed(_) = no_more {
                        self.ending.close(CloseCode::Malformed);
                        // Whoever broke the rules may not care to hear of it.
                        let _ = timeout(CLOSE_TIMEOUT, writing).await;
                    }
                    no_more
                }
                written = &mut writing => match written {
                    Ok(code) => match timeout(CLOSE_TIMEOUT, &mut reading).await {
                        Ok(NoMore::Broken(_)) | Err(_) => NoMore::Broken(code.into()),
                        Ok(_) => NoMore::Closed(code.into()),
                    },
                    // Whoever has closed says why; nothing can be written after that.
                    Err(error) => match timeout(CLOSE_TIMEOUT, &mut reading).await {
                        Ok(closed @ NoMore::Closed(_)) => closed,
                        _ => NoMore::broken(error.to_string()),
                    },
                },
                code = self.ending.overdue() => NoMore::Broken(code.into()),
            }
        };
        let (how, is_whole) = match ended {
            NoMore::Closed(how) => (how, true),
            NoMore::Malformed(reason) => {
                let end = End::Said(CloseCode::Malformed);
                (Closed { end, reason }, true)
            }
            NoMore::Broken(how) => (how, false),
        };
        self.ending.has_ended(how);
        let stream = source.reunite(sink).ok().filter(|_| is_whole);
        stream.map(WebSocketStream::into_inner)
    }
}

/// Takes messages apart until there are no more.
async fn read<S>(
    source: &mut SplitStream<WebSocketStream<S>>,
    frames: mpsc::Sender<Bytes>,
    silence_max: Duration,
) -> NoMore
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut how = Closed::broken("the connection broke");
    loop {
        let message = match timeout(silence_max, source.next()).await {
            Ok(Some(Ok(message))) => message,
            Ok(Some(Err(error))) => return from_error(&error),
            Ok(None) => return NoMore::Closed(how),
            Err(_) => return NoMore::Broken(Closed::lost(Loss::TimedOut, "timed out")),
        };
        match message {
            Message::Binary(mut bytes) => {
                while !bytes.is_empty() {
                    let Some(frame) = next_frame(&mut bytes) else {
                        return NoMore::Malformed("a message that is cut short".into());
                    };
                    // Nobody takes frames any more while the socket is being closed.
                    let _ = frames.send(frame).await;
                }
            }
            Message::Text(_) => return NoMore::Malformed("a message of text".into()),
            Message::Close(said) => how = said.map_or(how, |said| why(&said)),
            // Pings are answered by the library.
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
    }
}

/// The next frame of a message, without its length; `None` if it is not whole.
fn next_frame(message: &mut Bytes) -> Option<Bytes> {
    let head = message.first_chunk::<HEADER_BYTES>()?;
    let length = usize::try_from(u32::from_be_bytes(*head)).ok()?;
    message.advance(HEADER_BYTES);
    (length <= message.len()).then(|| message.split_to(length))
}

fn from_error(error: &tungstenite::Error) -> NoMore {
    use tungstenite::Error as E;
    match error {
        E::Capacity(_) | E::Protocol(_) | E::Utf8(_) => NoMore::Malformed(error.to_string()),
        _ => NoMore::broken(error.to_string()),
    }
}

fn why(said: &CloseFrame) -> Closed {
    Closed {
        end: End::from_socket(said.code.into()),
        reason: said.reason.to_string(),
    }
}

/// Writes batches until the end is asked for, and says so.
async fn write<S>(
    sink: &mut SplitSink<WebSocketStream<S>, Message>,
    mut batches: mpsc::Receiver<Vec<Bytes>>,
    ending: &Ending,
    ping_every: Duration,
) -> Result<CloseCode, tungstenite::Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut pings = interval_at(Instant::now() + ping_every, ping_every);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            batch = batches.recv() => match batch {
                Some(frames) => {
                    feed(sink, &frames).await?;
                    sink.flush().await?;
                }
                None => break,
            },
            () = ending.asked.cancelled() => break,
            _ = pings.tick() => sink.send(Message::Ping(Bytes::new())).await?,
        }
    }
    while let Ok(frames) = batches.try_recv() {
        feed(sink, &frames).await?;
    }
    let code = ending.code();
    let close = CloseFrame {
        code: code.on_socket().into(),
        reason: code.reason().into(),
    };
    sink.send(Message::Close(Some(close))).await?;
    Ok(code)
}

async fn feed<S>(
    sink: &mut SplitSink<WebSocketStream<S>, Message>,
    frames: &[Bytes],
) -> Result<(), tungstenite::Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    for message in messages(frames) {
        sink.feed(Message::Binary(message)).await?;
    }
    Ok(())
}

/// Small frames share a message, so that a reader is woken once for many.
fn messages(frames: &[Bytes]) -> Vec<Bytes> {
    if let [one] = frames {
        return vec![one.clone()];
    }
    let (mut messages, mut gathered) = (Vec::new(), BytesMut::new());
    for frame in frames {
        if gathered.len() + frame.len() > MESSAGE_BYTES && !gathered.is_empty() {
            messages.push(gathered.split().freeze());
        }
        match frame.len() < MESSAGE_BYTES {
            true => gathered.extend_from_slice(frame),
            false => messages.push(frame.clone()),
        }
    }
    if !gathered.is_empty() {
        messages.push(gathered.freeze());
    }
    messages
}

#[cfg(test)]
mod tests {
    use causeway_protocol::{frame, session};
    use proptest::prelude::*;
    use tokio::io::{DuplexStream, duplex};

    use super::*;

    const LIVENESS: Liveness = Liveness::CLIENT_PLANE;
    const MESSAGE_BYTES_MAX: usize = 256 * 1024;

    type End = (
        FrameSocket,
        mpsc::Receiver<Bytes>,
        tokio::task::JoinHandle<Option<DuplexStream>>,
    );

    async fn end(stream: DuplexStream, role: Role, liveness: Liveness) -> End {
        let config = Some(config(MESSAGE_BYTES_MAX));
        let stream = WebSocketStream::from_raw_socket(stream, role, config).await;
        let (socket, frames, pump) = open(stream, liveness);
        (socket, frames, tokio::spawn(pump.run()))
    }

    async fn pair() -> (End, End) {
        let (client, server) = duplex(8 * 1024);
        (
            end(client, Role::Client, LIVENESS).await,
            end(server, Role::Server, LIVENESS).await,
        )
    }

    /// The server's end, and a client of another make.
    async fn stranger() -> (WebSocketStream<DuplexStream>, End) {
        let (client, server) = duplex(8 * 1024);
        let client = WebSocketStream::from_raw_socket(client, Role::Client, None).await;
        (client, end(server, Role::Server, LIVENESS).await)
    }

    #[tokio::test]
    async fn frames_arrive_in_order_and_the_close_code_after_them() {
        let ((client, _, _), (server, mut frames, pumping)) = pair().await;
        let batch: Vec<Bytes> = (0..10u8).map(|n| frame::with_header(&[n; 9_000])).collect();
        client.send(batch).await.unwrap();
        client.close(CloseCode::TooSlow);
        for n in 0..10u8 {
            assert_eq!(frames.recv().await.unwrap(), vec![n; 9_000]);
        }
        assert_eq!(server.closed().await, CloseCode::TooSlow.into());
        assert_eq!(client.closed().await, CloseCode::TooSlow.into());
        assert!(pumping.await.unwrap().is_some());
    }

    #[tokio::test]
    async fn whoever_breaks_the_rules_is_told() {
        let too_long = vec![0; MESSAGE_BYTES_MAX + 1].into();
        for broken in [
            Message::Binary(Bytes::from_static(&[0, 0, 0, 9, 1])),
            Message::Binary(Bytes::from_static(&[0, 0])),
            Message::text("hello"),
            Message::Binary(too_long),
        ] {
            let (mut client, (server, mut frames, _)) = stranger().await;
            client.feed(broken).await.unwrap();
            let (flushed, said) = tokio::join!(client.flush(), server.closed());
            // A server that has read enough reads no more.
            drop(flushed);
            assert_eq!(said.end, session::End::Said(CloseCode::Malformed));
            assert_eq!(frames.recv().await, None);
        }
        let (mut client, _server) = stranger().await;
        client.send(Message::text("hello")).await.unwrap();
        let Some(Ok(Message::Close(Some(said)))) = client.next().await else {
            panic!("no close frame");
        };
        assert_eq!(u16::from(said.code), CloseCode::Malformed.on_socket());
    }

    #[tokio::test(start_paused = true)]
    async fn the_silent_are_given_up_and_the_quiet_are_not() {
        // Both ends answer each other's pings.
        let ((client, ..), (server, ..)) = pair().await;
        tokio::time::sleep(10 * LIVENESS.idle_timeout).await;
        assert!(client.send(Vec::new()).await.is_ok());
        assert!(server.send(Vec::new()).await.is_ok());

        let start = Instant::now();
        let (_silent, (server, _, pumping)) = stranger().await;
        assert_eq!(
            server.closed().await.end,
            session::End::Lost(Loss::TimedOut)
        );
        assert_eq!(start.elapsed(), LIVENESS.idle_timeout);
        assert!(pumping.await.unwrap().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_sender_waits_for_a_reader_and_not_for_an_end() {
        let (_client, (server, ..)) = stranger().await;
        let batch = || vec![frame::with_header(&[7; 100_000])];
        let sending = async {
            // Nobody reads: sooner or later there is no room.
            while server.send(batch()).await.is_ok() {}
        };
        let waiting = async {
            tokio::task::yield_now().await;
            server.close(CloseCode::GoingAway);
        };
        tokio::join!(sending, waiting);
    }

    #[test]
    fn small_frames_are_gathered_and_large_ones_stay_as_they_are() {
        let sizes = |sizes: &[usize]| {
            let frames: Vec<Bytes> = sizes.iter().map(|n| vec![0; *n].into()).collect();
            messages(&frames).iter().map(Bytes::len).collect::<Vec<_>>()
        };
        assert_eq!(sizes(&[]), [0; 0]);
        assert_eq!(sizes(&[100]), [100]);
        assert_eq!(sizes(&[100, 200, 300]), [600]);
        assert_eq!(sizes(&[100, MESSAGE_BYTES, 5]), [100, MESSAGE_BYTES, 5]);
        assert_eq!(sizes(&[100, 4 * MESSAGE_BYTES]), [100, 4 * MESSAGE_BYTES]);
    }

    proptest! {
        #[test]
        fn taking_a_message_apart_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let mut message = Bytes::from(bytes);
            while !message.is_empty() && next_frame(&mut message).is_some() {}
        }
    }
}
