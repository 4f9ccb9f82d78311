//! What changes a channel: what it is called and about, and who is in it.

use bytes::Bytes;
use causeway_protocol::client::{
    self, request::Body, response::Result as Answer, set_channel::Field,
};
use causeway_protocol::{ErrorCode, UserId};
use serde_json::json;

use super::conversations::{general, general_json};
use super::{POSITION, WROTE, World, channel, done, me, refused, user};

fn set(field: Field) -> Body {
    Body::SetChannel(client::SetChannel {
        channel: channel().0,
        field: Some(field),
    })
}

fn invitation(user: UserId) -> Body {
    Body::InviteMember(client::InviteMember {
        channel: channel().0,
        user: user.0,
    })
}

#[tokio::test]
async fn what_is_said_of_a_channel_is_set_and_then_shown() {
    for (method, args, field) in [
        (
            "conversations.setTopic",
            "channel=C04000005&topic=tea",
            Field::Topic("tea".into()),
        ),
        (
            "conversations.setTopic",
            "channel=C04000005&topic=",
            Field::Topic(String::new()),
        ),
        (
            "conversations.setPurpose",
            "channel=C04000005&purpose=tea",
            Field::Purpose("tea".into()),
        ),
        (
            "conversations.rename",
            "channel=C04000005&name=kitchen",
            Field::Name("kitchen".into()),
        ),
    ] {
        let world = World::answering([done(), Answer::Channel(general())]);
        let reply = world.form(method, args).await.json();
        assert_eq!(reply, json!({ "ok": true, "channel": general_json() }));
        let channel = channel().0;
        let get = Body::GetChannel(client::GetChannel { channel });
        assert_eq!(world.asked(), [set(field), get]);
        // A replica that does not know the change yet would show what was before.
        assert_eq!(*world.cells.wrote.lock(), [Bytes::new(), WROTE]);
        assert_eq!(*world.cells.min_positions.lock(), [0, POSITION]);
    }
}

#[tokio::test]
async fn a_channel_is_archived_and_brought_back() {
    for (method, archived, code, text) in [
        (
            "conversations.archive",
            true,
            ErrorCode::AlreadyArchived,
            "already_archived",
        ),
        (
            "conversations.unarchive",
            false,
            ErrorCode::NotArchived,
            "not_archived",
        ),
    ] {
        let world = World::answering([done(), refused(code)]);
        let args = json!({ "channel": "C04000005" });
        let reply = world.call(method, args.clone()).await;
        assert_eq!(reply, json!({ "ok": true }));
        assert_eq!(world.asked(), [set(Field::Archived(archived))]);
        assert_eq!(world.call(method, args).await["error"], text);
    }
}

#[tokio::test]
async fn a_channel_shows_what_is_said_of_it() {
    let said = |text: &str| client::Said {
        text: text.into(),
        user: user(8).0,
        ts: 1_700_000_002_900_000,
    };
    let world = World::answering([Answer::Channel(client::Channel {
        topic: Some(said("tea")),
        purpose: Some(said("drinking")),
        other_purposes: vec![said("brewing")],
        archived: true,
        ..general()
    })]);
    let heard = world.get("conversations.info?channel=C04000005").await;
    let said = |text: &str| {
        json!({
            "value": text, "creator": "U04000008", "last_set": 1_700_000_002,
        })
    };
    let mut wanted = general_json();
    wanted["topic"] = said("tea");
    wanted["purpose"] = said("drinking");
    wanted["other_purposes"] = json!([said("brewing")]);
    wanted["is_archived"] = true.into();
    assert_eq!(heard.json()["channel"], wanted);
}

#[tokio::test]
async fn archived_channels_may_be_left_out_of_a_list() {
    for (args, names) in [
        (json!({}), json!(["general", "old"])),
        (
            json!({ "exclude_archived": false }),
            json!(["general", "old"]),
        ),
        (json!({ "exclude_archived": true }), json!(["general"])),
    ] {
        let old = client::Channel {
            name: "old".into(),
            archived: true,
            ..general()
        };
        let world = World::answering([Answer::Channels(client::ChannelPage {
            channels: vec![general(), old],
            next_cursor: String::new(),
        })]);
        let reply = world.call("conversations.list", args).await;
        let channels = reply["channels"].as_array().unwrap().iter();
        let found: Vec<_> = channels.map(|channel| channel["name"].clone()).collect();
        assert_eq!(json!(found), names);
    }
}

#[tokio::test]
async fn users_are_invited_one_after_the_other() {
    let before = client::Channel {
        members: 2,
        ..general()
    };
    let world = World::answering([Answer::Channel(before), Answer::Channel(general())]);
    let args = json!({
        "channel": "C04000005", "users": "U04000009, U04000008,U04000009",
    });
    let reply = world.call("conversations.invite", args).await;
    assert_eq!(reply, json!({ "ok": true, "channel": general_json() }));
    assert_eq!(world.asked(), [invitation(user(8)), invitation(user(9))]);
}

#[tokio::test]
async fn an_invitation_that_is_refused_is_the_last() {
    let refusal = refused(ErrorCode::UserNotFound);
    let world = World::answering([Answer::Channel(general()), refusal]);
    let args = json!({
        "channel": "C04000005", "users": "U04000008,U04000009,U0400000A",
    });
    let reply = world.call("conversations.invite", args).await;
    assert_eq!(reply["error"], "user_not_found");
    assert_eq!(world.asked(), [invitation(user(8)), invitation(user(9))]);
}

#[tokio::test]
async fn a_hundred_users_are_invited_at_once_and_no_more() {
    let users = |count| {
        let users: Vec<_> = (1..=count).map(|n| user(n).to_string()).collect();
        json!({ "channel": "C04000005", "users": users.join(",") })
    };
    let world = World::answering((0..100).map(|_| Answer::Channel(general())));
    let reply = world.call("conversations.invite", users(101)).await;
    assert_eq!(reply["error"], "invalid_arguments");
    assert_eq!(world.asked(), []);
    let reply = world.call("conversations.invite", users(100)).await;
    assert_eq!(reply["ok"], true);
    assert_eq!(world.asked().len(), 100);
}

#[tokio::test]
async fn a_member_is_removed() {
    let world = World::answering([done(), refused(ErrorCode::NotInChannel)]);
    let args = json!({ "channel": "C04000005", "user": "U04000007" });
    let reply = world.call("conversations.kick", args.clone()).await;
    assert_eq!(reply, json!({ "ok": true }));
    let wanted = Body::KickMember(client::KickMember {
        channel: channel().0,
        user: me().0,
    });
    assert_eq!(world.asked(), [wanted]);
    let reply = world.call("conversations.kick", args).await;
    assert_eq!(reply["error"], "not_in_channel");
}

#[tokio::test]
async fn a_change_that_lacks_something_is_refused_at_once() {
    let world = World::answering([]);
    for (method, args, code) in [
        ("setTopic", "channel=C04000005", "invalid_arguments"),
        ("setTopic", "topic=tea", "invalid_arguments"),
        ("setPurpose", "channel=C04000005", "invalid_arguments"),
        ("rename", "channel=C04000005&name=", "invalid_name"),
        ("archive", "channel=general", "channel_not_found"),
        ("invite", "channel=C04000005", "invalid_arguments"),
        (
            "invite",
            "channel=C04000005&users=U04000008,ada",
            "user_not_found",
        ),
        ("kick", "channel=C04000005", "invalid_arguments"),
        ("kick", "channel=C04000005&user=ada", "user_not_found"),
    ] {
        let method = format!("conversations.{method}");
        let heard = world.form(&method, args).await;
        assert_eq!(heard.error(), code, "{method} {args}");
    }
    assert_eq!(world.asked(), []);
}
