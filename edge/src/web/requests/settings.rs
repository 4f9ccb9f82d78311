//! What changes a channel: what it is called and about, and who is in it.

use std::collections::BTreeSet;

use causeway_protocol::client::{self, request::Body, set_channel::Field};
use causeway_protocol::{ApiError, ErrorCode, UserId};

use super::Asked;
use crate::web::args::{Args, invalid};
use crate::web::methods::Call;

/// Users of one `conversations.invite`, as with Slack: each is a request to a cell,
/// and the call has to end in time.
const INVITED_MAX: usize = 100;

/// `conversations.setTopic`
pub fn topic(call: &Call) -> Asked {
    let topic = call.args.given("topic")?;
    set(&call.args, Field::Topic(topic.to_owned()))
}

/// `conversations.setPurpose`
pub fn purpose(call: &Call) -> Asked {
    let purpose = call.args.given("purpose")?;
    set(&call.args, Field::Purpose(purpose.to_owned()))
}

/// `conversations.rename`
pub fn rename(call: &Call) -> Asked {
    set(&call.args, Field::Name(super::name(&call.args)?))
}

/// `conversations.archive`
pub fn archive(call: &Call) -> Asked {
    set(&call.args, Field::Archived(true))
}

/// `conversations.unarchive`
pub fn unarchive(call: &Call) -> Asked {
    set(&call.args, Field::Archived(false))
}

fn set(args: &Args, field: Field) -> Asked {
    Ok(Body::SetChannel(client::SetChannel {
        channel: args.channel()?.0,
        field: Some(field),
    }))
}

/// `conversations.invite`
pub fn invite(call: &Call) -> Asked {
    super::first(invitations(call)?)
}

/// One question for each user. With `force` one for the channel follows, as the last
/// user may be refused.
///
/// # Errors
/// [`ErrorCode::UserNotFound`] for what is no id, unless with `force`, and as for
/// arguments.
pub fn invitations(call: &Call) -> Result<Vec<Body>, ApiError> {
    let channel = call.args.channel()?.0;
    let force = call.args.flag("force")?;
    let mut questions = Vec::new();
    for id in invited(call)? {
        match id.parse::<UserId>() {
            Ok(UserId(user)) => {
                let invite = client::InviteMember { channel, user };
                questions.push(Body::InviteMember(invite));
            }
            Err(_) if force => {}
            Err(_) => return Err(ErrorCode::UserNotFound.into()),
        }
    }
    if force {
        questions.push(super::get_channel(channel));
    }
    Ok(questions)
}

/// Whom a call invites, each once.
///
/// # Errors
/// As for arguments.
pub fn invited(call: &Call) -> Result<BTreeSet<&str>, ApiError> {
    let ids = call.args.required("users")?.split(',');
    let ids: BTreeSet<_> = ids.map(str::trim).collect();
    match ids.len() <= INVITED_MAX {
        true => Ok(ids),
        false => Err(invalid(format!("users has up to {INVITED_MAX} ids"))),
    }
}

/// Who of them could not be, and why: what is no user's id, and whom the cells refused.
///
/// # Errors
/// As for arguments.
pub fn not_invited(call: &Call) -> Result<Vec<(String, ErrorCode)>, ApiError> {
    let ids = invited(call)?.into_iter();
    let strangers = ids.filter(|id| id.parse::<UserId>().is_err());
    let strangers = strangers.map(|id| (id.to_owned(), ErrorCode::UserNotFound));
    let refused = call
        .refused
        .iter()
        .filter_map(|(asked, error)| match asked {
            Body::InviteMember(invite) => Some((UserId(invite.user).to_string(), error.code)),
            _ => None,
        });
    Ok(strangers.chain(refused).collect())
}

/// `conversations.kick`
pub fn kick(call: &Call) -> Asked {
    Ok(Body::KickMember(client::KickMember {
        channel: call.args.channel()?.0,
        user: call.args.user()?.0,
    }))
}
