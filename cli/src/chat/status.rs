//! The state of the connection, as the status line tells it.

use std::time::Duration;

use causeway_client::Age;
use causeway_protocol::{Name, Timestamp};
use causeway_transport::Transport;

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
        /// What the connection is made of.
        transport: Transport,
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

/// A replica that is in touch with its leader is younger.
const FRESH: Duration = Duration::from_secs(2);

/// A sentence on an answer that is not fresh.
pub fn stale(age: Age) -> Option<String> {
    match age {
        Age::Known(age) if age < FRESH => None,
        Age::Known(age) => {
            let seconds = age.as_secs();
            Some(format!("cut off from the others: as of {seconds} s ago"))
        }
        Age::Unknown => Some("cut off from the others: nobody knows how old this is".into()),
    }
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
            Self::Up {
                pop,
                transport,
                round_trip,
            } => {
                let millis = round_trip.as_millis();
                let by = match transport {
                    Transport::Native => String::new(),
                    other => format!(" by {other}"),
                };
                format!("● connected to PoP {pop}{by}, round trip {millis} ms")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_not_fresh_is_told() {
        assert_eq!(stale(Age::Known(Duration::from_millis(400))), None);
        let told = stale(Age::Known(Duration::from_millis(12_300)));
        assert_eq!(
            told.as_deref(),
            Some("cut off from the others: as of 12 s ago")
        );
        assert!(stale(Age::Unknown).is_some());
    }
}
