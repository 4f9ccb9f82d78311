//! Reactions, pins, stars and emoji.

use causeway_protocol::ChannelId;
use causeway_protocol::client::{self, request::Body, response::Result as Answer};
use causeway_protocol::limits::PAGE_ROWS_DEFAULT;
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
pub fn stars(_: &Call, asked: &Body, answer: Answer) -> Next {
    let (Body::ListStars(list), Answer::Stars(page)) = (asked, &answer) else {
        return other(answer);
    };
    let mut value = json!({
        "ok": true,
        "items": page.stars.iter().map(objects::star).collect::<Vec<_>>(),
        "response_metadata": metadata(page.next_cursor.clone()),
    });
    // How many there are is not known but where all of them are here.
    if list.cursor.is_empty() && page.next_cursor.is_empty() {
        value["paging"] = only_page(list, page.stars.len());
    }
    reply(value)
}

fn only_page(list: &client::ListStars, total: usize) -> Value {
    let count = match list.limit {
        0 => PAGE_ROWS_DEFAULT,
        limit => limit,
    };
    let pages = total.div_ceil(count as usize);
    json!({ "count": count, "total": total, "page": 1, "pages": pages })
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
