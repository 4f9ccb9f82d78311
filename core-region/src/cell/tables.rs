//! The tables of a cell's state: one byte of table, then the key. Table 0
//! belongs to consensus, tables from 40 on to the directory.

use causeway_protocol::{ChannelId, Seq, Timestamp, Topic, UserId, WorkspaceId};

use crate::store::StoreError;
use crate::store::keys::Key;

fn table(number: u8) -> Key {
    Key::default().u8(number)
}

/// `WorkspaceRecord`.
pub fn workspace(workspace: WorkspaceId) -> Key {
    table(1).u32(workspace.0)
}

/// `UserRecord`.
pub fn user(user: UserId) -> Key {
    table(2).u64(user.0)
}

/// All users of a workspace, by id.
pub fn users(workspace: WorkspaceId) -> Key {
    table(2).u32(workspace.0)
}

/// Index: the id of the user with this name.
pub fn user_name(workspace: WorkspaceId, name: &str) -> Key {
    table(3).u32(workspace.0).bytes(name.as_bytes())
}

/// `ChannelRecord`.
pub fn channel(channel: ChannelId) -> Key {
    table(4).u64(channel.0)
}

/// All channels of a workspace, by id.
pub fn channels(workspace: WorkspaceId) -> Key {
    table(4).u32(workspace.0)
}

/// Index: the id of the channel with this name.
pub fn channel_name(workspace: WorkspaceId, name: &str) -> Key {
    table(5).u32(workspace.0).bytes(name.as_bytes())
}

/// `MemberRecord`, of a private channel.
pub fn member(channel: ChannelId, user: UserId) -> Key {
    members(channel).u64(user.0)
}

/// All members of a channel, by id.
pub fn members(channel: ChannelId) -> Key {
    table(6).u64(channel.0)
}

/// Index: a channel of which the user is a member.
pub fn membership(user: UserId, channel: ChannelId) -> Key {
    memberships(user).u64(channel.0)
}

/// All channels of which the user is a member.
pub fn memberships(user: UserId) -> Key {
    table(7).u64(user.0)
}

/// `HeadRecord`.
pub fn head(topic: Topic) -> Key {
    table(8).bytes(&topic.key())
}

/// The entry of a topic's log.
pub fn entry(topic: Topic, seq: Seq) -> Key {
    table(9).bytes(&topic.key()).u64(seq.0)
}

/// Index: the `seq` of the message with this `ts`.
pub fn message_ts(channel: ChannelId, ts: Timestamp) -> Key {
    table(10).u64(channel.0).u64(ts.0)
}

/// Index: a reply in the thread that starts at `root`.
pub fn reply(channel: ChannelId, root: Seq, reply: Seq) -> Key {
    replies(channel, root).u64(reply.0)
}

/// All replies in a thread, in order.
pub fn replies(channel: ChannelId, root: Seq) -> Key {
    table(11).u64(channel.0).u64(root.0)
}

/// `DedupRecord`.
pub fn dedup(sender: UserId, client_msg_id: &[u8]) -> Key {
    table(12).u64(sender.0).bytes(client_msg_id)
}

/// Index: the sender and id that are forgotten after `at_us`.
pub fn dedup_age(at_us: u64, sender: UserId, client_msg_id: &[u8]) -> Key {
    dedup_ages(at_us).u64(sender.0).bytes(client_msg_id)
}

/// `RunsRecord`.
pub fn runs(channel: ChannelId, user: UserId) -> Key {
    table(14).u64(channel.0).u64(user.0)
}

/// What is forgotten after `at_us`; sorts by time.
pub fn dedup_ages(at_us: u64) -> Key {
    table(13).u64(at_us)
}

/// The number at the end of a key or value.
///
/// # Errors
/// [`StoreError::Record`] for one that is too short for a number.
pub fn last_u64(bytes: &[u8]) -> Result<u64, StoreError> {
    let number = bytes.last_chunk::<8>();
    let number = number.ok_or_else(|| StoreError::Record("a short key".into()))?;
    Ok(u64::from_be_bytes(*number))
}
