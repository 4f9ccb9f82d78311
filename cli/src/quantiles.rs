//! What a report tells of many measurements.

use serde::{Deserialize, Serialize};

/// 50th and 99th percentile and maximum, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    /// Half are below.
    pub p50: f64,
    /// All but one in a hundred are below.
    pub p99: f64,
    /// The largest.
    pub max: f64,
}

/// Of `values`, to the microsecond; nothing if there are none.
pub fn quantiles_of_any(values: impl Iterator<Item = f64>) -> Option<Quantiles> {
    let mut values = values.peekable();
    values.peek()?;
    Some(quantiles(values))
}

/// Of `values`, to the microsecond; zeros if there are none.
pub fn quantiles(values: impl Iterator<Item = f64>) -> Quantiles {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let at = |percent: usize| {
        let rank = (percent * values.len()).div_ceil(100);
        let value = values.get(rank.saturating_sub(1)).copied();
        // Microseconds are enough.
        (value.unwrap_or_default() * 1e3).round() / 1e3
    };
    Quantiles {
        p50: at(50),
        p99: at(99),
        max: at(100),
    }
}
