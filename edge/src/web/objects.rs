//! Messages, channels and users as Slack's SDKs know them.

use causeway_protocol::{ChannelId, Timestamp, UserId, client};
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
    object
}

/// A channel, as the caller sees it.
pub fn channel(channel: &client::Channel) -> Value {
    let id = ChannelId(channel.id);
    let created_s = channel.created_ts / 1_000_000;
    let mut object = json!({
        "id": id.to_string(),
        "name": channel.name,
        "name_normalized": channel.name,
        "is_channel": !channel.private,
        "is_group": channel.private,
        "is_im": false,
        "is_mpim": false,
        "is_private": channel.private,
        "is_archived": false,
        "is_general": false,
        "is_shared": false,
        "is_ext_shared": false,
        "is_org_shared": false,
        "is_member": channel.is_member,
        "created": created_s,
        "creator": UserId(channel.creator).to_string(),
        "context_team_id": id.workspace().to_string(),
        "num_members": channel.members,
        "topic": unset(),
        "purpose": unset(),
        "previous_names": [],
    });
    if channel.is_member {
        object["unread_count"] = channel.unread.into();
        object["unread_count_display"] = channel.unread.into();
    }
    object
}

/// A user.
pub fn user(user: &client::User) -> Value {
    let id = UserId(user.id);
    let team = id.workspace().to_string();
    json!({
        "id": id.to_string(),
        "team_id": team,
        "name": user.name,
        "real_name": user.real_name,
        "deleted": user.deactivated,
        "is_admin": user.admin,
        "is_owner": false,
        "is_primary_owner": false,
        "is_restricted": false,
        "is_ultra_restricted": false,
        "is_bot": false,
        "is_app_user": false,
        "profile": {
            "real_name": user.real_name,
            "real_name_normalized": user.real_name,
            "display_name": user.name,
            "display_name_normalized": user.name,
            "status_text": "",
            "status_emoji": "",
            "team": team,
        },
    })
}

/// A time in Slack's form.
pub fn ts(micros: u64) -> String {
    Timestamp(micros).to_string()
}

/// A topic or purpose that nobody has set.
fn unset() -> Value {
    json!({ "value": "", "creator": "", "last_set": 0 })
}

/// Ids are bytes; those of other clients need not be text.
fn message_id(id: &[u8]) -> String {
    match std::str::from_utf8(id) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        _ => id.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}
