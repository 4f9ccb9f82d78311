//! Raft's messages from other replicas, handed to the group they are for.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway_protocol::{ApiError, CellId, ErrorCode, Method, Position, frame};
use causeway_transport::backbone::Services;
use causeway_transport::stream::FrameReader;
use causeway_transport::tls::Role;
use futures::StreamExt;
use openraft::Raft;
use openraft::raft::{
    AppendEntriesRequest, StreamAppendError, StreamAppendResult, TransferLeaderRequest, VoteRequest,
};
use parking_lot::Mutex;
use prost::Message;
use quinn::SendStream;
use tokio::sync::watch;

use super::election::Election;
use super::freshness::{Claim, SharedFreshness};
use super::handover::Handover;
use super::log_store::LogStore;
use super::snapshot::Staging;
use super::state_adapter::StateAdapter;
use super::types::{TypeConfig, Vote};
use super::wire::{self, Missing};
use crate::raft_wire;
use crate::state::CellState;

type Snapshot = openraft::type_config::alias::SnapshotOf<TypeConfig, super::snapshot::SnapshotData>;
type Requests = futures::stream::BoxStream<'static, AppendEntriesRequest<TypeConfig>>;

/// What the leader claimed with requests that are not answered yet; openraft
/// bounds how many of a stream that may be.
type Claims = Arc<Mutex<VecDeque<Option<Claim>>>>;

/// A group that takes messages.
#[derive(Clone)]
pub(super) struct Receiver {
    pub raft: Raft<TypeConfig, StateAdapter>,
    pub state: CellState,
    pub log: LogStore,
    /// Told when this replica is named the next leader.
    pub handover: Handover,
    /// Told of leaders and candidates.
    pub election: Election,
    /// How far the state is.
    pub applied: watch::Receiver<Position>,
    /// Told what leaders claim.
    pub freshness: SharedFreshness,
    /// One snapshot is received at a time.
    pub staging: Arc<tokio::sync::Mutex<()>>,
}

/// A message for a cell that this node is about to be given waits this long.
const ABOUT_TO_START: Duration = Duration::from_secs(1);

/// The groups of this node, by cell; clones share them.
#[derive(Clone, Default)]
pub struct Groups(watch::Sender<HashMap<CellId, Receiver>>);

impl Groups {
    pub(super) fn insert(&self, cell: CellId, receiver: Receiver) {
        self.0.send_modify(|groups| {
            groups.insert(cell, receiver);
        });
    }

    pub(super) fn remove(&self, cell: CellId) {
        self.0.send_modify(|groups| {
            groups.remove(&cell);
        });
    }

    /// The group of a cell. The founder of a cell may be heard of before the
    /// directory is: then the group is waited for.
    async fn get(&self, cell: u32) -> Result<Receiver, ApiError> {
        let cell = CellId(cell);
        let mut groups = self.0.subscribe();
        let found = groups.wait_for(|groups| groups.contains_key(&cell));
        let found = tokio::time::timeout(ABOUT_TO_START, found).await;
        let group = found.ok().and_then(Result::ok);
        group
            .and_then(|groups| groups.get(&cell).cloned())
            .ok_or_else(|| {
                let text = format!("cell {cell} has no replica here");
                ApiError::new(ErrorCode::Unavailable, text)
            })
    }

    /// Serves the other core nodes.
    #[must_use]
    pub fn register(&self, services: Services) -> Services {
        const CORES: &[Role] = &[Role::Core];
        let (vote, transfer, append, snapshot) =
            (self.clone(), self.clone(), self.clone(), self.clone());
        services
            .call(Method::RaftVote, CORES, move |_, body| {
                let groups = vote.clone();
                async move { groups.on_vote(body).await }
            })
            .call(Method::RaftTransfer, CORES, move |_, body| {
                let groups = transfer.clone();
                async move { groups.on_transfer(body).await }
            })
            .stream(Method::RaftAppend, CORES, move |_, send, recv| {
                let groups = append.clone();
                async move { groups.on_append(send, recv).await }
            })
            .stream(Method::RaftSnapshot, CORES, move |_, send, recv| {
                let groups = snapshot.clone();
                async move { groups.on_snapshot(send, recv).await }
            })
    }

    async fn on_vote(&self, body: Bytes) -> Result<Bytes, ApiError> {
        let request: raft_wire::VoteRequest = decode(body)?;
        let Receiver { raft, election, .. } = self.get(request.cell).await?;
        let candidate_ends = request.last_log_id.as_ref().map(wire::read_log_id);
        let rpc = VoteRequest {
            vote: wire::read_vote(request.vote.as_ref()).map_err(|e| malformed(&e))?,
            last_log_id: candidate_ends,
            leadership_transfer: request.leadership_transfer,
        };
        let answer = if request.pre_vote {
            raft.pre_vote(rpc).await
        } else {
            raft.vote(rpc).await
        };
        let answer = answer.map_err(|e| stopped(&e))?;
        election.compared(candidate_ends, answer.last_log_id);
        let answer = raft_wire::VoteResponse {
            vote: Some(wire::vote(&answer.vote)),
            granted: answer.vote_granted,
            last_log_id: answer.last_log_id.as_ref().map(wire::log_id),
        };
        Ok(answer.encode_to_vec().into())
    }

    async fn on_transfer(&self, body: Bytes) -> Result<Bytes, ApiError> {
        let request: raft_wire::TransferRequest = decode(body)?;
        let Receiver { raft, handover, .. } = self.get(request.cell).await?;
        let from = wire::read_vote(request.from_leader.as_ref()).map_err(|e| malformed(&e))?;
        let last = request.last_log_id.as_ref().map(wire::read_log_id);
        if request.to_node == *raft.node_id() {
            handover.named(from.leader_id.term);
        }
        let asked = TransferLeaderRequest::new(from, request.to_node, last);
        let answer = raft.handle_transfer_leader(asked).await;
        let reason = match answer.map_err(|e| stopped(&e))? {
            Ok(()) => String::new(),
            Err(refused) => refused.to_string(),
        };
        let answer = raft_wire::TransferResponse {
            accepted: reason.is_empty(),
            reason,
        };
        Ok(answer.encode_to_vec().into())
    }

    async fn on_append(&self, mut send: SendStream, mut recv: FrameReader) {
        let Ok(Some(header)) = recv.message::<raft_wire::AppendHeader>().await else {
            return;
        };
        let Ok(receiver) = self.get(header.cell).await else {
            return;
        };
        // Answers come in the order of the requests.
        let claims = Claims::default();
        let requests = requests(recv, receiver.log, receiver.election, Arc::clone(&claims));
        let answers = receiver.raft.stream_append(requests);
        let mut answers = std::pin::pin!(answers);
        while let Some(Ok(answer)) = answers.next().await {
            let claim = claims.lock().pop_front().flatten();
            if let (Ok(_), Some(claim)) = (&answer, claim) {
                let applied = *receiver.applied.borrow();
                receiver.freshness.lock().heard(claim, applied);
            }
            if send
                .write_chunk(frame::encode(&response(&answer)))
                .await
                .is_err()
            {
                return;
            }
        }
        // The leader may have closed the stream already.
        let _ = send.finish();
    }

    async fn on_snapshot(&self, mut send: SendStream, mut recv: FrameReader) {
        match self.receive_snapshot(&mut recv).await {
            Ok(vote) => {
                let answer = raft_wire::SnapshotResponse {
                    vote: Some(wire::vote(&vote)),
                };
                if send.write_chunk(frame::encode(&answer)).await.is_ok() {
                    let _ = send.finish();
                }
            }
            Err(error) => tracing::warn!(%error, "a snapshot was not installed"),
        }
    }

    async fn receive_snapshot(&self, recv: &mut FrameReader) -> Result<Vote, ApiError> {
        let header: raft_wire::SnapshotHeader = next(recv).await?;
        let receiver = self.get(header.cell).await?;
        let _one_at_a_time = receiver.staging.lock().await;
        let vote = wire::read_vote(header.vote.as_ref()).map_err(|e| malformed(&e))?;
        let meta = wire::read_snapshot_meta(&header).map_err(|e| malformed(&e))?;
        let staging = Staging::begin(&receiver.state);
        loop {
            let chunk: raft_wire::SnapshotChunk = next(recv).await?;
            let room = receiver.state.store().room().to_grow().await;
            room.map_err(|e| stopped(&e))?;
            staging.add(&chunk.rows).map_err(|e| stopped(&e))?;
            if chunk.last {
                break;
            }
        }
        let snapshot = Snapshot {
            meta,
            snapshot: staging.finish(),
        };
        let installed = receiver.raft.install_full_snapshot(vote, snapshot).await;
        Ok(installed.map_err(|e| stopped(&e))?.vote)
    }
}

/// The append requests of a stream, until it ends or makes no sense.
fn requests(recv: FrameReader, log: LogStore, election: Election, claims: Claims) -> Requests {
    let state = (recv, log, election, claims);
    let requests = futures::stream::unfold(state, |(mut recv, log, election, claims)| async move {
        let request = recv.message::<raft_wire::AppendRequest>().await.ok()??;
        let (silent_ms, now) = (request.quorum_silent_ms, Instant::now());
        election.heard_leader(now);
        let request = read_request(request, &log).ok()?;
        let commit = request.leader_commit.map_or(0, |id| id.index);
        let claim = Claim::read(now, silent_ms, Position(commit));
        claims.lock().push_back(claim);
        Some((request, (recv, log, election, claims)))
    });
    requests.boxed()
}

fn read_request(
    request: raft_wire::AppendRequest,
    log: &LogStore,
) -> Result<AppendEntriesRequest<TypeConfig>, ApiError> {
    let (mut prev, mut entries) = (request.prev, request.entries);
    if let Some(ahead) = request.ahead {
        let of = ahead.prev.as_ref().map(wire::read_log_id);
        let of = of.ok_or_else(|| malformed(&Missing("the entry before")))?;
        if log.holds(&of).map_err(|e| stopped(&e))? {
            (prev, entries) = (ahead.prev, ahead.entries);
        }
    }
    let entries = entries.into_iter().map(wire::read_entry);
    Ok(AppendEntriesRequest {
        vote: wire::read_vote(request.vote.as_ref()).map_err(|e| malformed(&e))?,
        prev_log_id: prev.as_ref().map(wire::read_log_id),
        entries: entries
            .collect::<Result<_, _>>()
            .map_err(|e| malformed(&e))?,
        leader_commit: request.leader_commit.as_ref().map(wire::read_log_id),
    })
}

fn response(answer: &StreamAppendResult<TypeConfig>) -> raft_wire::AppendResponse {
    use raft_wire::append_response::Result as Answer;
    let answer = match answer {
        Ok(matching) => Answer::Matching(raft_wire::MaybeLogId {
            log_id: matching.as_ref().map(wire::log_id),
        }),
        Err(StreamAppendError::Conflict(id)) => Answer::Conflict(wire::log_id(id)),
        Err(StreamAppendError::HigherVote(vote)) => Answer::HigherVote(wire::vote(vote)),
    };
    raft_wire::AppendResponse {
        result: Some(answer),
    }
}

async fn next<M: Message + Default>(recv: &mut FrameReader) -> Result<M, ApiError> {
    match recv.message().await {
        Ok(Some(message)) => Ok(message),
        Ok(None) => Err(malformed(&"the stream ended early")),
        Err(e) => Err(malformed(&e)),
    }
}

fn decode<M: Message + Default>(body: Bytes) -> Result<M, ApiError> {
    M::decode(body).map_err(|e| malformed(&e))
}

fn malformed(error: &impl std::fmt::Display) -> ApiError {
    ApiError::new(ErrorCode::Malformed, error.to_string())
}

fn stopped(error: &impl std::fmt::Display) -> ApiError {
    ApiError::new(ErrorCode::Unavailable, error.to_string())
}
