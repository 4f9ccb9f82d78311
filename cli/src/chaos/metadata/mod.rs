//! The suite for metadata: it is written in every region while regions are cut off from
//! one another, and must come out the same everywhere, by the rule of each kind.
//!
//! Clients write, and note when; what each replica and each client shows at the end is
//! held against [`model`], which knows the rules and nothing of the product.

mod account;
mod cast;
mod deeds;
mod expectations;
mod item;
mod judge;
mod measure;
mod model;
mod play;
mod questions;
mod replicas;
mod report;
mod run;
mod scenario;
mod view;
mod workload;
mod write;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use causeway_transport::Transport;
use clap::{Args, Subcommand};

pub use self::report::MetadataReport;
use self::run::Run;
use self::scenario::Scenario;
use super::host::{Interrupt, host};
use super::own_world::OwnWorld;
use super::terms::{self, Terms};
use crate::chaos::progress::Progress;
use crate::output::note;
use crate::world::World;

/// In the world of this run, a core that stays away is replaced so soon; in another,
/// after five minutes, unless it is configured.
const REPLACE_AFTER: Duration = Duration::from_secs(10);
const USUAL_REPLACE_AFTER: Duration = Duration::from_secs(300);

/// Runs the suite for metadata
#[derive(Debug, Subcommand)]
pub enum MetadataSuite {
    /// Suite, metadata: nothing happens; how soon a reaction is seen
    #[command(name = "metadata-none")]
    None(MetadataArgs),
    /// Suite, metadata: every region is alone with its PoPs, and all write
    #[command(name = "metadata-split")]
    Split(MetadataArgs),
    /// Suite, metadata: the same, and each core is killed once, and started again
    #[command(name = "metadata-kill")]
    Kill(MetadataArgs),
    /// Suite, metadata: the same, and one core comes back with an empty disk
    #[command(name = "metadata-wipe")]
    Wipe(MetadataArgs),
    /// Suite, metadata: a core dies, is declared gone, comes back, and counts again
    #[command(name = "metadata-forget")]
    Forget(MetadataArgs),
    /// Suite, metadata: the clock of one core is an hour ahead while regions are alone
    #[command(name = "metadata-clock")]
    Clock(MetadataArgs),
}

/// Flags of a run.
#[derive(Debug, Clone, Args)]
pub struct MetadataArgs {
    /// The world's file [default: a world of its own, for this run]
    #[arg(long, value_name = "FILE")]
    world: Option<PathBuf>,
    /// What the workload and the faults come from [default: at random]
    #[arg(long)]
    seed: Option<u64>,
    /// Seconds for which regions are alone [default: 60 for metadata-split, 30 for others]
    #[arg(long, value_name = "SECONDS",
        value_parser = clap::value_parser!(u64).range(terms::SECONDS))]
    duration: Option<u64>,
    /// Clients, spread over all PoPs and all homes
    #[arg(long, default_value_t = 24, value_parser = terms::clients)]
    clients: usize,
    /// Writes a second, of all clients together
    #[arg(long, default_value_t = 100.0, value_parser = terms::rate)]
    rate: f64,
    /// Fail, too, when it takes longer than it may on a machine that is idle otherwise
    #[arg(long)]
    strict: bool,
    /// Print one JSON object instead of the page for people
    #[arg(long)]
    json: bool,
}

impl MetadataSuite {
    fn split(self) -> (Scenario, MetadataArgs) {
        match self {
            Self::None(args) => (Scenario::None, args),
            Self::Split(args) => (Scenario::Split, args),
            Self::Kill(args) => (Scenario::Kill, args),
            Self::Wipe(args) => (Scenario::Wipe, args),
            Self::Forget(args) => (Scenario::Forget, args),
            Self::Clock(args) => (Scenario::Clock, args),
        }
    }
}

/// Runs a scenario. Fails if the promise is broken.
///
/// # Errors
/// A world that does not start, or cannot be reached; a fault that cannot be caused;
/// replicas that do not answer.
pub async fn run(suite: MetadataSuite) -> anyhow::Result<ExitCode> {
    let (scenario, args) = suite.split();
    let terms = args.terms(scenario);
    terms.check()?;
    note(&terms.command());
    let progress = Progress::new(args.json);
    let interrupt = Interrupt::listen()?;
    let own = match &args.world {
        Some(_) => None,
        None => Some(own_world(scenario, &progress).await?),
    };
    let run = Run {
        scenario,
        terms: terms.clone(),
        json: args.json,
        replace_after: match own {
            Some(_) => REPLACE_AFTER,
            None => USUAL_REPLACE_AFTER,
        },
    };
    let in_world = |stage| run.in_world(stage, &progress);
    host(own, &terms, interrupt, &progress, in_world).await
}

impl MetadataArgs {
    fn terms(&self, scenario: Scenario) -> Terms {
        Terms {
            scenario: scenario.name(),
            seed: self.seed.unwrap_or_else(|| rand::random_range(0..100_000)),
            duration: self.duration.unwrap_or(scenario.default_seconds()),
            clients: self.clients,
            rate: self.rate,
            world: self.world.clone(),
            plant: None,
            strict: self.strict,
            transport: Transport::Native,
        }
    }
}

/// A node with an empty disk takes the replicas of the one before it once that has been
/// away for a while, which is not what this is about.
async fn own_world(scenario: Scenario, progress: &Progress) -> anyhow::Result<OwnWorld> {
    let own = OwnWorld::start(progress).await?;
    match scenario {
        Scenario::Wipe => own.start_with(replace_soon).await,
        _ => Ok(own),
    }
}

fn replace_soon(world: &World) -> anyhow::Result<()> {
    let after_ms = i64::try_from(REPLACE_AFTER.as_millis())?;
    for core in world.cores() {
        let mut config: toml::Table = std::fs::read_to_string(&core.config)?.parse()?;
        let mut placement = toml::Table::new();
        placement.insert("replace_after_ms".into(), after_ms.into());
        config.insert("placement".into(), placement.into());
        std::fs::write(&core.config, config.to_string())?;
    }
    Ok(())
}
