//! `causeway bench boot`: what a client is sent first and how soon, beside all that there
//! is to know; and what becomes of the others when two thousand start at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use causeway_protocol::client::{self, request, response};
use causeway_protocol::{ChannelId, frame};
use clap::Args;
use futures::{StreamExt, TryStreamExt};
use indicatif::ProgressBar;
use prost::Message;
use quinn::Connection;
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::aside::Aside;
use super::greeting::{Door, Greeted};
use super::office::Office;
use super::progress;
use super::swarm::{Counts, Swarm, answer, client_config, endpoints, post};
use super::world::{self, BenchWorld};
use crate::quantiles::{Quantiles, quantiles};
use crate::world::{WorldNode, probe};

/// Clients that start first, elsewhere: what the core is asked for them is compared.
const FEW: usize = 100;
/// Clients that start one after another, from what is kept.
const WARM: usize = 200;
/// Messages a second to those who are connected all the time.
const MESSAGES_PER_S: u32 = 20;
/// Bytes of their texts.
const TEXT_BYTES: usize = 200;
/// Those are watched before anybody starts, to compare.
const CALM: Duration = Duration::from_secs(5);
/// All lists are read by then.
const DUMP_TIMEOUT: Duration = Duration::from_secs(300);
/// Whoever asked too much asks again after this: those who go on at once are cut off.
const PAUSE: Duration = Duration::from_millis(250);
/// Lists that are read at a time.
const LISTS: usize = 16;

/// Flags of `causeway bench boot`.
#[derive(Debug, Args)]
pub struct BootArgs {
    /// Users of the workspace
    #[arg(long, default_value_t = 32_000)]
    users: usize,
    /// Channels of the workspace
    #[arg(long, default_value_t = 3_000)]
    channels: usize,
    /// Clients that start at once
    #[arg(long, default_value_t = 2_000)]
    clients: usize,
    /// Print one JSON object instead of the page for people
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    users: usize,
    channels: usize,
    /// All users, channels and members, as the lists have them.
    full_bytes: usize,
    /// What a client is sent before its first screen.
    boot_bytes: usize,
    ratio_full_to_boot: f64,
    /// From nothing to the first screen, when the PoP has all that is needed.
    first_screen_ms: Quantiles,
    handshake_ms: Quantiles,
    round_trip_ms: Quantiles,
    /// What the first screen takes beyond a handshake and a round trip.
    beyond_ms: Quantiles,
    storm: Storm,
    core_reads: CoreReads,
}

/// Many clients at once.
#[derive(Debug, Serialize)]
struct Storm {
    clients: usize,
    served: usize,
    /// Until the last of them was served.
    took_ms: f64,
    first_screen_ms: Quantiles,
    /// Of messages to those who were there before, without the storm and in it.
    calm_live_ms: Quantiles,
    live_ms: Quantiles,
}

/// Calls of the edge node to core nodes, for so many clients.
#[derive(Debug, Serialize)]
struct CoreReads {
    few_clients: usize,
    few: u64,
    many_clients: usize,
    many: u64,
}

/// Measures, and tells.
///
/// # Errors
/// A world that does not start, or clients that are not let in.
pub async fn run(args: BootArgs) -> anyhow::Result<()> {
    world::measure(args.json, &args, measure, page).await
}

async fn measure(world: &BenchWorld, args: &BootArgs, bar: &ProgressBar) -> anyhow::Result<Report> {
    let starting = args.clients.max(FEW);
    let office = Office::create(world, (args.users, args.channels, starting), bar).await?;
    let tokens = world.tokens(&office.starting)?;

    bar.set_message("a few clients");
    let before = calls(world, world.other()?).await?;
    let few = Doors::of(world, world.other()?, FEW)?
        .all(&tokens[..FEW])
        .await;
    let few_reads = calls(world, world.other()?).await? - before;
    let (storm, many) = storm(world, &office, &tokens[..args.clients], bar).await?;
    drop(few);

    bar.set_message("one after another");
    let warm = Doors::of(world, world.measured()?, 1)?;
    let mut times = Times::default();
    let mut boot_bytes = 0;
    for token in tokens.iter().cycle().take(WARM) {
        let greeted = warm.at(0).greet(token).await?;
        boot_bytes = boot_bytes.max(greeted.bytes);
        times.add(&greeted).await?;
    }
    let first = warm.at(0).greet(&tokens[0]).await?;
    let dumping = full_dump(&first.connection, &office, bar);
    let dumped = tokio::time::timeout(DUMP_TIMEOUT, dumping).await;
    let full_bytes = dumped.context("the full dump takes too long")??;
    Ok(Report {
        users: args.users,
        channels: args.channels,
        full_bytes,
        boot_bytes,
        ratio_full_to_boot: full_bytes as f64 / boot_bytes.max(1) as f64,
        first_screen_ms: quantiles(times.first_screen_ms.into_iter()),
        handshake_ms: quantiles(times.handshake_ms.into_iter()),
        round_trip_ms: quantiles(times.round_trip_ms.into_iter()),
        beyond_ms: quantiles(times.beyond_ms.into_iter()),
        storm,
        core_reads: CoreReads {
            few_clients: FEW,
            few: few_reads,
            many_clients: args.clients,
            many,
        },
    })
}

/// Calls of an edge node to core nodes so far.
async fn calls(world: &BenchWorld, node: &WorldNode) -> anyhow::Result<u64> {
    probe::number(node, &world.world.roots()?, "causeway_edge_calls_total").await
}

/// Sockets to come from.
struct Doors(Vec<Door>);

impl Doors {
    fn of(world: &BenchWorld, node: &WorldNode, clients: usize) -> anyhow::Result<Self> {
        let config = client_config(&world.world)?;
        let address = node.client.context("clients connect to edge nodes")?;
        let doors = endpoints(clients)?.into_iter().map(|endpoint| Door {
            endpoint,
            config: config.clone(),
            address,
        });
        Ok(Self(doors.collect()))
    }

    fn at(&self, client: usize) -> &Door {
        &self.0[client % self.0.len()]
    }

    /// Lets a client start for each of these tokens, all at once. Returns those that were
    /// served.
    async fn all(&self, tokens: &[String]) -> Vec<Greeted> {
        let mut starting = JoinSet::new();
        for (i, token) in tokens.iter().enumerate() {
            let (door, token) = (self.at(i).clone(), token.clone());
            starting.spawn(async move { door.insist(&token).await });
        }
        let mut served = Vec::with_capacity(tokens.len());
        while let Some(started) = starting.join_next().await {
            match started {
                Ok(Ok(greeted)) => served.push(greeted),
                Ok(Err(error)) => tracing::warn!(%error, "a client was not let in"),
                Err(error) => tracing::warn!(%error, "a client has panicked"),
            }
        }
        served
    }
}

/// What the watches of clients have shown, in milliseconds.
#[derive(Default)]
struct Times {
    first_screen_ms: Vec<f64>,
    handshake_ms: Vec<f64>,
    round_trip_ms: Vec<f64>,
    beyond_ms: Vec<f64>,
}

impl Times {
    async fn add(&mut self, greeted: &Greeted) -> anyhow::Result<()> {
        let round_trip = greeted.round_trip().await?;
        let least = greeted.handshake + round_trip;
        self.first_screen_ms.push(ms(greeted.first_screen));
        self.handshake_ms.push(ms(greeted.handshake));
        self.round_trip_ms.push(ms(round_trip));
        self.beyond_ms
            .push(ms(greeted.first_screen.saturating_sub(least)));
        Ok(())
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Lets all start at once, while others get messages. Returns also what the core was
/// asked for them.
async fn storm(
    world: &BenchWorld,
    office: &Office,
    tokens: &[String],
    bar: &ProgressBar,
) -> anyhow::Result<(Storm, u64)> {
    bar.set_message("those who are there before");
    let live = world.tokens(&office.live)?;
    let aside = Aside::start()?;
    let swarm = Swarm::connect(&world.world, world.measured()?, &live, || ());
    let swarm = aside.block_on(swarm)?;
    let publisher = Swarm::connect(&world.world, world.other()?, &live[..1], || ());
    let publisher = aside.block_on(publisher)?;
    let counts = Arc::clone(swarm.counts());
    let talking = talk(publisher.first()?, office.channel, Arc::clone(&counts));
    let talking = aside.spawn(talking);
    let storming = async {
        tokio::time::sleep(CALM).await;
        let calm_live_ms = quantiles(counts.take_latencies_ms().into_iter());
        bar.set_message("all at once");
        let before = calls(world, world.measured()?).await?;
        let doors = Doors::of(world, world.measured()?, tokens.len())?;
        let began = Instant::now();
        let served = doors.all(tokens).await;
        let took_ms = ms(began.elapsed());
        let live_ms = quantiles(counts.take_latencies_ms().into_iter());
        // What sessions ask right after they were let in is part of it.
        tokio::time::sleep(CALM).await;
        let reads = calls(world, world.measured()?).await? - before;
        let storm = Storm {
            clients: tokens.len(),
            served: served.len(),
            took_ms,
            first_screen_ms: quantiles(served.iter().map(|greeted| ms(greeted.first_screen))),
            calm_live_ms,
            live_ms,
        };
        anyhow::Ok((storm, reads))
    };
    tokio::select! {
        stormed = storming => stormed,
        ended = talking => {
            ended?;
            bail!("the talk has ended by itself")
        }
    }
}

/// Posts messages to those who are connected all the time.
async fn talk(connection: Connection, channel: ChannelId, counts: Arc<Counts>) {
    let mut posts = JoinSet::new();
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / MESSAGES_PER_S);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        while posts.try_join_next().is_some() {}
        let connection = connection.clone();
        let text = counts.text(TEXT_BYTES);
        // One that is refused is not delivered, and not timed.
        posts.spawn(async move { drop(post(&connection, channel, text).await) });
    }
}

/// Bytes of all users, channels and members, page by page.
async fn full_dump(
    connection: &Connection,
    office: &Office,
    bar: &ProgressBar,
) -> anyhow::Result<usize> {
    let steps = progress::steps(
        bar,
        "the full dump: lists of members",
        office.channels.len(),
    );
    let users = list(connection, |cursor| {
        let limit = 1_000;
        request::Body::ListUsers(client::ListUsers { limit, cursor })
    });
    let channels = list(connection, |cursor| {
        request::Body::ListChannels(client::ListChannels {
            limit: 1_000,
            cursor,
            mine: false,
        })
    });
    let members: Vec<usize> = futures::stream::iter(&office.channels)
        .map(|channel| {
            list(connection, move |cursor| {
                request::Body::ListMembers(client::ListMembers {
                    channel: channel.0,
                    limit: 1_000,
                    cursor,
                })
            })
        })
        .buffer_unordered(LISTS)
        .inspect_ok(|_| steps())
        .try_collect()
        .await?;
    Ok(users.await? + channels.await? + members.into_iter().sum::<usize>())
}

/// Bytes of all pages of a list.
async fn list(
    connection: &Connection,
    page: impl Fn(String) -> request::Body,
) -> anyhow::Result<usize> {
    let (mut bytes, mut cursor) = (0, String::new());
    loop {
        let response = answer(connection, page(cursor.clone())).await?;
        if let Some(response::Result::Error(error)) = &response.result
            && error.retryable
        {
            // So many questions of one client are not answered at once.
            let told = Duration::from_millis(error.retry_after_ms.into());
            tokio::time::sleep(told.max(PAUSE)).await;
            continue;
        }
        bytes += frame::HEADER_BYTES + response.encoded_len();
        cursor = match response.result {
            Some(response::Result::Users(page)) => page.next_cursor,
            Some(response::Result::Channels(page)) => page.next_cursor,
            Some(response::Result::Members(page)) => page.next_cursor,
            other => bail!("a list was not answered with a page: {other:?}"),
        };
        if cursor.is_empty() {
            return Ok(bytes);
        }
    }
}

fn page(report: &Report) -> String {
    let Report {
        storm, core_reads, ..
    } = report;
    format!(
        "{} users, {} channels\n\
         all of that: {} bytes; to the first screen: {} bytes, {:.0} times fewer\n\
         first screen: p50 {:.1} ms, p99 {:.1} ms; handshake p50 {:.1} ms, round trip p50 {:.1} ms; \
         beyond these p50 {:.1} ms, p99 {:.1} ms\n\
         {} clients at once: {} served in {:.0} ms, first screen p50 {:.0} ms, p99 {:.0} ms\n\
         messages to {} others: p99 {:.1} ms meanwhile, {:.1} ms before\n\
         asked of the core: {} times for {} clients, {} times for {}",
        report.users,
        report.channels,
        report.full_bytes,
        report.boot_bytes,
        report.ratio_full_to_boot,
        report.first_screen_ms.p50,
        report.first_screen_ms.p99,
        report.handshake_ms.p50,
        report.round_trip_ms.p50,
        report.beyond_ms.p50,
        report.beyond_ms.p99,
        storm.clients,
        storm.served,
        storm.took_ms,
        storm.first_screen_ms.p50,
        storm.first_screen_ms.p99,
        super::office::LIVE,
        storm.live_ms.p99,
        storm.calm_live_ms.p99,
        core_reads.few,
        core_reads.few_clients,
        core_reads.many,
        core_reads.many_clients,
    )
}
