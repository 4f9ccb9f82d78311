//! `ts`, the time of an entry, in Slack's form: seconds, a point, six digits.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Microseconds since 1970. Strictly increasing within a topic, and so the name
/// of a message within its channel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

/// A text that is not a `ts`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("a ts is seconds, a point and six digits, such as 1700000000.000100")]
pub struct TimestampError;

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    /// Reads `seconds.micros`; bounds of history may leave out digits or the
    /// point (`1700000000`, `1700000000.5`).
    fn from_str(text: &str) -> Result<Self, TimestampError> {
        let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str, most: usize| {
            !part.is_empty() && part.len() <= most && part.bytes().all(|b| b.is_ascii_digit())
        };
        if !digits(seconds, 12) || !digits(fraction, 6) {
            return Err(TimestampError);
        }
        let seconds: u64 = seconds.parse().map_err(|_| TimestampError)?;
        let micros: u64 = format!("{fraction:0<6}")
            .parse()
            .map_err(|_| TimestampError)?;
        Ok(Self(seconds * 1_000_000 + micros))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn short_forms_are_read() {
        assert_eq!("17".parse(), Ok(Timestamp(17_000_000)));
        assert_eq!("17.5".parse(), Ok(Timestamp(17_500_000)));
        assert_eq!("17.000100".parse(), Ok(Timestamp(17_000_100)));
    }

    #[test]
    fn wrong_forms_are_refused() {
        for text in [
            "",
            ".",
            "1.",
            ".1",
            "1.1234567",
            "-1.0",
            "1e5",
            "9999999999999",
        ] {
            assert_eq!(text.parse::<Timestamp>(), Err(TimestampError), "{text}");
        }
    }

    proptest! {
        #[test]
        fn texts_round_trip(micros in 0u64..1_000_000_000_000_000_000) {
            let ts = Timestamp(micros);
            prop_assert_eq!(ts.to_string().parse(), Ok(ts));
        }
    }
}
