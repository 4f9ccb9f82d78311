//! Carries the deeds of a scenario out, one after another, and notes when regions do not
//! answer because of them.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use causeway_client::Client;
use causeway_core_region::faults::FaultConfig;
use causeway_protocol::client::{self, request};
use causeway_protocol::{Name, NodeId};
use tokio::task::{JoinHandle, spawn_blocking};

use super::cast::Cast;
use super::judge::Outage;
use super::scenario::{Deed, Due};
use super::write::RegionNumber;
use crate::chaos::faults;
use crate::chaos::guard::{Guard, again};
use crate::chaos::history::At;
use crate::chaos::scenario::Act;
use crate::operator::Operator;
use crate::world::World;

/// The directory has a leader again by then, once regions can talk to one another.
const COUNT_TIMEOUT: Duration = Duration::from_secs(60);
/// Between tries.
const PAUSE: Duration = Duration::from_millis(200);

/// Who does it.
pub struct Stagehand {
    /// `None` while something is being done.
    world: Option<World>,
    operator: Operator,
    guard: Arc<Guard>,
    /// Core nodes by name, as they were at first.
    ids: BTreeMap<Name, NodeId>,
    began: Instant,
    due: VecDeque<Due>,
    under_way: Option<JoinHandle<anyhow::Result<World>>>,
    /// Regions whose core has been started, and that have yet to answer.
    returning: Vec<(RegionNumber, JoinHandle<()>)>,
    /// When regions did not answer.
    pub outages: Vec<Outage>,
    /// What was done when.
    pub done: Vec<(At, String)>,
}

impl Stagehand {
    /// Of a run that began then.
    ///
    /// # Errors
    /// A core node that does not answer.
    pub async fn new(
        world: World,
        operator: &Operator,
        guard: Arc<Guard>,
        began: Instant,
    ) -> anyhow::Result<Self> {
        let mut ids = BTreeMap::new();
        for core in world.cores() {
            let status = operator.status_at(core.backbone).await?;
            let me = status.self_.context("a node without a self")?;
            ids.insert(core.name.clone(), NodeId(me.node_id));
        }
        Ok(Self {
            world: Some(world),
            operator: operator.clone(),
            guard,
            ids,
            began,
            due: VecDeque::new(),
            under_way: None,
            returning: Vec::new(),
            outages: Vec::new(),
            done: Vec::new(),
        })
    }

    /// When the run began.
    pub fn began(&self) -> Instant {
        self.began
    }

    /// The world with its processes as they are now.
    ///
    /// # Panics
    /// While something is being done.
    pub fn world(&self) -> &World {
        self.world.as_ref().expect("nothing is being done")
    }

    /// The core nodes, as they were at first.
    pub fn ids(&self) -> &BTreeMap<Name, NodeId> {
        &self.ids
    }

    /// Those that answer, as they are now.
    pub async fn ids_now(&self) -> BTreeMap<Name, NodeId> {
        let mut ids = BTreeMap::new();
        for core in self.world().cores() {
            let status = self.operator.status_at(core.backbone).await.ok();
            let me = status.and_then(|status| status.self_);
            ids.extend(me.map(|me| (core.name.clone(), NodeId(me.node_id))));
        }
        ids
    }

    /// What is to be done after the present moment, in order.
    pub fn plan(&mut self, deeds: Vec<Due>) {
        self.due = deeds.into();
    }

    /// Whether all of it has been done.
    pub fn is_idle(&self) -> bool {
        self.due.is_empty() && self.under_way.is_none()
    }

    /// Whether the replicas of a region should answer.
    pub fn is_up(&self, region: RegionNumber) -> bool {
        let mut outages = self.outages.iter();
        !outages.any(|outage| outage.region == region && outage.to.is_none())
    }

    /// Does the next thing if it is due, `since` the phase began, and looks at what is
    /// under way.
    ///
    /// # Errors
    /// What could not be done.
    pub async fn act(&mut self, since: Duration, cast: &Cast) -> anyhow::Result<()> {
        self.see_who_returns();
        if let Some(under_way) = self.under_way.take_if(|task| task.is_finished()) {
            self.world = Some(under_way.await??);
        }
        let is_due = self.due.front().is_some_and(|(at, _)| *at <= since);
        if !is_due || self.world.is_none() {
            return Ok(());
        }
        if let Some((_, deed)) = self.due.pop_front() {
            self.begin(deed, cast);
        }
        Ok(())
    }

    /// Does something at once.
    ///
    /// # Errors
    /// What could not be done.
    pub async fn act_now(&mut self, deed: Deed, cast: &Cast) -> anyhow::Result<()> {
        self.begin(deed, cast);
        if let Some(under_way) = self.under_way.take() {
            self.world = Some(under_way.await??);
        }
        Ok(())
    }

    /// Nobody waits any more for regions that have not answered.
    pub fn give_up_returning(&mut self) {
        for (_, task) in self.returning.drain(..) {
            task.abort();
        }
    }

    fn begin(&mut self, deed: Deed, cast: &Cast) {
        let Some(world) = self.world.take() else {
            return;
        };
        self.done.push((self.began.elapsed(), describe(&deed)));
        match &deed {
            Deed::World(Act::Kill(node)) => self.goes(&world, node, cast),
            Deed::World(Act::Start(node)) => self.returns(&world, node, cast),
            _ => {}
        }
        let (operator, ids) = (self.operator.clone(), self.ids.clone());
        let guard = Arc::clone(&self.guard);
        let doing = carry_out(world, operator, guard, ids, deed);
        self.under_way = Some(self.guard.spawn(doing));
    }

    fn goes(&mut self, world: &World, node: &Name, cast: &Cast) {
        self.outages
            .extend(region_of(world, node, cast).map(|region| Outage {
                region,
                from: self.began.elapsed(),
                to: None,
            }));
    }

    fn returns(&mut self, world: &World, node: &Name, cast: &Cast) {
        let Some(region) = region_of(world, node, cast) else {
            return;
        };
        let here = cast.parts.iter().filter(|part| part.region == region);
        let clients = here.map(|part| part.client.clone()).collect();
        self.returning
            .push((region, tokio::spawn(all_answer(clients))));
    }

    fn see_who_returns(&mut self) {
        let now = self.began.elapsed();
        let (here, away) = std::mem::take(&mut self.returning)
            .into_iter()
            .partition(|(_, task)| task.is_finished());
        self.returning = away;
        let here: Vec<(RegionNumber, JoinHandle<()>)> = here;
        for (region, _) in here {
            let open = self.outages.iter_mut().filter(|outage| outage.to.is_none());
            open.filter(|outage| outage.region == region)
                .for_each(|outage| outage.to = Some(now));
        }
    }
}

fn region_of(world: &World, node: &Name, cast: &Cast) -> Option<RegionNumber> {
    let place = &world.node(node.as_str()).ok()?.place;
    cast.regions.iter().position(|region| region == place)
}

/// Ends when every one of these clients gets an answer from a replica.
async fn all_answer(clients: Vec<Client>) {
    for client in clients {
        let ask = || client.request(request::Body::ListEmoji(client::ListEmoji {}));
        while ask().await.is_err() {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

async fn carry_out(
    world: World,
    operator: Operator,
    guard: Arc<Guard>,
    ids: BTreeMap<Name, NodeId>,
    deed: Deed,
) -> anyhow::Result<World> {
    match deed {
        Deed::World(act) => {
            let done = faults::carry_out(world, act, guard).await?;
            Ok(done.world)
        }
        Deed::Wipe(node) => {
            let folder = world.node(node.as_str())?.data_dir.clone();
            spawn_blocking(move || empty(&folder)).await??;
            Ok(world)
        }
        Deed::Forget(node) | Deed::Count(node) if !ids.contains_key(&node) => {
            anyhow::bail!("{node} has no id")
        }
        Deed::Forget(node) => {
            let id = ids[&node].to_string();
            guard.counts(&id, false);
            again(COUNT_TIMEOUT, || operator.set_counted(&id, false)).await?;
            Ok(world)
        }
        Deed::Count(node) => {
            let id = ids[&node].to_string();
            again(COUNT_TIMEOUT, || operator.set_counted(&id, true)).await?;
            guard.counts(&id, true);
            Ok(world)
        }
    }
}

fn empty(folder: &Path) -> anyhow::Result<()> {
    std::fs::remove_dir_all(folder)
        .and_then(|()| std::fs::create_dir(folder))
        .with_context(|| format!("cannot empty {}", folder.display()))
}

fn describe(deed: &Deed) -> String {
    match deed {
        Deed::World(Act::Cut(_)) => "every region is alone with its PoPs".into(),
        Deed::World(Act::Inject(node, fault)) if *fault == FaultConfig::default() => {
            format!("the clock of {node} is right again")
        }
        Deed::World(Act::Inject(node, fault)) => {
            let ahead_s = fault.clock_offset_ms / 1_000;
            format!("the clock of {node} is {ahead_s} s ahead")
        }
        Deed::World(act) => crate::chaos::play::describe(act),
        Deed::Wipe(node) => format!("the disk of {node} is emptied"),
        Deed::Forget(node) => format!("{node} is declared gone"),
        Deed::Count(node) => format!("{node} counts again"),
    }
}
