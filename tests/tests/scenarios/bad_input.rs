//! Hostile and broken input: refused with a typed error, counted, and the node
//! lives on.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use causeway_client::endpoint;
use causeway_protocol::client::{self, request, response, set_channel::Field};
use causeway_protocol::frame;
use causeway_protocol::limits::CLIENT_FRAME_BYTES_MAX;
use causeway_transport::tls;
use quinn::Connection;

use crate::raw::{ask, code, connect, hello, let_in, send_raw};
use crate::web_api::{call, exchange};
use crate::world::{Running, Site, causeway};

fn message(channel: u64, text: &str) -> request::Body {
    request::Body::SendMessage(client::SendMessage {
        channel,
        client_msg_id: Bytes::from_static(b"id"),
        text: text.into(),
        thread_ts: 0,
    })
}

/// How often a code was refused, as the edge node counts.
async fn refused(world: &Running, code: &str) -> u64 {
    let node = world.node("nyc-1");
    let request = b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let metrics = exchange(world, node.http, request).await;
    let label = format!("causeway_edge_refused_total{{code=\"{code}\"}} ");
    let line = metrics.lines().find_map(|line| line.strip_prefix(&label));
    line.and_then(|count| count.parse().ok()).unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_comes_in_is_refused_with_its_code_and_the_node_lives_on() {
    let site = Site::new();
    let world = site.start(&[]);
    let pids: Vec<u32> = world.world.nodes.iter().map(|n| n.pid).collect();

    garbage_datagrams(&world).await;
    strangers(&world).await;
    broken_requests(&world).await;
    forbidden_requests(&world).await;
    ten_thousand_streams(&world).await;
    odd_http(&world).await;

    for pid in pids {
        assert!(std::path::Path::new(&format!("/proc/{pid}")).exists());
    }
    let (connection, boot) = let_in(&world, "nyc-1", "harbor").await;
    let sent = ask(&connection, message(boot.channels[0].id, "still here")).await;
    assert!(matches!(sent.result, Some(response::Result::Sent(_))));
}

async fn garbage_datagrams(world: &Running) {
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0")
        .await
        .expect("a socket");
    for node in &world.world.nodes {
        for address in [Some(node.backbone), node.client].into_iter().flatten() {
            for n in 0..500usize {
                let garbage: Vec<u8> = (0..n * 2)
                    .map(|i| (i * 31 + n * 7).to_le_bytes()[0])
                    .collect();
                // The kernel may refuse some: nobody promised otherwise.
                let _ = socket.send_to(&garbage, address).await;
            }
        }
    }
}

async fn strangers(world: &Running) {
    let early = connect(world, "nyc-1").await;
    let answer = ask(&early, message(1, "no hello")).await;
    assert_eq!(code(&answer), "not_authed");

    let before = refused(world, "invalid_auth").await;
    for token in ["", "x", "a.b.c", &"y".repeat(10_000)] {
        let connection = connect(world, "nyc-1").await;
        assert_eq!(code(&hello(&connection, token).await), "invalid_auth");
    }
    assert_eq!(refused(world, "invalid_auth").await, before + 4);

    // A connection of the client plane opens no door to the backbone.
    let roots = world.world.roots().expect("roots");
    let mut tls = tls::https_client(&roots).expect("TLS");
    tls.alpn_protocols = vec![tls::BACKBONE_ALPN.to_vec()];
    let tls = quinn::crypto::rustls::QuicClientConfig::try_from(tls).expect("QUIC");
    let endpoint = endpoint(([127, 0, 0, 1], 0).into(), None).expect("an endpoint");
    let config = quinn::ClientConfig::new(Arc::new(tls));
    let address = world.node("us-east-1").backbone;
    let connecting = endpoint.connect_with(config, address, tls::NODE_SERVER_NAME);
    // Without a certificate the handshake fails, or the connection does at once.
    if let Ok(connection) = connecting.expect("valid").await {
        connection.closed().await;
    }
}

async fn broken_requests(world: &Running) {
    let (connection, _) = let_in(world, "nyc-1", "harbor").await;
    let too_large = u32::try_from(CLIENT_FRAME_BYTES_MAX + 1).expect("small");
    assert_eq!(
        code(&send_raw(&connection, &too_large.to_be_bytes()).await),
        "too_large"
    );
    let huge = [0xff; 64];
    assert_eq!(code(&send_raw(&connection, &huge).await), "too_large");
    let broken = [0, 0, 0, 4, 0xff, 0xff, 0xff, 0xff];
    assert_eq!(code(&send_raw(&connection, &broken).await), "malformed");
    assert_eq!(
        code(&send_raw(&connection, &[0, 0, 0, 9, 1]).await),
        "malformed"
    );
    assert_eq!(code(&send_raw(&connection, &[]).await), "malformed");
    assert_eq!(
        code(&send_raw(&connection, &[0, 0, 0, 0]).await),
        "unknown_method"
    );
    for code in ["too_large", "malformed", "unknown_method"] {
        assert!(refused(world, code).await >= 1, "{code} is not counted");
    }
    // The connection is none the worse for it.
    let pong = ask(&connection, request::Body::Ping(client::Ping {})).await;
    assert!(matches!(pong.result, Some(response::Result::Pong(_))));
}

async fn forbidden_requests(world: &Running) {
    let (connection, boot) = let_in(world, "nyc-1", "harbor").await;
    let (_, foreign) = let_in(world, "nyc-1", "sakura").await;
    let own = boot.channels[0].id;
    let theirs = foreign.channels[0].id;
    assert_eq!(
        code(&ask(&connection, message(theirs, "hi")).await),
        "channel_not_found"
    );
    let read = request::Body::ReadHistory(client::ReadHistory {
        channel: theirs,
        ..client::ReadHistory::default()
    });
    assert_eq!(code(&ask(&connection, read).await), "channel_not_found");
    assert_eq!(
        code(&ask(&connection, message(u64::MAX, "hi")).await),
        "channel_not_found"
    );
    assert_eq!(code(&ask(&connection, message(own, "")).await), "no_text");
    let long = "海".repeat(40_001);
    assert_eq!(
        code(&ask(&connection, message(own, &long)).await),
        "msg_too_long"
    );
    let longest = "海".repeat(40_000);
    let sent = ask(&connection, message(own, &longest)).await;
    assert!(matches!(sent.result, Some(response::Result::Sent(_))));
    claim_to_know_better(&connection).await;
    post_after_a_kick(world).await;
}

/// Whoever was removed does not go on by making up a change, also at the edge node that
/// has seen them join.
async fn post_after_a_kick(world: &Running) {
    // Far from home, where another replica takes changes of metadata than the leader.
    let (ada, _) = let_in(world, "nrt-1", "harbor").await;
    let ben = connect(world, "nrt-1").await;
    let welcomed = hello(&ben, &world.workspace("harbor").users[1].token).await;
    let Some(response::Result::Welcome(welcome)) = welcomed.result else {
        panic!("not welcome: {welcomed:?}");
    };
    let user = welcome
        .boot
        .and_then(|boot| boot.self_)
        .expect("boot data")
        .id;
    let create = request::Body::CreateChannel(client::CreateChannel {
        name: "by-invitation".into(),
        ..client::CreateChannel::default()
    });
    let created = ask(&ada, create).await;
    let Some(response::Result::Channel(channel)) = created.result else {
        panic!("not created: {created:?}");
    };
    let channel = channel.id;
    let joined = ask(
        &ben,
        request::Body::JoinChannel(client::JoinChannel { channel }),
    )
    .await;
    assert_eq!(code(&joined), "no error");
    let kick = request::Body::KickMember(client::KickMember { channel, user });
    let kicked = knowing(&ada, joined.wrote, kick).await;
    assert_eq!(code(&kicked), "no error");
    let send = |id: &'static [u8]| {
        request::Body::SendMessage(client::SendMessage {
            channel,
            client_msg_id: Bytes::from_static(id),
            text: "still here".into(),
            thread_ts: 0,
        })
    };
    // The leader waits until it knows, and says so if that takes long.
    let mut honest = "unavailable".to_owned();
    for _ in 0..20 {
        let sent = knowing(&ben, kicked.wrote.clone(), send(b"1")).await;
        honest = code(&sent).to_owned();
        if honest != "unavailable" {
            break;
        }
    }
    assert_eq!(honest, "not_in_channel");
    let forged = knowing(&ben, of_later(&kicked.wrote), send(b"2")).await;
    let forged = code(&forged);
    assert!(
        ["not_in_channel", "unavailable"].contains(&forged),
        "{forged}"
    );
}

async fn knowing(connection: &Connection, wrote: Bytes, body: request::Body) -> client::Response {
    let request = client::Request {
        body: Some(body),
        wrote,
        ..client::Request::default()
    };
    send_raw(connection, &frame::encode(&request)).await
}

/// The same replica's, and a number that it has not come to.
fn of_later(wrote: &[u8]) -> Bytes {
    [wrote, &[0x10, 0xc0, 0x84, 0x3d]].concat().into()
}

/// Nobody writes in an archived channel by making up a change that the leader has yet
/// to hear of.
async fn claim_to_know_better(connection: &Connection) {
    let create = request::Body::CreateChannel(client::CreateChannel {
        name: "over".into(),
        ..client::CreateChannel::default()
    });
    let created = ask(connection, create).await;
    let Some(response::Result::Channel(channel)) = created.result else {
        panic!("not created: {created:?}");
    };
    let archive = request::Body::SetChannel(client::SetChannel {
        channel: channel.id,
        field: Some(Field::Archived(true)),
    });
    let archived = knowing(connection, created.wrote, archive).await;
    assert_eq!(code(&archived), "no error");
    let send = request::Body::SendMessage(client::SendMessage {
        channel: channel.id,
        client_msg_id: Bytes::from_static(b"and yet"),
        text: "and yet".into(),
        thread_ts: 0,
    });
    let refused = knowing(connection, of_later(&archived.wrote), send).await;
    let refused = code(&refused);
    assert!(
        ["is_archived", "unavailable"].contains(&refused),
        "{refused}"
    );
}

/// All at once: most wait for their turn, and all are answered.
async fn ten_thousand_streams(world: &Running) {
    let (connection, _) = let_in(world, "nyc-1", "harbor").await;
    let mut answers = tokio::task::JoinSet::new();
    for _ in 0..10_000 {
        let connection = connection.clone();
        answers.spawn(async move { ask(&connection, request::Body::Ping(client::Ping {})).await });
    }
    let all = async {
        let mut pongs = 0;
        while let Some(answer) = answers.join_next().await {
            let answer = answer.expect("no panic");
            pongs += u32::from(matches!(answer.result, Some(response::Result::Pong(_))));
        }
        pongs
    };
    let pongs = tokio::time::timeout(Duration::from_secs(60), all).await;
    assert_eq!(pongs.expect("in time"), 10_000);

    // Streams that are opened and left alone hold nobody else up.
    let (idle, _) = let_in(world, "nyc-1", "harbor").await;
    let mut open = Vec::new();
    for _ in 0..100 {
        let (mut send, recv) = idle.open_bi().await.expect("a stream");
        send.write_all(&[0]).await.expect("writable");
        open.push((send, recv));
    }
    let pong = ask(&idle, request::Body::Ping(client::Ping {})).await;
    assert!(matches!(pong.result, Some(response::Result::Pong(_))));
}

async fn odd_http(world: &Running) {
    let node = world.node("nyc-1");
    for request in ["\0\0\0\0", "GET\r\n\r\n", "POST /api/ HTTP/9.9\r\n\r\n"] {
        exchange(world, node.http, request.as_bytes()).await;
    }
    let token = &world.workspace("harbor").users[0].token;
    let unknown = call(world, "nyc", token, "no.such.method", "").await;
    assert_eq!(unknown["error"], "unknown_method");
    let forged = call(world, "nyc", &format!("{token}x"), "auth.test", "").await;
    assert_eq!(forged["error"], "invalid_auth");
}

#[test]
fn a_typo_in_a_configuration_is_named_with_file_line_and_key() {
    let site = Site::new();
    let path = site.path("core.toml");
    std::fs::write(
        &path,
        "[node]\nname = \"a\"\nplace = \"us-east\"\nzoone = \"b\"\n",
    )
    .expect("writable");
    let run = causeway().args(["core", "--config"]).arg(&path).output();
    let output = run.expect("the binary runs");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    for part in ["core.toml", "line 4", "zoone"] {
        assert!(told.contains(part), "`{part}` is missing in: {told}");
    }
}

#[test]
fn a_missing_world_says_what_to_do() {
    let site = Site::new();
    let nowhere = site.path("world.json");
    let run = causeway()
        .args(["admin", "status", "--world"])
        .arg(&nowhere)
        .output();
    let told = run.expect("the binary runs").stderr;
    let told = String::from_utf8_lossy(&told);
    assert!(told.contains("./x dev"), "{told}");
}
