//! What a run comes to: the model's word on what replicas show, where they and clients
//! disagree, and how long everything took.

use std::time::{Duration, Instant};

use causeway_transport::wan::WanModel;

use super::cast::Cast;
use super::item::{Item, State};
use super::judge::{self, Excuse, Judge, Outage, Why};
use super::measure::{self, Ways, signed_ms};
use super::model::{Model, Violation, Written};
use super::replicas::{Readback, Settled};
use super::report::{self, Counts, MetadataReport};
use super::run::{Played, Run};
use super::scenario::{MAIN_PHASE, Plan, Scenario};
use super::view::{Shared, View};
use super::write::Write;
use crate::chaos::expectations::Expectation;

/// Characters of a difference that are told.
const DIFFERENCE_MAX: usize = 500;
/// Differences that are told; all are counted.
const DIFFERENCES_TOLD: usize = 100;

/// Accounts for a run.
pub fn account(
    run: &Run,
    played: &Played<'_>,
    model: &WanModel,
    expectations: Vec<Expectation>,
) -> MetadataReport {
    let cast = played.cast;
    let ways = Ways { model, cast };
    let excuses = excuses(played.plan, &played.outages);
    let judge = Judge {
        outages: &played.outages,
        excuses: &excuses,
    };
    let counts = Counts::of(&played.writes, &judge);
    let broken = check(played, &judge);
    let different = differences(played);
    let odd = played.settled.readbacks.iter().flat_map(|readback| {
        let node = &readback.replica.node;
        readback
            .odd
            .iter()
            .map(move |odd| format!("odd: {node}: {odd}"))
    });
    let mut violations: Vec<String> = broken.iter().map(Violation::to_string).collect();
    violations.extend(odd);
    violations.extend(different.iter().take(DIFFERENCES_TOLD).cloned());
    violations.extend(report::errors(&played.writes, &judge));
    let placed = placed(run, played);
    let after_first_round_trip = |at: Instant| {
        let from = played.healed + placed.unwrap_or_default();
        let after = at.saturating_duration_since(from);
        signed_ms(after, ways.longest_round_trip())
    };
    let seen = seen(run, played);
    MetadataReport {
        terms: run.terms.clone(),
        sent: played.writes.len() as u64,
        acknowledged: counts.acknowledged,
        deliveries: played.views.iter().map(|v| v.look(View::told)).sum(),
        lost: report::lost(&broken),
        duplicated: played.views.iter().map(|v| v.look(View::told_again)).sum(),
        out_of_order: played.views.iter().map(|v| v.look(View::went_back)).sum(),
        refused: counts.refused,
        errors: counts.errors,
        disconnects: played.views.iter().map(|v| v.look(View::breaks)).sum(),
        writes: counts.kinds,
        interrupted: counts.interrupted,
        at_risk: counts.at_risk,
        diverged: different.len(),
        placed_ms: placed.map(|placed| signed_ms(placed, Duration::ZERO)),
        converge_ms: played.settled.equal_at.map(after_first_round_trip),
        views_ms: played
            .last_learnt
            .as_ref()
            .map(|last| after_first_round_trip(last.at)),
        last_learnt: played.last_learnt.as_ref().map(|last| last.what.clone()),
        fsync_ms: signed_ms(played.sync, Duration::ZERO),
        ack_over_floor_ms: measure::acknowledged_over_floor(
            &ways,
            played.sync,
            &played.writes,
            |write| write.phase == MAIN_PHASE,
        ),
        seen_over_floor_ms: seen
            .as_ref()
            .and_then(|seen| measure::seen_over_floor(&ways, seen)),
        pairs: seen.map_or_else(Vec::new, |seen| measure::pairs(&ways, &seen)),
        violations,
        expectations,
    }
}

/// How long it took until the directory had given a node with an empty disk its replicas.
fn placed(run: &Run, played: &Played<'_>) -> Option<Duration> {
    let found_at = played.settled.found_at;
    let is_given = run.scenario == Scenario::Wipe;
    is_given.then(|| found_at.saturating_duration_since(played.healed))
}

/// When reactions were seen, where nothing kept them from it.
fn seen(run: &Run, played: &Played<'_>) -> Option<Vec<measure::Seen>> {
    let is_measured = run.scenario == Scenario::None;
    is_measured.then(|| {
        let sights = played
            .views
            .iter()
            .map(|v| v.look(|view| view.sights().to_vec()));
        let sights: Vec<_> = sights.collect();
        measure::seen(&played.writes, &sights, played.began)
    })
}

/// What the plan excuses.
fn excuses(plan: &Plan, outages: &[Outage]) -> Vec<Excuse> {
    let struck = plan.struck.as_ref().zip(plan.excuse);
    let excuse = struck.map(|((_, region), why)| {
        let dead = outages.iter().filter(|outage| outage.region == *region);
        Excuse {
            region: *region,
            phase: MAIN_PHASE,
            // Of what is acknowledged after that, no disk is emptied.
            until: match why {
                Why::DiskWiped => dead.map(|outage| outage.from).min(),
                Why::NotCounted | Why::WrongClock => None,
            },
            why,
        }
    });
    excuse.into_iter().collect()
}

/// One replica's readback of each workspace: all are equal.
fn of_stage(settled: &Settled, stage: usize) -> Option<&Readback> {
    let mut readbacks = settled.readbacks.iter();
    readbacks.find(|readback| readback.replica.stage == stage)
}

/// What clients do not know, or know otherwise.
pub fn view_differences(cast: &Cast, settled: &Settled, views: &[Shared]) -> Vec<String> {
    let mut different = Vec::new();
    for (number, (part, view)) in cast.parts.iter().zip(views).enumerate() {
        let Some(readback) = of_stage(settled, part.stage) else {
            continue;
        };
        view.look(|view| {
            let who = format!("view: client {number} of {} at {}", part.user, part.place);
            let (due, known) = (view.due(&readback.state), view.known());
            let told = differing(&due, &known);
            different.extend(told.map(|text| format!("{who}: {text}")));
            if view.is_reading() {
                different.push(format!("{who} is still reading"));
            }
            if let Some(why) = view.stopped() {
                different.push(format!("{who} has stopped: {why}"));
            }
        });
    }
    different
}

/// Items that are not the same in both.
fn differing<'a>(due: &'a State, known: &'a State) -> impl Iterator<Item = String> + 'a {
    let unknown = known.keys().filter(|item| !due.contains_key(item));
    let items: Vec<&Item> = due.keys().chain(unknown).collect();
    let items = items
        .into_iter()
        .filter(|item| due.get(item) != known.get(item));
    items.map(|item| {
        let (due, known) = (due.get(item), known.get(item));
        format!("{item:?} is {due:?}, and it knows {known:?}")
    })
}

/// Where replicas and clients disagree.
fn differences(played: &Played<'_>) -> Vec<String> {
    let replicas = played.settled.different.iter();
    let replicas = replicas.map(|text| format!("replicas: {text}"));
    let views = view_differences(played.cast, &played.settled, &played.views);
    let all = replicas.chain(views);
    all.map(|text| shortened(&text)).collect()
}

/// So much of a text as is told.
pub fn shortened(text: &str) -> String {
    text.chars().take(DIFFERENCE_MAX).collect()
}

/// What the model does not allow of what each replica shows; the same of several once.
fn check(played: &Played<'_>, judge: &Judge<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (number, stage) in played.cast.stages.iter().enumerate() {
        let is_here = |item: &Item| item.workspace() == stage.workspace;
        let start = played.start.iter().filter(|(item, _)| is_here(item));
        let start: State = start.map(|(i, s)| (i.clone(), s.clone())).collect();
        let writes = played.writes.iter().filter(|write| is_here(&write.item));
        let writes: Vec<Write> = writes.cloned().collect();
        let written: Vec<Written> = judge.written(&start, &writes);
        let created = judge::created(&start);
        let model = Model::new(played.plan.phases(), &written, &created);
        let readbacks = played.settled.readbacks.iter();
        for readback in readbacks.filter(|readback| readback.replica.stage == number) {
            violations.extend(model.check(&readback.state));
        }
    }
    violations.sort();
    violations.dedup();
    violations
}
