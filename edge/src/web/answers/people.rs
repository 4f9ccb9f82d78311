//! What users say of themselves.

use causeway_protocol::UserId;
use causeway_protocol::client::{self, request::Body, response::Result as Answer};
use serde_json::json;

use super::{Next, Step, other, reply, requests};
use crate::web::args::invalid;
use crate::web::methods::Call;
use crate::web::objects;

/// `users.profile.get`
pub fn profile(call: &Call, _: &Body, answer: Answer) -> Next {
    let Answer::User(user) = answer else {
        return other(answer);
    };
    let profile = objects::people::profile(&user, call.now_s);
    reply(json!({ "ok": true, "profile": profile }))
}

/// `users.profile.set`: when all is set, the profile is read.
pub fn profile_set(call: &Call, asked: &Body, answer: Answer) -> Next {
    let changes = requests::people::profile_changes(call)?;
    match (requests::after(asked, changes), answer) {
        (Some(next), Answer::Done(_)) => Ok(Step::Ask(next)),
        (None, Answer::User(user)) => {
            let profile = objects::people::profile(&user, call.now_s);
            reply(json!({ "ok": true, "username": user.name, "profile": profile }))
        }
        (_, answer) => other(answer),
    }
}

/// `users.getPresence`: what the user has said, and whether a client is connected.
pub fn presence(_: &Call, _: &Body, answer: Answer) -> Next {
    let Answer::User(user) = answer else {
        return other(answer);
    };
    let is_away = user.profile.is_some_and(|profile| profile.away);
    Ok(Step::Presence(UserId(user.id), is_away))
}

/// `dnd.setSnooze`
pub fn snoozed(call: &Call, asked: &Body, answer: Answer) -> Next {
    match (asked, answer) {
        (Body::SetDoNotDisturb(set), Answer::Done(_)) => {
            reply(objects::people::do_not_disturb(set.until_s, call.now_s))
        }
        (_, answer) => other(answer),
    }
}

/// `dnd.endSnooze`: first sees whether there is one to end.
pub fn snooze_ended(call: &Call, asked: &Body, answer: Answer) -> Next {
    match (asked, answer) {
        (Body::GetUser(_), Answer::User(user)) => match until_s(&user) > call.now_s {
            true => Ok(Step::Ask(requests::people::end_snooze())),
            false => Err(invalid("no snooze is on")),
        },
        (_, answer) => snoozed(call, asked, answer),
    }
}

/// `dnd.info`
pub fn do_not_disturb(call: &Call, _: &Body, answer: Answer) -> Next {
    let Answer::User(user) = answer else {
        return other(answer);
    };
    reply(objects::people::do_not_disturb(until_s(&user), call.now_s))
}

/// Until when a user is not to be disturbed.
fn until_s(user: &client::User) -> u64 {
    let profile = user.profile.as_ref();
    profile.map_or(0, |profile| profile.do_not_disturb_until_s)
}
