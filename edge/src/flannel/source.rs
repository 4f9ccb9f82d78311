//! Where what is kept comes from: the nearest replica, and the feed of the workspace.

use std::time::Duration;

use causeway_protocol::backbone::{ApiCall, FlannelAnswer, FlannelAsk, FlannelReply};
use causeway_protocol::client::{self, request};
use causeway_protocol::{
    ApiError, CellId, ErrorCode, Method, NodeId, Seq, Topic, UserId, WorkspaceId,
};
use futures::future::{BoxFuture, FutureExt};
use prost::Message;

use super::shelf::Demand;
use crate::feeds::{Feeds, Share};
use crate::gate::Gate;
use crate::hub::read_log;
use crate::upstream::Upstream;

/// An edge node of the same PoP answers within this, or is done without.
const HOLDER_WITHIN: Duration = Duration::from_millis(1_500);

/// What flannel asks.
pub trait Source: Send + Sync + 'static {
    /// Asks the nearest replica.
    fn ask(&self, ask: FlannelAsk) -> BoxFuture<'_, Result<FlannelAnswer, ApiError>>;

    /// Has one user booted who knows this much.
    fn boot(
        &self,
        user: UserId,
        demand: Demand,
    ) -> BoxFuture<'_, Result<client::Response, ApiError>>;

    /// Reads entries of a topic's log; none if it does not answer.
    fn read_log(&self, topic: Topic, from: Seq, to: Seq) -> BoxFuture<'_, Vec<client::Entry>>;

    /// Asks the edge node that holds the workspace.
    fn pass_on(
        &self,
        holder: NodeId,
        call: ApiCall,
    ) -> BoxFuture<'_, Result<FlannelReply, ApiError>>;

    /// Follows a workspace's metadata from now on.
    fn follow(&self, workspace: WorkspaceId, cell: CellId) -> Share;

    /// What a user was answered last: the next answer is not older.
    fn seen(&self, user: UserId) -> Demand;

    /// Whether no replica is within reach.
    fn is_cut_off(&self) -> bool;
}

/// The cells, by way of the backbone.
pub struct Cells {
    /// The way to them.
    pub upstream: Upstream,
    /// Their feeds.
    pub feeds: Feeds,
    /// Whether they are within reach.
    pub gate: Gate,
}

impl Source for Cells {
    fn ask(&self, ask: FlannelAsk) -> BoxFuture<'_, Result<FlannelAnswer, ApiError>> {
        self.upstream.flannel(ask).boxed()
    }

    fn boot(
        &self,
        user: UserId,
        demand: Demand,
    ) -> BoxFuture<'_, Result<client::Response, ApiError>> {
        let request = client::Request {
            min_position: demand.position,
            wrote: demand.wrote,
            body: Some(request::Body::Boot(client::Boot {})),
        };
        async move {
            let asking = self.upstream.ask_since(user, request, &demand.version);
            asking.await
        }
        .boxed()
    }

    fn read_log(&self, topic: Topic, from: Seq, to: Seq) -> BoxFuture<'_, Vec<client::Entry>> {
        let platform = UserId::platform(topic.workspace());
        async move {
            let entries = read_log(&self.upstream, platform, topic, from, to).await;
            entries.into_iter().map(|(entry, _)| entry).collect()
        }
        .boxed()
    }

    fn pass_on(
        &self,
        holder: NodeId,
        call: ApiCall,
    ) -> BoxFuture<'_, Result<FlannelReply, ApiError>> {
        let backbone = self.upstream.router().backbone().clone();
        async move {
            let body = call.encode_to_vec().into();
            let answer = backbone.call(holder, Method::Flannel, body, HOLDER_WITHIN);
            let unavailable = |text: String| ApiError::new(ErrorCode::Unavailable, text);
            let answer = answer.await.map_err(|e| unavailable(e.to_string()))?;
            FlannelReply::decode(answer).map_err(|e| unavailable(e.to_string()))
        }
        .boxed()
    }

    fn follow(&self, workspace: WorkspaceId, cell: CellId) -> Share {
        self.feeds.join(workspace, cell, &self.upstream)
    }

    fn seen(&self, user: UserId) -> Demand {
        self.upstream.seen(user)
    }

    fn is_cut_off(&self) -> bool {
        self.gate.is_cut_off()
    }
}
