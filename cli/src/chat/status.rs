//! The state of the connection, as the status line tells it.

use std::time::Duration;

use causeway_protocol::{Name, Timestamp};

/// Whether there is a connection.
#[derive(Debug, Clone, PartialEq)]
pub enum Link {
    /// The first connection is being made.
    Connecting {
        /// Since when.
        since: Timestamp,
    },
    /// Connected.
    Up {
        /// To which PoP.
        pop: Name,
        /// The round trip as measured last.
        round_trip: Duration,
    },
    /// Not connected, and trying.
    Down {
        /// Why, as known last.
        reason: String,
        /// Since when.
        since: Timestamp,
    },
    /// Not connected, for good.
    Stopped {
        /// Why.
        reason: String,
    },
}

impl Link {
    /// Whether requests can be made.
    pub fn is_up(&self) -> bool {
        matches!(self, Self::Up { .. })
    }

    /// Whether the client library will never send anything again.
    pub fn is_stopped(&self) -> bool {
        matches!(self, Self::Stopped { .. })
    }

    /// The connection is gone, or another try has failed: the time counts from
    /// the first.
    pub fn lost(&mut self, reason: String, now: Timestamp) {
        let since = match self {
            Self::Connecting { since } | Self::Down { since, .. } => *since,
            Self::Up { .. } => now,
            Self::Stopped { .. } => return,
        };
        *self = Self::Down { reason, since };
    }

    /// A mark and a sentence.
    pub fn text(&self, now: Timestamp) -> String {
        let seconds = |since: &Timestamp| now.0.saturating_sub(since.0) / 1_000_000;
        match self {
            Self::Connecting { since } => format!("◌ connecting … {} s", seconds(since)),
            Self::Up { pop, round_trip } => {
                let millis = round_trip.as_millis();
                format!("● connected to PoP {pop}, round trip {millis} ms")
            }
            Self::Down { reason, since } => {
                let reason = super::text::one_line(reason);
                format!("◌ reconnecting … {} s: {reason}", seconds(since))
            }
            Self::Stopped { reason } => {
                let reason = super::text::one_line(reason);
                format!("✗ stopped: {reason}")
            }
        }
    }
}
