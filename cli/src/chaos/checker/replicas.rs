//! The replicas among each other: each has the whole log, and the same.

use std::collections::HashSet;

use super::Rule;
use super::case::{Asked, Case};
use super::shown::describe;
use super::verdict::Findings;
use crate::chaos::history::{LogEntry, ReplicaLog, What};

pub fn check(case: &Case<'_>, findings: &mut Findings) {
    for replica in &case.channel.replicas {
        check_replica(case, replica, findings);
    }
    holes(case, findings);
}

fn check_replica(case: &Case<'_>, replica: &ReplicaLog, findings: &mut Findings) {
    let place = || format!("channel {} on {}", case.channel.id, replica.node);
    let mut held = HashSet::new();
    let mut last: Option<&LogEntry> = None;
    for entry in &replica.entries {
        let seq = entry.seq;
        let previous = last.filter(|last| last.seq >= seq);
        if let Some(previous) = previous {
            let reused = previous.seq == seq && previous.what != entry.what;
            let rule = if reused {
                Rule::SeqReused
            } else {
                Rule::LogOrder
            };
            findings.add(rule, || {
                let (entry, previous) = (describe(entry), describe(previous));
                format!("{}: {entry} comes after {previous}", place())
            });
        }
        let agreed = case.log.get(seq);
        // A second entry with one seq has been told.
        if held.insert(seq) && agreed != Some(entry) {
            findings.add(Rule::ReplicasDiffer, || {
                let agreed = agreed.map_or_else(|| "nothing".into(), describe);
                let entry = describe(entry);
                format!("{}: {entry} where other replicas have {agreed}", place())
            });
        }
        last = last.filter(|last| last.seq > seq).or(Some(entry));
    }
    let end = last.map_or(0, |last| last.seq);
    for entry in &case.log.entries {
        if held.contains(&entry.seq) {
            continue;
        }
        let rule = rule_of_missing(case, entry).unwrap_or(match entry.seq < end {
            true => Rule::LogHole,
            false => Rule::ReplicasDiffer,
        });
        if rule == Rule::AcknowledgedMissing {
            findings.lost(1);
        }
        findings.add(rule, || {
            let entry = describe(entry);
            format!("{}: nothing where other replicas have {entry}", place())
        });
    }
}

/// What was promised with an entry that is not there.
fn rule_of_missing(case: &Case<'_>, entry: &LogEntry) -> Option<Rule> {
    let posted_and_acknowledged = match &entry.what {
        What::Posted(shown) => {
            let sent = case.channel.sends.get(shown.id.as_ref());
            sent.is_some_and(|sent| !sent.acks.is_empty())
        }
        _ => false,
    };
    if posted_and_acknowledged {
        return Some(Rule::AcknowledgedMissing);
    }
    let mut places = case.places_at(entry.seq).iter();
    let place = places.find(|place| place.is_of(entry))?;
    Some(match place.asked {
        Asked::Message(_) => Rule::AcknowledgedMissing,
        Asked::Edit(_) => Rule::EditLost,
        Asked::Deletion(_) => Rule::DeletionLost,
    })
}

/// Holes that all replicas have.
fn holes(case: &Case<'_>, findings: &mut Findings) {
    let mut next = 1;
    for entry in &case.log.entries {
        if entry.seq > next {
            let places = case.places_within(next, entry.seq - 1);
            let known = places.chunk_by(|a, b| a.seq == b.seq).count() as u64;
            // What was acknowledged to be there is reported as missing.
            if known < entry.seq - next {
                findings.add(Rule::LogHole, || {
                    let (channel, found) = (case.channel.id, describe(entry));
                    format!("channel {channel}: {found} where seq {next} was expected")
                });
            }
        }
        next = entry.seq.saturating_add(1);
    }
}
