//! `causeway bench`: what a core can do on this machine, by itself.

mod churn;
mod cpu;
mod element;
mod machine;
mod metadata;
mod node;

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
}

/// Measures.
///
/// # Errors
/// A disk or a network that cannot be used.
pub async fn run(args: BenchArgs) -> anyhow::Result<()> {
    match args.what {
        Bench::Metadata(args) => metadata::run(args).await,
    }
}
