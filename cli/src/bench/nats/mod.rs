//! What a NATS server with TLS makes of a core: the peer of `causeway bench fanout`.
//! It is optional: a machine that does not have it and cannot fetch it does without.

mod load;
mod server;
mod wire;

use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use indicatif::ProgressBar;
use serde::Serialize;

use self::load::Load;
use self::server::Server;
use super::{cpu, progress};
use crate::output::{note, say};
use crate::quantiles::{Quantiles, quantiles};

/// Of a message, as many messages of people are.
const PAYLOAD_BYTES: usize = 200;
/// Before it is measured, while buffers grow.
const WARM_UP: Duration = Duration::from_secs(1);

/// Flags of `causeway bench nats`.
#[derive(Debug, Args)]
pub struct NatsArgs {
    /// Connections that get every message
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    subscribers: u32,
    /// Messages under way at full speed
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    window: u64,
    /// Seconds that each of the two loads is measured
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Print one JSON object instead of the page for people
    #[arg(long)]
    json: bool,
}

/// What is asked of it.
#[derive(Debug, Clone, Copy)]
pub struct NatsOptions {
    /// Each has a connection of its own, with TLS.
    pub subscribers: usize,
    /// Of a message.
    pub payload_bytes: usize,
    /// Messages that are under way at full speed.
    pub window: u64,
    /// How long each of the two loads is measured.
    pub time: Duration,
    /// The core on which the server runs, alone.
    pub core: usize,
}

/// What it did.
#[derive(Debug, Clone, Serialize)]
pub struct NatsResult {
    /// Of the server.
    pub version: String,
    /// Messages that reached a subscriber at full speed.
    pub deliveries: u64,
    /// Of the server, for them.
    pub cpu_seconds: f64,
    /// A second of one core delivers so many.
    pub deliveries_per_cpu_second: f64,
    /// By the clock.
    pub deliveries_per_second: f64,
    /// From when a message was due to a subscriber, at half of that load.
    pub latency_ms: Quantiles,
}

/// Deliveries of some time, and what they cost.
struct Measured {
    deliveries: u64,
    cpu: Duration,
    time: Duration,
}

/// Measures, and tells.
///
/// # Errors
/// There is no such server, or it does not do what it is asked.
pub async fn run(args: NatsArgs) -> anyhow::Result<()> {
    let cores = cpu::cores()?;
    let options = NatsOptions {
        subscribers: usize::try_from(args.subscribers)?,
        payload_bytes: PAYLOAD_BYTES,
        window: args.window,
        time: Duration::from_secs(args.seconds),
        core: *cores.first().context("no core to run on")?,
    };
    let bar = progress::spinner("NATS");
    let result = measure(&options, &bar).await;
    bar.finish_and_clear();
    let result = result?.context("there is no NATS server to measure")?;
    match args.json {
        true => say(&serde_json::to_string(&result)?),
        false => say(&page(&options, &result)),
    }
    Ok(())
}

fn page(options: &NatsOptions, result: &NatsResult) -> String {
    format!(
        "NATS {} with TLS on core {}, {} subscribers, messages of {} bytes\n\
         \x20 {:.0} deliveries/s, {:.0} per CPU-second\n\
         \x20 at half of that: {} ms (p50), {} ms (p99)",
        result.version,
        options.core,
        options.subscribers,
        options.payload_bytes,
        result.deliveries_per_second,
        result.deliveries_per_cpu_second,
        result.latency_ms.p50,
        result.latency_ms.p99,
    )
}

/// Fetches, starts and measures it; nothing when it cannot be had.
///
/// # Errors
/// The server does not do what it is asked.
pub async fn measure(
    options: &NatsOptions,
    bar: &ProgressBar,
) -> anyhow::Result<Option<NatsResult>> {
    bar.set_message("NATS: looking for the server");
    let program = match server::program().await {
        Ok(program) => program,
        Err(error) => {
            note(&format!("without NATS: {error:#}"));
            return Ok(None);
        }
    };
    let server = Server::start(&program, options.core).await?;
    let (subscribers, bytes) = (options.subscribers, options.payload_bytes);
    let connected = progress::steps(bar, "NATS: subscribers", subscribers);
    let mut load = Load::start(&server, subscribers, bytes, connected).await?;
    bar.set_message("NATS: full speed");
    let full = full_speed(&mut load, server.pid, options).await?;
    let per_second = full.deliveries as f64 / full.time.as_secs_f64();
    bar.set_message("NATS: half of that");
    let half = per_second / subscribers as f64 / 2.0;
    load.publish_at(half, Instant::now() + options.time).await?;
    let took = load.stop().await?;
    Ok(Some(NatsResult {
        version: server.version.clone(),
        deliveries: full.deliveries,
        cpu_seconds: full.cpu.as_secs_f64(),
        deliveries_per_cpu_second: full.deliveries as f64 / full.cpu.as_secs_f64(),
        deliveries_per_second: per_second,
        latency_ms: quantiles(took.into_iter()),
    }))
}

async fn full_speed(load: &mut Load, pid: u32, options: &NatsOptions) -> anyhow::Result<Measured> {
    load.publish_all(options.window, Instant::now() + WARM_UP)
        .await?;
    let (began, deliveries, cpu) = (Instant::now(), load.delivered(), cpu::cpu_time_of(pid)?);
    // All that is counted has been sent and delivered within the time.
    load.publish_all(options.window, began + options.time)
        .await?;
    Ok(Measured {
        deliveries: load.delivered() - deliveries,
        cpu: cpu::cpu_time_of(pid)?.saturating_sub(cpu),
        time: began.elapsed(),
    })
}
