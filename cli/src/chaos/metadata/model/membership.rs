//! Memberships: a departure lasts until somebody joins who knew of it, so that a removal
//! wins over a join at the same time.

use super::{Order, Rule, Written};
use crate::chaos::metadata::item::Change;

pub fn check(order: &Order, writes: &[&Written], is_member: bool) -> Option<(Rule, String)> {
    let of = |change: Change| {
        let writes = writes.iter().copied();
        writes.filter(move |write| write.change == change)
    };
    let (joins, departures) = (|| of(Change::Join), || of(Change::Leave));
    let overcomes = |j: &Written, d: &Written| j.is_sure() && order.must_know(j, d);
    let may_stay_out = |d: &Written| !joins().any(|j| overcomes(j, d));
    let surely_out = |d: &Written| d.is_sure() && !joins().any(|j| order.may_know(j, d));
    let ends = |d: &Written, j: &Written| d.is_sure() && order.must_know(d, j);
    let may_be_in = |j: &Written| !departures().any(|d| ends(d, j));

    let text = match is_member {
        true if !joins().any(may_be_in) => "a member whose every join has ended",
        true if departures().any(surely_out) => "a member who was removed last",
        false if !departures().any(may_stay_out) && joins().any(Written::is_sure) => {
            "no member, although they joined last"
        }
        _ => return None,
    };
    Some((Rule::Membership, text.into()))
}
