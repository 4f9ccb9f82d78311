//! What all replicas of a node share: disk, clock, counters, and the way out for what
//! has been written.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use causeway_protocol::{NodeId, WorkspaceId};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::CellMetadata;
use crate::clock::Clock;
use crate::metadata::hybrid::{HybridClock, HybridTime};
use crate::metadata::item::Item;
use crate::metadata::op::Op;
use crate::metadata::tables;
use crate::metadata::version::Version;
use crate::store::{Family, Store, StoreError};

/// What all replicas of a node share.
pub struct Shared {
    /// This node.
    pub node: NodeId,
    /// Its disk.
    pub store: Store,
    /// What time it is.
    pub clock: Clock,
    /// The life of the process.
    pub(super) life: u64,
    pub(super) hybrid: Mutex<HybridClock>,
    pub(super) committed: mpsc::Sender<Committed>,
    /// Workspaces of whose changes there was no room to tell.
    pub(super) overflowed: Mutex<BTreeSet<WorkspaceId>>,
    /// The node is about to end, and takes no more writes.
    leaving: AtomicBool,
    /// Writes that were taken, and may have yet to be made.
    writing: TaskTracker,
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
    pub(super) fn is_nothing(&self) -> bool {
        matches!(self, Self::Items(items) if items.is_empty())
    }
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
            writing: TaskTracker::new(),
            counters: Counters::default(),
            clocks: Mutex::default(),
        }))
    }

    /// The node's clock goes back to what time it is.
    pub fn set_clock_back(&self) {
        let now = HybridTime::at_ms(self.clock.now_us() / 1_000);
        self.hybrid.lock().set_back(now);
    }

    /// The clock has come to where it is for a change; see [`HybridClock::to_reserve`].
    pub(super) fn reserve(&self, clock: &HybridClock) -> Option<HybridTime> {
        let mut hybrid = self.hybrid.lock();
        hybrid.pass(clock.last());
        hybrid.to_reserve()
    }

    /// Lets somebody write as long as they hold this; nobody while the node is about to
    /// end.
    pub fn admit(&self) -> Option<TaskTrackerToken> {
        // In this order: whoever ends the node looks at the tokens after it has said so.
        let token = self.writing.token();
        (!self.leaving.load(Ordering::SeqCst)).then_some(token)
    }

    /// The node is about to end: what would be written from now on would stay on its disk.
    /// Waits for those who are writing.
    pub async fn leave(&self) {
        self.leaving.store(true, Ordering::SeqCst);
        self.writing.close();
        self.writing.wait().await;
    }

    /// Workspaces of whose changes there was no room to tell, since the last call.
    pub fn take_overflowed(&self) -> BTreeSet<WorkspaceId> {
        std::mem::take(&mut self.overflowed.lock())
    }
}

pub(super) fn read_u64(stored: Option<Vec<u8>>) -> Result<u64, StoreError> {
    let Some(bytes) = stored else {
        return Ok(0);
    };
    let bytes = bytes.try_into();
    let bytes = bytes.map_err(|_| StoreError::Record("a fact of metadata".into()))?;
    Ok(u64::from_be_bytes(bytes))
}
