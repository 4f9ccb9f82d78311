//! The checker: whether a recorded history keeps the promises of PROTOCOL.md.
//! It is independent of the product: it knows ids and the history, nothing else.
//!
//! One cause is reported once: `order` judges acknowledgements alone, `replicas`
//! the logs among each other, `messages` and `acknowledged` what the logs agree
//! upon against what was asked for, `reads` and `streams` what clients were shown
//! against that; and each leaves out what the one before it has reported.

mod acknowledged;
mod case;
mod gather;
mod log;
mod messages;
mod order;
mod page;
mod reads;
mod replicas;
mod rule;
mod shown;
mod streams;
mod text;
mod verdict;

#[cfg(test)]
mod tests;

pub use self::rule::Rule;
pub use self::verdict::{Verdict, Violation};

use self::case::Case;
use self::verdict::Findings;
use super::history::History;

/// Judges a history. Where the protocol leaves something open, nothing is
/// reported: what is reported could not have happened in any correct run.
pub fn check(history: &History) -> Verdict {
    let mut findings = Findings::default();
    for channel in gather::by_channel(history).into_values() {
        check_channel(&Case::of(channel), &mut findings);
    }
    findings.into_verdict()
}

fn check_channel(case: &Case<'_>, findings: &mut Findings) {
    let before = findings.total();
    order::check(case, findings);
    if case.log.is_read {
        replicas::check(case, findings);
        messages::check(case, findings);
        acknowledged::check(case, findings);
    } else if case.owes_a_log() {
        let channel = case.channel.id;
        findings.add(Rule::LogUnread, || {
            format!("channel {channel}: no replica's log was read")
        });
    }
    // A log that is wrong itself is no measure for what a read should have shown.
    if case.log.is_read && findings.total() == before {
        reads::check(case, findings);
    }
    streams::check(case, findings);
}
