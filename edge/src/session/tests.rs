//! How connections of the native client plane end when the node stops, and what
//! stays of a session that never ran.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use causeway_gossip::member::MemberInfo;
use causeway_gossip::service::Inbox;
use causeway_gossip::swim::Timings;
use causeway_gossip::sync::SharedRoutes;
use causeway_gossip::{Gossip, GossipConfig, Router};
use causeway_protocol::backbone::PeerHello;
use causeway_protocol::client::{self, request, response};
use causeway_protocol::limits::SERVER_FRAME_BYTES_MAX;
use causeway_protocol::token::Verifier;
use causeway_protocol::{CellId, NodeId, UserId, WorkspaceId, frame};
use causeway_transport::backbone::{Backbone, BackboneConfig};
use causeway_transport::ca::{Authority, token_keys};
use causeway_transport::endpoint::{self, Liveness, Streams};
use causeway_transport::stream::FrameReader;
use causeway_transport::tls::{self, Credentials, PeerIdentity, Role, Roots};
use quinn::{ConnectionError, Endpoint, VarInt};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::beginning::Beginning;
use super::facts::Versions;
use super::native::{self, close};
use super::topics::Topics;
use super::{Sessions, Upstream};
use crate::events::Events;
use crate::feeds::Feeds;
use crate::flannel::source::Cells;
use crate::flannel::{Flannel, FlannelConfig};
use crate::gate::Gate;
use crate::hub::Hubs;

/// Far below every timeout of a connection.
const AT_ONCE: Duration = Duration::from_secs(5);
const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// Sessions of an edge node that reaches no cell.
fn sessions(authority: &Authority) -> Arc<Sessions> {
    let identity = PeerIdentity {
        role: Role::Edge,
        name: "fra-edge-1".parse().unwrap(),
    };
    let pem = authority.issue_node(&identity, 1).unwrap();
    let config = BackboneConfig {
        listen: (HERE, 0).into(),
        credentials: Credentials::from_pem(&pem).unwrap(),
        roots: Roots::from_pem(&authority.pem().public).unwrap(),
        liveness: Liveness::BACKBONE,
        wan: None,
    };
    let hello = PeerHello {
        node_id: 1,
        ..PeerHello::default()
    };
    let backbone = Backbone::bind(&config, hello).unwrap();
    let router = Router::new(backbone.clone(), SharedRoutes::default());
    let (hubs, _tasks) = Hubs::new();
    let events = Events::new(hubs.clone(), &backbone);
    let (gossip, _task) = Gossip::new(alone(&identity), backbone, Inbox::default());
    let feeds = Feeds::new(hubs.clone());
    let gate = Gate::new(gossip, router.clone());
    let upstream = Upstream::new(router);
    let cells = Cells {
        upstream: upstream.clone(),
        feeds: feeds.clone(),
        gate: gate.clone(),
    };
    let config = FlannelConfig::default();
    Arc::new(Sessions {
        flannel: Flannel::new(cells, hubs.clone(), NodeId(1), config),
        gate,
        upstream,
        verifier: Verifier::from_pems([token_keys().unwrap().public]).unwrap(),
        hubs,
        feeds,
        events,
        edge: identity.name,
        pop: "fra".parse().unwrap(),
        refusals: Arc::default(),
    })
}

/// How a node with nobody to talk to gossips.
fn alone(identity: &PeerIdentity) -> GossipConfig {
    GossipConfig {
        me: MemberInfo {
            node: NodeId(1),
            incarnation: 1,
            name: identity.name.clone(),
            role: causeway_gossip::Role::Edge,
            place: "fra".parse().unwrap(),
            zone: "fra".parse().unwrap(),
            backbone: (HERE, 1).into(),
            client: None,
            http: None,
            version: String::new(),
        },
        seeds: Vec::new(),
        timings: Timings::default(),
    }
}

/// The native client plane on loopback, and a client that trusts it.
struct Plane {
    endpoint: Endpoint,
    client: Endpoint,
    config: quinn::ClientConfig,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl Plane {
    fn serve() -> Self {
        let authority = Authority::new("test", 1).unwrap();
        let pem = authority.issue_server(&[], &[HERE.into()], 1).unwrap();
        let server = tls::client_plane_server(&Credentials::from_pem(&pem).unwrap()).unwrap();
        let transport = endpoint::client_transport(Liveness::CLIENT_PLANE, Streams::EDGE);
        let server = endpoint::server_config(server, transport);
        let endpoint = endpoint::bind((HERE, 0).into(), Some(server), None).unwrap();

        let roots = Roots::from_pem(&authority.pem().public).unwrap();
        let client = tls::client_plane_client(&roots).unwrap();
        let mut config = quinn::ClientConfig::new(Arc::new(client));
        let transport = endpoint::client_transport(Liveness::CLIENT_PLANE, Streams::CLIENT);
        config.transport_config(Arc::new(transport));

        let stop = CancellationToken::new();
        let serving = native::serve(endpoint.clone(), sessions(&authority), stop.clone());
        Self {
            endpoint,
            client: endpoint::bind((HERE, 0).into(), None, None).unwrap(),
            config,
            stop,
            serving: tokio::spawn(serving),
        }
    }

    async fn connect(&self) -> quinn::Connection {
        let address = self.endpoint.local_addr().unwrap();
        let connecting =
            self.client
                .connect_with(self.config.clone(), address, &address.ip().to_string());
        connecting.unwrap().await.unwrap()
    }

    async fn stops_at_once(self) {
        self.stop.cancel();
        timeout(AT_ONCE, self.serving).await.unwrap().unwrap();
    }
}

/// Says hello with a token that is none, and hears so.
async fn be_refused(connection: &quinn::Connection) {
    let hello = client::Request {
        body: Some(request::Body::Hello(client::Hello::default())),
        ..client::Request::default()
    };
    let (mut send, recv) = connection.open_bi().await.unwrap();
    send.write_chunk(frame::encode(&hello)).await.unwrap();
    send.finish().unwrap();
    let mut reader = FrameReader::new(recv, SERVER_FRAME_BYTES_MAX);
    let answer: client::Response = reader.message().await.unwrap().unwrap();
    assert!(matches!(answer.result, Some(response::Result::Error(_))));
}

/// Begins a hello, and returns once the server has the connection for its own.
async fn say_half_a_hello(connection: &quinn::Connection) -> quinn::SendStream {
    let (mut hello, _) = connection.open_bi().await.unwrap();
    hello.write_all(&[0]).await.unwrap();
    // What comes after the handshake is acknowledged after the handshake.
    let (mut next, _) = connection.open_bi().await.unwrap();
    next.write_all(&[0]).await.unwrap();
    next.finish().unwrap();
    assert_eq!(next.stopped().await.unwrap(), None);
    hello
}

async fn assert_gone_away(connection: &quinn::Connection) {
    let closed = timeout(AT_ONCE, connection.closed()).await.unwrap();
    let ConnectionError::ApplicationClosed(closed) = closed else {
        panic!("{closed}");
    };
    assert_eq!(closed.error_code, VarInt::from_u32(close::GOING_AWAY));
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_handshake() {
    let plane = Plane::serve();
    // A client whose first packet arrives, and no other.
    let silent = UdpSocket::bind((HERE, 0)).await.unwrap();
    let address = silent.local_addr().unwrap();
    let connecting =
        plane
            .client
            .connect_with(plane.config.clone(), address, &address.ip().to_string());
    let _connecting = connecting.unwrap();
    let mut packet = [0; 2048];
    let length = silent.recv(&mut packet).await.unwrap();
    let server = plane.endpoint.local_addr().unwrap();
    silent.send_to(&packet[..length], server).await.unwrap();
    // The server has begun.
    silent.recv(&mut packet).await.unwrap();
    plane.stops_at_once().await;
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_hello() {
    let plane = Plane::serve();
    let connection = plane.connect().await;
    let _hello = say_half_a_hello(&connection).await;
    plane.stops_at_once().await;
    assert_gone_away(&connection).await;
}

#[tokio::test]
async fn a_stop_does_not_wait_for_the_refused_to_go() {
    let plane = Plane::serve();
    let connection = plane.connect().await;
    be_refused(&connection).await;
    plane.stops_at_once().await;
    assert_gone_away(&connection).await;
}

#[tokio::test]
async fn nothing_stays_of_a_session_that_never_ran() {
    let sessions = sessions(&Authority::new("test", 1).unwrap());
    let user = UserId::new(WorkspaceId(1), 7);
    let boot = client::BootData::default();
    let (topics, first) = Topics::start(user, &boot, &[]);
    let beginning = Beginning::new(&boot, false, first);
    let feed = (sessions.feeds).join(user.workspace(), CellId(1), &sessions.upstream);
    let session = sessions.join(user, CellId(1), feed, Versions::default(), (topics, beginning));
    assert_eq!(sessions.hubs.sessions(), 1);
    drop(session);
    assert_eq!(sessions.hubs.sessions(), 0);
}
