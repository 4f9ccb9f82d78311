//! Channels, what is in them, and who.

use causeway_protocol::client::{self, request::Body, response::Result as Answer};
use causeway_protocol::{ApiError, ErrorCode, UserId, WorkspaceId};
use serde_json::{Value, json};

use super::{World, channel, me};

pub fn general() -> client::Channel {
    client::Channel {
        id: channel().0,
        name: "general".into(),
        private: false,
        creator: me().0,
        created_ts: 1_700_000_000_900_000,
        last_seq: 12,
        last_ts: 1_700_000_001_000_000,
        members: 3,
        is_member: true,
        read_seq: 10,
        unread: 2,
        ..client::Channel::default()
    }
}

fn secret() -> client::Channel {
    client::Channel {
        id: channel().0 + 1,
        name: "secret".into(),
        private: true,
        ..general()
    }
}

pub fn general_json() -> Value {
    let unset = json!({ "value": "", "creator": "", "last_set": 0 });
    json!({
        "id": "C04000005", "name": "general", "name_normalized": "general",
        "is_channel": true, "is_group": false, "is_im": false, "is_mpim": false,
        "is_private": false, "is_archived": false, "is_general": false, "is_shared": false,
        "is_ext_shared": false, "is_org_shared": false, "is_member": true,
        "created": 1_700_000_000, "creator": "U04000007", "context_team_id": "T00000001",
        "num_members": 3, "topic": unset, "purpose": unset, "previous_names": [],
        "unread_count": 2, "unread_count_display": 2,
    })
}

#[tokio::test]
async fn create_join_and_info_answer_the_channel() {
    let id = channel().0;
    for (method, args, asked) in [
        (
            "conversations.create",
            json!({ "name": "general" }),
            Body::CreateChannel(client::CreateChannel {
                name: "general".into(),
                private: false,
            }),
        ),
        (
            "conversations.create",
            json!({ "name": "general", "is_private": true }),
            Body::CreateChannel(client::CreateChannel {
                name: "general".into(),
                private: true,
            }),
        ),
        (
            "conversations.join",
            json!({ "channel": "C04000005" }),
            Body::JoinChannel(client::JoinChannel { channel: id }),
        ),
        (
            "conversations.info",
            json!({ "channel": "C04000005", "include_num_members": true }),
            Body::GetChannel(client::GetChannel { channel: id }),
        ),
    ] {
        let world = World::answering([Answer::Channel(general())]);
        let reply = world.call(method, args).await;
        assert_eq!(reply, json!({ "ok": true, "channel": general_json() }));
        assert_eq!(world.asked(), [asked]);
    }
    let world = World::answering([]);
    let reply = world.call("conversations.create", json!({})).await;
    assert_eq!(reply["error"], "invalid_name_required");
}

#[tokio::test]
async fn who_is_no_member_has_nothing_unread() {
    let outside = client::Channel {
        is_member: false,
        ..general()
    };
    let world = World::answering([Answer::Channel(outside)]);
    let reply = world
        .get("conversations.info?channel=C04000005")
        .await
        .json();
    assert_eq!(reply["channel"]["is_member"], false);
    assert_eq!(reply["channel"].get("unread_count"), None);
}

#[tokio::test]
async fn leaving_twice_is_no_error() {
    let refusal = ApiError::from(ErrorCode::NotInChannel).to_wire();
    let world = World::answering([Answer::Done(client::Done {}), Answer::Error(refusal)]);
    let args = json!({ "channel": "C04000005" });
    let reply = world.call("conversations.leave", args.clone()).await;
    assert_eq!(reply, json!({ "ok": true }));
    let reply = world.call("conversations.leave", args).await;
    assert_eq!(reply, json!({ "ok": true, "not_in_channel": true }));
    let channel = channel().0;
    let wanted = Body::LeaveChannel(client::LeaveChannel { channel });
    assert_eq!(world.asked(), [wanted.clone(), wanted]);
}

#[tokio::test]
async fn a_list_has_the_types_that_were_asked_for() {
    for (types, mine, names) in [
        ("", false, vec!["general"]),
        ("public_channel", false, vec!["general"]),
        ("private_channel", true, vec!["secret"]),
        (
            "public_channel,private_channel",
            false,
            vec!["general", "secret"],
        ),
        ("public_channel, mpim, im", false, vec!["general"]),
        ("im", true, vec![]),
    ] {
        let world = World::answering([Answer::Channels(client::ChannelPage {
            channels: vec![general(), secret()],
            next_cursor: "i1-5".into(),
        })]);
        let args = json!({
            "types": types, "limit": 2, "cursor": "i1-1", "exclude_archived": true,
        });
        let reply = world.call("conversations.list", args).await;
        let channels = reply["channels"].as_array().unwrap();
        let found: Vec<_> = channels
            .iter()
            .map(|c| c["name"].as_str().unwrap())
            .collect();
        assert_eq!(found, names, "{types}");
        assert_eq!(reply["response_metadata"], json!({ "next_cursor": "i1-5" }));
        let wanted = Body::ListChannels(client::ListChannels {
            mine,
            limit: 2,
            cursor: "i1-1".into(),
        });
        assert_eq!(world.asked(), [wanted]);
    }
    let world = World::answering([]);
    let reply = world
        .call("conversations.list", json!({ "types": "secret" }))
        .await;
    assert_eq!(reply["error"], "invalid_arguments");
}

#[tokio::test]
async fn history_shows_threads_and_edits() {
    let root = client::Message {
        ts: 17_000_100,
        user: me().0,
        text: "root".into(),
        client_msg_id: vec![0xff, 0x01].into(),
        edited_ts: 18_000_000,
        reply_count: 2,
        latest_reply_ts: 20_000_000,
        ..client::Message::default()
    };
    let world = World::answering([Answer::Messages(client::MessagePage {
        messages: vec![root],
        next_cursor: "t1-a".into(),
    })]);
    let args = json!({
        "channel": "C04000005", "oldest": "1.5", "latest": "30", "inclusive": true,
        "limit": 1, "cursor": "t1-b",
    });
    let reply = world.call("conversations.history", args).await;
    let wanted = Body::ReadHistory(client::ReadHistory {
        channel: channel().0,
        oldest_ts: 1_500_000,
        latest_ts: 30_000_000,
        inclusive: true,
        oldest_first: false,
        with_replies: false,
        limit: 1,
        cursor: "t1-b".into(),
    });
    assert_eq!(world.asked(), [wanted]);
    let message = json!({
        "type": "message", "user": "U04000007", "team": "T00000001", "text": "root",
        "ts": "17.000100", "thread_ts": "17.000100", "reply_count": 2,
        "latest_reply": "20.000000", "client_msg_id": "ff01",
        "edited": { "user": "U04000007", "ts": "18.000000" },
    });
    let wanted = json!({
        "ok": true, "messages": [message], "has_more": true,
        "response_metadata": { "next_cursor": "t1-a" },
    });
    assert_eq!(reply, wanted);
}

#[tokio::test]
async fn replies_name_their_root_and_end_with_an_empty_cursor() {
    let message = |ts, thread_ts| client::Message {
        ts,
        thread_ts,
        user: me().0,
        ..client::Message::default()
    };
    let world = World::answering([Answer::Messages(client::MessagePage {
        messages: vec![message(17_000_100, 0), message(18_000_000, 17_000_100)],
        next_cursor: String::new(),
    })]);
    let reply = world.get("conversations.replies?channel=C04000005&ts=17.000100&limit=9");
    let reply = reply.await.json();
    let wanted = Body::ReadReplies(client::ReadReplies {
        channel: channel().0,
        thread_ts: 17_000_100,
        limit: 9,
        cursor: String::new(),
    });
    assert_eq!(world.asked(), [wanted]);
    assert_eq!(reply["messages"][0].get("thread_ts"), None);
    assert_eq!(reply["messages"][1]["thread_ts"], "17.000100");
    assert_eq!(reply["has_more"], false);
    assert_eq!(reply["response_metadata"]["next_cursor"], "");
}

#[tokio::test]
async fn members_are_ids() {
    let world = World::answering([Answer::Members(client::MemberPage {
        users: vec![me().0, UserId::new(WorkspaceId(1), 8).0],
        next_cursor: String::new(),
    })]);
    let reply = world
        .get("conversations.members?channel=C04000005")
        .await
        .json();
    let wanted = json!({
        "ok": true, "members": ["U04000007", "U04000008"],
        "response_metadata": { "next_cursor": "" },
    });
    assert_eq!(reply, wanted);
    let wanted = Body::ListMembers(client::ListMembers {
        channel: channel().0,
        ..client::ListMembers::default()
    });
    assert_eq!(world.asked(), [wanted]);
}

#[tokio::test]
async fn a_mark_is_put_at_the_newest_message_that_is_not_newer() {
    let page = |seqs: &[u64], next_cursor: &str| {
        let message = |&seq| client::Message {
            seq,
            ..client::Message::default()
        };
        Answer::Messages(client::MessagePage {
            messages: seqs.iter().map(message).collect(),
            next_cursor: next_cursor.into(),
        })
    };
    let read = |cursor: &str| {
        Body::ReadHistory(client::ReadHistory {
            channel: channel().0,
            latest_ts: 17_000_100,
            inclusive: true,
            with_replies: true,
            limit: 1,
            cursor: cursor.into(),
            ..client::ReadHistory::default()
        })
    };
    let mark = |seq| {
        let channel = channel().0;
        Body::MarkRead(client::MarkRead { channel, seq })
    };
    let done = || Answer::Done(client::Done {});
    for (answers, asked) in [
        (vec![page(&[9], "t1-1"), done()], vec![read(""), mark(9)]),
        (vec![page(&[], ""), done()], vec![read(""), mark(0)]),
        (
            vec![page(&[], "t1-1"), page(&[4], ""), done()],
            vec![read(""), read("t1-1"), mark(4)],
        ),
    ] {
        let world = World::answering(answers);
        let args = json!({ "channel": "C04000005", "ts": "17.000100" });
        let reply = world.call("conversations.mark", args).await;
        assert_eq!(reply, json!({ "ok": true }));
        assert_eq!(world.asked(), asked);
    }
}
