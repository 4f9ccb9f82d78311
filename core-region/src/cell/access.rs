//! Who may do what: looked up in the state, for commands and queries alike.

use causeway_protocol::{ApiError, ChannelId, ErrorCode, UserId, WorkspaceId};

use super::metadata::MetadataView;
use super::tables;
use crate::state::{ReadState, View};
use crate::state_records::{ChannelRecord, UserRecord, WorkspaceRecord};
use crate::store::StoreError;

/// Why a command or query has no ordinary result.
#[derive(Debug)]
pub enum Stop {
    /// The state says no.
    Refused(ApiError),
    /// The disk failed.
    Store(StoreError),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<ApiError> for Stop {
    fn from(error: ApiError) -> Self {
        Self::Refused(error)
    }
}

impl From<ErrorCode> for Stop {
    fn from(code: ErrorCode) -> Self {
        Self::Refused(code.into())
    }
}

/// The acting user, if active.
pub fn active_user(state: &impl ReadState, user: UserId) -> Result<UserRecord, Stop> {
    let record: UserRecord = state
        .record(&tables::user(user))?
        .ok_or(ErrorCode::UserNotFound)?;
    if record.deactivated {
        return Err(ErrorCode::AccountInactive.into());
    }
    Ok(record)
}

/// A workspace that lives in this cell.
pub fn workspace(state: &impl ReadState, workspace: WorkspaceId) -> Result<WorkspaceRecord, Stop> {
    let record = state.record(&tables::workspace(workspace))?;
    Ok(record.ok_or(ErrorCode::WorkspaceNotFound)?)
}

/// What questions are answered from, and what decides who may do what: the state that
/// the log has led to, and the metadata beside it.
#[derive(Clone, Copy)]
pub struct Sources<'a> {
    /// The state.
    pub view: &'a View<'a>,
    /// The metadata.
    pub metadata: &'a MetadataView<'a>,
}

/// A channel as one user sees it.
pub struct Access {
    /// The channel.
    pub channel: ChannelRecord,
    /// Whether the user is a member.
    pub is_member: bool,
}

impl Access {
    /// The channel, or the refusal that is due to one who is no member.
    pub fn member(self) -> Result<ChannelRecord, Stop> {
        match self.is_member {
            true => Ok(self.channel),
            false => Err(ErrorCode::NotInChannel.into()),
        }
    }
}

impl Sources<'_> {
    /// A channel that `user` may see: a public one of the same workspace, or one of
    /// which the user is a member. Whatever else there may be is not found.
    pub fn visible_channel(&self, user: UserId, channel: ChannelId) -> Result<Access, Stop> {
        let record = open_channel(self.view, user, channel)?;
        let is_member = record.private || self.metadata.is_member(channel, user)?;
        Ok(Access {
            channel: record,
            is_member,
        })
    }
}

/// A channel that `user` may see, as far as the log knows: who is a member of a public
/// one, it does not.
pub fn open_channel(
    state: &impl ReadState,
    user: UserId,
    channel: ChannelId,
) -> Result<ChannelRecord, Stop> {
    if channel.workspace() != user.workspace() {
        return Err(ErrorCode::ChannelNotFound.into());
    }
    let record: Option<ChannelRecord> = state.record(&tables::channel(channel))?;
    let record = record.ok_or(ErrorCode::ChannelNotFound)?;
    if record.private && state.get(&tables::member(channel, user))?.is_none() {
        return Err(ErrorCode::ChannelNotFound.into());
    }
    Ok(record)
}
