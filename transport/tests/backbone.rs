//! Nodes on loopback: calls, roles, restarts, and what listeners are told.

use std::time::Duration;

use bytes::Bytes;
use causeway_protocol::backbone::PeerHello;
use causeway_protocol::{ErrorCode, Method, NodeId};
use causeway_transport::backbone::{Backbone, BackboneConfig, CallError, PeerEvent, Services};
use causeway_transport::ca::Authority;
use causeway_transport::endpoint::Liveness;
use causeway_transport::tls::{Credentials, PeerIdentity, Role, Roots};
use tokio::sync::broadcast::Receiver;

const TIMEOUT: Duration = Duration::from_secs(5);

struct World {
    authority: Authority,
}

impl World {
    fn new() -> Self {
        let authority = Authority::new("test", 1).expect("an authority");
        Self { authority }
    }

    fn start(&self, id: u64, role: Role, incarnation: u64, listen: &str) -> Backbone {
        let identity = PeerIdentity {
            role,
            name: format!("node-{id}").parse().expect("valid"),
        };
        let pem = self
            .authority
            .issue_node(&identity, 1)
            .expect("a certificate");
        let config = BackboneConfig {
            listen: listen.parse().expect("valid"),
            credentials: Credentials::from_pem(&pem).expect("PEM"),
            roots: Roots::from_pem(&self.authority.pem().public).expect("PEM"),
            liveness: Liveness::BACKBONE,
            wan: None,
        };
        let hello = PeerHello {
            node_id: id,
            incarnation,
            name: identity.name.to_string(),
            version: "test".into(),
            address: String::new(),
        };
        let services = Services::default().call(
            Method::Api,
            &[Role::Core, Role::Operator],
            move |peer, body: Bytes| async move {
                let text = format!("{}→{id}: {}", peer.node.0, String::from_utf8_lossy(&body));
                Ok(Bytes::from(text))
            },
        );
        let backbone = Backbone::bind(&config, hello).expect("bound");
        backbone.serve(services);
        backbone
    }

    fn core(&self, id: u64) -> Backbone {
        self.start(id, Role::Core, 1, "127.0.0.1:0")
    }
}

async fn call(from: &Backbone, to: NodeId) -> Result<String, CallError> {
    let answer = from
        .call(to, Method::Api, Bytes::from_static(b"hi"), TIMEOUT)
        .await?;
    Ok(String::from_utf8(answer.to_vec()).expect("UTF-8"))
}

async fn next_stopped(events: &mut Receiver<PeerEvent>) -> NodeId {
    loop {
        if let PeerEvent::Down { peer, stopping } = events.recv().await.expect("open") {
            assert!(stopping);
            return peer.node;
        }
    }
}

fn introduce(a: &Backbone, b: &Backbone) {
    a.set_address(b.node(), b.address().expect("an address"));
    b.set_address(a.node(), a.address().expect("an address"));
}

#[tokio::test]
async fn two_nodes_call_each_other_over_one_connection() {
    let world = World::new();
    let (a, b) = (world.core(1), world.core(2));
    introduce(&a, &b);
    let (there, back) = tokio::join!(call(&a, NodeId(2)), call(&b, NodeId(1)));
    assert_eq!(there.expect("an answer"), "1→2: hi");
    assert_eq!(back.expect("an answer"), "2→1: hi");
    assert_eq!((a.peers().len(), b.peers().len()), (1, 1));
    assert!(a.round_trip(NodeId(2)).is_some());
    a.close().await;
    b.close().await;
}

#[tokio::test]
async fn a_node_is_found_by_its_address_alone() {
    let world = World::new();
    let (a, b) = (world.core(1), world.core(2));
    let peer = a
        .connect(b.address().expect("an address"))
        .await
        .expect("connected");
    assert_eq!(peer.node, NodeId(2));
    assert_eq!(peer.identity.to_string(), "causeway://core/node-2");
    assert_eq!(call(&a, NodeId(2)).await.expect("an answer"), "1→2: hi");
    // The connection serves the other direction, too.
    assert_eq!(call(&b, NodeId(1)).await.expect("an answer"), "2→1: hi");
}

#[tokio::test]
async fn roles_and_unknown_methods_are_refused() {
    let world = World::new();
    let core = world.core(1);
    let edge = world.start(2, Role::Edge, 1, "127.0.0.1:0");
    edge.set_address(NodeId(1), core.address().expect("an address"));
    let Err(CallError::Refused(error)) = call(&edge, NodeId(1)).await else {
        panic!("an edge has called what only cores may");
    };
    assert_eq!(error.code, ErrorCode::UnknownMethod);

    let operator = world.start(3, Role::Operator, 1, "127.0.0.1:0");
    operator.set_address(NodeId(1), core.address().expect("an address"));
    assert_eq!(
        call(&operator, NodeId(1)).await.expect("an answer"),
        "3→1: hi"
    );
    // An operator's tool is no node: it does not show among the peers.
    assert!(core.peers().iter().all(|peer| peer.node != NodeId(3)));
}

#[tokio::test]
async fn a_stranger_gets_no_connection() {
    let (world, other) = (World::new(), World::new());
    let (a, stranger) = (world.core(1), other.core(2));
    stranger.set_address(NodeId(1), a.address().expect("an address"));
    assert!(matches!(
        call(&stranger, NodeId(1)).await,
        Err(CallError::Unreachable { .. })
    ));
    assert!(a.peers().is_empty());
}

#[tokio::test]
async fn a_stopped_peer_is_reported_at_once_and_known_again_after_its_restart() {
    let world = World::new();
    let (a, b) = (world.core(1), world.core(2));
    introduce(&a, &b);
    let mut events = a.events();
    call(&a, NodeId(2)).await.expect("an answer");
    b.close().await;
    assert_eq!(next_stopped(&mut events).await, NodeId(2));

    let b = world.start(2, Role::Core, 2, "127.0.0.1:0");
    let peer = b
        .connect(a.address().expect("an address"))
        .await
        .expect("connected");
    assert_eq!(peer.node, NodeId(1));
    assert_eq!(call(&a, NodeId(2)).await.expect("an answer"), "1→2: hi");
    assert_eq!(a.peers()[0].incarnation, 2);
}

#[tokio::test]
async fn a_node_without_an_address_is_out_of_reach() {
    let a = World::new().core(1);
    assert!(matches!(
        call(&a, NodeId(9)).await,
        Err(CallError::Unreachable { .. })
    ));
}
