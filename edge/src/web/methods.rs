//! The table of methods: what each asks of the cells, and what it makes of the
//! answers.

use causeway_protocol::client::{request::Body, response::Result as Answer};
use causeway_protocol::{ApiError, UserId};
use serde_json::Value;

use super::args::Args;
use super::{answers, requests};

/// A call whose caller is known.
#[derive(Debug, Clone)]
pub struct Call {
    /// The caller.
    pub user: UserId,
    /// What the caller gave.
    pub args: Args,
    /// Drawn at random: the id of a message that came without one.
    pub spare_id: u128,
}

/// What follows from an answer of the cells.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Another question.
    Ask(Body),
    /// The call's result.
    Reply(Value),
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
    method("users.list", requests::users, answers::users),
    method("users.info", requests::user, answers::user),
];

const fn method(name: &'static str, begin: Begin, next: Next) -> Method {
    Method { name, begin, next }
}

/// The method of this name.
pub fn find(name: &str) -> Option<&'static Method> {
    METHODS.iter().find(|method| method.name == name)
}
