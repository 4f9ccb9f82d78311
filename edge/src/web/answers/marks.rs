//! Reactions, pins, stars and emoji.

use causeway_protocol::ChannelId;
use causeway_protocol::client::{request::Body, response::Result as Answer};
use serde_json::{Map, Value, json};

use super::{Next, metadata, other, reply};
use crate::web::methods::Call;
use crate::web::objects;

/// `reactions.get`
pub fn reactions(_: &Call, _: &Body, answer: Answer) -> Next {
    let Answer::Reactions(list) = answer else {
        return other(answer);
    };
    let message = list.message.unwrap_or_default();
    reply(json!({
        "ok": true,
        "type": "message",
        "channel": ChannelId(message.channel).to_string(),
        "message": objects::message(&message),
    }))
}

/// `pins.list`
pub fn pins(_: &Call, _: &Body, answer: Answer) -> Next {
    let Answer::Pins(list) = answer else {
        return other(answer);
    };
    reply(json!({
        "ok": true,
        "items": list.pins.iter().map(objects::pin).collect::<Vec<_>>(),
    }))
}

/// `stars.list`
pub fn stars(_: &Call, _: &Body, answer: Answer) -> Next {
    let Answer::Stars(page) = answer else {
        return other(answer);
    };
    reply(json!({
        "ok": true,
        "items": page.stars.iter().map(objects::star).collect::<Vec<_>>(),
        "response_metadata": metadata(page.next_cursor),
    }))
}

/// `emoji.list`
pub fn emoji(_: &Call, _: &Body, answer: Answer) -> Next {
    let Answer::Emoji(list) = answer else {
        return other(answer);
    };
    let emoji = list.emoji.into_iter();
    let emoji = emoji.map(|emoji| (emoji.name, emoji.url.into()));
    let emoji: Map<String, Value> = emoji.collect();
    reply(json!({ "ok": true, "emoji": emoji }))
}
