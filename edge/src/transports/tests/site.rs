//! An edge node's client plane on loopback, and clients that trust it.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use causeway_client::connection::{Connection, Dialer, request};
use causeway_client::{ClientConfig, Pop};
use causeway_protocol::client::{self, request, response, server_frame};
use causeway_protocol::session::End;
use causeway_protocol::{ApiError, CloseCode};
use causeway_transport::Transport;
use causeway_transport::endpoint::{self, Liveness, Streams};
use causeway_transport::tls::{self, Roots, TlsError};
use quinn::Endpoint;
use quinn::crypto::rustls::QuicClientConfig;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::fixture::{HERE, Node};
use crate::https;
use crate::hub::Subscriber;
use crate::hub::machine::SessionId;
use crate::limits::LimitsConfig;
use crate::metrics::Doors;
use crate::transports::{listener, websocket};

/// Far below every timeout of a connection.
pub const AT_ONCE: Duration = Duration::from_secs(5);

/// TLS of a client's side.
type Tls = fn(&Roots) -> Result<QuicClientConfig, TlsError>;

/// An edge node that is being served.
pub struct Site {
    pub node: Node,
    pub pop: Pop,
    pub doors: Doors,
    stop: CancellationToken,
    serving: Vec<JoinHandle<()>>,
    pub client: Endpoint,
}

impl Site {
    pub async fn serve() -> Self {
        Self::limited(LimitsConfig::default()).await
    }

    /// The same, with these limits.
    pub async fn limited(limits: LimitsConfig) -> Self {
        let doors = Doors::new(&limits);
        let node = Node::limited(limits);
        let tls = tls::client_plane_server(&node.server()).unwrap();
        let transport = endpoint::client_transport(Liveness::CLIENT_PLANE, Streams::EDGE);
        let config = endpoint::server_config(tls, transport);
        let endpoint = endpoint::bind((HERE, 0).into(), Some(config), None).unwrap();
        let tcp = https::bind((HERE, 0).into()).await.unwrap();
        let pop = Pop {
            name: "fra".parse().unwrap(),
            address: endpoint.local_addr().unwrap(),
            https: Some(tcp.local_addr().unwrap()),
            server_name: HERE.to_string(),
        };
        let stop = CancellationToken::new();
        let sockets = websocket::Sockets::new(node.sessions.clone(), Liveness::CLIENT_PLANE);
        let tls = tls::https_server(&node.server()).unwrap();
        let quic = listener::serve(
            endpoint,
            node.sessions.clone(),
            doors.quic.clone(),
            stop.clone(),
        );
        let app = websocket::routes();
        let door = doors.tcp.clone();
        let https = https::serve(tcp, tls, app, Some(sockets), door, stop.clone());
        Self {
            node,
            pop,
            doors,
            stop,
            serving: vec![tokio::spawn(quic), tokio::spawn(https)],
            client: endpoint::bind((HERE, 0).into(), None, None).unwrap(),
        }
    }

    /// The address of its clients changes.
    pub fn clients_move(&self) {
        let socket = UdpSocket::bind((HERE, 0)).unwrap();
        self.client.rebind(socket).unwrap();
    }

    /// How its clients connect.
    pub fn config(&self) -> ClientConfig {
        ClientConfig {
            pops: vec![self.pop.clone()],
            roots: self.node.roots(),
            token: self.node.token.clone(),
            client: "test".into(),
            endpoint: self.client.clone(),
            transports: Transport::ALL.to_vec(),
            liveness: Liveness::CLIENT_PLANE,
            out_of_order: false,
        }
    }

    /// Begins a QUIC connection by hand, to any address.
    pub fn begin_quic(&self, address: SocketAddr) -> quinn::Connecting {
        self.begin(address, tls::client_plane_client)
    }

    /// A QUIC connection by hand.
    pub async fn quic(&self, tls: Tls) -> quinn::Connection {
        self.begin(self.pop.address, tls).await.unwrap()
    }

    fn begin(&self, address: SocketAddr, tls: Tls) -> quinn::Connecting {
        let tls = tls(&self.node.roots()).unwrap();
        let mut config = quinn::ClientConfig::new(Arc::new(tls));
        let transport = endpoint::client_transport(Liveness::CLIENT_PLANE, Streams::CLIENT);
        config.transport_config(Arc::new(transport));
        let connecting = self
            .client
            .connect_with(config, address, &self.pop.server_name);
        connecting.unwrap()
    }

    pub async fn connect(&self, transport: Transport) -> Client {
        let dialer = Dialer::new(&self.config(), transport).unwrap();
        let reached = dialer.dial(&self.pop).await.unwrap();
        assert_eq!(reached.connection.transport(), transport);
        Client(reached.connection)
    }

    /// A client that has been let in, and its session.
    pub async fn let_in(&self, transport: Transport) -> (Client, SessionId) {
        let client = self.connect(transport).await;
        let welcome = client.hello(&self.node.token).await;
        let Some(response::Result::Welcome(welcome)) = welcome.result else {
            panic!("not welcome: {welcome:?}");
        };
        (client, SessionId(welcome.session_id))
    }

    /// Where a session is reached.
    pub fn subscriber(&self, session: SessionId) -> Arc<Subscriber> {
        self.node.sessions.hubs.subscriber(session).unwrap()
    }

    pub async fn stops_at_once(self) {
        self.stop.cancel();
        for part in self.serving {
            timeout(AT_ONCE, part).await.unwrap().unwrap();
        }
    }
}

/// A client by hand: one request, one answer, and nothing that tries again.
pub struct Client(pub Connection);

impl Client {
    pub async fn ask(&self, body: request::Body) -> client::Response {
        request(&self.0, Default::default(), body).await.unwrap()
    }

    pub async fn hello(&self, token: &str) -> client::Response {
        let hello = client::Hello {
            token: token.into(),
            ..client::Hello::default()
        };
        self.ask(request::Body::Hello(hello)).await
    }

    /// Whether it is served.
    pub async fn pings(&self) -> bool {
        let pong = self.ask(request::Body::Ping(client::Ping {})).await;
        matches!(pong.result, Some(response::Result::Pong(_)))
    }

    /// The code with which these bytes are refused.
    pub async fn is_refused(&self, bytes: impl Into<Vec<u8>>) -> Result<String, ApiError> {
        let response = self.0.exchange(bytes.into().into()).await?;
        Ok(code(&response))
    }

    /// Begins to read what is pushed.
    pub fn pushes(&self) -> mpsc::Receiver<server_frame::Body> {
        let (sender, pushes) = mpsc::channel(1);
        tokio::spawn(self.0.clone().read_pushes(sender));
        pushes
    }

    pub async fn is_closed_with(&self, code: CloseCode) {
        let closed = timeout(AT_ONCE, self.0.closed()).await.unwrap();
        assert_eq!(closed.end, End::Said(code), "{closed}");
    }
}

/// The code of a refusal.
pub fn code(response: &client::Response) -> String {
    match &response.result {
        Some(response::Result::Error(error)) => error.code.clone(),
        _ => "no error".into(),
    }
}
