//! Adds a run up.

use std::collections::HashSet;

use causeway_protocol::ChannelId;
use causeway_transport::wan::WanModel;

use super::cast::Cast;
use super::milestones::{self, Look, Milestones};
use super::play::Played;
use super::report::{self, ChaosReport};
use super::scenario::Plan;
use super::terms::Terms;
use super::{checker, joins};
use crate::ledger::{Floor, Scene};

/// What a run comes to, but for what was expected of it.
pub fn account(
    terms: &Terms,
    cast: &Cast,
    plan: &Plan,
    played: &Played,
    looks: &[Look],
    model: Option<&WanModel>,
) -> ChaosReport {
    let history = &played.history;
    let operations = &history.operations;
    let struck = |client: usize| cast.is_struck(plan, client);
    let time = (plan.begins(), played.ended);
    let pauses = (
        milestones::pauses(operations, time, struck),
        milestones::pauses(operations, time, |client| !struck(client)),
    );
    let ledger = report::ledger(history, played.breaks.len(), played.began);
    let members = report::members(history);
    let nowhere = &cast.homes[0];
    let ledger = ledger.report(&Scene {
        places: &cast.places,
        members: &members,
        floor: &|channel| Floor {
            wan: model,
            regions: &cast.regions,
            home: cast.home_of.get(&channel).unwrap_or(nowhere),
        },
    });
    let mut report = ChaosReport::new(
        terms.clone(),
        ledger,
        operations,
        &checker::check(history),
        failover(cast, plan, played, looks),
        pauses,
    );
    report
        .violations
        .extend(joins::lost(history, &cast.users, &played.rosters));
    report.violations.extend(played.broken.iter().cloned());
    report
}

/// Nothing fails over where leaders go in their own time.
fn failover(cast: &Cast, plan: &Plan, played: &Played, looks: &[Look]) -> Milestones {
    if plan.is_paced() {
        return Milestones::default();
    }
    let in_region = |channel: &ChannelId| cast.home_of.get(channel) == plan.region.as_ref();
    let struck: HashSet<ChannelId> = cast.home_of.keys().copied().filter(in_region).collect();
    milestones::milestones(looks, plan.begins(), &struck, &played.history.operations)
}
