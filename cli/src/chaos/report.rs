//! What a run comes to: one object for programs, a page for people.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use causeway_protocol::{ChannelId, Name};
use serde::Serialize;

use super::checker::Verdict;
use super::expectations::{Expectation, verdict};
use super::history::{At, Call, ClientNumber, History, Operation, Outcome, What};
use super::milestones::Milestones;
use super::terms::Terms;
use crate::ledger::{Ledger, Pair, Report};
use crate::quantiles::Quantiles;

/// What the page's words mean.
pub const WORDS: [(&str, &str); 4] = [
    (
        "longest wait",
        "from sending to acknowledgement, with those who wait ahead in the channel",
    ),
    (
        "floor",
        "what distance alone costs while the home leads: less where another region does",
    ),
    (
        "struck",
        "clients whose home or PoP is at fault; everybody, if it is in no one place",
    ),
    (
        "pause",
        "a client's longest wait of its own after the first fault, beyond its usual one",
    ),
];
/// Columns of the timeline.
const COLUMNS: usize = 72;

/// A run, added up. Field names are a contract: those of `replay`, and what
/// chaos adds.
#[derive(Debug, Clone, Serialize)]
pub struct ChaosReport {
    /// What it came from.
    #[serde(flatten)]
    pub terms: Terms,
    /// Messages given to clients to send, resends not counted.
    pub sent: u64,
    /// Of these: acknowledged.
    pub acknowledged: u64,
    /// Entries given to applications.
    pub deliveries: u64,
    /// What an acknowledged message owes and did not come, or is in no log.
    pub lost: u64,
    /// What came or is stored more than once.
    pub duplicated: u64,
    /// What came after a later one of its channel.
    pub out_of_order: u64,
    /// Calls of any kind that were refused for good.
    pub refused: u64,
    /// Calls of any kind without any answer, or with one that leaves open what came of
    /// them.
    pub errors: u64,
    /// Connections that broke.
    pub disconnects: u64,
    /// Time from sending to delivery, less the floor.
    pub added_ms: Option<Quantiles>,
    /// Where the time of the failover went, if there was one.
    #[serde(flatten)]
    pub milestones: Milestones,
    /// The longest wait of each client whose home or PoP was struck, beyond its usual
    /// one; of everybody, where the fault is in no one place.
    pub pause_ms: Option<Quantiles>,
    /// The longest wait of each other client.
    pub other_pause_ms: Option<Quantiles>,
    /// By place of sender and receiver.
    pub pairs: Vec<Pair>,
    /// What the checker found.
    pub violations: Vec<String>,
    /// What the scenario itself asks for.
    pub expectations: Vec<Expectation>,
}

impl ChaosReport {
    /// Adds up.
    pub fn new(
        terms: Terms,
        report: Report,
        operations: &[Operation],
        verdict: &Verdict,
        milestones: Milestones,
        pauses: (Option<Quantiles>, Option<Quantiles>),
    ) -> Self {
        let violations = verdict.violations.iter();
        let violations = violations.map(|v| format!("{}: {}", v.rule.name(), v.text));
        let others = || {
            let others = operations.iter();
            others.filter(|o| !matches!(o.call, Call::Send { .. }))
        };
        let refused = others().filter(|o| matches!(o.outcome, Outcome::Refused { .. }));
        let open = |o: &&Operation| matches!(o.outcome, Outcome::Open { .. } | Outcome::Unknown);
        Self {
            terms,
            sent: report.sent,
            acknowledged: report.acknowledged,
            deliveries: report.deliveries,
            lost: report.lost.max(verdict.lost),
            duplicated: report.duplicated.max(verdict.duplicated),
            out_of_order: report.out_of_order.max(verdict.out_of_order),
            refused: report.refused + refused.count() as u64,
            errors: report.errors + others().filter(open).count() as u64,
            disconnects: report.disconnects,
            added_ms: (report.deliveries > 0).then_some(report.added_ms),
            milestones,
            pause_ms: pauses.0,
            other_pause_ms: pauses.1,
            pairs: report.pairs,
            violations: violations.collect(),
            expectations: Vec::new(),
        }
    }

    /// Whether the promise was kept.
    pub fn is_clean(&self) -> bool {
        self.keeps_promise() && self.expectations.iter().all(|e| e.met)
    }

    fn keeps_promise(&self) -> bool {
        self.lost == 0
            && self.duplicated == 0
            && self.out_of_order == 0
            && self.violations.is_empty()
    }

    /// What the ledger counts, by name.
    pub fn counts(&self) -> [(&'static str, u64); 9] {
        [
            ("sent", self.sent),
            ("acknowledged", self.acknowledged),
            ("deliveries", self.deliveries),
            ("lost", self.lost),
            ("duplicated", self.duplicated),
            ("out of order", self.out_of_order),
            ("refused", self.refused),
            ("errors", self.errors),
            ("disconnects", self.disconnects),
        ]
    }

    /// For people.
    pub fn render(&self, history: &History, acts: &[(At, String)]) -> String {
        let terms = &self.terms;
        let mut text = format!(
            "chaos {}, seed {}, {} clients\n\n{}\n",
            terms.scenario,
            terms.seed,
            terms.clients,
            timeline(history, acts)
        );
        for (name, value) in self.counts() {
            text += &format!("{name:>16}  {value}\n");
        }
        text += &self.times();
        let kept = "nothing acknowledged is lost, doubled or out of order; all replicas are equal";
        let kept = self.keeps_promise().then_some(kept);
        text += &verdict(&self.expectations, &self.violations, kept);
        text + "\n\nrun again with: " + &terms.command()
    }

    fn times(&self) -> String {
        let mut text = String::new();
        let parts = self.milestones;
        if let (Some(detect), Some(elect)) = (parts.detect_ms, parts.elect_ms) {
            text += &format!("\ndetected after {detect:.0} ms, elected after {elect:.0} ms more");
        }
        if let Some(reroute) = parts.reroute_ms {
            text += &format!(", served again after {reroute:.0} ms more");
        }
        for (name, q) in [
            ("added to the floor", self.added_ms),
            ("longest pause, of those struck", self.pause_ms),
            ("of all others", self.other_pause_ms),
        ] {
            text += &match q {
                Some(q) => format!(
                    "\n{name:>31}  p50 {:.0} ms  p99 {:.0} ms  max {:.0} ms",
                    q.p50, q.p99, q.max
                ),
                None => format!("\n{name:>31}  –"),
            };
        }
        for (word, meaning) in WORDS {
            text += &format!("\n{word:>31}: {meaning}");
        }
        text
    }
}

/// The history as the ledger takes it.
pub fn ledger(history: &History, breaks: usize, began: Instant) -> Ledger {
    let mut ledger = Ledger::default();
    let mut known = HashSet::new();
    for operation in &history.operations {
        let Call::Send { id, .. } = &operation.call else {
            continue;
        };
        if !known.insert(id.clone()) {
            continue;
        }
        let sent = began + operation.began;
        ledger.sent(id.clone(), operation.channel, operation.client, sent);
        match &operation.outcome {
            Outcome::Acknowledged { at, seq, .. } => {
                ledger.acknowledged(id, *seq, false, began + *at);
            }
            Outcome::Refused { .. } => ledger.refused(id),
            _ => {}
        }
    }
    for delivery in &history.deliveries {
        if let What::Posted(message) = &delivery.entry.what {
            let at = began + delivery.at;
            let (client, channel) = (delivery.client, delivery.channel);
            ledger.delivered(client, channel, delivery.entry.seq, message.id.clone(), at);
        }
    }
    for _ in 0..breaks {
        ledger.disconnected();
    }
    ledger
}

/// Who is a member of what during the whole run.
pub fn members(history: &History) -> HashMap<ChannelId, Vec<ClientNumber>> {
    let mut members = HashMap::<ChannelId, Vec<ClientNumber>>::new();
    // What is due to those who join on the way is for the checker to say.
    for membership in history.memberships.iter().filter(|m| !m.joined) {
        let members = members.entry(membership.channel).or_default();
        members.push(membership.client);
    }
    members
}

/// Acknowledgements and waits over time, and what was done when.
fn timeline(history: &History, acts: &[(At, String)]) -> String {
    let answers = history.operations.iter().filter_map(answered);
    let end = answers.max().unwrap_or_default();
    let column = |at: At| {
        let share = at.as_secs_f64() / end.as_secs_f64().max(1e-9);
        let column = (0..COLUMNS)
            .rev()
            .find(|c| share * COLUMNS as f64 >= *c as f64);
        column.unwrap_or(0)
    };
    let (mut rate, mut waits) = ([0u32; COLUMNS], [0f64; COLUMNS]);
    for operation in &history.operations {
        if let Some(at) = answered(operation) {
            rate[column(at)] += 1;
            let slot = &mut waits[column(operation.began)];
            *slot = slot.max(at.saturating_sub(operation.began).as_secs_f64());
        }
    }
    let rate = rate.map(f64::from);
    let mut marks = vec![' '; COLUMNS];
    for (n, (at, _)) in acts.iter().enumerate() {
        let mark = char::from_digit(u32::try_from(n % 9 + 1).unwrap_or(9), 10);
        marks[column(*at)] = mark.unwrap_or('*');
    }
    let mut text = format!(
        "  acknowledged  {}\n  longest wait  {}  max {:.1} s\n                {}\n                {}\n",
        bars(&rate),
        bars(&waits),
        waits.iter().copied().fold(0.0, f64::max),
        marks.iter().collect::<String>(),
        axis(end)
    );
    for (n, (at, act)) in acts.iter().enumerate() {
        let act: String = act.chars().take(100).collect();
        text += &format!("  {} {:>6.1} s  {act}\n", n % 9 + 1, at.as_secs_f64());
    }
    text
}

/// Seconds, at the beginning, in the middle and at the end.
fn axis(end: At) -> String {
    let (middle, end) = (end.as_secs_f64() / 2.0, end.as_secs_f64());
    let (middle, end) = (format!("{middle:.0} s"), format!("{end:.0} s"));
    let half = COLUMNS / 2;
    let rest = half.saturating_sub(middle.chars().count());
    format!("{:<half$}{middle}{end:>rest$}", "0 s")
}

/// When a message was acknowledged.
fn answered(operation: &Operation) -> Option<At> {
    match (&operation.call, &operation.outcome) {
        (Call::Send { .. }, Outcome::Acknowledged { at, .. }) => Some(*at),
        _ => None,
    }
}

fn bars(values: &[f64]) -> String {
    const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let most = values.iter().copied().fold(0.0, f64::max).max(1e-9);
    let bar = |value: &f64| {
        let level = (0..BARS.len())
            .rev()
            .find(|n| value / most * 8.0 >= *n as f64);
        BARS[level.unwrap_or(0)]
    };
    values.iter().map(bar).collect()
}

/// Regions by name, for the floor of each channel.
pub fn homes(parts: impl IntoIterator<Item = (Name, Vec<ChannelId>)>) -> HashMap<ChannelId, Name> {
    let homes = parts.into_iter();
    homes
        .flat_map(|(home, channels)| channels.into_iter().map(move |c| (c, home.clone())))
        .collect()
}
