//! Flannel: what this PoP keeps of workspaces, so that whoever starts is served from
//! here. One edge node of the PoP holds a workspace ([`holder`]); the others ask it. What
//! it keeps ([`cache`], [`shelf`]) is read from the nearest replica when somebody needs
//! it ([`fill`]), kept by what is told of the workspace ([`follow`]), and goes when there
//! is no room ([`lru`]). While no replica is within reach, what is there is served, with
//! its age.

mod admission;
pub mod boot;
pub mod cache;
pub mod channels;
pub mod counters;
pub mod cursor;
pub mod entries;
mod fill;
mod follow;
pub mod gather;
mod held;
pub mod holder;
pub mod index;
pub mod lru;
pub mod queries;
mod serve;
pub mod shelf;
pub mod source;
#[cfg(test)]
mod tests;
pub mod users;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use causeway_gossip::Gossip;
use causeway_protocol::client::{self, request::Body, response};
use causeway_protocol::{
    ApiError, CellId, ChannelId, ErrorCode, Name, NodeId, UserId, WorkspaceId,
};
use parking_lot::Mutex;
use rand::rngs::SmallRng;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use self::admission::{Admission, Verdict};
use self::boot::{Booted, Lacking};
use self::cache::{Cache, Part};
use self::counters::Counters;
use self::held::{Held, Why};
use self::holder::Holders;
use self::lru::Lru;
use self::shelf::Shelf;
use self::source::Source;
use crate::hub::Hubs;

pub use self::shelf::Demand;

/// Readings from replicas at a time.
const READS_AT_A_TIME: usize = 4;
/// Boots at a time that only a replica can serve.
const ALONE_AT_A_TIME: usize = 32;
/// What must be read first is there by then, or it is done without.
const FRESH_WITHIN: Duration = Duration::from_millis(2_500);
/// A workspace that nobody uses is held this long.
const IDLE: Duration = Duration::from_secs(900);
/// Between looks for those.
const SWEEP_EVERY: Duration = Duration::from_secs(30);

/// How much flannel may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlannelConfig {
    /// What it keeps has about so many bytes at the most.
    pub memory_bytes: usize,
    /// So many clients are let in each second.
    pub boots_per_s: u32,
}

impl Default for FlannelConfig {
    fn default() -> Self {
        Self {
            memory_bytes: 256 * 1024 * 1024,
            boots_per_s: 2_000,
        }
    }
}

/// What is kept, as far as it goes by itself when there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kept {
    Workspace(WorkspaceId),
    Members(ChannelId),
    Shelf(UserId),
}

/// The flannel of an edge node; clones share it.
#[derive(Clone)]
pub struct Flannel(Arc<Inner>);

struct Inner {
    source: Box<dyn Source>,
    hubs: Hubs,
    config: FlannelConfig,
    held: Mutex<HashMap<WorkspaceId, Arc<Held>>>,
    lru: Mutex<Lru<Kept>>,
    holders: Mutex<Holders>,
    admission: Mutex<(Admission, SmallRng)>,
    turns: Semaphore,
    alone: Semaphore,
    counters: Counters,
}

impl Flannel {
    /// Of the edge node `me`.
    pub fn new(source: impl Source, hubs: Hubs, me: NodeId, config: FlannelConfig) -> Self {
        let admission = Admission::new(config.boots_per_s);
        Self(Arc::new(Inner {
            source: Box::new(source),
            hubs,
            config,
            held: Mutex::default(),
            lru: Mutex::default(),
            holders: Mutex::new(Holders::new(me)),
            admission: Mutex::new((admission, rand::make_rng())),
            turns: Semaphore::new(READS_AT_A_TIME),
            alone: Semaphore::new(ALONE_AT_A_TIME),
            counters: Counters::default(),
        }))
    }

    /// Knows who else is in the PoP, and gives up what nobody uses, until `stop`.
    pub async fn run(self, gossip: Gossip, pop: Name, stop: CancellationToken) {
        let mut membership = gossip.watch();
        let mut sweeps = tokio::time::interval(SWEEP_EVERY);
        loop {
            let members = membership.borrow_and_update().clone();
            self.0.holders.lock().members(&members, &pop);
            tokio::select! {
                () = stop.cancelled() => return,
                changed = membership.changed() => if changed.is_err() {
                    return;
                },
                _ = sweeps.tick() => self.sweep(Instant::now()),
            }
        }
    }

    fn sweep(&self, now: Instant) {
        let held: Vec<_> = self.0.held.lock().values().cloned().collect();
        for held in held.iter().filter(|held| held.unused_for(now) >= IDLE) {
            self.give_up(held.workspace);
        }
    }

    /// Waits for the turn of one who wants to boot.
    ///
    /// # Errors
    /// [`ErrorCode::Ratelimited`], when too many want to.
    pub async fn admit(&self) -> Result<(), ApiError> {
        let verdict = {
            let (admission, rng) = &mut *self.0.admission.lock();
            admission.ask(Instant::now(), rng)
        };
        match verdict {
            Verdict::Wait(wait) => {
                if !wait.is_zero() {
                    tokio::time::sleep(wait).await;
                }
                Ok(())
            }
            Verdict::Refuse(after) => {
                Counters::count(&self.0.counters.refused);
                let text = "too many clients start at the same time";
                Err(ApiError {
                    retry_after_ms: u32::try_from(after.as_millis()).unwrap_or(u32::MAX),
                    ..ApiError::new(ErrorCode::Ratelimited, text)
                })
            }
        }
    }

    /// Boot data for a user who knows this much.
    ///
    /// # Errors
    /// [`ApiError`]: a user who may not, or of whom nothing is here while no replica is
    /// within reach.
    pub async fn boot(
        &self,
        user: UserId,
        cell: CellId,
        demand: Demand,
    ) -> Result<Booted, ApiError> {
        Counters::count(&self.0.counters.boots);
        let demand = demand.with(self.0.source.seen(user));
        match self.other_boots(user, cell, &demand).await {
            Some(booted) => booted,
            None => self.boot_here(user, cell, &demand).await,
        }
    }

    async fn boot_here(
        &self,
        user: UserId,
        cell: CellId,
        demand: &Demand,
    ) -> Result<Booted, ApiError> {
        let held = self.hold(user.workspace(), cell);
        self.count_again(&held);
        let old = || self.old(&held, user, demand);
        if self.0.source.is_cut_off() {
            return old().ok_or_else(|| unavailable("no replica is within reach"));
        }
        let fresh = self.fresh(&held, user, demand);
        match tokio::time::timeout(FRESH_WITHIN, fresh).await {
            Ok(Ok(booted)) => return Ok(booted),
            Ok(Err(Why::Refused(error))) => return Err(error),
            Ok(Err(Why::Behind)) => {}
            Ok(Err(Why::Unread(_))) | Err(_) => {
                if let Some(old) = old() {
                    return Ok(old);
                }
            }
        }
        match self.boot_alone(user, demand).await {
            Err(error) if error.code == ErrorCode::Unavailable => old().ok_or(error),
            booted => booted,
        }
    }

    /// From what is kept, and what must be read for that.
    async fn fresh(&self, held: &Arc<Held>, user: UserId, demand: &Demand) -> Result<Booted, Why> {
        let now = Instant::now();
        if let Some(booted) = held.good_boot(user, demand, now) {
            Counters::count(&self.0.counters.hits);
            self.0.lru.lock().touch(&Kept::Shelf(user));
            return Ok(booted);
        }
        Counters::count(&self.0.counters.misses);
        let channels = async {
            let channels = self.ensure(held, Part::Channels).await;
            channels.map_err(Why::Unread)
        };
        let ((), shelf) = tokio::try_join!(channels, self.shelf(held, user, demand))?;
        if !held.satisfies(&shelf, demand) {
            return Err(Why::Behind);
        }
        match held.boot(&shelf, false, now) {
            Ok(booted) => return Ok(booted),
            Err(Lacking::These(ids)) => {
                self.read_channels(held, ids).await.map_err(Why::Unread)?;
            }
            Err(Lacking::Channels) => {}
        }
        let gone = |_| Why::Unread(unavailable("what was read is gone again"));
        held.boot(&shelf, true, now).map_err(gone)
    }

    /// By a replica, as what the user knows is newer than what others were given.
    async fn boot_alone(&self, user: UserId, demand: &Demand) -> Result<Booted, ApiError> {
        let turn = tokio::time::timeout(FRESH_WITHIN, self.0.alone.acquire()).await;
        let Ok(Ok(_turn)) = turn else {
            return Err(ErrorCode::Ratelimited.into());
        };
        Counters::count(&self.0.counters.alone);
        Counters::count(&self.0.counters.core_reads);
        Booted::from_response(self.0.source.boot(user, demand.clone()).await?)
    }

    /// From what is kept, however old.
    fn old(&self, held: &Held, user: UserId, demand: &Demand) -> Option<Booted> {
        let shelf = held.look(|cache| cache.shelf(user).cloned())?;
        let booted = held.boot(&shelf, true, Instant::now()).ok()?;
        Counters::count(&self.0.counters.old);
        Some(Booted {
            behind: !held.satisfies(&shelf, demand),
            ..booted
        })
    }

    /// Answers a query.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn query(
        &self,
        user: UserId,
        cell: CellId,
        body: &Body,
    ) -> Result<client::Response, ApiError> {
        match self.other_answers(user, cell, body).await {
            Some(answer) => answer,
            None => {
                let demand = self.0.source.seen(user);
                self.query_here(user, cell, body, &demand).await
            }
        }
    }

    async fn query_here(
        &self,
        user: UserId,
        cell: CellId,
        body: &Body,
        demand: &Demand,
    ) -> Result<client::Response, ApiError> {
        let held = self.hold(user.workspace(), cell);
        self.count_again(&held);
        let answering = self.answer(&held, user, body, demand);
        let answered = tokio::time::timeout(FRESH_WITHIN, answering).await;
        let result = answered.unwrap_or_else(|_| Err(unavailable("no replica answers")))?;
        let age_ms = held.age_ms(Instant::now());
        if age_ms > 0 {
            Counters::count(&self.0.counters.old);
        }
        Ok(client::Response {
            age_ms,
            result: Some(result),
            ..client::Response::default()
        })
    }

    async fn answer(
        &self,
        held: &Arc<Held>,
        user: UserId,
        body: &Body,
        demand: &Demand,
    ) -> Result<response::Result, ApiError> {
        for part in queries::parts(body) {
            self.ensure(held, *part).await?;
        }
        let shelf = match held.look(|cache| queries::asks_for_own(cache, body)) {
            true => Some(self.any_shelf(held, user, demand).await?),
            false => None,
        };
        let shelf = shelf.as_deref();
        if let (Some(shelf), Some(channel)) = (shelf, queries::channel(body)) {
            self.know_channel(held, shelf, channel).await?;
        }
        held.look(|cache| queries::admit(cache, shelf, body))?;
        if let Some(channel) = queries::channel(body) {
            self.ensure(held, Part::Members(channel)).await?;
        }
        let answered = held.look(|cache| queries::answer(cache, shelf, body))?;
        answered.ok_or_else(|| unavailable("what was read is gone again"))
    }

    /// A shelf that is good enough, or else one that can be had.
    async fn any_shelf(
        &self,
        held: &Arc<Held>,
        user: UserId,
        demand: &Demand,
    ) -> Result<Box<Shelf>, ApiError> {
        let kept = || held.look(|cache| cache.shelf(user).cloned().map(Box::new));
        if self.0.source.is_cut_off() {
            return kept().ok_or_else(|| unavailable("no replica is within reach"));
        }
        match self.shelf(held, user, demand).await {
            Ok(shelf) => Ok(shelf),
            Err(Why::Refused(error)) => Err(error),
            Err(Why::Behind) => kept().ok_or_else(|| unavailable("no replica knows enough")),
            Err(Why::Unread(error)) => kept().ok_or(error),
        }
    }

    /// A private channel that is new is in no list yet.
    async fn know_channel(
        &self,
        held: &Held,
        shelf: &Shelf,
        channel: ChannelId,
    ) -> Result<(), ApiError> {
        let is_known = |cache: &mut Cache| {
            let channels = cache.channels();
            channels.is_none_or(|channels| channels.get(channel.0).is_some())
        };
        if shelf.channel(channel.0).is_none() || held.look(is_known) {
            return Ok(());
        }
        self.read_channels(held, vec![channel.0]).await
    }

    /// The workspace, held from now on if it was not.
    fn hold(&self, workspace: WorkspaceId, cell: CellId) -> Arc<Held> {
        let mut all = self.0.held.lock();
        let held = all.entry(workspace).or_insert_with(|| {
            let share = self.0.source.follow(workspace, cell);
            Arc::new(Held::new(workspace, cell, share))
        });
        held.used(Instant::now());
        self.0.lru.lock().touch(&Kept::Workspace(workspace));
        Arc::clone(held)
    }

    fn weigh_part(&self, held: &Held, part: Part) {
        let (whole, members) = held.look(|cache| (cache.bytes(), cache.part_bytes(part)));
        match part {
            Part::Members(channel) => self.weigh(Kept::Members(channel), members),
            _ => self.weigh(Kept::Workspace(held.workspace), whole),
        }
    }

    /// Something takes so many bytes now; what was not used for longest makes room.
    fn weigh(&self, kept: Kept, bytes: usize) {
        let gone = {
            let mut lru = self.0.lru.lock();
            lru.put(kept, bytes);
            lru.make_fit(self.0.config.memory_bytes)
        };
        for kept in gone {
            Counters::count(&self.0.counters.evicted);
            match kept {
                Kept::Workspace(workspace) => self.give_up(workspace),
                Kept::Members(channel) => {
                    if let Some(held) = self.present(channel.workspace()) {
                        held.look(|cache| cache.forget(Part::Members(channel)));
                    }
                }
                Kept::Shelf(user) => {
                    if let Some(held) = self.present(user.workspace()) {
                        held.look(|cache| cache.forget_shelf(user));
                    }
                }
            }
        }
    }

    fn present(&self, workspace: WorkspaceId) -> Option<Arc<Held>> {
        self.0.held.lock().get(&workspace).cloned()
    }

    /// Nothing of the workspace is held any more.
    fn give_up(&self, workspace: WorkspaceId) {
        let Some(held) = self.0.held.lock().remove(&workspace) else {
            return;
        };
        held.stop.cancel();
        let (channels, users) = held.look(|cache| (cache.member_lists(), cache.shelf_owners()));
        let mut lru = self.0.lru.lock();
        lru.remove(&Kept::Workspace(workspace));
        channels
            .iter()
            .for_each(|channel| lru.remove(&Kept::Members(*channel)));
        users
            .iter()
            .for_each(|user| lru.remove(&Kept::Shelf(*user)));
    }

    /// What has been done so far.
    pub fn counters(&self) -> &Counters {
        &self.0.counters
    }

    /// Workspaces that are held, and what all takes in memory, about.
    pub fn size(&self) -> (usize, usize) {
        (self.0.held.lock().len(), self.0.lru.lock().bytes())
    }

    /// How old what is kept is, in milliseconds: the oldest.
    pub fn age_ms(&self) -> u64 {
        let now = Instant::now();
        let held: Vec<_> = self.0.held.lock().values().cloned().collect();
        let ages = held.iter().map(|held| u64::from(held.age_ms(now)));
        ages.max().unwrap_or(0)
    }
}

impl Demand {
    /// The same of somebody who has also seen this.
    fn with(self, seen: Self) -> Self {
        Self {
            position: self.position.max(seen.position),
            wrote: match self.wrote.is_empty() {
                true => seen.wrote,
                false => self.wrote,
            },
            version: self.version,
        }
    }
}

fn unavailable(text: &str) -> ApiError {
    ApiError::new(ErrorCode::Unavailable, text)
}
