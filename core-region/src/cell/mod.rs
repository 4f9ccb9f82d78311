//! A cell of workspaces: one Raft group, and the commands and queries on what it
//! holds.

mod access;
mod channels;
mod cursor;
pub mod machine;
mod messages;
mod query;
pub mod tables;
pub mod topic_log;
pub mod validate;
mod views;
mod workspaces;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use causeway_protocol::client::{self, request, response};
use causeway_protocol::{ApiError, CellId, ErrorCode, Position, UserId};
use prost::Message;
use tokio::sync::watch;

use self::access::Stop;
use crate::consensus::{Consensus, Outcome, ProposeError};
use crate::state::CellState;
use crate::state_records::{Command, command};
use crate::vitals::Vitals;

pub use machine::{CellMachine, Publish};

/// A replica that is behind waits this long for the position that a request asks
/// for; then another replica is asked.
const CATCH_UP: Duration = Duration::from_millis(500);

/// One replica of a cell, with all that can be asked of it.
pub struct Cell {
    state: CellState,
    consensus: Arc<dyn Consensus>,
    vitals: Vitals,
}

impl Cell {
    /// The replica whose log `consensus` keeps and whose state is `state`, on a
    /// node that is as `vitals` tell.
    pub fn new(state: CellState, consensus: Arc<dyn Consensus>, vitals: Vitals) -> Self {
        Self {
            state,
            consensus,
            vitals,
        }
    }

    /// The cell.
    pub fn id(&self) -> CellId {
        self.state.cell()
    }

    /// Its Raft group.
    pub fn consensus(&self) -> &Arc<dyn Consensus> {
        &self.consensus
    }

    /// Its state.
    pub fn state(&self) -> &CellState {
        &self.state
    }

    /// Carries out a request of `user`: commands go through the log, questions
    /// are answered from this replica's state. With `latest`, a question sees
    /// all that was acknowledged before.
    ///
    /// # Errors
    /// [`ApiError`]; [`ErrorCode::NotLeader`] when what only the leader can do
    /// came to a replica that does not lead.
    pub async fn execute(
        &self,
        user: UserId,
        request: client::Request,
        latest: bool,
    ) -> Result<client::Response, ApiError> {
        let body = request
            .body
            .ok_or_else(|| ApiError::new(ErrorCode::UnknownMethod, "the request is empty"))?;
        validate::request(&body)?;
        match into_command(body) {
            Ok(command) => self.command(user, command).await,
            Err(question) => {
                let mut least = Position(request.min_position);
                if latest {
                    least = least.max(self.consensus.latest().await.map_err(refusal)?);
                }
                self.question(user, *question, least).await
            }
        }
    }

    /// Carries out a command; `user` 0 is the platform.
    ///
    /// # Errors
    /// As for [`execute`](Self::execute).
    pub async fn command(
        &self,
        user: UserId,
        body: command::Body,
    ) -> Result<client::Response, ApiError> {
        if self.consensus.leadership().borrow().ready {
            self.vitals.admit()?;
        }
        let now_us = self.vitals.clock().now_us();
        let (position, outcome) = propose(self.consensus.as_ref(), now_us, user, body).await?;
        let result = match outcome {
            Outcome::Answer(result) => result,
            Outcome::Refused(error) => response::Result::Error(error.to_wire()),
            Outcome::Done | Outcome::Placed(_) => response::Result::Done(client::Done {}),
        };
        Ok(client::Response {
            position: position.0,
            age_ms: 0,
            result: Some(result),
        })
    }

    async fn question(
        &self,
        user: UserId,
        body: request::Body,
        least: Position,
    ) -> Result<client::Response, ApiError> {
        // A replica that has applied nothing knows nothing, and says so.
        let position = reach(self.consensus.applied(), least.max(Position(1))).await?;
        let age_ms = self.consensus.age_ms();
        let answer = self
            .state
            .read(|view| query::answer(view, user, body.clone()));
        let result = match answer {
            Ok(result) => result,
            Err(Stop::Refused(error)) => response::Result::Error(error.to_wire()),
            Err(Stop::Store(error)) => {
                tracing::error!(%error, "a question could not be answered");
                return Err(ErrorCode::InternalError.into());
            }
        };
        Ok(client::Response {
            position: position.0,
            age_ms,
            result: Some(result),
        })
    }
}

/// Has a command of `user`, stamped with `now_us`, replicated and applied.
///
/// # Errors
/// [`ApiError`]: [`ErrorCode::NotLeader`], [`ErrorCode::Unavailable`] or
/// [`ErrorCode::Ratelimited`].
pub async fn propose(
    consensus: &dyn Consensus,
    now_us: u64,
    user: UserId,
    body: command::Body,
) -> Result<(Position, Outcome), ApiError> {
    let command = Command {
        proposed_at_us: now_us,
        actor: user.0,
        body: Some(body),
    };
    let proposed = consensus.propose(command.encode_to_vec().into()).await;
    proposed.map_err(refusal)
}

/// As clients and routers see it.
pub fn refusal(error: ProposeError) -> ApiError {
    let code = match error {
        ProposeError::NotLeader => ErrorCode::NotLeader,
        ProposeError::Unavailable | ProposeError::Stopped => ErrorCode::Unavailable,
        ProposeError::Overloaded => ErrorCode::Ratelimited,
    };
    ApiError::new(code, error.to_string())
}

/// Waits for the state to reach `least`.
async fn reach(
    mut applied: watch::Receiver<Position>,
    least: Position,
) -> Result<Position, ApiError> {
    let reached = applied.wait_for(|position| *position >= least);
    match tokio::time::timeout(CATCH_UP, reached).await {
        Ok(Ok(position)) => Ok(*position),
        _ => {
            let text = "this replica is behind what the client has seen";
            Err(ApiError::new(ErrorCode::Unavailable, text))
        }
    }
}

/// The command in a request, or the question that it is instead.
fn into_command(body: request::Body) -> Result<command::Body, Box<request::Body>> {
    use request::Body as Request;
    Ok(match body {
        Request::SendMessage(send) => command::Body::SendMessage(send),
        Request::EditMessage(edit) => command::Body::EditMessage(edit),
        Request::DeleteMessage(delete) => command::Body::DeleteMessage(delete),
        Request::CreateChannel(create) => command::Body::CreateChannel(create),
        Request::JoinChannel(join) => command::Body::JoinChannel(join),
        Request::LeaveChannel(leave) => command::Body::LeaveChannel(leave),
        Request::InviteMember(invite) => command::Body::InviteMember(invite),
        Request::MarkRead(mark) => command::Body::MarkRead(mark),
        question => return Err(Box::new(question)),
    })
}
