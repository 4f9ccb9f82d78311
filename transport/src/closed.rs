//! How a client's connection ended, whatever it was made of.

use std::fmt;

use causeway_protocol::CloseCode;
use web_transport_quinn::{SessionError, WebTransportError};

/// The end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// As it was said by either side; `None` if it was not, or by a newer version.
    pub code: Option<CloseCode>,
    /// For people.
    pub reason: String,
}

impl Closed {
    /// It ended without a word.
    pub fn broken(reason: impl Into<String>) -> Self {
        Self {
            code: None,
            reason: reason.into(),
        }
    }
}

impl From<CloseCode> for Closed {
    fn from(code: CloseCode) -> Self {
        Self {
            code: Some(code),
            reason: code.reason().into(),
        }
    }
}

impl From<SessionError> for Closed {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::WebTransportError(WebTransportError::Closed(code, reason)) => Self {
                code: CloseCode::from_wire(code.into()),
                reason,
            },
            error => Self::broken(error.to_string()),
        }
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}
