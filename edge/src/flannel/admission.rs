//! Boots come at a bounded rate, so that those who are there already are not disturbed:
//! whoever comes in a crowd waits in line, and where the line is too long, comes again.

use std::time::{Duration, Instant};

use rand::RngExt;
use rand::rngs::SmallRng;

/// Boots that come after a while without any do so at once, as many as there would have
/// been in this time.
const BURST: Duration = Duration::from_millis(200);
/// Nobody waits longer.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// When the next may boot.
#[derive(Debug)]
pub struct Admission {
    apart: Duration,
    next_at: Option<Instant>,
}

/// What becomes of one who wants to boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// After this long.
    Wait(Duration),
    /// Not now: come again after this long, at the earliest.
    Refuse(Duration),
}

impl Admission {
    /// So many in a second.
    pub fn new(per_s: u32) -> Self {
        Self {
            apart: Duration::from_secs(1) / per_s.max(1),
            next_at: None,
        }
    }

    /// Somebody wants to boot at `now`.
    pub fn ask(&mut self, now: Instant, rng: &mut SmallRng) -> Verdict {
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        let at = self.next_at.map_or(earliest, |next| next.max(earliest));
        let wait = at.saturating_duration_since(now);
        if wait > WAIT_MAX {
            // Those who are refused together are not to come back together.
            return Verdict::Refuse(wait.mul_f64(rng.random_range(0.5..1.5)));
        }
        self.next_at = Some(at + self.apart);
        Verdict::Wait(wait)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn a_few_boot_at_once_and_a_crowd_in_line() {
        let (mut admission, now) = (Admission::new(1_000), Instant::now());
        let mut rng = SmallRng::seed_from_u64(1);
        let mut waits = Vec::new();
        let refused = loop {
            match admission.ask(now, &mut rng) {
                Verdict::Wait(wait) => waits.push(wait),
                Verdict::Refuse(after) => break after,
            }
        };
        let at_once = waits.iter().filter(|wait| wait.is_zero()).count();
        assert!((200..=201).contains(&at_once), "{at_once}");
        assert_eq!(waits.len(), 5_201);
        assert!(waits.is_sorted());
        assert!(refused >= WAIT_MAX / 2, "{refused:?}");
        // The line moves on.
        let later = now + Duration::from_secs(1);
        let next = admission.ask(later, &mut rng);
        assert!(matches!(next, Verdict::Wait(wait) if wait > Duration::from_secs(3)));
    }

    #[test]
    fn over_time_no_more_boot_than_may() {
        for seed in 0..50 {
            let mut rng = SmallRng::seed_from_u64(seed);
            let (mut admission, start) = (Admission::new(100), Instant::now());
            let (mut now, mut booted) = (start, Vec::new());
            for _ in 0..2_000 {
                now += Duration::from_micros(rng.random_range(0..8_000));
                if let Verdict::Wait(wait) = admission.ask(now, &mut rng) {
                    booted.push(now + wait);
                }
            }
            let second = Duration::from_secs(1);
            for (i, at) in booted.iter().enumerate() {
                let within = booted[i..]
                    .iter()
                    .take_while(|b| **b < *at + second)
                    .count();
                assert!(within <= 121, "seed {seed}: {within} within a second");
            }
        }
    }
}
