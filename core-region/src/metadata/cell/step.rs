//! One change of a shard: decided under its lock, written as one batch, and told of
//! once it is synced.

use std::io;
use std::sync::Arc;

use causeway_protocol::WorkspaceId;
use tokio::sync::oneshot;

use super::{CellMetadata, Changed, Committed, Counters};
use crate::metadata::hybrid::HybridClock;
use crate::metadata::info::Info;
use crate::metadata::op::Op;
use crate::metadata::peers::Counted;
use crate::metadata::replica::Replica;
use crate::metadata::tables;
use crate::metadata::version::Version;
use crate::store::table::Overlay;
use crate::store::{Family, Snapshot, StoreError};

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

impl CellMetadata {
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
