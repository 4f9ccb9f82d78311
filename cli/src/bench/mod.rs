//! `causeway bench`: what a core can do on this machine, and what an edge node can.

mod aside;
mod boot;
mod churn;
mod cpu;
mod element;
mod fanout;
mod greeting;
mod idle;
mod loss;
mod machine;
mod metadata;
mod nats;
mod node;
mod office;
mod progress;
mod resume;
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
    /// Sessions that are cut, and come back at another PoP
    Resume(resume::ResumeArgs),
    /// A NATS server with TLS on one core, to compare with: deliveries and their latency
    Nats(nats::NatsArgs),
    /// A link that loses packets: how long messages take to a client behind it (as root)
    Loss(loss::LossArgs),
    #[command(hide = true)]
    LossSide(loss::LossSideArgs),
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
        Bench::Resume(args) => resume::run(args).await,
        Bench::Nats(args) => nats::run(args).await,
        Bench::Loss(args) => loss::run(args).await,
        Bench::LossSide(args) => loss::run_side(args).await,
        Bench::Boot(args) => boot::run(args).await,
    }
}
