//! For tests: the sessions of an edge node whose only cell is played by a few lines
//! of code, and a user who may connect.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use causeway_gossip::member::MemberInfo;
use causeway_gossip::service::Inbox;
use causeway_gossip::swim::Timings;
use causeway_gossip::sync::SharedRoutes;
use causeway_gossip::{Gossip, GossipConfig, Router};
use causeway_protocol::backbone::{
    ApiCall, Cell, Directory, LeaderHint, PeerHello, Replica, RoutedReply, Shard, routed_reply,
};
use causeway_protocol::client::{self, entry, request, response};
use causeway_protocol::token::{Claims, Signer, Verifier};
use causeway_protocol::{ApiError, ChannelId, ErrorCode, NodeId, Topic, UserId, frame};
use causeway_transport::backbone::{Backbone, BackboneConfig};
use causeway_transport::ca::{Authority, token_keys};
use causeway_transport::endpoint::Liveness;
use causeway_transport::tls::{Credentials, PeerIdentity, Role, Roots};
use futures::FutureExt;
use prost::Message;
use tokio::sync::{Semaphore, watch};

use crate::events::Events;
use crate::feeds::Feeds;
use crate::flannel::source::Cells;
use crate::flannel::{Flannel, FlannelConfig};
use crate::gate::Gate;
use crate::hub::Hubs;
use crate::limits::{Limits, LimitsConfig};
use crate::metrics::{Measures, Probes};
use crate::session::Sessions;
use crate::upstream::Upstream;

pub const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;
pub const USER: UserId = UserId(1 << 32 | 7);
pub const CHANNEL: ChannelId = ChannelId(1 << 32 | 5);
pub const GENERAL: Topic = Topic::Channel(CHANNEL);
/// Where the channel's log ends.
pub const LAST_SEQ: u64 = 9;
const ME: NodeId = NodeId(1);
const CELL: u32 = 1;

/// Plays the cell.
#[derive(Debug)]
pub struct Core {
    /// Each message that is sent waits for a permit.
    pub permits: Semaphore,
    under_way: AtomicUsize,
    /// Messages that were under way at a time.
    pub most_under_way: watch::Sender<usize>,
}

/// What a test needs of an edge node.
pub struct Node {
    pub authority: Authority,
    pub sessions: Arc<Sessions>,
    pub core: Arc<Core>,
    /// Of [`USER`].
    pub token: String,
}

impl Node {
    pub fn new() -> Self {
        Self::limited(LimitsConfig::default())
    }

    /// The same, with these limits.
    pub fn limited(limits: LimitsConfig) -> Self {
        let authority = Authority::new("test", 1).unwrap();
        let keys = token_keys().unwrap();
        let core = Arc::new(Core {
            permits: Semaphore::new(0),
            under_way: AtomicUsize::new(0),
            most_under_way: watch::Sender::default(),
        });
        let claims = Claims {
            user: USER,
            issued_at_s: 0,
            expires_at_s: u64::from(u32::MAX),
        };
        let signer = Signer::from_pem(keys.private.as_bytes()).unwrap();
        Self {
            sessions: sessions(&authority, &keys.public, &core, limits),
            token: signer.sign(&claims).unwrap(),
            authority,
            core,
        }
    }

    /// What proves the node to clients.
    pub fn server(&self) -> Credentials {
        let pem = self.authority.issue_server(&[], &[HERE.into()], 1).unwrap();
        Credentials::from_pem(&pem).unwrap()
    }

    /// Whom clients trust.
    pub fn roots(&self) -> Roots {
        Roots::from_pem(&self.authority.pem().public).unwrap()
    }
}

fn sessions(
    authority: &Authority,
    tokens: &str,
    core: &Arc<Core>,
    limits: LimitsConfig,
) -> Arc<Sessions> {
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
        node_id: ME.0,
        ..PeerHello::default()
    };
    let backbone = Backbone::bind(&config, hello).unwrap();
    let router = Router::new(backbone.clone(), routes());
    let cell = Arc::clone(core);
    router.serve_local(Box::new(move |_, body| {
        let cell = Arc::clone(&cell);
        async move { cell.answer(body).await }.boxed()
    }));
    let (hubs, _tasks) = Hubs::new();
    let events = Events::new(hubs.clone(), &backbone);
    let (gossip, _task) = Gossip::new(alone(&identity), backbone, Inbox::default());
    let (gate, feeds) = (Gate::new(gossip, router.clone()), Feeds::new(hubs.clone()));
    let upstream = Upstream::new(router);
    let cells = Cells {
        upstream: upstream.clone(),
        feeds: feeds.clone(),
        gate: gate.clone(),
    };
    Arc::new(Sessions {
        flannel: Flannel::new(cells, hubs.clone(), ME, FlannelConfig::default()),
        gate,
        upstream,
        verifier: Verifier::from_pems([tokens]).unwrap(),
        feeds,
        hubs,
        events,
        edge: identity.name,
        pop: "fra".parse().unwrap(),
        refusals: Arc::default(),
        limits: Limits::new(limits),
        measures: Measures::default(),
        probes: Probes::default(),
    })
}

/// The edge node is asked for the cell itself.
fn routes() -> SharedRoutes {
    let routes = SharedRoutes::default();
    routes.apply_directory(&Directory {
        version: 1,
        cells: vec![Cell {
            id: CELL,
            home_region: "eu-west".into(),
            replicas: vec![Replica {
                node_id: ME.0,
                region: "eu-west".into(),
                ..Replica::default()
            }],
            epoch: 1,
            ..Cell::default()
        }],
        shards: vec![Shard {
            workspace: USER.workspace().0,
            cell: CELL,
            epoch: 1,
            ..Shard::default()
        }],
        ..Directory::default()
    });
    routes.apply_hints(&[LeaderHint {
        cell: CELL,
        term: 1,
        node_id: ME.0,
    }]);
    routes
}

/// How a node with nobody to talk to gossips.
fn alone(identity: &PeerIdentity) -> GossipConfig {
    GossipConfig {
        me: MemberInfo {
            node: ME,
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

impl Core {
    async fn answer(&self, call: Bytes) -> Result<Bytes, ApiError> {
        let call: ApiCall = frame::decode(call).unwrap();
        let result = match call.request.and_then(|request| request.body) {
            Some(request::Body::Boot(_)) => response::Result::Boot(boot()),
            Some(request::Body::SendMessage(_)) => self.send().await,
            Some(request::Body::ReadLog(read)) => response::Result::Log(client::LogPage {
                entries: (read.from_seq..=read.to_seq).map(posted).collect(),
                last_seq: LAST_SEQ,
            }),
            Some(_) => return Err(ErrorCode::Unavailable.into()),
            None => return Err(ErrorCode::UnknownMethod.into()),
        };
        let response = client::Response {
            position: 1,
            result: Some(result),
            ..client::Response::default()
        };
        let reply = RoutedReply {
            result: Some(routed_reply::Result::Body(response.encode_to_vec().into())),
            ..RoutedReply::default()
        };
        Ok(reply.encode_to_vec().into())
    }

    async fn send(&self) -> response::Result {
        let under_way = 1 + self.under_way.fetch_add(1, Ordering::SeqCst);
        self.most_under_way.send_if_modified(|most| {
            let is_more = under_way > *most;
            *most = under_way.max(*most);
            is_more
        });
        self.permits.acquire().await.unwrap().forget();
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        response::Result::Sent(client::Sent::default())
    }
}

fn boot() -> client::BootData {
    client::BootData {
        self_: Some(client::User {
            id: USER.0,
            ..client::User::default()
        }),
        channels: vec![client::Channel {
            id: CHANNEL.0,
            last_seq: LAST_SEQ,
            ..client::Channel::default()
        }],
        ..client::BootData::default()
    }
}

/// An entry of the channel.
pub fn posted(seq: u64) -> client::Entry {
    client::Entry {
        seq,
        kind: Some(entry::Kind::Posted(client::Message {
            seq,
            ..client::Message::default()
        })),
        ..client::Entry::default()
    }
}
