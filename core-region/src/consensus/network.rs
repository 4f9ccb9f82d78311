//! Raft's messages to other replicas, over the backbone. Log entries go out
//! pipelined: the next request leaves before the last is acknowledged.

use std::future::Future;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use causeway_protocol::{CellId, Method, NodeId, frame};
use causeway_transport::backbone::{Backbone, CallError};
use causeway_transport::stream::FrameReader;
use futures::{Stream, StreamExt};
use openraft::OptionalSend;
use openraft::base::{BoxFuture, BoxStream};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendError,
    StreamAppendResult, TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use prost::Message;
use quinn::SendStream;
use tokio_util::task::AbortOnDropHandle;

use super::election::Election;
use super::freshness::Lease;
use super::log_store::LogStore;
use super::snapshot::SnapshotData;
use super::types::{TypeConfig, Vote};
use super::wire;
use crate::raft_wire;

type Snapshot = openraft::type_config::alias::SnapshotOf<TypeConfig, SnapshotData>;
type RpcError = RPCError<TypeConfig>;

/// A vote that takes longer is worth nothing: the election is over by then.
const VOTE_TIMEOUT: Duration = Duration::from_millis(1_500);

/// Makes connections to the other replicas of a cell.
#[derive(Clone)]
pub struct Network {
    backbone: Backbone,
    cell: CellId,
    own: Own,
}

/// What requests tell of this replica, and what is learnt from the answers.
#[derive(Clone)]
pub(super) struct Own {
    pub log: LogStore,
    pub lease: Lease,
    pub election: Election,
}

impl Network {
    /// For the replicas of `cell`.
    pub(super) fn new(backbone: Backbone, cell: CellId, own: Own) -> Self {
        Self {
            backbone,
            cell,
            own,
        }
    }
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Replica;

    async fn new_client(&mut self, target: u64, _node: &()) -> Replica {
        Replica {
            backbone: self.backbone.clone(),
            cell: self.cell,
            node: NodeId(target),
            own: self.own.clone(),
        }
    }
}

/// Another replica of the cell.
pub struct Replica {
    backbone: Backbone,
    cell: CellId,
    node: NodeId,
    own: Own,
}

impl Replica {
    async fn call<M: Message + Default>(
        &self,
        method: Method,
        request: &impl Message,
        timeout: Duration,
    ) -> Result<M, RpcError> {
        let body = Bytes::from(request.encode_to_vec());
        let answer = self.backbone.call(self.node, method, body, timeout).await;
        M::decode(answer.map_err(unreachable)?).map_err(|e| network(&e))
    }

    /// Opens the append stream and says for which cell.
    async fn open_append(&self) -> Result<(SendStream, FrameReader), RpcError> {
        let opened = self.backbone.open(self.node, Method::RaftAppend).await;
        let (mut send, recv) = opened.map_err(unreachable)?;
        let header = raft_wire::AppendHeader { cell: self.cell.0 };
        let sent = send.write_chunk(frame::encode(&header)).await;
        sent.map_err(|e| network(&e))?;
        Ok((send, recv))
    }

    async fn vote_call(
        &self,
        rpc: VoteRequest<TypeConfig>,
        pre_vote: bool,
    ) -> Result<VoteResponse<TypeConfig>, RpcError> {
        let request = raft_wire::VoteRequest {
            cell: self.cell.0,
            vote: Some(wire::vote(&rpc.vote)),
            last_log_id: rpc.last_log_id.as_ref().map(wire::log_id),
            leadership_transfer: rpc.leadership_transfer,
            pre_vote,
        };
        let answer: raft_wire::VoteResponse =
            self.call(Method::RaftVote, &request, VOTE_TIMEOUT).await?;
        let last_log_id = answer.last_log_id.as_ref().map(wire::read_log_id);
        if let Some(end) = last_log_id {
            let term = rpc.vote.leader_id.term;
            self.own.election.voter_ends(self.node, term, end);
        }
        Ok(VoteResponse {
            vote: wire::read_vote(answer.vote.as_ref()).map_err(|e| network(&e))?,
            vote_granted: answer.granted,
            last_log_id,
        })
    }

    async fn send_snapshot(&self, vote: Vote, snapshot: Snapshot) -> Result<Vote, CallError> {
        let lost = |reason: String| CallError::Unreachable {
            node: self.node,
            reason,
        };
        let (mut send, mut recv) = self.backbone.open(self.node, Method::RaftSnapshot).await?;
        let header = raft_wire::SnapshotHeader {
            cell: self.cell.0,
            vote: Some(wire::vote(&vote)),
            last_log_id: snapshot.meta.last_log_id.as_ref().map(wire::log_id),
            membership: Some(wire::stored_membership(&snapshot.meta.last_membership)),
        };
        let sent = send.write_chunk(frame::encode(&header)).await;
        sent.map_err(|e| lost(e.to_string()))?;
        let SnapshotData::Outgoing(mut chunks) = snapshot.snapshot else {
            return Err(lost("a received snapshot is not sent on".into()));
        };
        loop {
            let chunk = chunks.recv().await;
            let chunk = chunk.ok_or_else(|| lost("reading the state has ended early".into()))?;
            let chunk = chunk.map_err(|e| lost(e.to_string()))?;
            let sent = send.write_chunk(frame::encode(&chunk)).await;
            sent.map_err(|e| lost(e.to_string()))?;
            if chunk.last {
                break;
            }
        }
        let answer: Option<raft_wire::SnapshotResponse> =
            recv.message().await.map_err(|e| lost(e.to_string()))?;
        let vote = answer.and_then(|a| a.vote);
        wire::read_vote(vote.as_ref()).map_err(|e| lost(e.to_string()))
    }
}

impl RaftNetworkV2<TypeConfig> for Replica {
    type SnapshotData = SnapshotData;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RpcError> {
        let (mut send, mut recv) = self.open_append().await?;
        let sent = send
            .write_chunk(frame::encode(&append_request(&rpc, &self.own.lease)))
            .await;
        sent.map_err(|e| network(&e))?;
        let answer = next_answer(&mut recv).await;
        let cut = || network(&io::Error::from(io::ErrorKind::UnexpectedEof));
        Ok(answer.ok_or_else(cut)??.into())
    }

    fn stream_append<'s, S>(
        &'s mut self,
        mut input: S,
        _option: RPCOption,
    ) -> BoxFuture<
        's,
        Result<BoxStream<'s, Result<StreamAppendResult<TypeConfig>, RpcError>>, RpcError>,
    >
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
    {
        Box::pin(async move {
            // openraft spares a replica that is gone by giving the next request
            // later: so the request comes first, and the stream after it.
            let Some(first) = input.next().await else {
                return Ok(futures::stream::empty().boxed());
            };
            let (send, recv) = self.open_append().await?;
            let ahead = ahead(&first, self.node, &self.own);
            let input = futures::stream::iter([first]).chain(input);
            let sending = send_requests(send, input, ahead, self.own.lease.clone());
            let sending = AbortOnDropHandle::new(tokio::spawn(sending));
            let answers = futures::stream::unfold(Some((recv, sending)), |state| async move {
                let (mut recv, sending) = state?;
                match next_answer(&mut recv).await? {
                    Ok(Ok(matching)) => Some((Ok(Ok(matching)), Some((recv, sending)))),
                    last => Some((last, None)),
                }
            });
            let answers: BoxStream<'s, _> = Box::pin(answers);
            Ok(answers)
        })
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RpcError> {
        self.vote_call(rpc, false).await
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RpcError> {
        self.vote_call(rpc, true).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        tokio::select! {
            closed = cancel => Err(StreamingError::Closed(closed)),
            sent = self.send_snapshot(vote, snapshot) => match sent {
                Ok(vote) => Ok(SnapshotResponse::new(vote)),
                Err(error) => Err(StreamingError::Unreachable(Unreachable::new(&error))),
            },
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RpcError> {
        let request = raft_wire::TransferRequest {
            cell: self.cell.0,
            from_leader: Some(wire::vote(request.from_leader())),
            to_node: *request.to_node_id(),
            last_log_id: request.last_log_id().map(wire::log_id),
        };
        let answer: raft_wire::TransferResponse = self
            .call(Method::RaftTransfer, &request, VOTE_TIMEOUT)
            .await?;
        if answer.accepted {
            Ok(Ok(()))
        } else {
            Err(network(&io::Error::other(answer.reason)))
        }
    }
}

async fn send_requests(
    mut send: SendStream,
    mut requests: impl Stream<Item = AppendEntriesRequest<TypeConfig>> + Unpin,
    mut ahead: Option<raft_wire::Ahead>,
    lease: Lease,
) {
    while let Some(rpc) = requests.next().await {
        let mut request = append_request(&rpc, &lease);
        request.ahead = ahead.take();
        if send.write_chunk(frame::encode(&request)).await.is_err() {
            return;
        }
    }
    // The reader of answers sees when the stream is gone.
    let _ = send.finish();
}

fn append_request(
    rpc: &AppendEntriesRequest<TypeConfig>,
    lease: &Lease,
) -> raft_wire::AppendRequest {
    raft_wire::AppendRequest {
        vote: Some(wire::vote(&rpc.vote)),
        prev: rpc.prev_log_id.as_ref().map(wire::log_id),
        entries: rpc.entries.iter().map(wire::entry).collect(),
        leader_commit: rpc.leader_commit.as_ref().map(wire::log_id),
        ahead: None,
        quorum_silent_ms: lease.quorum_silent_ms(),
    }
}

/// openraft looks for the place where a replica's log parts from the leader's by
/// halves, a round trip each: many across an ocean, on a long log, and nothing is
/// committed before. So the first request of a stream offers to go on from where
/// the replica said that its log ends when it voted, or else from the last entry
/// of earlier leaders. openraft takes an answer that is beyond what it asked for.
fn ahead(
    rpc: &AppendEntriesRequest<TypeConfig>,
    node: NodeId,
    own: &Own,
) -> Option<raft_wire::Ahead> {
    let term = rpc.vote.leader_id.term;
    let told = own.election.end_of(node, term);
    let told = told.and_then(|end| Some((end, own.log.after(&end).ok()??)));
    let (prev, entries) = told.or_else(|| own.log.since(term).ok()?)?;
    let asks_before = rpc.entries.last().is_some_and(|last| last.log_id <= prev);
    asks_before.then(|| raft_wire::Ahead {
        prev: Some(wire::log_id(&prev)),
        entries: entries.iter().map(wire::entry).collect(),
    })
}

/// The next answer; `None` when the stream has ended.
async fn next_answer(
    recv: &mut FrameReader,
) -> Option<Result<StreamAppendResult<TypeConfig>, RpcError>> {
    match recv.message::<raft_wire::AppendResponse>().await {
        Ok(Some(answer)) => Some(read_answer(answer).map_err(|e| network(&e))),
        Ok(None) => None,
        Err(e) => Some(Err(network(&e))),
    }
}

fn read_answer(
    answer: raft_wire::AppendResponse,
) -> Result<StreamAppendResult<TypeConfig>, wire::Missing> {
    use raft_wire::append_response::Result as Answer;
    Ok(match answer.result.ok_or(wire::Missing("result"))? {
        Answer::Matching(id) => Ok(id.log_id.as_ref().map(wire::read_log_id)),
        Answer::Conflict(id) => Err(StreamAppendError::Conflict(wire::read_log_id(&id))),
        Answer::HigherVote(vote) => {
            Err(StreamAppendError::HigherVote(wire::read_vote(Some(&vote))?))
        }
    })
}

fn unreachable(error: CallError) -> RpcError {
    RPCError::Unreachable(Unreachable::new(&error))
}

fn network(error: &(impl std::error::Error + 'static)) -> RpcError {
    RPCError::Network(NetworkError::new(error))
}
