//! The way from the edge to the cells: a client's request becomes a call to the
//! leader of its workspace's cell, or to the nearest replica.

use std::time::Duration;

use bytes::Bytes;
use causeway_gossip::{Repeat, Router};
use causeway_protocol::backbone::ApiCall;
use causeway_protocol::client::{self, request::Body};
use causeway_protocol::{ApiError, CellId, ErrorCode, Method, UserId, WorkspaceId};
use futures::future::{BoxFuture, FutureExt};
use prost::Message;

/// A request that no cell has answered by then is refused as `unavailable`.
const BUDGET: Duration = Duration::from_secs(5);

/// Asks the cells on behalf of users whose token has been verified.
pub trait Ask: Send + Sync + 'static {
    /// Has a request of `user` carried out.
    ///
    /// The error is for what did not reach a cell; a cell's refusal is an
    /// answer like any other.
    fn ask(
        &self,
        user: UserId,
        request: client::Request,
    ) -> BoxFuture<'_, Result<client::Response, ApiError>>;
}

/// The cells, by way of the backbone.
#[derive(Clone)]
pub struct Upstream {
    router: Router,
}

impl Upstream {
    /// Over this router.
    pub fn new(router: Router) -> Self {
        Self { router }
    }

    /// The router below.
    pub fn router(&self) -> &Router {
        &self.router
    }

    /// The cell that holds a workspace.
    ///
    /// # Errors
    /// [`ErrorCode::WorkspaceNotFound`], or [`ErrorCode::Unavailable`] while the
    /// directory is not known.
    pub fn cell_of(&self, workspace: WorkspaceId) -> Result<CellId, ApiError> {
        let routes = self.router.routes().get();
        match routes.cell_of(workspace) {
            Some(cell) => Ok(cell),
            None if routes.version() == 0 => {
                let text = "this edge node does not know the directory yet";
                Err(ApiError::new(ErrorCode::Unavailable, text))
            }
            None => Err(ErrorCode::WorkspaceNotFound.into()),
        }
    }

    async fn carry(
        &self,
        user: UserId,
        request: client::Request,
    ) -> Result<client::Response, ApiError> {
        let cell = self.cell_of(user.workspace())?;
        let way = way(request.body.as_ref());
        let call = ApiCall {
            cell: cell.0,
            user: user.0,
            request: Some(request),
        };
        let body = Bytes::from(call.encode_to_vec());
        let answer = match way {
            Way::Nearest => {
                let near = self
                    .router
                    .call_nearest(cell, Method::Api, body.clone(), BUDGET);
                match near.await {
                    // Every replica is behind what the client has seen.
                    Err(e) if e.code == ErrorCode::Unavailable => {
                        self.to_leader(cell, body, Repeat::Safe).await?
                    }
                    answer => answer?,
                }
            }
            Way::Leader(repeat) => self.to_leader(cell, body, repeat).await?,
        };
        client::Response::decode(answer)
            .map_err(|e| ApiError::new(ErrorCode::InternalError, e.to_string()))
    }

    async fn to_leader(
        &self,
        cell: CellId,
        body: Bytes,
        repeat: Repeat,
    ) -> Result<Bytes, ApiError> {
        self.router
            .call_leader(cell, Method::Api, body, repeat, BUDGET)
            .await
    }
}

impl Ask for Upstream {
    fn ask(
        &self,
        user: UserId,
        request: client::Request,
    ) -> BoxFuture<'_, Result<client::Response, ApiError>> {
        self.carry(user, request).boxed()
    }
}

/// Who is asked.
enum Way {
    Nearest,
    Leader(Repeat),
}

fn way(body: Option<&Body>) -> Way {
    match body {
        // A second try would find the name taken, by the first.
        Some(Body::CreateChannel(_)) => Way::Leader(Repeat::Unsafe),
        Some(
            Body::SendMessage(_)
            | Body::EditMessage(_)
            | Body::DeleteMessage(_)
            | Body::JoinChannel(_)
            | Body::LeaveChannel(_)
            | Body::InviteMember(_)
            | Body::MarkRead(_),
        ) => Way::Leader(Repeat::Safe),
        _ => Way::Nearest,
    }
}
