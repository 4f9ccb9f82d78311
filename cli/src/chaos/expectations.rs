//! What every run has to show beyond the promise: that the world went on serving, and
//! that the fault was one. A run in which nothing happened proves nothing.

use std::collections::BTreeMap;
use std::fmt::Display;

use causeway_protocol::ChannelId;
use serde::Serialize;

use super::history::{At, Call, Operation, Outcome};
use super::milestones::Milestones;
use super::play::Played;
use super::scenario::{Plan, Scenario};

/// Something that had to be so, beyond what the checker asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Expectation {
    /// What.
    pub what: String,
    /// Whether it was.
    pub met: bool,
}

/// Codes that are told.
const TOLD_MAX: usize = 5;

/// What this run has to show.
pub fn of(
    scenario: Scenario,
    plan: &Plan,
    played: &Played,
    rate: f64,
    milestones: &Milestones,
) -> Vec<Expectation> {
    let operations = &played.history.operations;
    let last_act = played.acts.iter().map(|(at, _)| *at).max();
    let mut expectations = vec![
        all_answered(operations),
        enough_done(operations, played.length, rate),
        all_taken_again(operations, last_act.unwrap_or_default()),
    ];
    if plan.takes_leaders {
        expectations.extend(leaders_went(milestones));
    }
    if scenario.is_unnoticed() {
        expectations.push(no_errors(operations));
    }
    expectations
}

/// What people read at the end of a page: what had to be so, what broke the promise, and
/// the verdict; `kept` says what was kept of the promise, if it was. A run may keep it,
/// and not be what it was meant to be.
pub fn verdict(
    expectations: &[Expectation],
    violations: impl IntoIterator<Item = impl Display>,
    kept: Option<&str>,
) -> String {
    let mut text = String::new();
    for expectation in expectations {
        let mark = if expectation.met { "✓" } else { "NOT MET:" };
        text += &format!("\n  {mark} {}", expectation.what);
    }
    for violation in violations {
        text += &format!("\n  VIOLATION {violation}");
    }
    text += "\n\n";
    text += kept.unwrap_or("THE PROMISE IS BROKEN");
    if kept.is_some() && expectations.iter().any(|expectation| !expectation.met) {
        text += "; BUT NOT ALL THAT THIS RUN IS TO SHOW WAS SEEN: see NOT MET above.\n";
        text += "(Where too little was done: a longer --duration, or a higher --rate.)";
    }
    text
}

fn all_answered(operations: &[Operation]) -> Expectation {
    let silent = operations.iter().filter(|o| o.outcome == Outcome::Unknown);
    let silent = silent.count();
    Expectation {
        what: match silent {
            0 => "every call was answered".into(),
            silent => format!(
                "every call was answered ({silent} of {} were not)",
                operations.len()
            ),
        },
        met: silent == 0,
    }
}

/// At least half of what the rate asks for.
fn enough_done(operations: &[Operation], length: At, rate: f64) -> Expectation {
    let done = operations
        .iter()
        .filter_map(|o| o.outcome.done_at())
        .count();
    let wanted = (length.as_secs_f64() * rate).floor();
    Expectation {
        what: format!("half of what was to be done was done at least ({done} of {wanted})"),
        met: done > 0 && done as f64 >= wanted / 2.0,
    }
}

/// Every channel to which somebody wrote after the last fault took something.
fn all_taken_again(operations: &[Operation], last_act: At) -> Expectation {
    let mut channels = BTreeMap::<ChannelId, bool>::new();
    for operation in operations {
        if !matches!(operation.call, Call::Send { .. }) {
            continue;
        }
        let done_at = operation.outcome.done_at();
        // What has been waiting since before is written now, too.
        if operation.began >= last_act || done_at.is_none_or(|at| at >= last_act) {
            let taken = channels.entry(operation.channel).or_default();
            *taken |= done_at.is_some_and(|at| at >= last_act);
        }
    }
    let (all, taken) = (
        channels.len(),
        channels.values().filter(|taken| **taken).count(),
    );
    let what = "every channel took messages after the last fault";
    Expectation {
        what: match taken {
            _ if all == 0 => format!("{what} (nobody wrote any: take a higher --rate)"),
            _ if all == taken => what.into(),
            taken => format!("{what} ({taken} of {all} did)"),
        },
        met: all > 0 && all == taken,
    }
}

/// A place that led nothing has no leaders to lose.
fn leaders_went(milestones: &Milestones) -> Option<Expectation> {
    let led = milestones.led;
    (led != Some(0)).then(|| Expectation {
        what: match led {
            Some(led) => format!("the fault took leaders away ({led} cells have one elsewhere)"),
            None => "the fault took leaders away (nobody told who led before)".into(),
        },
        met: milestones.detect_ms.is_some() && milestones.elect_ms.is_some(),
    })
}

/// Whatever it was that somebody asked for.
fn no_errors(operations: &[Operation]) -> Expectation {
    let mut errors = BTreeMap::<String, u64>::new();
    for operation in operations {
        let why = match &operation.outcome {
            Outcome::Refused { code, .. } | Outcome::Open { code, .. } => code.as_str(),
            Outcome::Unknown => "no answer",
            _ => continue,
        };
        let error = format!("{} {why}", operation.call.name());
        *errors.entry(error).or_default() += 1;
    }
    let told: Vec<String> = errors
        .iter()
        .map(|(what, n)| format!("{what} × {n}"))
        .collect();
    Expectation {
        what: match told.is_empty() {
            true => "nobody saw an error".into(),
            false => format!("nobody saw an error (but: {})", few(&told)),
        },
        met: told.is_empty(),
    }
}

/// The first few, and how many more there are.
fn few(all: &[String]) -> String {
    let told = all[..all.len().min(TOLD_MAX)].join(", ");
    match all.len().saturating_sub(TOLD_MAX) {
        0 => told,
        more => format!("{told}, and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(ms: u64) -> At {
        Duration::from_millis(ms)
    }

    fn send(channel: u64, began_ms: u64, answered_ms: Option<u64>) -> Operation {
        Operation {
            client: 0,
            channel: ChannelId(channel),
            call: Call::Send {
                id: "x".into(),
                text: String::new(),
                thread_ts: 0,
            },
            began: at(began_ms),
            outcome: match answered_ms {
                Some(ms) => Outcome::Acknowledged {
                    at: at(ms),
                    seq: 1,
                    ts: 1,
                },
                None => Outcome::Unknown,
            },
        }
    }

    #[test]
    fn a_world_that_went_silent_is_noticed() {
        let well = [send(1, 0, Some(50)), send(2, 1_000, Some(1_050))];
        let silent = [send(1, 0, Some(50)), send(2, 1_000, None)];
        assert!(all_answered(&well).met);
        let found = all_answered(&silent);
        assert!(
            !found.met && found.what.contains("1 of 2"),
            "{}",
            found.what
        );
        assert!(enough_done(&well, at(2_000), 1.0).met);
        assert!(!enough_done(&well, at(5_000), 1.0).met);
        assert!(!enough_done(&[], at(100), 1.0).met);
    }

    #[test]
    fn a_channel_has_to_take_something_once_the_fault_is_over() {
        let late = [send(1, 0, Some(50)), send(1, 200, Some(600))];
        assert!(all_taken_again(&late, at(500)).met);
        let never = [send(1, 600, Some(700)), send(2, 200, None)];
        let found = all_taken_again(&never, at(500));
        assert!(
            !found.met && found.what.contains("1 of 2"),
            "{}",
            found.what
        );
        // To whom nobody writes, nothing is asked.
        let done = [send(1, 600, Some(700)), send(2, 200, Some(300))];
        assert!(all_taken_again(&done, at(500)).met);
        assert!(!all_taken_again(&[], at(500)).met);
    }

    #[test]
    fn leaders_have_to_go_from_where_they_were() {
        let milestones = |led, ms| Milestones {
            led,
            detect_ms: ms,
            elect_ms: ms,
            reroute_ms: None,
        };
        let met = |led, ms| leaders_went(&milestones(led, ms)).map(|e| e.met);
        assert_eq!(met(Some(4), Some(1.0)), Some(true));
        assert_eq!(met(Some(4), None), Some(false));
        assert_eq!(met(None, None), Some(false));
        assert_eq!(met(Some(0), None), None);
    }

    #[test]
    fn errors_of_every_kind_count() {
        let mut operations = [send(1, 0, Some(50)), send(1, 100, Some(150))];
        assert!(no_errors(&operations).met);
        operations[1].call = Call::Read;
        operations[1].outcome = Outcome::Open {
            at: at(150),
            code: "unavailable".into(),
        };
        let found = no_errors(&operations);
        assert!(
            !found.met && found.what.contains("read unavailable × 1"),
            "{}",
            found.what
        );
    }
}
