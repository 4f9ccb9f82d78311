//! A sentence from the client to its user, above the input line.

use causeway_protocol::Timestamp;

/// Read by then, or missed.
const SHOWN_US: u64 = 12_000_000;

/// The sentence.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    /// What it says.
    pub text: String,
    /// Whether something has failed.
    pub is_error: bool,
    since: Timestamp,
}

impl Notice {
    /// Something worth knowing.
    pub fn info(text: impl Into<String>, now: Timestamp) -> Self {
        Self {
            text: super::text::one_line(&text.into()),
            is_error: false,
            since: now,
        }
    }

    /// Something that has failed.
    pub fn error(text: impl Into<String>, now: Timestamp) -> Self {
        Self {
            is_error: true,
            ..Self::info(text, now)
        }
    }

    /// Whether it has been shown long enough.
    pub fn is_over(&self, now: Timestamp) -> bool {
        now.0.abs_diff(self.since.0) >= SHOWN_US
    }
}
