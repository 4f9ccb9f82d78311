//! `causeway bench resume`: a PoP dies, and all of its sessions come back at another,
//! while people write.

mod ledger;
mod session;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use causeway_client::outbox::pause;
use causeway_protocol::ChannelId;
use clap::Args;
use futures::{StreamExt, TryStreamExt};
use indicatif::ProgressBar;
use quinn::{Connection, Endpoint};
use rand::rngs::SmallRng;
use serde::Serialize;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use self::session::Session;
use super::cpu::cpu_time_of;
use super::progress;
use super::swarm::{self, Swarm};
use super::world::{self, BenchWorld};
use crate::quantiles::{Quantiles, quantiles};
use crate::world::WorldNode;
use crate::world::processes::kill_node;

/// Users behind the sessions: each has several.
const USERS: usize = 200;
/// Channels that everybody is in.
const CHANNELS: usize = 4;
/// Handshakes under way at a time, while nothing is measured.
const AT_A_TIME: usize = 64;
/// People write for so long before the cut, and after the last session is back.
const AROUND: Duration = Duration::from_secs(5);
/// All are back by then.
const RESUME_TIMEOUT: Duration = Duration::from_secs(300);
/// What was posted is with all sessions by then.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Between looks whether it is.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Flags of `causeway bench resume`.
#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// Sessions, on QUIC
    #[arg(long, default_value_t = 10_000)]
    sessions: usize,
    /// Of them, so many come back at the same time
    #[arg(long, default_value_t = 512)]
    at_a_time: usize,
    /// Messages a second, while all this happens
    #[arg(long, default_value_t = 2.0)]
    rate: f64,
    /// Print one JSON object instead of the page for people
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    sessions: usize,
    users: usize,
    channels: usize,
    at_a_time: usize,
    messages: u64,
    /// Of the edge node that they come back to.
    sessions_per_cpu_second: f64,
    edge_cpu_fraction: f64,
    /// From the cut until the last has all that it missed.
    last_live_ms: f64,
    /// From a session's own first try until it has all that it missed.
    resume_ms: Quantiles,
    /// Tries that failed.
    retries: u64,
    lost: u64,
    duplicated: u64,
}

/// Measures, and tells.
///
/// # Errors
/// A world that does not start, or sessions that are not let in.
pub async fn run(args: ResumeArgs) -> anyhow::Result<()> {
    world::measure(args.json, &args, measure, page).await
}

async fn measure(
    world: &BenchWorld,
    args: &ResumeArgs,
    bar: &ProgressBar,
) -> anyhow::Result<Report> {
    let crowd = world.crowd(USERS, bar).await?;
    let channels = world.channels(&crowd, CHANNELS).await?;
    let tokens = world.tokens(&crowd.users)?;
    let all = tokens.iter().map(String::as_str).cycle();
    let sessions = all.take(args.sessions).map(Session::new).collect();
    let writers = Swarm::connect(&world.world, world.third()?, &tokens[..1], || ()).await?;

    let herd = Herd::new(world, sessions)?;
    let steps = progress::steps(bar, "sessions", args.sessions);
    herd.connect(world.other()?, AT_A_TIME, &steps).await?;

    let stop = CancellationToken::new();
    let writing = tokio::spawn(write(
        writers.first()?,
        channels.clone(),
        args.rate,
        stop.clone(),
    ));
    bar.set_message("writing");
    tokio::time::sleep(AROUND).await;
    let edge = world.measured()?;
    let cpu = cpu_time_of(edge.pid)?;
    let steps = progress::steps(bar, "back", args.sessions);
    herd.retries.store(0, Ordering::Relaxed);
    let cut = Instant::now();
    herd.cut(world.other()?).await?;
    let resuming = herd.connect(edge, args.at_a_time, &steps);
    let resumed = tokio::time::timeout(RESUME_TIMEOUT, resuming).await;
    let took_ms = resumed.context("not all sessions are back in time")??;
    let (last, cpu) = (cut.elapsed(), cpu_time_of(edge.pid)?.saturating_sub(cpu));

    bar.set_message("writing");
    tokio::time::sleep(AROUND).await;
    stop.cancel();
    let posted = writing.await??;
    bar.set_message("settling");
    herd.settle(&posted).await;
    let (lost, duplicated) = herd.faults(&posted);
    Ok(Report {
        sessions: args.sessions,
        users: USERS,
        channels: channels.len(),
        at_a_time: args.at_a_time,
        messages: posted.values().sum(),
        sessions_per_cpu_second: args.sessions as f64 / cpu.as_secs_f64(),
        edge_cpu_fraction: cpu.as_secs_f64() / last.as_secs_f64(),
        last_live_ms: last.as_secs_f64() * 1e3,
        resume_ms: quantiles(took_ms.into_iter()),
        retries: herd.retries.load(Ordering::Relaxed),
        lost,
        duplicated,
    })
}

/// Posts to one channel after another, and numbers the messages of each. Returns how
/// many there are in each.
async fn write(
    connection: Connection,
    channels: Vec<ChannelId>,
    per_second: f64,
    stop: CancellationToken,
) -> anyhow::Result<BTreeMap<ChannelId, u64>> {
    let mut due = tokio::time::interval(Duration::from_secs_f64(1.0 / per_second));
    let mut posted = BTreeMap::new();
    for channel in channels.into_iter().cycle() {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = due.tick() => {}
        }
        let count = posted.entry(channel).or_insert(0_u64);
        swarm::post(&connection, channel, count.to_string()).await?;
        *count += 1;
    }
    Ok(posted)
}

/// All sessions.
struct Herd {
    sessions: Vec<Arc<Session>>,
    endpoints: Vec<Endpoint>,
    config: quinn::ClientConfig,
    retries: AtomicU64,
}

impl Herd {
    fn new(world: &BenchWorld, sessions: Vec<Arc<Session>>) -> anyhow::Result<Self> {
        Ok(Self {
            endpoints: swarm::endpoints(sessions.len())?,
            config: swarm::client_config(&world.world)?,
            sessions,
            retries: AtomicU64::new(0),
        })
    }

    /// All sessions connect, and have what they lack. Returns how long that took each,
    /// in milliseconds.
    async fn connect(
        &self,
        node: &WorldNode,
        at_a_time: usize,
        connected: impl Fn(),
    ) -> anyhow::Result<Vec<f64>> {
        let address = node.client.context("clients connect to edge nodes")?;
        let sessions = self.sessions.iter().zip(self.endpoints.iter().cycle());
        futures::stream::iter(sessions)
            .map(|(session, endpoint)| self.resume(session, endpoint, address))
            .buffer_unordered(at_a_time)
            .inspect_ok(|_| connected())
            .try_collect()
            .await
    }

    async fn resume(
        &self,
        session: &Arc<Session>,
        endpoint: &Endpoint,
        address: SocketAddr,
    ) -> anyhow::Result<f64> {
        let mut rng: SmallRng = rand::make_rng();
        let (began, mut tries) = (Instant::now(), 0);
        while let Err(error) = session
            .connect(endpoint, self.config.clone(), address)
            .await
        {
            if began.elapsed() > RESUME_TIMEOUT {
                return Err(error);
            }
            self.retries.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(pause(tries, &mut rng)).await;
            tries += 1;
        }
        session.live().await;
        Ok(began.elapsed().as_secs_f64() * 1e3)
    }

    /// The PoP dies, and every session notices at once.
    async fn cut(&self, node: &WorldNode) -> anyhow::Result<()> {
        let node = node.clone();
        spawn_blocking(move || kill_node(&node)).await??;
        for session in &self.sessions {
            session.cut();
        }
        Ok(())
    }

    /// Waits until all that was posted is with every session, or does not come.
    async fn settle(&self, posted: &BTreeMap<ChannelId, u64>) {
        let settled = async {
            while !self.sessions.iter().all(|s| s.is_complete(posted)) {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        // What has not come by then counts as lost.
        let _ = tokio::time::timeout(SETTLE_TIMEOUT, settled).await;
    }

    fn faults(&self, posted: &BTreeMap<ChannelId, u64>) -> (u64, u64) {
        let faults = self.sessions.iter().map(|session| session.faults(posted));
        faults.fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1))
    }
}

fn page(report: &Report) -> String {
    format!(
        "{} sessions of {} users in {} channels; their PoP was killed, and {} at a time came back to another\n\
         {:.0} sessions a CPU second of its edge node ({:.0} % of a core)\n\
         the last was live after {:.0} ms; each took {:.0} ms (p50), {:.0} ms (p99); {} tries failed\n\
         of {} messages meanwhile: {} lost, {} duplicated",
        report.sessions,
        report.users,
        report.channels,
        report.at_a_time,
        report.sessions_per_cpu_second,
        report.edge_cpu_fraction * 100.0,
        report.last_live_ms,
        report.resume_ms.p50,
        report.resume_ms.p99,
        report.retries,
        report.messages,
        report.lost,
        report.duplicated,
    )
}
