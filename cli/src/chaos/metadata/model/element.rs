//! Elements of sets: an addition lasts until somebody removes it who knew of it.

use super::{Order, Rule, Shown, Written};
use crate::chaos::metadata::item::Change;

pub fn check(order: &Order, writes: &[&Written], shown: Option<&Shown>) -> Option<(Rule, String)> {
    let set = Set::new(order, writes);
    let Some(shown) = shown.and_then(|shown| shown.first()) else {
        let lost = set
            .additions()
            .find(|addition| set.surely_lasts(addition))?;
        let at = lost.began;
        return Some((
            Rule::Lost,
            format!("what was added at {at:.3?} is not there"),
        ));
    };
    if !set.additions().any(|addition| set.may_last(addition)) {
        return Some((Rule::CameBack, "nothing that was added can be left".into()));
    }
    let mut shows = set
        .additions()
        .filter(|a| a.text() == Some(shown.as_str()))
        .peekable();
    if shows.peek().is_none() {
        return Some((Rule::Unheard, format!("`{shown}` was never added")));
    }
    match shows.any(|addition| set.may_show(addition)) {
        true => None,
        false => Some((Rule::LastWriter, format!("`{shown}` was not added last"))),
    }
}

struct Set<'a> {
    order: &'a Order,
    writes: &'a [&'a Written],
}

impl<'a> Set<'a> {
    fn new(order: &'a Order, writes: &'a [&'a Written]) -> Self {
        Self { order, writes }
    }

    fn additions(&self) -> impl Iterator<Item = &'a Written> + use<'a> {
        let writes = self.writes.iter().copied();
        writes.filter(|write| matches!(write.change, Change::Add(_)))
    }

    fn removals(&self) -> impl Iterator<Item = &'a Written> + use<'a> {
        let writes = self.writes.iter().copied();
        writes.filter(|write| write.change == Change::Remove)
    }

    fn may_last(&self, addition: &Written) -> bool {
        let undoes = |r: &Written| r.is_sure() && self.order.must_know(r, addition);
        !self.removals().any(undoes)
    }

    fn surely_lasts(&self, addition: &Written) -> bool {
        let may_undo = |r: &Written| self.order.may_know(r, addition);
        addition.is_sure() && !self.removals().any(may_undo)
    }

    /// Whether it may be the latest that is left: who adds again replaces what they
    /// knew of.
    fn may_show(&self, addition: &Written) -> bool {
        let order = self.order;
        let replaces = |a: &Written| a.is_sure() && order.must_know(a, addition);
        let outlives = |a: &Written| self.surely_lasts(a) && order.is_later(a, addition);
        let mut others = self.additions().filter(|other| *other != addition);
        self.may_last(addition) && !others.any(|a| replaces(a) || outlives(a))
    }
}
