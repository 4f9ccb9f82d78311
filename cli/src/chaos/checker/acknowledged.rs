//! What was acknowledged against the log: it is there, where it should be.

use super::Rule;
use super::case::{Asked, Case};
use super::gather::Fate;
use super::shown::describe;
use super::verdict::Findings;

pub fn check(case: &Case<'_>, findings: &mut Findings) {
    for place in &case.places {
        let contested = case.contested.contains(&place.seq);
        match place.asked {
            // Of two with one seq, one cannot be there: told already, unless it is
            // nowhere else either.
            Asked::Message(id) if contested && !case.log.copies(id).is_empty() => {}
            Asked::Message(id) => message(case, id, findings),
            Asked::Edit(_) | Asked::Deletion(_) if contested => {}
            Asked::Edit(_) | Asked::Deletion(_) => {
                let found = case.log.get(place.seq);
                if found.is_some_and(|entry| place.is_of(entry)) {
                    continue;
                }
                let rule = match place.asked {
                    Asked::Edit(_) => Rule::EditLost,
                    _ => Rule::DeletionLost,
                };
                findings.add(rule, || {
                    let found = found.map_or_else(|| "nothing".into(), describe);
                    format!(
                        "channel {}: {place} was acknowledged as seq {} ts {}; the log has {found}",
                        case.channel.id, place.seq, place.ts
                    )
                });
            }
        }
    }
    done(case, findings);
}

fn message(case: &Case<'_>, id: &[u8], findings: &mut Findings) {
    let Some(sent) = case.channel.sends.get(id) else {
        return;
    };
    let Some(first) = sent.first_ack() else {
        return;
    };
    let told = || {
        format!(
            "channel {}: client {}'s message {} was acknowledged as seq {} ts {}",
            case.channel.id,
            sent.client,
            id.escape_ascii(),
            first.seq,
            first.ts
        )
    };
    let copies = case.log.copies(id);
    if copies.is_empty() {
        findings.lost(1);
        findings.add(Rule::AcknowledgedMissing, || {
            let found = case.log.get(first.seq);
            let found = found.map_or_else(|| "nothing".into(), describe);
            format!("{}; no replica has it, and there is {found}", told())
        });
        return;
    }
    let mut places = copies.iter().filter_map(|seq| case.log.get(*seq));
    let in_place = places.any(|entry| {
        let mut acks = sent.acks.iter();
        acks.any(|ack| (ack.seq, ack.ts) == (entry.seq, entry.ts))
    });
    if !in_place {
        findings.add(Rule::WrongPlace, || {
            let found = case.log.get(copies[0]);
            let found = found.map_or_else(String::new, describe);
            format!("{}; the log has {found}", told())
        });
    }
}

/// Deletions that are known to be done have an entry somewhere.
fn done(case: &Case<'_>, findings: &mut Findings) {
    for (ts, changes) in &case.channel.changes {
        let done = changes.deletions.iter().find(|d| d.fate == Fate::Done);
        if let Some(deletion) = done.filter(|_| case.log.deletions(*ts).is_empty()) {
            findings.add(Rule::DeletionLost, || {
                format!(
                    "channel {}: client {} was told that the message with ts {ts} is gone; no \
                     entry says so",
                    case.channel.id, deletion.client
                )
            });
        }
    }
}
