//! A replica of a cell: openraft, its storage and its network, behind
//! [`Consensus`].

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway_protocol::{CellId, NodeId, Position};
use causeway_transport::backbone::Backbone;
use futures::future::{BoxFuture, FutureExt};
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{
    ClientWriteError, Fatal, ForwardReason, ForwardToLeader, InitializeError,
    LinearizableReadError, RaftError,
};
use openraft::{ChangeMembers, Raft, ReadPolicy, ServerState, SnapshotPolicy};
use prometheus_client::metrics::histogram::Histogram;
use thiserror::Error;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::election::Election;
use super::freshness::{Lease, SharedFreshness, age_ms};
use super::handover::Handover;
use super::log_store::LogStore;
use super::network::{Network, Own};
use super::server::{Groups, Receiver};
use super::state_adapter::StateAdapter;
use super::types::{Command, Membership, TypeConfig};
use super::{
    Campaigns, ChangeError, Consensus, GroupStatus, Leadership, Machine, Outcome, ProposeError,
};
use crate::state::CellState;
use crate::store::StoreError;

/// Commands of one group that may be under way at a time.
const PROPOSALS_MAX: usize = 4_096;

/// A leader without a lease refuses by then.
const LEASE_WAIT: Duration = Duration::from_millis(700);
/// Between looks whether it has one again.
const LEASE_PAUSE: Duration = Duration::from_millis(50);
/// Between what openraft decides and what it tells.
const TOLD_LATER: Duration = Duration::from_millis(2);

/// The clockwork of a group, sized for a WAN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RaftTimings {
    /// A leader speaks up at least this often.
    pub heartbeat: Duration,
    /// A follower campaigns this long, or up to `election_max`, after the lease of
    /// the leader it no longer hears has ended.
    pub election_min: Duration,
    /// See `election_min`; also the length of the lease.
    pub election_max: Duration,
    /// A command that no quorum has acknowledged by then is given up.
    pub propose_timeout: Duration,
    /// Entries after which the log's beginning may go.
    pub snapshot_every: u64,
}

impl Default for RaftTimings {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(200),
            election_min: Duration::from_millis(500),
            election_max: Duration::from_millis(700),
            propose_timeout: Duration::from_secs(4),
            snapshot_every: 20_000,
        }
    }
}

/// What a replica is made of.
pub struct GroupParts {
    /// This node.
    pub node: NodeId,
    /// Its state.
    pub state: CellState,
    /// What applies commands to it.
    pub machine: Arc<dyn Machine>,
    /// The way to the others.
    pub backbone: Backbone,
    /// The clockwork.
    pub timings: RaftTimings,
    /// Where messages for it come in.
    pub groups: Groups,
    /// How long commands take until they are committed and applied.
    pub commits: Histogram,
}

/// A replica that cannot start.
#[derive(Debug, Error)]
pub enum GroupError {
    /// The disk.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The timings do not go together.
    #[error("raft timings: {0}")]
    Timings(#[from] openraft::ConfigError),
    /// openraft refuses what it finds on the disk.
    #[error("raft: {0}")]
    Raft(String),
}

/// A replica run by openraft.
pub struct RaftGroup {
    cell: CellId,
    raft: Raft<TypeConfig, StateAdapter>,
    groups: Groups,
    timings: RaftTimings,
    leadership: watch::Receiver<Leadership>,
    handover: Handover,
    election: Election,
    lease: Lease,
    freshness: SharedFreshness,
    applied: watch::Receiver<Position>,
    proposals: Semaphore,
    commits: Histogram,
    under_way: TaskTracker,
    campaigns_freely: AtomicBool,
    stop: CancellationToken,
}

impl RaftGroup {
    /// Starts the replica from what its disk holds.
    ///
    /// # Errors
    /// [`GroupError`].
    pub async fn start(parts: GroupParts) -> Result<Arc<Self>, GroupError> {
        let cell = parts.state.cell();
        let config = Arc::new(config(cell, parts.timings).validate()?);
        let log = LogStore::open(parts.state.store().clone(), cell)?;
        let leading = Arc::new(AtomicBool::new(false));
        let (applied_sender, applied) = watch::channel(Position::default());
        let machine = StateAdapter::new(
            parts.state.clone(),
            parts.machine,
            Arc::clone(&leading),
            applied_sender,
        )?;
        let lease = Lease::new(parts.timings.election_max);
        let election = Election::default();
        let own = Own {
            log: log.clone(),
            lease: lease.clone(),
            election: election.clone(),
        };
        let network = Network::new(parts.backbone, cell, own);
        let receiver_log = log.clone();
        let raft = Raft::new(parts.node.0, config, network, log, machine)
            .await
            .map_err(|e| GroupError::Raft(e.to_string()))?;
        lease.observe(raft.metrics());
        let (handover, freshness) = (Handover::default(), SharedFreshness::default());
        parts.groups.insert(
            cell,
            Receiver {
                handover: handover.clone(),
                election: election.clone(),
                raft: raft.clone(),
                state: parts.state,
                log: receiver_log,
                applied: applied.clone(),
                freshness: Arc::clone(&freshness),
                staging: Arc::default(),
            },
        );
        let (leadership_sender, leadership) = watch::channel(Leadership::default());
        let stop = CancellationToken::new();
        let follow = follow_leadership(raft.clone(), leading, leadership_sender);
        let stopped = stop.clone();
        tokio::spawn(async move { stopped.run_until_cancelled(follow).await });
        Ok(Arc::new(Self {
            cell,
            raft,
            groups: parts.groups,
            timings: parts.timings,
            leadership,
            handover,
            election,
            lease,
            freshness,
            applied,
            proposals: Semaphore::new(PROPOSALS_MAX),
            commits: parts.commits,
            under_way: TaskTracker::new(),
            campaigns_freely: AtomicBool::new(true),
            stop,
        }))
    }

    async fn write(&self, command: Bytes) -> Result<(Position, Outcome), ProposeError> {
        let permit = self.proposals.try_acquire();
        let _permit = permit.map_err(|_| ProposeError::Overloaded)?;
        let _under_way = self.under_way.token();
        let writing = async {
            let since = Instant::now();
            loop {
                match self.raft.client_write(Command(command.clone())).await {
                    Ok(written) => {
                        self.commits.observe(since.elapsed().as_secs_f64());
                        return Ok((Position(written.log_id.index), written.data));
                    }
                    Err(RaftError::APIError(ClientWriteError::ForwardToLeader(forward))) => {
                        self.hold(&forward, since).await?;
                    }
                    Err(RaftError::APIError(ClientWriteError::LogEntryDiscarded(_))) => {
                        // Another leader's log has taken the place of this entry.
                        return Err(ProposeError::Unavailable);
                    }
                    Err(RaftError::APIError(error)) => {
                        tracing::error!(cell = %self.cell, %error, "a command was taken for another");
                        return Err(ProposeError::Stopped);
                    }
                    Err(RaftError::Fatal(error)) => return Err(self.stopped(&error)),
                }
            }
        };
        tokio::select! {
            written = tokio::time::timeout(self.timings.propose_timeout, writing) => {
                written.map_err(|_| ProposeError::Unavailable)?
            }
            () = self.lost_quorum() => Err(ProposeError::Unavailable),
        }
    }

    /// Ends when this replica has led without a quorum for longer than its lease:
    /// what waits for one may be carried out later, or never.
    async fn lost_quorum(&self) {
        loop {
            tokio::time::sleep(self.timings.election_max).await;
            let now = Instant::now();
            if self.lease.known_at(now).is_some_and(|at| at < now) {
                return;
            }
        }
    }

    async fn read_index(&self) -> Result<Position, ProposeError> {
        let since = Instant::now();
        loop {
            self.handover.turn(self.leadership.clone(), since).await?;
            let reading = self.raft.get_read_linearizer(ReadPolicy::LeaseRead);
            match reading.await {
                Ok(linearizer) => return Ok(Position(linearizer.read_log_id().index())),
                Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(forward))) => {
                    self.hold(&forward, since).await?;
                }
                Err(RaftError::APIError(LinearizableReadError::QuorumNotEnough(_))) => {
                    self.await_lease(since).await?;
                }
                Err(RaftError::Fatal(error)) => return Err(self.stopped(&error)),
            }
        }
    }

    /// A command or a question came before its time: waits until it can be tried
    /// again, or tells that it belongs elsewhere.
    async fn hold(
        &self,
        forward: &ForwardToLeader<TypeConfig>,
        since: Instant,
    ) -> Result<(), ProposeError> {
        match forward.reason {
            ForwardReason::LeadershipTransfer => Err(ProposeError::NotLeader),
            ForwardReason::LeaseExpired => self.await_lease(since).await,
            ForwardReason::NotLeader => {
                // What openraft knows by now is told here a little later.
                tokio::time::sleep(TOLD_LATER).await;
                self.handover.turn(self.leadership.clone(), since).await
            }
        }
    }

    /// A leader that was cut off, or slow, for longer than its lease: the next
    /// heartbeat renews it, if there is a quorum.
    async fn await_lease(&self, since: Instant) -> Result<(), ProposeError> {
        if self.leadership.borrow().ready {
            if since.elapsed() >= LEASE_WAIT {
                return Err(ProposeError::Unavailable);
            }
            log_fatal(self.cell, self.raft.trigger().heartbeat().await);
            tokio::time::sleep(LEASE_PAUSE).await;
        }
        self.handover.turn(self.leadership.clone(), since).await
    }

    fn stopped(&self, error: &Fatal<TypeConfig>) -> ProposeError {
        tracing::error!(cell = %self.cell, %error, "the replica has stopped");
        ProposeError::Stopped
    }

    async fn change(
        &self,
        voters: BTreeSet<NodeId>,
        learners: BTreeSet<NodeId>,
    ) -> Result<(), ChangeError> {
        let failed = |e: &dyn std::fmt::Display| ChangeError(e.to_string());
        let present = self.status();
        let known = |node: &NodeId| present.members.contains(node);
        let has_voice = |node: &NodeId| known(node) && !present.learners.contains(node);
        let new_learners = learners.iter().filter(|node| !known(node));
        // Of a learner that an earlier change has added, nobody knows whether it
        // caught up: as a voter that is silent, it could cost the quorum.
        let new_voters = voters.iter().filter(|node| !has_voice(node));
        for node in new_learners.chain(new_voters) {
            let added = self.raft.add_learner(node.0, (), true).await;
            added.map_err(|e| failed(&e))?;
        }
        let voters: BTreeSet<u64> = voters.iter().map(|n| n.0).collect();
        let changed = self
            .raft
            .change_membership(ChangeMembers::ReplaceAllVoters(voters.clone()), true)
            .await;
        changed.map_err(|e| failed(&e))?;
        let gone: BTreeSet<u64> = (self.status().learners.iter())
            .filter(|node| !learners.contains(node))
            .map(|node| node.0)
            .collect();
        if !gone.is_empty() {
            let removed = self
                .raft
                .change_membership(ChangeMembers::RemoveNodes(gone), false)
                .await;
            removed.map_err(|e| failed(&e))?;
        }
        Ok(())
    }
}

impl Consensus for RaftGroup {
    fn propose(&self, command: Bytes) -> BoxFuture<'_, Result<(Position, Outcome), ProposeError>> {
        self.write(command).boxed()
    }

    fn latest(&self) -> BoxFuture<'_, Result<Position, ProposeError>> {
        self.read_index().boxed()
    }

    fn turn(&self) -> BoxFuture<'_, Result<(), ProposeError>> {
        let turn = self.handover.turn(self.leadership.clone(), Instant::now());
        turn.boxed()
    }

    fn successor(&self) -> Option<NodeId> {
        self.handover.successor(&self.leadership.borrow())
    }

    fn leadership(&self) -> watch::Receiver<Leadership> {
        self.leadership.clone()
    }

    fn applied(&self) -> watch::Receiver<Position> {
        self.applied.clone()
    }

    fn age_ms(&self) -> u32 {
        let now = Instant::now();
        let mut freshness = self.freshness.lock();
        // Before it is ready, a new leader may have yet to apply what others
        // have acknowledged.
        if self.leadership.borrow().ready
            && let Some(at) = self.lease.known_at(now)
        {
            freshness.was_current(at);
        }
        age_ms(freshness.age(*self.applied.borrow(), now))
    }

    fn status(&self) -> GroupStatus {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let (latest, committed) = (
            &metrics.membership_config,
            &metrics.committed_membership_config,
        );
        let both = [latest.membership(), committed.membership()];
        let replication = metrics.replication.iter().flatten();
        let votes = |node: &u64| both.iter().all(|members| votes_everywhere(members, *node));
        let members = both.iter().flat_map(|members| members.nodes());
        GroupStatus {
            leadership: *self.leadership.borrow(),
            applied: *self.applied.borrow(),
            voters: (latest.membership().voter_ids().filter(votes))
                .map(NodeId)
                .collect(),
            learners: latest.membership().learner_ids().map(NodeId).collect(),
            members: members.map(|(node, ())| NodeId(*node)).collect(),
            settled: latest.log_id() == committed.log_id(),
            matched: replication
                .filter_map(|(node, matched)| Some((NodeId(*node), matched.as_ref()?.index)))
                .collect(),
        }
    }

    fn found(&self, voters: BTreeSet<NodeId>) -> BoxFuture<'_, Result<(), ChangeError>> {
        async move {
            let voters: BTreeSet<u64> = voters.iter().map(|n| n.0).collect();
            match self.raft.initialize(voters).await {
                Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Ok(()),
                Err(error) => Err(ChangeError(error.to_string())),
            }
        }
        .boxed()
    }

    fn set_members(
        &self,
        voters: BTreeSet<NodeId>,
        learners: BTreeSet<NodeId>,
    ) -> BoxFuture<'_, Result<(), ChangeError>> {
        self.change(voters, learners).boxed()
    }

    fn campaign(&self) -> BoxFuture<'_, ()> {
        async move {
            let bound = (self.election).bound_for(self.timings.election_max, Instant::now());
            tokio::time::sleep(bound).await;
            if self.campaigns_freely.load(Ordering::Relaxed) {
                log_fatal(self.cell, self.raft.trigger().elect(true).await);
            }
        }
        .boxed()
    }

    fn awaited(&self) -> BoxFuture<'_, ()> {
        self.election.awaited().boxed()
    }

    fn let_campaign(&self, campaigns: Campaigns) {
        let freely = campaigns == Campaigns::Freely;
        self.campaigns_freely.store(freely, Ordering::Relaxed);
        let config = self.raft.runtime_config();
        config.elect(campaigns != Campaigns::Never);
    }

    fn transfer(&self, to: NodeId) -> BoxFuture<'_, ()> {
        async move {
            self.handover.begin(self.leadership.borrow().term, to);
            log_fatal(self.cell, self.raft.trigger().transfer_leader(to.0).await);
        }
        .boxed()
    }

    fn answered(&self) -> BoxFuture<'_, ()> {
        self.under_way.close();
        self.under_way.wait().boxed()
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        async move {
            self.groups.remove(self.cell);
            self.stop.cancel();
            if let Err(error) = self.raft.shutdown().await {
                tracing::error!(cell = %self.cell, %error, "the replica did not stop cleanly");
            }
        }
        .boxed()
    }
}

/// Amid a change of voters, two majorities are needed.
fn votes_everywhere(members: &Membership, node: u64) -> bool {
    let configs = members.get_joint_config();
    !configs.is_empty() && configs.iter().all(|voters| voters.contains(&node))
}

fn log_fatal(cell: CellId, result: Result<(), Fatal<TypeConfig>>) {
    if let Err(error) = result {
        tracing::error!(%cell, %error, "the replica has stopped");
    }
}

/// Tells who leads, and when this replica does so and is ready for it.
async fn follow_leadership(
    raft: Raft<TypeConfig, StateAdapter>,
    leading: Arc<AtomicBool>,
    leadership: watch::Sender<Leadership>,
) {
    let mut server = raft.server_metrics();
    loop {
        let now = {
            let metrics = server.borrow_watched();
            Leadership {
                term: metrics.vote.leader_id.term,
                leader: metrics.current_leader.map(NodeId),
                leads: metrics.state == ServerState::Leader,
                ready: metrics.state == ServerState::Leader,
            }
        };
        leading.store(now.ready, Ordering::Release);
        let is_new = leadership.borrow().term != now.term || !leadership.borrow().ready;
        if now.ready && is_new {
            let unready = Leadership {
                ready: false,
                ..now
            };
            leadership.send_if_modified(|known| std::mem::replace(known, unready) != unready);
            // The quorum's answer to this is the lease under which writes are
            // taken; the next ordinary heartbeat may be a while away.
            if raft.trigger().heartbeat().await.is_err() {
                return;
            }
            if !becomes_ready(&raft, now.term).await {
                // Leadership was lost on the way, or the replica has stopped.
                if server.changed().await.is_err() {
                    return;
                }
                continue;
            }
        }
        leadership.send_if_modified(|known| std::mem::replace(known, now) != now);
        if server.changed().await.is_err() {
            return;
        }
    }
}

/// Waits until an entry of `term`, and so all of earlier terms, is applied, and
/// a quorum has granted the lease. These metrics are told later than those that
/// told of the leadership: a candidate of `term` has yet to be told as leader.
async fn becomes_ready(raft: &Raft<TypeConfig, StateAdapter>, term: u64) -> bool {
    let waiting = raft.wait(None);
    let ready = waiting.metrics(
        move |metrics| {
            let applied = metrics.last_applied.map_or(0, |id| id.leader_id.term);
            let leased = metrics.last_quorum_acked.is_some();
            let leads = metrics.state == ServerState::Leader;
            let over = metrics.current_term > term
                || (metrics.current_term == term && !leads && !metrics.state.is_candidate());
            over || (leads && applied >= term && leased)
        },
        "the first entry of its own term is applied, under a lease",
    );
    ready
        .await
        .is_ok_and(|m| m.state == ServerState::Leader && m.current_term == term)
}

fn config(cell: CellId, timings: RaftTimings) -> openraft::Config {
    let millis = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
    openraft::Config {
        cluster_name: format!("cell-{cell}"),
        heartbeat_interval: millis(timings.heartbeat),
        election_timeout_min: millis(timings.election_min),
        election_timeout_max: millis(timings.election_max),
        enable_pre_vote: Some(true),
        // A leader that restarts must ask: it may have been away for long.
        enable_leader_restore: Some(false),
        // The disk and the ocean are crossed at the same time.
        broadcast_submitted_on_append: Some(true),
        snapshot_policy: SnapshotPolicy::LogsSinceLast(timings.snapshot_every),
        replication_lag_threshold: timings.snapshot_every * 2,
        max_in_snapshot_log_to_keep: timings.snapshot_every / 2,
        purge_batch_size: 256,
        install_snapshot_timeout: 600_000,
        api_channel_size: Some(PROPOSALS_MAX as u64),
        notification_channel_size: Some(8_192),
        backoff: "50ms 100ms 200ms ...500ms".into(),
        ..openraft::Config::default()
    }
}
