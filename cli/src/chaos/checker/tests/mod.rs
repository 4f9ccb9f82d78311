//! Histories that keep every promise pass, and each broken promise is found, as
//! the one that it is.

mod builder;
mod faults_changes;
mod faults_delivered;
mod faults_messages;
mod faults_order;
mod faults_pages;
mod faults_replicas;
mod laws;
mod planted;
mod reading;
mod tamper;
mod telling;
mod valid;

use super::{Rule, Verdict, check};
use crate::chaos::history::History;

/// The verdict on a history that breaks this rule and no other.
fn breaks_only(history: &History, rule: Rule) -> Verdict {
    let verdict = check(history);
    let broken: Vec<_> = verdict.broken.keys().copied().collect();
    assert_eq!(broken, [rule], "{:#?}", verdict.violations);
    verdict
}
