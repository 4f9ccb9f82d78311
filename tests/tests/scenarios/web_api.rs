//! The Web API over HTTPS, as an unchanged Slack client would use it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use causeway::world::WorldUser;
use causeway_transport::tls;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::raw::{code, connect, hello};
use crate::world::{PATIENCE, Running, Site};

/// One call, form-encoded.
pub async fn call(world: &Running, pop: &str, token: &str, method: &str, body: &str) -> Value {
    let node = world.node(&format!("{pop}-1"));
    let request = format!(
        "POST /api/{method} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {token}\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{body}",
        node.http,
        body.len()
    );
    let answer = exchange(world, node.http, request.as_bytes()).await;
    let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    serde_json::from_str(body).expect("JSON")
}

/// Sends bytes over TLS, and reads until the end.
pub async fn exchange(world: &Running, address: SocketAddr, request: &[u8]) -> String {
    let roots = world.world.roots().expect("roots");
    let connector = TlsConnector::from(Arc::new(tls::https_client(&roots).expect("TLS")));
    let stream = TcpStream::connect(address).await.expect("the edge listens");
    let name = ServerName::from(address.ip());
    let mut stream = connector.connect(name, stream).await.expect("a handshake");
    stream.write_all(request).await.expect("writable");
    let mut answer = Vec::new();
    // Some requests are cut off: what came before is the answer.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// A number of an edge node, as Prometheus reads it; by its name, and labels if any.
pub async fn number(world: &Running, edge: &str, name: &str) -> u64 {
    let request = b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let page = exchange(world, world.node(edge).http, request).await;
    let label = format!("{name} ");
    let line = page.lines().find_map(|line| line.strip_prefix(&label));
    let value = line.and_then(|value| value.trim().parse().ok());
    value.unwrap_or_else(|| panic!("`{name}` is missing in {page}"))
}

fn user<'a>(world: &'a Running, workspace: &str, name: &str) -> &'a WorldUser {
    let users = &world.workspace(workspace).users;
    users.iter().find(|user| user.name == name).expect("a user")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_over_http_reads_the_same_at_every_pop() {
    let site = Site::new();
    let world = site.start(&[]);
    let (ada, chen) = (
        user(&world, "harbor", "ada"),
        user(&world, "harbor", "chen"),
    );

    let test = call(&world, "nyc", &ada.token, "auth.test", "").await;
    assert_eq!(test["ok"], true);
    assert_eq!(test["user_id"], ada.id);

    let created = call(
        &world,
        "nyc",
        &ada.token,
        "conversations.create",
        "name=plans",
    )
    .await;
    let channel = created["channel"]["id"].as_str().expect("an id").to_owned();
    let with = |rest: &str| format!("channel={channel}&{rest}");
    let joined = call(&world, "nrt", &chen.token, "conversations.join", &with("")).await;
    assert_eq!(joined["ok"], true, "{joined}");
    let posted = call(
        &world,
        "nrt",
        &chen.token,
        "chat.postMessage",
        &with("text=first"),
    )
    .await;
    let ts = posted["ts"].as_str().expect("a ts").to_owned();
    let reply = with(&format!("text=reply&thread_ts={ts}"));
    let replied = call(&world, "nyc", &ada.token, "chat.postMessage", &reply).await;
    assert_eq!(replied["ok"], true, "{replied}");
    let edit = with(&format!("ts={ts}&text=first%2C+corrected"));
    let edited = call(&world, "nrt", &chen.token, "chat.update", &edit).await;
    assert_eq!(edited["ok"], true, "{edited}");

    // Whoever has not written reads from a replica that may be a moment behind;
    // whoever has reads their own writes at once.
    let history = call(
        &world,
        "nrt",
        &chen.token,
        "conversations.history",
        &with(""),
    )
    .await;
    let messages = history["messages"].as_array().expect("messages");
    assert_eq!(messages.len(), 1, "{history}");
    assert_eq!(messages[0]["text"], "first, corrected");
    assert_eq!(messages[0]["reply_count"], 1);
    let thread = with(&format!("ts={ts}"));
    let replies = call(&world, "nyc", &ada.token, "conversations.replies", &thread).await;
    assert_eq!(replies["messages"][1]["text"], "reply");

    let deleted = call(&world, "nrt", &chen.token, "chat.delete", &thread).await;
    assert_eq!(deleted["ok"], true, "{deleted}");
    let again = call(&world, "nrt", &chen.token, "chat.delete", &thread).await;
    assert_eq!(again["error"], "message_not_found");
    presence(&world, &chen.token).await;
}

/// Who calls the Web API is not online; who is connected somewhere is.
async fn presence(world: &Running, token: &str) {
    let presence = || call(world, "nyc", token, "users.getPresence", "");
    let seen = presence().await;
    let fields = (&seen["presence"], &seen["online"], &seen["manual_away"]);
    assert_eq!(fields, (&"away".into(), &false.into(), &false.into()));
    let connection = connect(world, "nrt-1").await;
    assert_eq!(code(&hello(&connection, token).await), "no error");
    let begun = Instant::now();
    while presence().await["online"] != true {
        assert!(begun.elapsed() < PATIENCE, "nobody notices");
    }
    assert_eq!(presence().await["presence"], "active");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workspace_that_was_made_by_hand_works_at_once() {
    let site = Site::new();
    let world = site.start(&[]);
    let create = ["admin", "workspace", "create", "acme", "--home", "eu-west"];
    let workspace = world.run(&create).trim().to_owned();
    assert_eq!(
        world.run(&create).trim(),
        workspace,
        "again changes nothing"
    );
    let ivy = ["admin", "user", "create", "ivy", "--workspace", &workspace];
    let ivy = world.run(&ivy).trim().to_owned();
    let token = world
        .run(&["admin", "token", "issue", &ivy])
        .trim()
        .to_owned();
    let test = call(&world, "gru", &token, "auth.test", "").await;
    assert_eq!(test["team"], "acme", "{test}");

    let nowhere = world
        .command(&["admin", "workspace", "create", "lost", "--home", "mars"])
        .output()
        .expect("the binary runs");
    let told = String::from_utf8_lossy(&nowhere.stderr);
    assert!(
        !nowhere.status.success() && told.contains("region_not_found"),
        "{told}"
    );
}
