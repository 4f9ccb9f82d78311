//! Whether there may be an entry at all, given what was asked for; and entries in
//! words.

use super::Rule;
use super::case::Case;
use super::gather::{Changes, Fate};
use crate::chaos::history::{At, LogEntry, Shown, What};

/// Texts are told up to here.
const TEXT_CHARS_MAX: usize = 60;

/// What is wrong, and how it shows.
pub type Fault = (Rule, String);

/// An entry in words.
pub fn describe(entry: &LogEntry) -> String {
    let (seq, ts) = (entry.seq, entry.ts);
    let what = match &entry.what {
        What::Posted(shown) => format!("message {}", in_words(shown)),
        What::Edited(shown) => format!("an edit of message {}", in_words(shown)),
        What::Deleted { ts } => format!("the deletion of the message with ts {ts}"),
        What::Other => "something else".into(),
    };
    format!("seq {seq} ts {ts}, {what}")
}

fn in_words(shown: &Shown) -> String {
    let id = shown.id.escape_ascii();
    let Shown { author, seq, .. } = shown;
    let thread = match shown.thread_ts {
        0 => String::new(),
        ts => format!(" in thread {ts}"),
    };
    let text = match shown.deleted {
        true => "deleted".into(),
        false => quoted(&shown.text),
    };
    format!("{id} (seq {seq}) of {author}{thread}: {text}")
}

/// A text for people.
pub fn quoted(text: &str) -> String {
    let start: String = text.chars().take(TEXT_CHARS_MAX).collect();
    let more = if start.len() < text.len() { " …" } else { "" };
    format!("{start:?}{more}")
}

/// Whether it is the same message, whatever it says.
pub fn is_same_message(a: &Shown, b: &Shown) -> bool {
    (a.seq, a.ts, a.author, &a.id, a.thread_ts) == (b.seq, b.ts, b.author, &b.id, b.thread_ts)
}

/// Whether all of what could explain an entry was refused, or there is nothing.
pub fn unexplained<'a>(fates: impl Iterator<Item = &'a Fate>, what: &str) -> Option<Fault> {
    let mut refused = 0;
    for fate in fates {
        match fate {
            Fate::Refused => refused += 1,
            _ => return None,
        }
    }
    Some(match refused {
        0 => (Rule::Phantom, format!("nobody has asked for {what}")),
        _ => (Rule::RefusedShown, format!("{what} was refused")),
    })
}

impl Case<'_> {
    /// Whether somebody could have sent this message.
    pub fn check_sent(&self, shown: &Shown) -> Option<Fault> {
        match self.channel.sends.get(shown.id.as_ref()) {
            None => Some((Rule::Phantom, "nobody has sent it".into())),
            Some(sent) if sent.is_refused() => {
                let text = format!("client {} was refused to send it", sent.client);
                Some((Rule::RefusedShown, text))
            }
            Some(_) => None,
        }
    }

    /// Whether somebody could have edited the message with this `ts`.
    pub fn check_edited(&self, ts: u64) -> Option<Fault> {
        let edits = self.changes(ts).into_iter().flat_map(|c| &c.edits);
        unexplained(edits.map(|edit| &edit.fate), "the edit")
    }

    /// Whether somebody could have deleted the message with this `ts`, before
    /// `at` if that matters.
    pub fn check_deleted(&self, ts: u64, at: Option<At>) -> Option<Fault> {
        let deletions = self.changes(ts).into_iter().flat_map(|c| &c.deletions);
        let begun = deletions.filter(|deletion| at.is_none_or(|at| deletion.began <= at));
        unexplained(begun.map(|deletion| &deletion.fate), "the deletion")
    }

    /// What was asked for with the message with this `ts`.
    pub fn changes(&self, ts: u64) -> Option<&Changes<'_>> {
        self.channel.changes.get(&ts)
    }
}
