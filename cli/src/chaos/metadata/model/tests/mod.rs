//! The model is tried on histories made by hand: clean ones it must pass, and of those
//! with one planted fault each it must catch every one. That it never asks for too much
//! is tried on histories of replicas that do what the rules say (`laws`).

mod elements;
mod excuses;
mod laws;
mod memberships;
mod names;
mod registers;

use causeway_protocol::{ChannelId, UserId, WorkspaceId};

use super::{Created, Effect, Model, Phase, Rule, Written};
use crate::chaos::history::At;
use crate::chaos::metadata::item::{Change, Item, State};
use crate::chaos::metadata::write::{PhaseNumber, RegionNumber};

const WORKSPACE: WorkspaceId = WorkspaceId(1);
const CALM: PhaseNumber = 1;
const SPLIT: PhaseNumber = 2;
/// Some regions can talk to one another again.
const AFTER: PhaseNumber = 3;

const US: RegionNumber = 0;
const EU: RegionNumber = 1;

fn phases() -> Vec<Phase> {
    let phase = |connected, settled| Phase { connected, settled };
    vec![
        phase(true, true),
        phase(true, true),
        phase(false, true),
        phase(true, false),
    ]
}

fn ms(ms: u64) -> At {
    At::from_millis(ms)
}

fn channel(n: u32) -> ChannelId {
    ChannelId::new(WORKSPACE, n)
}

fn user(n: u32) -> UserId {
    UserId::new(WORKSPACE, n)
}

fn texts(shown: &[&str]) -> Vec<String> {
    shown.iter().map(|text| (*text).to_owned()).collect()
}

/// A write that was acknowledged.
fn wrote(
    (region, phase): (RegionNumber, PhaseNumber),
    (began, ended): (u64, u64),
    item: &Item,
    change: Change,
) -> Written {
    Written {
        item: item.clone(),
        change,
        region: Some(region),
        phase,
        began: ms(began),
        ended: Some(ms(ended)),
        effect: Effect::Sure,
        clock_is_right: true,
    }
}

/// One that nobody answered.
fn unanswered(write: Written) -> Written {
    Written {
        ended: None,
        effect: Effect::Maybe,
        ..write
    }
}

fn add(text: &str) -> Change {
    Change::Add(text.into())
}

fn set(text: &str) -> Change {
    Change::Set(text.into())
}

/// The rules that are broken when this is shown of the item.
fn broken(writes: &[Written], item: &Item, shown: &[&str]) -> Vec<Rule> {
    let mut state = State::new();
    if !shown.is_empty() {
        state.insert(item.clone(), texts(shown));
    }
    broken_in(writes, &Created::new(), &state)
}

fn broken_in(writes: &[Written], created: &Created, state: &State) -> Vec<Rule> {
    let violations = Model::new(phases(), writes, created).check(state);
    violations.iter().map(|violation| violation.rule).collect()
}
