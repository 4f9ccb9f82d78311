//! A side of the link: a process of this program in a network namespace of its own,
//! which speaks with the one that started it in lines of JSON. It ends when its
//! standard input does, so however the other one ends.

use std::io::BufRead;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::link::End;
use super::network::missing;
use crate::output::say;

/// A side that is to end has ended by then: a world takes a while.
const END_TIMEOUT: Duration = Duration::from_secs(40);
/// Lines that wait to be read.
const LINES_MAX: usize = 16;

/// A side, as the process that started it sees it.
pub struct Side {
    end: End,
    child: Child,
    to: ChildStdin,
    from: Lines<BufReader<ChildStdout>>,
}

impl Side {
    /// Starts it. The namespace is there once it has said something.
    ///
    /// # Errors
    /// The system's.
    pub fn start(end: End) -> anyhow::Result<Self> {
        let binary = std::env::current_exe().context("where is this program?")?;
        let mut child = Command::new("unshare")
            .args(["--net", "--"])
            .arg(binary)
            .args(["bench", "loss-side", end.name()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C is for this process, which then ends the sides in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| missing(error, "unshare", "util-linux"))?;
        let to = child.stdin.take().context("no standard input")?;
        let from = child.stdout.take().context("no standard output")?;
        Ok(Self {
            end,
            child,
            to,
            from: BufReader::new(from).lines(),
        })
    }

    /// Its process, which `unshare` has become.
    ///
    /// # Errors
    /// It has ended.
    pub fn pid(&self) -> anyhow::Result<u32> {
        self.child.id().with_context(|| self.has_ended())
    }

    /// Says something to it.
    ///
    /// # Errors
    /// It has ended.
    pub async fn tell<T: Serialize>(&mut self, what: &T) -> anyhow::Result<()> {
        let line = serde_json::to_string(what)? + "\n";
        let told = self.to.write_all(line.as_bytes()).await;
        told.with_context(|| self.has_ended())
    }

    /// Waits for the next that it says.
    ///
    /// # Errors
    /// It has ended, or says nothing, or something else.
    pub async fn hear<T: DeserializeOwned>(&mut self, limit: Duration) -> anyhow::Result<T> {
        let heard = tokio::time::timeout(limit, self.from.next_line()).await;
        let heard = heard.with_context(|| {
            let name = self.end.name();
            format!("the {name} side has said nothing for {limit:?}")
        })?;
        let line = heard?.with_context(|| self.has_ended())?;
        serde_json::from_str(&line).with_context(|| format!("what is `{line}`?"))
    }

    /// Lets it end, and waits until it has.
    pub async fn end(mut self) {
        drop(self.to);
        // One that does not end is killed when it is dropped.
        let _ = tokio::time::timeout(END_TIMEOUT, self.child.wait()).await;
    }

    fn has_ended(&self) -> String {
        format!("the {} side has ended", self.end.name())
    }
}

/// The other process, as a side sees it.
pub struct Parent {
    lines: mpsc::Receiver<String>,
}

impl Parent {
    /// Listens to it. The token says that it has gone.
    pub fn listen() -> (Self, CancellationToken) {
        let (sender, lines) = mpsc::channel(LINES_MAX);
        let gone = CancellationToken::new();
        let told = gone.clone();
        // A thread, as reading standard input cannot be cancelled.
        std::thread::spawn(move || {
            for line in std::io::stdin().lock().lines().map_while(Result::ok) {
                if sender.blocking_send(line).is_err() {
                    break;
                }
            }
            told.cancel();
        });
        (Self { lines }, gone)
    }

    /// Says something to it.
    ///
    /// # Errors
    /// Never, for what sides say.
    pub fn tell<T: Serialize>(&self, what: &T) -> anyhow::Result<()> {
        say(&serde_json::to_string(what)?);
        Ok(())
    }

    /// Waits for the next that it says.
    ///
    /// # Errors
    /// It has gone, or says something else.
    pub async fn hear<T: DeserializeOwned>(&mut self) -> anyhow::Result<T> {
        let Some(line) = self.lines.recv().await else {
            bail!("nobody tells what to do");
        };
        serde_json::from_str(&line).with_context(|| format!("what is `{line}`?"))
    }
}
