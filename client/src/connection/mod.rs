//! One connection to an edge node: hello, requests, pushes. What it is made of,
//! nobody outside of here knows. Whoever needs no more than that takes it by itself.

mod socket;
mod streams;

use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway_protocol::client::{self, request, response, server_frame};
use causeway_protocol::{ApiError, ErrorCode};
use causeway_transport::{Closed, Transport};
use prost::Message;
use tokio::sync::mpsc;

use self::socket::Socket;
use self::streams::Streams;
use crate::inbox::Seen;
use crate::{Age, Answer, ClientConfig, Pop};

/// A connection; clones share it.
#[derive(Debug, Clone)]
pub struct Connection(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Streams(Streams),
    Socket(Socket),
}

/// A connection that has been made.
#[derive(Debug)]
pub struct Reached {
    /// It.
    pub connection: Connection,
    /// How long the first round trip of its handshake took.
    pub round_trip: Duration,
}

/// Reaches PoPs by one transport; clones share its settings.
#[derive(Clone)]
pub struct Dialer(Way);

#[derive(Clone)]
enum Way {
    Streams(streams::Dialer),
    Socket(socket::Dialer),
}

impl Dialer {
    /// With the settings that a client has.
    ///
    /// # Errors
    /// Why it cannot be tried.
    pub fn new(config: &ClientConfig, transport: Transport) -> Result<Self, String> {
        let way = match transport {
            Transport::Native | Transport::WebTransport => {
                streams::Dialer::new(config, transport).map(Way::Streams)
            }
            Transport::WebSocket => socket::Dialer::new(config).map(Way::Socket),
        };
        way.map(Self).map_err(|error| error.to_string())
    }

    /// Reaches a PoP.
    ///
    /// # Errors
    /// Why it was not reached.
    pub async fn dial(&self, pop: &Pop) -> Result<Reached, Closed> {
        let start = Instant::now();
        let (kind, round_trip) = match &self.0 {
            Way::Streams(dialer) => {
                let (streams, round_trip) = dialer.dial(pop, start).await?;
                (Kind::Streams(streams), round_trip)
            }
            Way::Socket(dialer) => {
                let (socket, round_trip) = dialer.dial(pop, start).await?;
                (Kind::Socket(socket), round_trip)
            }
        };
        Ok(Reached {
            connection: Connection(kind),
            round_trip,
        })
    }
}

impl Connection {
    /// What it is made of.
    pub fn transport(&self) -> Transport {
        match &self.0 {
            Kind::Streams(streams) => streams.transport(),
            Kind::Socket(_) => Transport::WebSocket,
        }
    }

    /// Waits for the end, and tells why.
    pub async fn closed(&self) -> Closed {
        match &self.0 {
            Kind::Streams(streams) => streams.closed().await,
            Kind::Socket(socket) => socket.closed().await,
        }
    }

    /// Says good-bye.
    pub fn close(&self) {
        match &self.0 {
            Kind::Streams(streams) => streams.close(),
            Kind::Socket(socket) => socket.close(),
        }
    }

    /// Hands every pushed frame on, until the connection ends.
    pub async fn read_pushes(self, frames: mpsc::Sender<server_frame::Body>) {
        match self.0 {
            Kind::Streams(streams) => streams.read_pushes(frames).await,
            Kind::Socket(socket) => socket.read_pushes(frames).await,
        }
    }

    /// Sends a request that may be lost and has no answer, and returns whether it is on
    /// its way: a datagram holds no long ones.
    pub async fn send_event(&self, request: Bytes) -> bool {
        match &self.0 {
            Kind::Streams(streams) => streams.send_event(request),
            Kind::Socket(socket) => socket.send_event(request).await,
        }
    }

    /// Sends the bytes of a request, whatever they are, and reads the answer.
    ///
    /// # Errors
    /// [`ErrorCode::Unavailable`] when the connection breaks.
    pub async fn exchange(&self, request: Bytes) -> Result<client::Response, ApiError> {
        let response = match &self.0 {
            Kind::Streams(streams) => streams.exchange(&request).await,
            Kind::Socket(socket) => socket.exchange(request).await,
        };
        response.map_err(|text| ApiError::new(ErrorCode::Unavailable, text))
    }
}

/// Makes one request.
///
/// # Errors
/// [`ErrorCode::Unavailable`] when the connection breaks; a refusal is part of
/// the response.
pub async fn request(
    connection: &Connection,
    seen: Seen,
    body: request::Body,
) -> Result<client::Response, ApiError> {
    let request = client::Request {
        min_position: seen.position,
        wrote: seen.wrote,
        body: Some(body),
    };
    connection.exchange(request.encode_to_vec().into()).await
}

/// The result in a response; a refusal becomes the error.
///
/// # Errors
/// The refusal.
pub fn result(response: client::Response) -> Result<response::Result, ApiError> {
    match response.result {
        Some(response::Result::Error(error)) => Err(ApiError::from_wire(error)),
        Some(result) => Ok(result),
        None => Err(ApiError::new(
            ErrorCode::Malformed,
            "this answer needs a newer client",
        )),
    }
}

/// The same, with its age.
///
/// # Errors
/// The refusal.
pub fn answer(response: client::Response) -> Result<Answer, ApiError> {
    let age = Age::from_wire(response.age_ms);
    result(response).map(|result| Answer { result, age })
}
