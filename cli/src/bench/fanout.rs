//! `causeway bench fanout`: what one core of an edge node delivers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use causeway_protocol::ChannelId;
use clap::Args;
use indicatif::ProgressBar;
use quinn::Connection;
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::cpu::cpu_time_of;
use super::nats::{self, NatsOptions, NatsResult};
use super::progress;
use super::swarm::{Counts, Swarm, post};
use super::world::{self, BenchWorld};
use crate::quantiles::{Quantiles, quantiles};

/// Connections that post: one alone would meet the limit of a connection.
const PUBLISHERS: usize = 4;
/// Posts that await their answers.
const POSTS_MAX: usize = 64;
/// Before anything is counted.
const WARM_UP: Duration = Duration::from_secs(2);
/// Between looks whether all have got what was sent.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// What was sent has been delivered by then.
const DRAIN: Duration = Duration::from_secs(5);

/// Flags of `causeway bench fanout`.
#[derive(Debug, Args)]
pub struct FanoutArgs {
    /// Subscribers of the one channel, each a user with a connection
    #[arg(long, default_value_t = 1_000)]
    subscribers: usize,
    /// Bytes of a message's text
    #[arg(long, default_value_t = 200)]
    bytes: usize,
    /// Messages under way at full speed: sent, and not yet with every subscriber
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=900))]
    window: u64,
    /// Seconds of each of the two measurements
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Print one JSON object instead of the page for people
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    subscribers: usize,
    message_bytes: usize,
    window: u64,
    /// Of the edge node, at full speed.
    deliveries_per_cpu_second: f64,
    deliveries_per_second: f64,
    /// Of its core, at full speed.
    edge_cpu_fraction: f64,
    /// At half of that load.
    latency_ms: Quantiles,
    half_load_deliveries_per_cpu_second: f64,
    half_load_edge_cpu_fraction: f64,
    /// Frames that told of dropped pushes.
    missed: u64,
    /// Of a NATS server with TLS in the same run, if it could be had.
    nats_tls_deliveries_per_cpu_second: Option<f64>,
    ratio_to_nats_tls: Option<f64>,
    nats_tls_latency_ms: Option<Quantiles>,
}

/// What a stretch of time has shown.
struct Stretch {
    deliveries: u64,
    took: Duration,
    cpu: Duration,
}

impl Stretch {
    fn per_second(&self) -> f64 {
        self.deliveries as f64 / self.took.as_secs_f64()
    }

    fn per_cpu_second(&self) -> f64 {
        self.deliveries as f64 / self.cpu.as_secs_f64()
    }

    fn cpu_fraction(&self) -> f64 {
        self.cpu.as_secs_f64() / self.took.as_secs_f64()
    }
}

/// Measures, and tells.
///
/// # Errors
/// A world that does not start, or clients that are not let in.
pub async fn run(args: FanoutArgs) -> anyhow::Result<()> {
    world::measure(args.json, &args, measure, page).await
}

async fn measure(
    world: &BenchWorld,
    args: &FanoutArgs,
    bar: &ProgressBar,
) -> anyhow::Result<Report> {
    let crowd = world.crowd(args.subscribers, bar).await?;
    let tokens = world.tokens(&crowd.users)?;
    let steps = progress::steps(bar, "subscribers", args.subscribers);
    let swarm = Swarm::connect(&world.world, world.measured()?, &tokens, &steps).await?;
    let publishers = &tokens[..PUBLISHERS.min(tokens.len())];
    let publishers = Swarm::connect(&world.world, world.other()?, publishers, || ()).await?;
    let counts = Arc::clone(swarm.counts());
    let publisher = Publisher {
        connections: publishers.connections().to_vec(),
        channel: crowd.channel,
        bytes: args.bytes,
        counts: Arc::clone(&counts),
        window: args.window,
        sent: Arc::default(),
        turn: AtomicU64::new(0),
    };
    let edge = world.measured()?.pid;
    let length = Duration::from_secs(args.seconds);

    bar.set_message("full speed");
    let full = stretch(&counts, edge, length, publisher.at_full_speed()).await?;
    publisher.settle().await;
    counts.take_latencies_ms();

    bar.set_message("half of it");
    let rate = full.per_second() / args.subscribers as f64 / 2.0;
    let half = stretch(&counts, edge, length, publisher.at_rate(rate)).await?;
    publisher.settle().await;
    let (subscribers, missed) = (swarm.connected(), counts.missed());
    drop((swarm, publishers));
    let nats = nats(world, args, bar).await?;
    let nats_per_cpu = nats.as_ref().map(|nats| nats.deliveries_per_cpu_second);
    Ok(Report {
        subscribers,
        message_bytes: args.bytes,
        window: args.window,
        deliveries_per_cpu_second: full.per_cpu_second(),
        deliveries_per_second: full.per_second(),
        edge_cpu_fraction: full.cpu_fraction(),
        latency_ms: quantiles(counts.take_latencies_ms().into_iter()),
        half_load_deliveries_per_cpu_second: half.per_cpu_second(),
        half_load_edge_cpu_fraction: half.cpu_fraction(),
        missed,
        nats_tls_deliveries_per_cpu_second: nats_per_cpu,
        ratio_to_nats_tls: nats_per_cpu.map(|nats| full.per_cpu_second() / nats),
        nats_tls_latency_ms: nats.map(|nats| nats.latency_ms),
    })
}

/// The same of a NATS server on the core of the edge node, which has nothing to do now.
async fn nats(
    world: &BenchWorld,
    args: &FanoutArgs,
    bar: &ProgressBar,
) -> anyhow::Result<Option<NatsResult>> {
    let options = NatsOptions {
        subscribers: args.subscribers,
        payload_bytes: args.bytes,
        window: args.window,
        time: Duration::from_secs(args.seconds),
        core: world.measured_core(),
    };
    nats::measure(&options, bar).await
}

/// Lets a load run, and counts once it has warmed up.
async fn stretch(
    counts: &Counts,
    edge: u32,
    length: Duration,
    load: impl Future<Output = ()>,
) -> anyhow::Result<Stretch> {
    let counting = async {
        tokio::time::sleep(WARM_UP).await;
        counts.take_latencies_ms();
        let (began, cpu, delivered) = (Instant::now(), cpu_time_of(edge)?, counts.delivered());
        tokio::time::sleep(length).await;
        anyhow::Ok(Stretch {
            deliveries: counts.delivered() - delivered,
            took: began.elapsed(),
            cpu: cpu_time_of(edge)?.saturating_sub(cpu),
        })
    };
    tokio::select! {
        counted = counting => counted,
        () = load => anyhow::bail!("the load has ended by itself"),
    }
}

/// Posts messages to the channel that all are in.
struct Publisher {
    connections: Vec<Connection>,
    channel: ChannelId,
    bytes: usize,
    /// Messages that may be under way.
    window: u64,
    counts: Arc<Counts>,
    sent: Arc<AtomicU64>,
    /// Whose turn it is.
    turn: AtomicU64,
}

impl Publisher {
    /// As many as every subscriber takes.
    async fn at_full_speed(&self) {
        let mut posts = JoinSet::new();
        loop {
            while self.under_way() >= self.window {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            if posts.len() >= POSTS_MAX {
                posts.join_next().await;
            }
            self.post(&mut posts);
        }
    }

    /// So many a second, whatever becomes of them.
    async fn at_rate(&self, per_second: f64) {
        let mut posts = JoinSet::new();
        let mut ticks = tokio::time::interval(Duration::from_secs_f64(1.0 / per_second));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        loop {
            ticks.tick().await;
            while posts.try_join_next().is_some() {}
            self.post(&mut posts);
        }
    }

    fn post(&self, posts: &mut JoinSet<()>) {
        let turn = usize::try_from(self.turn.fetch_add(1, Ordering::Relaxed)).unwrap_or_default();
        let connection = self.connections[turn % self.connections.len()].clone();
        let counts = Arc::clone(&self.counts);
        let (channel, bytes, sent) = (self.channel, self.bytes, Arc::clone(&self.sent));
        posts.spawn(async move {
            if post(&connection, channel, counts.text(bytes)).await.is_ok() {
                sent.fetch_add(1, Ordering::Relaxed);
            }
        });
    }

    fn under_way(&self) -> u64 {
        let sent = self.sent.load(Ordering::Relaxed);
        sent.saturating_sub(self.counts.least())
    }

    /// Waits until all that was sent has come.
    async fn settle(&self) {
        let settled = async {
            while self.under_way() > 0 {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        // What was dropped never comes: it is counted as missed.
        let _ = tokio::time::timeout(DRAIN, settled).await;
    }
}

fn page(report: &Report) -> String {
    let nats = match (
        report.nats_tls_deliveries_per_cpu_second,
        report.ratio_to_nats_tls,
    ) {
        (Some(nats), Some(ratio)) => {
            format!(
                "NATS with TLS: {nats:.0} deliveries a CPU second; this is {ratio:.2} times that"
            )
        }
        _ => "NATS with TLS: could not be had".into(),
    };
    format!(
        "{} subscribers, messages of {} bytes, one core of an edge node\n\
         at full speed: {:.0} deliveries a CPU second ({:.0} a second, {:.0} % of the core)\n\
         at half of it: latency p50 {:.1} ms, p99 {:.1} ms ({:.0} deliveries a CPU second)\n\
         told of dropped pushes: {}\n{nats}",
        report.subscribers,
        report.message_bytes,
        report.deliveries_per_cpu_second,
        report.deliveries_per_second,
        report.edge_cpu_fraction * 100.0,
        report.latency_ms.p50,
        report.latency_ms.p99,
        report.half_load_deliveries_per_cpu_second,
        report.missed,
    )
}
