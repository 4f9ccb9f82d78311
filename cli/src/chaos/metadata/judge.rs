//! What each write is to the model: whether it counts for sure, by the answers and by
//! what the faults of the scenario excuse.

use causeway_protocol::{ChannelId, UserId};

use super::item::{Change, Item, State, said};
use super::model::{Effect, Written};
use super::write::{Outcome, PhaseNumber, RegionNumber, Write};
use crate::chaos::history::At;

/// A time in which the replicas of a region did not answer, as their node was dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outage {
    /// The region.
    pub region: RegionNumber,
    /// The node was killed.
    pub from: At,
    /// All answer again; `None` = not before the end.
    pub to: Option<At>,
}

/// What a scenario excuses, of writes in one region and phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Excuse {
    /// The region.
    pub region: RegionNumber,
    /// The phase.
    pub phase: PhaseNumber,
    /// Those that began before this; `None` = all of them.
    pub until: Option<At>,
    /// Why.
    pub why: Why,
}

/// Why what was written need not come out as if nothing had happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The only disk that had it is gone: acknowledged is what one disk holds.
    DiskWiped,
    /// The replica was not counted: of what it alone had, a join that may be older than a
    /// departure is set aside.
    NotCounted,
    /// The clock was wrong: the same, and it may be the last writer, or not.
    WrongClock,
}

/// Judges the writes of a run.
pub struct Judge<'a> {
    /// When which region did not answer.
    pub outages: &'a [Outage],
    /// What is excused.
    pub excuses: &'a [Excuse],
}

impl Judge<'_> {
    /// What the model is told: what was there at first, and what was written.
    pub fn written(&self, start: &State, writes: &[Write]) -> Vec<Written> {
        let first = start.iter().flat_map(|(item, shown)| {
            let shown = shown.iter();
            shown.map(move |text| was_there(item, text))
        });
        let later = writes.iter().filter_map(|write| self.judge(write));
        first.chain(later).collect()
    }

    /// Whether the answer did not come because the node was killed.
    pub fn is_interrupted(&self, write: &Write) -> bool {
        let is_open = matches!(write.outcome, Outcome::Unanswered(_) | Outcome::UnderWay);
        is_open && self.meets_outage(write)
    }

    /// Whether it was acknowledged, and only a disk that is gone had it.
    pub fn is_at_risk(&self, write: &Write) -> bool {
        let is_acknowledged = matches!(write.outcome, Outcome::Acknowledged(_));
        is_acknowledged && self.has_excuse(write, Why::DiskWiped)
    }

    /// `None` = it does not count at all.
    fn judge(&self, write: &Write) -> Option<Written> {
        let (effect, ended) = match write.outcome {
            Outcome::Acknowledged(at) => (Effect::Sure, Some(at)),
            Outcome::Unanswered(_) | Outcome::UnderWay => (Effect::Maybe, None),
            Outcome::Refused(..) => match self.may_be_done_all_the_same(write) {
                true => (Effect::Maybe, None),
                false => return None,
            },
        };
        let has = |why| self.has_excuse(write, why);
        let is_join = write.change == Change::Join;
        let may_lapse = is_join && (has(Why::NotCounted) || has(Why::WrongClock));
        Some(Written {
            item: write.item.clone(),
            change: as_shown(&write.item, &write.change, write.user),
            region: Some(write.region),
            phase: write.phase,
            began: write.began,
            ended,
            effect: match has(Why::DiskWiped) || may_lapse {
                true => Effect::Maybe,
                false => effect,
            },
            clock_is_right: !has(Why::WrongClock),
        })
    }

    fn has_excuse(&self, write: &Write, why: Why) -> bool {
        self.excuses.iter().any(|excuse| {
            let is_then = excuse.until.is_none_or(|until| write.began < until);
            let is_there = (excuse.region, excuse.phase) == (write.region, write.phase);
            excuse.why == why && is_there && is_then
        })
    }

    fn may_be_done_all_the_same(&self, write: &Write) -> bool {
        write.may_have_been_tried_twice() || self.meets_outage(write)
    }

    fn meets_outage(&self, write: &Write) -> bool {
        let ended = match write.outcome {
            Outcome::Acknowledged(at) | Outcome::Refused(at, _) | Outcome::Unanswered(at) => at,
            Outcome::UnderWay => At::MAX,
        };
        self.outages.iter().any(|outage| {
            let is_here = outage.region == write.region;
            let is_over = outage.to.is_some_and(|to| to < write.began);
            is_here && outage.from <= ended && !is_over
        })
    }
}

fn was_there(item: &Item, text: &str) -> Written {
    let change = match item {
        Item::Member { .. } => Change::Join,
        Item::ReadCursor { .. } => Change::Raise(text.parse().unwrap_or(0)),
        Item::Reaction { .. } | Item::Pin { .. } | Item::Star { .. } | Item::Emoji { .. } => {
            Change::Add(text.to_owned())
        }
        _ => Change::Set(text.to_owned()),
    };
    Written {
        item: item.clone(),
        change,
        region: None,
        phase: 0,
        began: At::ZERO,
        ended: Some(At::ZERO),
        effect: Effect::Sure,
        clock_is_right: true,
    }
}

/// A change with its text as it is shown.
pub fn as_shown(item: &Item, change: &Change, by: UserId) -> Change {
    match (item, change) {
        (Item::Topic(_) | Item::Purpose(_), Change::Set(text)) => Change::Set(said(text, by)),
        (Item::Pin { .. }, Change::Add(_)) => Change::Add(by.to_string()),
        (_, change) => change.clone(),
    }
}

/// The names that channels were created with, as they are shown at first.
pub fn created(start: &State) -> super::model::Created {
    let names = start.iter().filter_map(|(item, shown)| match item {
        Item::Name(channel) => Some((shown.first()?.clone(), *channel)),
        _ => None,
    });
    let names: Vec<(String, ChannelId)> = names.collect();
    names.into_iter().collect()
}
