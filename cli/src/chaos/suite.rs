//! `causeway chaos SCENARIO`: a world, a workload, a fault, and an account.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use causeway_protocol::{ChannelId, Name, UserId};
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio_util::sync::CancellationToken;

use super::plant::Plant;
use super::play::{self, Played};
use super::report::{self, ChaosReport};
use super::report_html::Run;
use super::scenario::{self, Plan, Scenario};
use super::stage::{self, Part};
use super::witness::{self, Expectation, Witness};
use super::workload::Workload;
use super::{checker, faults, milestones, readback};
use crate::ledger::{Floor, Scene};
use crate::operator::Operator;
use crate::output::say;
use crate::world::World;
use crate::world::dev::{DevArgs, start_world};
use crate::world::processes::{Processes, stop_strays};

/// A world that runs answers by then.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs the suite: a workload, a fault, and an account of every message
#[derive(Debug, Subcommand)]
pub enum Suite {
    /// Suite: the workload alone
    None(RunArgs),
    /// Suite: one core node is killed, and started again
    KillNode(RunArgs),
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
    #[arg(long, value_name = "SECONDS", default_value_t = 24)]
    duration: u64,
    /// Clients, spread over all PoPs and all homes
    #[arg(long, default_value_t = 48)]
    clients: usize,
    /// Operations a second, of all clients together
    #[arg(long, default_value_t = 100.0)]
    rate: f64,
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
/// caused; replicas that do not catch up.
pub async fn run(suite: Suite) -> anyhow::Result<ExitCode> {
    let (scenario, args) = suite.split();
    ensure!(args.clients >= 1, "--clients is 1 or more");
    ensure!(args.rate > 0.0, "--rate is more than 0");
    if let Some(file) = &args.report {
        let folder = file.parent().filter(|folder| *folder != Path::new(""));
        let is_there = folder.is_none_or(Path::is_dir);
        ensure!(
            is_there,
            "--report: the folder of {} is not there",
            file.display()
        );
    }
    let progress = progress_bar(args.json)?;
    let own = match &args.world {
        Some(_) => None,
        None => Some(OwnWorld::start(&progress).await?),
    };
    let file = own.as_ref().map(OwnWorld::file);
    let world = World::load(file.as_deref().or(args.world.as_deref()))?;
    let result = run_in(world, scenario, &args, &progress).await;
    progress.finish_and_clear();
    if let Some(own) = own {
        own.stop().await;
    }
    result
}

async fn run_in(
    world: World,
    scenario: Scenario,
    args: &RunArgs,
    progress: &ProgressBar,
) -> anyhow::Result<ExitCode> {
    let seed = args.seed.unwrap_or_else(|| rand::random_range(0..100_000));
    let operator = Operator::connect(&world, CONNECT_TIMEOUT).await?;
    let wan = world.wan()?;
    let stop = CancellationToken::new();
    if let (Some(wan), Some(file)) = (&wan, &world.wan) {
        tokio::spawn(wan.clone().watch(file.clone(), stop.clone()));
    }
    let layout = faults::layout(&world);
    let plan = scenario::plan(scenario, seed, &layout, Duration::from_secs(args.duration));
    let plant = args.plant.and_then(Plant::in_cores);
    ensure!(
        layout.takes_faults || !(plan.injects() || plant.is_some()),
        "this takes a world whose core nodes have a [faults] file: see `dev --faults`"
    );
    if plant.is_some() {
        faults::plant(&world, plant)?;
    }
    let out_of_order = args.plant == Some(Plant::DeliverUnordered);
    let clients = (args.clients, out_of_order);
    let parts = stage::set(&world, &operator, wan.as_ref(), clients, progress).await?;
    let cast = Cast::of(&parts);
    let persons = parts.iter().map(|p| (p.channels.clone(), p.open.clone()));
    let workload = Workload::new(seed, stage::run_id(), persons);
    progress.set_message(scenario.name());

    let began = Instant::now();
    let looking = CancellationToken::new();
    let region = plan.region.clone();
    let looks = region.map(|region| {
        let watch = milestones::watch(operator.clone(), region, began, looking.clone());
        tokio::spawn(watch)
    });
    let witness = cast.witness(&plan, &world, &operator).await?;
    let watching = witness.map(Arc::new).map(|witness| {
        let (operator, stop) = (operator.clone(), looking.clone());
        tokio::spawn(async move {
            let sights = witness.watch(&operator, began, stop).await;
            (witness, sights)
        })
    });
    let played = play::run(world, parts, workload, &plan, args.rate, began, progress).await?;
    looking.cancel();
    let looks = match looks {
        Some(looks) => looks.await?,
        None => Vec::new(),
    };
    let mut expectations = Vec::new();
    if let Some(watching) = watching {
        progress.set_message("waiting for leadership to come home");
        let (witness, sights) = watching.await?;
        expectations = witness::expectations(scenario, &witness, &sights, &looks);
        expectations.push(Expectation {
            what: format!("{} leads again", witness.faulty.node),
            met: witness.sees_it_lead(&operator).await,
        });
    }
    if scenario == Scenario::ClockJump {
        expectations.push(witness::times_are_right(&played.history, began));
    }
    progress.set_message("reading every replica");
    let mut played = played;
    played.history.replicas =
        readback::read(&played.world, &operator, &cast.readers, &plan.gone).await?;
    stop.cancel();
    if plant.is_some() {
        faults::plant(&played.world, None)?;
    }
    progress.set_message("checking");
    let model = wan.as_ref().map(|wan| wan.model().as_ref().clone());
    let mut report = account(
        scenario,
        seed,
        &cast,
        &plan,
        &played,
        &looks,
        model.as_ref(),
    );
    report.expectations = expectations;
    progress.finish_and_clear();
    match args.json {
        true => say(&serde_json::to_string(&report)?),
        false => say(&report.render(&played.history, &played.acts)),
    }
    if let Some(file) = &args.report {
        let run = Run {
            report: &report,
            history: &played.history,
            acts: &played.acts,
            struck: &|client| cast.is_struck(&plan, client),
        };
        // What was found has been printed by now.
        let saved = run.save(file);
        saved.with_context(|| format!("the report was not written to {}", file.display()))?;
    }
    Ok(match report.is_clean() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn account(
    scenario: Scenario,
    seed: u64,
    cast: &Cast,
    plan: &Plan,
    played: &Played,
    looks: &[milestones::Look],
    model: Option<&causeway_transport::wan::WanModel>,
) -> ChaosReport {
    let history = &played.history;
    let strike = plan.strike.unwrap_or(plan.length);
    let verdict = checker::check(history);
    let struck = |client: usize| cast.is_struck(plan, client);
    let in_region = |channel: &ChannelId| cast.home_of.get(channel) == plan.region.as_ref();
    let struck_channels: HashSet<ChannelId> =
        cast.home_of.keys().copied().filter(in_region).collect();
    let operations = &history.operations;
    let pauses = (
        milestones::pauses(operations, strike, struck),
        milestones::pauses(operations, strike, |client| !struck(client)),
    );
    let milestones = milestones::milestones(looks, strike, &struck_channels, operations);
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
    let run = (scenario.name(), seed, cast.places.len());
    ChaosReport::new(run, ledger, &verdict, milestones, pauses)
}

/// What is known of the clients once they play.
struct Cast {
    places: Vec<Name>,
    homes: Vec<Name>,
    regions: Vec<Name>,
    home_of: std::collections::HashMap<ChannelId, Name>,
    /// A member of each channel, who reads its log at the end.
    readers: BTreeMap<ChannelId, UserId>,
}

impl Cast {
    fn of(parts: &[Part]) -> Self {
        let homes: Vec<Name> = parts.iter().map(|part| part.home.clone()).collect();
        let regions: HashSet<Name> = homes.iter().cloned().collect();
        let all = |part: &Part| [part.channels.clone(), part.open.clone()].concat();
        let readers = parts.iter().flat_map(|part| {
            let user = part.user;
            all(part).into_iter().map(move |channel| (channel, user))
        });
        Self {
            places: parts.iter().map(|part| part.place.clone()).collect(),
            homes,
            regions: regions.into_iter().collect(),
            home_of: report::homes(parts.iter().map(|part| (part.home.clone(), all(part)))),
            readers: readers.collect(),
        }
    }

    /// Whether the fault is at a client's home or PoP.
    fn is_struck(&self, plan: &Plan, client: usize) -> bool {
        plan.region.as_ref() == Some(&self.homes[client])
            || plan.pop.as_ref() == Some(&self.places[client])
    }

    /// Who watches the node at fault, if one is.
    async fn witness(
        &self,
        plan: &Plan,
        world: &World,
        operator: &Operator,
    ) -> anyhow::Result<Option<Witness>> {
        let Some(faulty) = plan.faulty.clone() else {
            return Ok(None);
        };
        let mut channels = self.readers.iter();
        let at_home = |channel: &ChannelId| self.home_of.get(channel) == Some(&faulty.region);
        let channel = channels.find(|(channel, _)| at_home(channel));
        let (channel, reader) = channel.context("no channel is at home where the fault is")?;
        let directory = operator.directory().await?;
        let (cell, _) = readback::home(&directory, *channel).context("a channel without a cell")?;
        let address = world.node(faulty.node.as_str())?.backbone;
        let status = operator.status_at(address).await?;
        Ok(Some(Witness {
            node_id: status.self_.context("a node without a self")?.node_id,
            address,
            faulty,
            cell,
            channel: (*channel, *reader),
        }))
    }
}

/// A world for one run.
pub(super) struct OwnWorld {
    world: World,
    processes: Processes,
    _folder: tempfile::TempDir,
}

impl OwnWorld {
    /// Starts one.
    ///
    /// # Errors
    /// What kept it from starting.
    pub(super) async fn start(progress: &ProgressBar) -> anyhow::Result<Self> {
        progress.set_message("starting a world");
        let folder = tempfile::Builder::new()
            .prefix("causeway-chaos-")
            .tempdir()?;
        let path = folder.path().join("world");
        let (world, processes) = start_world(&path, &DevArgs::for_chaos()).await?;
        Ok(Self {
            world,
            processes,
            _folder: folder,
        })
    }

    /// Starts it again, with its files changed meanwhile.
    ///
    /// # Errors
    /// What kept it from starting.
    pub(super) async fn start_with(
        self,
        change: impl FnOnce(&World) -> anyhow::Result<()>,
    ) -> anyhow::Result<Self> {
        self.processes.stop().await;
        change(&self.world)?;
        let (world, processes) = start_world(&self.world.data_dir, &DevArgs::for_chaos()).await?;
        Ok(Self {
            world,
            processes,
            _folder: self._folder,
        })
    }

    /// Where it is described.
    pub(super) fn file(&self) -> PathBuf {
        self.world.file()
    }

    /// Stops it.
    pub(super) async fn stop(self) {
        // Nodes that were killed and started again are in the file alone.
        if let Ok(world) = World::load(Some(&self.world.file())) {
            stop_strays(&world.nodes);
        }
        self.processes.stop().await;
    }
}

/// A bar on the terminal, unless the output is for programs.
pub(super) fn progress_bar(json: bool) -> anyhow::Result<ProgressBar> {
    let style = "{elapsed_precise} {bar:30} {pos}/{len} {wide_msg}";
    let progress = ProgressBar::new(0).with_style(ProgressStyle::with_template(style)?);
    if json {
        progress.set_draw_target(ProgressDrawTarget::hidden());
    }
    progress.enable_steady_tick(Duration::from_millis(200));
    Ok(progress)
}
