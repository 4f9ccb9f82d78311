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

/// One question for each user.
///
/// # Errors
/// [`ErrorCode::UserNotFound`] for what is no id, and as for arguments.
pub fn invitations(call: &Call) -> Result<Vec<Body>, ApiError> {
    let channel = call.args.channel()?.0;
    let ids = call.args.required("users")?.split(',');
    let users = ids.map(|id| id.trim().parse::<UserId>());
    let users = users.collect::<Result<BTreeSet<_>, _>>();
    let users = users.map_err(|_| ErrorCode::UserNotFound)?;
    if users.len() > INVITED_MAX {
        return Err(invalid(format!("users has up to {INVITED_MAX} ids")));
    }
    let invitation = |user: UserId| {
        let user = user.0;
        Body::InviteMember(client::InviteMember { channel, user })
    };
    Ok(users.into_iter().map(invitation).collect())
}

/// `conversations.kick`
pub fn kick(call: &Call) -> Asked {
    Ok(Body::KickMember(client::KickMember {
        channel: call.args.channel()?.0,
        user: call.args.user()?.0,
    }))
}
