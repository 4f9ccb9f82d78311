//! What each method makes of the cells' answers.

pub mod marks;
pub mod people;

use causeway_protocol::client::{self, request::Body, response::Result as Answer};
use causeway_protocol::{ApiError, ChannelId, ErrorCode, UserId};
use serde_json::{Value, json};

use super::methods::{Call, Step};
use super::objects;
use super::requests::{self, Wanted, settings};

type Next = Result<Step, ApiError>;

/// `auth.test`
pub fn identity(call: &Call, _: &Body, answer: Answer) -> Next {
    let Answer::Boot(boot) = answer else {
        return other(answer);
    };
    reply(json!({
        "ok": true,
        "team": boot.workspace.unwrap_or_default().name,
        "user": boot.self_.unwrap_or_default().name,
        "team_id": call.user.workspace().to_string(),
        "user_id": call.user.to_string(),
        "is_enterprise_install": false,
    }))
}

/// `chat.postMessage`. What was sent before stores nothing: then the answer is
/// what has become of the first.
pub fn posted(call: &Call, asked: &Body, answer: Answer) -> Next {
    match (asked, answer) {
        (Body::SendMessage(send), Answer::Sent(sent)) if sent.duplicate => {
            Ok(Step::Ask(requests::message(send.channel, sent.ts)))
        }
        (Body::SendMessage(send), Answer::Sent(sent)) => {
            let message = client::Message {
                ts: sent.ts,
                user: call.user.0,
                text: send.text.clone(),
                thread_ts: send.thread_ts,
                client_msg_id: send.client_msg_id.clone(),
                ..client::Message::default()
            };
            reply(post(send.channel, &message))
        }
        (Body::ReadHistory(read), Answer::Messages(page)) => {
            let message = page.messages.into_iter().next();
            let message = message.map_or_else(|| taken_back(call, read.latest_ts), Ok)?;
            reply(post(read.channel, &message))
        }
        // Sent, but to a private channel that the caller has left since.
        (Body::ReadHistory(read), Answer::Error(e))
            if e.code == ErrorCode::ChannelNotFound.as_str() =>
        {
            reply(json!({
                "ok": true,
                "channel": ChannelId(read.channel).to_string(),
                "ts": objects::ts(read.latest_ts),
            }))
        }
        (_, answer) => other(answer),
    }
}

fn post(channel: u64, message: &client::Message) -> Value {
    json!({
        "ok": true,
        "channel": ChannelId(channel).to_string(),
        "ts": objects::ts(message.ts),
        "message": objects::message(message),
    })
}

/// A message of the caller's that history no longer has.
fn taken_back(call: &Call, ts: u64) -> Result<client::Message, ApiError> {
    let id = call.args.text("client_msg_id")?.unwrap_or_default();
    Ok(client::Message {
        ts,
        user: call.user.0,
        client_msg_id: id.to_owned().into(),
        deleted: true,
        ..client::Message::default()
    })
}

/// `chat.update`
pub fn updated(call: &Call, asked: &Body, answer: Answer) -> Next {
    let (Body::EditMessage(edit), Answer::Sent(sent)) = (asked, &answer) else {
        return other(answer);
    };
    let message = client::Message {
        ts: edit.ts,
        user: call.user.0,
        text: edit.text.clone(),
        edited_ts: sent.ts,
        ..client::Message::default()
    };
    reply(json!({
        "ok": true,
        "channel": ChannelId(edit.channel).to_string(),
        "ts": objects::ts(edit.ts),
        "text": edit.text,
        "message": objects::message(&message),
    }))
}

/// `chat.delete`
pub fn deleted(_: &Call, asked: &Body, answer: Answer) -> Next {
    let (Body::DeleteMessage(delete), Answer::Sent(_)) = (asked, &answer) else {
        return other(answer);
    };
    reply(json!({
        "ok": true,
        "channel": ChannelId(delete.channel).to_string(),
        "ts": objects::ts(delete.ts),
    }))
}

/// One channel.
pub fn channel(_: &Call, _: &Body, answer: Answer) -> Next {
    let Answer::Channel(channel) = answer else {
        return other(answer);
    };
    reply(json!({ "ok": true, "channel": objects::channel(&channel) }))
}

/// A channel that has been changed: then it is read.
pub fn changed(call: &Call, asked: &Body, answer: Answer) -> Next {
    match (asked, answer) {
        (Body::SetChannel(set), Answer::Done(_)) => {
            Ok(Step::Ask(requests::get_channel(set.channel)))
        }
        (_, answer) => channel(call, asked, answer),
    }
}

/// `conversations.invite`: one user after the other. Those before one that is refused
/// stay invited; with `force`, those after are invited, too.
pub fn invited(call: &Call, asked: &Body, answer: Answer) -> Next {
    let next = requests::after(asked, settings::invitations(call)?);
    let force = call.args.flag("force")?;
    match (next, answer) {
        (Some(next), Answer::Channel(_)) => Ok(Step::Ask(next)),
        (Some(next), Answer::Error(e)) if force && is_about_invited(&e) => {
            Ok(Step::AskDespite(ApiError::from_wire(e), next))
        }
        (None, Answer::Channel(channel)) => invited_to(call, &channel),
        (_, answer) => other(answer),
    }
}

/// Whether an invitation was refused for the one who is invited: the next may be taken.
fn is_about_invited(error: &client::Error) -> bool {
    let codes = [ErrorCode::UserNotFound, ErrorCode::AccountInactive];
    codes.iter().any(|code| code.as_str() == error.code)
}

/// The channel, and who could not be invited to it; a refusal if nobody could.
fn invited_to(call: &Call, channel: &client::Channel) -> Next {
    let refused = settings::not_invited(call)?;
    let errors = refused.iter();
    let errors: Vec<_> = errors
        .map(|(user, code)| objects::not_invited(user, *code))
        .collect();
    let mut value = json!({ "ok": true, "channel": objects::channel(channel) });
    if let Some((_, code)) = refused.first() {
        if refused.len() == settings::invited(call)?.len() {
            return Ok(Step::Refuse(ApiError::from(*code), errors));
        }
        value["errors"] = errors.into();
    }
    reply(value)
}

/// What has nothing to tell but that it is done.
pub fn done(_: &Call, _: &Body, answer: Answer) -> Next {
    let Answer::Done(_) = answer else {
        return other(answer);
    };
    reply(json!({ "ok": true }))
}

/// `conversations.leave`: to have left before is no error with Slack.
pub fn left(_: &Call, _: &Body, answer: Answer) -> Next {
    match answer {
        Answer::Done(_) => reply(json!({ "ok": true })),
        Answer::Error(e) if e.code == ErrorCode::NotInChannel.as_str() => {
            reply(json!({ "ok": true, "not_in_channel": true }))
        }
        answer => other(answer),
    }
}

/// `conversations.list`. A page may be shorter than its limit: what is not
/// wanted is left out here.
pub fn channels(call: &Call, _: &Body, answer: Answer) -> Next {
    let Answer::Channels(page) = answer else {
        return other(answer);
    };
    let wanted = Wanted::read(&call.args)?;
    let channels = page.channels.iter().filter(|c| wanted.has(c));
    reply(json!({
        "ok": true,
        "channels": channels.map(objects::channel).collect::<Vec<_>>(),
        "response_metadata": metadata(page.next_cursor),
    }))
}

/// A page of a channel or thread.
pub fn messages(_: &Call, _: &Body, answer: Answer) -> Next {
    let Answer::Messages(page) = answer else {
        return other(answer);
    };
    reply(json!({
        "ok": true,
        "messages": page.messages.iter().map(objects::message).collect::<Vec<_>>(),
        "has_more": !page.next_cursor.is_empty(),
        "response_metadata": metadata(page.next_cursor),
    }))
}

/// `conversations.members`
pub fn members(_: &Call, _: &Body, answer: Answer) -> Next {
    let Answer::Members(page) = answer else {
        return other(answer);
    };
    let ids = page.users.into_iter().map(|id| UserId(id).to_string());
    reply(json!({
        "ok": true,
        "members": ids.collect::<Vec<_>>(),
        "response_metadata": metadata(page.next_cursor),
    }))
}

/// `conversations.mark`: first finds the message, then marks it.
pub fn marked(_: &Call, asked: &Body, answer: Answer) -> Next {
    match (asked, answer) {
        (Body::MarkRead(_), Answer::Done(_)) => reply(json!({ "ok": true })),
        (Body::ReadHistory(read), Answer::Messages(page)) => {
            Ok(Step::Ask(match page.messages.first() {
                // The page held deleted messages only.
                None if !page.next_cursor.is_empty() => Body::ReadHistory(client::ReadHistory {
                    cursor: page.next_cursor,
                    ..read.clone()
                }),
                // 0 marks nothing, but is refused to one who is no member.
                newest => Body::MarkRead(client::MarkRead {
                    channel: read.channel,
                    seq: newest.map_or(0, |message| message.seq),
                }),
            }))
        }
        (_, answer) => other(answer),
    }
}

/// `users.list`
pub fn users(call: &Call, _: &Body, answer: Answer) -> Next {
    let Answer::Users(page) = answer else {
        return other(answer);
    };
    let users = page.users.iter();
    let users = users.map(|user| objects::people::user(user, call.now_s));
    reply(json!({
        "ok": true,
        "members": users.collect::<Vec<_>>(),
        "response_metadata": metadata(page.next_cursor),
    }))
}

/// `users.info`
pub fn user(call: &Call, _: &Body, answer: Answer) -> Next {
    let Answer::User(user) = answer else {
        return other(answer);
    };
    let user = objects::people::user(&user, call.now_s);
    reply(json!({ "ok": true, "user": user }))
}

fn reply(value: Value) -> Next {
    Ok(Step::Reply(value))
}

fn metadata(next_cursor: String) -> Value {
    json!({ "next_cursor": next_cursor })
}

/// A refusal, or an answer that does not belong to the question.
fn other(answer: Answer) -> Next {
    Err(match answer {
        Answer::Error(error) => ApiError::from_wire(error),
        _ => ApiError::new(
            ErrorCode::InternalError,
            "a cell answered another question than was asked",
        ),
    })
}
