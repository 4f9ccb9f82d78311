//! The emulated network under real QUIC: what it delays, what it cuts.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway_protocol::backbone::PeerHello;
use causeway_protocol::{Method, NodeId};
use causeway_transport::backbone::{Backbone, BackboneConfig, CallError, Services};
use causeway_transport::ca::Authority;
use causeway_transport::endpoint::Liveness;
use causeway_transport::tls::{Credentials, PeerIdentity, Role, Roots};
use causeway_transport::wan::{self, Wan};
use tokio_util::sync::CancellationToken;

const NETWORK: &str = r#"
[[place]]
name = "here"
latitude = 0.0
longitude = 0.0
network = "127.66.1.0/24"
[[place]]
name = "there"
latitude = 0.0
longitude = 18.0
network = "127.66.2.0/24"
"#;

fn start(authority: &Authority, id: u64, listen: &str, wan: &Wan) -> Backbone {
    let identity = PeerIdentity {
        role: Role::Core,
        name: format!("node-{id}").parse().expect("valid"),
    };
    let config = BackboneConfig {
        listen: listen.parse::<SocketAddr>().expect("valid"),
        credentials: Credentials::from_pem(
            &authority.issue_node(&identity, 1).expect("a certificate"),
        )
        .expect("PEM"),
        roots: Roots::from_pem(&authority.pem().public).expect("PEM"),
        liveness: Liveness::BACKBONE,
        wan: Some(wan.clone()),
    };
    let hello = PeerHello {
        node_id: id,
        incarnation: 1,
        ..PeerHello::default()
    };
    let echo = Services::default().call(Method::Api, &[Role::Core], |_, body| async { Ok(body) });
    let backbone = Backbone::bind(&config, hello).expect("bound");
    backbone.serve(echo);
    backbone
}

async fn ping(from: &Backbone, timeout: Duration) -> Result<Duration, CallError> {
    let start = Instant::now();
    from.call(NodeId(2), Method::Api, Bytes::new(), timeout)
        .await?;
    Ok(start.elapsed())
}

#[tokio::test]
async fn calls_take_the_round_trip_and_a_cut_file_takes_effect_while_running() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("wan.toml");
    std::fs::write(&path, NETWORK).expect("writable");
    let wan = Wan::load(&path).expect("readable");
    let stop = CancellationToken::new();
    let watcher = tokio::spawn(wan.clone().watch(path.clone(), stop.clone()));

    let authority = Authority::new("test", 1).expect("an authority");
    let here = start(&authority, 1, "127.66.1.1:0", &wan);
    let there = start(&authority, 2, "127.66.2.1:0", &wan);
    here.set_address(NodeId(2), there.address().expect("an address"));
    let timeout = Duration::from_secs(10);
    ping(&here, timeout).await.expect("an answer");

    // 2,001 km: 28 ms and 1 ms. Never less; how much more is the machine's load.
    let round_trip = ping(&here, timeout).await.expect("an answer");
    assert!(round_trip >= Duration::from_millis(29), "{round_trip:?}");

    let mut config = wan::read(&path).expect("readable").config().clone();
    let (a, b) = (
        "here".parse().expect("valid"),
        "there".parse().expect("valid"),
    );
    let link = config.links.entry(a).or_default().entry(b).or_default();
    link.cut = Some(true);
    wan::write(&path, &config).expect("writable");
    // Until the change is seen, calls go on; after it, none gets through.
    while ping(&here, Duration::from_secs(1)).await.is_ok() {}
    assert!(ping(&here, Duration::from_secs(1)).await.is_err());

    stop.cancel();
    watcher.await.expect("no panic");
}

#[tokio::test]
async fn a_bad_file_is_named_with_line_and_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("wan.toml");
    std::fs::write(&path, "[every_link]\njiter_ms = 3\n").expect("writable");
    let error = Wan::load(&path).unwrap_err().to_string();
    for part in ["wan.toml", "line 2", "jiter_ms"] {
        assert!(error.contains(part), "{part} is missing in: {error}");
    }
}
