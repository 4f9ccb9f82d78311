//! What may be shown at the end, from what was written: item by item, the rule of its
//! kind is applied to the times at which clients saw their writes begin and end.
//! Whatever the rule leaves open, as two writes were under way at the same time or
//! nobody answered, may come out either way; the rest may not.
//!
//! Nothing here is of the product: neither its types nor its clocks.

mod element;
mod mark;
mod membership;
mod multi_value;
mod names;
mod order;
mod register;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use causeway_protocol::ChannelId;

use super::item::{Change, Item, Kind, Shown, State};
use super::write::{PhaseNumber, RegionNumber};
use crate::chaos::history::At;

pub use self::order::{Order, Phase};

/// Whether a write counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It was acknowledged.
    Sure,
    /// Nobody knows.
    Maybe,
}

/// A write as far as it matters to the rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Of what.
    pub item: Item,
    /// What; texts as they are shown.
    pub change: Change,
    /// Where. `None` = it was there before the run.
    pub region: Option<RegionNumber>,
    /// When, roughly.
    pub phase: PhaseNumber,
    /// When it was asked for.
    pub began: At,
    /// By when it was done. `None` = nobody knows.
    pub ended: Option<At>,
    /// Whether it counts.
    pub effect: Effect,
    /// Whether the clock was right by which it was stamped.
    pub clock_is_right: bool,
}

/// A channel's names that others cannot take: those that channels were created with.
pub type Created = BTreeMap<String, ChannelId>;

/// What a rule says was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// An acknowledged write left nothing behind, and nobody has undone it.
    Lost,
    /// What was surely undone is there.
    CameBack,
    /// Somebody is a member although they left, or the other way round.
    Membership,
    /// A later write was not the last.
    LastWriter,
    /// What is shown was never written.
    Unheard,
    /// A read cursor is not at the highest mark.
    Cursor,
    /// Two channels have one name, or the wrong one has it.
    Name,
}

impl Rule {
    fn name(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::CameBack => "came-back",
            Self::Membership => "membership",
            Self::LastWriter => "last-writer",
            Self::Unheard => "unheard-of",
            Self::Cursor => "cursor",
            Self::Name => "name",
        }
    }
}

/// A broken rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// Which.
    pub rule: Rule,
    /// Of what.
    pub item: Item,
    /// What is wrong, for people.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?}: {}", self.rule.name(), self.item, self.text)
    }
}

/// The writes of one item, in the order in which they began.
pub type Writes<'a> = Vec<&'a Written>;

/// The model.
pub struct Model<'a> {
    order: Order,
    items: BTreeMap<&'a Item, Writes<'a>>,
    created: &'a Created,
}

impl<'a> Model<'a> {
    /// Of a run with these phases and writes, and channels that were created with these
    /// names.
    pub fn new(phases: Vec<Phase>, writes: &'a [Written], created: &'a Created) -> Self {
        let mut items = BTreeMap::<&Item, Writes<'_>>::new();
        for write in writes {
            items.entry(&write.item).or_default().push(write);
        }
        for writes in items.values_mut() {
            writes.sort_by_key(|write| write.began);
        }
        Self {
            order: Order::new(phases),
            items,
            created,
        }
    }

    /// What of `state` may not be.
    pub fn check(&self, state: &State) -> Vec<Violation> {
        let mut violations = Vec::new();
        let items: BTreeSet<&Item> = self.items.keys().copied().chain(state.keys()).collect();
        for item in items {
            let writes = self.items.get(item).map_or(&[][..], Vec::as_slice);
            let found = self.check_item(item, writes, state.get(item));
            violations.extend(found.map(|(rule, text)| Violation {
                rule,
                item: item.clone(),
                text,
            }));
        }
        violations.extend(names::check(&self.order, &self.items, self.created, state));
        violations
    }

    fn check_item(
        &self,
        item: &Item,
        writes: &[&Written],
        shown: Option<&Shown>,
    ) -> Option<(Rule, String)> {
        let order = &self.order;
        match item.kind() {
            Kind::Element => element::check(order, writes, shown),
            Kind::Membership => membership::check(order, writes, shown.is_some()),
            Kind::MultiValue => multi_value::check(order, writes, shown),
            Kind::Mark => mark::check(writes, shown),
            // What a name is shown as depends on the names of other channels.
            Kind::Register if matches!(item, Item::Name(_)) => {
                let is_lost = shown.is_none();
                is_lost.then(|| (Rule::Lost, "a channel without a name".into()))
            }
            Kind::Register => register::check(order, item, writes, shown),
        }
    }
}

impl Written {
    /// The text that it asks for.
    fn text(&self) -> Option<&str> {
        match &self.change {
            Change::Add(text) | Change::Set(text) => Some(text),
            _ => None,
        }
    }

    fn is_sure(&self) -> bool {
        self.effect == Effect::Sure
    }
}
