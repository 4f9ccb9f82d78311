//! `causeway bench metadata`: how many operations a core writes, what one of them and
//! a resync cost between regions, and what churn leaves behind.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use causeway_core_region::store::Store;
use clap::Args;
use futures::future::try_join_all;
use serde::Serialize;

use super::churn::{self, ChurnReport};
use super::machine::{cpu_time, fsync_ms, resident_bytes};
use super::node::{Node, World, reaction};
use super::progress;
use crate::output::say;

/// Users that write at the same time.
const WRITERS: u32 = 256;
/// How long they do.
const WRITING: Duration = Duration::from_secs(5);
/// Operations that are sent one by one.
const SINGLE_OPS: u64 = 500;
/// How long the connection is left alone, to see what it costs by itself.
const IDLE: Duration = Duration::from_secs(5);
/// Operations that a replica has when it goes.
const RESYNC_OPS: u64 = 100_000;
/// Operations that it misses.
const MISSING_OPS: u64 = 100;

/// Later than any that a folder has seen.
const LATER_LIFE: u64 = 1 << 32;

/// Flags of `causeway bench metadata`.
#[derive(Debug, Args)]
pub struct MetadataArgs {
    /// Operations of churn
    #[arg(long, default_value_t = 1_000_000)]
    churn: u64,
    /// Live elements that they are about
    #[arg(long, default_value_t = 1_000)]
    elements: u32,
    /// Print one JSON object instead of the page for people
    #[arg(long)]
    json: bool,
    /// Print what memory a node takes that opens this folder, and end
    #[arg(long, hide = true, value_name = "FOLDER")]
    memory_of: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Report {
    fsync_ms: f64,
    throughput: Throughput,
    wan: Wan,
    churn: ChurnReport,
}

/// Operations that are on the disk before they are acknowledged.
#[derive(Debug, Serialize)]
struct Throughput {
    writers: u32,
    ops_per_s: f64,
    /// Of one core that does nothing else.
    ops_per_core_s: f64,
    /// Operations that one sync serves.
    ops_per_sync: f64,
}

/// UDP payload between two replicas, both ways together.
#[derive(Debug, Serialize)]
struct Wan {
    /// Of an operation that travels alone.
    bytes_per_op: f64,
    /// Of one among many.
    bytes_per_op_busy: f64,
    idle_bytes_per_s: f64,
    resync: Resync,
}

#[derive(Debug, Serialize)]
struct Resync {
    ops: u64,
    missing: u64,
    /// Including the handshake of the connection.
    bytes: u64,
    handshake_bytes: u64,
    /// Of the missing operations, while the connection is there, for comparison.
    all_ops_bytes: u64,
}

/// Measures, and tells.
///
/// # Errors
/// A disk or a network that cannot be used.
pub async fn run(args: MetadataArgs) -> anyhow::Result<()> {
    if let Some(folder) = &args.memory_of {
        return tell_memory(folder).await;
    }
    let progress = progress::spinner("syncs");
    let folder = tempfile::Builder::new()
        .prefix("causeway-bench-")
        .tempdir()?;
    let fsync_ms = fsync_ms(folder.path())?;
    progress.set_message("operations a second");
    let throughput = throughput(&folder.path().join("alone")).await?;
    progress.set_message("bytes between regions");
    let wan = wan(&folder.path().join("wan")).await?;
    progress.set_message("churn");
    let churn = churn::run(
        &folder.path().join("churn"),
        args.churn,
        args.elements,
        &progress,
    )
    .await?;
    progress.finish_and_clear();
    let report = Report {
        fsync_ms,
        throughput,
        wan,
        churn,
    };
    match args.json {
        true => say(&serde_json::to_string(&report)?),
        false => say(&page(&report)),
    }
    Ok(())
}

async fn tell_memory(folder: &std::path::Path) -> anyhow::Result<()> {
    let node = World::new(&[1])?.start_again(1, LATER_LIFE, Store::open(folder)?)?;
    node.size()?;
    say(&resident_bytes()?.to_string());
    node.stop().await;
    Ok(())
}

async fn throughput(folder: &std::path::Path) -> anyhow::Result<Throughput> {
    let node = Arc::new(World::new(&[1])?.start(1, folder)?);
    let (began, cpu, syncs) = (Instant::now(), cpu_time()?, node.store.flusher().syncs());
    let ops = write_for(&node, WRITING).await?;
    let (took, cpu) = (began.elapsed(), cpu_time()?.saturating_sub(cpu));
    let syncs = node.store.flusher().syncs() - syncs;
    end(node).await;
    Ok(Throughput {
        writers: WRITERS,
        ops_per_s: ops as f64 / took.as_secs_f64(),
        ops_per_core_s: ops as f64 / cpu.as_secs_f64(),
        ops_per_sync: ops as f64 / syncs.max(1) as f64,
    })
}

/// All writers write, one operation after another; returns how many.
async fn write_for(node: &Arc<Node>, time: Duration) -> anyhow::Result<u64> {
    let until = Instant::now() + time;
    let writers = (1..=WRITERS).map(|user| {
        let node = Arc::clone(node);
        tokio::spawn(async move {
            let mut ops = 0;
            while Instant::now() < until {
                let (item, intent) = reaction(user, 1 + ops / 2 % 100, ops % 2 == 0);
                node.write(item, intent).await?;
                ops += 1;
            }
            anyhow::Ok(ops)
        })
    });
    sum(try_join_all(writers).await?)
}

/// All writers together write so many reactions, which stay.
async fn write_many(node: &Arc<Node>, ops: u64, from_message: u64) -> anyhow::Result<()> {
    let writers = (1..=WRITERS).map(|user| {
        let node = Arc::clone(node);
        tokio::spawn(async move {
            let mine = (0..ops).filter(|n| n % u64::from(WRITERS) == u64::from(user - 1));
            for n in mine {
                let (item, intent) = reaction(user, from_message + n, true);
                node.write(item, intent).await?;
            }
            anyhow::Ok(0)
        })
    });
    sum(try_join_all(writers).await?).map(|_| ())
}

fn sum(counts: Vec<anyhow::Result<u64>>) -> anyhow::Result<u64> {
    counts.into_iter().sum()
}

async fn end(node: Arc<Node>) {
    if let Some(node) = Arc::into_inner(node) {
        node.stop().await;
    }
}

async fn wan(folder: &std::path::Path) -> anyhow::Result<Wan> {
    let world = World::new(&[1, 2])?;
    let (here, there) = (folder.join("1"), folder.join("2"));
    let a = Arc::new(world.start(1, &here)?);
    let b = world.start(2, &there)?;
    a.meet(&b).await?;
    write_many(&a, 1, 1).await?;
    b.has_all_of(&a).await?;

    let before = a.traffic(&b).bytes();
    tokio::time::sleep(IDLE).await;
    let idle_bytes_per_s = (a.traffic(&b).bytes() - before) as f64 / IDLE.as_secs_f64();

    let (began, before) = (Instant::now(), a.traffic(&b).bytes());
    for n in 0..SINGLE_OPS {
        write_many(&a, 1, 1_000 + n).await?;
        b.has_all_of(&a).await?;
    }
    let idle = idle_bytes_per_s * began.elapsed().as_secs_f64();
    let alone = (a.traffic(&b).bytes() - before) as f64 - idle;

    let before = a.traffic(&b).bytes();
    let busy_ops = RESYNC_OPS - MISSING_OPS;
    write_many(&a, busy_ops, 10_000).await?;
    b.has_all_of(&a).await?;
    let all_ops_bytes = a.traffic(&b).bytes() - before;
    let resync = resync(&world, &a, b, all_ops_bytes).await?;
    end(a).await;
    Ok(Wan {
        bytes_per_op: alone / SINGLE_OPS as f64,
        bytes_per_op_busy: all_ops_bytes as f64 / busy_ops as f64,
        idle_bytes_per_s,
        resync,
    })
}

/// `b` goes, misses some operations, and comes back.
async fn resync(
    world: &World,
    a: &Arc<Node>,
    b: Node,
    all_ops_bytes: u64,
) -> anyhow::Result<Resync> {
    let disk = b.store.clone();
    b.stop().await;
    write_many(a, MISSING_OPS, 1_000_000).await?;
    let b = world.start_again(2, 2, disk)?;
    a.meet(&b).await?;
    let handshake_bytes = a.traffic(&b).bytes();
    b.has_all_of(a).await?;
    let bytes = a.traffic(&b).bytes();
    b.stop().await;
    Ok(Resync {
        ops: RESYNC_OPS,
        missing: MISSING_OPS,
        bytes,
        handshake_bytes,
        all_ops_bytes,
    })
}

fn page(report: &Report) -> String {
    let Report {
        fsync_ms,
        throughput,
        wan,
        churn,
    } = report;
    format!(
        "metadata\n\
         \x20 {:.0} operations/s, {:.0} per core, {:.0} to a sync ({fsync_ms:.2} ms)\n\
         between regions\n\
         \x20 {:.0} bytes for an operation alone, {:.0} among many\n\
         \x20 {} bytes to resync {} operations of which {} are missing ({} for the others)\n\
         {}",
        throughput.ops_per_s,
        throughput.ops_per_core_s,
        throughput.ops_per_sync,
        wan.bytes_per_op,
        wan.bytes_per_op_busy,
        wan.resync.bytes,
        wan.resync.ops,
        wan.resync.missing,
        wan.resync.all_ops_bytes,
        churn.page(),
    )
}
