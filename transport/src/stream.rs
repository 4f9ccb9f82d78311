//! Whole frames on streams, of QUIC or of a WebTransport session.

use std::future::Future;

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
    /// The same, of a WebTransport session.
    #[error(transparent)]
    Session(#[from] web_transport_quinn::ReadError),
}

/// A stream to read from.
pub trait Source: Send {
    /// The next bytes, `None` at the end.
    fn chunk(&mut self) -> impl Future<Output = Result<Option<Bytes>, StreamError>> + Send;

    /// Tells the sender to stop.
    fn stop(&mut self, code: u32);
}

impl Source for RecvStream {
    async fn chunk(&mut self) -> Result<Option<Bytes>, StreamError> {
        let chunk = self.read_chunk(CHUNK_BYTES, true).await?;
        Ok(chunk.map(|chunk| chunk.bytes))
    }

    fn stop(&mut self, code: u32) {
        // Fails only when the stream has ended already.
        let _ = Self::stop(self, code.into());
    }
}

impl Source for web_transport_quinn::RecvStream {
    async fn chunk(&mut self) -> Result<Option<Bytes>, StreamError> {
        let chunk = self.read_chunk(CHUNK_BYTES, true).await?;
        Ok(chunk.map(|chunk| chunk.bytes))
    }

    fn stop(&mut self, code: u32) {
        // As above.
        let _ = Self::stop(self, code);
    }
}

/// Reads frames off a stream, whatever way it is cut into packets.
#[derive(Debug)]
pub struct FrameReader<S = RecvStream> {
    stream: S,
    buf: BytesMut,
    limit: usize,
}

impl<S: Source> FrameReader<S> {
    /// Frames over `limit` bytes are refused before they are buffered.
    pub fn new(stream: S, limit: usize) -> Self {
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
            match self.stream.chunk().await? {
                Some(chunk) => self.buf.extend_from_slice(&chunk),
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
            let chunk = self.stream.chunk().await?;
            self.buf.extend_from_slice(&chunk.ok_or(StreamError::Cut)?);
        }
        let mut prefix = [0; N];
        prefix.copy_from_slice(&self.buf.split_to(N));
        Ok(prefix)
    }

    /// Tells the sender to stop.
    pub fn stop(&mut self, code: u32) {
        self.stream.stop(code);
    }
}

/// Bytes that a frame of `body` bytes takes on a stream.
pub fn framed_len(body: usize) -> usize {
    HEADER_BYTES + body
}
