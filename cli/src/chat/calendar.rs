//! Times as people read them: days and hours of the user's zone.

use causeway_protocol::Timestamp;

const DAY_S: i64 = 86_400;
const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// How far the user's clock is ahead of UTC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Zone {
    minutes: i64,
}

/// A day, as the number of days since the first of 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Day(i64);

impl Zone {
    /// Reads the form `+0530`, as `date +%z` writes it.
    pub fn parse(text: &str) -> Option<Self> {
        let (sign, digits) = match text.trim().split_at_checked(1)? {
            ("+", digits) => (1, digits),
            ("-", digits) => (-1, digits),
            _ => return None,
        };
        if digits.len() != 4 || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let number: i64 = digits.parse().ok()?;
        let minutes = sign * (number / 100 * 60 + number % 100);
        Some(Self { minutes })
    }

    fn local_s(self, ts: Timestamp) -> i64 {
        // A u64 of microseconds is far from the end of an i64 of seconds.
        (ts.0 / 1_000_000).cast_signed() + self.minutes * 60
    }

    /// Hour and minute, such as `09:41`.
    pub fn time_of_day(self, ts: Timestamp) -> String {
        let minutes = self.local_s(ts).rem_euclid(DAY_S) / 60;
        format!("{:02}:{:02}", minutes / 60, minutes % 60)
    }

    /// The day.
    pub fn day(self, ts: Timestamp) -> Day {
        Day(self.local_s(ts).div_euclid(DAY_S))
    }

    /// The day's name, seen from `now`, such as `today` or `Tue 14 May 2024`.
    pub fn day_name(self, ts: Timestamp, now: Timestamp) -> String {
        let (day, today) = (self.day(ts), self.day(now));
        match today.0 - day.0 {
            0 => format!("today, {day}"),
            1 => format!("yesterday, {day}"),
            _ => day.to_string(),
        }
    }
}

impl std::fmt::Display for Day {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Days from the civil calendar, as Howard Hinnant counts them: years
        // begin in March, so that the leap day comes last.
        let shifted = self.0 + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * march_month + 2) / 5 + 1;
        let month = (march_month + 2) % 12;
        let year = year_of_era + era * 400 + i64::from(month < 2);
        let weekday = pick(&WEEKDAYS, self.0.rem_euclid(7));
        write!(f, "{weekday} {day} {} {year}", pick(&MONTHS, month))
    }
}

fn pick(names: &[&'static str], index: i64) -> &'static str {
    let name = usize::try_from(index).ok().and_then(|at| names.get(at));
    name.copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp(seconds * 1_000_000)
    }

    #[test]
    fn days_have_their_names() {
        let utc = Zone::default();
        let name = |seconds| utc.day(at(seconds)).to_string();
        assert_eq!(name(0), "Thu 1 Jan 1970");
        assert_eq!(name(951_782_400), "Tue 29 Feb 2000");
        assert_eq!(name(1_735_689_599), "Tue 31 Dec 2024");
        assert_eq!(name(1_735_689_600), "Wed 1 Jan 2025");
        assert_eq!(name(4_107_542_400), "Mon 1 Mar 2100");
    }

    #[test]
    fn zones_move_hours_and_days() {
        let tokyo = Zone::parse("+0900\n").unwrap();
        assert_eq!(tokyo.time_of_day(at(57_600)), "01:00");
        assert_eq!(tokyo.day(at(57_600)), Day(1));
        let newfoundland = Zone::parse("-0330").unwrap();
        assert_eq!(newfoundland.time_of_day(at(0)), "20:30");
        assert_eq!(newfoundland.day(at(0)), Day(-1));
        for text in ["", "+", "0900", "+9", "+09:00", "é000"] {
            assert_eq!(Zone::parse(text), None, "{text}");
        }
    }

    #[test]
    fn today_and_yesterday_say_so() {
        let utc = Zone::default();
        assert_eq!(
            utc.day_name(at(90_000), at(90_001)),
            "today, Fri 2 Jan 1970"
        );
        assert_eq!(utc.day_name(at(1), at(90_001)), "yesterday, Thu 1 Jan 1970");
        assert_eq!(utc.day_name(at(1), at(900_001)), "Thu 1 Jan 1970");
        utc.day_name(Timestamp(u64::MAX), Timestamp(0));
    }
}
