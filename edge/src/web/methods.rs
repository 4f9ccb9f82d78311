//! The table of methods: what each asks of the cells, and what it makes of the
//! answers.

use causeway_protocol::client::{request::Body, response::Result as Answer};
use causeway_protocol::{ApiError, UserId};
use serde_json::Value;

use super::answers;
use super::args::Args;
use super::requests::{self, marks, people, settings};

/// A call whose caller is known.
#[derive(Debug, Clone)]
pub struct Call {
    /// The caller.
    pub user: UserId,
    /// What the caller gave.
    pub args: Args,
    /// Drawn at random: the id of a message that came without one.
    pub spare_id: u128,
    /// When it came, in seconds since 1970.
    pub now_s: u64,
    /// What was asked and refused so far, without an end to the call.
    pub refused: Vec<(Body, ApiError)>,
}

/// What follows from an answer of the cells.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Another question.
    Ask(Body),
    /// Another question, although this one was refused.
    AskDespite(ApiError, Body),
    /// The call's result.
    Reply(Value),
    /// The call's result is a user's presence, who has said that they are away or not:
    /// whether they are online is still to be found out.
    Presence(UserId, bool),
    /// The call is refused, for several users: why, and what is said of each.
    Refuse(ApiError, Vec<Value>),
}

/// One method.
#[derive(Debug, Clone, Copy)]
pub struct Method {
    /// As in the path.
    pub name: &'static str,
    /// The first question.
    pub begin: Begin,
    /// What follows from the answer to a question.
    pub next: Next,
}

type Begin = fn(&Call) -> Result<Body, ApiError>;
type Next = fn(&Call, &Body, Answer) -> Result<Step, ApiError>;

/// Every method that asks the cells.
pub const METHODS: &[Method] = &[
    method("auth.test", requests::boot, answers::identity),
    method("chat.postMessage", requests::post, answers::posted),
    method("chat.update", requests::update, answers::updated),
    method("chat.delete", requests::delete, answers::deleted),
    method("conversations.create", requests::create, answers::channel),
    method("conversations.join", requests::join, answers::channel),
    method("conversations.leave", requests::leave, answers::left),
    method("conversations.list", requests::channels, answers::channels),
    method("conversations.info", requests::channel, answers::channel),
    method(
        "conversations.history",
        requests::history,
        answers::messages,
    ),
    method(
        "conversations.replies",
        requests::replies,
        answers::messages,
    ),
    method("conversations.members", requests::members, answers::members),
    method("conversations.mark", requests::find_mark, answers::marked),
    method("conversations.setTopic", settings::topic, answers::changed),
    method(
        "conversations.setPurpose",
        settings::purpose,
        answers::changed,
    ),
    method("conversations.rename", settings::rename, answers::changed),
    method("conversations.archive", settings::archive, answers::done),
    method(
        "conversations.unarchive",
        settings::unarchive,
        answers::done,
    ),
    method("conversations.invite", settings::invite, answers::invited),
    method("conversations.kick", settings::kick, answers::done),
    method("users.list", requests::users, answers::users),
    method("users.info", requests::user, answers::user),
    method("users.profile.get", people::user, answers::people::profile),
    method(
        "users.profile.set",
        people::set_profile,
        answers::people::profile_set,
    ),
    method("users.setPresence", people::set_presence, answers::done),
    method("users.getPresence", people::user, answers::people::presence),
    method("dnd.setSnooze", people::snooze, answers::people::snoozed),
    method(
        "dnd.endSnooze",
        people::caller,
        answers::people::snooze_ended,
    ),
    method("dnd.info", people::user, answers::people::do_not_disturb),
    method("reactions.add", marks::react, answers::done),
    method("reactions.remove", marks::unreact, answers::done),
    method("reactions.get", marks::reactions, answers::marks::reactions),
    method("pins.add", marks::pin, answers::done),
    method("pins.remove", marks::unpin, answers::done),
    method("pins.list", marks::pins, answers::marks::pins),
    method("stars.add", marks::star, answers::done),
    method("stars.remove", marks::unstar, answers::done),
    method("stars.list", marks::stars, answers::marks::stars),
    method("emoji.list", marks::emoji, answers::marks::emoji),
    method("admin.emoji.add", marks::add_emoji, answers::done),
    method("admin.emoji.remove", marks::remove_emoji, answers::done),
];

const fn method(name: &'static str, begin: Begin, next: Next) -> Method {
    Method { name, begin, next }
}

/// The method of this name.
pub fn find(name: &str) -> Option<&'static Method> {
    METHODS.iter().find(|method| method.name == name)
}
