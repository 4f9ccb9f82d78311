//! What Slack calls a refusal, where it has a code of its own for the method.

use causeway_protocol::ErrorCode;
use causeway_protocol::limits::NAME_CHARS_MAX;

use super::args::Args;

/// Slack's code for the refusal of a call with these arguments; `None` = the same as
/// ours.
pub fn of(method: &str, args: &Args, code: ErrorCode) -> Option<&'static str> {
    use ErrorCode::{InvalidArguments, InvalidName, NotAllowed};
    match (method, code) {
        ("conversations.create" | "conversations.rename", InvalidName) => channel_name(args),
        ("conversations.rename", NotAllowed) => Some("not_authorized"),
        ("conversations.invite", InvalidArguments) => lacks(args, "users").then_some("no_user"),
        ("users.profile.set", InvalidArguments) => Some("invalid_profile"),
        ("users.profile.set", NotAllowed) => Some("permission_denied"),
        ("users.setPresence", InvalidArguments) => Some("invalid_presence"),
        ("dnd.setSnooze", InvalidArguments) => {
            lacks(args, "num_minutes").then_some("missing_duration")
        }
        ("dnd.endSnooze", InvalidArguments) => Some("snooze_not_active"),
        ("reactions.add" | "reactions.remove", InvalidArguments) => reaction(args),
        ("reactions.get", InvalidArguments) => item(args),
        ("pins.add" | "pins.remove", InvalidArguments) => pin(args),
        ("stars.add" | "stars.remove", InvalidArguments) => star(args),
        _ => None,
    }
}

fn channel_name(args: &Args) -> Option<&'static str> {
    match args.text("name") {
        Ok(None) => Some("invalid_name_required"),
        Ok(Some(name)) if name.chars().count() > NAME_CHARS_MAX => Some("invalid_name_maxlength"),
        Ok(Some(_)) => Some("invalid_name_specials"),
        Err(_) => None,
    }
}

/// What is wrong with neither the message nor the channel is so with the emoji's name.
fn reaction(args: &Args) -> Option<&'static str> {
    item(args).or_else(|| args.channel().is_ok().then_some("invalid_name"))
}

/// Slack counts the channel of a pin for itself, and not as half of the item.
fn pin(args: &Args) -> Option<&'static str> {
    match lacks(args, "channel") {
        true => Some("channel_not_found"),
        false => item(args),
    }
}

/// A star without a timestamp is the channel's.
fn star(args: &Args) -> Option<&'static str> {
    match lacks(args, "channel") {
        true => Some("no_item_specified"),
        false => timestamp(args),
    }
}

/// A message is named by channel and timestamp.
fn item(args: &Args) -> Option<&'static str> {
    match lacks(args, "channel") || lacks(args, "timestamp") {
        true => Some("no_item_specified"),
        false => timestamp(args),
    }
}

fn timestamp(args: &Args) -> Option<&'static str> {
    let ts = args.ts("timestamp", ErrorCode::InvalidArguments);
    ts.is_err().then_some("bad_timestamp")
}

fn lacks(args: &Args, name: &str) -> bool {
    matches!(args.text(name), Ok(None))
}
