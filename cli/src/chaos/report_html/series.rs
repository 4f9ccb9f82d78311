//! What the timeline shows, counted from the history.

use std::time::Duration;

use super::scale::nice;
use crate::chaos::history::{At, Call, ClientNumber, History, Operation, Outcome};

/// Buckets at the most.
const BUCKETS_MAX: f64 = 120.0;
/// A bucket that is shorter says little.
const BUCKET_MIN_S: f64 = 0.1;

/// One bucket.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Bucket {
    /// Messages acknowledged in it.
    pub acknowledged: u32,
    /// The longest wait of those that were sent in it, in milliseconds.
    pub longest_ms: f64,
}

/// Messages over time.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// The length of a bucket, in seconds.
    pub bucket_s: f64,
    /// Of clients whose home or PoP was struck.
    pub struck: Vec<Bucket>,
    /// Of all others.
    pub others: Vec<Bucket>,
}

impl Series {
    /// Counts; `last` is the end of whatever else is to be shown.
    pub fn new(history: &History, last: At, struck: &dyn Fn(ClientNumber) -> bool) -> Self {
        let sends = || history.operations.iter().filter_map(answered);
        let end = sends()
            .map(|(_, at)| at)
            .max()
            .unwrap_or_default()
            .max(last);
        let bucket_s = nice(end.as_secs_f64() / BUCKETS_MAX).max(BUCKET_MIN_S);
        let bucket = |at: At| whole(at.as_secs_f64() / bucket_s);
        let empty = vec![Bucket::default(); bucket(end) + 1];
        let (mut of_struck, mut of_others) = (empty.clone(), empty);
        for (operation, at) in sends() {
            let buckets = match struck(operation.client) {
                true => &mut of_struck,
                false => &mut of_others,
            };
            buckets[bucket(at)].acknowledged += 1;
            let waited = at.saturating_sub(operation.began);
            let sent = &mut buckets[bucket(operation.began)];
            sent.longest_ms = sent.longest_ms.max(millis(waited));
        }
        Self {
            bucket_s,
            struck: of_struck,
            others: of_others,
        }
    }

    /// From the beginning to the end of the last bucket, in seconds.
    pub fn length_s(&self) -> f64 {
        self.struck.len() as f64 * self.bucket_s
    }

    /// The most acknowledgements a second, of all clients together.
    pub fn rate_max(&self) -> f64 {
        let both = self.struck.iter().zip(&self.others);
        let rates = both.map(|(a, b)| f64::from(a.acknowledged + b.acknowledged));
        rates.fold(0.0, f64::max) / self.bucket_s
    }

    /// The shortest and the longest wait that are shown, in milliseconds.
    pub fn waits_ms(&self) -> Option<(f64, f64)> {
        let waits = self.struck.iter().chain(&self.others);
        let waits = waits.map(|bucket| bucket.longest_ms).filter(|ms| *ms > 0.0);
        waits.fold(None, |range, ms| {
            let (least, most) = range.unwrap_or((ms, ms));
            Some((ms.min(least), ms.max(most)))
        })
    }
}

/// A message that was acknowledged, and when.
fn answered(operation: &Operation) -> Option<(&Operation, At)> {
    match (&operation.call, &operation.outcome) {
        (Call::Send { .. }, Outcome::Acknowledged { at, .. }) => Some((operation, *at)),
        _ => None,
    }
}

/// The whole part; runs are short enough for it to be exact.
fn whole(value: f64) -> usize {
    Duration::try_from_secs_f64(value)
        .ok()
        .and_then(|whole| usize::try_from(whole.as_secs()).ok())
        .unwrap_or(0)
}

/// In milliseconds.
pub fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
