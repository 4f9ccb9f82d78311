//! Who may do what: looked up in the state, for commands and queries alike.

use causeway_protocol::{ApiError, ChannelId, ErrorCode, UserId, WorkspaceId};

use super::tables;
use crate::state::ReadState;
use crate::state_records::{ChannelRecord, MemberRecord, UserRecord, WorkspaceRecord};
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

/// A channel as one user sees it.
pub struct Access {
    /// The channel.
    pub channel: ChannelRecord,
    /// The user's membership, if any.
    pub member: Option<MemberRecord>,
}

impl Access {
    /// The membership, or the refusal that its absence deserves.
    pub fn member(self) -> Result<(ChannelRecord, MemberRecord), Stop> {
        let member = self.member.ok_or(ErrorCode::NotInChannel)?;
        Ok((self.channel, member))
    }
}

/// A channel that `user` may see: a public one of the same workspace, or one of
/// which the user is a member. Whatever else there may be is not found.
pub fn visible_channel(
    state: &impl ReadState,
    user: UserId,
    channel: ChannelId,
) -> Result<Access, Stop> {
    if channel.workspace() != user.workspace() {
        return Err(ErrorCode::ChannelNotFound.into());
    }
    let record: Option<ChannelRecord> = state.record(&tables::channel(channel))?;
    let record = record.ok_or(ErrorCode::ChannelNotFound)?;
    let member: Option<MemberRecord> = state.record(&tables::member(channel, user))?;
    if record.private && member.is_none() {
        return Err(ErrorCode::ChannelNotFound.into());
    }
    Ok(Access {
        channel: record,
        member,
    })
}
