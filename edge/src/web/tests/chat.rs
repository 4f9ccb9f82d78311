//! Posting, changing and deleting.

use causeway_protocol::client::{self, request::Body, response::Result as Answer};
use causeway_protocol::{ApiError, ErrorCode};
use serde_json::{Value, json};

use super::{POSITION, World, channel, me};

fn sent(ts: u64) -> World {
    World::answering([Answer::Sent(client::Sent {
        seq: 9,
        ts,
        duplicate: false,
    })])
}

#[tokio::test]
async fn a_post_answers_with_the_message() {
    let world = sent(1_700_000_000_000_100);
    let args = json!({ "channel": "C04000005", "text": "hello", "client_msg_id": "id-1" });
    let reply = world.call("chat.postMessage", args).await;
    let wanted = Body::SendMessage(client::SendMessage {
        channel: channel().0,
        client_msg_id: "id-1".into(),
        text: "hello".into(),
        thread_ts: 0,
    });
    assert_eq!(world.asked(), [wanted]);
    let message = json!({
        "type": "message", "user": "U04000007", "team": "T00000001", "text": "hello",
        "ts": "1700000000.000100", "client_msg_id": "id-1",
    });
    let wanted = json!({
        "ok": true, "channel": "C04000005", "ts": "1700000000.000100", "message": message,
    });
    assert_eq!(reply, wanted);
}

#[tokio::test]
async fn a_reply_names_its_thread() {
    let world = sent(20_000_000);
    let args = json!({ "channel": "C04000005", "text": "yes", "thread_ts": "17.000100" });
    let reply = world.call("chat.postMessage", args).await;
    assert_eq!(reply["message"]["thread_ts"], "17.000100");
    let Body::SendMessage(send) = &world.asked()[0] else {
        panic!("not a message");
    };
    assert_eq!(send.thread_ts, 17_000_100);
}

#[tokio::test]
async fn a_message_without_an_id_is_given_one_that_differs() {
    let mut ids = Vec::new();
    for _ in 0..2 {
        let world = sent(20_000_000);
        let args = json!({ "channel": "C04000005", "text": "x" });
        let reply = world.call("chat.postMessage", args).await;
        let Body::SendMessage(send) = &world.asked()[0] else {
            panic!("not a message");
        };
        let id = String::from_utf8(send.client_msg_id.to_vec()).unwrap();
        assert_eq!(reply["message"]["client_msg_id"], id.as_str());
        assert_eq!(id.len(), 32);
        ids.push(id);
    }
    assert_ne!(ids[0], ids[1]);
}

/// Sends `other` under an id that was used before; `found` is what the cells
/// answer to the question after that message.
async fn send_again(found: Answer) -> (World, Value) {
    let duplicate = Answer::Sent(client::Sent {
        seq: 9,
        ts: 17_000_100,
        duplicate: true,
    });
    let world = World::answering([duplicate, found]);
    let args = json!({ "channel": "C04000005", "text": "other", "client_msg_id": "id-1" });
    let reply = world.call("chat.postMessage", args).await;
    (world, reply)
}

fn page(messages: Vec<client::Message>) -> Answer {
    Answer::Messages(client::MessagePage {
        messages,
        next_cursor: String::new(),
    })
}

#[tokio::test]
async fn a_resend_answers_with_what_is_stored() {
    let stored = client::Message {
        channel: channel().0,
        seq: 9,
        ts: 17_000_100,
        user: me().0,
        text: "first, corrected".into(),
        thread_ts: 16_000_000,
        client_msg_id: "id-1".into(),
        edited_ts: 18_000_000,
        ..client::Message::default()
    };
    let (world, reply) = send_again(page(vec![stored])).await;
    let message = json!({
        "type": "message", "user": "U04000007", "team": "T00000001",
        "text": "first, corrected", "ts": "17.000100", "thread_ts": "16.000000",
        "client_msg_id": "id-1", "edited": { "user": "U04000007", "ts": "18.000000" },
    });
    let wanted = json!({
        "ok": true, "channel": "C04000005", "ts": "17.000100", "message": message,
    });
    assert_eq!(reply, wanted);

    let wanted = Body::ReadHistory(client::ReadHistory {
        channel: channel().0,
        oldest_ts: 17_000_100,
        latest_ts: 17_000_100,
        inclusive: true,
        with_replies: true,
        limit: 1,
        ..client::ReadHistory::default()
    });
    assert_eq!(world.asked()[1..], [wanted]);
    // A replica that does not know the message yet would seem to have lost it.
    assert_eq!(*world.cells.min_positions.lock(), [0, POSITION]);
}

#[tokio::test]
async fn a_resend_of_what_was_deleted_since_answers_without_a_text() {
    let (_, reply) = send_again(page(vec![])).await;
    let message = json!({
        "type": "message", "subtype": "tombstone", "hidden": true, "user": "U04000007",
        "team": "T00000001", "text": "", "ts": "17.000100", "client_msg_id": "id-1",
    });
    let wanted = json!({
        "ok": true, "channel": "C04000005", "ts": "17.000100", "message": message,
    });
    assert_eq!(reply, wanted);
}

#[tokio::test]
async fn a_resend_from_outside_says_only_that_it_was_sent() {
    let refusal = ApiError::from(ErrorCode::ChannelNotFound).to_wire();
    let (_, reply) = send_again(Answer::Error(refusal)).await;
    let wanted = json!({ "ok": true, "channel": "C04000005", "ts": "17.000100" });
    assert_eq!(reply, wanted);
}

#[tokio::test]
async fn a_resend_whose_message_cannot_be_read_now_is_refused() {
    let refusal = ApiError::from(ErrorCode::Unavailable).to_wire();
    let (_, reply) = send_again(Answer::Error(refusal)).await;
    assert_eq!(reply["error"], "unavailable");
}

#[tokio::test]
async fn what_cannot_be_a_message_is_refused_at_once() {
    let world = World::answering([]);
    for (args, code) in [
        (json!({ "text": "x" }), "invalid_arguments"),
        (
            json!({ "channel": "#general", "text": "x" }),
            "channel_not_found",
        ),
        (
            json!({ "channel": "general", "text": "x" }),
            "channel_not_found",
        ),
        (
            json!({ "channel": "U04000007", "text": "x" }),
            "channel_not_found",
        ),
        (json!({ "channel": "C04000005" }), "no_text"),
        (json!({ "channel": "C04000005", "text": "" }), "no_text"),
        (
            json!({ "channel": "C04000005", "text": "x", "thread_ts": "0" }),
            "thread_not_found",
        ),
        (
            json!({ "channel": "C04000005", "text": "x", "thread_ts": "x" }),
            "thread_not_found",
        ),
    ] {
        let reply = world.call("chat.postMessage", args.clone()).await;
        assert_eq!(reply["error"], code, "{args}");
    }
    assert_eq!(world.asked(), []);
}

#[tokio::test]
async fn an_update_keeps_the_ts_and_says_when_it_was_edited() {
    let world = sent(20_000_000);
    let args = json!({ "channel": "C04000005", "ts": "17.000100", "text": "better" });
    let reply = world.call("chat.update", args).await;
    let wanted = Body::EditMessage(client::EditMessage {
        channel: channel().0,
        ts: 17_000_100,
        text: "better".into(),
    });
    assert_eq!(world.asked(), [wanted]);
    let message = json!({
        "type": "message", "user": "U04000007", "team": "T00000001", "text": "better",
        "ts": "17.000100", "edited": { "user": "U04000007", "ts": "20.000000" },
    });
    let wanted = json!({
        "ok": true, "channel": "C04000005", "ts": "17.000100", "text": "better",
        "message": message,
    });
    assert_eq!(reply, wanted);
}

#[tokio::test]
async fn a_deletion_names_what_was_deleted() {
    let world = sent(20_000_000);
    let heard = world
        .form("chat.delete", "channel=C04000005&ts=17.000100")
        .await;
    let wanted = Body::DeleteMessage(client::DeleteMessage {
        channel: channel().0,
        ts: 17_000_100,
    });
    assert_eq!(world.asked(), [wanted]);
    let wanted = json!({ "ok": true, "channel": "C04000005", "ts": "17.000100" });
    assert_eq!(heard.json(), wanted);
}

#[tokio::test]
async fn a_ts_that_names_nothing_finds_nothing() {
    let world = World::answering([]);
    for method in ["chat.update", "chat.delete"] {
        for ts in ["0", "abc", "1.0000001"] {
            let args = json!({ "channel": "C04000005", "ts": ts, "text": "x" });
            let reply = world.call(method, args).await;
            assert_eq!(reply["error"], "message_not_found", "{method} {ts}");
        }
        let reply = world
            .call(method, json!({ "channel": "C04000005", "text": "x" }))
            .await;
        assert_eq!(reply["error"], "invalid_arguments");
    }
    assert_eq!(world.asked(), []);
}

#[tokio::test]
async fn refusals_of_the_cells_keep_their_codes_and_are_counted() {
    for &code in ErrorCode::ALL {
        if code == ErrorCode::Ratelimited {
            continue;
        }
        let error = ApiError::new(code, "why");
        let refusals = [Ok(Answer::Error(error.to_wire())), Err(error)];
        for refused in refusals {
            let world = World::hearing([refused]);
            let heard = world.form("chat.delete", "channel=C04000005&ts=1.0").await;
            assert_eq!(heard.error(), code.as_str());
            assert_eq!(world.refusals.counts(), [(code.as_str(), 1)]);
        }
    }
}
