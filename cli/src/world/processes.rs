//! The processes of a world: started, watched, stopped; never restarted.

use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use causeway_protocol::Name;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::WorldNode;
use super::stat::Stat;

/// A node that has not stopped by then is killed. It gives clients 4 s to leave and
/// HTTP requests 3 s to end, and has the disk to close, on a busy machine too.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);
/// The system has taken a killed node apart by then.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);
/// What cannot run at all ends this soon.
const FIRST_MOMENT: Duration = Duration::from_millis(300);
/// Between looks at a process.
const LOOK_EVERY: Duration = Duration::from_millis(10);

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
        self.signal(Signal::SIGCONT);
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

/// Kills a node's process at once, and waits until it holds nothing any more:
/// neither the lock of its data nor its addresses.
///
/// # Errors
/// When it does not run, or does not go.
pub fn kill_node(node: &WorldNode) -> anyhow::Result<()> {
    kill_nodes(&[node])
}

/// The same with several, all at the same moment.
///
/// # Errors
/// When one does not run, or does not go.
pub fn kill_nodes(nodes: &[&WorldNode]) -> anyhow::Result<()> {
    end(nodes, Signal::SIGKILL, KILL_TIMEOUT)
}

/// Freezes a node's process (SIGSTOP), like a machine that hangs: it keeps its
/// connections, its addresses and the lock of its data, and answers nobody.
///
/// # Errors
/// When it does not run.
pub fn freeze_node(node: &WorldNode) -> anyhow::Result<()> {
    signal(node, Signal::SIGSTOP)
}

/// Lets a frozen process go on (SIGCONT), as if no time had passed; one that is not
/// frozen does not notice.
///
/// # Errors
/// When it does not run.
pub fn thaw_node(node: &WorldNode) -> anyhow::Result<()> {
    signal(node, Signal::SIGCONT)
}

fn signal(node: &WorldNode, signal: Signal) -> anyhow::Result<()> {
    ensure!(runs(node), "{} does not run", node.name);
    kill(pid(node)?, signal).with_context(|| format!("cannot send {signal} to {}", node.name))
}

/// Asks a node's process to stop, and waits until it has.
///
/// # Errors
/// When it does not run, or does not stop in time.
pub fn stop_node(node: &WorldNode) -> anyhow::Result<()> {
    end(&[node], Signal::SIGTERM, STOP_TIMEOUT)
}

fn end(nodes: &[&WorldNode], signal: Signal, limit: Duration) -> anyhow::Result<()> {
    let found = |node: &WorldNode| Process::find(node.pid).filter(|_| runs(node));
    let processes = nodes
        .iter()
        .map(|node| found(node).with_context(|| format!("{} does not run", node.name)))
        .collect::<anyhow::Result<Vec<_>>>()?;
    for node in nodes {
        kill(pid(node)?, signal).with_context(|| format!("cannot stop {}", node.name))?;
    }
    for (node, process) in nodes.iter().zip(processes) {
        let gone = within(limit, || Ok(process.is_gone().then_some(())))?;
        gone.with_context(|| format!("{} does not stop: process {}", node.name, node.pid))?;
    }
    Ok(())
}

/// Looks again and again until there is something, or the time is over.
fn within<T>(
    limit: Duration,
    mut look: impl FnMut() -> std::io::Result<Option<T>>,
) -> std::io::Result<Option<T>> {
    let deadline = Instant::now() + limit;
    loop {
        let seen = look()?;
        if seen.is_some() || Instant::now() >= deadline {
            return Ok(seen);
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// A process, told apart from a later one with its id.
struct Process {
    pid: u32,
    /// In the system's clock ticks.
    started: String,
}

impl Process {
    fn find(pid: u32) -> Option<Self> {
        let started = Stat::read(pid)?.started;
        Some(Self { pid, started })
    }

    /// Whether it holds nothing any more. It may still be a name for which its
    /// parent, such as `causeway dev`, has not asked yet.
    fn is_gone(&self) -> bool {
        let Some(stat) = Stat::read(self.pid) else {
            return true;
        };
        // Files are closed by the last thread, and the first may end before it.
        let is_ended = || stat.is_zombie && threads(self.pid) <= 1;
        stat.started != self.started || is_ended()
    }
}

fn threads(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count)
}

/// Starts a node that does not run, detached from this process, and notes its
/// process id once it has outlived its first moment.
///
/// # Errors
/// When it runs, or ends at once, or the system's.
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
    let mut child = std::process::Command::new(program)
        .args(words)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot start {}", node.name))?;
    if let Some(status) = within(FIRST_MOMENT, || child.try_wait())? {
        bail!(
            "{} has ended at once ({status}); see {}",
            node.name,
            node.log.display()
        );
    }
    node.pid = child.id();
    Ok(node.pid)
}

/// Asks nodes to stop that were started by hand, after the world was.
pub fn stop_strays(nodes: &[WorldNode]) {
    for node in nodes.iter().filter(|node| runs(node)) {
        // It may have ended just now.
        let _ = thaw_node(node);
        let _ = signal(node, Signal::SIGTERM);
    }
}

/// Waits until none of these nodes runs any more, and kills those that stay.
pub fn end_strays(nodes: &[WorldNode]) {
    let deadline = Instant::now() + STOP_TIMEOUT;
    while nodes.iter().any(runs) && Instant::now() < deadline {
        std::thread::sleep(LOOK_EVERY);
    }
    for node in nodes.iter().filter(|node| runs(node)) {
        // It may have ended just now.
        let _ = kill_node(node);
    }
}

/// Whether the process with the node's id is this node: ids are used again.
pub fn runs(node: &WorldNode) -> bool {
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::world::NodeRole;

    /// A node whose process is `script`, run by a shell.
    fn node(folder: &Path, script: &str) -> WorldNode {
        let config = folder.join("core.toml");
        let words = ["sh", "-c", script, "sh"].map(str::to_owned);
        let command = words.into_iter().chain([config.display().to_string()]);
        WorldNode {
            name: "one".parse().unwrap(),
            role: NodeRole::Core,
            place: "here".parse().unwrap(),
            zone: "here".parse().unwrap(),
            pid: 0,
            backbone: ([127, 0, 0, 1], 1).into(),
            client: None,
            http: ([127, 0, 0, 1], 2).into(),
            data_dir: folder.join("data"),
            log: folder.join("node.log"),
            faults: None,
            config,
            command: command.collect(),
        }
    }

    /// Is there until it is killed, and does nothing.
    const STAYS: &str = "while :; do kill -STOP $$; done";

    #[test]
    fn a_killed_node_is_gone_and_can_be_started_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut node = node(folder.path(), STAYS);
        for _ in 0..3 {
            let pid = start_again(&mut node).unwrap();
            assert!(start_again(&mut node).is_err(), "it runs already");
            let process = Process::find(pid).unwrap();
            assert!(!process.is_gone());
            kill_node(&node).unwrap();
            // Nobody has asked for it, and it is gone all the same.
            assert!(process.is_gone());
            assert!(kill_node(&node).is_err(), "it does not run any more");
        }
    }

    #[test]
    fn a_node_that_ends_at_once_is_told_with_its_log() {
        let folder = tempfile::tempdir().unwrap();
        let mut node = node(folder.path(), "echo no lock; exit 3");
        let error = start_again(&mut node).unwrap_err().to_string();
        for part in ["one", "exit status: 3", "node.log"] {
            assert!(error.contains(part), "`{part}` is missing in: {error}");
        }
        assert_eq!(node.pid, 0);
        assert_eq!(std::fs::read_to_string(&node.log).unwrap(), "no lock\n");
    }
}
