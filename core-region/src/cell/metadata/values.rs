//! The values in registers and elements, as bytes.

use bytes::Bytes;
use causeway_protocol::{UserId, WorkspaceId, client};
use prost::Message;

use crate::metadata::types::{Stamp, Value, Written};
use crate::metadata_wire as wire;

/// A text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A text that somebody said.
pub fn said(text: String, by: UserId) -> Bytes {
    let user = by.number();
    wire::Said { text, user }.encode_to_vec().into()
}

/// Reads it; what cannot be read says nothing.
pub fn read_said(workspace: WorkspaceId, bytes: &[u8], stamp: Stamp) -> client::Said {
    let said = wire::Said::decode(bytes).unwrap_or_default();
    client::Said {
        text: said.text,
        user: UserId::new(workspace, said.user).0,
        ts: stamp.time.us(),
    }
}

/// A status.
pub fn status(set: client::SetStatus) -> Bytes {
    let status = wire::Status {
        text: set.text,
        emoji: set.emoji,
        expires_at_s: set.expires_at_s,
    };
    status.encode_to_vec().into()
}

/// Reads it.
pub fn read_status(written: &Written) -> client::Status {
    let status = wire::Status::decode(&written.value[..]).unwrap_or_default();
    client::Status {
        text: status.text,
        emoji: status.emoji,
        expires_at_s: status.expires_at_s,
    }
}

/// Yes or no.
pub fn flag(is_so: bool) -> Bytes {
    Bytes::copy_from_slice(&[u8::from(is_so)])
}

/// Reads it.
pub fn read_flag(bytes: &[u8]) -> bool {
    bytes == [1]
}

/// Who did it.
pub fn by_user(user: UserId) -> Bytes {
    let user = user.number();
    wire::ByUser { user }.encode_to_vec().into()
}

/// Reads it.
pub fn read_by_user(workspace: WorkspaceId, bytes: &[u8]) -> UserId {
    let by = wire::ByUser::decode(bytes).unwrap_or_default();
    UserId::new(workspace, by.user)
}

/// Where an emoji's picture is, and who added it.
pub fn emoji(url: String, by: UserId) -> Bytes {
    let user = by.number();
    wire::EmojiNote { url, user }.encode_to_vec().into()
}

/// Reads where the picture of an emoji is; of one that is no more, nowhere.
pub fn read_url(emoji: &Value) -> String {
    let latest = match emoji {
        Value::Element(emoji) => emoji.latest(),
        _ => None,
    };
    let note = latest.map(|emoji| wire::EmojiNote::decode(&emoji.value[..]));
    note.and_then(Result::ok).unwrap_or_default().url
}

/// Until when a user is not to be disturbed.
pub fn until(until_s: u64) -> Bytes {
    wire::DoNotDisturb { until_s }.encode_to_vec().into()
}

/// Reads it.
pub fn read_until(bytes: &[u8]) -> u64 {
    wire::DoNotDisturb::decode(bytes)
        .unwrap_or_default()
        .until_s
}
