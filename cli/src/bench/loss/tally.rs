//! Messages that carry when they were sent, and what became of them at a client.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::quantiles::{Quantiles, quantiles};

/// Says that a text is a message of the bench.
const WORD: &str = "bench";

/// The beginning of a message's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Messages are counted from 0, over all channels.
    pub number: usize,
    /// Microseconds since 1970, by the machine's clock: both ends are on one machine.
    pub sent_us: u64,
}

impl Mark {
    /// Of the message that is sent now.
    pub fn now(number: usize) -> Self {
        Self {
            number,
            sent_us: now_us(),
        }
    }

    /// As a text of `bytes`, or a few more.
    pub fn text(&self, bytes: usize) -> String {
        let head = format!("{WORD} {} {} ", self.number, self.sent_us);
        format!("{head:.<bytes$}")
    }

    /// Reads it; nothing from any other text.
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        if words.next()? != WORD {
            return None;
        }
        Some(Self {
            number: words.next()?.parse().ok()?,
            sent_us: words.next()?.parse().ok()?,
        })
    }
}

/// Microseconds since 1970.
pub fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let micros = since.unwrap_or_default().as_micros();
    u64::try_from(micros).unwrap_or(u64::MAX)
}

/// What a client has seen.
#[derive(Debug, Default)]
pub struct Tally {
    /// By the message's number, how long it took.
    took: Vec<Option<Duration>>,
    delivered: usize,
    doubled: usize,
}

/// The end of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    /// From sending to delivery.
    pub latency_ms: Quantiles,
    /// Messages that came, each counted once.
    pub delivered: usize,
    /// Messages that did not.
    pub missing: usize,
    /// Messages that came again.
    pub doubled: usize,
}

impl Tally {
    /// Of so many messages.
    pub fn of(messages: usize) -> Self {
        Self {
            took: vec![None; messages],
            ..Self::default()
        }
    }

    /// A message has come in.
    pub fn add(&mut self, mark: Mark, at_us: u64) {
        // A number beyond the last is no message of this run.
        let Some(took) = self.took.get_mut(mark.number) else {
            return;
        };
        if took.is_some() {
            self.doubled += 1;
            return;
        }
        *took = Some(Duration::from_micros(at_us.saturating_sub(mark.sent_us)));
        self.delivered += 1;
    }

    /// Whether all have come in.
    pub fn is_complete(&self) -> bool {
        self.delivered == self.took.len()
    }

    /// What there is to tell.
    pub fn seen(&self) -> Seen {
        let took = self.took.iter().flatten();
        Seen {
            latency_ms: quantiles(took.map(|took| took.as_secs_f64() * 1e3)),
            delivered: self.delivered,
            missing: self.took.len() - self.delivered,
            doubled: self.doubled,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_from_a_text_of_its_size() {
        let mark = Mark {
            number: 17,
            sent_us: 1_700_000_000_000_000,
        };
        let text = mark.text(200);
        assert_eq!(text.len(), 200);
        assert_eq!(Mark::parse(&text), Some(mark));
        assert_eq!(Mark::parse(&mark.text(1)), Some(mark));
        for text in ["", "bench", "bench 1", "bench x 2 .", "hello 1 2 "] {
            assert_eq!(Mark::parse(text), None, "{text}");
        }
    }

    #[test]
    fn each_message_counts_once() {
        let mut tally = Tally::of(3);
        let mark = |number| Mark {
            number,
            sent_us: 1_000,
        };
        tally.add(mark(0), 3_000);
        tally.add(mark(2), 9_000);
        tally.add(mark(0), 50_000);
        tally.add(mark(3), 2_000);
        assert!(!tally.is_complete());
        let seen = tally.seen();
        assert_eq!((seen.delivered, seen.missing, seen.doubled), (2, 1, 1));
        assert_eq!((seen.latency_ms.p50, seen.latency_ms.max), (2.0, 8.0));
        tally.add(mark(1), 2_000);
        assert!(tally.is_complete());
    }
}
