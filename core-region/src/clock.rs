//! The clock with which this node stamps commands, when it leads: its own, unless
//! a majority of the other core nodes' clocks says that it is wrong.
//!
//! Between looks at the clocks the time comes from the monotonic clock, so that a
//! jump of the system's clock reaches no stamp. Leases, timeouts and elections
//! use the monotonic clock alone.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

use crate::faults::Faults;

/// Clocks that differ by less are in step.
const TOLERANCE_US: i64 = 500_000;
/// A majority begins here: this node and two others.
const CLOCKS_MIN: usize = 3;

/// What another node's clock said, and when by this node's monotonic clock: while
/// the answer was on its way, the system's clock may have jumped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Microseconds since 1970.
    pub clock_us: u64,
    /// When it said so.
    pub at: Instant,
}

impl Reading {
    /// How far that clock is ahead of one that says `system_us` `now`.
    fn ahead_of(&self, system_us: u64, now: Instant) -> i64 {
        let passed = micros(now.saturating_duration_since(self.at));
        let there_us = i128::from(self.clock_us) + i128::from(passed);
        let ahead = there_us - i128::from(system_us);
        i64::try_from(ahead).unwrap_or(if ahead < 0 { i64::MIN } else { i64::MAX })
    }
}

/// Stamps; clones share it.
#[derive(Clone)]
pub struct Clock(Arc<Shared>);

struct Shared {
    faults: Faults,
    model: Mutex<ClockModel>,
}

impl Clock {
    /// Begins with the system's clock.
    pub fn start(faults: Faults) -> Self {
        let model = ClockModel::new(system_us(&faults), Instant::now());
        Self(Arc::new(Shared {
            faults,
            model: Mutex::new(model),
        }))
    }

    /// Microseconds since 1970, for a stamp.
    pub fn now_us(&self) -> u64 {
        self.0.model.lock().now_us(Instant::now())
    }

    /// What the system's clock says.
    pub fn system_us(&self) -> u64 {
        system_us(&self.0.faults)
    }

    /// Compares the system's clock with those of others.
    pub fn compare(&self, others: &[Reading]) {
        let (now, system_us) = (Instant::now(), self.system_us());
        let verdict = self.0.model.lock().compare(system_us, others, now);
        match verdict {
            Verdict::Wrong { by_us } => tracing::error!(
                ahead_ms = by_us / 1_000,
                "the clock of this node is not that of the others: commands are stamped with theirs"
            ),
            Verdict::RightAgain => tracing::warn!("the clock of this node is in step again"),
            Verdict::Unchanged => {}
        }
    }

    /// How far the system's clock is ahead of the others', in microseconds, and
    /// how often it was found to be wrong.
    pub fn error(&self) -> (i64, u64) {
        let model = self.0.model.lock();
        (model.ahead_us, model.times_wrong)
    }

    /// Whether enough others have been asked to know.
    pub fn is_compared(&self) -> bool {
        self.0.model.lock().compared
    }
}

fn system_us(faults: &Faults) -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    let us = since_epoch.map_or(0, |d| u64::try_from(d.as_micros()).unwrap_or(u64::MAX));
    us.saturating_add_signed(faults.now().clock_offset_ms * 1_000)
}

/// What a look at the clocks has brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Unchanged,
    Wrong { by_us: i64 },
    RightAgain,
}

/// The decision: what time it is, by the clocks there are.
struct ClockModel {
    /// A time, and when it was.
    anchor_us: u64,
    anchored: Instant,
    ahead_us: i64,
    is_wrong: bool,
    times_wrong: u64,
    compared: bool,
}

impl ClockModel {
    fn new(system_us: u64, now: Instant) -> Self {
        Self {
            anchor_us: system_us,
            anchored: now,
            ahead_us: 0,
            is_wrong: false,
            times_wrong: 0,
            compared: false,
        }
    }

    fn now_us(&self, now: Instant) -> u64 {
        let passed = now.saturating_duration_since(self.anchored);
        self.anchor_us.saturating_add(micros(passed))
    }

    /// Without a majority to ask, a small difference is followed, as the system's
    /// clock is set by and by; a jump waits until there is one.
    fn compare(&mut self, system_us: u64, others: &[Reading], now: Instant) -> Verdict {
        let others = others.iter().map(|other| other.ahead_of(system_us, now));
        let mut clocks: Vec<i64> = others.chain([0]).collect();
        clocks.sort_unstable();
        let majority = (clocks.len() >= CLOCKS_MIN).then(|| clocks[clocks.len() / 2]);
        let Some(majority) = majority else {
            let jump = system_us.abs_diff(self.now_us(now));
            if jump < TOLERANCE_US.unsigned_abs() {
                self.anchor(system_us, now);
            }
            return Verdict::Unchanged;
        };
        self.compared = true;
        self.ahead_us = majority.saturating_neg();
        let was_wrong = self.is_wrong;
        self.is_wrong = majority.unsigned_abs() >= TOLERANCE_US.unsigned_abs();
        let time = match self.is_wrong {
            true => system_us.saturating_add_signed(majority),
            false => system_us,
        };
        self.anchor(time, now);
        match (was_wrong, self.is_wrong) {
            (false, true) => {
                self.times_wrong += 1;
                Verdict::Wrong {
                    by_us: self.ahead_us,
                }
            }
            (true, false) => Verdict::RightAgain,
            _ => Verdict::Unchanged,
        }
    }

    fn anchor(&mut self, time_us: u64, now: Instant) {
        self.anchor_us = time_us;
        self.anchored = now;
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_US: u64 = 1_000_000;
    const HOUR_US: i64 = 3_600 * 1_000_000;
    const DAWN_US: u64 = 1_700_000_000 * SECOND_US;

    fn start() -> (ClockModel, Instant) {
        let now = Instant::now();
        (ClockModel::new(DAWN_US, now), now)
    }

    /// Others whose clocks are so far from the right time, `s` seconds after dawn.
    fn others(off_us: &[i64], s: u64, at: Instant) -> Vec<Reading> {
        let reading = |off: &i64| Reading {
            clock_us: (DAWN_US + s * SECOND_US).saturating_add_signed(*off),
            at,
        };
        off_us.iter().map(reading).collect()
    }

    #[test]
    fn a_jump_of_the_clock_reaches_no_stamp() {
        for jump in [HOUR_US, -HOUR_US] {
            let (mut model, start) = start();
            let at = |s| start + Duration::from_secs(s);
            let right = |s: u64| DAWN_US + s * SECOND_US;
            let system = |s: u64| right(s).saturating_add_signed(jump);
            let others = |s| others(&[300, -200], s, at(s));
            assert_eq!(model.now_us(at(1)), right(1), "before anybody was asked");
            let verdict = model.compare(system(2), &others(2), at(2));
            let Verdict::Wrong { by_us } = verdict else {
                panic!("{verdict:?}");
            };
            assert!(by_us.abs_diff(jump) < 1_000);
            assert!(model.now_us(at(3)).abs_diff(right(3)) < 1_000);
            assert_eq!(
                model.compare(system(4), &others(4), at(4)),
                Verdict::Unchanged
            );
            let verdict = model.compare(right(5), &others(5), at(5));
            assert_eq!(verdict, Verdict::RightAgain);
            assert_eq!(model.now_us(at(6)), right(6));
            assert_eq!(model.times_wrong, 1);
        }
    }

    #[test]
    fn a_jump_while_the_others_answer_is_a_jump() {
        let (mut model, start) = start();
        let at = |s| start + Duration::from_secs(s);
        model.compare(DAWN_US, &others(&[0, 0], 0, start), start);
        // They answered at 1 s, this clock jumped, and the answers came at 2 s.
        let jumped = (DAWN_US + 2 * SECOND_US).saturating_add_signed(HOUR_US);
        let verdict = model.compare(jumped, &others(&[0, 0], 1, at(1)), at(2));
        assert_eq!(verdict, Verdict::Wrong { by_us: HOUR_US });
        assert_eq!(model.now_us(at(3)), DAWN_US + 3 * SECOND_US);
    }

    #[test]
    fn absurd_clocks_are_survived() {
        let (mut model, now) = start();
        for clock_us in [0, u64::MAX] {
            let reading = Reading { clock_us, at: now };
            model.compare(DAWN_US, &[reading; 2], now);
            assert!(model.is_wrong);
        }
    }

    #[test]
    fn one_wrong_clock_among_the_others_changes_nothing() {
        let (mut model, start) = start();
        let verdict = model.compare(DAWN_US, &others(&[HOUR_US, 400], 0, start), start);
        assert_eq!(verdict, Verdict::Unchanged);
        assert_eq!(model.now_us(start), DAWN_US);
    }

    #[test]
    fn a_clock_that_was_wrong_from_the_start_is_put_right() {
        let (mut model, start) = start();
        model.compare(DAWN_US, &others(&[-HOUR_US, -HOUR_US], 0, start), start);
        let right = DAWN_US.saturating_add_signed(-HOUR_US);
        assert_eq!(model.now_us(start), right);
    }

    #[test]
    fn without_a_majority_small_steps_are_followed_and_jumps_are_not() {
        let (mut model, start) = start();
        for (step, off) in [(20_000, &[][..]), (20_000, &[HOUR_US][..])] {
            model.compare(DAWN_US + step, &others(off, 0, start), start);
            assert_eq!(model.now_us(start), DAWN_US + step);
        }
        let jumped = DAWN_US.saturating_add_signed(HOUR_US);
        model.compare(jumped, &others(&[0], 0, start), start);
        assert_eq!(model.now_us(start), DAWN_US + 20_000);
        assert!(!model.compared);
    }
}
