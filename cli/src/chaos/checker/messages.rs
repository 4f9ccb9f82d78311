//! The log against what was asked for: everything in it was, and shows it.

use std::collections::HashMap;

use causeway_protocol::UserId;

use super::Rule;
use super::case::Case;
use super::gather::Fate;
use super::shown::{Fault, describe, is_same_message};
use super::verdict::Findings;
use crate::chaos::history::{ClientNumber, LogEntry, Shown, What};

pub fn check(case: &Case<'_>, findings: &mut Findings) {
    let authors = authors(case);
    let mut last: Option<&LogEntry> = None;
    for entry in &case.log.entries {
        let mut fault = |(rule, text): Fault| {
            findings.add(rule, || {
                format!("channel {}: {}: {text}", case.channel.id, describe(entry))
            });
        };
        if let Some(last) = last.filter(|last| last.ts >= entry.ts) {
            let text = format!("seq {} has ts {} already", last.seq, last.ts);
            fault((Rule::TsOrder, text));
        }
        last = Some(entry);
        let found = match &entry.what {
            What::Posted(shown) => posted(case, entry, shown, &authors),
            What::Edited(shown) => edited(case, entry, shown),
            What::Deleted { ts } => deleted(case, entry, *ts),
            What::Other => None,
        };
        if let Some(found) = found {
            let stored_again = found.0 == Rule::StoredTwice;
            fault(found);
            if stored_again {
                findings.duplicated();
            }
        }
    }
}

/// The history does not tell who is who: a client is whoever its messages say.
fn authors(case: &Case<'_>) -> HashMap<ClientNumber, UserId> {
    let mut counts = HashMap::<ClientNumber, HashMap<UserId, u64>>::new();
    for entry in &case.log.entries {
        if let What::Posted(shown) = &entry.what
            && let Some(sent) = case.channel.sends.get(shown.id.as_ref())
        {
            let counts = counts.entry(sent.client).or_default();
            *counts.entry(shown.author).or_default() += 1;
        }
    }
    let most = counts.into_iter().filter_map(|(client, counts)| {
        let (author, _) = counts.into_iter().max_by_key(|(_, count)| *count)?;
        Some((client, author))
    });
    most.collect()
}

fn posted(
    case: &Case<'_>,
    entry: &LogEntry,
    shown: &Shown,
    authors: &HashMap<ClientNumber, UserId>,
) -> Option<Fault> {
    let sent = case.channel.sends.get(shown.id.as_ref());
    if sent.is_none() && entry.seq <= case.earlier {
        return None;
    }
    let unsent = case.check_sent(shown);
    if unsent.is_some() {
        return unsent;
    }
    let first = case.log.copies(&shown.id).first().copied();
    if let Some(first) = first.filter(|first| *first < entry.seq) {
        return Some((Rule::StoredTwice, format!("it is there as seq {first}")));
    }
    let sent = sent?;
    let author = authors.get(&sent.client).copied();
    if (shown.seq, shown.ts) != (entry.seq, entry.ts) {
        let text = format!("the message says seq {} ts {}", shown.seq, shown.ts);
        return Some((Rule::EntryWrong, text));
    }
    if shown.thread_ts != sent.thread_ts {
        let text = format!("it was sent with thread_ts {}", sent.thread_ts);
        return Some((Rule::EntryWrong, text));
    }
    if let Some(author) = author.filter(|author| *author != shown.author) {
        let text = format!("client {}, who sent it, is {author}", sent.client);
        return Some((Rule::EntryWrong, text));
    }
    now(case, shown)
}

/// A message as it is in the end.
fn now(case: &Case<'_>, shown: &Shown) -> Option<Fault> {
    let deletion = case.log.deletions(shown.ts).first();
    match (deletion, shown.deleted) {
        (Some(seq), false) => {
            let text = format!("it was deleted by seq {seq}");
            Some((Rule::DeletionIneffective, text))
        }
        (_, true) if !shown.text.is_empty() => {
            let text = format!("it is deleted, and has the text {:?}", shown.text);
            Some((Rule::DeletionIneffective, text))
        }
        (Some(_), true) => None,
        (None, true) => unlogged_deletion(case, shown.ts),
        // What stands behind the text is reported with the entry.
        (None, false) if is_unasked_edit(case, shown.ts) => None,
        (None, false) => {
            let end = case.log.edits(shown.ts).last().copied();
            case.check_text(shown, end.unwrap_or(shown.seq), None)
        }
    }
}

fn is_unasked_edit(case: &Case<'_>, ts: u64) -> bool {
    !case.log.edits(ts).is_empty() && case.check_edited(ts).is_some()
}

fn unlogged_deletion(case: &Case<'_>, ts: u64) -> Option<Fault> {
    let unasked = case.check_deleted(ts, None);
    if unasked.is_some() {
        return unasked;
    }
    let changes = case.channel.changes.get(&ts)?;
    // Those known to be done are reported where their entry is looked for.
    let mut deletions = changes.deletions.iter();
    let known = deletions.any(|d| matches!(d.fate, Fate::Acknowledged(_) | Fate::Done));
    let text = "it is deleted, and no entry says so".into();
    (!known).then_some((Rule::DeletionLost, text))
}

fn edited(case: &Case<'_>, entry: &LogEntry, shown: &Shown) -> Option<Fault> {
    if entry.seq <= case.earlier {
        return None;
    }
    let Some(message) = case.log.message(shown.ts) else {
        return no_such_message(case, shown.ts);
    };
    let unasked = case.check_edited(shown.ts);
    if unasked.is_some() {
        return unasked;
    }
    if !is_same_message(message, shown) || message.seq >= entry.seq {
        let text = format!("the message with ts {} is seq {}", shown.ts, message.seq);
        return Some((Rule::EntryWrong, text));
    }
    if let Some(seq) = case.log.deletions(shown.ts).first()
        && *seq < entry.seq
    {
        let text = format!("it was deleted by seq {seq}");
        return Some((Rule::DeletionIneffective, text));
    }
    let differs = (&message.text, message.deleted) != (&shown.text, shown.deleted);
    let text = || {
        format!(
            "the message itself, seq {}, shows another text",
            message.seq
        )
    };
    differs.then(|| (Rule::EditText, text()))
}

fn deleted(case: &Case<'_>, entry: &LogEntry, ts: u64) -> Option<Fault> {
    if entry.seq <= case.earlier {
        return None;
    }
    let Some(message) = case.log.message(ts) else {
        return no_such_message(case, ts);
    };
    let unasked = case.check_deleted(ts, None);
    if unasked.is_some() {
        return unasked;
    }
    if message.seq >= entry.seq {
        let text = format!("the message is posted later, as seq {}", message.seq);
        return Some((Rule::EntryWrong, text));
    }
    let first = case.log.deletions(ts).first().copied();
    let first = first.filter(|first| *first < entry.seq)?;
    Some((Rule::StoredTwice, format!("it was deleted by seq {first}")))
}

/// What is said of a message that the log does not have.
fn no_such_message(case: &Case<'_>, ts: u64) -> Option<Fault> {
    // One that was acknowledged is reported as missing.
    let known = case.messages.contains(&ts);
    (!known).then(|| (Rule::Phantom, format!("no message has ts {ts}")))
}
