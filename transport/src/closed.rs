//! How a client's connection ended, whatever it was made of.

use std::fmt;

use causeway_protocol::CloseCode;
use causeway_protocol::session::{End, Loss};
use quinn::ConnectionError;
use web_transport_quinn::{SessionError, WebTransportError};

/// Codes of QUIC from here on are TLS's alerts.
const TLS_ALERTS: std::ops::Range<u64> = 0x100..0x200;

/// The end of a connection, or of the try to make one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// For programs.
    pub end: End,
    /// For people.
    pub reason: String,
}

impl Closed {
    /// It ended without a word.
    pub fn broken(reason: impl Into<String>) -> Self {
        Self::lost(Loss::Broken, reason)
    }

    /// Nobody said that it ends.
    pub fn lost(loss: Loss, reason: impl Into<String>) -> Self {
        Self {
            end: End::Lost(loss),
            reason: reason.into(),
        }
    }

    /// It did not come about.
    pub fn not_reached(error: impl fmt::Display) -> Self {
        Self::lost(Loss::NotReached, error.to_string())
    }

    /// A connection of QUIC that did not come about.
    pub fn amid_handshake(error: &ConnectionError) -> Self {
        let code = match error {
            ConnectionError::TransportError(error) => error.code.into(),
            ConnectionError::ConnectionClosed(close) => close.error_code.into(),
            _ => 0,
        };
        let loss = match TLS_ALERTS.contains(&code) {
            true => Loss::TlsFailed,
            false => Loss::NotReached,
        };
        Self::lost(loss, error.to_string())
    }
}

impl From<CloseCode> for Closed {
    fn from(code: CloseCode) -> Self {
        Self {
            end: End::Said(code),
            reason: code.reason().into(),
        }
    }
}

impl From<SessionError> for Closed {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::WebTransportError(WebTransportError::Closed(code, reason)) => Self {
                end: End::from_wire(code.into()),
                reason,
            },
            SessionError::ConnectionError(ConnectionError::TimedOut) => {
                Self::lost(Loss::TimedOut, "timed out")
            }
            error => Self::broken(error.to_string()),
        }
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}
