//! Reactions, pins, stars and emoji.

use causeway_protocol::ErrorCode;
use causeway_protocol::client::{self, request::Body, response::Result as Answer};
use serde_json::{Value, json};

use super::{World, channel, done, me, refused, user};

const TS: u64 = 17_000_100;
const PLACE: &str = "channel=C04000005&timestamp=17.000100&name=tada";

fn message() -> client::Message {
    client::Message {
        channel: channel().0,
        seq: 9,
        ts: TS,
        user: me().0,
        text: "we ship".into(),
        reactions: vec![client::Reaction {
            emoji: "tada".into(),
            users: vec![me().0, user(8).0],
            count: 3,
        }],
        pinned: true,
        ..client::Message::default()
    }
}

fn message_json() -> Value {
    json!({
        "type": "message", "user": "U04000007", "team": "T00000001", "text": "we ship",
        "ts": "17.000100", "pinned_to": ["C04000005"],
        "reactions": [{ "name": "tada", "users": ["U04000007", "U04000008"], "count": 3 }],
    })
}

#[tokio::test]
async fn marks_are_put_on_a_message_and_taken_off() {
    let channel = channel().0;
    let react = |remove| {
        Body::React(client::React {
            channel,
            ts: TS,
            emoji: "tada".into(),
            remove,
        })
    };
    let pin = |remove| {
        Body::Pin(client::Pin {
            channel,
            ts: TS,
            remove,
        })
    };
    let star = |remove| {
        Body::Star(client::Star {
            channel,
            ts: TS,
            remove,
        })
    };
    for (method, asked) in [
        ("reactions.add", react(false)),
        ("reactions.remove", react(true)),
        ("pins.add", pin(false)),
        ("pins.remove", pin(true)),
        ("stars.add", star(false)),
        ("stars.remove", star(true)),
    ] {
        let world = World::answering([done()]);
        let reply = world.form(method, PLACE).await.json();
        assert_eq!(reply, json!({ "ok": true }), "{method}");
        assert_eq!(world.asked(), [asked]);
    }
}

#[tokio::test]
async fn a_star_without_a_timestamp_is_the_channels() {
    let world = World::answering([done()]);
    let args = json!({ "channel": "C04000005" });
    let reply = world.call("stars.add", args).await;
    assert_eq!(reply, json!({ "ok": true }));
    let wanted = Body::Star(client::Star {
        channel: channel().0,
        ts: 0,
        remove: false,
    });
    assert_eq!(world.asked(), [wanted]);
}

#[tokio::test]
async fn what_the_cells_think_of_a_mark_is_passed_on() {
    for (method, code) in [
        ("reactions.add", "already_reacted"),
        ("reactions.add", "too_many_emoji"),
        ("reactions.remove", "no_reaction"),
        ("reactions.get", "message_not_found"),
        ("pins.add", "already_pinned"),
        ("pins.add", "too_many_pins"),
        ("pins.add", "is_archived"),
        ("pins.remove", "no_pin"),
        ("pins.list", "channel_not_found"),
        ("stars.add", "already_starred"),
        ("stars.remove", "not_starred"),
    ] {
        let world = World::answering([refused(ErrorCode::from_wire(code).unwrap())]);
        assert_eq!(world.form(method, PLACE).await.error(), code, "{method}");
    }
}

#[tokio::test]
async fn what_names_no_message_is_refused_at_once() {
    let world = World::answering([]);
    for method in [
        "reactions.add",
        "reactions.remove",
        "reactions.get",
        "pins.add",
        "pins.remove",
        "stars.add",
        "stars.remove",
    ] {
        for ts in ["x", "0", "1.0000001"] {
            let form = format!("channel=C04000005&timestamp={ts}&name=x");
            let heard = world.form(method, &form).await;
            assert_eq!(heard.error(), "bad_timestamp", "{method} {ts}");
        }
        let nothing = match method.starts_with("pins") {
            true => "channel_not_found",
            false => "no_item_specified",
        };
        let heard = world.form(method, "timestamp=1.0&name=x").await;
        assert_eq!(heard.error(), nothing, "{method}");
        if !method.starts_with("stars") {
            let heard = world.form(method, "channel=C04000005&name=x").await;
            assert_eq!(heard.error(), "no_item_specified", "{method}");
        }
    }
    assert_eq!(world.asked(), []);
    assert_eq!(world.refusals.counts(), [("invalid_arguments", 33)]);
}

#[tokio::test]
async fn a_reaction_has_the_name_of_an_emoji() {
    for method in ["reactions.add", "reactions.remove"] {
        let world = World::answering([refused(ErrorCode::InvalidArguments)]);
        let heard = world.form(method, PLACE).await;
        assert_eq!(heard.error(), "invalid_name", "{method}");
        let heard = world.form(method, "channel=C04000005&timestamp=1.0").await;
        assert_eq!(heard.error(), "invalid_name", "{method}");
        let args = json!({ "channel": ["C04000005"], "timestamp": "1.0", "name": "x" });
        let reply = world.call(method, args).await;
        assert_eq!(reply["error"], "invalid_arguments", "{method}");
        assert_eq!(world.asked().len(), 1);
    }
}

#[tokio::test]
async fn what_cannot_be_carried_out_is_refused_at_once() {
    let world = World::answering([]);
    for (method, args, code) in [
        ("pins.list", "channel=general", "channel_not_found"),
        ("stars.list", "limit=x", "invalid_arguments"),
        ("stars.list", "count=x", "invalid_arguments"),
        ("stars.list", "page=2", "invalid_arguments"),
        ("admin.emoji.add", "url=https://x/y.png", "invalid_name"),
        ("admin.emoji.add", "name=shipit", "invalid_arguments"),
        ("admin.emoji.remove", "", "invalid_name"),
    ] {
        let heard = world.form(method, args).await;
        assert_eq!(heard.error(), code, "{method} {args}");
    }
    assert_eq!(world.asked(), []);
}

#[tokio::test]
async fn a_message_shows_its_reactions_and_where_it_is_pinned() {
    let world = World::answering([Answer::Reactions(client::ReactionList {
        message: Some(message()),
    })]);
    let reply = world.form("reactions.get", PLACE).await.json();
    let wanted = json!({
        "ok": true, "type": "message", "channel": "C04000005", "message": message_json(),
    });
    assert_eq!(reply, wanted);
    let wanted = Body::GetReactions(client::GetReactions {
        channel: channel().0,
        ts: TS,
    });
    assert_eq!(world.asked(), [wanted]);
}

#[tokio::test]
async fn history_shows_them_too() {
    let world = World::answering([Answer::Messages(client::MessagePage {
        messages: vec![message()],
        next_cursor: String::new(),
    })]);
    let heard = world.get("conversations.history?channel=C04000005").await;
    assert_eq!(heard.json()["messages"], json!([message_json()]));
}

#[tokio::test]
async fn pins_outlive_their_messages() {
    let pinned = |ts, message| client::PinnedMessage {
        left_out: false,
        channel: channel().0,
        ts,
        pinned_by: user(8).0,
        pinned_ts: 1_700_000_000_900_000,
        message,
    };
    let world = World::answering([Answer::Pins(client::PinList {
        pins: vec![
            pinned(TS, Some(message())),
            pinned(18_000_000, None),
            client::PinnedMessage {
                left_out: true,
                ..pinned(19_000_000, None)
            },
        ],
    })]);
    let reply = world.get("pins.list?channel=C04000005").await.json();
    let pin = |message: Value| {
        json!({
            "type": "message", "channel": "C04000005", "created": 1_700_000_000,
            "created_by": "U04000008", "message": message,
        })
    };
    let gone = json!({
        "type": "message", "subtype": "tombstone", "hidden": true, "ts": "18.000000",
    });
    let too_long = json!({ "type": "message", "ts": "19.000000" });
    let wanted = [pin(message_json()), pin(gone), pin(too_long)];
    let wanted = json!({ "ok": true, "items": wanted });
    assert_eq!(reply, wanted);
    let channel = channel().0;
    let wanted = Body::ListPins(client::ListPins { channel });
    assert_eq!(world.asked(), [wanted]);
}

#[tokio::test]
async fn stars_come_page_by_page() {
    let starred = |ts, message| client::Starred {
        channel: channel().0,
        ts,
        starred_ts: 1_700_000_000_900_000,
        message,
    };
    let world = World::answering([Answer::Stars(client::StarList {
        stars: vec![
            starred(TS, Some(message())),
            starred(18_000_000, None),
            starred(0, None),
        ],
        next_cursor: "p1-3".into(),
    })]);
    let reply = world.get("stars.list?limit=3&cursor=p1-2").await.json();
    let star = |kind: &str| {
        json!({
            "type": kind, "channel": "C04000005", "date_create": 1_700_000_000,
        })
    };
    let mut there = star("message");
    there["message"] = message_json();
    there["message"]["is_starred"] = true.into();
    let mut gone = star("message");
    gone["message"] = json!({
        "type": "message", "subtype": "tombstone", "hidden": true, "ts": "18.000000",
        "is_starred": true,
    });
    let wanted = json!({
        "ok": true, "items": [there, gone, star("channel")],
        "response_metadata": { "next_cursor": "p1-3" },
    });
    assert_eq!(reply, wanted);
    let wanted = Body::ListStars(client::ListStars {
        limit: 3,
        cursor: "p1-2".into(),
    });
    assert_eq!(world.asked(), [wanted]);
}

fn channel_stars(count: usize, next_cursor: &str) -> Answer {
    let starred = client::Starred {
        channel: channel().0,
        ..client::Starred::default()
    };
    Answer::Stars(client::StarList {
        stars: vec![starred; count],
        next_cursor: next_cursor.into(),
    })
}

#[tokio::test]
async fn stars_that_are_all_there_are_counted() {
    for (form, count, total, pages) in [
        ("", 100, 0, 0),
        ("count=7&page=1", 7, 2, 1),
        ("count=7&limit=2", 2, 2, 1),
        ("limit=5000", 1_000, 2, 1),
    ] {
        let world = World::answering([channel_stars(total, "")]);
        let reply = world.form("stars.list", form).await.json();
        let paging = json!({ "count": count, "total": total, "page": 1, "pages": pages });
        assert_eq!(reply["paging"], paging, "{form}");
    }
}

#[tokio::test]
async fn of_a_part_of_the_stars_nobody_knows_how_many_there_are() {
    for (form, next_cursor) in [("", "p1-3"), ("cursor=p1-3", "p1-6"), ("cursor=p1-6", "")] {
        let world = World::answering([channel_stars(3, next_cursor)]);
        let reply = world.form("stars.list", form).await.json();
        assert_eq!(reply["ok"], true);
        assert_eq!(reply.get("paging"), None, "{form}");
    }
}

#[tokio::test]
async fn emoji_are_urls_by_name() {
    let emoji = |name: &str, url: &str| client::Emoji {
        name: name.into(),
        url: url.into(),
    };
    let world = World::answering([Answer::Emoji(client::EmojiList {
        emoji: vec![
            emoji("shipit", "https://x/shipit.png"),
            emoji("squirrel", "alias:shipit"),
        ],
    })]);
    let reply = world.get("emoji.list").await.json();
    let emoji = json!({ "shipit": "https://x/shipit.png", "squirrel": "alias:shipit" });
    assert_eq!(reply, json!({ "ok": true, "emoji": emoji }));
    assert_eq!(world.asked(), [Body::ListEmoji(client::ListEmoji {})]);
}

#[tokio::test]
async fn emoji_are_added_and_removed() {
    let set = |url: &str, remove| {
        Body::SetEmoji(client::SetEmoji {
            name: "shipit".into(),
            url: url.into(),
            remove,
        })
    };
    for (method, asked) in [
        ("admin.emoji.add", set("https://x/shipit.png", false)),
        ("admin.emoji.remove", set("", true)),
    ] {
        let world = World::answering([done(), refused(ErrorCode::EmojiNotFound)]);
        let args = json!({ "name": "shipit", "url": "https://x/shipit.png" });
        let reply = world.call(method, args.clone()).await;
        assert_eq!(reply, json!({ "ok": true }));
        assert_eq!(world.asked(), [asked]);
        assert_eq!(world.call(method, args).await["error"], "emoji_not_found");
    }
}
