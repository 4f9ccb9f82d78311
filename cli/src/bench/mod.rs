//! `causeway bench`: what a core can do on this machine, and what an edge node can.

mod boot;
mod churn;
mod cpu;
mod element;
mod fanout;
mod greeting;
mod idle;
mod machine;
mod metadata;
mod node;
mod office;
mod progress;
mod swarm;
mod world;

use clap::{Args, Subcommand};

/// Flags of `causeway bench`.
#[derive(Debug, Args)]
pub struct BenchArgs {
    #[command(subcommand)]
    what: Bench,
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// Metadata: operations a second, bytes between regions, and what churn leaves behind
    Metadata(metadata::MetadataArgs),
    /// Fan-out: what one core of an edge node delivers
    Fanout(fanout::FanoutArgs),
    /// Connections at rest: what memory and time they cost an edge node
    Idle(idle::IdleArgs),
    /// Starting: what a client is sent first, and how soon; and two thousand at once
    Boot(boot::BootArgs),
}

/// Measures.
///
/// # Errors
/// A disk or a network that cannot be used.
pub async fn run(args: BenchArgs) -> anyhow::Result<()> {
    match args.what {
        Bench::Metadata(args) => metadata::run(args).await,
        Bench::Fanout(args) => fanout::run(args).await,
        Bench::Idle(args) => idle::run(args).await,
        Bench::Boot(args) => boot::run(args).await,
    }
}
