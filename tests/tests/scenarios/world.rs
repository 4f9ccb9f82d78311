//! A world under test.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use causeway::world::{World, WorldNode, WorldWorkspace};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

/// Longer than anything here should take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(120);

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// The product's binary.
pub fn causeway() -> Command {
    Command::new(env!("CARGO_BIN_EXE_causeway-under-test"))
}

/// A folder for worlds, and the right to run one.
pub struct Site {
    folder: TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Site {
    /// Waits for its turn.
    pub fn new() -> Self {
        // A scenario that failed has let go of its world all the same.
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        Self {
            folder: TempDir::new().expect("a temporary folder"),
            _turn: turn,
        }
    }

    /// A path inside.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts the world in this folder, new or as it was left.
    pub fn start(&self, flags: &[&str]) -> Running {
        self.start_with(flags, &[])
    }

    /// The same, with variables in the environment of every node.
    pub fn start_with(&self, flags: &[&str], variables: &[(&str, &str)]) -> Running {
        let data_dir = self.path("world");
        let mut child = causeway()
            .args(["dev", "--data-dir"])
            .arg(&data_dir)
            .args(flags)
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let mut output = BufReader::new(child.stdout.take().expect("piped"));
        let mut told = String::new();
        while !told.contains("Ctrl-C stops everything.") {
            let read = output.read_line(&mut told).expect("readable");
            if read == 0 {
                let mut errors = String::new();
                let stderr = child.stderr.take();
                let _ = stderr.map(|mut e| e.read_to_string(&mut errors));
                panic!(
                    "the world did not start:\n{told}{errors}{}",
                    logs(&data_dir)
                );
            }
        }
        Running {
            world: World::load(Some(&data_dir.join("world.json"))).expect("a world file"),
            file: data_dir.join("world.json"),
            told,
            child,
        }
    }
}

/// A world that runs. Dropping it stops it.
pub struct Running {
    /// What its file says.
    pub world: World,
    /// Its file.
    pub file: PathBuf,
    /// What it printed while it started.
    pub told: String,
    child: Child,
}

impl Running {
    /// A command about this world, such as `replay`.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = causeway();
        command.args(words).arg("--world").arg(&self.file);
        command
    }

    /// Runs a command about this world, and returns what it prints.
    pub fn run(&self, words: &[&str]) -> String {
        let output = self.command(words).output().expect("the binary runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}:\n{text}{errors}");
        text
    }

    /// The world at a glance.
    pub fn status(&self) -> Value {
        let status = self.run(&["admin", "status", "--json"]);
        serde_json::from_str(&status).expect("one object")
    }

    /// Replays an export, and returns the ledger.
    pub fn replay(&self, export: &Path, flags: &[&str]) -> Value {
        self.start_replay(export, flags).ledger()
    }

    /// Begins to replay an export.
    pub fn start_replay(&self, export: &Path, flags: &[&str]) -> Replaying {
        let child = self
            .command(&["replay", "--json"])
            .args(flags)
            .arg(export)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        Replaying(child)
    }

    /// A node by its name.
    pub fn node(&self, name: &str) -> &WorldNode {
        self.world.node(name).expect("a node of the world")
    }

    /// A demonstration workspace.
    pub fn workspace(&self, name: &str) -> &WorldWorkspace {
        let workspaces = self.world.workspaces.iter();
        let found = workspaces.into_iter().find(|w| w.name == name);
        found.expect("a demonstration workspace")
    }

    /// Stops the world as Ctrl-C does, and tells how its command ended.
    pub fn stop(mut self) -> ExitStatus {
        self.interrupt();
        wait(&mut self.child)
    }

    fn interrupt(&self) {
        let pid = i32::try_from(self.child.id()).expect("a process id");
        // It may have ended.
        let _ = kill(Pid::from_raw(pid), Signal::SIGINT);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.interrupt();
        let _ = self.child.wait();
    }
}

/// A replay under way.
pub struct Replaying(Child);

impl Replaying {
    /// Waits for its end, and returns the ledger.
    pub fn ledger(self) -> Value {
        let output = self.0.wait_with_output().expect("it ends");
        let text = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        let ledger = serde_json::from_str(&text);
        ledger.unwrap_or_else(|e| panic!("{e}: {text}{errors}"))
    }
}

/// Waits for a process to end.
pub fn wait(child: &mut Child) -> ExitStatus {
    until("the process ends", || child.try_wait().expect("a child"))
}

/// Looks again and again until there is something to see.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(start.elapsed() < PATIENCE, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The ends of all logs, for a scenario that fails.
fn logs(data_dir: &Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(data_dir).into_iter().flatten().flatten() {
        if let Ok(log) = std::fs::read_to_string(entry.path().join("node.log")) {
            let lines: Vec<&str> = log.lines().rev().take(10).collect();
            text += &format!("\n{}\n", entry.path().display());
            lines
                .iter()
                .rev()
                .for_each(|line| text += &format!("{line}\n"));
        }
    }
    text
}

/// What every ledger must say.
pub fn assert_clean(ledger: &Value) {
    for field in ["lost", "duplicated", "out_of_order", "refused", "errors"] {
        assert_eq!(ledger[field], 0, "{field}: {ledger}");
    }
    assert_eq!(ledger["sent"], ledger["acknowledged"], "{ledger}");
}

/// The elements of a list.
pub fn list<'a>(object: &'a Value, field: &str) -> &'a [Value] {
    object[field].as_array().map_or(&[], Vec::as_slice)
}
