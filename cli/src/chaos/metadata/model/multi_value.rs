//! Registers that keep what is written at the same time: the latest is shown, the others
//! beside it, until somebody writes who knew of them.

use super::{Order, Rule, Shown, Written};

pub fn check(order: &Order, writes: &[&Written], shown: Option<&Shown>) -> Option<(Rule, String)> {
    let texts = shown.map_or(&[][..], Vec::as_slice);
    let mut kept = Vec::new();
    for text in texts {
        let Some(write) = writes
            .iter()
            .find(|write| write.text() == Some(text.as_str()))
        else {
            return Some((Rule::Unheard, format!("`{text}` was never written")));
        };
        if let Some(by) = replaced_by(order, writes, write) {
            return Some((Rule::CameBack, format!("`{text}` was replaced by {by}")));
        }
        kept.push(*write);
    }
    if let Some(lost) = writes.iter().find(|write| is_lost(order, write, &kept)) {
        let text = lost.text().unwrap_or_default();
        return Some((
            Rule::Lost,
            format!("`{text}` is not among {texts:?}, and none of them replaces it"),
        ));
    }
    let pairs = kept.windows(2);
    let mut wrong = pairs.filter(|pair| order.is_later(pair[1], pair[0]));
    wrong
        .next()
        .map(|_| (Rule::LastWriter, format!("{texts:?} are not in order")))
}

/// A write that surely knew of this one.
fn replaced_by(order: &Order, writes: &[&Written], write: &Written) -> Option<String> {
    let mut others = writes.iter().filter(|other| **other != write);
    let by = others.find(|other| other.is_sure() && order.must_know(other, write))?;
    Some(format!("`{}`", by.text().unwrap_or_default()))
}

/// Whether the write must be among those that are kept, or known to one of them, and is
/// not: whoever replaces a write passes on what that one knew.
fn is_lost(order: &Order, write: &Written, kept: &[&Written]) -> bool {
    let accounts = |k: &&Written| *k == write || order.may_know(k, write);
    write.is_sure() && !kept.iter().any(accounts)
}
