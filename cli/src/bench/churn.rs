//! Churn: the same few elements, of all kinds, change a great many times at three
//! replicas, which go and come back in new lives. What is left is compared with a
//! replica that has seen nothing but the elements.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::Context;
use causeway_core_region::store::Store;
use futures::future::try_join_all;
use indicatif::ProgressBar;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde::Serialize;
use tokio::process::Command;

use super::element::{any_change, last_change};
use super::machine::resident_bytes;
use super::node::{Node, Size, World};

/// Replicas.
const NODES: [u64; 3] = [1, 2, 3];
/// Users that write at the same time, at each replica.
const WRITERS: u32 = 96;
/// In each, a replica is away for a while, and comes back in a new life.
const ROUNDS: u64 = 24;
/// Between two words of how far it is.
const TELL_EVERY: u64 = 1_000;

/// What churn leaves behind. Pairs: of the replica that has seen it, and of a fresh one.
#[derive(Debug, Serialize)]
pub struct ChurnReport {
    /// Operations that were written.
    pub ops: u64,
    /// Elements that they were about, all of which are there at the end.
    pub elements: u32,
    /// Replicas that they were written at.
    pub replicas: usize,
    /// Lives that these have had together.
    pub lives: u64,
    /// Operations a second, at all replicas together.
    pub ops_per_s: f64,
    /// What is stored.
    pub stored_bytes: [u64; 2],
    /// Operations in the log.
    pub log_ops: [u64; 2],
    /// Rows that are no more, and are remembered.
    pub gone_rows: [u64; 2],
    /// Lives that the clock of the shard names.
    pub clock_actors: [usize; 2],
    /// Memory of a process that opens it.
    pub memory_bytes: [u64; 2],
    /// Memory of this process with all replicas: half way, and at the end.
    pub running_bytes: [u64; 2],
    /// Operations that waited at a replica for those they follow, at the most.
    pub waiting_max: u64,
    /// As many at the end.
    pub waiting: u64,
    /// Stored bytes, as a ratio.
    pub stored_ratio: f64,
    /// Memory, likewise.
    pub memory_ratio: f64,
}

impl ChurnReport {
    /// For people.
    pub fn page(&self) -> String {
        let mib = |bytes: u64| bytes as f64 / 1024.0 / 1024.0;
        format!(
            "after {} operations on {} elements of all kinds, at {} replicas in {} lives, \
             beside a fresh one\n\
             \x20 stored   {:>9} bytes to {:>9}: {:.2}×\n\
             \x20 memory   {:>9} bytes to {:>9}: {:.2}×\n\
             \x20 log      {:>9} operations to {}\n\
             \x20 clock    {:>9} lives to {}\n\
             \x20 waiting  {:>9} operations, {} at the most\n\
             \x20 running  {:>9.0} MiB half way, {:.0} MiB at the end, all replicas together",
            self.ops,
            self.elements,
            self.replicas,
            self.lives,
            self.stored_bytes[0],
            self.stored_bytes[1],
            self.stored_ratio,
            self.memory_bytes[0],
            self.memory_bytes[1],
            self.memory_ratio,
            self.log_ops[0],
            self.log_ops[1],
            self.clock_actors[0],
            self.clock_actors[1],
            self.waiting,
            self.waiting_max,
            mib(self.running_bytes[0]),
            mib(self.running_bytes[1]),
        )
    }
}

/// Churns.
///
/// # Errors
/// A disk or a network that cannot be used.
pub async fn run(
    folder: &Path,
    ops: u64,
    elements: u32,
    progress: &ProgressBar,
) -> anyhow::Result<ChurnReport> {
    let mut churn = Churn::start(folder, elements).await?;
    let began = Instant::now();
    let mut running_bytes = [0; 2];
    for round in 0..ROUNDS {
        if round == ROUNDS / 2 {
            running_bytes[0] = resident_bytes()?;
        }
        churn
            .round(round, ops * (round + 1) / ROUNDS, progress)
            .await?;
    }
    running_bytes[1] = resident_bytes()?;
    let ops_per_s = churn.written.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64();
    progress.set_message("collecting");
    let left = churn.settled().await?;
    let (written, waiting_max) = (churn.written, churn.waiting_max);
    for node in churn.nodes.into_iter().filter_map(Arc::into_inner) {
        node.stop().await;
    }
    let fresh = folder.join("fresh");
    let alone = only_elements(&fresh, elements).await?;
    let churned = folder.join(NODES[0].to_string());
    let memory = [memory_of(&churned).await?, memory_of(&fresh).await?];
    Ok(ChurnReport {
        ops: written.load(Ordering::Relaxed),
        elements,
        replicas: NODES.len(),
        lives: churn.lives,
        ops_per_s,
        stored_bytes: [left.bytes, alone.bytes],
        log_ops: [left.log_ops, alone.log_ops],
        gone_rows: [left.gone, alone.gone],
        clock_actors: [left.actors, alone.actors],
        memory_bytes: memory,
        running_bytes,
        waiting_max: waiting_max.load(Ordering::Relaxed),
        waiting: left.waiting,
        stored_ratio: left.bytes as f64 / alone.bytes as f64,
        memory_ratio: memory[0] as f64 / memory[1] as f64,
    })
}

/// The replicas, and what has been done to them.
struct Churn {
    world: World,
    nodes: Vec<Arc<Node>>,
    elements: u32,
    /// Lives that have begun.
    lives: u64,
    /// Changes that have been an operation.
    written: AtomicU64,
    waiting_max: AtomicU64,
}

impl Churn {
    async fn start(folder: &Path, elements: u32) -> anyhow::Result<Self> {
        let world = World::new(&NODES)?;
        let nodes = NODES.map(|node| world.start(node, &folder.join(node.to_string())));
        let nodes: anyhow::Result<Vec<Node>> = nodes.into_iter().collect();
        let nodes = nodes?;
        for (at, node) in nodes.iter().enumerate() {
            for other in &nodes[..at] {
                node.meet(other).await?;
            }
        }
        Ok(Self {
            world,
            nodes: nodes.into_iter().map(Arc::new).collect(),
            elements,
            lives: NODES.len() as u64,
            written: AtomicU64::new(0),
            waiting_max: AtomicU64::new(0),
        })
    }

    /// Writes until there are `upto` operations: half of them while one is away.
    async fn round(&mut self, round: u64, upto: u64, progress: &ProgressBar) -> anyhow::Result<()> {
        let from = self.written.load(Ordering::Relaxed);
        let away = self.nodes.remove(0);
        let (number, disk) = (away.number(), away.store.clone());
        if let Some(node) = Arc::into_inner(away) {
            node.stop().await;
        }
        self.write(round, from.midpoint(upto), progress).await?;
        self.come_back(number, disk).await?;
        self.write(round, upto, progress).await
    }

    async fn come_back(&mut self, number: u64, disk: Store) -> anyhow::Result<()> {
        self.lives += 1;
        let node = self.world.start_again(number, self.lives, disk)?;
        for other in &self.nodes {
            node.meet(other).await?;
        }
        self.nodes.push(Arc::new(node));
        Ok(())
    }

    /// Elements change at random, at all replicas that are there.
    async fn write(&self, round: u64, upto: u64, progress: &ProgressBar) -> anyhow::Result<()> {
        let writers = (0..WRITERS).flat_map(|writer| {
            let seed = move |at: usize| (round << 32) | (u64::from(writer) << 8) | at as u64;
            let nodes = self.nodes.iter().enumerate();
            nodes.map(move |(at, node)| (node, SmallRng::seed_from_u64(seed(at))))
        });
        let writers = writers.map(|(node, rng)| self.write_at(node, rng, upto, progress));
        try_join_all(writers).await.map(|_| ())
    }

    async fn write_at(
        &self,
        node: &Node,
        mut rng: SmallRng,
        upto: u64,
        progress: &ProgressBar,
    ) -> anyhow::Result<()> {
        while self.written.load(Ordering::Relaxed) < upto {
            let element = rng.random_range(0..self.elements);
            let (item, intent) = any_change(element, &mut rng);
            if !node.write(item, intent).await? {
                continue;
            }
            let before = self.written.fetch_add(1, Ordering::Relaxed);
            if before.is_multiple_of(TELL_EVERY) {
                progress.set_message(format!("churn: {before} operations"));
                (self.waiting_max).fetch_max(node.waiting()?, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// All elements are there in the end, and all replicas have collected all that they
    /// can. Returns the largest: how many replicas have had a part in a row that is there
    /// hangs on what came when.
    async fn settled(&self) -> anyhow::Result<Size> {
        let [a, others @ ..] = self.nodes.as_slice() else {
            unreachable!("there are three");
        };
        for other in others {
            a.has_all_of(other).await?;
        }
        write_all(a, self.elements).await?;
        let mut largest = Size::default();
        for node in &self.nodes {
            node.has_all_of(a).await?;
            node.is_collected().await?;
            let size = node.size()?;
            if size.bytes > largest.bytes {
                largest = size;
            }
        }
        Ok(largest)
    }
}

async fn write_all(node: &Node, elements: u32) -> anyhow::Result<()> {
    let writes = (0..elements).map(|element| {
        let (item, intent) = last_change(element);
        node.write(item, intent)
    });
    try_join_all(writes).await.map(|_| ())
}

async fn only_elements(folder: &Path, elements: u32) -> anyhow::Result<Size> {
    let node = World::new(&[1])?.start(1, folder)?;
    write_all(&node, elements).await?;
    node.is_collected().await?;
    let size = node.size()?;
    node.stop().await;
    Ok(size)
}

/// What a process takes that opens a copy of this folder: this one may still hold it.
async fn memory_of(folder: &Path) -> anyhow::Result<u64> {
    let copy = folder.with_extension("copy");
    std::fs::create_dir(&copy)?;
    for file in std::fs::read_dir(folder)? {
        let file = file?;
        std::fs::copy(file.path(), copy.join(file.file_name()))?;
    }
    let told = Command::new(std::env::current_exe()?)
        .args(["bench", "metadata", "--memory-of"])
        .arg(&copy)
        .stderr(Stdio::inherit())
        .output()
        .await?;
    let told = String::from_utf8(told.stdout)?;
    told.trim().parse().context("a child tells no memory")
}
