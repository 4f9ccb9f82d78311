//! A run: the stage is set, clients write while things are done to the world, and what
//! comes of it is read from every replica.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use causeway_protocol::Name;
use causeway_transport::wan::Wan;
use futures::future::join_all;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::cast::{self, Cast, Events};
use super::deeds::Stagehand;
use super::item::State;
use super::judge::Outage;
use super::play::Play;
use super::replicas::{Reader, Settled};
use super::scenario::{self, CALM, CALM_PHASE, MAIN_PHASE, Plan, Scenario};
use super::view::Shared;
use super::workload::{Person, Workload};
use super::write::{RegionNumber, Write};
use super::{account, expectations, measure};
use crate::chaos::host::{Ran, Stage};
use crate::chaos::progress::Progress;
use crate::chaos::terms::Terms;
use crate::chaos::{faults, limits, readback, stage};
use crate::operator::Operator;
use crate::output::say;
use crate::world::World;

/// Replicas are equal by then where nothing is wrong.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(30);
/// And so long after the last fault.
const CONVERGE_TIMEOUT: Duration = Duration::from_secs(60);
/// An empty disk fills so soon, once it is given replicas.
const REPLACED_TIMEOUT: Duration = Duration::from_secs(120);
/// Clients know what replicas do so soon.
const VIEWS_TIMEOUT: Duration = Duration::from_secs(10);
/// Between looks at what clients know.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Between looks at whose clock is refused.
const CLOCKS_EVERY: Duration = Duration::from_millis(500);
/// A cut has reached every process by then, and what was on its way has arrived.
const CUT_WITHIN: Duration = Duration::from_secs(1);

/// A run.
pub struct Run {
    /// What happens.
    pub scenario: Scenario,
    /// What it comes from; `duration` is how long the main phase is.
    pub terms: Terms,
    /// Whether the output is for programs.
    pub json: bool,
    /// A core that stays away is replaced after this.
    pub replace_after: Duration,
}

/// What a run leaves to be accounted for.
pub struct Played<'a> {
    /// Who took part.
    pub cast: &'a Cast,
    /// What was done.
    pub plan: &'a Plan,
    /// When it began.
    pub began: Instant,
    /// What was shown at first.
    pub start: State,
    /// What was written.
    pub writes: Vec<Write>,
    /// How long a sync takes.
    pub sync: Duration,
    /// When the last fault was over.
    pub healed: Instant,
    /// What replicas show.
    pub settled: Settled,
    /// The last thing that a client learnt; then all knew everything.
    pub last_learnt: Option<Learnt>,
    /// What clients know.
    pub views: Vec<Shared>,
    /// When regions did not answer.
    pub outages: Vec<Outage>,
    /// Nodes of which others refused metadata for their clock.
    pub refused: BTreeSet<u64>,
}

/// What a client learnt.
pub struct Learnt {
    /// When.
    pub at: Instant,
    /// What it was, and where the client is.
    pub what: String,
}

/// What comes of doing things to the world.
struct Disturbed {
    /// When the last fault was over.
    healed: Instant,
    /// What replicas show.
    settled: Settled,
    /// Nodes of which others refused metadata for their clock.
    refused: BTreeSet<u64>,
}

impl Run {
    /// Runs in a world.
    ///
    /// # Errors
    /// A fault that cannot be caused, or replicas that do not answer.
    pub async fn in_world(&self, stage: Stage, progress: &Progress) -> anyhow::Result<Ran> {
        let Stage {
            world,
            operator,
            guard,
        } = stage;
        let stop = CancellationToken::new();
        let wan = world.follow_wan(&stop)?;
        let wan = wan.context("this takes a world whose network is emulated")?;
        let plan = self.plan(&world, &wan)?;
        let cast = cast::set(&world, &operator, &wan, self.terms.clients, progress);
        let (cast, events) = cast.await?;
        let model = wan.model().as_ref().clone();
        readback::settle(&world, &operator, &[]).await.1?;
        let views = begin_views(&cast, events).await;

        let began = Instant::now();
        let mut hand = Stagehand::new(world, &operator, guard, began).await?;
        let played = self.play(&mut hand, &operator, &cast, &plan, views, progress);
        let played = played.await?;
        stop.cancel();
        let now = hand.ids_now().await;
        let expectations = expectations::of(self.scenario, &played, (hand.ids(), &now));
        progress.set_message("checking");
        let mut report = account::account(self, &played, &model, expectations);
        if self.terms.strict {
            let judged = limits::of_metadata(&report);
            report.expectations.extend(judged);
        }
        progress.finish_and_clear();
        match self.json {
            true => say(&serde_json::to_string(&report)?),
            false => say(&report.render(&hand.done)),
        }
        Ok(Ran {
            clean: report.is_clean(),
            gone: Vec::new(),
        })
    }

    fn plan(&self, world: &World, wan: &Wan) -> anyhow::Result<Plan> {
        let layout = faults::layout(world);
        let model = wan.model();
        let pops = layout.pops.iter().map(|(pop, _)| {
            let region = cast::nearest(&model, &world.regions, pop);
            (pop.clone(), region)
        });
        let near: Vec<(Name, RegionNumber)> = pops.collect();
        let length = Duration::from_secs(self.terms.duration);
        let plan = scenario::plan(self.scenario, self.terms.seed, &layout, &near, length);
        ensure!(
            layout.takes_faults || !plan.injects(),
            "this takes a world whose core nodes have a [faults] file: see `dev --faults`"
        );
        Ok(plan)
    }

    async fn play<'a>(
        &self,
        hand: &mut Stagehand,
        operator: &Operator,
        cast: &'a Cast,
        plan: &'a Plan,
        views: Vec<Shared>,
        progress: &Progress,
    ) -> anyhow::Result<Played<'a>> {
        let began = hand.began();
        let persons = cast.parts.iter().map(|part| Person {
            user: part.user,
            stage: part.stage,
        });
        let persons = persons.collect();
        let workload = Workload::new(self.terms.seed, stage::run_id(), &cast.stages, persons);
        let mut play = Play::new(cast, workload, self.terms.rate, began);
        progress.set_length((CALM + plan.length).as_secs());
        progress.reset();

        let start = reader(hand, operator, cast).settle(SETTLE_TIMEOUT).await?;
        let start = equal_state(start)?;
        progress.set_message("calm");
        play.phase(CALM_PHASE, CALM, Vec::new(), hand, progress)
            .await?;
        let folder = hand.world().data_dir.clone();
        let sync = spawn_blocking(move || measure::sync_time(&folder)).await??;
        let calm = reader(hand, operator, cast).settle(SETTLE_TIMEOUT).await?;
        let disturbed = match calm.equal_at {
            Some(_) => {
                let disturbing = self.disturb(&mut play, hand, operator, plan, progress);
                disturbing.await?
            }
            // That they differ although nothing was done to them is what there is to tell.
            None => Disturbed {
                healed: Instant::now(),
                settled: calm,
                refused: BTreeSet::new(),
            },
        };
        progress.set_message("waiting for clients to know everything");
        let last_learnt = wait_for_views(cast, &disturbed.settled, &views).await;
        hand.give_up_returning();
        Ok(Played {
            cast,
            plan,
            began,
            start,
            writes: play.writes,
            sync,
            healed: disturbed.healed,
            settled: disturbed.settled,
            last_learnt,
            views,
            outages: hand.outages.clone(),
            refused: disturbed.refused,
        })
    }

    /// Does what the plan says while clients write, and waits until replicas are equal.
    async fn disturb(
        &self,
        play: &mut Play<'_>,
        hand: &mut Stagehand,
        operator: &Operator,
        plan: &Plan,
        progress: &Progress,
    ) -> anyhow::Result<Disturbed> {
        let cast = play.cast();
        for (n, part) in plan.parts.iter().enumerate() {
            progress.set_message(self.scenario.name());
            for deed in &part.first {
                hand.act_now(deed.clone(), cast).await?;
            }
            if !part.connected {
                tokio::time::sleep(CUT_WITHIN).await;
            }
            let deeds = part.deeds.clone();
            play.phase(MAIN_PHASE + n, part.length, deeds, hand, progress)
                .await?;
        }
        for deed in &plan.last {
            hand.act_now(deed.clone(), cast).await?;
        }
        let healed = Instant::now();
        progress.set_message("waiting for replicas to be equal");
        let stop = CancellationToken::new();
        let refused = tokio::spawn(watch_clocks(operator.clone(), stop.clone()));
        let reader = reader(hand, operator, cast);
        let settled = reader.settle(self.converge_timeout()).await?;
        stop.cancel();
        Ok(Disturbed {
            healed,
            settled,
            refused: refused.await?,
        })
    }

    fn converge_timeout(&self) -> Duration {
        match self.scenario {
            Scenario::Wipe => self.replace_after + REPLACED_TIMEOUT,
            _ => CONVERGE_TIMEOUT,
        }
    }
}

async fn begin_views(cast: &Cast, events: Vec<Events>) -> Vec<Shared> {
    let stages: Vec<_> = cast.stages.iter().cloned().map(Arc::new).collect();
    let views = cast.parts.iter().zip(events).map(|(part, events)| {
        let stage = Arc::clone(&stages[part.stage]);
        Shared::begin(stage, part.user, part.client.clone(), events)
    });
    join_all(views).await
}

fn reader<'a>(hand: &'a Stagehand, operator: &'a Operator, cast: &'a Cast) -> Reader<'a> {
    Reader {
        world: hand.world(),
        operator,
        cast,
    }
}

/// What all replicas show.
fn equal_state(settled: Settled) -> anyhow::Result<State> {
    let different = settled
        .different
        .iter()
        .map(|text| account::shortened(text));
    ensure!(
        settled.equal_at.is_some(),
        "replicas are not equal, although nothing was done yet: {:?}",
        different.collect::<Vec<_>>()
    );
    let states = settled.readbacks.into_iter().map(|readback| readback.state);
    Ok(states.flatten().collect())
}

/// Returns what the last client learnt until every client knew all that it is told of.
/// They are asked once it is known what that is, which may be later.
async fn wait_for_views(cast: &Cast, settled: &Settled, views: &[Shared]) -> Option<Learnt> {
    let deadline = Instant::now() + VIEWS_TIMEOUT;
    loop {
        if account::view_differences(cast, settled, views).is_empty() {
            let changes = cast.parts.iter().zip(views).map(|(part, view)| {
                let change = view.look(|view| view.change().clone());
                (change, &part.place)
            });
            let (last, place) = changes.max_by_key(|(change, _)| change.at)?;
            return Some(Learnt {
                at: last.at,
                what: account::shortened(&format!("a client at {place} {}", last.what)),
            });
        }
        if Instant::now() > deadline {
            return None;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Nodes whose metadata is refused, as their clock is ahead, until `stop`.
async fn watch_clocks(operator: Operator, stop: CancellationToken) -> BTreeSet<u64> {
    let mut refused = BTreeSet::new();
    let mut looks = tokio::time::interval(CLOCKS_EVERY);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while stop.run_until_cancelled(looks.tick()).await.is_some() {
        let statuses = operator.statuses().await;
        let refusals = statuses.iter().flat_map(|status| &status.clock_refusals);
        refused.extend(refusals.map(|refusal| refusal.node_id));
    }
    refused
}
