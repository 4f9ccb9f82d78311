//! `causeway bench idle`: what clients that do nothing cost an edge node.

use std::time::{Duration, Instant};

use clap::Args;
use indicatif::ProgressBar;
use serde::Serialize;

use super::cpu::cpu_time_of;
use super::machine::resident_bytes_of;
use super::progress;
use super::swarm::Swarm;
use super::world::{self, BenchWorld};

/// Users behind the clients: each has several.
const USERS: usize = 200;
/// What is left of connecting is over by then.
const SETTLE: Duration = Duration::from_secs(15);

/// Flags of `causeway bench idle`.
#[derive(Debug, Args)]
pub struct IdleArgs {
    /// Clients, on QUIC
    #[arg(long, default_value_t = 10_000)]
    clients: usize,
    /// Seconds for which they do nothing
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Print one JSON object instead of the page for people
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    clients: usize,
    /// Memory of the edge node that came with each of them.
    bytes_per_connection: f64,
    /// Of its core, while they do nothing.
    cpu_fraction: f64,
    /// Time on a core for each client that was let in, in microseconds.
    connect_cpu_us: f64,
}

/// Measures, and tells.
///
/// # Errors
/// A world that does not start, or clients that are not let in.
pub async fn run(args: IdleArgs) -> anyhow::Result<()> {
    world::measure(args.json, &args, measure, page).await
}

async fn measure(world: &BenchWorld, args: &IdleArgs, bar: &ProgressBar) -> anyhow::Result<Report> {
    let crowd = world.crowd(USERS, bar).await?;
    let tokens = world.tokens(&crowd.users)?;
    let edge = world.measured()?.pid;
    // What the first of all cost, such as following the workspace, is no client's.
    let first = Swarm::connect(&world.world, world.measured()?, &tokens, || ()).await?;
    tokio::time::sleep(SETTLE).await;

    let (memory, cpu) = (resident_bytes_of(edge)?, cpu_time_of(edge)?);
    let all: Vec<&String> = tokens.iter().cycle().take(args.clients).collect();
    let steps = progress::steps(bar, "clients", args.clients);
    let swarm = Swarm::connect(&world.world, world.measured()?, &all, &steps).await?;
    bar.set_message("settling");
    tokio::time::sleep(SETTLE).await;
    let connecting = cpu_time_of(edge)?.saturating_sub(cpu);

    bar.set_message("at rest");
    let (began, cpu) = (Instant::now(), cpu_time_of(edge)?);
    tokio::time::sleep(Duration::from_secs(args.seconds)).await;
    let spent = cpu_time_of(edge)?.saturating_sub(cpu);
    let grown = resident_bytes_of(edge)?.saturating_sub(memory);
    let clients = swarm.connected();
    drop(first);
    Ok(Report {
        clients,
        bytes_per_connection: grown as f64 / clients.max(1) as f64,
        cpu_fraction: spent.as_secs_f64() / began.elapsed().as_secs_f64(),
        connect_cpu_us: connecting.as_secs_f64() * 1e6 / clients.max(1) as f64,
    })
}

fn page(report: &Report) -> String {
    format!(
        "{} clients on QUIC, doing nothing\n\
         memory: {:.1} KB each, of the edge node\n\
         time: {:.1} % of a core for all of them; {:.0} us each to let them in",
        report.clients,
        report.bytes_per_connection / 1e3,
        report.cpu_fraction * 100.0,
        report.connect_cpu_us,
    )
}
