//! What a NATS server says, as far as a subscriber needs it: lines of text, and
//! messages of a length that their line tells.

use bytes::{Buf, BytesMut};
use thiserror::Error;

/// A line is not longer; that which tells of the server itself is the longest.
const LINE_BYTES_MAX: usize = 64 * 1024;
/// A message is not longer.
const PAYLOAD_BYTES_MAX: usize = 1024 * 1024;
const LINE_END: &[u8] = b"\r\n";

/// Something that a server says.
#[derive(Debug, PartialEq, Eq)]
pub enum Said<'a> {
    /// A message, and what is in it.
    Message(&'a [u8]),
    /// It wants to be answered with [`PONG`].
    Ping,
    /// All that was asked before has been done.
    Pong,
    /// About itself, or that all is well.
    Other,
}

/// Asks whether all before it has been done.
pub const PING: &[u8] = b"PING\r\n";
/// Answers a [`Said::Ping`].
pub const PONG: &[u8] = b"PONG\r\n";
/// Introduces a client that does not want each of its lines confirmed.
pub const CONNECT: &[u8] =
    b"CONNECT {\"verbose\":false,\"pedantic\":false,\"echo\":false,\"protocol\":1,\"name\":\"bench\"}\r\n";

/// What no NATS server says.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum WireError {
    /// Without an end, too long, or of a length that is no number.
    #[error("the NATS server says what is not its protocol")]
    Malformed,
    /// It refuses.
    #[error("the NATS server refuses: {0}")]
    Refused(String),
}

/// Takes apart what comes from a server, in pieces of any size.
#[derive(Debug, Default)]
pub struct Reader {
    buffer: BytesMut,
    /// Bytes of the buffer that have been taken apart.
    taken: usize,
}

impl Reader {
    /// Where the next piece is put, with room for so many bytes.
    pub fn room(&mut self, bytes: usize) -> &mut BytesMut {
        self.buffer.advance(self.taken);
        self.taken = 0;
        self.buffer.reserve(bytes);
        &mut self.buffer
    }

    /// The next that has come in as a whole.
    ///
    /// # Errors
    /// [`WireError`]: the connection is of no use any more.
    pub fn next(&mut self) -> Result<Option<Said<'_>>, WireError> {
        let rest = &self.buffer[self.taken..];
        let longest = &rest[..rest.len().min(LINE_BYTES_MAX)];
        let Some(length) = longest.windows(2).position(|two| two == LINE_END) else {
            return match rest.len() < LINE_BYTES_MAX {
                true => Ok(None),
                false => Err(WireError::Malformed),
            };
        };
        let (line, after) = (&rest[..length], length + LINE_END.len());
        if let Some(told) = line.strip_prefix(b"MSG ") {
            let bytes = payload_bytes(told).ok_or(WireError::Malformed)?;
            let whole = after + bytes + LINE_END.len();
            if rest.len() < whole {
                return Ok(None);
            }
            let from = self.taken + after;
            self.taken += whole;
            return Ok(Some(Said::Message(&self.buffer[from..from + bytes])));
        }
        let said = match line {
            b"PING" => Said::Ping,
            b"PONG" => Said::Pong,
            _ => match line.strip_prefix(b"-ERR ") {
                Some(why) => return Err(WireError::Refused(String::from_utf8_lossy(why).into())),
                None => Said::Other,
            },
        };
        self.taken += after;
        Ok(Some(said))
    }
}

/// Subject, subscription, perhaps where to answer, and the length at last.
fn payload_bytes(told: &[u8]) -> Option<usize> {
    let last = told.rsplit(|byte| *byte == b' ').next()?;
    let bytes = std::str::from_utf8(last).ok()?.parse().ok()?;
    (bytes <= PAYLOAD_BYTES_MAX).then_some(bytes)
}

/// Appends the request that `payload` is given to all subscribers of `subject`.
pub fn publish(into: &mut Vec<u8>, subject: &str, payload: &[u8]) {
    into.extend_from_slice(format!("PUB {subject} {}\r\n", payload.len()).as_bytes());
    into.extend_from_slice(payload);
    into.extend_from_slice(LINE_END);
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &[u8] = b"INFO {\"server_id\":\"N\"}\r\n+OK\r\nPING\r\n\
        MSG bench 1 4\r\n\r\n\r\n\r\nMSG bench 1 reply 2\r\nhi\r\nPONG\r\n";

    fn texts(reader: &mut Reader) -> Result<Vec<String>, WireError> {
        let mut texts = Vec::new();
        while let Some(said) = reader.next()? {
            texts.push(format!("{said:?}"));
        }
        Ok(texts)
    }

    #[test]
    fn it_is_the_same_in_pieces_of_any_size() {
        let wanted = [
            Said::Other,
            Said::Other,
            Said::Ping,
            Said::Message(b"\r\n\r\n"),
            Said::Message(b"hi"),
            Said::Pong,
        ];
        let wanted = wanted.map(|said| format!("{said:?}"));
        for size in 1..=SAID.len() {
            let mut reader = Reader::default();
            let mut told = Vec::new();
            for piece in SAID.chunks(size) {
                reader.room(size).extend_from_slice(piece);
                told.extend(texts(&mut reader).unwrap());
            }
            assert_eq!(told, wanted, "pieces of {size}");
        }
    }

    #[test]
    fn what_is_no_protocol_is_told() {
        let says = |text: &[u8]| {
            let mut reader = Reader::default();
            reader.room(text.len()).extend_from_slice(text);
            texts(&mut reader)
        };
        for text in ["MSG bench 1 -1\r\n", "MSG bench 1 99999999\r\n", "MSG \r\n"] {
            assert_eq!(says(text.as_bytes()), Err(WireError::Malformed), "{text}");
        }
        assert_eq!(says(&[b'x'; LINE_BYTES_MAX]), Err(WireError::Malformed));
        let refused = WireError::Refused("'Authorization Violation'".into());
        assert_eq!(says(b"-ERR 'Authorization Violation'\r\n"), Err(refused));
    }

    #[test]
    fn what_is_published_has_its_length() {
        let mut request = Vec::new();
        publish(&mut request, "bench", b"hello");
        assert_eq!(request, b"PUB bench 5\r\nhello\r\n");
    }
}
