//! What the checker has found.

use std::collections::BTreeMap;

use super::Rule;

/// Violations of one rule that are told; a broken run breaks one a million times,
/// and must not hide the others.
pub const TOLD_PER_RULE_MAX: u64 = 10;

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub rule: Rule,
    /// Who, where, what, and what was expected.
    pub text: String,
}

/// What a history comes to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The first violations of each rule.
    pub violations: Vec<Violation>,
    /// How often each rule is broken.
    pub broken: BTreeMap<Rule, u64>,
    /// Acknowledged messages that a member was not given, for each member, or
    /// that a log does not have, for each log.
    pub lost: u64,
    /// Deliveries of an entry or a message beyond the first, for each client, and
    /// messages and deletions that are stored again.
    pub duplicated: u64,
    /// Deliveries after one with a higher `seq`.
    pub out_of_order: u64,
}

impl Verdict {
    /// Whether every promise was kept.
    pub fn is_clean(&self) -> bool {
        self.broken.is_empty()
    }

    /// All violations, told or not.
    pub fn total(&self) -> u64 {
        self.broken.values().sum()
    }
}

/// A verdict that is being found.
#[derive(Debug, Default)]
pub struct Findings {
    verdict: Verdict,
}

impl Findings {
    /// A rule is broken.
    pub fn add(&mut self, rule: Rule, text: impl FnOnce() -> String) {
        let count = self.verdict.broken.entry(rule).or_default();
        *count += 1;
        if *count <= TOLD_PER_RULE_MAX {
            let text = text();
            self.verdict.violations.push(Violation { rule, text });
        }
    }

    /// Acknowledged messages are not where they should be.
    pub fn lost(&mut self, count: u64) {
        self.verdict.lost += count;
    }

    /// Something is there once more.
    pub fn duplicated(&mut self) {
        self.verdict.duplicated += 1;
    }

    /// Something came after what follows it.
    pub fn out_of_order(&mut self) {
        self.verdict.out_of_order += 1;
    }

    /// Violations so far.
    pub fn total(&self) -> u64 {
        self.verdict.total()
    }

    /// All of them.
    pub fn into_verdict(self) -> Verdict {
        self.verdict
    }
}
