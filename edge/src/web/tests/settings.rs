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

fn get_channel() -> Body {
    let channel = channel().0;
    Body::GetChannel(client::GetChannel { channel })
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
        assert_eq!(world.asked(), [set(field), get_channel()]);
        // A replica that does not know the change yet would show what was before.
        assert_eq!(*world.cells.wrote.lock(), [Bytes::new(), WROTE]);
        assert_eq!(*world.cells.min_positions.lock(), [0, POSITION]);
    }
}

#[tokio::test]
async fn who_may_not_rename_a_channel_is_told_so_as_by_slack() {
    let world = World::answering([refused(ErrorCode::NotAllowed)]);
    let form = "channel=C04000005&name=kitchen";
    let heard = world.form("conversations.rename", form).await;
    assert_eq!(heard.error(), "not_authorized");
    assert_eq!(world.refusals.counts(), [("not_allowed", 1)]);
}

#[tokio::test]
async fn what_is_wrong_with_a_channels_name_is_told() {
    let (fits, long) = ("é".repeat(80), "é".repeat(81));
    for (name, code) in [
        ("", "invalid_name_required"),
        (long.as_str(), "invalid_name_maxlength"),
        (fits.as_str(), "invalid_name_specials"),
        ("Kitchen", "invalid_name_specials"),
    ] {
        for method in ["conversations.create", "conversations.rename"] {
            let world = World::answering([refused(ErrorCode::InvalidName)]);
            let args = json!({ "channel": "C04000005", "name": name });
            let reply = world.call(method, args).await;
            assert_eq!(reply["error"], code, "{method} {name}");
        }
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
async fn with_force_those_are_passed_over_who_cannot_be_invited() {
    let world = World::answering([
        refused(ErrorCode::AccountInactive),
        Answer::Channel(general()),
        refused(ErrorCode::UserNotFound),
        Answer::Channel(general()),
    ]);
    let args = json!({
        "channel": "C04000005", "users": "U04000008,U04000009,U0400000A,ada", "force": true,
    });
    let reply = world.call("conversations.invite", args).await;
    let error = |user: &str, code: &str| json!({ "user": user, "ok": false, "error": code });
    let errors = [
        error("ada", "user_not_found"),
        error("U04000008", "account_inactive"),
        error("U0400000A", "user_not_found"),
    ];
    let wanted = json!({ "ok": true, "channel": general_json(), "errors": errors });
    assert_eq!(reply, wanted);
    let invitations = [user(8), user(9), user(10)].map(invitation);
    let asked: Vec<_> = invitations.into_iter().chain([get_channel()]).collect();
    assert_eq!(world.asked(), asked);
}

#[tokio::test]
async fn with_force_nothing_is_said_of_those_who_are_invited() {
    let world = World::answering([Answer::Channel(general()), Answer::Channel(general())]);
    let form = "channel=C04000005&users=U04000008&force=1";
    let reply = world.form("conversations.invite", form).await.json();
    assert_eq!(reply, json!({ "ok": true, "channel": general_json() }));
    assert_eq!(world.asked(), [invitation(user(8)), get_channel()]);
}

#[tokio::test]
async fn where_nobody_can_be_invited_force_does_not_help() {
    let refusal = refused(ErrorCode::UserNotFound);
    let world = World::answering([refusal, Answer::Channel(general())]);
    let form = "channel=C04000005&users=U04000008,ada&force=true";
    let reply = world.form("conversations.invite", form).await.json();
    let error = |user: &str| json!({ "user": user, "ok": false, "error": "user_not_found" });
    let errors = [error("ada"), error("U04000008")];
    let wanted = json!({ "ok": false, "error": "user_not_found", "errors": errors });
    assert_eq!(reply, wanted);
    assert_eq!(world.refusals.counts(), [("user_not_found", 1)]);
}

#[tokio::test]
async fn force_ends_with_what_is_not_about_one_user() {
    let refusal = refused(ErrorCode::IsArchived);
    let world = World::answering([refused(ErrorCode::UserNotFound), refusal]);
    let form = "channel=C04000005&users=U04000008,U04000009,U0400000A&force=true";
    let heard = world.form("conversations.invite", form).await;
    assert_eq!(heard.error(), "is_archived");
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
        ("rename", "channel=C04000005&name=", "invalid_name_required"),
        ("archive", "channel=general", "channel_not_found"),
        ("invite", "channel=C04000005", "no_user"),
        (
            "invite",
            "channel=C04000005&users=U04000008,ada",
            "user_not_found",
        ),
        (
            "invite",
            "channel=C04000005&users=U04000008&force=x",
            "invalid_arguments",
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
