//! Registers: the last write is shown.

use super::{Item, Order, Rule, Shown, Written};

pub fn check(
    order: &Order,
    item: &Item,
    writes: &[&Written],
    shown: Option<&Shown>,
) -> Option<(Rule, String)> {
    let shown = shown.and_then(|shown| shown.first());
    let shown = shown.map_or(item.nothing(), String::as_str);
    let may_be_untouched = !writes.iter().any(|write| write.is_sure());
    if may_be_untouched && shown == item.nothing() {
        return None;
    }
    let mut of_text = writes.iter().filter(|w| w.text() == Some(shown)).peekable();
    if of_text.peek().is_none() {
        return Some(match shown == item.nothing() {
            true => (Rule::Lost, "nothing is shown of what was written".into()),
            false => (Rule::Unheard, format!("`{shown}` was never written")),
        });
    }
    match of_text.any(|write| may_be_last(order, writes, write)) {
        true => None,
        false => Some((Rule::LastWriter, format!("`{shown}` was overwritten"))),
    }
}

/// Whether no other write is later for sure.
pub fn may_be_last(order: &Order, writes: &[&Written], write: &Written) -> bool {
    let mut others = writes.iter().filter(|other| **other != write);
    !others.any(|other| {
        let counts = other.is_sure() && !may_change_nothing(writes, other);
        counts && order.is_later(other, write)
    })
}

/// Whoever writes what is there already changes nothing, and is acknowledged: then an
/// earlier write is as good. An archived channel is not archived again: that is refused.
fn may_change_nothing(writes: &[&Written], write: &Written) -> bool {
    if matches!(write.item, Item::Archived(_)) {
        return false;
    }
    let mut others = writes.iter().filter(|other| **other != write);
    others.any(|other| other.change == write.change) || write.text() == Some(write.item.nothing())
}
