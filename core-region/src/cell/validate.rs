//! What a request may look like: limits that need no state. Checked before
//! anything is proposed.

use causeway_protocol::backbone::{EnsureChannel, EnsureUser};
use causeway_protocol::client::{self, request::Body, set_channel::Field};
use causeway_protocol::limits::{
    CLIENT_MSG_ID_BYTES_MAX, EMOJI_URL_BYTES_MAX, ENDS_S_MAX, KEY_BYTES_MAX, NAME_CHARS_MAX,
    PROFILE_FIELDS_MAX, STATUS_CHARS_MAX, TEXT_CHARS_MAX, TOPIC_CHARS_MAX, VALUE_BYTES_MAX,
};
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
        Body::React(react) => emoji_name(&react.emoji),
        Body::SetChannel(set) => channel_field(set.field.as_ref()),
        Body::SetProfile(set) => profile(set),
        Body::SetStatus(set) => status(set),
        Body::SetDoNotDisturb(set) => end(set.until_s),
        Body::SetPreference(set) => {
            key("a preference", &set.name)?;
            bytes("a preference", &set.value, VALUE_BYTES_MAX)
        }
        Body::SetEmoji(set) => {
            emoji_name(&set.name)?;
            bytes("an emoji's URL", &set.url, EMOJI_URL_BYTES_MAX)
        }
        _ => Ok(()),
    }
}

fn channel_field(field: Option<&Field>) -> Result<(), ApiError> {
    match field {
        Some(Field::Name(name)) => channel_name(name),
        Some(Field::Topic(text) | Field::Purpose(text)) => chars(
            "a topic or a purpose",
            text,
            TOPIC_CHARS_MAX,
            ErrorCode::TooLong,
        ),
        Some(Field::Archived(_)) => Ok(()),
        None => Err(invalid("nothing of the channel is to be set".into())),
    }
}

fn profile(set: &client::SetProfile) -> Result<(), ApiError> {
    if set.fields.len() > PROFILE_FIELDS_MAX {
        return Err(invalid(format!(
            "a profile has up to {PROFILE_FIELDS_MAX} fields"
        )));
    }
    set.fields.iter().try_for_each(|(name, value)| {
        key("a field of a profile", name)?;
        let what = "a field of a profile";
        chars(what, value, STATUS_CHARS_MAX, ErrorCode::InvalidArguments)
    })
}

fn status(set: &client::SetStatus) -> Result<(), ApiError> {
    end(set.expires_at_s)?;
    let what = "a status";
    chars(
        what,
        &set.text,
        STATUS_CHARS_MAX,
        ErrorCode::InvalidArguments,
    )?;
    match set.emoji.is_empty() {
        true => Ok(()),
        false => emoji_name(&set.emoji),
    }
}

fn end(at_s: u64) -> Result<(), ApiError> {
    match at_s <= ENDS_S_MAX {
        true => Ok(()),
        false => Err(invalid(format!(
            "it ends at {ENDS_S_MAX} seconds since 1970 at the latest"
        ))),
    }
}

/// As people write them, without the colons; a skin tone follows two of them.
fn emoji_name(name: &str) -> Result<(), ApiError> {
    key("an emoji's name", name)?;
    let colons = name.starts_with(':') || name.ends_with(':');
    let odd = |c: char| c.is_whitespace() || c.is_control() || c.is_uppercase();
    match colons || name.chars().any(odd) {
        false => Ok(()),
        true => Err(invalid(format!("`{name}` is no emoji's name"))),
    }
}

fn key(what: &str, name: &str) -> Result<(), ApiError> {
    let fits = (1..=KEY_BYTES_MAX).contains(&name.len());
    match fits && !name.chars().any(char::is_control) {
        true => Ok(()),
        false => Err(invalid(format!(
            "{what} is named in 1 to {KEY_BYTES_MAX} bytes, without control characters"
        ))),
    }
}

fn bytes(what: &str, value: &str, most: usize) -> Result<(), ApiError> {
    match value.len() <= most {
        true => Ok(()),
        false => Err(invalid(format!("{what} has up to {most} bytes"))),
    }
}

fn chars(what: &str, value: &str, most: usize, code: ErrorCode) -> Result<(), ApiError> {
    match value.len() <= most || value.chars().count() <= most {
        true => Ok(()),
        false => Err(ApiError::new(
            code,
            format!("{what} has up to {most} characters"),
        )),
    }
}

fn invalid(text: String) -> ApiError {
    ApiError::new(ErrorCode::InvalidArguments, text)
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

    fn set(field: Field) -> Result<(), ErrorCode> {
        let field = Some(field);
        let body = Body::SetChannel(client::SetChannel { channel: 1, field });
        request(&body).map_err(|e| e.code)
    }

    #[test]
    fn topics_and_names_of_channels_have_a_length() {
        assert_eq!(set(Field::Topic("海".repeat(250))), Ok(()));
        assert_eq!(set(Field::Topic(String::new())), Ok(()), "none");
        let long = "x".repeat(251);
        assert_eq!(set(Field::Topic(long.clone())), Err(ErrorCode::TooLong));
        assert_eq!(set(Field::Purpose(long)), Err(ErrorCode::TooLong));
        assert_eq!(set(Field::Name("No".into())), Err(ErrorCode::InvalidName));
        assert_eq!(set(Field::Archived(true)), Ok(()));
        let nothing = Body::SetChannel(client::SetChannel::default());
        assert!(request(&nothing).is_err());
    }

    #[test]
    fn emoji_are_named_without_colons() {
        let named = |name: &str| emoji_name(name).map_err(|e| e.code);
        for name in ["tada", "+1", "wave::skin-tone-3", "猫"] {
            assert_eq!(named(name), Ok(()), "{name}");
        }
        for name in ["", ":tada:", "ta da", "Tada", &"x".repeat(101)] {
            assert_eq!(named(name), Err(ErrorCode::InvalidArguments), "{name}");
        }
    }

    #[test]
    fn what_people_say_of_themselves_is_bounded() {
        let profile = |fields: usize, chars: usize| {
            let field = |n| (format!("field-{n}"), "x".repeat(chars));
            let fields = (0..fields).map(field).collect();
            request(&Body::SetProfile(client::SetProfile { fields })).is_ok()
        };
        assert!(profile(50, 250) && !profile(51, 1) && !profile(1, 251));
        let status = |text: usize, emoji: &str| {
            let set = client::SetStatus {
                text: "x".repeat(text),
                emoji: emoji.into(),
                expires_at_s: 0,
            };
            request(&Body::SetStatus(set)).is_ok()
        };
        assert!(status(250, "") && status(0, "tada") && !status(251, "") && !status(1, ":x:"));
        let preference = |name: &str, value: usize| {
            let set = client::SetPreference {
                name: name.into(),
                value: "x".repeat(value),
            };
            request(&Body::SetPreference(set)).is_ok()
        };
        assert!(
            preference("theme", 4_096)
                && !preference("", 1)
                && !preference("a\0b", 1)
                && !preference("x", 4_097)
        );
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
