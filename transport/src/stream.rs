//! Whole frames on QUIC streams.

use bytes::{Bytes, BytesMut};
use causeway_protocol::frame::{self, FrameError, HEADER_BYTES};
use prost::Message;
use quinn::{ReadError, RecvStream};
use thiserror::Error;

/// Bytes asked of quinn at a time.
const CHUNK_BYTES: usize = 64 * 1024;

/// Why there is no next frame.
#[derive(Debug, Error)]
pub enum StreamError {
    /// The stream ended inside a frame.
    #[error("the stream ended in the middle of a frame")]
    Cut,
    /// The frame is over the limit or cannot be decoded.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The connection or stream is gone.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Reads frames off a stream, whatever way it is cut into packets.
#[derive(Debug)]
pub struct FrameReader {
    stream: RecvStream,
    buf: BytesMut,
    limit: usize,
}

impl FrameReader {
    /// Frames over `limit` bytes are refused before they are buffered.
    pub fn new(stream: RecvStream, limit: usize) -> Self {
        Self {
            stream,
            buf: BytesMut::new(),
            limit,
        }
    }

    /// The next frame; `None` at a clean end of the stream. Not cancellation
    /// safe only in that quinn's read is: bytes already read stay buffered.
    ///
    /// # Errors
    /// [`StreamError`]; the reader is of no more use then.
    pub async fn next(&mut self) -> Result<Option<Bytes>, StreamError> {
        loop {
            if let Some(body) = frame::split(&mut self.buf, self.limit)? {
                return Ok(Some(body));
            }
            match self.stream.read_chunk(CHUNK_BYTES, true).await? {
                Some(chunk) => self.buf.extend_from_slice(&chunk.bytes),
                None if self.buf.is_empty() => return Ok(None),
                None => return Err(StreamError::Cut),
            }
        }
    }

    /// The next frame, decoded.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn message<M: Message + Default>(&mut self) -> Result<Option<M>, StreamError> {
        match self.next().await? {
            Some(body) => Ok(Some(frame::decode(body)?)),
            None => Ok(None),
        }
    }

    /// Exactly `N` bytes that come before the first frame.
    ///
    /// # Errors
    /// [`StreamError::Cut`] when the stream is shorter.
    pub async fn prefix<const N: usize>(&mut self) -> Result<[u8; N], StreamError> {
        while self.buf.len() < N {
            let chunk = self.stream.read_chunk(CHUNK_BYTES, true).await?;
            self.buf
                .extend_from_slice(&chunk.ok_or(StreamError::Cut)?.bytes);
        }
        let mut prefix = [0; N];
        prefix.copy_from_slice(&self.buf.split_to(N));
        Ok(prefix)
    }

    /// Tells the sender to stop.
    pub fn stop(&mut self, code: u32) {
        // Fails only when the stream has ended already.
        let _ = self.stream.stop(code.into());
    }
}

/// Bytes that a frame of `body` bytes takes on a stream.
pub fn framed_len(body: usize) -> usize {
    HEADER_BYTES + body
}
