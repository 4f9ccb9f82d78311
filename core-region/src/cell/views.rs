//! Records as clients see them.

use causeway_protocol::client;
use causeway_protocol::{ChannelId, Topic, UserId, WorkspaceId};

use super::access::Sources;
use super::{tables, topic_log};
use crate::metadata::types::Mark;
use crate::state::ReadState;
use crate::state_records::{
    ChannelRecord, HeadRecord, MemberRecord, RunsRecord, UserRecord, WorkspaceRecord,
};
use crate::store::StoreError;

/// A user, as the log knows them.
pub fn logged_user(id: UserId, record: &UserRecord) -> client::User {
    client::User {
        id: id.0,
        name: record.name.clone(),
        real_name: record.real_name.clone(),
        deactivated: record.deactivated,
        admin: record.admin,
        profile: None,
    }
}

/// A user with their profile.
///
/// # Errors
/// [`StoreError`].
pub fn user(
    sources: Sources<'_>,
    id: UserId,
    record: &UserRecord,
) -> Result<client::User, StoreError> {
    Ok(client::User {
        profile: Some(sources.metadata.profile(id)?),
        ..logged_user(id, record)
    })
}

/// A workspace.
pub fn workspace(id: WorkspaceId, record: &WorkspaceRecord) -> client::Workspace {
    client::Workspace {
        id: id.0,
        name: record.name.clone(),
        home_region: record.home_region.clone(),
    }
}

/// A channel, as the log knows it.
pub fn logged_channel(id: ChannelId, record: &ChannelRecord, head: &HeadRecord) -> client::Channel {
    client::Channel {
        id: id.0,
        name: record.name.clone(),
        private: record.private,
        creator: record.creator,
        created_ts: record.created_ts,
        last_seq: head.seq,
        last_ts: head.last_message_ts,
        members: record.members,
        ..client::Channel::default()
    }
}

/// A channel, as everybody sees it who sees it at all.
///
/// # Errors
/// [`StoreError`].
pub fn channel(
    sources: Sources<'_>,
    id: ChannelId,
    record: &ChannelRecord,
    head: &HeadRecord,
) -> Result<client::Channel, StoreError> {
    let facts = sources.metadata.channel(id)?;
    let mut purposes = facts.purposes.into_iter();
    let mut channel = client::Channel {
        topic: facts.topic,
        purpose: purposes.next(),
        other_purposes: purposes.collect(),
        archived: facts.archived,
        ..logged_channel(id, record, head)
    };
    if let Some(name) = facts.name {
        channel.name = shown_name(sources, id, name)?;
    }
    if !record.private {
        channel.members = sources.metadata.member_count(id)?;
    }
    Ok(channel)
}

/// Two channels may have been given one name at the same time: the first keeps it,
/// the other is shown with its id until somebody names it anew.
fn shown_name(sources: Sources<'_>, id: ChannelId, name: String) -> Result<String, StoreError> {
    let first = sources.metadata.renamed_to(&name)?;
    let created = sources
        .view
        .get(&tables::channel_name(id.workspace(), &name))?;
    let is_other = |bytes: Vec<u8>| bytes != id.0.to_be_bytes();
    let is_taken = first.is_some_and(|first| first != id) || created.is_some_and(is_other);
    Ok(match is_taken {
        true => format!("{name}-{id}").to_lowercase(),
        false => name,
    })
}

/// Reads a channel as `user` sees it; whether the user may is not looked at.
///
/// # Errors
/// [`StoreError`].
pub fn read_channel(
    sources: Sources<'_>,
    user: UserId,
    id: ChannelId,
) -> Result<Option<client::Channel>, StoreError> {
    let (view, metadata) = (sources.view, sources.metadata);
    let Some(record) = view.record::<ChannelRecord>(&tables::channel(id))? else {
        return Ok(None);
    };
    let joined: Option<MemberRecord> = view.record(&tables::member(id, user))?;
    let is_member = match record.private {
        true => joined.is_some(),
        false => metadata.is_member(id, user)?,
    };
    let head = topic_log::head(view, Topic::Channel(id))?;
    let channel = channel(sources, id, &record, &head)?;
    if !is_member {
        return Ok(Some(channel));
    }
    let read = read_mark(sources, user, id, joined.as_ref())?;
    let unread = head.messages.saturating_sub(read.messages);
    Ok(Some(client::Channel {
        is_member,
        read_seq: read.seq,
        unread: u32::try_from(unread).unwrap_or(u32::MAX),
        ..channel
    }))
}

/// How far a member has read: what they have marked, at least what was there when they
/// joined, and their own messages if they follow on that.
///
/// # Errors
/// [`StoreError`].
pub fn read_mark(
    sources: Sources<'_>,
    user: UserId,
    channel: ChannelId,
    joined: Option<&MemberRecord>,
) -> Result<Mark, StoreError> {
    let marked = sources.metadata.read_cursor(channel, user)?;
    let joined = joined.map(|joined| Mark {
        seq: joined.read_seq,
        messages: joined.read_messages,
    });
    let read = marked.max(joined.unwrap_or_default());
    let own: Option<RunsRecord> = sources.view.record(&tables::runs(channel, user))?;
    let runs = own.unwrap_or_default().runs.into_iter();
    Ok(
        runs.fold(read, |read, run| match read.messages >= run.before {
            true => read.max(Mark {
                seq: run.seq,
                messages: run.messages,
            }),
            false => read,
        }),
    )
}
