//! Pages of history: messages as the log has them, as far as the client knows it, and
//! all that are in between. How far a page reaches back is for the service to say.

use std::collections::HashSet;

use super::Rule;
use super::case::Case;
use super::gather::Reading;
use super::shown::{Fault, is_same_message, quoted};
use super::verdict::Findings;
use crate::chaos::history::{Shown, What};

/// Judges a page that was read by a client who knew the log up to `known`.
pub fn check(case: &Case<'_>, reading: &Reading<'_>, known: u64, findings: &mut Findings) {
    let wrong = reading.page.iter().find_map(|shown| {
        let (_, text) = message(case, reading, shown, known)?;
        Some((shown.seq, text))
    });
    let Some((seq, text)) = wrong.or_else(|| left_out(case, reading)) else {
        return;
    };
    findings.add(Rule::PageWrong, || {
        let (channel, client) = (case.channel.id, reading.client);
        let (began, ended) = (reading.began, reading.ended);
        format!(
            "client {client} in channel {channel}: a page read from {began:?} to {ended:?}, \
             seq {seq}: {text}"
        )
    });
}

fn message(case: &Case<'_>, reading: &Reading<'_>, shown: &Shown, known: u64) -> Option<Fault> {
    let wrong = |text: String| Some((Rule::PageWrong, text));
    let logged = case.log.message(shown.ts);
    if !logged.is_some_and(|logged| is_same_message(logged, shown)) {
        return wrong("the log has no such message".into());
    }
    let deletions = case.log.deletions(shown.ts);
    if let Some(seq) = deletions.iter().find(|seq| **seq <= known) {
        return wrong(format!("the client knew that seq {seq} deletes it"));
    }
    if shown.deleted {
        return wrong("a deleted message is shown".into());
    }
    let edits = case.log.edits(shown.ts).iter();
    let last = edits.copied().filter(|seq| *seq <= known).max();
    let fault = case.check_text(shown, last.unwrap_or(shown.seq), Some(reading.ended));
    fault.map(|(rule, text)| (rule, format!("it shows {}: {text}", quoted(&shown.text))))
}

/// A message between the first and the last of the page that was never deleted.
fn left_out(case: &Case<'_>, reading: &Reading<'_>) -> Option<(u64, String)> {
    let there: HashSet<u64> = reading.page.iter().map(|shown| shown.seq).collect();
    let (first, last) = (there.iter().min()?, there.iter().max()?);
    let within = |seq: u64| seq > *first && seq < *last && !there.contains(&seq);
    let is_due = |shown: &Shown| {
        shown.thread_ts == 0 && !shown.deleted && case.log.deletions(shown.ts).is_empty()
    };
    case.log.entries.iter().find_map(|entry| match &entry.what {
        What::Posted(shown) if within(entry.seq) && is_due(shown) => Some((
            entry.seq,
            "the page has those around it, and not this".into(),
        )),
        _ => None,
    })
}
