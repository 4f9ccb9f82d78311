//! What users put on messages: reactions, pins and stars; and the emoji to react with.

use causeway_protocol::client::{self, request::Body};
use causeway_protocol::{ApiError, ErrorCode};

use super::Asked;
use crate::web::args::{Args, invalid};
use crate::web::methods::Call;

/// `reactions.add`
pub fn react(call: &Call) -> Asked {
    reaction(&call.args, false)
}

/// `reactions.remove`
pub fn unreact(call: &Call) -> Asked {
    reaction(&call.args, true)
}

fn reaction(args: &Args, remove: bool) -> Asked {
    Ok(Body::React(client::React {
        channel: args.channel()?.0,
        ts: timestamp(args)?,
        emoji: super::name(args)?,
        remove,
    }))
}

/// `reactions.get`
pub fn reactions(call: &Call) -> Asked {
    Ok(Body::GetReactions(client::GetReactions {
        channel: call.args.channel()?.0,
        ts: timestamp(&call.args)?,
    }))
}

/// `pins.add`
pub fn pin(call: &Call) -> Asked {
    pinning(&call.args, false)
}

/// `pins.remove`
pub fn unpin(call: &Call) -> Asked {
    pinning(&call.args, true)
}

fn pinning(args: &Args, remove: bool) -> Asked {
    Ok(Body::Pin(client::Pin {
        channel: args.channel()?.0,
        ts: timestamp(args)?,
        remove,
    }))
}

/// `pins.list`
pub fn pins(call: &Call) -> Asked {
    let channel = call.args.channel()?.0;
    Ok(Body::ListPins(client::ListPins { channel }))
}

/// `stars.add`
pub fn star(call: &Call) -> Asked {
    starring(&call.args, false)
}

/// `stars.remove`
pub fn unstar(call: &Call) -> Asked {
    starring(&call.args, true)
}

/// Without a timestamp the channel itself is meant.
fn starring(args: &Args, remove: bool) -> Asked {
    let ts = args.ts("timestamp", ErrorCode::InvalidArguments)?;
    Ok(Body::Star(client::Star {
        channel: args.channel()?.0,
        ts: ts.unwrap_or_default().0,
        remove,
    }))
}

/// `stars.list`: of its pages, only the first has a number.
pub fn stars(call: &Call) -> Asked {
    let args = &call.args;
    if !matches!(args.text("page")?, None | Some("1")) {
        return Err(invalid("pages after the first are asked for by cursor"));
    }
    let limit = match args.text("limit")? {
        Some(_) => args.limit()?,
        None => args.rows("count")?,
    };
    let cursor = args.cursor()?;
    Ok(Body::ListStars(client::ListStars { limit, cursor }))
}

fn timestamp(args: &Args) -> Result<u64, ApiError> {
    let ts = args.required_ts("timestamp", ErrorCode::InvalidArguments)?;
    Ok(ts.0)
}

/// `emoji.list`
pub fn emoji(_: &Call) -> Asked {
    Ok(Body::ListEmoji(client::ListEmoji {}))
}

/// `admin.emoji.add`
pub fn add_emoji(call: &Call) -> Asked {
    Ok(Body::SetEmoji(client::SetEmoji {
        name: super::name(&call.args)?,
        url: call.args.required("url")?.to_owned(),
        remove: false,
    }))
}

/// `admin.emoji.remove`
pub fn remove_emoji(call: &Call) -> Asked {
    Ok(Body::SetEmoji(client::SetEmoji {
        name: super::name(&call.args)?,
        remove: true,
        ..client::SetEmoji::default()
    }))
}
