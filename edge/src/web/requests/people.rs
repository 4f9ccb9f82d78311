//! What users say of themselves: profile, status, presence, and when they are not to
//! be disturbed.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use causeway_protocol::client::{self, request::Body};
use causeway_protocol::{ApiError, ErrorCode, UserId};

use super::Asked;
use crate::web::args::{Args, invalid, missing};
use crate::web::methods::Call;

/// Of a status that has a text and no emoji, as with Slack.
const DEFAULT_EMOJI: &str = "speech_balloon";
/// Where a profile has the fields that Slack calls custom.
const CUSTOM: &str = "fields";

/// Texts by name.
type Fields = BTreeMap<String, String>;

/// `users.profile.get`, `users.getPresence` and `dnd.info`: a user, or the caller.
pub fn user(call: &Call) -> Asked {
    Ok(get_user(call.args.user_or(call.user)?))
}

/// The caller.
pub fn caller(call: &Call) -> Asked {
    Ok(get_user(call.user))
}

fn get_user(user: UserId) -> Body {
    Body::GetUser(client::GetUser { user: user.0 })
}

/// `users.profile.set`
pub fn set_profile(call: &Call) -> Asked {
    super::first(profile_changes(call)?)
}

/// What `users.profile.set` asks, one after the other: fields and status are two
/// things to the cells, and the answer shows both.
///
/// # Errors
/// [`ErrorCode::NotAllowed`] for the profile of another, and as for arguments.
pub fn profile_changes(call: &Call) -> Result<Vec<Body>, ApiError> {
    if call.args.user_or(call.user)? != call.user {
        let text = "users set their profiles themselves";
        return Err(ApiError::new(ErrorCode::NotAllowed, text));
    }
    let (mut fields, custom) = profile(&call.args)?;
    let status = take_status(&mut fields)?;
    fields.extend(custom);
    let mut changes = Vec::new();
    if !fields.is_empty() {
        let fields = fields.into_iter().collect();
        changes.push(Body::SetProfile(client::SetProfile { fields }));
    }
    changes.extend(status.map(Body::SetStatus));
    changes.push(get_user(call.user));
    Ok(changes)
}

/// What `profile` has, or the one field that is named instead; and its custom fields.
fn profile(args: &Args) -> Result<(Fields, Fields), ApiError> {
    if let Some(profile) = args.object("profile")? {
        return Ok((fields(&profile)?, custom_fields(&profile)?));
    }
    let name = args.text("name")?.ok_or_else(|| missing("profile"))?;
    let value = args.given("value")?;
    let field = (name.to_owned(), value.to_owned());
    Ok((Fields::from([field]), Fields::new()))
}

fn fields(profile: &Args) -> Result<Fields, ApiError> {
    let names = profile.names().filter(|name| *name != CUSTOM);
    let fields = names.map(|name| {
        let value = profile.given(name)?;
        Ok::<_, ApiError>((name.to_owned(), value.to_owned()))
    });
    fields.collect()
}

/// Of each, its value: there is nothing to keep an `alt` in.
fn custom_fields(profile: &Args) -> Result<Fields, ApiError> {
    let custom = profile.object(CUSTOM)?.unwrap_or_default();
    let fields = custom.names().map(|id| {
        let field = custom.object(id)?.unwrap_or_default();
        let value = field.given("value")?;
        Ok::<_, ApiError>((id.to_owned(), value.to_owned()))
    });
    fields.collect()
}

/// Takes the status out of the fields. It is set as a whole: what is not given of it
/// is not kept.
fn take_status(fields: &mut Fields) -> Result<Option<client::SetStatus>, ApiError> {
    let text = fields.remove("status_text");
    let emoji = fields.remove("status_emoji");
    let expires_at = fields.remove("status_expiration");
    if text.is_none() && emoji.is_none() {
        return match expires_at {
            None => Ok(None),
            Some(_) => Err(invalid("status_expiration needs a status_text")),
        };
    }
    let text = text.unwrap_or_default();
    // Slack's clients write it with its colons.
    let mut emoji = emoji.unwrap_or_default().trim_matches(':').to_owned();
    if emoji.is_empty() && !text.is_empty() {
        emoji = DEFAULT_EMOJI.to_owned();
    }
    Ok(Some(client::SetStatus {
        text,
        emoji,
        expires_at_s: seconds(&expires_at.unwrap_or_default())?,
    }))
}

fn seconds(text: &str) -> Result<u64, ApiError> {
    if text.is_empty() {
        return Ok(0);
    }
    let seconds = text.parse();
    seconds.map_err(|_| invalid("status_expiration must be seconds since 1970"))
}

/// `users.setPresence`
pub fn set_presence(call: &Call) -> Asked {
    let away = match call.args.required("presence")? {
        "auto" => false,
        "away" => true,
        _ => return Err(invalid("presence must be auto or away")),
    };
    Ok(Body::SetAway(client::SetAway { away }))
}

/// `dnd.setSnooze`
pub fn snooze(call: &Call) -> Asked {
    let minutes = call.args.required("num_minutes")?.parse::<NonZeroU32>();
    let minutes = minutes.map_err(|_| invalid("num_minutes must be a whole number above 0"))?;
    let until_s = call.now_s + u64::from(minutes.get()) * 60;
    Ok(Body::SetDoNotDisturb(client::SetDoNotDisturb { until_s }))
}

/// What ends a snooze.
pub fn end_snooze() -> Body {
    let until_s = 0;
    Body::SetDoNotDisturb(client::SetDoNotDisturb { until_s })
}
