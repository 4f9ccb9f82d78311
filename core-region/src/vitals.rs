//! How this node and its peers are: the disk is looked at, the clocks are
//! compared, and core nodes tell one another whether they should lead.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway_gossip::Gossip;
use causeway_protocol::backbone;
use causeway_protocol::{ApiError, ErrorCode, Method, NodeId};
use causeway_transport::backbone::{Backbone, PeerEvent, Services};
use causeway_transport::tls::Role;
use futures::future::join_all;
use parking_lot::Mutex;
use prost::Message;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, Reading};
use crate::health::{DiskLimits, Health, Unfit};
use crate::store::{Family, Space, SpaceGauge, Store, keys};

/// Between looks at the disk.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Between exchanges with the others, once their clocks are known.
const EXCHANGE_EVERY: Duration = Duration::from_secs(1);
/// A peer that does not answer by then is not heard this time.
const EXCHANGE_TIMEOUT: Duration = Duration::from_millis(800);
/// What a peer has told is believed for this long.
const FRESH: Duration = Duration::from_secs(5);
/// Who has not been heard for this long is out of touch.
const IN_TOUCH: Duration = Duration::from_secs(2);
/// While the disk is unwell, a write of our own tests it.
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// How nodes are; clones share it.
#[derive(Clone)]
pub struct Vitals(Arc<Shared>);

struct Shared {
    clock: Clock,
    own: watch::Sender<Option<Unfit>>,
    /// The disk is, also while the node is about to end.
    is_full: AtomicBool,
    others: Mutex<HashMap<NodeId, Other>>,
    stalls: AtomicU64,
    refused: AtomicU64,
    free_bytes: AtomicU64,
}

/// What a peer has told.
struct Other {
    unfit: Option<Unfit>,
    at: Instant,
    /// The connection is gone since.
    is_lost: bool,
}

impl Vitals {
    /// Of a node that is thought to be well.
    pub fn new(clock: Clock) -> Self {
        Self(Arc::new(Shared {
            clock,
            own: watch::Sender::new(None),
            is_full: AtomicBool::new(false),
            others: Mutex::default(),
            stalls: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            free_bytes: AtomicU64::new(0),
        }))
    }

    /// The clock that stamps commands.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// Why this node should not lead; changes are seen at once.
    pub fn unfit(&self) -> watch::Receiver<Option<Unfit>> {
        self.0.own.subscribe()
    }

    /// This node is about to end: it should lead no more, whatever its disk does.
    pub fn stop_leading(&self) {
        self.set(Some(Unfit::Stopping));
    }

    fn set(&self, unfit: Option<Unfit>) {
        self.0.own.send_if_modified(|own| {
            let changes = *own != unfit && *own != Some(Unfit::Stopping);
            if changes {
                report(*own, unfit);
                *own = unfit;
            }
            changes
        });
    }

    /// Whether another node should lead, as far as it has told.
    pub fn may_lead(&self, node: NodeId) -> bool {
        let others = self.0.others.lock();
        let told = others.get(&node).filter(|told| told.at.elapsed() < FRESH);
        told.is_none_or(|told| told.unfit.is_none())
    }

    /// Whether this node and another have heard each other lately.
    pub fn is_in_touch(&self, node: NodeId) -> bool {
        let others = self.0.others.lock();
        let told = others.get(&node);
        told.is_some_and(|told| !told.is_lost && told.at.elapsed() < IN_TOUCH)
    }

    /// Whether a leader may take a command of a client.
    ///
    /// # Errors
    /// [`ErrorCode::StorageFull`].
    pub fn admit(&self) -> Result<(), ApiError> {
        if !self.0.is_full.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.0.refused.fetch_add(1, Ordering::Relaxed);
        let text = "the disk of the cell's leader is nearly full: leadership moves to another node";
        Err(ApiError::new(ErrorCode::StorageFull, text))
    }

    /// Stalls of the disk, commands refused for want of room, and free bytes.
    pub fn counts(&self) -> (u64, u64, u64) {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let shared = &self.0;
        (
            read(&shared.stalls),
            read(&shared.refused),
            read(&shared.free_bytes),
        )
    }

    /// Serves the other core nodes: tells them, and hears them.
    #[must_use]
    pub fn register(&self, services: Services) -> Services {
        let vitals = self.clone();
        services.call(Method::Vitals, &[Role::Core], move |peer, body: Bytes| {
            let vitals = vitals.clone();
            async move {
                let told = backbone::Vitals::decode(body)
                    .map_err(|e| ApiError::new(ErrorCode::Malformed, e.to_string()))?;
                vitals.hear(peer.node, &told);
                Ok(vitals.tell())
            }
        })
    }

    fn tell(&self) -> Bytes {
        let unfit = *self.0.own.borrow();
        let told = backbone::Vitals {
            clock_us: self.0.clock.system_us(),
            unfit: Unfit::to_wire(unfit).into(),
        };
        told.encode_to_vec().into()
    }

    fn hear(&self, node: NodeId, told: &backbone::Vitals) {
        let other = Other {
            unfit: Unfit::from_wire(told.unfit()),
            at: Instant::now(),
            is_lost: false,
        };
        let mut others = self.0.others.lock();
        others.retain(|_, other| other.at.elapsed() < FRESH);
        others.insert(node, other);
    }

    fn pause(&self) -> Duration {
        match self.0.clock.is_compared() {
            true => EXCHANGE_EVERY,
            false => LOOK_EVERY,
        }
    }

    fn lose(&self, node: NodeId) {
        if let Some(other) = self.0.others.lock().get_mut(&node) {
            other.is_lost = true;
        }
    }

    /// Tells all other core nodes, hears them, and compares the clocks.
    async fn exchange_once(&self, backbone: &Backbone, gossip: &Gossip) {
        let members = gossip.membership();
        let others = members.cores(None).map(|core| core.node);
        let others = others.filter(|node| *node != backbone.node());
        let asked = others.map(|node| self.ask(node, backbone));
        let readings: Vec<Reading> = join_all(asked).await.into_iter().flatten().collect();
        self.0.clock.compare(&readings);
    }

    async fn ask(&self, node: NodeId, backbone: &Backbone) -> Option<Reading> {
        let began = Instant::now();
        let body = self.tell();
        let answer = backbone.call(node, Method::Vitals, body, EXCHANGE_TIMEOUT);
        // A peer that is away, or of an earlier version, has nothing to tell.
        let told = backbone::Vitals::decode(answer.await.ok()?).ok()?;
        self.hear(node, &told);
        Some(Reading {
            clock_us: told.clock_us,
            at: began + began.elapsed() / 2,
        })
    }
}

impl Vitals {
    /// Looks at the disk until `stop`.
    pub async fn watch_disk(self, store: Store, limits: DiskLimits, stop: CancellationToken) {
        let (mut health, mut gauge) = (Health::new(limits), SpaceGauge::new(limits.reserve_bytes));
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut probed = Instant::now();
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            self.look_at_space(&store, &mut gauge).await;
            let now = Instant::now();
            let oldest = store.flusher().oldest_wait(now);
            let unfit = health.look(oldest, store.room().space(), now);
            self.0.stalls.store(health.stalls(), Ordering::Relaxed);
            if unfit.is_some() && now.duration_since(probed) >= PROBE_EVERY {
                probed = now;
                probe(&store);
            }
            let is_full = unfit == Some(Unfit::DiskFull);
            self.0.is_full.store(is_full, Ordering::Relaxed);
            self.set(unfit);
        }
    }

    async fn look_at_space(&self, store: &Store, gauge: &mut SpaceGauge) {
        let disk = store.clone();
        // A disk that stalls may hold this up; the next look waits for it.
        let capacity = tokio::task::spawn_blocking(move || disk.capacity()).await;
        match capacity {
            Ok(Ok(capacity)) => {
                self.0.free_bytes.store(capacity.free, Ordering::Relaxed);
                store.room().set(gauge.look(capacity.free, Instant::now()));
            }
            Ok(Err(error)) => tracing::warn!(%error, "the free space cannot be told"),
            // The node stops.
            Err(_) => {}
        }
    }

    /// Exchanges vitals with the other core nodes until `stop`, at once when
    /// this node's change: they hear of it before leadership reaches them.
    pub async fn exchange(self, backbone: Backbone, gossip: Gossip, stop: CancellationToken) {
        let mut unfit = self.unfit();
        let mut events = backbone.events();
        let mut exchanges = JoinSet::new();
        let mut next = tokio::time::Instant::now() + self.pause();
        loop {
            let changed = tokio::select! {
                () = stop.cancelled() => return,
                changed = unfit.changed() => changed.is_ok(),
                event = events.recv() => {
                    if let Ok(PeerEvent::Down { peer, .. }) = event {
                        self.lose(peer.node);
                    }
                    continue;
                }
                () = tokio::time::sleep_until(next) => false,
            };
            next = tokio::time::Instant::now() + self.pause();
            while exchanges.try_join_next().is_some() {}
            // One that waits for a node that is away holds no change up.
            if changed || exchanges.is_empty() {
                let (vitals, backbone, gossip) = (self.clone(), backbone.clone(), gossip.clone());
                exchanges.spawn(async move { vitals.exchange_once(&backbone, &gossip).await });
            }
        }
    }
}

/// Writes something, so that a disk on which nothing is written shows how it is.
fn probe(store: &Store) {
    if store.room().space() == Space::Out {
        return;
    }
    let mut batch = store.batch();
    batch.put(Family::Node, &keys::probe(), &[]);
    // An error is the store's to tell.
    if batch.write().is_ok() {
        store.flusher().after_sync(drop);
    }
}

fn report(was: Option<Unfit>, unfit: Option<Unfit>) {
    match (was, unfit) {
        (_, Some(Unfit::DiskFull)) => tracing::error!(
            "the disk is nearly full: new writes are refused, and leadership goes to others"
        ),
        (_, Some(Unfit::DiskStalled)) => {
            tracing::error!("the disk stalls: leadership goes to others")
        }
        (_, Some(Unfit::Stopping)) => {
            tracing::info!("about to end: leadership goes to others")
        }
        (Some(_), None) => tracing::warn!("the disk is well again: this node may lead"),
        (None, None) => {}
    }
}
