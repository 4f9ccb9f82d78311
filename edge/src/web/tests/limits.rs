//! What a caller may not do, and what may not go wrong even so.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body as HttpBody, Bytes};
use axum::http::{Request, StatusCode};
use causeway_protocol::client::{self, response::Result as Answer};
use causeway_protocol::{ApiError, ErrorCode};
use futures::stream;
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::advance;

use super::super::BODY_BYTES_MAX;
use super::super::methods::METHODS;
use super::World;
use crate::https::loopback::Loopback;
use crate::limits::{Limits, LimitsConfig, Rate};

const FORM: &str = "application/x-www-form-urlencoded";

/// Codes that Slack has and the native protocol has not, for what is malformed.
const SLACKS: &[&str] = &[
    "bad_timestamp",
    "invalid_name_required",
    "invalid_presence",
    "invalid_profile",
    "missing_duration",
    "no_item_specified",
    "no_user",
    "permission_denied",
];

#[tokio::test]
async fn a_body_has_up_to_a_mebibyte() {
    let world = World::answering([]);
    let full = format!("a={}", "x".repeat(BODY_BYTES_MAX - 2));
    assert_eq!(world.form("api.test", &full).await.json()["ok"], true);
    let over = format!("{full}x");
    for kind in [FORM, "application/json"] {
        let heard = world.post("chat.postMessage", kind, over.clone()).await;
        assert_eq!(heard.error(), "too_large");
        // No length is announced.
        let chunks = [over.clone(), "x".into()].map(|s| Ok::<_, std::io::Error>(Bytes::from(s)));
        let body = HttpBody::from_stream(stream::iter(chunks));
        let heard = world.post("chat.postMessage", kind, body).await;
        assert_eq!(heard.error(), "too_large");
    }
}

#[tokio::test]
async fn who_sends_far_too_much_hears_so() {
    let world = World::answering([]);
    let site = Loopback::serve(world.app.clone()).await;
    let body = vec![b'x'; 5 * BODY_BYTES_MAX];
    for method in ["api.test", "users.list", "users.nothing"] {
        let head = format!(
            "POST /api/{method} HTTP/1.1\r\nhost: x\r\ncontent-type: {FORM}\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        );
        let mut client = site.connect().await;
        client.write_all(head.as_bytes()).await.unwrap();
        // All of it is taken from a client that does not listen meanwhile.
        client.write_all(&body).await.unwrap();
        client.flush().await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        let (_, json) = answer.split_once("\r\n\r\n").unwrap();
        let json: Value = serde_json::from_str(json).unwrap();
        let unknown = method == "users.nothing";
        let code = if unknown {
            "unknown_method"
        } else {
            "too_large"
        };
        assert_eq!(json["error"], code);
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_refused() {
    let world = World::answering([]);
    let chunks = [
        Ok(Bytes::from("channel=")),
        Err(std::io::Error::other("the caller hung up")),
    ];
    let body = HttpBody::from_stream(stream::iter(chunks));
    let heard = world.post("users.list", FORM, body).await;
    assert_eq!(heard.error(), "invalid_arguments");
}

#[tokio::test]
async fn unknown_methods_are_refused_with_200() {
    let world = World::answering([]);
    for name in [
        "users.nothing",
        "USERS.LIST",
        "users.list/",
        "a/b/c",
        "%ff",
        ".",
    ] {
        assert_eq!(world.get(name).await.error(), "unknown_method", "{name}");
        let heard = world.post(name, "application/json", "{").await;
        assert_eq!(heard.error(), "unknown_method", "{name}");
    }
    assert_eq!(world.asked(), []);
}

#[tokio::test(start_paused = true)]
async fn silent_cells_and_slow_bodies_are_given_up() {
    let world = World::answering([]);
    assert_eq!(world.get("users.list").await.error(), "unavailable");
    assert_eq!(world.asked().len(), 1);
    let never = HttpBody::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
    let heard = world.post("users.list", FORM, never).await;
    assert_eq!(heard.error(), "unavailable");
    assert_eq!(world.refusals.counts(), [("unavailable", 2)]);
}

#[tokio::test]
async fn who_asks_too_often_is_told_how_long_to_wait() {
    for (retry_after_ms, wait_s) in [(0, "1"), (1, "1"), (1_000, "1"), (1_001, "2")] {
        let world = World::hearing([Err(ApiError {
            retry_after_ms,
            ..ErrorCode::Ratelimited.into()
        })]);
        let heard = world.get("users.list").await;
        assert_eq!(heard.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(heard.headers["retry-after"], wait_s);
        let body: Value = serde_json::from_slice(&heard.body).unwrap();
        assert_eq!(body, json!({ "ok": false, "error": "ratelimited" }));
    }
}

#[tokio::test(start_paused = true)]
async fn a_user_who_calls_too_often_is_refused_and_heard_again_later() {
    let done = || Answer::Channel(client::Channel::default());
    let limits = LimitsConfig {
        requests_per_user: Rate::new(1, 2),
        ..LimitsConfig::default()
    };
    let world = World::limited([done(), done(), done()], limits);
    let call = || world.get("conversations.info?channel=C04000005");
    for _ in 0..2 {
        assert_eq!(call().await.json()["ok"], true);
    }
    let refused = call().await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers["retry-after"], "1");
    assert_eq!(world.asked().len(), 2, "the cells are left in peace");
    assert_eq!(world.refusals.counts(), [("ratelimited", 1)]);
    advance(Duration::from_secs(1)).await;
    assert_eq!(call().await.json()["ok"], true);
}

/// Also those who have no token are counted, and at last they are hung up on.
#[tokio::test(start_paused = true)]
async fn a_connection_that_does_not_stop_is_closed() {
    let limits = LimitsConfig {
        requests_per_connection: Rate::new(1, 1),
        ..LimitsConfig::default()
    };
    let meter = Arc::new(Limits::new(limits.clone()).meter());
    let world = World::limited([], limits);
    let call = || async {
        let mut request = Request::get("/api/users.list")
            .body(HttpBody::empty())
            .unwrap();
        request.extensions_mut().insert(Arc::clone(&meter));
        world.send(request).await
    };
    assert_eq!(call().await.error(), "not_authed");
    let mut refused = 1;
    loop {
        let heard = call().await;
        assert_eq!(heard.status, StatusCode::TOO_MANY_REQUESTS);
        if heard.headers.contains_key("connection") {
            break;
        }
        refused += 1;
    }
    assert_eq!(refused, 5_001);
}

#[tokio::test]
async fn an_answer_to_another_question_is_an_internal_error() {
    let args = "channel=C04000005&user=U04000007&users=U04000007&ts=1.0&timestamp=1.0&text=x\
                &name=x&value=x&topic=x&purpose=x&presence=auto&num_minutes=1&url=x";
    for method in METHODS {
        let world = World::answering([Answer::Pong(client::Pong {})]);
        let heard = world.form(method.name, args).await;
        assert_eq!(heard.error(), "internal_error", "{}", method.name);
    }
}

/// Names that methods read, so that garbage gets past the first check.
fn arguments() -> impl Strategy<Value = Value> {
    let name = prop::sample::select(vec![
        "channel",
        "text",
        "ts",
        "thread_ts",
        "oldest",
        "latest",
        "limit",
        "cursor",
        "types",
        "inclusive",
        "name",
        "is_private",
        "exclude_archived",
        "user",
        "users",
        "timestamp",
        "topic",
        "purpose",
        "profile",
        "value",
        "presence",
        "num_minutes",
        "force",
        "count",
        "page",
        "url",
        "client_msg_id",
        "token",
        "error",
    ]);
    let value = prop_oneof![
        any::<String>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(json!("C04000005")),
        Just(json!("17.000100")),
        Just(json!([{ "a": [null] }])),
        Just(json!({ "status_text": "x", "status_expiration": 1.5 })),
        Just(json!({ "fields": { "Xf1": { "value": "x" } }, "a": [null] })),
        Just(Value::Null),
        "[0-9]{0,14}[.]?[0-9é]{0,9}".prop_map(Value::from),
    ];
    prop::collection::hash_map(name, value, 0..8).prop_map(|args| {
        let args = args
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value));
        Value::Object(args.collect())
    })
}

/// Whatever comes in, one of our codes or Slack's goes out, and a node lives on.
fn answers_in_kind(path: &str, kind: &str, body: Vec<u8>) -> Result<(), TestCaseError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    let heard = runtime.unwrap().block_on(async {
        let world = World::hearing([Err(ErrorCode::Unavailable.into())]);
        world.post(path, kind, body).await
    });
    let json = heard.json();
    prop_assert!(json["ok"].is_boolean());
    if json["ok"] == false && json.get("args").is_none() {
        let code = json["error"].as_str().unwrap_or_default();
        let known = ErrorCode::from_wire(code).is_some() || SLACKS.contains(&code);
        prop_assert!(known, "{}", code);
        prop_assert_ne!(code, "internal_error");
    }
    Ok(())
}

fn any_method() -> impl Strategy<Value = &'static str> {
    let mut names: Vec<_> = METHODS.iter().map(|method| method.name).collect();
    names.push("api.test");
    prop::sample::select(names)
}

proptest! {
    #[test]
    fn garbage_is_answered(
        method in any_method(),
        query in "[a-z0-9&=%+.]{0,40}",
        json: bool,
        body: Vec<u8>,
    ) {
        let kind = if json { "application/json" } else { FORM };
        answers_in_kind(&format!("{method}?{query}"), kind, body)?;
    }

    #[test]
    fn garbage_in_arguments_is_answered(method in any_method(), args in arguments()) {
        answers_in_kind(method, "application/json", args.to_string().into_bytes())?;
    }
}
