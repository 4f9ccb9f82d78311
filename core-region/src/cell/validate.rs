//! What a request may look like: limits that need no state. Checked before
//! anything is proposed.

use causeway_protocol::backbone::{EnsureChannel, EnsureUser};
use causeway_protocol::client::request::Body;
use causeway_protocol::limits::{CLIENT_MSG_ID_BYTES_MAX, NAME_CHARS_MAX, TEXT_CHARS_MAX};
use causeway_protocol::{ApiError, ErrorCode};

/// Refuses what no state would accept.
///
/// # Errors
/// [`ApiError`] with the code of the first limit that is broken.
pub fn request(body: &Body) -> Result<(), ApiError> {
    match body {
        Body::SendMessage(send) => {
            client_msg_id(&send.client_msg_id)?;
            text(&send.text)
        }
        Body::EditMessage(edit) => text(&edit.text),
        Body::CreateChannel(create) => channel_name(&create.name),
        _ => Ok(()),
    }
}

/// A new user of a workspace.
///
/// # Errors
/// [`ErrorCode::InvalidName`].
pub fn user(user: &EnsureUser) -> Result<(), ApiError> {
    let ok = |c: char| !c.is_whitespace() && !c.is_control();
    if !name_with(&user.name, ok) {
        let text = "a user's name has 1 to 80 characters and no spaces";
        return Err(ApiError::new(ErrorCode::InvalidName, text));
    }
    if user.real_name.chars().count() > NAME_CHARS_MAX {
        let text = "a real name has up to 80 characters";
        return Err(ApiError::new(ErrorCode::InvalidName, text));
    }
    Ok(())
}

/// A new channel, by the platform.
///
/// # Errors
/// [`ErrorCode::InvalidName`].
pub fn channel(channel: &EnsureChannel) -> Result<(), ApiError> {
    channel_name(&channel.name)
}

/// A workspace's name: it stands in addresses.
///
/// # Errors
/// [`ErrorCode::InvalidName`].
pub fn workspace_name(name: &str) -> Result<(), ApiError> {
    let parsed = name.parse::<causeway_protocol::Name>();
    parsed.map_err(|e| ApiError::new(ErrorCode::InvalidName, e.to_string()))?;
    Ok(())
}

fn client_msg_id(id: &[u8]) -> Result<(), ApiError> {
    if id.is_empty() || id.len() > CLIENT_MSG_ID_BYTES_MAX {
        let text = format!("client_msg_id has 1 to {CLIENT_MSG_ID_BYTES_MAX} bytes");
        return Err(ApiError::new(ErrorCode::InvalidArguments, text));
    }
    Ok(())
}

fn text(text: &str) -> Result<(), ApiError> {
    if text.is_empty() {
        return Err(ErrorCode::NoText.into());
    }
    // Most texts are short: counting characters is for those that may be long.
    if text.len() > TEXT_CHARS_MAX && text.chars().count() > TEXT_CHARS_MAX {
        let text = format!("a text has up to {TEXT_CHARS_MAX} characters");
        return Err(ApiError::new(ErrorCode::MsgTooLong, text));
    }
    Ok(())
}

fn channel_name(name: &str) -> Result<(), ApiError> {
    let ok = |c: char| c == '-' || c == '_' || (c.is_alphanumeric() && !c.is_uppercase());
    if name_with(name, ok) {
        return Ok(());
    }
    let text = "a channel's name has 1 to 80 letters (no capitals), digits, - and _";
    Err(ApiError::new(ErrorCode::InvalidName, text))
}

fn name_with(name: &str, ok: impl Fn(char) -> bool) -> bool {
    (1..=NAME_CHARS_MAX).contains(&name.chars().count()) && name.chars().all(ok)
}

#[cfg(test)]
mod tests {
    use causeway_protocol::client;

    use super::*;

    fn send(text: &str, id: &[u8]) -> Result<(), ErrorCode> {
        let body = Body::SendMessage(client::SendMessage {
            text: text.into(),
            client_msg_id: id.to_vec().into(),
            ..client::SendMessage::default()
        });
        request(&body).map_err(|e| e.code)
    }

    #[test]
    fn texts_have_up_to_forty_thousand_characters_of_any_script() {
        assert_eq!(send("", b"1"), Err(ErrorCode::NoText));
        assert_eq!(send(&"海".repeat(40_000), b"1"), Ok(()));
        assert_eq!(send(&"x".repeat(40_000), b"1"), Ok(()));
        assert_eq!(send(&"x".repeat(40_001), b"1"), Err(ErrorCode::MsgTooLong));
        assert_eq!(send(&"👋".repeat(40_001), b"1"), Err(ErrorCode::MsgTooLong));
    }

    #[test]
    fn ids_of_messages_have_a_length() {
        assert_eq!(send("x", b""), Err(ErrorCode::InvalidArguments));
        assert_eq!(send("x", &[0; 64]), Ok(()));
        assert_eq!(send("x", &[0; 65]), Err(ErrorCode::InvalidArguments));
    }

    #[test]
    fn channels_are_named_as_in_slack() {
        for name in ["general", "meetup-", "team_d3", "データ", "2026"] {
            assert_eq!(channel_name(name), Ok(()), "{name}");
        }
        for name in ["", "General", "a b", "a.b", "#a", &"x".repeat(81)] {
            assert!(channel_name(name).is_err(), "{name}");
        }
    }
}
