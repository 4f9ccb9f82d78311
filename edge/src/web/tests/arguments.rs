//! Every form in which arguments may come.

use causeway_protocol::client::{self, request::Body, response::Result as Answer};
use serde_json::{Value, json};

use super::{World, channel};

fn history(body: &Body) -> &client::ReadHistory {
    match body {
        Body::ReadHistory(read) => read,
        body => panic!("{body:?}"),
    }
}

fn sends() -> World {
    World::answering([Answer::Sent(client::Sent {
        ts: 17_000_100,
        ..client::Sent::default()
    })])
}

fn page() -> Answer {
    Answer::Messages(client::MessagePage::default())
}

#[tokio::test]
async fn query_form_and_json_say_the_same() {
    let mut asked = Vec::new();
    let form = "channel=C04000005&text=a%20%26+b%F0%9F%91%8B&client_msg_id=x&thread_ts=17.5";
    for get in [true, false] {
        let world = sends();
        let heard = match get {
            true => world.get(&format!("chat.postMessage?{form}")).await,
            false => world.form("chat.postMessage", form).await,
        };
        assert_eq!(heard.json()["ok"], true);
        asked.extend(world.asked());
    }
    let world = sends();
    let args = json!({
        "channel": "C04000005", "text": "a & b👋", "client_msg_id": "x", "thread_ts": 17.5,
        "blocks": [{ "type": "divider" }], "metadata": { "a": [1] }, "icon_url": null,
    });
    assert_eq!(world.call("chat.postMessage", args).await["ok"], true);
    asked.extend(world.asked());
    let wanted = Body::SendMessage(client::SendMessage {
        channel: channel().0,
        client_msg_id: "x".into(),
        text: "a & b👋".into(),
        thread_ts: 17_500_000,
    });
    assert_eq!(asked, [wanted.clone(), wanted.clone(), wanted]);
}

#[tokio::test]
async fn the_body_has_precedence_over_the_query_and_the_last_over_the_first() {
    let world = World::answering([page()]);
    let path = "conversations.history?channel=C04000006&limit=3";
    let form = "channel=C04000007&channel=C04000005";
    let kind = "application/x-www-form-urlencoded";
    assert_eq!(world.post(path, kind, form).await.json()["ok"], true);
    let asked = world.asked();
    assert_eq!(history(&asked[0]).channel, channel().0);
    assert_eq!(history(&asked[0]).limit, 3);
}

#[tokio::test]
async fn a_post_without_a_body_has_the_arguments_of_its_query() {
    for kind in ["application/json", "text/plain", ""] {
        let world = World::answering([page()]);
        let path = "conversations.history?channel=C04000005";
        assert_eq!(world.post(path, kind, "").await.json()["ok"], true);
    }
}

#[tokio::test]
async fn bounds_of_history_may_be_numbers_and_finer_than_microseconds() {
    for (oldest, micros) in [
        (json!("0"), 0),
        (json!(""), 0),
        (json!(null), 0),
        (json!(1_700_000_000), 1_700_000_000_000_000),
        (json!("1700000000.000100"), 1_700_000_000_000_100),
        (json!("1700000000.1234567"), 1_700_000_000_123_456),
        (json!(1_700_000_000.25), 1_700_000_000_250_000),
    ] {
        let world = World::answering([page()]);
        let args = json!({ "channel": "C04000005", "oldest": oldest });
        world.call("conversations.history", args).await;
        assert_eq!(history(&world.asked()[0]).oldest_ts, micros, "{oldest}");
    }
    for oldest in [
        "-1",
        "yesterday",
        "1.2.3",
        "1.1234567x",
        "17.é2345678",
        "1e9",
    ] {
        let world = World::answering([]);
        let args = json!({ "channel": "C04000005", "oldest": oldest });
        let reply = world.call("conversations.history", args).await;
        assert_eq!(reply["error"], "invalid_arguments", "{oldest}");
    }
}

#[tokio::test]
async fn flags_and_limits_have_the_forms_that_sdks_send() {
    for (text, wanted) in [("1", true), ("True", true), ("0", false), ("false", false)] {
        let world = World::answering([page()]);
        let form = format!("channel=C04000005&inclusive={text}");
        world.form("conversations.history", &form).await;
        assert_eq!(history(&world.asked()[0]).inclusive, wanted);
    }
    for (text, wanted) in [
        ("", 0),
        ("0", 0),
        ("7", 7),
        ("1001", 1_000),
        ("99999999999", 1_000),
    ] {
        let world = World::answering([page()]);
        let form = format!("channel=C04000005&limit={text}");
        world.form("conversations.history", &form).await;
        assert_eq!(history(&world.asked()[0]).limit, wanted);
    }
    for wrong in ["inclusive=maybe", "limit=-1", "limit=ten", "limit=1.5"] {
        let world = World::answering([]);
        let form = format!("channel=C04000005&{wrong}");
        let heard = world.form("conversations.history", &form).await;
        assert_eq!(heard.error(), "invalid_arguments");
    }
}

#[tokio::test]
async fn a_refused_argument_is_named() {
    let world = World::answering([]);
    let reply = world.call("conversations.history", json!({})).await;
    let wanted = json!({
        "ok": false,
        "error": "invalid_arguments",
        "response_metadata": { "messages": ["[ERROR] missing required field: channel"] },
    });
    assert_eq!(reply, wanted);
    let args = json!({ "channel": "C04000005", "text": ["a", "list"] });
    let reply = world.call("chat.postMessage", args).await;
    assert_eq!(reply["error"], "invalid_arguments");
    assert_eq!(world.asked(), []);
}

#[tokio::test]
async fn malformed_bodies_are_refused() {
    let world = World::answering([]);
    for (kind, body) in [
        ("application/json", "{"),
        ("application/json", "[]"),
        ("application/json", "\"text\""),
        ("application/json", "{} {}"),
        ("application/json", "{\"text\":\"\\ud800\"}"),
        ("text/plain", "channel=C04000005"),
        ("multipart/form-data; boundary=x", "--x--"),
        ("", "channel=C04000005"),
    ] {
        let heard = world.post("users.list", kind, body).await;
        assert_eq!(heard.error(), "invalid_arguments", "{kind} {body}");
    }
    let deep = "[".repeat(100_000);
    let heard = world
        .post("users.list", "application/json", format!("{{\"a\":{deep}"))
        .await;
    assert_eq!(heard.error(), "invalid_arguments");
    assert_eq!(world.asked(), []);
}

#[tokio::test]
async fn there_may_be_no_more_arguments_than_a_method_could_have() {
    let form = |count: usize| {
        let pairs = (0..count).map(|i| format!("a{i}=1"));
        pairs.collect::<Vec<_>>().join("&")
    };
    let world = World::answering([]);
    assert_eq!(world.form("api.test", &form(64)).await.json()["ok"], true);
    let heard = world.form("api.test", &form(65)).await;
    assert_eq!(heard.error(), "invalid_arguments");
    let heard = world.get(&format!("api.test?{}", form(65))).await;
    assert_eq!(heard.error(), "invalid_arguments");
}

#[tokio::test]
async fn objects_that_no_method_reads_may_be_as_large_as_they_like() {
    let many: Value = (0..1_000).map(|n| (n.to_string(), json!("x"))).collect();
    for blocks in [json!({ "a": { "b": many } }), json!([many]), many.clone()] {
        let world = sends();
        let args = json!({ "channel": "C04000005", "text": "x", "blocks": blocks });
        let reply = world.call("chat.postMessage", args).await;
        assert_eq!(reply["ok"], true);
    }
}

#[tokio::test]
async fn api_test_echoes_but_no_token() {
    let world = World::answering([]);
    let heard = world.form("api.test", "foo=bar&token=secret").await;
    assert_eq!(
        heard.json(),
        json!({ "ok": true, "args": { "foo": "bar" } })
    );
    let reply = world
        .call(
            "api.test",
            json!({ "error": "my_error", "token": "secret" }),
        )
        .await;
    let args = json!({ "error": "my_error" });
    assert_eq!(
        reply,
        json!({ "ok": false, "error": "my_error", "args": args })
    );
    assert_eq!(world.refusals.counts(), []);
}
