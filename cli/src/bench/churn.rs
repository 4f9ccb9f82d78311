//! Churn: the same few elements come and go a great many times, at two replicas. What
//! is left is compared with a replica that has seen nothing but the elements.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::Context;
use futures::future::try_join_all;
use indicatif::ProgressBar;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde::Serialize;
use tokio::process::Command;

use super::node::{Node, Size, World, reaction};

/// Users that write at the same time, at each replica.
const WRITERS: u32 = 128;
/// Between two words of how far it is.
const TELL_EVERY: u64 = 1_000;

/// What churn leaves behind.
#[derive(Debug, Serialize)]
pub struct ChurnReport {
    /// Operations that were written.
    pub ops: u64,
    /// Elements that they were about, all of which are there at the end.
    pub elements: u32,
    /// Operations a second, at both replicas together.
    pub ops_per_s: f64,
    /// Of the one that has seen the churn, and of the fresh one.
    pub stored_bytes: [u64; 2],
    /// Operations in their logs.
    pub log_ops: [u64; 2],
    /// Rows that are no more, and are remembered.
    pub gone_rows: [u64; 2],
    /// Of processes that open them.
    pub memory_bytes: [u64; 2],
    /// Stored bytes, as a ratio.
    pub stored_ratio: f64,
    /// Memory, likewise.
    pub memory_ratio: f64,
}

impl ChurnReport {
    /// For people.
    pub fn page(&self) -> String {
        format!(
            "after {} operations on {} elements, beside a fresh replica\n\
             \x20 stored   {:>9} bytes to {:>9}: {:.2}×\n\
             \x20 memory   {:>9} bytes to {:>9}: {:.2}×\n\
             \x20 log      {:>9} operations to {}",
            self.ops,
            self.elements,
            self.stored_bytes[0],
            self.stored_bytes[1],
            self.stored_ratio,
            self.memory_bytes[0],
            self.memory_bytes[1],
            self.memory_ratio,
            self.log_ops[0],
            self.log_ops[1],
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
    let (churned, other, fresh) = (folder.join("1"), folder.join("2"), folder.join("fresh"));
    let world = World::new(&[1, 2])?;
    let nodes = [world.start(1, &churned)?, world.start(2, &other)?];
    nodes[0].meet(&nodes[1]).await?;
    let nodes = Arc::new(nodes);
    let began = Instant::now();
    let written = churn(&nodes, ops, elements, progress).await?;
    let ops_per_s = written as f64 / began.elapsed().as_secs_f64();
    progress.set_message("collecting");
    let left = settled(&nodes, elements).await?;
    if let Some([a, b]) = Arc::into_inner(nodes) {
        a.stop().await;
        b.stop().await;
    }
    let alone = only_elements(&fresh, elements).await?;
    let memory = [memory_of(&churned).await?, memory_of(&fresh).await?];
    Ok(ChurnReport {
        ops: written,
        elements,
        ops_per_s,
        stored_bytes: [left.bytes, alone.bytes],
        log_ops: [left.log_ops, alone.log_ops],
        gone_rows: [left.gone, alone.gone],
        memory_bytes: memory,
        stored_ratio: left.bytes as f64 / alone.bytes as f64,
        memory_ratio: memory[0] as f64 / memory[1] as f64,
    })
}

/// Elements come and go at random, at both replicas.
async fn churn(
    nodes: &Arc<[Node; 2]>,
    ops: u64,
    elements: u32,
    progress: &ProgressBar,
) -> anyhow::Result<u64> {
    let written = Arc::new(AtomicU64::new(0));
    let writers = (0..2 * WRITERS).map(|writer| {
        let (nodes, written, progress) = (Arc::clone(nodes), written.clone(), progress.clone());
        tokio::spawn(async move {
            let mut rng = SmallRng::seed_from_u64(writer.into());
            let node = &nodes[writer as usize % 2];
            loop {
                let before = written.fetch_add(1, Ordering::Relaxed);
                if before >= ops {
                    return anyhow::Ok(());
                }
                if before.is_multiple_of(TELL_EVERY) {
                    progress.set_message(format!("churn: {before} of {ops} operations"));
                }
                let element = rng.random_range(0..elements);
                let (item, intent) = reaction(element, 1, rng.random());
                node.write(item, intent).await?;
            }
        })
    });
    for done in try_join_all(writers).await? {
        done?;
    }
    Ok(ops)
}

/// All elements are there in the end, and both replicas have collected all that they
/// can. Returns the larger: how many replicas have had a part in a row that is there
/// hangs on what came when.
async fn settled(nodes: &[Node; 2], elements: u32) -> anyhow::Result<Size> {
    let [a, b] = nodes;
    a.has_all_of(b).await?;
    write_all(a, elements).await?;
    b.has_all_of(a).await?;
    a.is_collected().await?;
    b.is_collected().await?;
    let (left, other) = (a.size()?, b.size()?);
    Ok(match left.bytes < other.bytes {
        true => other,
        false => left,
    })
}

async fn write_all(node: &Node, elements: u32) -> anyhow::Result<()> {
    let writes = (0..elements).map(|element| {
        let (item, intent) = reaction(element, 1, true);
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
