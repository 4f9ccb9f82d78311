//! Messages, channels and users as Slack's SDKs know them.

pub mod people;

use causeway_protocol::{ChannelId, ErrorCode, Timestamp, UserId, client};
use serde_json::{Value, json};

/// A message.
pub fn message(message: &client::Message) -> Value {
    let user = UserId(message.user);
    let mut object = json!({
        "type": "message",
        "user": user.to_string(),
        "text": message.text,
        "ts": ts(message.ts),
        "team": user.workspace().to_string(),
    });
    if !message.client_msg_id.is_empty() {
        object["client_msg_id"] = message_id(&message.client_msg_id).into();
    }
    if message.thread_ts > 0 {
        object["thread_ts"] = ts(message.thread_ts).into();
    }
    if message.reply_count > 0 {
        // A root names itself, once it has a thread.
        object["thread_ts"] = ts(message.ts).into();
        object["reply_count"] = message.reply_count.into();
        object["latest_reply"] = ts(message.latest_reply_ts).into();
    }
    if message.deleted {
        object["subtype"] = "tombstone".into();
        object["hidden"] = true.into();
    }
    if message.edited_ts > 0 {
        // Only its author edits a message.
        object["edited"] = json!({ "user": user.to_string(), "ts": ts(message.edited_ts) });
    }
    if !message.reactions.is_empty() {
        object["reactions"] = message.reactions.iter().map(reaction).collect();
    }
    if message.pinned {
        object["pinned_to"] = json!([ChannelId(message.channel).to_string()]);
    }
    object
}

/// A message, or what is left of one that has been deleted: when it was sent.
fn message_at(at: u64, found: Option<&client::Message>) -> Value {
    found.map_or_else(
        || json!({ "type": "message", "subtype": "tombstone", "hidden": true, "ts": ts(at) }),
        message,
    )
}

fn reaction(reaction: &client::Reaction) -> Value {
    let users = reaction.users.iter().map(|&id| UserId(id).to_string());
    json!({
        "name": reaction.emoji,
        "users": users.collect::<Vec<_>>(),
        "count": reaction.count,
    })
}

/// A pinned message.
pub fn pin(pin: &client::PinnedMessage) -> Value {
    json!({
        "type": "message",
        "channel": ChannelId(pin.channel).to_string(),
        "created": seconds(pin.pinned_ts),
        "created_by": UserId(pin.pinned_by).to_string(),
        "message": match pin.left_out {
            // Too long for the list, and there all the same.
            true => json!({ "type": "message", "ts": ts(pin.ts) }),
            false => message_at(pin.ts, pin.message.as_ref()),
        },
    })
}

/// A starred message or channel.
pub fn star(star: &client::Starred) -> Value {
    let mut object = json!({
        "type": "channel",
        "channel": ChannelId(star.channel).to_string(),
        "date_create": seconds(star.starred_ts),
    });
    if star.ts > 0 {
        object["type"] = "message".into();
        object["message"] = message_at(star.ts, star.message.as_ref());
        object["message"]["is_starred"] = true.into();
    }
    object
}

/// A channel, as the caller sees it.
pub fn channel(channel: &client::Channel) -> Value {
    let id = ChannelId(channel.id);
    let mut object = json!({
        "id": id.to_string(),
        "name": channel.name,
        "name_normalized": channel.name,
        "is_channel": !channel.private,
        "is_group": channel.private,
        "is_im": false,
        "is_mpim": false,
        "is_private": channel.private,
        "is_archived": channel.archived,
        "is_general": false,
        "is_shared": false,
        "is_ext_shared": false,
        "is_org_shared": false,
        "is_member": channel.is_member,
        "created": seconds(channel.created_ts),
        "creator": UserId(channel.creator).to_string(),
        "context_team_id": id.workspace().to_string(),
        "num_members": channel.members,
        "topic": said(channel.topic.as_ref()),
        "purpose": said(channel.purpose.as_ref()),
        "previous_names": [],
    });
    if channel.is_member {
        object["unread_count"] = channel.unread.into();
        object["unread_count_display"] = channel.unread.into();
    }
    if !channel.other_purposes.is_empty() {
        let others = channel.other_purposes.iter();
        object["other_purposes"] = others.map(|other| said(Some(other))).collect();
    }
    object
}

/// A user who could not be invited.
pub fn not_invited(user: &str, code: ErrorCode) -> Value {
    json!({ "user": user, "ok": false, "error": code.as_str() })
}

/// A time in Slack's form.
pub fn ts(micros: u64) -> String {
    Timestamp(micros).to_string()
}

/// The same in whole seconds, where Slack has those.
fn seconds(micros: u64) -> u64 {
    micros / 1_000_000
}

/// A topic or purpose; `None` = nobody has set it.
fn said(said: Option<&client::Said>) -> Value {
    let creator = said.map(|said| UserId(said.user).to_string());
    json!({
        "value": said.map_or("", |said| said.text.as_str()),
        "creator": creator.unwrap_or_default(),
        "last_set": said.map_or(0, |said| seconds(said.ts)),
    })
}

/// Ids are bytes; those of other clients need not be text.
fn message_id(id: &[u8]) -> String {
    match std::str::from_utf8(id) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        _ => id.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}
