//! The replicas of this node: started when the directory gives it one.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use causeway_gossip::Gossip;
use causeway_gossip::sync::SharedRoutes;
use causeway_protocol::backbone::{Cell as CellRecord, LeaderHint};
use causeway_protocol::{CellId, Epoch, NodeId};
use causeway_transport::backbone::{Backbone, PeerEvent};
use parking_lot::{Mutex, RwLock};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::assignment;
use crate::cell::{Cell, CellMachine, Publish};
use crate::consensus::{
    Consensus, GroupError, GroupParts, Groups, Machine, RaftGroup, RaftTimings,
};
use crate::directory::SharedBook;
use crate::hand_back::HandBack;
use crate::heirs::Heirs;
use crate::homecoming;
use crate::metadata::{CellMetadata, Left, Metadata};
use crate::metadata_wire::CellReturn;
use crate::metrics::Measures;
use crate::release;
use crate::routed;
use crate::state::CellState;
use crate::store::{Store, StoreError};
use crate::succession::Campaign;
use crate::surplus::{self, Word};
use crate::vitals::Vitals;

/// How often a leader looks whether it should hand over.
const MOVE_EVERY: Duration = Duration::from_secs(1);
/// A change of replicas waits for the new ones to catch up, and is taken up
/// again after this long.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(120);
/// Answers of leaders on surplus replicas that may wait to be taken in.
const WORDS_MAX: usize = 64;

/// The cells of this node; clones share them.
#[derive(Clone, Default)]
pub struct Cells(Arc<Inner>);

#[derive(Default)]
struct Inner {
    cells: RwLock<BTreeMap<CellId, Arc<Cell>>>,
    /// Counts changes of leadership anywhere on this node.
    elections: watch::Sender<u64>,
}

impl Cells {
    /// A replica, if this node holds one.
    pub fn get(&self, cell: CellId) -> Option<Arc<Cell>> {
        self.0.cells.read().get(&cell).cloned()
    }

    /// Every replica of this node.
    pub fn all(&self) -> Vec<Arc<Cell>> {
        self.0.cells.read().values().cloned().collect()
    }

    /// Who leads a cell, as this node's replica knows.
    pub fn leader_hint(&self, cell: CellId) -> Option<LeaderHint> {
        let leadership = *self.get(cell)?.consensus().leadership().borrow();
        Some(LeaderHint {
            cell: cell.0,
            term: leadership.term,
            node_id: leadership.leader?.0,
        })
    }

    /// The answer to a call for the leader of a cell, from a replica that is not.
    pub fn not_leader(&self, cell: CellId) -> Bytes {
        let held = self.get(cell);
        let successor = held.and_then(|cell| cell.consensus().successor());
        routed::not_leader(self.leader_hint(cell), successor)
    }

    /// The cells that this node leads. One that was elected just now lets calls
    /// wait until it has its lease: they are on their way meanwhile.
    pub fn led_here(&self) -> Vec<LeaderHint> {
        let leads = |cell: &Arc<Cell>| cell.consensus().leadership().borrow().leads;
        let led = self.all().into_iter().filter(leads);
        led.filter_map(|cell| self.leader_hint(cell.id())).collect()
    }

    /// Changes whenever some cell's leadership does.
    pub fn elections(&self) -> watch::Receiver<u64> {
        self.0.elections.subscribe()
    }

    fn insert(&self, cell: Arc<Cell>) {
        self.0.cells.write().insert(cell.id(), cell);
    }

    fn remove(&self, cell: CellId) -> Option<Arc<Cell>> {
        self.0.cells.write().remove(&cell)
    }

    fn election(&self) {
        self.0.elections.send_modify(|count| *count += 1);
    }

    /// Stops every replica.
    pub async fn stop(&self) {
        let stopping = self.all();
        let stopping = stopping.iter().map(|cell| cell.consensus().stop());
        futures::future::join_all(stopping).await;
        self.0.cells.write().clear();
    }
}

/// Groups whose members are being changed, one change at a time: by the epoch of
/// the record that asked for it.
#[derive(Debug, Clone, Default)]
struct Changes(Arc<Mutex<BTreeMap<CellId, (u64, CancellationToken)>>>);

impl Changes {
    /// Begins a change, unless it is under way. One for another record is given
    /// up: it may wait for a node that the directory has replaced since.
    fn begin(&self, record: &CellRecord) -> Option<CancellationToken> {
        let mut changes = self.0.lock();
        if let Some((epoch, given_up)) = changes.get(&CellId(record.id)) {
            if *epoch == record.epoch {
                return None;
            }
            given_up.cancel();
        }
        let given_up = CancellationToken::new();
        changes.insert(CellId(record.id), (record.epoch, given_up.clone()));
        Some(given_up)
    }

    fn end(&self, cell: CellId, epoch: u64) {
        let mut changes = self.0.lock();
        if changes
            .get(&cell)
            .is_some_and(|(present, _)| *present == epoch)
        {
            changes.remove(&cell);
        }
    }
}

/// What it takes to start replicas.
pub struct CellHost {
    /// This node.
    pub node: NodeId,
    /// Its disk.
    pub store: Store,
    /// Its connections.
    pub backbone: Backbone,
    /// Its Raft groups.
    pub groups: Groups,
    /// Their clockwork.
    pub timings: RaftTimings,
    /// The replicas that run.
    pub cells: Cells,
    /// Who is there.
    pub gossip: Gossip,
    /// What this node knows of leaders elsewhere.
    pub routes: SharedRoutes,
    /// How it and its peers are.
    pub vitals: Vitals,
    /// Who may take its cells over.
    pub heirs: Heirs,
    /// How it hands back what only it has.
    pub hand_back: HandBack,
    /// The metadata of its cells.
    pub metadata: Metadata,
    /// What it measures.
    pub measures: Measures,
}

impl CellHost {
    /// Starts the replica of a cell whose commands `machine` applies, and whose
    /// workspaces have this metadata.
    ///
    /// # Errors
    /// [`GroupError`].
    pub async fn start(
        &self,
        state: CellState,
        machine: Arc<dyn Machine>,
        metadata: Option<Arc<CellMetadata>>,
    ) -> Result<Arc<Cell>, GroupError> {
        let group = RaftGroup::start(GroupParts {
            node: self.node,
            state: state.clone(),
            machine,
            backbone: self.backbone.clone(),
            timings: self.timings,
            groups: self.groups.clone(),
            commits: self.measures.commits.clone(),
        });
        let consensus: Arc<dyn Consensus> = group.await?;
        let cell = Arc::new(Cell::new(
            state,
            Arc::clone(&consensus),
            self.vitals.clone(),
            metadata,
        ));
        self.cells.insert(Arc::clone(&cell));
        let (cells, routes) = (self.cells.clone(), self.routes.clone());
        let id = cell.id();
        tokio::spawn(async move {
            let mut leadership = consensus.leadership();
            while leadership.changed().await.is_ok() {
                let now = *leadership.borrow_and_update();
                if now.ready {
                    tracing::info!(cell = %id, term = now.term, "this node leads");
                }
                if let Some(hint) = cells.leader_hint(id) {
                    routes.apply_hints(&[hint]);
                }
                cells.election();
            }
        });
        Ok(cell)
    }

    /// Starts replicas as the directory gives them to this node, moves leaders
    /// where they belong, and campaigns for cells whose leader is gone.
    ///
    /// # Errors
    /// [`GroupError`]: a replica that cannot start stops the node.
    pub async fn run(
        self,
        book: SharedBook,
        publish: Arc<dyn Publish>,
        stop: CancellationToken,
    ) -> Result<(), GroupError> {
        let mut changed = book.watch();
        let mut events = self.backbone.events();
        let mut moving = tokio::time::interval(MOVE_EVERY);
        let mut present = homecoming::Presence::default();
        let mut pace = homecoming::Pace::default();
        let mut changing = Changes::default();
        let (say, mut words) = mpsc::channel(WORDS_MAX);
        loop {
            let records: Vec<CellRecord> = {
                let book = changed.borrow_and_update();
                book.cells().cloned().collect()
            };
            self.start_missing(&records, &publish).await?;
            self.change_members(&records, &mut changing);
            loop {
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    changed = changed.changed() => match changed {
                        Ok(()) => break,
                        Err(_) => return Ok(()),
                    },
                    _ = moving.tick() => {
                        self.move_leaders(&records, &mut present, &mut pace).await;
                        self.change_members(&records, &mut changing);
                        self.look_after_surplus(&records, &say);
                    }
                    Some((cell, word)) = words.recv() => {
                        self.release(cell, word, &records).await?;
                    }
                    event = events.recv() => {
                        if let Ok(PeerEvent::Down { peer, .. }) = event {
                            self.campaign_against(peer.node, &records);
                        }
                    }
                }
            }
        }
    }

    async fn start_missing(
        &self,
        records: &[CellRecord],
        publish: &Arc<dyn Publish>,
    ) -> Result<(), GroupError> {
        for record in records {
            let id = CellId(record.id);
            if self.cells.get(id).is_some() || !self.starts(record)? {
                continue;
            }
            let state = CellState::open(self.store.clone(), id)?;
            let faults = self.store.faults().clone();
            let machine = CellMachine::new(id, Arc::clone(publish)).with_faults(faults);
            let metadata = self.metadata.open(record)?;
            let cell = self.start(state, Arc::new(machine), Some(metadata)).await?;
            tracing::info!(cell = %id, "a replica has started");
            if assignment::founds(record, self.node) {
                self.found(Arc::clone(&cell), record);
            }
            self.lead_if_nobody_does(cell, record);
        }
        Ok(())
    }

    /// Whether this node has, or is to have, a replica of the cell.
    fn starts(&self, record: &CellRecord) -> Result<bool, StoreError> {
        let id = CellId(record.id);
        if id == CellId::DIRECTORY {
            return Ok(false);
        }
        let on_disk = release::on_disk(&self.store, id)?;
        if assignment::starts(record, self.node) {
            if on_disk.released_in.is_some() {
                release::remember(&self.store, id, None)?;
            }
            return Ok(true);
        }
        Ok(surplus::starts(record, self.node, on_disk))
    }

    /// Has replicas that the directory has given to other nodes hand back what only
    /// they have; then asks the cells' leaders whether their groups still count this
    /// node.
    fn look_after_surplus(&self, records: &[CellRecord], say: &mpsc::Sender<(CellId, Word)>) {
        let mut returns = Vec::new();
        for record in records {
            let id = CellId(record.id);
            if !surplus::is_surplus(record, self.node) || self.cells.get(id).is_none() {
                continue;
            }
            let done = match self.metadata.left_to_hand_back(id) {
                Left::Waiting => continue,
                Left::Nothing => {
                    self.ask_about_release(id, say.clone());
                    continue;
                }
                Left::Wanted => false,
                Left::Done => true,
            };
            returns.push(CellReturn {
                cell: record.id,
                epoch: record.epoch,
                done,
            });
        }
        if !returns.is_empty() {
            self.hand_back.ask(returns);
        }
    }

    fn ask_about_release(&self, cell: CellId, say: mpsc::Sender<(CellId, Word)>) {
        let routes = self.routes.get();
        let leader = routes.cell(cell).and_then(|route| route.leader);
        let Some(leader) = leader.filter(|leader| leader.node != self.node) else {
            return;
        };
        let backbone = self.backbone.clone();
        tokio::spawn(async move {
            if let Some(word) = release::ask(&backbone, leader.node, cell).await {
                // If too many wait already, it is asked again.
                let _ = say.try_send((cell, word));
            }
        });
    }

    /// Stops a surplus replica if the leader's word allows it.
    async fn release(
        &self,
        cell: CellId,
        word: Word,
        records: &[CellRecord],
    ) -> Result<(), StoreError> {
        let record = records.iter().find(|record| record.id == cell.0);
        let Some((record, held)) = record.zip(self.cells.get(cell)) else {
            return Ok(());
        };
        let term = held.consensus().leadership().borrow().term;
        let has_nothing = self.metadata.left_to_hand_back(cell) == Left::Nothing;
        if has_nothing && surplus::is_released(record, self.node, term, word) {
            tracing::info!(%cell, "the replica is other nodes' now");
            self.cells.remove(cell);
            self.metadata.close(cell);
            held.consensus().stop().await;
            release::remember(&self.store, cell, Some(Epoch(record.epoch)))?;
        }
        Ok(())
    }

    fn found(&self, cell: Arc<Cell>, record: &CellRecord) {
        let voters: BTreeSet<NodeId> = assignment::voters(record).collect();
        tokio::spawn(async move {
            if let Err(error) = cell.consensus().found(voters).await {
                tracing::error!(cell = %cell.id(), %error, "the cell was not founded");
            }
        });
    }

    /// Leaders have their groups changed to what the directory says.
    fn change_members(&self, records: &[CellRecord], changing: &mut Changes) {
        for record in records {
            let id = CellId(record.id);
            let Some(cell) = self.cells.get(id) else {
                continue;
            };
            let status = cell.consensus().status();
            let Some((voters, learners)) = assignment::change_of_members(record, &status) else {
                continue;
            };
            let Some(given_up) = changing.begin(record) else {
                continue;
            };
            let (changing, epoch) = (changing.clone(), record.epoch);
            let (term, mut leadership) = (status.leadership.term, cell.consensus().leadership());
            tokio::spawn(async move {
                let change = async {
                    // A replica that leads no more would wait for its followers
                    // in vain, and not begin anew when it leads again.
                    tokio::select! {
                        changed = cell.consensus().set_members(voters, learners) => Some(changed),
                        _ = leadership.wait_for(|l| !l.leads || l.term != term) => None,
                    }
                };
                let change = async { given_up.run_until_cancelled(change).await.flatten() };
                match tokio::time::timeout(CHANGE_TIMEOUT, change).await {
                    Ok(Some(Ok(()))) => tracing::info!(cell = %id, "the replicas have changed"),
                    Ok(Some(Err(error))) => {
                        tracing::warn!(cell = %id, %error, "will be tried again")
                    }
                    Ok(None) => {
                        tracing::info!(cell = %id, "another leader or record changes the replicas")
                    }
                    Err(_) => tracing::warn!(cell = %id, "changing replicas takes long"),
                }
                changing.end(id, epoch);
            });
        }
    }

    /// After a start, a replica at home that hears of no leader asks for an
    /// election, instead of waiting as long as for a leader that died.
    pub fn lead_if_nobody_does(&self, cell: Arc<Cell>, record: &CellRecord) {
        let (members, routes) = (self.gossip.membership(), self.routes.get());
        let is_drained = |replica: &_| routes.drains().cover(replica, &members);
        if !assignment::leads_if_nobody_does(record, self.node, is_drained) {
            return;
        }
        let wait = self.timings.heartbeat * 2;
        tokio::spawn(async move {
            let mut leadership = cell.consensus().leadership();
            let led = leadership.wait_for(|l| l.leader.is_some());
            if tokio::time::timeout(wait, led).await.is_err() {
                cell.consensus().campaign().await;
            }
        });
    }

    /// Hands cells over whose leader belongs elsewhere: at home, or anywhere but
    /// on a node that is being drained.
    async fn move_leaders(
        &self,
        records: &[CellRecord],
        present: &mut homecoming::Presence,
        pace: &mut homecoming::Pace,
    ) {
        let now = std::time::Instant::now();
        let members = self.gossip.membership();
        let alive: HashSet<NodeId> = members.iter().map(|m| m.node).collect();
        present.update(&alive, now);
        let moves = records.iter().filter_map(|record| {
            let cell = self.cells.get(CellId(record.id))?;
            let status = cell.consensus().status();
            if cell.consensus().successor().is_some() {
                return None;
            }
            let heirs = self.heirs.at_home_or_undrained(record);
            let heir = homecoming::successor(&heirs, &status, present, now)?;
            Some((cell, heir))
        });
        let moves: Vec<_> = moves.collect();
        let drain = self.heirs.drain_here();
        let permille = drain.map_or(homecoming::HOMECOMING_PERMILLE, |d| d.permille_per_s);
        let allowance = pace.allowance(moves.len(), permille);
        for (cell, heir) in moves.into_iter().take(allowance) {
            tracing::info!(cell = %cell.id(), to = %heir, "leadership moves");
            cell.consensus().transfer(heir).await;
        }
    }

    /// The connection to `node` is gone: evidence enough to ask for an election,
    /// which a quorum grants only if it misses the leader, too. While the lease
    /// that a voter granted the leader lasts, it does not: so this asks again.
    fn campaign_against(&self, lost: NodeId, records: &[CellRecord]) {
        let (members, routes) = (self.gossip.membership(), self.routes.get());
        for record in records {
            let Some(cell) = self.cells.get(CellId(record.id)) else {
                continue;
            };
            let lost_it = cell.consensus().leadership().borrow().leader == Some(lost);
            if lost_it && assignment::campaigns(record, self.node) {
                let is_drained = |replica: &_| routes.drains().cover(replica, &members);
                let plan = Campaign::new(record, self.node, lost, is_drained);
                tokio::spawn(campaign(cell, plan));
            }
        }
    }
}

/// Asks for an election until somebody else leads: when its turn has come, or as
/// soon as the one whose turn it is turns out to have the shorter log.
async fn campaign(cell: Arc<Cell>, mut plan: Campaign) {
    let consensus = cell.consensus();
    let mut leadership = consensus.leadership();
    while let Some(wait) = plan.next_wait() {
        tokio::select! {
            _ = leadership.wait_for(|l| plan.is_won_by(l.leader)) => return,
            () = consensus.awaited() => {}
            () = tokio::time::sleep(wait) => {}
        }
        consensus.campaign().await;
    }
}
