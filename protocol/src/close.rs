//! Why a client's connection was closed: the same codes on every transport.

use std::fmt;

use crate::session::Retry;

/// A WebSocket leaves applications the codes from here on.
const SOCKET_BASE: u16 = 4_000;

/// The code with which a client's connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum CloseCode {
    /// The client has no more to ask.
    GoodBye = 0,
    /// The hello was refused, and its answer says why; or none came.
    Refused = 1,
    /// The edge node is going away.
    GoingAway = 2,
    /// The client did not keep up with notices that must not be lost.
    TooSlow = 3,
    /// What came over the WebSocket is no message of this protocol.
    Malformed = 4,
    /// The client did not stop asking, however often it was refused.
    Flooding = 5,
}

impl CloseCode {
    /// Every code, in the order of `PROTOCOL.md`.
    pub const ALL: &'static [Self] = &[
        Self::GoodBye,
        Self::Refused,
        Self::GoingAway,
        Self::TooSlow,
        Self::Malformed,
        Self::Flooding,
    ];

    /// On a QUIC connection and in a WebTransport session.
    pub fn code(self) -> u32 {
        (self as u8).into()
    }

    /// On a WebSocket.
    pub fn on_socket(self) -> u16 {
        SOCKET_BASE + u16::from(self as u8)
    }

    /// The stable code, for programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GoodBye => "good_bye",
            Self::Refused => "refused",
            Self::GoingAway => "going_away",
            Self::TooSlow => "too_slow",
            Self::Malformed => "bad_message",
            Self::Flooding => "flooding",
        }
    }

    /// Whether a retry can help.
    pub fn retry(self) -> Retry {
        match self {
            Self::GoodBye | Self::TooSlow => Retry::AtOnce,
            Self::Refused | Self::GoingAway => Retry::Elsewhere,
            Self::Malformed | Self::Flooding => Retry::Later,
        }
    }

    /// For people.
    pub fn reason(self) -> &'static str {
        match self {
            Self::GoodBye => "good-bye",
            Self::Refused => "refused",
            Self::GoingAway => "the edge node is stopping",
            Self::TooSlow => "too slow",
            Self::Malformed => "not a message of this protocol",
            Self::Flooding => "asked too much for too long",
        }
    }

    /// Reads a code; one of a newer version is `None`.
    pub fn from_wire(code: u64) -> Option<Self> {
        let mut all = Self::ALL.iter().copied();
        all.find(|known| u64::from(known.code()) == code)
    }

    /// Whether a code of a WebSocket is one that applications may use.
    pub fn is_on_socket(code: u16) -> bool {
        code >= SOCKET_BASE
    }

    /// Reads a code of a WebSocket.
    pub fn from_socket(code: u16) -> Option<Self> {
        Self::from_wire(code.checked_sub(SOCKET_BASE)?.into())
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_read_back_on_every_transport() {
        for (number, &code) in CloseCode::ALL.iter().enumerate() {
            assert_eq!(code.code() as usize, number);
            assert_eq!(CloseCode::from_wire(code.code().into()), Some(code));
            assert_eq!(CloseCode::from_socket(code.on_socket()), Some(code));
        }
        assert_eq!(CloseCode::from_wire(99), None);
        assert_eq!(CloseCode::from_socket(1_000), None);
    }
}
