//! What a run comes to: one object for programs, a page for people.

use std::collections::{BTreeMap, BTreeSet};

use causeway_protocol::Name;
use serde::Serialize;

use super::item::WORDS;
use super::judge::Judge;
use super::model::{Rule, Violation};
use super::scenario::MAIN_PHASE;
use super::write::{Outcome, RegionNumber, Write};
use crate::chaos::expectations::{Expectation, verdict};
use crate::chaos::history::At;
use crate::chaos::terms::Terms;
use crate::ledger::Pair;
use crate::quantiles::Quantiles;

/// A run, added up. Field names are a contract: those of the suite of messages, where
/// writes take the place of messages, and what metadata adds.
#[derive(Debug, Clone, Serialize)]
pub struct MetadataReport {
    /// What it came from.
    #[serde(flatten)]
    pub terms: Terms,
    /// Writes given to clients.
    pub sent: u64,
    /// Of these: acknowledged.
    pub acknowledged: u64,
    /// Facts given to applications.
    pub deliveries: u64,
    /// Of what was acknowledged: what is not there, and should be.
    pub lost: u64,
    /// Facts that told a client what it had been told already: harmless, as facts say how
    /// things are.
    pub duplicated: u64,
    /// Facts that told a read cursor from before one that was told: by a replica that had
    /// yet to hear of it, as when the region that has it is cut off or dead. Clients ignore
    /// them.
    pub out_of_order: u64,
    /// Refused because of how things were.
    pub refused: u64,
    /// Without an answer, or refused for another reason.
    pub errors: u64,
    /// Connections that broke.
    pub disconnects: u64,
    /// Writes, by kind of metadata: how many were acknowledged.
    pub writes: BTreeMap<&'static str, u64>,
    /// Without an answer, as the node that was to give it was killed.
    pub interrupted: u64,
    /// Acknowledged, and on no disk but one that was emptied: may be missing.
    pub at_risk: u64,
    /// Things on which replicas, or what clients know, disagree at the end.
    pub diverged: usize,
    /// From the healing to a node with an empty disk being given its replicas: another
    /// node is replaced for that, which takes as long as the world has set; absent where
    /// no disk was emptied.
    pub placed_ms: Option<f64>,
    /// From the healing, or that, to the last replica's being equal, less the longest round
    /// trip between regions; absent = they never were.
    pub converge_ms: Option<f64>,
    /// The same, to the last client's knowing all that it is told of.
    pub views_ms: Option<f64>,
    /// What the last of them learnt, and where it is.
    pub last_learnt: Option<String>,
    /// What a small append takes to be synced here.
    pub fsync_ms: f64,
    /// Time from asking to acknowledgement, less the way to the nearest region and back,
    /// and one sync; while the faults last; absent if nothing was acknowledged.
    pub ack_over_floor_ms: Option<Quantiles>,
    /// From asking in one region, in a workspace at home in another, to being told in a
    /// third, less the way; absent where regions are cut off.
    pub seen_over_floor_ms: Option<Quantiles>,
    /// From asking to being told, by place; likewise.
    pub pairs: Vec<Pair>,
    /// What the model does not allow, and where replicas or clients disagree.
    pub violations: Vec<String>,
    /// What the scenario itself asks for.
    pub expectations: Vec<Expectation>,
}

/// What was counted of writes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Acknowledged.
    pub acknowledged: u64,
    /// Refused because of how things were.
    pub refused: u64,
    /// Without an answer that is one.
    pub errors: u64,
    /// Without an answer, for a reason.
    pub interrupted: u64,
    /// May be missing.
    pub at_risk: u64,
    /// Acknowledged, by kind.
    pub kinds: BTreeMap<&'static str, u64>,
}

impl Counts {
    /// Counts.
    pub fn of(writes: &[Write], judge: &Judge<'_>) -> Self {
        let mut counts = Self::default();
        for write in writes {
            counts.at_risk += u64::from(judge.is_at_risk(write));
            let counter = match write.outcome {
                Outcome::Acknowledged(_) => {
                    *counts.kinds.entry(write.item.word()).or_default() += 1;
                    &mut counts.acknowledged
                }
                _ if write.is_refused_by_state() => &mut counts.refused,
                _ if judge.is_interrupted(write) => &mut counts.interrupted,
                _ => &mut counts.errors,
            };
            *counter += 1;
        }
        counts
    }
}

/// Writes that have no answer that is one, in words: the first few.
pub fn errors(writes: &[Write], judge: &Judge<'_>) -> Vec<String> {
    const FEW: usize = 10;
    let wrong = writes.iter().filter(|write| {
        let is_answered = matches!(write.outcome, Outcome::Acknowledged(_));
        !is_answered && !write.is_refused_by_state() && !judge.is_interrupted(write)
    });
    let told = wrong.map(|write| {
        let (at, item, outcome) = (write.began, &write.item, &write.outcome);
        format!("a write at {at:.3?} of {item:?} ended as {outcome:?}")
    });
    told.take(FEW).collect()
}

/// Whether each kind of metadata was written in each region while the faults lasted.
pub fn all_was_written(writes: &[Write], regions: &[Name]) -> Expectation {
    let written = writes.iter().filter(|write| {
        let is_done = matches!(write.outcome, Outcome::Acknowledged(_));
        is_done && write.phase >= MAIN_PHASE
    });
    let written: BTreeSet<(RegionNumber, &str)> = written
        .map(|write| (write.region, write.item.word()))
        .collect();
    let mut missing = Vec::new();
    for (number, region) in regions.iter().enumerate() {
        let words = WORDS
            .iter()
            .filter(|word| !written.contains(&(number, **word)));
        missing.extend(words.map(|word| format!("{word} in {region}")));
    }
    let told = match missing.is_empty() {
        true => String::new(),
        false => format!(" (but no {})", missing.join(", ")),
    };
    Expectation {
        what: format!("metadata of all kinds was acknowledged in every region{told}"),
        met: missing.is_empty(),
    }
}

/// How many acknowledged writes left nothing behind, as far as the model knows.
pub fn lost(violations: &[Violation]) -> u64 {
    let lost = violations.iter().filter(|v| v.rule == Rule::Lost);
    lost.count() as u64
}

impl MetadataReport {
    /// Whether the promise was kept.
    pub fn is_clean(&self) -> bool {
        self.keeps_promise() && self.expectations.iter().all(|e| e.met)
    }

    fn keeps_promise(&self) -> bool {
        self.errors == 0
            && self.diverged == 0
            && self.converge_ms.is_some()
            && self.violations.is_empty()
    }

    /// For people.
    pub fn render(&self, acts: &[(At, String)]) -> String {
        let mut text = format!(
            "chaos {}, seed {}, {} clients\n\n",
            self.terms.scenario, self.terms.seed, self.terms.clients
        );
        for (at, act) in acts {
            text += &format!("  {:>6.1} s  {act}\n", at.as_secs_f64());
        }
        text.push('\n');
        let diverged = u64::try_from(self.diverged).unwrap_or(u64::MAX);
        for (name, value) in [
            ("writes", self.sent),
            ("acknowledged", self.acknowledged),
            ("refused", self.refused),
            ("errors", self.errors),
            ("interrupted", self.interrupted),
            ("at risk", self.at_risk),
            ("lost", self.lost),
            ("facts told", self.deliveries),
            ("told again", self.duplicated),
            ("told late", self.out_of_order),
            ("disconnects", self.disconnects),
            ("diverged", diverged),
        ] {
            text += &format!("{name:>16}  {value}\n");
        }
        text += &self.times();
        let kept = "all that was acknowledged is there, and is the same everywhere";
        let kept = self.keeps_promise().then_some(kept);
        text += &verdict(&self.expectations, &self.violations, kept);
        text + "\n\nrun again with: " + &self.terms.command()
    }

    fn times(&self) -> String {
        let mut text = format!("\none sync takes {:.2} ms", self.fsync_ms);
        if let Some(ms) = self.placed_ms {
            text += &format!("\nthe empty disk was given replicas {ms:.0} ms after the healing");
        }
        for (name, time) in [
            ("replicas were equal", self.converge_ms),
            ("clients knew everything", self.views_ms),
        ] {
            text += &match time {
                Some(ms) => format!("\n{name} {ms:.0} ms after the first round trip"),
                None => format!("\n{name}: never"),
            };
        }
        if let Some(last) = &self.last_learnt {
            text += &format!("\nthe last of them: {last}");
        }
        let mut lines = Vec::new();
        lines.extend((self.ack_over_floor_ms).map(|q| ("acknowledged, over the floor", q)));
        lines.extend(self.seen_over_floor_ms.map(|q| ("seen, over the floor", q)));
        for (name, q) in lines {
            text += &format!(
                "\n{name:>31}  p50 {:.1} ms  p99 {:.1} ms  max {:.1} ms",
                q.p50, q.p99, q.max
            );
        }
        for pair in &self.pairs {
            text += &format!(
                "\n  {:>8} → {:8}  {:>5} seen  p50 {:.1} ms  p99 {:.1} ms  floor {:.1} ms",
                pair.from.as_str(),
                pair.to.as_str(),
                pair.deliveries,
                pair.latency_ms.p50,
                pair.latency_ms.p99,
                pair.floor_ms
            );
        }
        text + "\n"
    }
}
