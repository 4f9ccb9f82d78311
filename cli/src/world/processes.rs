//! The processes of a world: started, watched, stopped; never restarted.

use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use causeway_protocol::Name;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::WorldNode;

/// A node that has not stopped by then is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(8);

/// A process has ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// Which node.
    pub name: Name,
    /// How.
    pub status: String,
}

/// Running nodes.
pub struct Processes {
    pids: Vec<(Name, Pid)>,
    watching: JoinSet<()>,
    ended: mpsc::Receiver<Ended>,
}

impl Processes {
    /// Starts every node, each with its output in its own log, and notes its
    /// process id. Each gets a pipe as standard input that ends with this
    /// process, however that ends, and stops then.
    ///
    /// # Errors
    /// The system's; those that were started stop by themselves.
    pub fn start(nodes: &mut [WorldNode]) -> anyhow::Result<Self> {
        let (sender, ended) = mpsc::channel(nodes.len().max(1));
        let (mut pids, mut watching) = (Vec::new(), JoinSet::new());
        for node in nodes {
            let child = spawn(node)?;
            node.pid = child.id().context("the process has ended at once")?;
            pids.push((node.name.clone(), pid(node)?));
            watching.spawn(watch(node.name.clone(), child, sender.clone()));
        }
        Ok(Self {
            pids,
            watching,
            ended,
        })
    }

    /// Waits for the next process to end.
    pub async fn next_end(&mut self) -> Option<Ended> {
        let ended = self.ended.recv().await?;
        self.pids.retain(|(name, _)| *name != ended.name);
        Some(ended)
    }

    /// Stops every process: asks, waits, and kills those that stay.
    pub async fn stop(mut self) {
        self.signal(Signal::SIGTERM);
        let all_ended = async { while self.watching.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_TIMEOUT, all_ended).await.is_err() {
            self.signal(Signal::SIGKILL);
            while self.watching.join_next().await.is_some() {}
        }
    }

    fn signal(&mut self, signal: Signal) {
        while let Ok(ended) = self.ended.try_recv() {
            self.pids.retain(|(name, _)| *name != ended.name);
        }
        for (_, pid) in &self.pids {
            // It may have ended just now.
            let _ = kill(*pid, signal);
        }
    }
}

/// Kills a node's process at once.
///
/// # Errors
/// When it does not run.
pub fn kill_node(node: &WorldNode) -> anyhow::Result<()> {
    ensure!(runs(node), "{} does not run", node.name);
    kill(pid(node)?, Signal::SIGKILL).with_context(|| format!("cannot kill {}", node.name))
}

/// Starts a node that does not run, detached from this process, and notes its
/// process id.
///
/// # Errors
/// When it runs, or the system's.
pub fn start_again(node: &mut WorldNode) -> anyhow::Result<u32> {
    ensure!(
        !runs(node),
        "{} runs already, as process {}",
        node.name,
        node.pid
    );
    let log = open_log(node)?;
    let (program, words) = node
        .command
        .split_first()
        .context("a node has no command")?;
    let child = std::process::Command::new(program)
        .args(words)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot start {}", node.name))?;
    node.pid = child.id();
    Ok(node.pid)
}

/// Asks nodes to stop that were started by hand, after the world was.
pub fn stop_strays(nodes: &[WorldNode]) {
    for node in nodes.iter().filter(|node| runs(node)) {
        if let Ok(pid) = pid(node) {
            // It may have ended just now.
            let _ = kill(pid, Signal::SIGTERM);
        }
    }
}

/// Whether the process with the node's id is this node: ids are used again.
fn runs(node: &WorldNode) -> bool {
    let command = std::fs::read(format!("/proc/{}/cmdline", node.pid));
    let config = node.config.as_os_str().as_encoded_bytes();
    command.is_ok_and(|command| command.split(|b| *b == 0).any(|word| word == config))
}

fn pid(node: &WorldNode) -> anyhow::Result<Pid> {
    Ok(Pid::from_raw(i32::try_from(node.pid)?))
}

fn open_log(node: &WorldNode) -> anyhow::Result<std::fs::File> {
    std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&node.log)
        .with_context(|| format!("cannot open {}", node.log.display()))
}

fn spawn(node: &WorldNode) -> anyhow::Result<Child> {
    let log = open_log(node)?;
    let (program, words) = node
        .command
        .split_first()
        .context("a node has no command")?;
    Command::new(program)
        .args(words)
        .arg("--stop-with-stdin")
        .stdin(Stdio::piped())
        .stdout(log.try_clone()?)
        .stderr(log)
        // Ctrl-C is for this process, which then stops the nodes in order.
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot start {}", node.name))
}

async fn watch(name: Name, mut child: Child, ended: mpsc::Sender<Ended>) {
    let _stdin = child.stdin.take();
    let status = match child.wait().await {
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    };
    // Nobody listens any more while the world stops.
    let _ = ended.try_send(Ended { name, status });
}
