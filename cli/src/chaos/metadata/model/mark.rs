//! Marks: the highest counts.

use super::{Rule, Shown, Written};
use crate::chaos::metadata::item::Change;

pub fn check(writes: &[&Written], shown: Option<&Shown>) -> Option<(Rule, String)> {
    let marks = || {
        writes.iter().filter_map(|write| match write.change {
            Change::Raise(to) => Some((to, write.is_sure())),
            _ => None,
        })
    };
    let shown = shown.and_then(|shown| shown.first());
    let shown: u64 = shown.map_or(Some(0), |shown| shown.parse().ok())?;
    let least = marks().filter(|(_, sure)| *sure).map(|(to, _)| to).max();
    let least = least.unwrap_or(0);
    if shown < least {
        return Some((
            Rule::Cursor,
            format!("at {shown}, and was moved to {least}"),
        ));
    }
    let is_known = shown == least || marks().any(|(to, _)| to == shown);
    (!is_known).then(|| (Rule::Cursor, format!("at {shown}, where nobody moved it")))
}
