//! A cell's replica of metadata on this node: its shards, on the disk. Every change
//! goes the same way: decided by the [`Replica`] under the shard's lock, written as
//! one batch, and told of in that order once it is synced.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use causeway_protocol::{CellId, NodeId, WorkspaceId};
use parking_lot::{Mutex, RwLock};
use tokio::sync::{mpsc, oneshot, watch};

use super::actor::{Actor, Dot};
use super::hybrid::{HybridClock, HybridTime};
use super::in_vain::InVain;
use super::info::Info;
use super::item::Item;
use super::op::Op;
use super::peers::Counted;
use super::replica::{Anew, Replica};
use super::shard::{Intent, Refusal, Since};
use super::tables;
use super::version::Version;
use crate::clock::Clock;
use crate::store::keys::Key;
use crate::store::table::{Overlay, Table};
use crate::store::{Family, Snapshot, Store, StoreError, next_incarnation};

/// What all replicas of a node share.
pub struct Shared {
    /// This node.
    pub node: NodeId,
    /// Its disk.
    pub store: Store,
    /// What time it is.
    pub clock: Clock,
    /// The life of the process.
    life: u64,
    hybrid: Mutex<HybridClock>,
    committed: mpsc::Sender<Committed>,
    /// Workspaces of whose changes there was no room to tell.
    overflowed: Mutex<BTreeSet<WorkspaceId>>,
    /// The node is about to end, and takes no more writes.
    leaving: AtomicBool,
    /// What has been done so far.
    pub counters: Counters,
    /// Peers whose clock was refused: how far it was ahead, and when that was last.
    pub clocks: Mutex<BTreeMap<NodeId, (u64, Instant)>>,
}

/// What the replicas of a node have done so far.
#[derive(Debug, Default)]
pub struct Counters {
    /// Operations written here.
    pub written: AtomicU64,
    /// Operations taken from peers.
    pub received: AtomicU64,
    /// Operations refused for their writer's clock.
    pub refused_clock: AtomicU64,
    /// Operations that cannot be valid.
    pub refused_invalid: AtomicU64,
    /// Calls of replicas that are not counted.
    pub refused_not_counted: AtomicU64,
    /// Times that a shard has taken all rows of a peer.
    pub resyncs: AtomicU64,
    /// Operations collected from logs.
    pub collected: AtomicU64,
    /// Changes that nobody could be told of in time.
    pub overflowed: AtomicU64,
}

impl Counters {
    /// Counts one more.
    pub fn count(counter: &AtomicU64, by: usize) {
        counter.fetch_add(by as u64, Ordering::Relaxed);
    }
}

/// A change that is on the disk.
pub struct Committed {
    /// Where.
    pub cell: Arc<CellMetadata>,
    /// Of which shard.
    pub workspace: WorkspaceId,
    /// The shard's version with it.
    pub version: Version,
    /// What has changed.
    pub changed: Changed,
    /// Operations that were written here, and are to be shipped.
    pub ops: Vec<Op>,
}

/// What has changed in a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// These.
    Items(Vec<Item>),
    /// Perhaps all: the replica has begun anew.
    Everything,
}

impl Default for Changed {
    fn default() -> Self {
        Self::Items(Vec::new())
    }
}

impl Changed {
    fn is_nothing(&self) -> bool {
        matches!(self, Self::Items(items) if items.is_empty())
    }
}

/// The replica.
pub struct CellMetadata {
    cell: CellId,
    shared: Arc<Shared>,
    /// Cloned out, so that it is never held while waiting for a shard.
    counted: RwLock<Arc<Counted>>,
    since: AtomicU64,
    shards: RwLock<BTreeMap<WorkspaceId, Arc<Mutex<Replica>>>>,
    /// Moves with every change, and with every report of a peer.
    moved: watch::Sender<()>,
    in_vain: Mutex<InVain>,
}

/// What somebody knows of a shard, and expects to find again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// Their own last write.
    pub wrote: Option<Dot>,
    /// What they were told.
    pub version: Version,
}

impl Known {
    /// What of it a replica with this version has not.
    fn lacking(&self, version: &Version) -> Vec<Dot> {
        let wrote = self.wrote.filter(|dot| !version.has(dot));
        version.lacking(&self.version).chain(wrote).collect()
    }
}

/// How far a replica is that was replaced, with what only it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandBack {
    /// Nobody may have it yet: the replica must be counted for that.
    Wanted,
    /// The replica is counted, and the others have yet to get it.
    UnderWay,
    /// They have it: the replica need not be counted any more.
    Done,
    /// There is nothing that others lack.
    Nothing,
}

/// A change under way.
pub struct Step<'a, 'b> {
    /// The replica.
    pub replica: &'a mut Replica,
    /// Its rows.
    pub rows: &'a mut Overlay<'b>,
    /// The node's clock, as it is for this change.
    pub clock: &'a mut HybridClock,
    /// What time it is.
    pub now_us: u64,
    /// Who counts.
    pub counted: &'a Counted,
}

/// What a change leads to.
#[derive(Default)]
pub struct Effects {
    /// What has changed, for whoever listens.
    pub changed: Changed,
    /// What is to be shipped.
    pub ops: Vec<Op>,
}

impl Shared {
    /// Goes on with what the disk holds, in this `life` of the process. What is
    /// committed goes to `committed`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(
        node: NodeId,
        life: u64,
        store: Store,
        clock: Clock,
        committed: mpsc::Sender<Committed>,
    ) -> Result<Arc<Self>, StoreError> {
        let reserved = read_u64(store.get(Family::Node, &tables::clock())?)?;
        Ok(Arc::new(Self {
            node,
            store,
            clock,
            life,
            hybrid: Mutex::new(HybridClock::after(HybridTime(reserved))),
            committed,
            overflowed: Mutex::default(),
            leaving: AtomicBool::new(false),
            counters: Counters::default(),
            clocks: Mutex::default(),
        }))
    }
}

impl Shared {
    /// The node's clock goes back to what time it is.
    pub fn set_clock_back(&self) {
        let now = HybridTime::at_ms(self.clock.now_us() / 1_000);
        self.hybrid.lock().set_back(now);
    }

    /// The clock has come to where it is for a change; see [`HybridClock::to_reserve`].
    fn reserve(&self, clock: &HybridClock) -> Option<HybridTime> {
        let mut hybrid = self.hybrid.lock();
        hybrid.pass(clock.last());
        hybrid.to_reserve()
    }

    /// The node is about to end: what is written from now on would stay on its disk.
    pub fn leave(&self) {
        self.leaving.store(true, Ordering::Release);
    }

    /// Whether it is.
    pub fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Acquire)
    }

    /// Workspaces of whose changes there was no room to tell, since the last call.
    pub fn take_overflowed(&self) -> BTreeSet<WorkspaceId> {
        std::mem::take(&mut self.overflowed.lock())
    }
}

fn read_u64(stored: Option<Vec<u8>>) -> Result<u64, StoreError> {
    let Some(bytes) = stored else {
        return Ok(0);
    };
    let bytes = bytes.try_into();
    let bytes = bytes.map_err(|_| StoreError::Record("a fact of metadata".into()))?;
    Ok(u64::from_be_bytes(bytes))
}

impl CellMetadata {
    /// Opens what the disk holds.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(
        cell: CellId,
        counted: Counted,
        shared: Arc<Shared>,
    ) -> Result<Arc<Self>, StoreError> {
        let since = read_u64(shared.store.get(Family::Node, &tables::since(cell))?)?;
        let opened = Self {
            cell,
            counted: RwLock::new(Arc::new(counted)),
            since: AtomicU64::new(since),
            shards: RwLock::default(),
            moved: watch::Sender::new(()),
            in_vain: Mutex::default(),
            shared,
        };
        for workspace in opened.on_disk()? {
            opened.shard(workspace)?;
        }
        Ok(Arc::new(opened))
    }

    /// The workspaces of which the disk holds something.
    fn on_disk(&self) -> Result<Vec<WorkspaceId>, StoreError> {
        let all = tables::cell(self.cell);
        let (mut from, mut found) = (all.clone(), Vec::new());
        while let Some(row) = self
            .shared
            .store
            .range(Family::Metadata, &from, &all.end())
            .next()
        {
            let (key, _) = row?;
            let workspace = key.get(4..8).and_then(|bytes| bytes.try_into().ok());
            let workspace = workspace.map(u32::from_be_bytes).map(WorkspaceId);
            let workspace = workspace.ok_or_else(super::shard::damaged)?;
            found.push(workspace);
            from = tables::shard(self.cell, workspace).end();
        }
        Ok(found)
    }

    /// The cell.
    pub fn cell(&self) -> CellId {
        self.cell
    }

    /// What it shares with the node's other replicas.
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Who counts.
    pub fn counted(&self) -> Arc<Counted> {
        Arc::clone(&self.counted.read())
    }

    /// Goes by another record of the directory.
    pub fn set_counted(&self, counted: Counted) {
        let mut present = self.counted.write();
        if counted.epoch > present.epoch {
            *present = Arc::new(counted);
        }
    }

    /// The epoch since which these rows have been going on.
    pub fn since(&self) -> u64 {
        self.since.load(Ordering::Acquire)
    }

    /// All shards that there are, here.
    pub fn workspaces(&self) -> BTreeSet<WorkspaceId> {
        self.shards.read().keys().copied().collect()
    }

    /// A shard's replica; it begins empty.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn shard(&self, workspace: WorkspaceId) -> Result<Arc<Mutex<Replica>>, StoreError> {
        if let Some(shard) = self.shards.read().get(&workspace) {
            return Ok(Arc::clone(shard));
        }
        let mut shards = self.shards.write();
        if let Some(shard) = shards.get(&workspace) {
            return Ok(Arc::clone(shard));
        }
        let (node, life) = (self.shared.node, self.shared.life);
        let replica = Replica::open(&self.rows(workspace), node, life, self.since())?;
        let replica = Arc::new(Mutex::new(replica));
        shards.insert(workspace, Arc::clone(&replica));
        Ok(replica)
    }

    /// A shard's rows, as they are.
    pub fn rows(&self, workspace: WorkspaceId) -> Table<'_> {
        let prefix = tables::shard(self.cell, workspace);
        Table::new(&self.shared.store, Family::Metadata, prefix)
    }

    /// All operations that a shard has.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn version(&self, workspace: WorkspaceId) -> Result<Version, StoreError> {
        Ok(self.shard(workspace)?.lock().version().clone())
    }

    /// Waits until this replica has what somebody knows, as long as `patience` lasts.
    /// Returns whether it has.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn knows(
        &self,
        workspace: WorkspaceId,
        known: &Known,
        patience: Duration,
    ) -> Result<bool, StoreError> {
        let shard = self.shard(workspace)?;
        let lacking = || known.lacking(shard.lock().version());
        let lacks = lacking();
        if lacks.is_empty() {
            return Ok(true);
        }
        if (self.in_vain.lock()).all(workspace, &lacks, Instant::now()) {
            return Ok(false);
        }
        let has_come = self.comes_about(|| lacking().is_empty(), patience).await;
        if !has_come {
            let lacks = lacking();
            (self.in_vain.lock()).add(workspace, lacks, Instant::now());
        }
        Ok(has_come)
    }

    /// Which other replicas have written what somebody knows, and a shard lacks and may
    /// yet get.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn awaited(
        &self,
        workspace: WorkspaceId,
        known: &Known,
    ) -> Result<BTreeSet<NodeId>, StoreError> {
        let mut told = known.version.clone();
        if let Some(wrote) = &known.wrote {
            told.add(wrote);
        }
        let may_get = self.may_get(workspace, &told)?;
        let counted = self.counted();
        let writers = may_get.iter().map(|(actor, _)| actor.node);
        Ok(writers
            .filter(|node| *node != self.shared.node && counted.nodes.contains_key(node))
            .collect())
    }

    /// Waits until all of `peers` that count have told that they have an operation, as
    /// long as `patience` lasts. Returns whether they have.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn has_spread(
        &self,
        workspace: WorkspaceId,
        dot: &Dot,
        peers: &[NodeId],
        patience: Duration,
    ) -> Result<bool, StoreError> {
        let shard = self.shard(workspace)?;
        let have = move || {
            let (counted, shard) = (self.counted(), shard.lock());
            let mut peers = peers.iter().filter(|peer| counted.nodes.contains_key(peer));
            peers.all(|peer| shard.is_had_by(*peer, dot))
        };
        Ok(self.comes_about(have, patience).await)
    }

    /// Waits until all of `peers` that count have told that they have everything that
    /// was written here, as long as `patience` lasts. Returns whether they have.
    pub async fn is_handed_off(&self, peers: &[NodeId], patience: Duration) -> bool {
        let shards: Vec<_> = self.shards.read().values().cloned().collect();
        let have = || {
            let counted = self.counted();
            let peers = peers.iter().filter(|peer| counted.nodes.contains_key(peer));
            shards.iter().all(|shard| {
                let shard = shard.lock();
                let last = shard.version().last_of(self.shared.node);
                last.is_none_or(|dot| peers.clone().all(|peer| shard.is_had_by(*peer, &dot)))
            })
        };
        self.comes_about(have, patience).await
    }

    async fn comes_about(&self, is_so: impl Fn() -> bool, patience: Duration) -> bool {
        let mut moved = self.moved.subscribe();
        let waiting = async {
            while !is_so() {
                if moved.changed().await.is_err() {
                    return;
                }
            }
        };
        tokio::time::timeout(patience, waiting).await.is_ok()
    }

    /// A peer has told what it has.
    pub fn has_heard(&self) {
        self.moved.send_replace(());
    }

    /// What has changed in a shard since a version: up to about `limit` items. Whoever
    /// was told of what is lost begins anew: nothing else tells them that it is undone.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn since_version(
        &self,
        workspace: WorkspaceId,
        have: &Version,
        limit: usize,
    ) -> Result<Since, StoreError> {
        let shard = self.shard(workspace)?;
        let replica = shard.lock();
        if replica.has_lost(have, &self.counted()) {
            return Ok(Since::TooLong);
        }
        replica.shard().since(&self.rows(workspace), have, limit)
    }

    /// What somebody was told of, and a shard lacks, and may yet get.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn may_get(&self, workspace: WorkspaceId, told: &Version) -> Result<Version, StoreError> {
        let shard = self.shard(workspace)?;
        let may_get = shard.lock().may_get(told, &self.counted());
        Ok(may_get)
    }

    /// Why a shard's replica must begin anew, if it must.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn must_begin_anew(&self, workspace: WorkspaceId) -> Result<Option<Anew>, StoreError> {
        let (shard, rows) = (self.shard(workspace)?, self.rows(workspace));
        let mut replica = shard.lock();
        replica.look_at_clock(&rows, self.shared.clock.now_us())?;
        Ok(replica.must_begin_anew(&self.counted()))
    }

    /// Whether users are served: the cell's rows have been going on since the
    /// replica was counted, and the shard's are whole.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn serves(&self, workspace: WorkspaceId) -> Result<bool, StoreError> {
        let shard = self.shard(workspace)?;
        let serves = shard.lock().serves(&self.counted());
        Ok(serves)
    }

    /// Does what users want, all of it together; returns the last operation, if
    /// something had to change, and when all is on the disk.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn write(
        self: &Arc<Self>,
        workspace: WorkspaceId,
        wishes: Vec<(Item, Intent)>,
    ) -> Result<(Option<Dot>, Durable), StoreError> {
        self.step(workspace, |step| {
            let mut effects = Effects::default();
            for (item, intent) in wishes {
                let (rows, clock) = (&mut *step.rows, &mut *step.clock);
                let written = step.replica.write(rows, clock, step.now_us, item, intent)?;
                effects.ops.extend(written);
            }
            let items = effects.ops.iter().map(|op| op.item.clone());
            effects.changed = Changed::Items(items.collect());
            Counters::count(&self.shared.counters.written, effects.ops.len());
            Ok((effects.ops.last().map(|op| op.dot), effects))
        })
    }

    /// What is left to do before the replica of a node that the directory has
    /// replaced can go.
    pub fn hand_back(&self) -> HandBack {
        let counted = self.counted();
        let shards: Vec<_> = self.shards.read().values().cloned().collect();
        let has_unsettled = shards.iter().any(|s| s.lock().has_unsettled(&counted));
        match (counted.nodes.contains_key(&self.shared.node), has_unsettled) {
            (false, true) => HandBack::Wanted,
            (true, true) => HandBack::UnderWay,
            (true, false) => HandBack::Done,
            (false, false) => HandBack::Nothing,
        }
    }

    /// Whether another replica may take all rows of a shard; see [`Replica::is_source`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn is_source(&self, workspace: WorkspaceId, is_ahead: bool) -> Result<bool, StoreError> {
        let shard = self.shard(workspace)?;
        let is_source = shard.lock().is_source(is_ahead, &self.counted());
        Ok(is_source)
    }

    /// Makes one change, and writes it.
    ///
    /// # Errors
    /// [`StoreError`]: the disk is of no use any more.
    pub fn step<T>(
        self: &Arc<Self>,
        workspace: WorkspaceId,
        change: impl FnOnce(&mut Step<'_, '_>) -> Result<(T, Effects), StoreError>,
    ) -> Result<(T, Durable), StoreError> {
        let (shard, counted) = (self.shard(workspace)?, self.counted());
        let mut replica = shard.lock();
        let mut rows = Overlay::new(self.rows(workspace));
        // Not held meanwhile: other shards write, too.
        let mut clock = self.shared.hybrid.lock().clone();
        let changed = change(&mut Step {
            replica: &mut replica,
            rows: &mut rows,
            clock: &mut clock,
            now_us: self.shared.clock.now_us(),
            counted: &counted,
        });
        let (result, effects) = match changed {
            Ok(changed) => changed,
            Err(error) => return Err(self.undo(workspace, &mut replica, error)),
        };
        let version = replica.version().clone();
        if rows.is_empty() {
            let durable = match replica.durable().has_all(&version) {
                true => Durable(None),
                // What made it so may not be on the disk yet.
                false => self.after_sync(workspace, version, None),
            };
            return Ok((result, durable));
        }
        let mut batch = rows.into_batch();
        if let Some(reserved) = self.shared.reserve(&clock) {
            batch.put(Family::Node, &tables::clock(), &reserved.0.to_be_bytes());
        }
        if let Err(error) = batch.write() {
            return Err(self.undo(workspace, &mut replica, error));
        }
        self.moved.send_replace(());
        let is_to_be_told = !effects.changed.is_nothing() || !effects.ops.is_empty();
        let committed = is_to_be_told.then(|| Committed {
            cell: Arc::clone(self),
            workspace,
            version: version.clone(),
            changed: effects.changed,
            ops: effects.ops,
        });
        // Under the shard's lock: what is told of comes in its order.
        Ok((result, self.after_sync(workspace, version, committed)))
    }

    /// Nothing of a change that failed is on the disk: the replica goes back to that.
    fn undo(&self, workspace: WorkspaceId, replica: &mut Replica, error: StoreError) -> StoreError {
        let actor = replica.me();
        let (rows, since) = (self.rows(workspace), self.since());
        match Replica::open(&rows, actor.node, actor.life, since) {
            Ok(opened) => *replica = opened,
            Err(again) => tracing::error!(%workspace, %again, "metadata cannot be read"),
        }
        error
    }

    fn after_sync(
        self: &Arc<Self>,
        workspace: WorkspaceId,
        version: Version,
        committed: Option<Committed>,
    ) -> Durable {
        let (done, synced) = oneshot::channel();
        let shared = Arc::clone(&self.shared);
        self.shared.store.after_sync(move |synced| {
            let committed = committed.filter(|_| synced.is_ok());
            if committed.is_some_and(|c| shared.committed.try_send(c).is_err()) {
                // Peers find out by comparing versions; edges must be told.
                shared.overflowed.lock().insert(workspace);
                Counters::count(&shared.counters.overflowed, 1);
            }
            // Whoever has written may be gone.
            let _ = done.send(synced);
        });
        Durable(Some(Unsynced {
            cell: Arc::clone(self),
            workspace,
            version,
            synced,
        }))
    }

    /// Reads a shard as it is at one moment, which may take long; `read` is told when
    /// all of that is on the disk.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn at_one_moment<T>(
        self: &Arc<Self>,
        workspace: WorkspaceId,
        read: impl FnOnce(&Info, Durable, &Snapshot<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let shard = self.shard(workspace)?;
        let replica = shard.lock();
        let info = replica.shard().info().clone();
        let durable = self.after_sync(workspace, info.version.clone(), None);
        self.shared.store.with_snapshot(|snapshot| {
            drop(replica);
            read(&info, durable, snapshot)
        })
    }

    /// All that had been written when `version` was told is on the disk now.
    pub fn synced(&self, workspace: WorkspaceId, version: &Version) {
        if let Some(shard) = self.shards.read().get(&workspace) {
            shard.lock().synced(version);
        }
    }

    /// A life that this node has not had.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn next_life(&self) -> Result<u64, StoreError> {
        next_incarnation(&self.shared.store, self.shared.clock.system_us()).await
    }

    /// From now on, these rows have been going on since `epoch`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn has_joined(&self, epoch: u64) -> Result<(), StoreError> {
        let mut batch = self.shared.store.batch();
        let key: Key = tables::since(self.cell);
        batch.put(Family::Node, &key, &epoch.to_be_bytes());
        batch.write()?;
        let synced = self.shared.store.flusher().synced().await;
        synced.map_err(|e| StoreError::Record(e.to_string()))?;
        self.since.store(epoch, Ordering::Release);
        Ok(())
    }

    /// Counts operations of a peer that were not taken.
    pub fn count_refusal(&self, peer: NodeId, refusal: &Refusal) {
        let counters = &self.shared.counters;
        match refusal {
            Refusal::Clock(ahead) => {
                Counters::count(&counters.refused_clock, 1);
                let mut clocks = self.shared.clocks.lock();
                clocks.insert(peer, (ahead.ahead_ms, Instant::now()));
            }
            Refusal::Invalid(invalid) => {
                tracing::warn!(cell = %self.cell, %peer, %invalid, "an operation is refused");
                Counters::count(&counters.refused_invalid, 1);
            }
        }
    }

    /// Who writes in a shard.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn me(&self, workspace: WorkspaceId) -> Result<Actor, StoreError> {
        Ok(self.shard(workspace)?.lock().me())
    }
}

/// Tells when a change is on the disk.
pub struct Durable(Option<Unsynced>);

struct Unsynced {
    cell: Arc<CellMetadata>,
    workspace: WorkspaceId,
    version: Version,
    synced: oneshot::Receiver<io::Result<()>>,
}

impl Durable {
    /// Waits.
    ///
    /// # Errors
    /// The disk's error: what was written may be lost.
    pub async fn wait(self) -> io::Result<()> {
        let Some(unsynced) = self.0 else {
            return Ok(());
        };
        let closed = |_| Err(io::Error::other("the store is closed"));
        unsynced.synced.await.unwrap_or_else(closed)?;
        unsynced.cell.synced(unsynced.workspace, &unsynced.version);
        Ok(())
    }
}
