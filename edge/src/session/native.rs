//! The native client plane: QUIC with ALPN `causeway/1`. One request, one
//! bidirectional stream; pushes on a unidirectional one.

use std::sync::Arc;
use std::time::Duration;

use causeway_protocol::client::{self, request};
use causeway_protocol::frame::FrameError;
use causeway_protocol::limits::CLIENT_FRAME_BYTES_MAX;
use causeway_protocol::{ApiError, ErrorCode, frame};
use causeway_transport::stream::{FrameReader, StreamError};
use quinn::{Connection, Endpoint, Incoming, RecvStream, SendStream, VarInt};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::caller::Caller;
use super::queue::PushQueue;
use super::{Session, Sessions};

/// A handshake must be done by then.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);
/// A connection that has not said hello by then is closed.
const HELLO_TIMEOUT: Duration = Duration::from_secs(15);
/// A request's frame must be whole by then.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Frames written at a time.
const WRITE_FRAMES_MAX: usize = 64;

/// Close codes of client connections.
pub mod close {
    /// The first request was refused; its answer says why.
    pub const REFUSED: u32 = 1;
    /// The edge node is going away.
    pub const GOING_AWAY: u32 = 2;
    /// The client did not keep up with notices that must not be lost.
    pub const TOO_SLOW: u32 = 3;
}

/// Accepts clients until `stop`, and then waits for their sessions to end.
pub async fn serve(endpoint: Endpoint, sessions: Arc<Sessions>, stop: CancellationToken) {
    let tracker = TaskTracker::new();
    while let Some(Some(incoming)) = stop.run_until_cancelled(endpoint.accept()).await {
        tracker.spawn(serve_client(Arc::clone(&sessions), incoming, stop.clone()));
    }
    tracker.close();
    tracker.wait().await;
}

async fn serve_client(sessions: Arc<Sessions>, incoming: Incoming, stop: CancellationToken) {
    let handshake = timeout(HANDSHAKE_TIMEOUT, incoming);
    let Some(Ok(Ok(connection))) = stop.run_until_cancelled(handshake).await else {
        return;
    };
    let admitting = admit(&sessions, &connection);
    match stop.run_until_cancelled(admitting).await {
        Some(Some(session)) => attend(&sessions, &connection, session, &stop).await,
        Some(None) => {}
        None => go_away(&connection),
    }
}

/// Lets the client in, or closes the connection.
async fn admit(sessions: &Arc<Sessions>, connection: &Connection) -> Option<Session> {
    let refused = VarInt::from_u32(close::REFUSED);
    match timeout(HELLO_TIMEOUT, greet(sessions, connection)).await {
        Ok(Ok(session)) => return Some(session),
        Ok(Err(code)) => {
            tracing::debug!(remote = %connection.remote_address(), %code, "a client was refused");
            // The client reads the answer, and closes; this is for one that does not.
            let _ = timeout(HELLO_TIMEOUT, connection.closed()).await;
            connection.close(refused, b"refused");
        }
        Err(_) => connection.close(refused, b"no hello in time"),
    }
    None
}

/// Runs a session until either side ends it.
async fn attend(
    sessions: &Arc<Sessions>,
    connection: &Connection,
    session: Session,
    stop: &CancellationToken,
) {
    let gone = CancellationToken::new();
    let (caller, queue, cut) = (session.caller(), session.queue(), session.cut());
    let running = tokio::spawn(session.run(gone.clone()));
    let writing = tokio::spawn(write_pushes(connection.clone(), queue));
    tokio::select! {
        () = serve_requests(sessions, connection, caller) => {}
        () = stop.cancelled() => go_away(connection),
        () = cut.cancelled() => {
            connection.close(VarInt::from_u32(close::TOO_SLOW), b"too slow");
        }
    }
    gone.cancel();
    for task in [running, writing] {
        if task.await.is_err() {
            tracing::error!(remote = %connection.remote_address(), "a session has panicked");
        }
    }
}

fn go_away(connection: &Connection) {
    let code = VarInt::from_u32(close::GOING_AWAY);
    connection.close(code, b"the edge node is stopping");
}

/// Reads the first request, which must be a hello.
async fn greet(sessions: &Arc<Sessions>, connection: &Connection) -> Result<Session, ErrorCode> {
    let lost = |_| ErrorCode::Malformed;
    let (mut send, recv) = connection.accept_bi().await.map_err(lost)?;
    let welcomed = match read_request(recv).await {
        Ok(client::Request {
            body: Some(request::Body::Hello(hello)),
            min_position,
            wrote,
        }) => {
            if let Some(response) = sessions.turn_away(&hello) {
                answer(&mut send, &response).await;
                return Err(ErrorCode::Draining);
            }
            sessions.welcome(hello, min_position, wrote).await
        }
        Ok(_) => Err(ApiError::new(
            ErrorCode::NotAuthed,
            "the first request of a connection is a hello",
        )),
        Err(error) => Err(error),
    };
    match welcomed {
        Ok((session, response)) => {
            answer(&mut send, &response).await;
            Ok(session)
        }
        Err(error) => {
            let code = error.code;
            answer(&mut send, &sessions.refuse(error)).await;
            Err(code)
        }
    }
}

/// Answers requests until the connection ends.
async fn serve_requests(sessions: &Arc<Sessions>, connection: &Connection, caller: Arc<Caller>) {
    while let Ok((send, recv)) = connection.accept_bi().await {
        let (sessions, caller) = (Arc::clone(sessions), Arc::clone(&caller));
        tokio::spawn(serve_request(sessions, caller, send, recv));
    }
}

async fn serve_request(
    sessions: Arc<Sessions>,
    caller: Arc<Caller>,
    mut send: SendStream,
    recv: RecvStream,
) {
    let response = match read_request(recv).await {
        Ok(request) => sessions.answer(&caller, request).await,
        Err(error) => sessions.refuse(error),
    };
    answer(&mut send, &response).await;
}

async fn read_request(recv: RecvStream) -> Result<client::Request, ApiError> {
    let mut reader = FrameReader::new(recv, CLIENT_FRAME_BYTES_MAX);
    let reading = timeout(REQUEST_TIMEOUT, reader.message());
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
    reader.stop(close::REFUSED);
    Err(error)
}

async fn answer(send: &mut SendStream, response: &client::Response) {
    // The client may have lost interest.
    if send.write_chunk(frame::encode(response)).await.is_ok() {
        let _ = send.finish();
    }
}

/// Writes pushes, many at a time, on one stream that is opened with the first.
async fn write_pushes(connection: Connection, queue: Arc<PushQueue>) {
    let mut frames = Vec::with_capacity(WRITE_FRAMES_MAX);
    let mut stream: Option<SendStream> = None;
    while queue.take(&mut frames, WRITE_FRAMES_MAX).await {
        let stream = match &mut stream {
            Some(stream) => stream,
            None => match connection.open_uni().await {
                Ok(opened) => stream.insert(opened),
                Err(_) => return,
            },
        };
        if stream.write_all_chunks(&mut frames).await.is_err() {
            return;
        }
        frames.clear();
    }
}
