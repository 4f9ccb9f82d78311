//! `causeway chaos SCENARIO`: a world, a workload, a fault, and an account.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::ensure;
use causeway_transport::Transport;
use clap::{Args, Subcommand, ValueEnum};
use tokio_util::sync::CancellationToken;

use super::account::account;
use super::cast::Cast;
use super::host::{Interrupt, Ran, Stage, host};
use super::own_world::OwnWorld;
use super::plant::Plant;
use super::play::{self, Play, Played};
use super::progress::Progress;
use super::report_html::{Page, Run};
use super::scenario::{self, Act, Plan, Scenario};
use super::stage::{self, Part};
use super::terms::{self, Terms};
use super::watch::Watch;
use super::witness;
use super::workload::Workload;
use super::{expectations, faults, joins, limits, readback};
use crate::actors::Manner;
use crate::operator::Operator;
use crate::output::{note, say};
use crate::world::World;

/// Runs the suite: a workload, a fault, and an account of every message
#[derive(Debug, Subcommand)]
pub enum Suite {
    /// Suite: the workload alone
    None(RunArgs),
    /// Suite: one core node is killed, and started again
    KillNode(RunArgs),
    /// Suite: one core node hangs (SIGSTOP), and goes on later
    FreezeNode(RunArgs),
    /// Suite: all core nodes of a region are killed, and started again
    KillRegion(RunArgs),
    /// Suite: all core nodes of a region are killed, and stay dead
    KillRegionForever(RunArgs),
    /// Suite: a region is cut off from everybody
    PartitionRegion(RunArgs),
    /// Suite: a region hears nobody, or is heard by nobody
    PartitionOneWay(RunArgs),
    /// Suite: regions cannot talk to one another, PoPs can to all
    PartitionSplit(RunArgs),
    /// Suite: a region is cut off and healed, again and again
    Flap(RunArgs),
    /// Suite: the edge nodes of a PoP are killed, and started again
    KillPop(RunArgs),
    /// Suite: a region is drained, and opened again
    DrainRegion(RunArgs),
    /// Suite: a PoP is drained, and opened again
    DrainPop(RunArgs),
    /// Suite: every node is stopped and started, one after another
    RollingRestart(RunArgs),
    /// Suite: the syncs of one core node take seconds
    DiskStall(RunArgs),
    /// Suite: the disk of one core node is full
    DiskFull(RunArgs),
    /// Suite: the clock of one core node jumps by an hour
    ClockJump(RunArgs),
    /// Suite: all clients of a PoP return at once, again and again
    Storm(RunArgs),
    /// Suite: all core nodes die at once while their disks hang, and are started again
    PowerFailure(RunArgs),
    /// Suite: faults of all kinds, as the seed has them
    Mixed(RunArgs),
}

/// Flags of a run.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// The world's file [default: a world of its own, for this run]
    #[arg(long, value_name = "FILE")]
    world: Option<PathBuf>,
    /// What the workload and the faults come from [default: at random]
    #[arg(long)]
    seed: Option<u64>,
    /// Seconds from the first fault to the end of the workload
    #[arg(long, value_name = "SECONDS", default_value_t = 24,
        value_parser = clap::value_parser!(u64).range(terms::SECONDS))]
    duration: u64,
    /// Clients, spread over all PoPs and all homes
    #[arg(long, default_value_t = 48, value_parser = terms::clients)]
    clients: usize,
    /// Operations a second, of all clients together
    #[arg(long, default_value_t = 100.0, value_parser = terms::rate)]
    rate: f64,
    /// What connections are made of: native or webtransport
    #[arg(long, default_value_t = Transport::Native, value_parser = terms::transport)]
    transport: Transport,
    /// Fail, too, when clients wait longer than they may on a machine that is idle otherwise
    #[arg(long)]
    strict: bool,
    /// Print one JSON object instead of the page for people
    #[arg(long)]
    json: bool,
    /// Write the run as a page, too; if the name ends in .svg, its timeline alone
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Plant a bug first: the run must fail, or the suite is blind to it
    #[arg(long, value_name = "BUG")]
    plant: Option<Plant>,
}

impl Suite {
    fn split(self) -> (Scenario, RunArgs) {
        match self {
            Self::None(args) => (Scenario::None, args),
            Self::KillNode(args) => (Scenario::KillNode, args),
            Self::FreezeNode(args) => (Scenario::FreezeNode, args),
            Self::KillRegion(args) => (Scenario::KillRegion, args),
            Self::KillRegionForever(args) => (Scenario::KillRegionForever, args),
            Self::PartitionRegion(args) => (Scenario::PartitionRegion, args),
            Self::PartitionOneWay(args) => (Scenario::PartitionOneWay, args),
            Self::PartitionSplit(args) => (Scenario::PartitionSplit, args),
            Self::Flap(args) => (Scenario::Flap, args),
            Self::KillPop(args) => (Scenario::KillPop, args),
            Self::DrainRegion(args) => (Scenario::DrainRegion, args),
            Self::DrainPop(args) => (Scenario::DrainPop, args),
            Self::RollingRestart(args) => (Scenario::RollingRestart, args),
            Self::DiskStall(args) => (Scenario::DiskStall, args),
            Self::DiskFull(args) => (Scenario::DiskFull, args),
            Self::ClockJump(args) => (Scenario::ClockJump, args),
            Self::Storm(args) => (Scenario::Storm, args),
            Self::PowerFailure(args) => (Scenario::PowerFailure, args),
            Self::Mixed(args) => (Scenario::Mixed, args),
        }
    }
}

/// Runs a scenario. Fails if the promise is broken.
///
/// # Errors
/// A world that does not start, or cannot be reached; a fault that cannot be
/// caused.
pub async fn run(suite: Suite) -> anyhow::Result<ExitCode> {
    let (scenario, args) = suite.split();
    let terms = args.terms(scenario);
    terms.check()?;
    let page = args.report.as_deref().map(Page::open).transpose()?;
    note(&terms.command());
    let progress = Progress::new(args.json);
    let interrupt = Interrupt::listen()?;
    let own = match &args.world {
        Some(_) => None,
        None => Some(OwnWorld::start(&progress).await?),
    };
    let show = Show {
        json: args.json,
        page,
    };
    host(own, &terms, interrupt, &progress, |stage| {
        run_in(stage, scenario, &terms, args.plant, show, &progress)
    })
    .await
}

impl RunArgs {
    fn terms(&self, scenario: Scenario) -> Terms {
        let plant = self.plant.and_then(|plant| plant.to_possible_value());
        Terms {
            scenario: scenario.name(),
            seed: self.seed.unwrap_or_else(|| rand::random_range(0..100_000)),
            duration: self.duration,
            clients: self.clients,
            rate: self.rate,
            world: self.world.clone(),
            plant: plant.map(|plant| plant.get_name().to_owned()),
            strict: self.strict,
            transport: self.transport,
        }
    }
}

/// How the result is shown.
struct Show {
    json: bool,
    page: Option<Page>,
}

async fn run_in(
    stage: Stage,
    scenario: Scenario,
    terms: &Terms,
    plant: Option<Plant>,
    show: Show,
    progress: &Progress,
) -> anyhow::Result<Ran> {
    let Stage {
        world,
        operator,
        guard,
    } = stage;
    let stop = CancellationToken::new();
    let wan = world.follow_wan(&stop)?;
    let plan = plan(&world, scenario, terms, plant)?;
    for (_, act) in &plan.acts {
        if let Act::Drain(what, name) = act {
            guard.refuse_drained(&faults::drain_asked(*what, name))?;
        }
    }
    if let Some(plant) = plant.and_then(Plant::in_cores) {
        faults::plant(&world, Some(plant))?;
    }
    let manner = Manner {
        transport: terms.transport,
        out_of_order: plant == Some(Plant::DeliverUnordered),
    };
    let clients = (terms.clients, manner);
    let parts = stage::set(&world, &operator, wan.as_ref(), clients, progress).await?;
    let cast = Cast::of(&parts);
    progress.set_message(scenario.name());
    let watch = Watch::begin(&cast, &plan, &world, &operator).await?;
    let play = Play {
        guard: &guard,
        workload: workload(terms, &parts),
        plan: &plan,
        rate: terms.rate,
        began: watch.began,
        world,
        parts,
    };
    let mut played = play::run(play, progress).await?;
    let (looks, mut expected) = watch.end(scenario, progress).await?;
    if scenario == Scenario::ClockJump {
        expected.push(witness::times_are_right(&played.history, played.began));
    }
    progress.set_message("reading every replica");
    read_back(&mut played, &operator, &cast, &plan).await;
    stop.cancel();
    progress.set_message("checking");
    let model = wan.as_ref().map(|wan| wan.model().as_ref().clone());
    let mut report = account(terms, &cast, &plan, &played, &looks, model.as_ref());
    report.expectations =
        expectations::of(scenario, &plan, &played, terms.rate, &report.milestones);
    report.expectations.extend(expected);
    if terms.strict {
        let judged = limits::of_pauses(scenario, report.pause_ms, report.other_pause_ms);
        report.expectations.extend(judged);
    }
    progress.finish_and_clear();
    match show.json {
        true => say(&serde_json::to_string(&report)?),
        false => say(&report.render(&played.history, &played.acts)),
    }
    if let Some(page) = show.page {
        let run = Run {
            report: &report,
            history: &played.history,
            acts: &played.acts,
            struck: &|client| cast.is_struck(&plan, client),
        };
        page.write(&run)?;
    }
    Ok(Ran {
        clean: report.is_clean(),
        gone: plan.gone,
    })
}

fn plan(
    world: &World,
    scenario: Scenario,
    terms: &Terms,
    plant: Option<Plant>,
) -> anyhow::Result<Plan> {
    let layout = faults::layout(world);
    let length = Duration::from_secs(terms.duration);
    let plan = scenario::plan(scenario, terms.seed, &layout, length);
    let injects = plan.injects() || plant.and_then(Plant::in_cores).is_some();
    ensure!(
        layout.takes_faults || !injects,
        "this takes a world whose core nodes have a [faults] file: see `dev --faults`"
    );
    Ok(plan)
}

fn workload(terms: &Terms, parts: &[Part]) -> Workload {
    let persons = parts.iter().map(|p| (p.channels.clone(), p.open.clone()));
    Workload::new(terms.seed, stage::run_id(), persons)
}

async fn read_back(played: &mut Played, operator: &Operator, cast: &Cast, plan: &Plan) {
    let joined: Vec<_> = joins::acknowledged(&played.history)
        .map(|(client, channel)| (channel, cast.users[client]))
        .collect();
    let world = &played.world;
    let read = readback::read(world, operator, &cast.readers, &joined, &plan.gone).await;
    played.history.replicas = read.logs;
    played.rosters = read.rosters;
    played.broken.extend(read.broken);
}
