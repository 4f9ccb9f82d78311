//! The client protocol by hand: one request, one answer, and nothing that tries
//! again.

use std::sync::Arc;

use causeway_client::endpoint;
use causeway_protocol::client::{self, request, response, server_frame};
use causeway_protocol::frame;
use causeway_protocol::limits::SERVER_FRAME_BYTES_MAX;
use causeway_transport::endpoint::{Liveness, Streams, client_transport};
use causeway_transport::stream::FrameReader;
use causeway_transport::tls;
use quinn::{Connection, ConnectionError, RecvStream};
use tokio::sync::mpsc;

use crate::world::{PATIENCE, Running};

/// A connection to an edge node, from outside of the emulated network.
pub async fn connect(world: &Running, edge: &str) -> Connection {
    let connected = try_to_connect(world, edge).await;
    connected.expect("the edge accepts")
}

/// The same, where it may be refused.
pub async fn try_to_connect(world: &Running, edge: &str) -> Result<Connection, ConnectionError> {
    let node = world.node(edge);
    let roots = world.world.roots().expect("roots");
    let tls = tls::client_plane_client(&roots).expect("TLS");
    let mut config = quinn::ClientConfig::new(Arc::new(tls));
    let transport = client_transport(Liveness::CLIENT_PLANE, Streams::CLIENT);
    config.transport_config(Arc::new(transport));
    let local = ([127, 0, 0, 1], 0).into();
    let endpoint = endpoint(local, None).expect("an endpoint");
    let address = node.client.expect("an edge node");
    let connecting = endpoint.connect_with(config, address, &address.ip().to_string());
    connecting.expect("valid").await
}

/// Sends bytes on a stream of their own, and reads the answer.
pub async fn send_raw(connection: &Connection, bytes: &[u8]) -> client::Response {
    let answer = try_to_send_raw(connection, bytes).await;
    answer.expect("an answer")
}

/// The same on a connection that may be closed.
pub async fn try_to_send_raw(connection: &Connection, bytes: &[u8]) -> Option<client::Response> {
    let (mut send, recv) = connection.open_bi().await.ok()?;
    // The edge may stop reading before everything is written.
    let _ = send.write_all(bytes).await;
    let _ = send.finish();
    let mut reader = FrameReader::new(recv, SERVER_FRAME_BYTES_MAX);
    reader.message().await.ok()?
}

/// Makes a request on a stream of its own.
pub async fn ask(connection: &Connection, body: request::Body) -> client::Response {
    ask_from(connection, 0, body).await
}

/// The same, of a client that has seen this position.
pub async fn ask_from(
    connection: &Connection,
    min_position: u64,
    body: request::Body,
) -> client::Response {
    let request = client::Request {
        min_position,
        body: Some(body),
        ..client::Request::default()
    };
    send_raw(connection, &frame::encode(&request)).await
}

/// Says hello.
pub async fn hello(connection: &Connection, token: &str) -> client::Response {
    let hello = client::Hello {
        token: token.into(),
        ..client::Hello::default()
    };
    ask(connection, request::Body::Hello(hello)).await
}

/// The code of a refusal.
pub fn code(response: &client::Response) -> &str {
    match &response.result {
        Some(response::Result::Error(error)) => &error.code,
        _ => "no error",
    }
}

/// The demonstration user `ada` of a workspace, let in.
pub async fn let_in(
    world: &Running,
    edge: &str,
    workspace: &str,
) -> (Connection, client::BootData) {
    let connection = connect(world, edge).await;
    let token = &world.workspace(workspace).users[0].token;
    match hello(&connection, token).await.result {
        Some(response::Result::Welcome(welcome)) => (connection, welcome.boot.expect("boot data")),
        other => panic!("not welcome: {other:?}"),
    }
}

/// What an edge node pushes, whatever it comes on.
pub struct Pushes(mpsc::UnboundedReceiver<server_frame::Body>);

impl Pushes {
    /// Reads all streams and datagrams of a connection from now on.
    pub fn of(connection: &Connection) -> Self {
        let (frames, pushes) = mpsc::unbounded_channel();
        let connection = connection.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    Ok(stream) = connection.accept_uni() => {
                        tokio::spawn(read_stream(stream, frames.clone()));
                    }
                    Ok(event) = connection.read_datagram() => {
                        let event = frame::decode::<client::ServerFrame>(event).expect("a frame");
                        // Whoever reads pushes may have seen enough.
                        let _ = frames.send(event.body.expect("an event"));
                    }
                    else => return,
                }
            }
        });
        Self(pushes)
    }

    /// The next frame.
    pub async fn next(&mut self) -> server_frame::Body {
        let next = tokio::time::timeout(PATIENCE, self.0.recv()).await;
        next.expect("in time").expect("open")
    }
}

async fn read_stream(stream: RecvStream, frames: mpsc::UnboundedSender<server_frame::Body>) {
    let mut reader = FrameReader::new(stream, SERVER_FRAME_BYTES_MAX);
    while let Ok(Some(frame)) = reader.message::<client::ServerFrame>().await {
        if let Some(body) = frame.body {
            // Whoever reads pushes may have seen enough.
            let _ = frames.send(body);
        }
    }
}
