//! The ways in which a client reaches an edge node.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// What carries a client's connection. What is said on it is the same on all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// QUIC, with an ALPN of our own.
    Native,
    /// HTTP/3 over QUIC, as browsers have it.
    WebTransport,
    /// Over TLS over TCP: where UDP does not get through.
    WebSocket,
}

/// No transport has this name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("no transport is called {0:?}: take native, webtransport or websocket")]
pub struct UnknownTransport(String);

impl Transport {
    /// Every one, in the order in which clients try them.
    pub const ALL: [Self; 3] = [Self::Native, Self::WebTransport, Self::WebSocket];

    /// Its name in flags, logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::WebTransport => "webtransport",
            Self::WebSocket => "websocket",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Transport {
    type Err = UnknownTransport;

    fn from_str(text: &str) -> Result<Self, UnknownTransport> {
        let found = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        found.ok_or_else(|| UnknownTransport(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_others_are_refused() {
        for kind in Transport::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        assert!("carrier pigeon".parse::<Transport>().is_err());
    }
}
