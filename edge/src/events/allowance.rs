//! How many events a session may send: so many a second, and of typing in one channel
//! only as many as anybody needs to see. A state machine over inputs and `now`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use causeway_protocol::ChannelId;
use causeway_protocol::limits::{EVENTS_AT_ONCE_MAX, EVENTS_PER_S_MAX, TYPING_EVERY_MS};

/// Each event uses up so much time.
const COST: Duration = Duration::from_secs(1)
    .checked_div(EVENTS_PER_S_MAX)
    .expect("some events are allowed");
/// So much may be used up in advance.
const ADVANCE: Duration = COST.saturating_mul(EVENTS_AT_ONCE_MAX);
/// Typing that was passed on this long ago is passed on again.
const TYPING_EVERY: Duration = Duration::from_millis(TYPING_EVERY_MS);

/// What becomes of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on.
    Pass,
    /// Others know already that the user types.
    Known,
    /// There are too many; one may be sent after this.
    TooMany(Duration),
}

/// The allowance of one session.
#[derive(Debug, Default)]
pub struct Allowance {
    /// All up to then is used up.
    used_until: Option<Instant>,
    /// When typing was last passed on, by channel; no older than [`TYPING_EVERY`].
    typed: BTreeMap<ChannelId, Instant>,
}

impl Allowance {
    /// An event is to be sent; `typing` names the channel if it is nothing else.
    pub fn take(&mut self, typing: Option<ChannelId>, now: Instant) -> Verdict {
        let used = self.used_until.map_or(now, |until| until.max(now)) + COST;
        let ahead = used.duration_since(now);
        if ahead > ADVANCE {
            return Verdict::TooMany(ahead - ADVANCE);
        }
        self.used_until = Some(used);
        let Some(channel) = typing else {
            return Verdict::Pass;
        };
        self.typed
            .retain(|_, at| now.duration_since(*at) < TYPING_EVERY);
        match self.typed.contains_key(&channel) {
            true => Verdict::Known,
            false => {
                self.typed.insert(channel, now);
                Verdict::Pass
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::SmallRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    const CHANNEL: ChannelId = ChannelId(1);

    #[test]
    fn whoever_types_is_seen_to_type_once_in_three_seconds() {
        let mut allowance = Allowance::default();
        let start = Instant::now();
        let typed = (0..100).filter(|n| {
            let now = start + Duration::from_millis(100) * *n;
            allowance.take(Some(CHANNEL), now) == Verdict::Pass
        });
        assert_eq!(typed.collect::<Vec<_>>(), [0, 30, 60, 90]);
    }

    #[test]
    fn channels_do_not_wait_for_each_other() {
        let mut allowance = Allowance::default();
        let now = Instant::now();
        for channel in 1..=10 {
            let verdict = allowance.take(Some(ChannelId(channel)), now);
            assert_eq!(verdict, Verdict::Pass);
        }
        assert_eq!(allowance.take(Some(CHANNEL), now), Verdict::Known);
    }

    #[test]
    fn a_flood_is_refused_and_told_when_to_come_back() {
        let mut allowance = Allowance::default();
        let now = Instant::now();
        for _ in 0..EVENTS_AT_ONCE_MAX {
            assert_eq!(allowance.take(None, now), Verdict::Pass);
        }
        let Verdict::TooMany(wait) = allowance.take(None, now) else {
            panic!("too many have passed");
        };
        assert_eq!(allowance.take(None, now + wait), Verdict::Pass);
        assert_eq!(allowance.take(None, now + wait), Verdict::TooMany(COST));
    }

    /// Whatever is asked for: no more goes on than the limits say, and what is
    /// remembered stays small.
    #[test]
    fn no_more_goes_on_than_is_allowed() {
        for seed in 0..200 {
            let mut rng = SmallRng::seed_from_u64(seed);
            let (mut allowance, start) = (Allowance::default(), Instant::now());
            let (mut now, mut passed) = (start, 0u32);
            for _ in 0..2_000 {
                now += Duration::from_micros(rng.random_range(0..20_000));
                let channel = ChannelId(rng.random_range(0..1_000));
                let typing = rng.random_bool(0.7).then_some(channel);
                passed += u32::from(allowance.take(typing, now) == Verdict::Pass);
                let seconds = now.duration_since(start).as_secs_f64();
                let most = f64::from(EVENTS_AT_ONCE_MAX) + seconds * f64::from(EVENTS_PER_S_MAX);
                assert!(f64::from(passed) <= most + 1.0, "seed {seed}: {passed}");
                let remembered = EVENTS_AT_ONCE_MAX + 3 * EVENTS_PER_S_MAX + 1;
                assert!(allowance.typed.len() <= remembered as usize, "seed {seed}");
            }
        }
    }
}
