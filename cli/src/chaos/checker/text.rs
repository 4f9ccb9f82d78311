//! Which text a message may show, given what was asked for.

use super::Rule;
use super::case::Case;
use super::gather::{Edit, Fate};
use super::shown::{Fault, quoted};
use crate::chaos::history::{At, Shown};

/// How well somebody's text explains the same text where it shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Explains {
    /// It was refused.
    Refused,
    /// Nobody had given it yet.
    Early,
    /// Another text had taken its place, or it never had one.
    OutOfPlace,
    Fully,
}

impl Case<'_> {
    /// Whether a message could have had this text when the log ended at `end` or
    /// later, and by the time `at`.
    pub fn check_text(&self, shown: &Shown, end: u64, at: Option<At>) -> Option<Fault> {
        let sent = self.channel.sends.get(shown.id.as_ref())?;
        let edits = self.changes(shown.ts).map_or(&[][..], |c| &c.edits);
        let begun = |began: At| at.is_none_or(|at| began <= at);
        let original = (sent.text == shown.text).then(|| match () {
            () if !begun(sent.began) => Explains::Early,
            () if end > shown.seq => Explains::OutOfPlace,
            () => Explains::Fully,
        });
        let same = edits.iter().filter(|edit| edit.text == shown.text);
        let explains = same.map(|edit| match () {
            () if edit.fate == Fate::Refused => Explains::Refused,
            () if !begun(edit.began) => Explains::Early,
            () if !self.may_be(edit, edits, shown.ts, end) => Explains::OutOfPlace,
            () => Explains::Fully,
        });
        let was_edited = !self.log.edits(shown.ts).is_empty();
        Some(match explains.chain(original).max() {
            Some(Explains::Fully) => return None,
            Some(Explains::Refused) => (Rule::RefusedShown, "this text was refused".into()),
            Some(Explains::Early) => {
                let text = "it shows before anybody gave it this text";
                (Rule::Phantom, text.into())
            }
            _ if was_edited => (Rule::EditText, self.last_edit(shown.ts, edits)),
            _ => {
                let text = format!("the text that was sent is {}", quoted(sent.text));
                (Rule::WrongText, text)
            }
        })
    }

    /// Whether an edit could have an entry at `seq` or later. The edge may repeat
    /// an edit, which makes one more entry: so an entry that no edit was
    /// acknowledged with may be of any of them.
    fn may_be(&self, edit: &Edit<'_>, edits: &[Edit<'_>], ts: u64, seq: u64) -> bool {
        let nobodys = |entry: &u64| !edits.iter().any(|edit| edit.seq() == Some(*entry));
        let entries = self.log.edits(ts).iter().rev();
        edit.seq().is_some_and(|own| own >= seq)
            || entries.take_while(|entry| **entry >= seq).any(nobodys)
    }

    fn last_edit(&self, ts: u64, edits: &[Edit<'_>]) -> String {
        let last = self.log.edits(ts).last().copied();
        let seq = last.unwrap_or(0);
        match edits.iter().find(|edit| edit.seq() == last) {
            Some(edit) => format!("the last edit, seq {seq}, has {}", quoted(edit.text)),
            None => format!("the last edit is seq {seq}"),
        }
    }
}
