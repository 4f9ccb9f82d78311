//! What each client was given: each entry once, in order, as the log has it, and
//! to members all of them.

use std::collections::{HashMap, HashSet};

use super::Rule;
use super::case::Case;
use super::shown::{Fault, describe, is_same_message};
use super::verdict::Findings;
use crate::chaos::history::{Delivery, LogEntry, Membership, What};

/// What a client has, once its deliveries are through.
#[derive(Default)]
struct Given<'h> {
    seqs: HashSet<u64>,
    /// Messages, and where each came first.
    messages: HashMap<&'h [u8], u64>,
}

pub fn check(case: &Case<'_>, findings: &mut Findings) {
    let streams = &case.channel.streams;
    for (client, deliveries) in streams {
        let given = follow(case, deliveries, findings);
        let members = case.channel.members.iter();
        for member in members.filter(|member| member.client == *client) {
            missing(case, member, &given, findings);
        }
    }
    for member in &case.channel.members {
        if !streams.contains_key(&member.client) {
            missing(case, member, &Given::default(), findings);
        }
    }
}

fn follow<'h>(case: &Case<'_>, deliveries: &[&'h Delivery], findings: &mut Findings) -> Given<'h> {
    let mut given = Given::default();
    let mut highest = 0;
    for delivery in deliveries {
        let seq = delivery.entry.seq;
        if !given.seqs.insert(seq) {
            findings.duplicated();
            let fault = (Rule::DeliveredTwice, "this seq came before".into());
            tell(case, delivery, fault, findings);
            continue;
        }
        if seq < highest {
            findings.out_of_order();
            let fault = (
                Rule::DeliveredOutOfOrder,
                format!("seq {highest} came before"),
            );
            tell(case, delivery, fault, findings);
        }
        highest = highest.max(seq);
        if let Some(fault) = again(case, &mut given, delivery, findings) {
            tell(case, delivery, fault, findings);
        } else if let Some(fault) = against_log(case, delivery) {
            tell(case, delivery, fault, findings);
        }
    }
    given
}

fn tell(case: &Case<'_>, delivery: &Delivery, (rule, text): Fault, findings: &mut Findings) {
    findings.add(rule, || {
        let Delivery { client, at, .. } = delivery;
        let (channel, entry) = (case.channel.id, describe(&delivery.entry));
        format!("client {client} in channel {channel} at {at:?} was given {entry}: {text}")
    });
}

/// A message that came before under another `seq`.
fn again<'h>(
    case: &Case<'_>,
    given: &mut Given<'h>,
    delivery: &'h Delivery,
    findings: &mut Findings,
) -> Option<Fault> {
    let What::Posted(shown) = &delivery.entry.what else {
        return None;
    };
    let seq = delivery.entry.seq;
    let first = *given.messages.entry(&shown.id).or_insert(seq);
    if first == seq {
        return None;
    }
    findings.duplicated();
    // What is stored twice is reported where it is stored.
    let stored = case.log.copies(&shown.id).contains(&seq);
    let text = || format!("this message came before, as seq {first}");
    (!stored).then(|| (Rule::DeliveredTwice, text()))
}

fn against_log(case: &Case<'_>, delivery: &Delivery) -> Option<Fault> {
    let entry = &delivery.entry;
    if !case.log.is_read {
        return None;
    }
    let logged = case.log.get(entry.seq);
    // Where a delivery agrees with an acknowledgement and the log does not, the log
    // is wrong, and is reported to be.
    let log_is_wrong = || {
        let log_is_right = logged.is_some_and(|logged| case.is_acknowledged(logged));
        case.is_acknowledged(entry) && !log_is_right
    };
    match logged.filter(|logged| is_same(entry, logged)) {
        Some(logged) => shows(case, delivery, logged),
        None if log_is_wrong() => None,
        None => Some(unlogged(case, entry).unwrap_or_else(|| {
            let logged = logged.map_or_else(|| "nothing there".into(), describe);
            (Rule::DeliveryDiffers, format!("the log has {logged}"))
        })),
    }
}

/// Whether it is the same entry; texts aside.
fn is_same(one: &LogEntry, other: &LogEntry) -> bool {
    let what = match (&one.what, &other.what) {
        (What::Posted(a), What::Posted(b)) | (What::Edited(a), What::Edited(b)) => {
            is_same_message(a, b)
        }
        (one, other) => one == other,
    };
    what && (one.seq, one.ts) == (other.seq, other.ts)
}

/// Whether an entry that the log does not have should not be there at all.
fn unlogged(case: &Case<'_>, entry: &LogEntry) -> Option<Fault> {
    match &entry.what {
        What::Posted(shown) => case.check_sent(shown),
        What::Edited(shown) => case.check_edited(shown.ts),
        What::Deleted { ts } => case.check_deleted(*ts, None),
        What::Other => None,
    }
}

/// What a delivery shows of a message, be it as it was or as it has become.
fn shows(case: &Case<'_>, delivery: &Delivery, logged: &LogEntry) -> Option<Fault> {
    let (What::Posted(shown) | What::Edited(shown)) = &delivery.entry.what else {
        return None;
    };
    let (What::Posted(finally) | What::Edited(finally)) = &logged.what else {
        return None;
    };
    // Who sent what was not sent is asked where the log is judged.
    if case.check_sent(shown).is_some() {
        return None;
    }
    let fault = match (shown.deleted, shown.text.is_empty()) {
        (false, _) => case.check_text(shown, delivery.entry.seq, Some(delivery.at))?,
        (true, true) => case.check_deleted(shown.ts, Some(delivery.at))?,
        (true, false) => (Rule::DeletionIneffective, "a deleted text shows".into()),
    };
    let logged_so = (&shown.text, shown.deleted) == (&finally.text, finally.deleted);
    match fault.0 {
        // Nobody could know the future; all else is reported of the log.
        Rule::Phantom => Some(fault),
        _ if logged_so => None,
        Rule::RefusedShown => Some(fault),
        _ => Some((Rule::DeliveryDiffers, fault.1)),
    }
}

/// What a member was not given.
fn missing(case: &Case<'_>, member: &Membership, given: &Given<'_>, findings: &mut Findings) {
    let owed = case.channel.sends.iter().filter(|(id, sent)| {
        let ack = sent.first_ack();
        ack.is_some_and(|ack| ack.seq > member.from_seq) && !given.messages.contains_key(*id)
    });
    findings.lost(owed.count() as u64);
    let entries = &case.log.entries;
    let from = entries.partition_point(|entry| entry.seq <= member.from_seq);
    for run in
        entries[from..].chunk_by(|a, b| given.seqs.contains(&a.seq) == given.seqs.contains(&b.seq))
    {
        let first = run[0];
        if given.seqs.contains(&first.seq) {
            continue;
        }
        findings.add(Rule::DeliveryMissing, || {
            let (client, channel) = (member.client, member.channel);
            let more = match run.len() - 1 {
                0 => String::new(),
                more => format!(", and {more} after it"),
            };
            let first = describe(first);
            format!("client {client} in channel {channel} was never given {first}{more}")
        });
    }
}
