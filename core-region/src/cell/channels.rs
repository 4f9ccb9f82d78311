//! Commands on channels and their members.

use causeway_protocol::backbone::EnsureChannel;
use causeway_protocol::client::{self, entry::Kind, response};
use causeway_protocol::{ChannelId, ErrorCode, Topic, UserId, WorkspaceId};

use super::access::{self, Stop, active_user, open_channel};
use super::machine::{Context, Done, answer};
use super::{tables, topic_log, views};
use crate::state::ReadState;
use crate::state_records::{ChannelRecord, MemberRecord};

/// Creates a channel. The creator of a private one is its first member; who is a member
/// of a public one is metadata.
pub fn create(context: &mut Context<'_, '_>, create: client::CreateChannel) -> Done {
    active_user(context.tx, context.actor)?;
    let workspace = context.actor.workspace();
    if named(context, workspace, &create.name)?.is_some() {
        return Err(ErrorCode::NameTaken.into());
    }
    let channel = add_channel(context, workspace, create.name, create.private)?;
    if create.private {
        add_member(context, channel, context.actor)?;
    }
    channel_answer(context, channel)
}

/// Creates a channel, or finds the one with the name. If it is private, adds members.
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
    if channel_record(context, channel)?.private {
        for user in members {
            add_member(context, channel, user)?;
        }
    }
    channel_answer(context, channel)
}

/// A member of a private channel adds another user of the workspace.
pub fn invite(context: &mut Context<'_, '_>, invite: client::InviteMember) -> Done {
    active_user(context.tx, context.actor)?;
    let (channel, user) = (ChannelId(invite.channel), UserId(invite.user));
    private_channel(context, channel)?;
    if user.workspace() != channel.workspace() {
        return Err(ErrorCode::UserNotFound.into());
    }
    active_user(context.tx, user)?;
    add_member(context, channel, user)?;
    channel_answer(context, channel)
}

/// Leaves a private channel.
pub fn leave(context: &mut Context<'_, '_>, leave: client::LeaveChannel) -> Done {
    active_user(context.tx, context.actor)?;
    let channel = ChannelId(leave.channel);
    let record = private_channel(context, channel)?;
    remove_member(context, channel, record, context.actor)?;
    answer(response::Result::Done(client::Done {}))
}

/// A member of a private channel removes another.
pub fn kick(context: &mut Context<'_, '_>, kick: client::KickMember) -> Done {
    active_user(context.tx, context.actor)?;
    let (channel, user) = (ChannelId(kick.channel), UserId(kick.user));
    let record = private_channel(context, channel)?;
    if context.tx.get(&tables::member(channel, user))?.is_none() {
        return Err(ErrorCode::NotInChannel.into());
    }
    remove_member(context, channel, record, user)?;
    answer(response::Result::Done(client::Done {}))
}

/// A private channel of which the acting user is a member.
fn private_channel(context: &Context<'_, '_>, channel: ChannelId) -> Result<ChannelRecord, Stop> {
    let record = open_channel(context.tx, context.actor, channel)?;
    match record.private {
        true => Ok(record),
        false => Err(ErrorCode::MethodNotSupportedForChannelType.into()),
    }
}

fn channel_record(context: &Context<'_, '_>, channel: ChannelId) -> Result<ChannelRecord, Stop> {
    let record: Option<ChannelRecord> = context.tx.record(&tables::channel(channel))?;
    Ok(record.ok_or(ErrorCode::ChannelNotFound)?)
}

fn remove_member(
    context: &mut Context<'_, '_>,
    channel: ChannelId,
    mut record: ChannelRecord,
    user: UserId,
) -> Result<(), Stop> {
    record.members = record.members.saturating_sub(1);
    context.tx.put(tables::channel(channel), &record);
    context.tx.delete(tables::member(channel, user));
    context.tx.delete(tables::membership(user, channel));
    append(context, Topic::Channel(channel), Kind::MemberLeft(user.0))?;
    append(context, Topic::User(user), Kind::ChannelLeft(channel.0))
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
        let created = views::logged_channel(channel, &record, &Default::default());
        let topic = Topic::Workspace(workspace);
        append(context, topic, Kind::ChannelCreated(created))?;
    }
    Ok(channel)
}

/// Adds a member to a private channel; one who is there already stays.
fn add_member(context: &mut Context<'_, '_>, channel: ChannelId, user: UserId) -> Result<(), Stop> {
    if context.tx.get(&tables::member(channel, user))?.is_some() {
        return Ok(());
    }
    let mut record = channel_record(context, channel)?;
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
    let joined = client::Channel {
        is_member: true,
        read_seq: head.seq,
        ..views::logged_channel(channel, &record, &head)
    };
    append(context, Topic::User(user), Kind::ChannelJoined(joined))
}

fn append(context: &mut Context<'_, '_>, topic: Topic, kind: Kind) -> Result<(), Stop> {
    let entry = topic_log::append(context.tx, topic, context.now_us, |_, _| kind)?;
    context.entries.push(entry);
    Ok(())
}

/// The channel as the log knows it; what else there is of it, the leader adds.
fn channel_answer(context: &Context<'_, '_>, channel: ChannelId) -> Done {
    let record = channel_record(context, channel)?;
    let head = topic_log::head(context.tx, Topic::Channel(channel))?;
    let view = views::logged_channel(channel, &record, &head);
    answer(response::Result::Channel(view))
}
