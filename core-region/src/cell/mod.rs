//! A cell of workspaces: one Raft group, and the commands and queries on what it
//! holds.

mod access;
mod admission;
mod channels;
mod cursor;
mod flannel;
pub mod machine;
mod messages;
pub mod metadata;
mod page;
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

use bytes::Bytes;
use causeway_protocol::backbone::EnsureChannel;
use causeway_protocol::client::{self, request, response};
use causeway_protocol::{
    ApiError, CellId, ChannelId, ErrorCode, NodeId, Position, Topic, UserId, WorkspaceId,
};
use prost::Message;
use tokio::sync::watch;
use tokio_util::task::task_tracker::TaskTrackerToken;

use self::access::{Sources, Stop, active_user};
use self::metadata::facts::Facts;
use self::metadata::{MetadataView, Wish};
use crate::consensus::{Consensus, Outcome, ProposeError};
use crate::metadata::CellMetadata;
use crate::metadata::actor::Dot;
use crate::metadata::cell::{Known, Patience};
use crate::metadata::item::Item;
use crate::metadata::shard::Since;
use crate::metadata::version::{Version, dot_from_bytes, dot_to_bytes};
use crate::state::CellState;
use crate::state_records::{Command, command};
use crate::store::StoreError;
use crate::vitals::Vitals;

pub use machine::{CellMachine, Publish};

/// A replica that is behind waits this long for the position that a request asks
/// for; then another replica is asked.
const CATCH_UP: Duration = Duration::from_millis(500);
/// A replica that lacks what a user knows of metadata waits this long for it.
const KNOWN_WITHIN: Duration = Duration::from_millis(300);
const PATIENCE: Patience = Patience {
    within: KNOWN_WITHIN,
    is_enough: true,
};
/// Replicas that can be reached know by then what one of them has written.
const SPREAD_WITHIN: Duration = Duration::from_secs(2);

/// How a request is to be carried out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terms {
    /// A question sees all that was acknowledged before.
    pub latest: bool,
    /// The version of metadata that the user's edge node has told its clients of.
    pub metadata_versions: Vec<Bytes>,
    /// The public channel that the edge node has last seen the user join, and by which
    /// operation.
    pub joined: Option<(ChannelId, Dot)>,
}

/// One replica of a cell, with all that can be asked of it.
pub struct Cell {
    state: CellState,
    consensus: Arc<dyn Consensus>,
    vitals: Vitals,
    metadata: Option<Arc<CellMetadata>>,
}

impl Cell {
    /// The replica whose log `consensus` keeps and whose state is `state`, on a
    /// node that is as `vitals` tell. The directory's cell has no metadata.
    pub fn new(
        state: CellState,
        consensus: Arc<dyn Consensus>,
        vitals: Vitals,
        metadata: Option<Arc<CellMetadata>>,
    ) -> Self {
        Self {
            state,
            consensus,
            vitals,
            metadata,
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

    /// Carries out a request of `user`: commands go through the log, changes of metadata
    /// are made here, questions are answered from what this replica has.
    ///
    /// # Errors
    /// [`ApiError`]; [`ErrorCode::NotLeader`] when what only the leader can do
    /// came to a replica that does not lead.
    pub async fn execute(
        &self,
        user: UserId,
        request: client::Request,
        terms: Terms,
    ) -> Result<client::Response, ApiError> {
        let body = request
            .body
            .ok_or_else(|| ApiError::new(ErrorCode::UnknownMethod, "the request is empty"))?;
        validate::request(&body)?;
        let known = known(&request.wrote, &terms.metadata_versions)?;
        let least = Position(request.min_position);
        if metadata::is_change(&body)
            && let Some(answer) = self.change(user, &body, least, &known).await?
        {
            return Ok(answer);
        }
        match into_command(body) {
            Ok(command) => {
                self.admit(user, &command, &known, terms.joined).await?;
                self.command(user, command).await
            }
            Err(question) => {
                let latest = match terms.latest {
                    true => self.consensus.latest().await.map_err(refusal)?,
                    false => Position::default(),
                };
                self.question(user, &question, least.max(latest), &known)
                    .await
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
        let creates = matches!(body, command::Body::CreateChannel(_));
        let _joining = creates.then(|| self.joining()).transpose()?;
        let now_us = self.vitals.clock().now_us();
        let (position, outcome) = propose(self.consensus.as_ref(), now_us, user, body).await?;
        let result = match outcome {
            Outcome::Answer(result) => match *result {
                response::Result::Channel(channel) if user.0 != 0 => {
                    let id = ChannelId(channel.id);
                    let joins = creates && !channel.private;
                    return self.channel(position, user, id, joins).await;
                }
                result => result,
            },
            Outcome::Refused(error) => response::Result::Error(error.to_wire()),
            Outcome::Done | Outcome::Placed(_) => response::Result::Done(client::Done {}),
            // The directory alone says this.
            Outcome::Overtaken => return Err(ErrorCode::InternalError.into()),
        };
        Ok(client::Response {
            position: position.0,
            result: Some(result),
            ..client::Response::default()
        })
    }

    /// Whoever creates a channel adds members, too: that is for the next leader when this
    /// node is about to end.
    fn joining(&self) -> Result<TaskTrackerToken, ApiError> {
        let joining = self.metadata()?.shared().admit();
        joining.ok_or_else(|| ErrorCode::NotLeader.into())
    }

    /// The answer on a channel that the log has been changed for. Whoever creates a
    /// public one becomes its first member.
    async fn channel(
        &self,
        position: Position,
        user: UserId,
        channel: ChannelId,
        joins: bool,
    ) -> Result<client::Response, ApiError> {
        let mut wrote = None;
        if joins {
            let join = client::JoinChannel { channel: channel.0 };
            let join = request::Body::JoinChannel(join);
            let wishes = self.look(user, |sources| metadata::wishes(sources, user, &join))?;
            wrote = self.write(user.workspace(), wishes).await?;
        }
        let seen = self.look(user, |sources| {
            Ok(views::read_channel(sources, user, channel)?)
        })?;
        Ok(client::Response {
            position: position.0,
            wrote: wrote.as_ref().map(dot_to_bytes).unwrap_or_default(),
            result: seen.map(response::Result::Channel),
            ..client::Response::default()
        })
    }

    /// Creates a channel or finds it, and adds members: an operator's command, carried
    /// out by the leader. Answers once all replicas in `reach` know of the members.
    ///
    /// # Errors
    /// As for [`execute`](Self::execute).
    pub async fn ensure_channel(
        &self,
        ensure: EnsureChannel,
        reach: &[NodeId],
    ) -> Result<client::Response, ApiError> {
        let workspace = WorkspaceId(ensure.workspace);
        if self.consensus.leadership().borrow().leads && !self.serves_metadata(workspace)? {
            return Err(renewed());
        }
        let _joining = self.joining()?;
        let members: Vec<UserId> = ensure.members.iter().copied().map(UserId).collect();
        let body = command::Body::EnsureChannel(ensure);
        let mut response = self.command(UserId(0), body).await?;
        let Some(response::Result::Channel(channel)) = &mut response.result else {
            return Ok(response);
        };
        let (id, platform) = (ChannelId(channel.id), UserId::platform(workspace));
        if !channel.private {
            let wishes = self.look(platform, |sources| {
                metadata::memberships(sources, id, &members)
            })?;
            if let Some(dot) = self.write(workspace, wishes).await? {
                let metadata = self.metadata()?;
                let spread = metadata.has_spread(workspace, &dot, reach, SPREAD_WITHIN);
                // Whoever is away hears of it later.
                spread.await.map_err(internal)?;
            }
        }
        let seen = self.look(platform, |sources| {
            Ok(views::read_channel(sources, platform, id)?)
        })?;
        response.result = seen.map(response::Result::Channel);
        Ok(response)
    }

    /// Whether this replica of a workspace's metadata serves users.
    ///
    /// # Errors
    /// [`ApiError`].
    pub fn serves_metadata(&self, workspace: WorkspaceId) -> Result<bool, ApiError> {
        self.metadata()?.serves(workspace).map_err(internal)
    }

    /// How far it is.
    ///
    /// # Errors
    /// [`ApiError`].
    pub fn metadata_version(&self, workspace: WorkspaceId) -> Result<Version, ApiError> {
        self.metadata()?.version(workspace).map_err(internal)
    }

    /// Calls `done` once all that metadata has by now is on the disk; never, if it
    /// cannot be written.
    ///
    /// # Errors
    /// [`ApiError`].
    pub fn after_metadata_sync(
        &self,
        done: impl FnOnce() + Send + 'static,
    ) -> Result<(), ApiError> {
        let store = &self.metadata()?.shared().store;
        store.after_sync(move |synced| {
            if synced.is_ok() {
                done();
            }
        });
        Ok(())
    }

    /// What somebody was told of, and this replica lacks, and may yet get.
    ///
    /// # Errors
    /// [`ApiError`].
    pub fn metadata_ahead(
        &self,
        workspace: WorkspaceId,
        told: &Version,
    ) -> Result<Version, ApiError> {
        self.metadata()?.may_get(workspace, told).map_err(internal)
    }

    /// Whether somebody was told of what nobody has any more.
    ///
    /// # Errors
    /// [`ApiError`].
    pub fn metadata_is_lost(
        &self,
        workspace: WorkspaceId,
        told: &Version,
    ) -> Result<bool, ApiError> {
        self.metadata()?.has_lost(workspace, told).map_err(internal)
    }

    /// What has changed since a version: up to `limit` items.
    ///
    /// # Errors
    /// [`ApiError`].
    pub fn metadata_since(
        &self,
        workspace: WorkspaceId,
        have: &Version,
        limit: usize,
    ) -> Result<Since, ApiError> {
        let since = self.metadata()?.since_version(workspace, have, limit);
        since.map_err(internal)
    }

    /// What these items of a workspace are told as, as they are now.
    ///
    /// # Errors
    /// [`ApiError`].
    pub fn facts(&self, workspace: WorkspaceId, items: &[Item]) -> Result<Facts, ApiError> {
        let platform = UserId::platform(workspace);
        self.look(platform, |sources| {
            Ok(metadata::facts::facts(sources, items)?)
        })
    }

    fn metadata(&self) -> Result<&Arc<CellMetadata>, ApiError> {
        let none = || ApiError::new(ErrorCode::UnknownMethod, "this cell has no workspaces");
        self.metadata.as_ref().ok_or_else(none)
    }

    /// Answers from what this replica has of the workspace of `user`.
    fn look<T>(
        &self,
        user: UserId,
        answer: impl Fn(Sources<'_>) -> Result<T, Stop>,
    ) -> Result<T, ApiError> {
        let metadata = self.metadata()?;
        let workspace = user.workspace();
        let answered = self.state.read(|view| {
            let metadata = MetadataView::new(workspace, metadata.rows(workspace));
            answer(Sources {
                view,
                metadata: &metadata,
            })
        });
        answered.map_err(|stop| match stop {
            Stop::Refused(error) => error,
            Stop::Store(error) => internal(error),
        })
    }

    /// Makes a change of metadata, at this replica; `None` if the log is to make it.
    async fn change(
        &self,
        user: UserId,
        body: &request::Body,
        least: Position,
        known: &Known,
    ) -> Result<Option<client::Response>, ApiError> {
        self.vitals.admit()?;
        let (metadata, workspace) = (self.metadata()?, user.workspace());
        let Some(_writing) = metadata.shared().admit() else {
            let text = "this node is about to end";
            return Err(ApiError::new(ErrorCode::Unavailable, text));
        };
        if !metadata.serves(workspace).map_err(internal)? {
            return Err(renewed());
        }
        let knowing = metadata.knows(workspace, known, PATIENCE);
        // Cut off from whoever knows, the change is made all the same.
        knowing.await.map_err(internal)?;
        if self.is_behind(user, body, least)? {
            // Cut off from what was said later, all that is here is marked.
            let _ =
                tokio::time::timeout(KNOWN_WITHIN, reach(self.consensus.applied(), least)).await;
        }
        let wishes = || self.look(user, |sources| metadata::wishes(sources, user, body));
        let wishes = match wishes() {
            // What it is about may be on its way.
            Err(_) if *self.consensus.applied().borrow() < least => {
                reach(self.consensus.applied(), least).await?;
                wishes()
            }
            wishes => wishes,
        };
        let wishes = match wishes {
            Err(error) if error.code == ErrorCode::NotLeader => return Ok(None),
            Err(error) => return Ok(Some(error.into_response())),
            Ok(wishes) => wishes,
        };
        let wrote = self.write(workspace, wishes).await?;
        let result = match body {
            request::Body::JoinChannel(client::JoinChannel { channel })
            | request::Body::InviteMember(client::InviteMember { channel, .. }) => {
                let channel = ChannelId(*channel);
                let seen = self.look(user, |sources| {
                    Ok(views::read_channel(sources, user, channel)?)
                })?;
                seen.map(response::Result::Channel)
            }
            _ => Some(response::Result::Done(client::Done {})),
        };
        Ok(Some(client::Response {
            position: self.consensus.applied().borrow().0,
            wrote: wrote.as_ref().map(dot_to_bytes).unwrap_or_default(),
            result,
            ..client::Response::default()
        }))
    }

    /// Whether a user marks as read what this replica has yet to hear of.
    fn is_behind(
        &self,
        user: UserId,
        body: &request::Body,
        least: Position,
    ) -> Result<bool, ApiError> {
        let request::Body::MarkRead(mark) = body else {
            return Ok(false);
        };
        if *self.consensus.applied().borrow() >= least {
            return Ok(false);
        }
        let topic = Topic::Channel(ChannelId(mark.channel));
        let head = self.look(user, |sources| Ok(topic_log::head(sources.view, topic)?))?;
        Ok(mark.seq > head.seq)
    }

    /// Writes, and waits until it is on the disk.
    async fn write(
        &self,
        workspace: WorkspaceId,
        wishes: Vec<Wish>,
    ) -> Result<Option<Dot>, ApiError> {
        if wishes.is_empty() {
            return Ok(None);
        }
        let written = self.metadata()?.write(workspace, wishes);
        let (dot, durable) = written.map_err(internal)?;
        let durable = durable.wait().await;
        durable.map_err(|e| ApiError::new(ErrorCode::Unavailable, e.to_string()))?;
        Ok(dot)
    }

    async fn question(
        &self,
        user: UserId,
        body: &request::Body,
        least: Position,
        known: &Known,
    ) -> Result<client::Response, ApiError> {
        let metadata = self.metadata()?;
        let workspace = user.workspace();
        if !metadata.serves(workspace).map_err(internal)? {
            return Err(renewed());
        }
        let knowing = metadata.knows(workspace, known, PATIENCE);
        // An answer that lacks something is better than none.
        knowing.await.map_err(internal)?;
        let applied = self.consensus.applied();
        if *applied.borrow() == Position::default() {
            // It knows nothing, and has yet to be given all of it: others are asked sooner.
            let text = "this replica has just begun";
            return Err(ApiError::new(ErrorCode::Unavailable, text));
        }
        let position = reach(applied, least).await?;
        let age_ms = self.consensus.age_ms();
        // Before anything is read: what changes meanwhile is told again.
        let version = metadata.version(workspace).map_err(internal)?;
        let answer = self.look(user, |sources| match body {
            request::Body::SyncMetadata(sync) => {
                let have = Version::from_bytes(&sync.version).ok_or(ErrorCode::InvalidArguments)?;
                active_user(sources.view, user)?;
                let page = metadata::changes(sources, metadata, user, (&have, &known.version))?;
                Ok(response::Result::Metadata(page))
            }
            _ => query::answer(sources, user, body),
        });
        let result = match answer {
            Ok(response::Result::Boot(boot)) => response::Result::Boot(client::BootData {
                metadata_version: version.to_bytes(),
                ..boot
            }),
            Ok(result) => result,
            Err(error) if error.code == ErrorCode::InternalError => return Err(error),
            Err(error) => response::Result::Error(error.to_wire()),
        };
        Ok(client::Response {
            position: position.0,
            age_ms,
            result: Some(result),
            ..client::Response::default()
        })
    }
}

/// What a user knows of metadata, as it comes with a request.
fn known(wrote: &[u8], versions: &[Bytes]) -> Result<Known, ApiError> {
    let ours = |text: &str| ApiError::new(ErrorCode::InvalidArguments, text);
    let wrote = match wrote {
        [] => None,
        wrote => Some(dot_from_bytes(wrote).ok_or_else(|| ours("`wrote` is not one of ours"))?),
    };
    let mut version = Version::default();
    for bytes in versions {
        let other = Version::from_bytes(bytes);
        version.merge(&other.ok_or_else(|| ours("the version of metadata is not one of ours"))?);
    }
    Ok(Known { wrote, version })
}

fn renewed() -> ApiError {
    let text = "this replica of the workspace's metadata is being renewed";
    ApiError::new(ErrorCode::Unavailable, text)
}

fn internal(error: StoreError) -> ApiError {
    tracing::error!(%error, "a request could not be carried out");
    ErrorCode::InternalError.into()
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
        Request::LeaveChannel(leave) => command::Body::LeaveChannel(leave),
        Request::InviteMember(invite) => command::Body::InviteMember(invite),
        Request::KickMember(kick) => command::Body::KickMember(kick),
        question => return Err(Box::new(question)),
    })
}
