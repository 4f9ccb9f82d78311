//! Acknowledgements among each other: every `seq` is given once, a message sent
//! again keeps its place, and places follow real time.

use super::Rule;
use super::case::{Asked, Case, Place};
use super::gather::Ack;
use super::verdict::Findings;
use crate::chaos::history::{At, What};

pub fn check(case: &Case<'_>, findings: &mut Findings) {
    reused(case, findings);
    resent(case, findings);
    against_time(case, findings);
}

fn reused(case: &Case<'_>, findings: &mut Findings) {
    let channel = case.channel.id;
    for pair in case.places.windows(2) {
        if pair[0].seq == pair[1].seq {
            findings.add(Rule::SeqReused, || {
                let (one, other, seq) = (&pair[0], &pair[1], pair[0].seq);
                format!("channel {channel}: {one} and {other} were both given seq {seq}")
            });
        }
    }
}

fn resent(case: &Case<'_>, findings: &mut Findings) {
    let channel = case.channel.id;
    for (id, sent) in &case.channel.sends {
        let Some(first) = sent.first_ack() else {
            continue;
        };
        let other = |ack: &&Ack| (first.seq, first.ts) != (ack.seq, ack.ts);
        if let Some(other) = sent.acks.iter().find(other) {
            findings.add(Rule::ResendDiffers, || {
                format!(
                    "channel {channel}: client {}'s message {} was answered with seq {} ts {}, \
                     and sent again with seq {} ts {}",
                    sent.client,
                    id.escape_ascii(),
                    first.seq,
                    first.ts,
                    other.seq,
                    other.ts
                )
            });
        }
    }
}

/// From the last `seq` to the first: nothing may begin after the end of anything
/// that has a larger `seq`. What was never answered has no end, but a beginning.
fn against_time(case: &Case<'_>, findings: &mut Findings) {
    let mut points = case.places.clone();
    points.extend(stored_unseen(case));
    points.sort_by_key(|point| point.seq);
    let mut earliest: Option<Place<'_>> = None;
    for same_seq in points.chunk_by(|a, b| a.seq == b.seq).rev() {
        for point in same_seq {
            let Some(later) = earliest.filter(|later| later.ended < point.began) else {
                continue;
            };
            findings.add(Rule::SeqOrder, || {
                format!(
                    "channel {}: {point} began at {:?}, when {later} had been acknowledged at \
                     {:?} as seq {}; yet it has seq {}",
                    case.channel.id, point.began, later.ended, later.seq, point.seq
                )
            });
        }
        let ends = same_seq.iter().copied().chain(earliest);
        earliest = ends.min_by_key(|point| point.ended);
    }
}

/// Messages that are in the log and were not acknowledged.
fn stored_unseen<'a, 'h>(case: &'a Case<'h>) -> impl Iterator<Item = Place<'h>> + 'a {
    case.log.entries.iter().filter_map(|entry| {
        let What::Posted(shown) = &entry.what else {
            return None;
        };
        let (id, sent) = case.channel.sends.get_key_value(shown.id.as_ref())?;
        let unseen = sent.acks.is_empty() && !sent.is_refused();
        unseen.then_some(Place {
            seq: entry.seq,
            ts: entry.ts,
            began: sent.began,
            ended: At::MAX,
            client: sent.client,
            asked: Asked::Message(id),
        })
    })
}
