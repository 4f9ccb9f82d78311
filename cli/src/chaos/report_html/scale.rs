//! Scales of axes, and how their values are written.

/// Maps values to places along an axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// The value at the beginning, and its place.
    from: (f64, f64),
    /// The value at the end, and its place.
    to: (f64, f64),
    log: bool,
}

impl Scale {
    /// Equal steps for equal differences.
    pub fn linear(values: (f64, f64), places: (f64, f64)) -> Self {
        Self {
            from: (values.0, places.0),
            to: (values.1.max(values.0 + 1e-9), places.1),
            log: false,
        }
    }

    /// Equal steps for equal factors; both values are more than 0.
    pub fn log(values: (f64, f64), places: (f64, f64)) -> Self {
        Self {
            log: true,
            ..Self::linear(values, places)
        }
    }

    /// The place of a value; what is beyond an end stands at the end.
    pub fn place(&self, value: f64) -> f64 {
        let value = value.clamp(self.from.0, self.to.0);
        let step = |value: f64| if self.log { value.log10() } else { value };
        let (from, to) = (step(self.from.0), step(self.to.0));
        let share = (step(value) - from) / (to - from);
        self.from.1 + share * (self.to.1 - self.from.1)
    }

    /// Values for a label each: the powers of ten of a logarithmic scale, round
    /// steps of a linear one.
    pub fn ticks(&self, wanted: usize) -> Vec<f64> {
        if self.log {
            let powers = (-3..9).map(|power| 10f64.powi(power));
            let inside = |value: &f64| *value >= self.from.0 && *value <= self.to.0 * 1.000_1;
            return powers.filter(inside).collect();
        }
        let step = nice((self.to.0 - self.from.0) / wanted.max(1) as f64);
        let ticks = (0..=wanted * 2).map(|n| self.from.0 + n as f64 * step);
        let inside = |value: &f64| *value <= self.to.0 + step * 1e-6;
        ticks.take_while(inside).collect()
    }
}

/// The least of 1, 2, 5, 10, 20 … that is no less than `value`.
pub fn nice(value: f64) -> f64 {
    let power = 10f64.powf(value.max(1e-6).log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
    let enough = steps.into_iter().find(|step| *step >= value * 0.999_999);
    enough.unwrap_or(power * 10.0)
}

/// A time for people, from milliseconds.
pub fn time(ms: f64) -> String {
    match ms {
        ms if ms >= 10_000.0 => format!("{:.0} s", ms / 1e3),
        ms if ms >= 1_000.0 => {
            let seconds = format!("{:.2}", ms / 1e3);
            let seconds = seconds.trim_end_matches('0').trim_end_matches('.');
            format!("{seconds} s")
        }
        ms if ms >= 10.0 || ms == ms.round() => format!("{ms:.0} ms"),
        ms => format!("{ms:.1} ms"),
    }
}

/// A number with its thousands apart.
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let groups: Vec<&[u8]> = digits.as_bytes().rchunks(3).rev().collect();
    String::from_utf8_lossy(&groups.join(&b","[..])).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_their_places() {
        let linear = Scale::linear((0.0, 10.0), (100.0, 200.0));
        assert_eq!(linear.place(5.0), 150.0);
        assert_eq!(linear.place(99.0), 200.0);
        assert_eq!(linear.ticks(5), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        let log = Scale::log((1.0, 1_000.0), (300.0, 0.0));
        assert!((log.place(10.0) - 200.0).abs() < 1e-9);
        assert_eq!(log.ticks(9), [1.0, 10.0, 100.0, 1_000.0]);
        // A run without anything has scales, too.
        assert!(Scale::linear((0.0, 0.0), (0.0, 1.0)).place(0.0).is_finite());
    }

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(["0 ms", "2.5 ms", "850 ms"], [0.0, 2.5, 850.2].map(time));
        assert_eq!(
            ["1 s", "1.42 s", "12 s"],
            [1e3, 1_420.0, 12_100.0].map(time)
        );
        assert_eq!(
            ["7", "1,234", "1,000,000"],
            [7, 1_234, 1_000_000].map(count)
        );
        assert_eq!([1.0, 2.0, 5.0, 0.5], [0.7, 1.3, 2.1, 0.5].map(nice));
    }
}
