//! Leaves a world as it was, however a run ends.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use causeway_core_region::faults::{self as injected, FaultConfig};
use causeway_protocol::Name;
use causeway_protocol::backbone::Drain;
use causeway_transport::wan::{self, LinkConfig};
use parking_lot::Mutex;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::operator::Operator;
use crate::status;
use crate::world::{World, processes};

/// What is being done to the world has ended by then.
const ACTS_TIMEOUT: Duration = Duration::from_secs(30);
/// A world whose nodes have been started again has taken what it is told by then.
const TOLD_TIMEOUT: Duration = Duration::from_secs(30);
/// Between tries.
const PAUSE: Duration = Duration::from_millis(200);

/// Changed links, by where a datagram comes from and where it goes.
type Links = BTreeMap<Name, BTreeMap<Name, LinkConfig>>;

/// What a world was like before a run, and what has been done to it since.
pub struct Guard {
    file: PathBuf,
    wan: Option<PathBuf>,
    links: Links,
    faults: Vec<(PathBuf, FaultConfig)>,
    drains: Vec<Drain>,
    acts: TaskTracker,
    over: CancellationToken,
    begun: Mutex<Begun>,
}

/// What the directory was told and has not been told to forget.
#[derive(Debug, Default)]
struct Begun {
    drains: Vec<Drain>,
    uncounted: Vec<String>,
}

impl Guard {
    /// Notes what a world is like.
    ///
    /// # Errors
    /// Nodes that do not answer, by name; a file that cannot be read.
    pub async fn of(world: &World, operator: &Operator) -> anyhow::Result<Self> {
        let (statuses, edges) = tokio::join!(operator.statuses(), operator.edge_statuses());
        let cores = statuses.iter().filter_map(|s| s.self_.as_ref());
        let there = cores.chain(edges.iter().filter_map(|e| e.self_.as_ref()));
        let there: Vec<&str> = there.map(|me| me.name.as_str()).collect();
        let names = world.nodes.iter().map(|node| node.name.as_str());
        let silent: Vec<&str> = names.filter(|name| !there.contains(name)).collect();
        ensure!(
            silent.is_empty(),
            "these nodes do not answer: {}. A run would blame the world for it: start them \
             with `causeway chaos start NODE`",
            silent.join(", ")
        );
        let links = match &world.wan {
            Some(file) => wan::read(file)?.config().links.clone(),
            None => Links::new(),
        };
        let faults = world.cores().filter_map(|node| node.faults.as_deref());
        let faults = faults.map(|file| Ok((file.to_owned(), injected::read(file)?)));
        Ok(Self {
            file: world.file(),
            wan: world.wan.clone(),
            links,
            faults: faults.collect::<anyhow::Result<_>>()?,
            drains: status::drains(&statuses).to_vec(),
            acts: TaskTracker::new(),
            over: CancellationToken::new(),
            begun: Mutex::default(),
        })
    }

    /// Does something to the world; it ends before the world is restored.
    pub fn spawn<T: Send + 'static>(
        &self,
        act: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.acts.spawn(act)
    }

    /// Waits for something only as long as the run goes on.
    pub async fn unless_over<T>(&self, wait: impl Future<Output = T>) -> anyhow::Result<T> {
        let waited = self.over.run_until_cancelled(wait).await;
        waited.context("the run is over")
    }

    /// Notes a drain that is to be undone.
    ///
    /// # Errors
    /// The place was being drained before: whoever does that may rely on it.
    pub fn drains(&self, drain: &Drain) -> anyhow::Result<()> {
        self.refuse_drained(drain)?;
        self.begun.lock().drains.push(drain.clone());
        Ok(())
    }

    /// Refuses what somebody else is draining.
    ///
    /// # Errors
    /// As it says.
    pub fn refuse_drained(&self, drain: &Drain) -> anyhow::Result<()> {
        let is_drained = self.drains.iter().any(|d| d.active && is_same(d, drain));
        ensure!(
            !is_drained,
            "{} is being drained already: undrain it first, or take another --seed",
            drain.name
        );
        Ok(())
    }

    /// A drain has been undone.
    pub fn undrained(&self, drain: &Drain) {
        self.begun.lock().drains.retain(|d| !is_same(d, drain));
    }

    /// A node's metadata counts no longer, or counts again.
    pub fn counts(&self, node: &str, counted: bool) {
        let uncounted = &mut self.begun.lock().uncounted;
        uncounted.retain(|known| known != node);
        if !counted {
            uncounted.push(node.to_owned());
        }
    }

    /// Makes the links whole that were whole before.
    ///
    /// # Errors
    /// A file that cannot be read or written.
    pub fn heal(&self) -> anyhow::Result<()> {
        let Some(file) = &self.wan else {
            return Ok(());
        };
        let mut config = wan::read(file)?.config().clone();
        let changed = healed(config.links.clone(), &self.links);
        if changed != config.links {
            config.links = changed;
            wan::write(file, &config)?;
        }
        Ok(())
    }

    /// Undoes whatever is left of what was done. Nodes that are `gone` on purpose stay
    /// dead. Returns what could not be undone.
    pub async fn restore(&self, operator: &Operator, gone: &[Name]) -> Vec<String> {
        let mut problems = Vec::new();
        problems.extend(self.quiet().await.err());
        problems.extend(self.restore_faults().err());
        problems.extend(self.heal().err());
        let (file, gone) = (self.file.clone(), gone.to_vec());
        match spawn_blocking(move || start_dead(&file, &gone)).await {
            Ok(started) => problems.extend(started.err()),
            Err(error) => problems.push(error.into()),
        }
        problems.extend(self.restore_told(operator).await);
        problems.iter().map(|error| format!("{error:#}")).collect()
    }

    /// Waits until nothing is being done to the world any more.
    ///
    /// # Errors
    /// Something still is.
    pub async fn quiet(&self) -> anyhow::Result<()> {
        self.over.cancel();
        self.acts.close();
        let ended = tokio::time::timeout(ACTS_TIMEOUT, self.acts.wait()).await;
        ended.context("something is still being done to the world")
    }

    fn restore_faults(&self) -> anyhow::Result<()> {
        self.faults.iter().try_for_each(|(file, before)| {
            if injected::read(file)? != *before {
                injected::write(file, before)?;
            }
            Ok(())
        })
    }

    async fn restore_told(&self, operator: &Operator) -> Vec<anyhow::Error> {
        let begun = std::mem::take(&mut *self.begun.lock());
        let mut problems = Vec::new();
        for drain in begun.drains {
            let undrain = Drain {
                active: false,
                ..drain
            };
            let told = again(TOLD_TIMEOUT, || operator.set_drain(undrain.clone())).await;
            let told = told.with_context(|| format!("{} is still drained", undrain.name));
            problems.extend(told.err());
        }
        for node in begun.uncounted {
            let told = again(TOLD_TIMEOUT, || operator.set_counted(&node, true)).await;
            let told = told.with_context(|| format!("{node} still does not count"));
            problems.extend(told.err());
        }
        problems
    }
}

fn is_same(one: &Drain, other: &Drain) -> bool {
    (one.scope, &one.name) == (other.scope, &other.name)
}

/// The links with cuts where they were before, and as they are otherwise.
fn healed(mut links: Links, before: &Links) -> Links {
    for (from, links) in &mut links {
        for (to, link) in links {
            let was = before.get(from).and_then(|links| links.get(to));
            link.cut = was.and_then(|link| link.cut);
        }
    }
    for links in links.values_mut() {
        links.retain(|_, link| *link != LinkConfig::default());
    }
    links.retain(|_, links| !links.is_empty());
    links
}

/// Starts what was killed or stopped, and lets go on what was frozen.
fn start_dead(file: &Path, gone: &[Name]) -> anyhow::Result<()> {
    let mut world = World::load(Some(file))?;
    for n in 0..world.nodes.len() {
        let node = &mut world.nodes[n];
        if processes::runs(node) {
            processes::thaw_node(node)?;
            continue;
        }
        if gone.contains(&node.name) {
            continue;
        }
        processes::start_again(node)?;
        world.save()?;
    }
    Ok(())
}

/// Again and again: the world may have been without a quorum until just now.
///
/// # Errors
/// The last refusal, after `timeout`.
pub async fn again<T, F>(timeout: Duration, told: impl Fn() -> F) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<T>>,
{
    let deadline = Instant::now() + timeout;
    loop {
        match told().await {
            Err(_) if Instant::now() < deadline => tokio::time::sleep(PAUSE).await,
            told => return told,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(one_way_ms: Option<f64>, cut: Option<bool>) -> LinkConfig {
        LinkConfig {
            one_way_ms,
            cut,
            ..LinkConfig::default()
        }
    }

    fn links<const N: usize>(links: [(&str, &str, LinkConfig); N]) -> Links {
        let mut all = Links::new();
        for (from, to, link) in links {
            let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
            all.entry(from).or_default().insert(to, link);
        }
        all
    }

    #[test]
    fn cuts_of_others_stay() {
        let before = links([
            ("us", "eu", link(None, Some(true))),
            ("us", "ap", link(Some(9.0), None)),
        ]);
        let during = links([
            ("us", "eu", link(None, Some(true))),
            ("us", "ap", link(Some(9.0), Some(true))),
            ("eu", "ap", link(None, Some(true))),
        ]);
        assert_eq!(healed(during, &before), before);
        assert_eq!(healed(before.clone(), &before), before);
    }
}
