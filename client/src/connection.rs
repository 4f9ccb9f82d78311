//! One connection to an edge node: hello, requests, pushes.

use causeway_protocol::client::{self, request, response, server_frame};
use causeway_protocol::limits::SERVER_FRAME_BYTES_MAX;
use causeway_protocol::{ApiError, ErrorCode, frame};
use causeway_transport::stream::FrameReader;
use quinn::Connection;
use tokio::sync::mpsc;

use crate::inbox::Seen;
use crate::{Age, Answer};

/// Makes one request on a stream of its own.
///
/// # Errors
/// [`ErrorCode::Unavailable`] when the connection breaks; a refusal is part of
/// the response.
pub async fn request(
    connection: &Connection,
    seen: Seen,
    body: request::Body,
) -> Result<client::Response, ApiError> {
    let lost = |text: String| ApiError::new(ErrorCode::Unavailable, text);
    let request = client::Request {
        min_position: seen.position,
        wrote: seen.wrote,
        body: Some(body),
    };
    let (mut send, recv) = connection
        .open_bi()
        .await
        .map_err(|e| lost(e.to_string()))?;
    let sent = send.write_chunk(frame::encode(&request)).await;
    sent.map_err(|e| lost(e.to_string()))?;
    // The answer says so if the stream was stopped.
    let _ = send.finish();
    let mut reader = FrameReader::new(recv, SERVER_FRAME_BYTES_MAX);
    let response = reader.message().await.map_err(|e| lost(e.to_string()))?;
    response.ok_or_else(|| lost("the answer is missing".into()))
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

/// Hands every pushed frame on, until the connection ends.
pub async fn read_pushes(connection: Connection, frames: mpsc::Sender<server_frame::Body>) {
    while let Ok(stream) = connection.accept_uni().await {
        let frames = frames.clone();
        tokio::spawn(async move {
            let mut reader = FrameReader::new(stream, SERVER_FRAME_BYTES_MAX);
            while let Ok(Some(frame)) = reader.message::<client::ServerFrame>().await {
                if let Some(body) = frame.body
                    && frames.send(body).await.is_err()
                {
                    return;
                }
            }
        });
    }
}
