//! Records as clients see them.

use causeway_protocol::client;
use causeway_protocol::{ChannelId, Topic, UserId, WorkspaceId};

use super::{tables, topic_log};
use crate::state::ReadState;
use crate::state_records::{ChannelRecord, HeadRecord, MemberRecord, UserRecord, WorkspaceRecord};
use crate::store::StoreError;

/// A user.
pub fn user(id: UserId, record: &UserRecord) -> client::User {
    client::User {
        id: id.0,
        name: record.name.clone(),
        real_name: record.real_name.clone(),
        deactivated: record.deactivated,
        admin: record.admin,
    }
}

/// A workspace.
pub fn workspace(id: WorkspaceId, record: &WorkspaceRecord) -> client::Workspace {
    client::Workspace {
        id: id.0,
        name: record.name.clone(),
        home_region: record.home_region.clone(),
    }
}

/// A channel, for one who is a member or not.
pub fn channel(
    id: ChannelId,
    record: &ChannelRecord,
    head: &HeadRecord,
    member: Option<&MemberRecord>,
) -> client::Channel {
    let unread = member.map_or(0, |m| head.messages.saturating_sub(m.read_messages));
    client::Channel {
        id: id.0,
        name: record.name.clone(),
        private: record.private,
        creator: record.creator,
        created_ts: record.created_ts,
        last_seq: head.seq,
        last_ts: head.last_message_ts,
        members: record.members,
        is_member: member.is_some(),
        read_seq: member.map_or(0, |m| m.read_seq),
        unread: u32::try_from(unread).unwrap_or(u32::MAX),
    }
}

/// Reads a channel as `user` sees it; whether the user may is not looked at.
///
/// # Errors
/// [`StoreError`].
pub fn read_channel(
    state: &impl ReadState,
    user: UserId,
    id: ChannelId,
) -> Result<Option<client::Channel>, StoreError> {
    let Some(record) = state.record::<ChannelRecord>(&tables::channel(id))? else {
        return Ok(None);
    };
    let head = topic_log::head(state, Topic::Channel(id))?;
    let member: Option<MemberRecord> = state.record(&tables::member(id, user))?;
    Ok(Some(channel(id, &record, &head, member.as_ref())))
}
