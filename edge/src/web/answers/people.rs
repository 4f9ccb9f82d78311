//! What users say of themselves.

use causeway_protocol::client::{request::Body, response::Result as Answer};
use serde_json::json;

use super::{Next, Step, other, reply, requests};
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
        (_, answer) => profile(call, asked, answer),
    }
}

/// `users.getPresence`: what the user has said, not whether a client is connected.
pub fn presence(call: &Call, _: &Body, answer: Answer) -> Next {
    let Answer::User(user) = answer else {
        return other(answer);
    };
    let is_away = user.profile.is_some_and(|profile| profile.away);
    let presence = match is_away {
        true => "away",
        false => "active",
    };
    reply(match user.id == call.user.0 {
        true => json!({ "ok": true, "presence": presence, "manual_away": is_away }),
        false => json!({ "ok": true, "presence": presence }),
    })
}

/// `dnd.setSnooze` and `dnd.endSnooze`
pub fn snoozed(call: &Call, asked: &Body, answer: Answer) -> Next {
    match (asked, answer) {
        (Body::SetDoNotDisturb(set), Answer::Done(_)) => {
            reply(objects::people::do_not_disturb(set.until_s, call.now_s))
        }
        (_, answer) => other(answer),
    }
}

/// `dnd.info`
pub fn do_not_disturb(call: &Call, _: &Body, answer: Answer) -> Next {
    let Answer::User(user) = answer else {
        return other(answer);
    };
    let until_s = user.profile.map_or(0, |it| it.do_not_disturb_until_s);
    reply(objects::people::do_not_disturb(until_s, call.now_s))
}
