//! Users, and what they say of themselves.

use causeway_protocol::{UserId, client};
use serde_json::{Value, json};

/// What Slack shows as the times of a schedule that is not in use.
const NEVER_S: u64 = 1;

/// Fields that are texts in Slack's profiles. Others are shown as custom ones are there:
/// whoever reads a profile by Slack's types must not fail at a field of some user's own.
const STANDARD_FIELDS: &[&str] = &[
    "display_name",
    "email",
    "first_name",
    "last_name",
    "name_pronunciation",
    "phone",
    "pronouns",
    "real_name",
    "skype",
    "start_date",
    "title",
];

/// A user; `now_s` is seconds since 1970.
pub fn user(user: &client::User, now_s: u64) -> Value {
    let id = UserId(user.id);
    let profile = profile(user, now_s);
    json!({
        "id": id.to_string(),
        "team_id": id.workspace().to_string(),
        "name": user.name,
        "real_name": profile["real_name"],
        "deleted": user.deactivated,
        "is_admin": user.admin,
        "is_owner": false,
        "is_primary_owner": false,
        "is_restricted": false,
        "is_ultra_restricted": false,
        "is_bot": false,
        "is_app_user": false,
        "profile": profile,
    })
}

/// A user's profile: their names, whatever fields they have set, and their status.
pub fn profile(user: &client::User, now_s: u64) -> Value {
    let mut object = json!({ "real_name": user.real_name, "display_name": user.name });
    if let Some(profile) = &user.profile {
        for (field, text) in &profile.fields {
            match STANDARD_FIELDS.contains(&field.as_str()) {
                true => object[field] = text.as_str().into(),
                false => object["fields"][field] = json!({ "value": text, "alt": "" }),
            }
        }
    }
    object["real_name_normalized"] = object["real_name"].clone();
    object["display_name_normalized"] = object["display_name"].clone();
    object["team"] = UserId(user.id).workspace().to_string().into();
    add_statuses(&mut object, user.profile.as_ref(), now_s);
    object
}

/// Adds the status that is not over, and those that were set at the same time.
fn add_statuses(object: &mut Value, profile: Option<&client::Profile>, now_s: u64) {
    let statuses = profile.into_iter().flat_map(|profile| {
        let others = profile.other_statuses.iter();
        profile.status.iter().chain(others)
    });
    let mut statuses = statuses.filter(|status| !is_over(status, now_s));
    add_status(object, &statuses.next().cloned().unwrap_or_default());
    let others = statuses.map(|status| {
        let mut object = json!({});
        add_status(&mut object, status);
        object
    });
    let others: Vec<_> = others.collect();
    if !others.is_empty() {
        object["other_statuses"] = others.into();
    }
}

fn is_over(status: &client::Status, now_s: u64) -> bool {
    (1..=now_s).contains(&status.expires_at_s)
}

fn add_status(object: &mut Value, status: &client::Status) {
    object["status_text"] = status.text.as_str().into();
    object["status_emoji"] = match status.emoji.as_str() {
        "" => "".into(),
        emoji => format!(":{emoji}:").into(),
    };
    object["status_expiration"] = status.expires_at_s.into();
}

/// A user's presence. Whoever is not known to be offline is what they have said.
pub fn presence(is_away: bool, online: Option<bool>, is_caller: bool) -> Value {
    let presence = match is_away || online == Some(false) {
        true => "away",
        false => "active",
    };
    let mut object = json!({ "ok": true, "presence": presence });
    if is_caller {
        object["manual_away"] = is_away.into();
        if let Some(online) = online {
            object["online"] = online.into();
        }
    }
    object
}

/// Whether a user may be disturbed: not while they snooze. There is no schedule.
pub fn do_not_disturb(until_s: u64, now_s: u64) -> Value {
    let remaining_s = until_s.saturating_sub(now_s);
    let mut object = json!({
        "ok": true,
        "dnd_enabled": false,
        "next_dnd_start_ts": NEVER_S,
        "next_dnd_end_ts": NEVER_S,
        "snooze_enabled": remaining_s > 0,
        "snooze_is_indefinite": false,
    });
    if remaining_s > 0 {
        object["snooze_endtime"] = until_s.into();
        object["snooze_remaining"] = remaining_s.into();
    }
    object
}
