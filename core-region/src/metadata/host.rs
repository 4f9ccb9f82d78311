//! The metadata of this node: its replicas, and what is done for them as time goes
//! by.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use causeway_protocol::backbone::{Cell as CellRecord, ClockRefusal};
use causeway_protocol::{CellId, NodeId, WorkspaceId};
use causeway_transport::backbone::{Backbone, PeerEvent, Services};
use futures::future::join_all;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::anew;
use super::cell::{CellMetadata, Committed, Counters, Effects, Shared};
use super::exchange::Exchange;
use super::peers::Counted;
use super::replica::Left;
use crate::clock::Clock;
use crate::directory::SharedBook;
use crate::store::{Store, StoreError};

/// Changes that are on the disk and wait to be told of.
const COMMITTED_MAX: usize = 64 * 1024;
/// Those that are told of at a time.
const COMMITTED_AT_ONCE: usize = 256;
/// Between comparisons of versions with a peer.
const COMPARE_EVERY: Duration = Duration::from_secs(2);
/// Between looks for garbage.
const COLLECT_EVERY: Duration = Duration::from_secs(1);
/// Operations of a shard that are collected at a time.
const COLLECT_OPS: usize = 500;
/// Between looks for shards that must begin anew, where nothing gives reason to look.
const ANEW_EVERY: Duration = Duration::from_millis(500);
/// What gives reason comes in crowds, and a look is at all shards: one for all of it.
const ANEW_SOON: Duration = Duration::from_millis(50);
/// An operation that waits for another one waits twice this long at the most.
const EXPIRE_EVERY: Duration = Duration::from_secs(15);
/// A clock that has not been refused for so long is right again.
const REFUSALS_SHOWN: Duration = Duration::from_secs(60);
/// A node that is about to end waits this long for its peers.
const HAND_OFF: Duration = Duration::from_millis(1_500);

/// The replicas; clones share them.
#[derive(Clone, Default)]
pub struct Hosted(Arc<RwLock<BTreeMap<CellId, Arc<CellMetadata>>>>);

impl Hosted {
    /// A replica, if this node holds one.
    pub fn get(&self, cell: CellId) -> Option<Arc<CellMetadata>> {
        self.0.read().get(&cell).cloned()
    }

    /// Every replica of this node.
    pub fn all(&self) -> Vec<Arc<CellMetadata>> {
        self.0.read().values().cloned().collect()
    }
}

/// What it is made of.
pub struct MetadataParts {
    /// This node.
    pub node: NodeId,
    /// The life of its process.
    pub life: u64,
    /// Its disk.
    pub store: Store,
    /// What time it is.
    pub clock: Clock,
    /// Its connections.
    pub backbone: Backbone,
    /// Its copy of the directory.
    pub book: SharedBook,
}

/// The node's metadata; clones share it.
#[derive(Clone)]
pub struct Metadata(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    hosted: Hosted,
    exchange: Exchange,
    backbone: Backbone,
    book: SharedBook,
    /// Cells of which a shard is beginning anew.
    beginning: Mutex<HashSet<CellId>>,
    /// A shard may have to.
    look_for_anew: Notify,
    /// A cell has done so: others wait for its word before they take anything for lost.
    begun_anew: Notify,
}

/// Whoever is told of changes, besides the peers. Must not block.
pub trait Told: Send + Sync + 'static {
    /// These are on the disk, in this order.
    fn tell(&self, committed: &[Committed]);

    /// Of changes of a workspace there was no room to tell.
    fn skip(&self, workspace: WorkspaceId);
}

/// What has been written, on its way to peers and subscribers.
pub struct Outbox(mpsc::Receiver<Committed>);

impl Metadata {
    /// Goes on with what the disk holds.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn start(parts: MetadataParts) -> Result<(Self, Outbox), StoreError> {
        let (committed, outbox) = mpsc::channel(COMMITTED_MAX);
        let MetadataParts {
            node,
            life,
            store,
            clock,
            backbone,
            book,
        } = parts;
        let hosted = Hosted::default();
        let inner = Inner {
            shared: Shared::open(node, life, store, clock, committed)?,
            exchange: Exchange::new(hosted.clone(), backbone.clone()),
            hosted,
            backbone,
            book,
            beginning: Mutex::default(),
            look_for_anew: Notify::new(),
            begun_anew: Notify::new(),
        };
        Ok((Self(Arc::new(inner)), Outbox(outbox)))
    }

    /// Serves the replicas of other nodes.
    #[must_use]
    pub fn register(&self, services: Services) -> Services {
        self.0.exchange.register(services)
    }

    /// Opens the replica of a cell; again changes nothing.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(&self, record: &CellRecord) -> Result<Arc<CellMetadata>, StoreError> {
        let id = CellId(record.id);
        let mut hosted = self.0.hosted.0.write();
        if let Some(held) = hosted.get(&id) {
            return Ok(Arc::clone(held));
        }
        let shared = Arc::clone(&self.0.shared);
        let opened = CellMetadata::open(id, Counted::of(record), shared)?;
        hosted.insert(id, Arc::clone(&opened));
        // Of a record that came in between, nobody has told it.
        if let Some(latest) = self.0.book.get().cell(id) {
            opened.set_counted(Counted::of(latest));
        }
        self.0.look_for_anew.notify_one();
        Ok(opened)
    }

    /// What is left to do before the replica of a cell can go.
    pub fn left_to_hand_back(&self, cell: CellId) -> Left {
        let held = self.0.hosted.get(cell);
        held.map_or(Left::Nothing, |held| held.left_to_hand_back())
    }

    /// The replica has been released. Its rows stay on the disk.
    pub fn close(&self, cell: CellId) {
        self.0.hosted.0.write().remove(&cell);
    }

    /// The replicas of this node.
    pub fn hosted(&self) -> &Hosted {
        &self.0.hosted
    }

    /// Peers whose clock was refused lately.
    pub fn clock_refusals(&self) -> Vec<ClockRefusal> {
        let now = Instant::now();
        let clocks = self.0.shared.clocks.lock();
        let lately = clocks.iter().filter_map(|(peer, (ahead_ms, at))| {
            let ago = now.duration_since(*at);
            (ago < REFUSALS_SHOWN).then(|| ClockRefusal {
                node_id: peer.0,
                ahead_ms: *ahead_ms,
                ago_ms: u64::try_from(ago.as_millis()).unwrap_or(u64::MAX),
            })
        });
        lately.collect()
    }

    /// Operations that wait for those they follow, in all shards, and those there was no
    /// room for.
    pub fn early(&self) -> (u64, u64) {
        let cells = self.0.hosted.all();
        let counts = cells.iter().map(|cell| cell.early());
        counts.fold((0, 0), |(waiting, dropped), (more, lost)| {
            (waiting + more, dropped + lost)
        })
    }

    /// What they have done so far.
    pub fn counters(&self) -> &Counters {
        &self.0.shared.counters
    }

    /// This node is about to end: takes no more writes, and waits until the peers
    /// within reach have what was written here. What they lack is missing until this
    /// node is back.
    pub async fn hand_off(&self) {
        let began = Instant::now();
        // A write that takes longer is not answered by this node.
        let _ = tokio::time::timeout(HAND_OFF, self.0.shared.leave()).await;
        let left = HAND_OFF.saturating_sub(began.elapsed());
        let peers = || {
            let peers = self.0.backbone.peers().into_iter();
            peers.map(|peer| peer.node).collect()
        };
        let cells = self.0.hosted.all();
        let handed_off = cells.iter().map(|cell| cell.is_handed_off(peers, left));
        let handed_off = join_all(handed_off).await;
        let behind = handed_off.into_iter().filter(|has_all| !has_all).count();
        if behind > 0 {
            tracing::warn!(cells = behind, "peers lack what was written here");
        }
    }

    /// Does what is due, until `stop`.
    ///
    /// # Errors
    /// [`StoreError`]: the disk is of no use any more.
    pub async fn run(
        self,
        mut outbox: Outbox,
        told: Arc<dyn Told>,
        stop: CancellationToken,
    ) -> Result<(), StoreError> {
        let mut book = self.0.book.watch();
        let mut events = self.0.backbone.events();
        let mut compare = tokio::time::interval(COMPARE_EVERY);
        // What takes long must not keep from telling what has been written.
        let mut tending = tokio::spawn(self.clone().tend(stop.clone()));
        let mut committed = Vec::with_capacity(COMMITTED_AT_ONCE);
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                count = outbox.0.recv_many(&mut committed, COMMITTED_AT_ONCE) => {
                    if count == 0 {
                        return Ok(());
                    }
                    for workspace in self.0.shared.take_overflowed() {
                        told.skip(workspace);
                    }
                    committed.iter().for_each(|committed| self.ship(committed));
                    told.tell(&committed);
                    committed.clear();
                }
                changed = book.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    book.borrow_and_update().cells().for_each(|record| self.follow(record));
                    self.0.look_for_anew.notify_one();
                }
                event = events.recv() => {
                    if let Ok(PeerEvent::Up(peer)) = event {
                        self.0.exchange.tell_all_again(peer.node);
                        self.compare_with(peer.node);
                    }
                }
                () = self.0.begun_anew.notified() => compare.reset_immediately(),
                _ = compare.tick() => self.compare(),
                ended = &mut tending => return match ended {
                    Ok(ended) => ended,
                    Err(error) => Err(StoreError::Record(error.to_string())),
                },
            }
        }
    }

    /// Looks after the shards, until `stop`.
    async fn tend(self, stop: CancellationToken) -> Result<(), StoreError> {
        let mut collect = tokio::time::interval(COLLECT_EVERY);
        let mut anew = tokio::time::interval(ANEW_EVERY);
        let mut expire = tokio::time::interval(EXPIRE_EVERY);
        let mut looks_soon = false;
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                _ = collect.tick() => if self.collect().await? {
                    collect.reset_immediately();
                },
                _ = anew.tick() => {
                    looks_soon = false;
                    self.look_for_anew()?;
                }
                () = self.0.look_for_anew.notified(), if !looks_soon => {
                    looks_soon = true;
                    anew.reset_after(ANEW_SOON);
                }
                _ = expire.tick() => self.expire()?,
            }
        }
    }

    fn ship(&self, committed: &Committed) {
        committed
            .cell
            .synced(committed.workspace, &committed.version);
        self.0.exchange.ship(committed);
    }

    fn follow(&self, record: &CellRecord) {
        if let Some(cell) = self.0.hosted.get(CellId(record.id)) {
            cell.set_counted(Counted::of(record));
        }
    }

    fn compare(&self) {
        let cells = self.0.hosted.all();
        let counted = cells.iter().flat_map(|cell| {
            let counted = cell.counted();
            counted.nodes.keys().copied().collect::<Vec<_>>()
        });
        let peers: BTreeSet<NodeId> = counted.collect();
        for peer in peers.into_iter().filter(|peer| *peer != self.0.shared.node) {
            self.compare_with(peer);
        }
    }

    fn compare_with(&self, peer: NodeId) {
        let exchange = self.0.exchange.clone();
        tokio::spawn(async move { exchange.compare(peer).await });
    }

    /// Collects garbage. Returns whether there is more.
    async fn collect(&self) -> Result<bool, StoreError> {
        let mut more = false;
        for cell in self.0.hosted.all() {
            for workspace in cell.workspaces() {
                let (collected, _) = cell.step(workspace, |step| {
                    let collected = step.replica.collect(step.rows, step.counted, COLLECT_OPS)?;
                    Ok((collected, Effects::default()))
                })?;
                Counters::count(&self.counters().collected, collected.ops);
                more |= collected.more;
                // Others have their turn between shards.
                tokio::task::yield_now().await;
            }
        }
        Ok(more)
    }

    fn expire(&self) -> Result<(), StoreError> {
        for cell in self.0.hosted.all() {
            for workspace in cell.workspaces() {
                cell.shard(workspace)?.lock().expire_early();
            }
        }
        Ok(())
    }

    /// Has cells begin anew that must, each in a task of its own.
    fn look_for_anew(&self) -> Result<(), StoreError> {
        for cell in self.0.hosted.all() {
            let workspaces = self.workspaces(&cell);
            if !anew::must(&cell, &workspaces)? || !self.0.beginning.lock().insert(cell.cell()) {
                continue;
            }
            let metadata = self.clone();
            tokio::spawn(async move {
                let id = cell.cell();
                let begun = anew::begin(&metadata.0.exchange, &cell, &workspaces).await;
                match begun {
                    Ok(()) => metadata.0.begun_anew.notify_one(),
                    Err(error) => {
                        tracing::warn!(cell = %id, %error, "metadata does not begin anew yet");
                    }
                }
                metadata.0.beginning.lock().remove(&id);
            });
        }
        Ok(())
    }

    /// The shards of a cell: those that the directory knows, and those that are here.
    fn workspaces(&self, cell: &CellMetadata) -> BTreeSet<WorkspaceId> {
        let book = self.0.book.get();
        let mut workspaces = cell.workspaces();
        workspaces.extend(book.workspaces_of(cell.cell()));
        workspaces
    }
}
