//! Counts what clients were refused, by code.

use std::collections::BTreeMap;

use causeway_protocol::ErrorCode;
use parking_lot::Mutex;

/// Refusals so far. Only known codes are counted by name, so that nobody makes
/// the table grow.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<BTreeMap<&'static str, u64>>);

impl Refusals {
    /// Counts one.
    pub fn count(&self, code: &str) {
        let code = ErrorCode::from_wire(code).map_or("other", ErrorCode::as_str);
        *self.0.lock().entry(code).or_default() += 1;
    }

    /// All counts.
    pub fn counts(&self) -> Vec<(&'static str, u64)> {
        self.0.lock().iter().map(|(code, n)| (*code, *n)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strange_codes_are_counted_together() {
        let refusals = Refusals::default();
        for code in ["not_authed", "x1", "x2", "not_authed"] {
            refusals.count(code);
        }
        assert_eq!(refusals.counts(), [("not_authed", 2), ("other", 2)]);
    }
}
