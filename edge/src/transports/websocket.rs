//! Clients over WebSockets, on the port of the Web API: for networks that let no
//! UDP through. Requests, answers and pushes share the one stream that there is.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::SEC_WEBSOCKET_PROTOCOL;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use bytes::Bytes;
use causeway_protocol::client::{self, server_frame};
use causeway_protocol::frame::{self, FrameError};
use causeway_protocol::limits::{CLIENT_FRAME_BYTES_MAX, SOCKET_MESSAGE_BYTES_MAX};
use causeway_protocol::{ApiError, CloseCode, ErrorCode};
use causeway_transport::Transport;
use causeway_transport::endpoint::Liveness;
use causeway_transport::socket::{self, FrameSocket, PATH, SUBPROTOCOL};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, mpsc};
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;
use tokio_util::sync::CancellationToken;

use super::{Arrival, Call, Carrier, Gone, Inbound, Pushes};
use crate::https::Switch;
use crate::session::lane::Laned;
use crate::session::{Sessions, attend};

/// WebSockets at a time; more are closed at once.
const SOCKETS_MAX: usize = 50_000;

/// Where WebSockets are opened.
pub fn routes() -> Router {
    Router::new().route(PATH, get(upgrade))
}

async fn upgrade(Extension(switch): Extension<Switch>, request: Request) -> Response {
    if !offers_ours(request.headers()) {
        let text = format!("offer the subprotocol {SUBPROTOCOL}\n");
        return (StatusCode::BAD_REQUEST, text).into_response();
    }
    match create_response_with_body(&request, Body::empty) {
        Ok(mut response) => {
            let ours = HeaderValue::from_static(SUBPROTOCOL);
            response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, ours);
            switch.set();
            response
        }
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    }
}

fn offers_ours(headers: &HeaderMap) -> bool {
    let lists = headers.get_all(SEC_WEBSOCKET_PROTOCOL).into_iter();
    let mut offered = lists.filter_map(|list| list.to_str().ok());
    offered.any(|list| list.split(',').any(|name| name.trim() == SUBPROTOCOL))
}

/// Serves clients whose WebSocket has been opened; clones share the places.
#[derive(Clone)]
pub struct Sockets {
    sessions: Arc<Sessions>,
    liveness: Liveness,
    places: Arc<Semaphore>,
}

impl Sockets {
    /// For these sessions.
    pub fn new(sessions: Arc<Sessions>, liveness: Liveness) -> Self {
        Self {
            sessions,
            liveness,
            places: Arc::new(Semaphore::new(SOCKETS_MAX)),
        }
    }

    /// Serves a client until either side ends it, or the node stops; `read` has come
    /// after the handshake. Gives the stream back, unless that broke.
    pub async fn serve<S>(
        &self,
        stream: S,
        read: Bytes,
        remote: SocketAddr,
        stop: &CancellationToken,
    ) -> Option<S>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let Ok(_place) = self.places.try_acquire() else {
            return Some(stream);
        };
        let stream = socket::server_end(stream, read, SOCKET_MESSAGE_BYTES_MAX).await;
        let (socket, frames, pump) = socket::open(stream, self.liveness);
        let inbound = Frames {
            frames,
            socket: socket.clone(),
        };
        let carrier = Socket { socket, remote };
        let attending = attend::serve(&self.sessions, carrier, inbound, stop);
        let (stream, ()) = tokio::join!(pump.run(), attending);
        stream
    }
}

/// A connection over a WebSocket.
#[derive(Debug, Clone)]
struct Socket {
    socket: FrameSocket,
    remote: SocketAddr,
}

impl Carrier for Socket {
    type Pushes = SocketPushes;

    fn pushes(&self) -> SocketPushes {
        SocketPushes(self.socket.clone())
    }

    fn close(&self, code: CloseCode) {
        self.socket.close(code);
    }

    async fn closed(&self) {
        self.socket.closed().await;
    }

    fn remote(&self) -> SocketAddr {
        self.remote
    }

    fn round_trip(&self) -> Option<Duration> {
        None
    }

    fn transport(&self) -> Transport {
        Transport::WebSocket
    }
}

/// What comes in.
#[derive(Debug)]
struct Frames {
    frames: mpsc::Receiver<Bytes>,
    socket: FrameSocket,
}

impl Inbound for Frames {
    type Call = SocketCall;

    async fn next(&mut self) -> Option<Arrival<SocketCall>> {
        let frame = self.frames.recv().await?;
        let Ok(request) = frame::decode::<client::SocketRequest>(frame) else {
            self.socket.close(CloseCode::Malformed);
            return None;
        };
        if !request.event.is_empty() {
            return Some(Arrival::Event(request.event));
        }
        Some(Arrival::Call(SocketCall {
            id: request.id,
            request: request.request,
            socket: self.socket.clone(),
        }))
    }
}

/// A request, and the number that its answer is to have.
#[derive(Debug)]
struct SocketCall {
    id: u64,
    request: Bytes,
    socket: FrameSocket,
}

impl Call for SocketCall {
    async fn read(&mut self) -> Result<client::Request, ApiError> {
        let (bytes, limit) = (self.request.len(), CLIENT_FRAME_BYTES_MAX);
        if bytes > limit {
            let error = FrameError::TooLarge { bytes, limit };
            return Err(ApiError::new(ErrorCode::TooLarge, error.to_string()));
        }
        let request = frame::decode(std::mem::take(&mut self.request));
        request.map_err(|error| ApiError::new(ErrorCode::Malformed, error.to_string()))
    }

    async fn answer(self, response: client::Response) {
        let answer = client::SocketAnswer {
            id: self.id,
            response: Some(response),
        };
        let frame = frame::encode(&client::ServerFrame {
            body: Some(server_frame::Body::Answer(answer)),
        });
        // Fails only when the client is gone.
        let _ = self.socket.send(vec![frame]).await;
    }
}

/// Takes pushes: they go out between the answers.
#[derive(Debug)]
struct SocketPushes(FrameSocket);

impl Pushes for SocketPushes {
    async fn write(&mut self, frames: &mut Vec<Laned>) -> Result<(), Gone> {
        let frames = frames.drain(..).map(|laned| laned.frame);
        let sent = self.0.send(frames.collect()).await;
        sent.map_err(|_| Gone)
    }
}
