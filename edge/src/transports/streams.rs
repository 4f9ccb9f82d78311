//! Clients on QUIC: native, and WebTransport, which is the same but for a few
//! bytes in front of each stream. A request has a stream of its own; pushes have one for
//! each lane, and events are datagrams.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use causeway_protocol::frame::{self, FrameError};
use causeway_protocol::limits::{CLIENT_FRAME_BYTES_MAX, REQUESTS_IN_FLIGHT_MAX};
use causeway_protocol::{ApiError, CloseCode, ErrorCode, client};
use causeway_transport::Transport;
use causeway_transport::endpoint::Streams as Allowed;
use causeway_transport::stream::{FrameReader, StreamError};
use quinn::VarInt;
use tokio::time::timeout;
use web_transport_quinn::{RecvStream, SendStream, Session};

use super::{Arrival, Call, Carrier, Gone, Inbound, Pushes};
use crate::session::lane::{Lane, Laned};

/// A request's frame must be whole by then.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection of streams.
#[derive(Debug, Clone)]
pub struct Streams {
    session: Arc<Session>,
    transport: Transport,
}

impl Streams {
    /// A native connection.
    pub fn native(connection: quinn::Connection) -> Self {
        Self {
            session: Arc::new(Session::raw(connection)),
            transport: Transport::Native,
        }
    }

    /// A WebTransport session that has been let in.
    pub fn webtransport(session: Session) -> Self {
        Self {
            session: Arc::new(session),
            transport: Transport::WebTransport,
        }
    }

    /// What comes in.
    pub fn requests(&self) -> Requests {
        Requests {
            session: Arc::clone(&self.session),
            under_way: Arc::default(),
            // A browser has been allowed more than that already.
            all_are_allowed: self.transport == Transport::WebTransport,
        }
    }
}

impl Carrier for Streams {
    type Pushes = PushStreams;

    fn pushes(&self) -> PushStreams {
        PushStreams {
            session: Arc::clone(&self.session),
            streams: Vec::new(),
        }
    }

    fn close(&self, code: CloseCode) {
        self.session.close(code.code(), code.reason().as_bytes());
    }

    async fn closed(&self) {
        self.session.closed().await;
    }

    fn remote(&self) -> SocketAddr {
        self.session.remote_address()
    }

    fn round_trip(&self) -> Option<Duration> {
        Some(self.session.rtt())
    }

    fn transport(&self) -> Transport {
        self.transport
    }
}

/// Requests, each on a stream of its own. A stream costs memory from when it is allowed,
/// so a client is allowed a few, and all that it may have once it uses half of those.
#[derive(Debug)]
pub struct Requests {
    session: Arc<Session>,
    /// Shared with each request until the client has its answer: QUIC counts the stream for
    /// as long.
    under_way: Arc<()>,
    all_are_allowed: bool,
}

impl Requests {
    fn call(&mut self, send: SendStream, recv: RecvStream) -> StreamCall {
        let calls = Arc::strong_count(&self.under_way);
        if !self.all_are_allowed && calls > Allowed::EDGE.requests as usize / 2 {
            let all = VarInt::from_u32(REQUESTS_IN_FLIGHT_MAX);
            self.session.set_max_concurrent_bi_streams(all);
            self.all_are_allowed = true;
        }
        StreamCall {
            send,
            reader: FrameReader::new(recv, CLIENT_FRAME_BYTES_MAX),
            under_way: (!self.all_are_allowed).then(|| Arc::clone(&self.under_way)),
        }
    }
}

impl Inbound for Requests {
    type Call = StreamCall;

    async fn next(&mut self) -> Option<Arrival<StreamCall>> {
        loop {
            tokio::select! {
                accepted = self.session.accept_bi() => {
                    let (send, recv) = accepted.ok()?;
                    return Some(Arrival::Call(self.call(send, recv)));
                }
                event = self.session.read_datagram() => match event {
                    Ok(event) => return Some(Arrival::Event(event)),
                    // A datagram of another WebTransport session, which there is not.
                    Err(_) if self.session.close_reason().is_none() => {}
                    Err(_) => return None,
                },
            }
        }
    }
}

/// A request on a stream of its own.
#[derive(Debug)]
pub struct StreamCall {
    send: SendStream,
    reader: FrameReader<RecvStream>,
    under_way: Option<Arc<()>>,
}

impl Call for StreamCall {
    async fn read(&mut self) -> Result<client::Request, ApiError> {
        let reading = timeout(REQUEST_TIMEOUT, self.reader.message());
        let malformed = |text: String| ApiError::new(ErrorCode::Malformed, text);
        let error = match reading.await {
            Ok(Ok(Some(request))) => return Ok(request),
            Ok(Ok(None)) => malformed("the stream has no request".into()),
            Ok(Err(StreamError::Frame(error @ FrameError::TooLarge { .. }))) => {
                ApiError::new(ErrorCode::TooLarge, error.to_string())
            }
            Ok(Err(error)) => malformed(error.to_string()),
            Err(_) => malformed(format!("no whole request within {REQUEST_TIMEOUT:?}")),
        };
        self.reader.stop(CloseCode::Refused.code());
        Err(error)
    }

    async fn answer(mut self, response: client::Response) {
        // The client may have lost interest.
        if (self.send.write_chunk(frame::encode(&response)).await).is_ok() {
            let _ = self.send.finish();
            if let Some(under_way) = self.under_way {
                tokio::spawn(async move {
                    // Ends with the connection at the latest.
                    let _ = self.send.stopped().await;
                    drop(under_way);
                });
            }
        }
    }
}

/// The streams of pushes, one for each lane, which is opened with its first.
#[derive(Debug)]
pub struct PushStreams {
    session: Arc<Session>,
    streams: Vec<(Lane, SendStream)>,
}

impl PushStreams {
    /// Sends an event. Returns false if it does not fit, or the client takes none.
    fn send_event(&self, frame: &Bytes) -> bool {
        // It comes from other nodes, as it is.
        let event = frame.slice(frame::HEADER_BYTES.min(frame.len())..);
        self.session.send_datagram(event).is_ok()
    }

    async fn stream(&mut self, lane: Lane) -> Result<&mut SendStream, Gone> {
        let place = self.streams.iter().position(|(of, _)| *of == lane);
        let place = match place {
            Some(place) => place,
            None => {
                let opened = self.session.open_uni().await.map_err(|_| Gone)?;
                self.streams.push((lane, opened));
                self.streams.len() - 1
            }
        };
        Ok(&mut self.streams[place].1)
    }
}

impl Pushes for PushStreams {
    async fn write(&mut self, frames: &mut Vec<Laned>) -> Result<(), Gone> {
        for laned in frames.iter_mut().filter(|l| l.lane == Lane::EVENTS) {
            if !self.send_event(&laned.frame) {
                laned.lane = Lane::FIRST;
            }
        }
        frames.retain(|laned| laned.lane != Lane::EVENTS);
        // Those of a lane stay in their order.
        frames.sort_by_key(|laned| laned.lane);
        while let Some(lane) = frames.first().map(|laned| laned.lane) {
            let count = frames.partition_point(|laned| laned.lane == lane);
            let of_lane = frames.drain(..count).map(|laned| laned.frame);
            let mut chunks: Vec<Bytes> = of_lane.collect();
            let stream = self.stream(lane).await?;
            let written = stream.write_all_chunks(&mut chunks).await;
            written.map_err(|_| Gone)?;
        }
        Ok(())
    }
}
