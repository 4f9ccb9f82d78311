//! `causeway chaos`: faults on purpose, and the suite that causes them under load
//! and accounts for every message afterwards.

mod account;
mod cast;
pub mod checker;
mod expectations;
mod faults;
mod guard;
pub mod history;
mod host;
mod joins;
mod limits;
mod metadata;
mod milestones;
mod own_world;
mod plant;
mod play;
mod progress;
mod readback;
mod report;
mod report_html;
mod scenario;
mod stage;
mod suite;
mod terms;
mod wan;
mod watch;
mod witness;
mod workload;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use self::metadata::MetadataSuite;
use self::suite::Suite;
use crate::output::say;
use crate::world::{World, processes};

const EXIT_CODES: &str = "Exit codes: 0 = all is well; 1 = the promise is broken; 2 = it could \
    not be run; 130 = interrupted (the world is left as it was before).";

/// The exit code of what could not be done, or not be run; as clap has it.
pub const NOT_RUN: u8 = 2;

/// Flags of `causeway chaos`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub struct ChaosArgs {
    #[command(subcommand)]
    what: Chaos,
}

#[derive(Debug, Subcommand)]
enum Chaos {
    /// Show or change the emulated network between places, while the world runs
    Wan(wan::WanArgs),
    /// Kill a node's process at once (SIGKILL)
    Kill(NodeArgs),
    /// Start a node again that was killed or stopped
    Start(NodeArgs),
    /// Freeze a node's process (SIGSTOP): it is there, and answers nobody
    Freeze(NodeArgs),
    /// Let a frozen node go on (SIGCONT)
    Thaw(NodeArgs),
    #[command(flatten)]
    Suite(Suite),
    #[command(flatten)]
    Metadata(MetadataSuite),
}

#[derive(Debug, Args)]
struct NodeArgs {
    /// The node's name
    node: String,
    /// The world's file [default: the world started last]
    #[arg(long, value_name = "FILE")]
    world: Option<PathBuf>,
}

/// Causes a fault, or runs the suite.
///
/// # Errors
/// Nodes and places that do not exist, values that cannot be, a world that
/// cannot be reached.
pub async fn run(args: ChaosArgs) -> anyhow::Result<ExitCode> {
    match args.what {
        Chaos::Wan(args) => wan::change_wan(&args)?,
        Chaos::Kill(args) => {
            let world = World::load(args.world.as_deref())?;
            processes::kill_node(world.node(&args.node)?)?;
            say(&format!("{} is dead", args.node));
        }
        Chaos::Start(args) => {
            let mut world = World::load(args.world.as_deref())?;
            let pid = processes::start_again(world.node_mut(&args.node)?)?;
            world.save()?;
            say(&format!("{} runs again, as process {pid}", args.node));
        }
        Chaos::Freeze(args) => {
            let world = World::load(args.world.as_deref())?;
            processes::freeze_node(world.node(&args.node)?)?;
            say(&format!("{} hangs", args.node));
        }
        Chaos::Thaw(args) => {
            let world = World::load(args.world.as_deref())?;
            processes::thaw_node(world.node(&args.node)?)?;
            say(&format!("{} goes on", args.node));
        }
        Chaos::Suite(suite) => return suite::run(suite).await,
        Chaos::Metadata(suite) => return metadata::run(suite).await,
    }
    Ok(ExitCode::SUCCESS)
}
