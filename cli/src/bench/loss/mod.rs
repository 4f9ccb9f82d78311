//! `causeway bench loss`: how long messages take to a client behind a link that loses
//! packets. Both ends of the link are network namespaces of their own: at the near
//! one a world and those who post, at the far one the client.

mod far;
mod link;
mod near;
mod network;
mod plan;
mod side;
mod tally;

use std::time::Duration;

use anyhow::{Context, bail};
use causeway_client::Event;
use clap::Args;
use indicatif::ProgressBar;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use self::far::Heard;
use self::link::{Conditions, End};
use self::network::{Network, Traffic};
use self::plan::{Begin, Here, Meeting, Plan, Posted, Ready};
use self::side::{Parent, Side};
use super::progress;
use crate::output::say;
use crate::quantiles::Quantiles;
use crate::signals::Signals;

/// Of a message's text.
const PAYLOAD_BYTES: usize = 200;
/// A process of this program says that it is there by then.
const START_TIMEOUT: Duration = Duration::from_secs(10);
/// A world and its clients are ready by then.
const READY_TIMEOUT: Duration = Duration::from_secs(150);
/// After the last message is due, all is posted, or come in, by then.
const END_TIMEOUT: Duration = Duration::from_secs(60);

/// Flags of `causeway bench loss`.
#[derive(Debug, Args)]
pub struct LossArgs {
    /// Busy channels of the one connection
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100))]
    channels: u32,
    /// Messages a second in each
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=50))]
    rate: u32,
    /// Seconds of posting
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// Packets of a thousand that are lost, each way
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(0..=500))]
    loss_permille: u32,
    /// Milliseconds of a round trip
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(0..=2_000))]
    round_trip_ms: u64,
    /// Which packets are lost
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print one JSON object instead of the page for people
    #[arg(long)]
    json: bool,
}

/// Flags of a process of the bench.
#[derive(Debug, Args)]
pub struct LossSideArgs {
    /// Which it is
    end: End,
}

#[derive(Debug, Serialize)]
struct Report {
    channels: u32,
    messages_per_second: u32,
    payload_bytes: usize,
    seconds: u32,
    round_trip_ms: u64,
    loss_permille: u32,
    seed: u64,
    native_ms: Quantiles,
    websocket_ms: Quantiles,
    /// To both clients together.
    delivered: usize,
    missing: usize,
    doubled: usize,
    /// Packets that went in, both ways together.
    packets: u64,
    packets_lost: u64,
    packets_overflowed: u64,
}

/// Measures, and tells.
///
/// # Errors
/// A network or a world that cannot be set up, or a message that was refused.
pub async fn run(args: LossArgs) -> anyhow::Result<()> {
    let plan = Plan {
        channels: args.channels,
        messages_per_second: args.rate,
        seconds: args.seconds,
        payload_bytes: PAYLOAD_BYTES,
    };
    let network = Network::open(Conditions {
        round_trip: Duration::from_millis(args.round_trip_ms),
        loss_permille: args.loss_permille,
        seed: args.seed,
    })?;
    let bar = progress::spinner("setting up");
    let mut sides = Sides {
        near: Side::start(End::Near)?,
        far: Side::start(End::Far)?,
    };
    let mut stop = Signals::new()?;
    let measured = tokio::select! {
        measured = measure(&mut sides, network, plan, &bar) => measured,
        () = stop.asked() => Err(anyhow::anyhow!("interrupted")),
    };
    bar.set_message("stopping the world");
    sides.near.end().await;
    sides.far.end().await;
    bar.finish_and_clear();
    let (heard, traffic) = measured?;
    let report = Report::of(&args, &heard, traffic);
    match args.json {
        true => say(&serde_json::to_string(&report)?),
        false => say(&report.page()),
    }
    Ok(())
}

/// Runs one of the processes of the bench.
///
/// # Errors
/// What went wrong.
pub async fn run_side(args: LossSideArgs) -> anyhow::Result<()> {
    let (mut parent, gone) = Parent::listen();
    let done = match args.end {
        End::Near => near::run(&mut parent, &gone).await,
        End::Far => tokio::select! {
            () = gone.cancelled() => Ok(()),
            done = far::run(&mut parent) => done,
        },
    };
    match gone.is_cancelled() {
        // Whatever failed, nobody asks for it any more.
        true => Ok(()),
        false => done,
    }
}

struct Sides {
    near: Side,
    far: Side,
}

async fn measure(
    sides: &mut Sides,
    network: Network,
    plan: Plan,
    bar: &ProgressBar,
) -> anyhow::Result<(Heard, Traffic)> {
    bar.set_message("two network namespaces, and a link between them");
    for (end, side) in [(End::Near, &mut sides.near), (End::Far, &mut sides.far)] {
        let here = side.hear(START_TIMEOUT).await;
        let Here = here.context("is this root? A network namespace could not be made")?;
        let device = network.give(end, side.pid()?).await?;
        side.tell(&Begin { device, plan }).await?;
    }
    let stop = CancellationToken::new();
    let mut carrying = tokio::spawn(network.carry(stop.clone()));
    let heard = tokio::select! {
        heard = play(sides, plan, bar) => heard?,
        carried = &mut carrying => {
            carried?.context("an end of the link has gone")?;
            bail!("the link has ended");
        }
    };
    stop.cancel();
    Ok((heard, carrying.await??))
}

async fn play(sides: &mut Sides, plan: Plan, bar: &ProgressBar) -> anyhow::Result<Heard> {
    bar.set_message("a world, and those who post");
    let meeting: Meeting = sides.near.hear(READY_TIMEOUT).await?;
    bar.set_message("connecting over the link");
    sides.far.tell(&meeting).await?;
    let Ready = sides.far.hear(READY_TIMEOUT).await?;
    bar.set_message("posting");
    sides.near.tell(&Ready).await?;
    let posted = tokio::select! {
        posted = sides.near.hear(plan.time() + END_TIMEOUT) => posted,
        never = count_seconds(plan, bar) => never,
    };
    let Posted = posted?;
    bar.set_message("waiting for the last");
    sides.far.tell(&Posted).await?;
    sides.far.hear(END_TIMEOUT).await
}

async fn count_seconds<T>(plan: Plan, bar: &ProgressBar) -> T {
    let step = progress::steps(bar, "seconds of posting", plan.seconds as usize);
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    seconds.tick().await;
    loop {
        seconds.tick().await;
        step();
    }
}

/// Waits until a client is connected.
async fn connected(events: &mut mpsc::Receiver<Event>) -> anyhow::Result<()> {
    while let Some(event) = events.recv().await {
        match event {
            Event::Connected { .. } => return Ok(()),
            Event::Stopped(error) => return Err(error.into()),
            _ => {}
        }
    }
    bail!("the client has stopped")
}

impl Report {
    fn of(args: &LossArgs, heard: &Heard, traffic: Traffic) -> Self {
        let both = [traffic.near, traffic.far];
        let clients = [heard.native, heard.websocket];
        Self {
            channels: args.channels,
            messages_per_second: args.rate,
            payload_bytes: PAYLOAD_BYTES,
            seconds: args.seconds,
            round_trip_ms: args.round_trip_ms,
            loss_permille: args.loss_permille,
            seed: args.seed,
            native_ms: heard.native.latency_ms,
            websocket_ms: heard.websocket.latency_ms,
            delivered: clients.iter().map(|seen| seen.delivered).sum(),
            missing: clients.iter().map(|seen| seen.missing).sum(),
            doubled: clients.iter().map(|seen| seen.doubled).sum(),
            packets: both.iter().map(|counts| counts.packets).sum(),
            packets_lost: both.iter().map(|counts| counts.lost).sum(),
            packets_overflowed: both.iter().map(|counts| counts.overflowed).sum(),
        }
    }

    fn page(&self) -> String {
        format!(
            "a link of {} ms there and back that loses {} of 1000 packets each way\n\
             ({} of {} were lost, {} more for want of room)\n\
             {} channels with {} messages of {} bytes a second each, for {} s\n\
             \x20 native:    {}\n\
             \x20 WebSocket: {}\n\
             \x20 {} delivered, {} missing, {} doubled",
            self.round_trip_ms,
            self.loss_permille,
            self.packets_lost,
            self.packets,
            self.packets_overflowed,
            self.channels,
            self.messages_per_second,
            self.payload_bytes,
            self.seconds,
            told(self.native_ms),
            told(self.websocket_ms),
            self.delivered,
            self.missing,
            self.doubled,
        )
    }
}

fn told(ms: Quantiles) -> String {
    format!(
        "{} ms (p50), {} ms (p99), {} ms (max)",
        ms.p50, ms.p99, ms.max
    )
}
