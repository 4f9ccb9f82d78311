//! Framing on streams: a frame is its length as four bytes, big endian, and
//! then that many bytes of protobuf.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;
use thiserror::Error;

/// Bytes of the length in front of a frame.
pub const HEADER_BYTES: usize = 4;

/// What is wrong with a received frame.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FrameError {
    /// The length says more than the reader takes.
    #[error("a frame of {bytes} bytes is over the limit of {limit}")]
    TooLarge {
        /// The length as announced.
        bytes: usize,
        /// The most the reader takes.
        limit: usize,
    },
    /// The bytes are not a message of the expected type.
    #[error("a frame is not a valid message: {0}")]
    Malformed(#[from] prost::DecodeError),
}

/// Encodes `message` with its length in front, in one allocation.
pub fn encode(message: &impl Message) -> Bytes {
    let len = message.encoded_len();
    let mut buf = BytesMut::with_capacity(HEADER_BYTES + len);
    buf.put_u32(u32::try_from(len).expect("messages are far smaller than 4 GiB"));
    message
        .encode(&mut buf)
        .expect("the buffer has room for the encoded length");
    buf.freeze()
}

/// The frame of a message that is encoded already.
pub fn with_header(body: &[u8]) -> Bytes {
    let len = u32::try_from(body.len()).expect("messages are far smaller than 4 GiB");
    let mut buf = BytesMut::with_capacity(HEADER_BYTES + body.len());
    buf.put_u32(len);
    buf.put_slice(body);
    buf.freeze()
}

/// Takes the next whole frame off `buf`, or `None` when more bytes are needed.
///
/// # Errors
/// [`FrameError::TooLarge`] as soon as the announced length is over `limit`:
/// before anything of that size is buffered.
pub fn split(buf: &mut BytesMut, limit: usize) -> Result<Option<Bytes>, FrameError> {
    if buf.len() < HEADER_BYTES {
        return Ok(None);
    }
    let len = u32::from_be_bytes([buf[0], buf[1], buf[2], buf[3]]) as usize;
    if len > limit {
        return Err(FrameError::TooLarge { bytes: len, limit });
    }
    if buf.len() < HEADER_BYTES + len {
        return Ok(None);
    }
    buf.advance(HEADER_BYTES);
    Ok(Some(buf.split_to(len).freeze()))
}

/// Decodes the body of a frame.
pub fn decode<M: Message + Default>(body: Bytes) -> Result<M, FrameError> {
    Ok(M::decode(body)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::client::{Ping, Request, SendMessage, request::Body};

    fn send(text: &str) -> Request {
        Request {
            min_position: 7,
            body: Some(Body::SendMessage(SendMessage {
                channel: 1 << 32 | 2,
                client_msg_id: Bytes::from_static(b"id"),
                text: text.into(),
                thread_ts: 0,
            })),
            ..Request::default()
        }
    }

    /// The bytes are a contract: authors of clients test against them.
    #[test]
    fn golden_bytes_of_a_request() {
        let hex: String = encode(&send("hi"))
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        assert_eq!(hex, "0000001208075a0e088280808010120269641a026869");
    }

    #[test]
    fn a_length_over_the_limit_is_refused_before_its_body_comes() {
        let mut buf = BytesMut::from(&[0xff, 0xff, 0xff, 0xff][..]);
        assert_eq!(
            split(&mut buf, 100),
            Err(FrameError::TooLarge {
                bytes: 0xffff_ffff,
                limit: 100
            })
        );
    }

    #[test]
    fn garbage_is_malformed() {
        assert!(matches!(
            decode::<Request>(Bytes::from_static(&[0xff, 0xff])),
            Err(FrameError::Malformed(_))
        ));
    }

    proptest! {
        #[test]
        fn frames_survive_any_cutting(texts in prop::collection::vec(".{0,40}", 1..5), cut in 1usize..9) {
            let wire: Vec<u8> = texts.iter().flat_map(|t| encode(&send(t)).to_vec()).collect();
            let (mut buf, mut seen) = (BytesMut::new(), Vec::new());
            for chunk in wire.chunks(cut) {
                buf.extend_from_slice(chunk);
                while let Some(body) = split(&mut buf, 1000).unwrap() {
                    seen.push(decode::<Request>(body).unwrap());
                }
            }
            prop_assert!(buf.is_empty());
            let sent: Vec<_> = texts.iter().map(|t| send(t)).collect();
            prop_assert_eq!(seen, sent);
        }

        #[test]
        fn decoding_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut buf = BytesMut::from(&bytes[..]);
            if let Ok(Some(body)) = split(&mut buf, 1000) {
                let _ = decode::<Request>(body);
            }
        }
    }

    #[test]
    fn a_frame_is_the_same_whether_its_message_is_encoded_before() {
        let request = send("hi");
        assert_eq!(with_header(&request.encode_to_vec()), encode(&request));
    }

    #[test]
    fn an_empty_message_is_an_empty_frame() {
        assert_eq!(&encode(&Ping {})[..], &[0, 0, 0, 0]);
    }
}
