//! Commands on channels and their members.

use causeway_protocol::backbone::EnsureChannel;
use causeway_protocol::client::{self, entry::Kind, response};
use causeway_protocol::{ApiError, ChannelId, ErrorCode, Seq, Topic, UserId, WorkspaceId};

use super::access::{self, Stop, active_user, visible_channel};
use super::machine::{Context, Done, answer};
use super::{tables, topic_log, views};
use crate::state::ReadState;
use crate::state_records::{ChannelRecord, MemberRecord};

/// Creates a channel, with its creator as its first member.
pub fn create(context: &mut Context<'_, '_>, create: client::CreateChannel) -> Done {
    active_user(context.tx, context.actor)?;
    let workspace = context.actor.workspace();
    if named(context, workspace, &create.name)?.is_some() {
        return Err(ErrorCode::NameTaken.into());
    }
    let channel = add_channel(context, workspace, create.name, create.private)?;
    add_member(context, channel, context.actor)?;
    channel_answer(context, channel)
}

/// Creates a channel, or finds the one with the name, and adds members.
pub fn ensure(context: &mut Context<'_, '_>, ensure: EnsureChannel) -> Done {
    let workspace = WorkspaceId(ensure.workspace);
    access::workspace(context.tx, workspace)?;
    let members: Vec<UserId> = ensure.members.into_iter().map(UserId).collect();
    for user in &members {
        if user.workspace() != workspace {
            return Err(ErrorCode::UserNotFound.into());
        }
        active_user(context.tx, *user)?;
    }
    let channel = match named(context, workspace, &ensure.name)? {
        Some(channel) => channel,
        None => add_channel(context, workspace, ensure.name, ensure.private)?,
    };
    for user in members {
        add_member(context, channel, user)?;
    }
    channel_answer(context, channel)
}

/// Joins a public channel.
pub fn join(context: &mut Context<'_, '_>, join: client::JoinChannel) -> Done {
    active_user(context.tx, context.actor)?;
    let channel = ChannelId(join.channel);
    let access = visible_channel(context.tx, context.actor, channel)?;
    if access.channel.private && access.member.is_none() {
        return Err(ErrorCode::MethodNotSupportedForChannelType.into());
    }
    add_member(context, channel, context.actor)?;
    channel_answer(context, channel)
}

/// Leaves a channel.
pub fn leave(context: &mut Context<'_, '_>, leave: client::LeaveChannel) -> Done {
    active_user(context.tx, context.actor)?;
    let (channel, user) = (ChannelId(leave.channel), context.actor);
    let (mut record, _) = visible_channel(context.tx, user, channel)?.member()?;
    record.members = record.members.saturating_sub(1);
    context.tx.put(tables::channel(channel), &record);
    context.tx.delete(tables::member(channel, user));
    context.tx.delete(tables::membership(user, channel));
    append(context, Topic::Channel(channel), Kind::MemberLeft(user.0))?;
    append(context, Topic::User(user), Kind::ChannelLeft(channel.0))?;
    answer(response::Result::Done(client::Done {}))
}

/// A member adds another user of the workspace.
pub fn invite(context: &mut Context<'_, '_>, invite: client::InviteMember) -> Done {
    active_user(context.tx, context.actor)?;
    let (channel, user) = (ChannelId(invite.channel), UserId(invite.user));
    visible_channel(context.tx, context.actor, channel)?.member()?;
    if user.workspace() != channel.workspace() {
        return Err(ErrorCode::UserNotFound.into());
    }
    active_user(context.tx, user)?;
    add_member(context, channel, user)?;
    channel_answer(context, channel)
}

/// Moves the read cursor forward.
pub fn mark_read(context: &mut Context<'_, '_>, mark: client::MarkRead) -> Done {
    active_user(context.tx, context.actor)?;
    let channel = ChannelId(mark.channel);
    let (_, mut member) = visible_channel(context.tx, context.actor, channel)?.member()?;
    let topic = Topic::Channel(channel);
    let head = topic_log::head(context.tx, topic)?;
    let seq = mark.seq.min(head.seq);
    if seq > member.read_seq {
        let entry = topic_log::read(context.tx, topic, Seq(seq))?;
        member.read_seq = seq;
        member.read_messages = entry.map_or(head.messages, |entry| entry.messages);
        let key = tables::member(channel, context.actor);
        context.tx.put(key, &member);
    }
    answer(response::Result::Done(client::Done {}))
}

fn named(
    context: &Context<'_, '_>,
    workspace: WorkspaceId,
    name: &str,
) -> Result<Option<ChannelId>, Stop> {
    let id = context.tx.get(&tables::channel_name(workspace, name))?;
    let id = id.and_then(|bytes| bytes.try_into().ok());
    Ok(id.map(|bytes| ChannelId(u64::from_be_bytes(bytes))))
}

fn add_channel(
    context: &mut Context<'_, '_>,
    workspace: WorkspaceId,
    name: String,
    private: bool,
) -> Result<ChannelId, Stop> {
    let mut record = access::workspace(context.tx, workspace)?;
    record.last_channel += 1;
    let channel = ChannelId::new(workspace, record.last_channel);
    context.tx.put(tables::workspace(workspace), &record);
    let index = tables::channel_name(workspace, &name);
    context.tx.put_bytes(index, &channel.0.to_be_bytes());
    let record = ChannelRecord {
        name,
        private,
        creator: context.actor.0,
        created_ts: context.now_us,
        members: 0,
    };
    context.tx.put(tables::channel(channel), &record);
    if !private {
        let created = views::channel(channel, &record, &Default::default(), None);
        let topic = Topic::Workspace(workspace);
        append(context, topic, Kind::ChannelCreated(created))?;
    }
    Ok(channel)
}

/// Adds a member; one who is there already stays.
fn add_member(context: &mut Context<'_, '_>, channel: ChannelId, user: UserId) -> Result<(), Stop> {
    if context.tx.get(&tables::member(channel, user))?.is_some() {
        return Ok(());
    }
    let record: Option<ChannelRecord> = context.tx.record(&tables::channel(channel))?;
    let mut record = record.ok_or(ErrorCode::ChannelNotFound)?;
    record.members += 1;
    context.tx.put(tables::channel(channel), &record);
    append(context, Topic::Channel(channel), Kind::MemberJoined(user.0))?;
    // What was there before is not unread.
    let head = topic_log::head(context.tx, Topic::Channel(channel))?;
    let member = MemberRecord {
        joined_ts: context.now_us,
        read_seq: head.seq,
        read_messages: head.messages,
    };
    context.tx.put(tables::member(channel, user), &member);
    context.tx.put_bytes(tables::membership(user, channel), &[]);
    let joined = views::channel(channel, &record, &head, Some(&member));
    append(context, Topic::User(user), Kind::ChannelJoined(joined))
}

fn append(context: &mut Context<'_, '_>, topic: Topic, kind: Kind) -> Result<(), Stop> {
    let entry = topic_log::append(context.tx, topic, context.now_us, |_, _| kind)?;
    context.entries.push(entry);
    Ok(())
}

fn channel_answer(context: &Context<'_, '_>, channel: ChannelId) -> Done {
    let view = views::read_channel(context.tx, context.actor, channel)?;
    let view = view.ok_or_else(|| ApiError::from(ErrorCode::ChannelNotFound))?;
    answer(response::Result::Channel(view))
}
