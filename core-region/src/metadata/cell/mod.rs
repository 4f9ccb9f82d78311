//! A cell's replica of metadata on this node: its shards, on the disk. Every change
//! goes the same way: decided by the [`Replica`] under the shard's lock, written as
//! one batch, and told of in that order once it is synced.

mod shared;
mod step;
mod waiting;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use causeway_protocol::{CellId, NodeId, WorkspaceId};
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use super::actor::{Actor, Dot};
use super::in_vain::InVain;
use super::item::Item;
use super::peers::Counted;
use super::replica::{Anew, Left, Replica};
use super::shard::{Intent, Refusal, Since};
use super::tables;
use super::version::Version;
use crate::store::keys::Key;
use crate::store::table::Table;
use crate::store::{Family, StoreError, next_incarnation};

use shared::read_u64;
pub use shared::{Changed, Committed, Counters, Shared};
pub use step::{Durable, Effects, Step};
pub use waiting::{Known, Patience};

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

    /// Whether somebody was told of what nobody has any more; see [`Replica::has_lost`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn has_lost(&self, workspace: WorkspaceId, told: &Version) -> Result<bool, StoreError> {
        let shard = self.shard(workspace)?;
        let has_lost = shard.lock().has_lost(told, &self.counted());
        Ok(has_lost)
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
        let counted = self.counted();
        // The log of one that only hands back does not go on.
        let is_replica = !counted.returning.contains(&self.shared.node);
        let serves = shard.lock().serves(&counted);
        // Peers take nothing of a cell that is yet to join, and what is written would be on
        // this disk alone for as long as another shard has not begun anew.
        let has_joined = counted.has(self.shared.node, self.since());
        Ok(serves && is_replica && has_joined)
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
    pub fn left_to_hand_back(&self) -> Left {
        let counted = self.counted();
        let none = match counted.nodes.contains_key(&self.shared.node) {
            true => Left::Done,
            false => Left::Nothing,
        };
        let shards: Vec<_> = self.shards.read().values().cloned().collect();
        let left = shards.iter().map(|s| s.lock().left_to_hand_back(&counted));
        left.max().unwrap_or(none)
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

    /// Operations that wait for those they follow, and those there was no room for.
    pub fn early(&self) -> (u64, u64) {
        let shards: Vec<_> = self.shards.read().values().cloned().collect();
        let counts = shards.iter().map(|shard| shard.lock().shard().early());
        counts.fold((0, 0), |(waiting, dropped), (more, lost)| {
            (waiting + more as u64, dropped + lost)
        })
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
