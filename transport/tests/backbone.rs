//! Nodes on loopback: calls, roles, restarts, and what listeners are told.

use std::time::Duration;

use bytes::Bytes;
use causeway_protocol::backbone::PeerHello;
use causeway_protocol::{ErrorCode, Method, NodeId, frame};
use causeway_transport::backbone::{
    Backbone, BackboneConfig, CallError, Lanes, PeerEvent, Services,
};
use causeway_transport::ca::Authority;
use causeway_transport::endpoint::Liveness;
use causeway_transport::stream::FrameReader;
use causeway_transport::tls::{Credentials, PeerIdentity, Role, Roots};
use tokio::sync::broadcast::Receiver;
use tokio::sync::mpsc;

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
        self.start_with(Services::default(), id, role, incarnation, listen)
    }

    fn start_with(
        &self,
        services: Services,
        id: u64,
        role: Role,
        incarnation: u64,
        listen: &str,
    ) -> Backbone {
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
        let services = services.call(
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

/// A core node that hands out the frames which lanes bring.
fn taker(world: &World, id: u64, incarnation: u64) -> (Backbone, mpsc::Receiver<Bytes>) {
    let (frames, taken) = mpsc::channel(16);
    let take = move |_, mut recv: FrameReader| {
        let frames = frames.clone();
        async move {
            while let Ok(Some(frame)) = recv.next().await {
                frames.send(frame).await.expect("the test listens");
            }
        }
    };
    let services = Services::default().one_way(Method::Publish, &[Role::Core], take);
    let listen = "127.0.0.1:0";
    let node = world.start_with(services, id, Role::Core, incarnation, listen);
    (node, taken)
}

async fn next(taken: &mut mpsc::Receiver<Bytes>) -> String {
    let frame = tokio::time::timeout(TIMEOUT, taken.recv()).await;
    frame::decode(frame.expect("a frame in time").expect("open")).expect("a text")
}

/// What is sent after a node has come back arrives there, though the lane's stream is
/// part of a connection that is long gone.
#[tokio::test]
async fn a_lane_goes_on_over_the_next_connection() {
    let world = World::new();
    let a = world.core(1);
    let (b, mut taken) = taker(&world, 2, 1);
    introduce(&a, &b);
    let lanes = Lanes::new(a.clone(), Method::Publish);
    let send = |text: &str| lanes.send(NodeId(2), 7, frame::encode(&text.to_owned()));
    send("one");
    send("two");
    assert_eq!(next(&mut taken).await, "one");
    assert_eq!(next(&mut taken).await, "two");

    let mut events = a.events();
    b.close().await;
    assert_eq!(next_stopped(&mut events).await, NodeId(2));
    let (b, mut taken) = taker(&world, 2, 2);
    b.connect(a.address().expect("an address"))
        .await
        .expect("connected");
    send("three");
    assert_eq!(next(&mut taken).await, "three");
    assert_eq!(lanes.dropped(), 0);
}

/// What a node answers on a lane is heard from every stream that the lane opens.
#[tokio::test]
async fn a_lane_brings_answers_back() {
    let world = World::new();
    let a = world.core(1);
    let echo = |_, mut send: quinn::SendStream, mut recv: FrameReader| async move {
        while let Ok(Some(text)) = recv.message::<String>().await {
            let answer = frame::encode(&format!("{text}!"));
            send.write_chunk(answer).await.expect("the lane is there");
        }
    };
    let start = |incarnation| {
        let services = Services::default().stream(Method::MetadataShip, &[Role::Core], echo);
        world.start_with(services, 2, Role::Core, incarnation, "127.0.0.1:0")
    };
    let b = start(1);
    introduce(&a, &b);
    let (answers, mut heard) = mpsc::channel(16);
    let hear = move |node, mut recv: FrameReader| {
        let answers = answers.clone();
        tokio::spawn(async move {
            while let Ok(Some(answer)) = recv.message::<String>().await {
                answers
                    .send((node, answer))
                    .await
                    .expect("the test listens");
            }
        });
    };
    let lanes = Lanes::with_answers(a.clone(), Method::MetadataShip, hear);
    let mut events = a.events();
    lanes.send(NodeId(2), 7, frame::encode(&"one".to_owned()));
    assert_eq!(heard.recv().await, Some((NodeId(2), "one!".to_owned())));
    b.close().await;
    assert_eq!(next_stopped(&mut events).await, NodeId(2));
    let b = start(2);
    b.connect(a.address().expect("an address"))
        .await
        .expect("connected");
    lanes.send(NodeId(2), 7, frame::encode(&"two".to_owned()));
    assert_eq!(heard.recv().await, Some((NodeId(2), "two!".to_owned())));
}

#[tokio::test]
async fn a_node_without_an_address_is_out_of_reach() {
    let a = World::new().core(1);
    assert!(matches!(
        call(&a, NodeId(9)).await,
        Err(CallError::Unreachable { .. })
    ));
}
