//! An edge node: what it is made of, the order in which it starts, and the order
//! in which it stops.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use causeway_gossip::member::MemberInfo;
use causeway_gossip::service::Inbox;
use causeway_gossip::sync::{SharedRoutes, follow_directory};
use causeway_gossip::{Gossip, GossipConfig, Role, Router};
use causeway_protocol::backbone::PeerHello;
use causeway_protocol::token::Verifier;
use causeway_protocol::{Name, NodeId, UserId};
use causeway_transport::backbone::{Backbone, BackboneConfig, Services, StartError};
use causeway_transport::endpoint::{self, Liveness, Streams};
use causeway_transport::tls::{self, Credentials, TlsError};
use futures::future::{BoxFuture, FutureExt};
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use crate::drain::Drain;
use crate::events::Events;
use crate::feeds::Feeds;
use crate::flannel::source::Cells;
use crate::flannel::{Flannel, FlannelConfig};
use crate::gate::{Closed, Gate, Reach};
use crate::hub::Hubs;
use crate::limits::{Limits, LimitsConfig};
use crate::metrics::{Doors, Measures, Metrics, Probes};
use crate::refusals::Refusals;
use crate::session::Sessions;
use crate::status::Status;
use crate::transports::{listener, websocket};
use crate::upstream::Upstream;
use crate::{https, web};

/// How an edge node is set up.
#[derive(Debug, Clone)]
pub struct EdgeConfig {
    /// The node's name, as in its certificate.
    pub name: Name,
    /// Its PoP.
    pub pop: Name,
    /// How it joins the backbone.
    pub backbone: BackboneConfig,
    /// The backbone address that others use.
    pub advertise: SocketAddr,
    /// Nodes to ask first.
    pub seeds: Vec<SocketAddr>,
    /// How quickly the dead are noticed.
    pub gossip: causeway_gossip::swim::Timings,
    /// Where clients connect over QUIC.
    pub client_listen: SocketAddr,
    /// The QUIC address that clients are told.
    pub client_advertise: SocketAddr,
    /// When a silent client is given up.
    pub client_liveness: Liveness,
    /// Without a core node for this long, clients are sent to other PoPs.
    pub cut_off_after: Duration,
    /// How much is kept of workspaces.
    pub flannel: FlannelConfig,
    /// How many may come in, and what they may ask.
    pub limits: LimitsConfig,
    /// Where the Web API is served.
    pub https_listen: SocketAddr,
    /// What proves this node to clients.
    pub server: Credentials,
    /// Verifies their tokens.
    pub verifier: Verifier,
}

/// An edge node that cannot start, or cannot go on.
#[derive(Debug, Error)]
pub enum EdgeError {
    /// Certificates.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The backbone.
    #[error(transparent)]
    Backbone(#[from] StartError),
    /// An address cannot be bound.
    #[error("cannot listen on {protocol} {address}: {source}")]
    Bind {
        /// `udp` or `tcp`.
        protocol: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// A part of the node ended: the node must not go on without.
    #[error("{0} has ended")]
    Ended(&'static str),
}

/// Runs an edge node until `stop`: then clients are told to go elsewhere, those
/// that stay are cut off, gossip takes leave, and connections close.
///
/// # Errors
/// [`EdgeError`]. The first part that fails stops the rest.
pub async fn run(config: EdgeConfig, stop: CancellationToken) -> Result<(), EdgeError> {
    let me = NodeId(rand::random_range(1..=u64::MAX));
    let incarnation = now_us();
    let hello = PeerHello {
        node_id: me.0,
        incarnation,
        name: config.name.to_string(),
        version: env!("CARGO_PKG_VERSION").into(),
        address: config.advertise.to_string(),
    };
    let backbone = Backbone::bind(&config.backbone, hello)?;
    let inbox = Inbox::default();
    let routes = SharedRoutes::default();
    let (hubs, hub_tasks) = Hubs::new();
    let services = Services::default().datagram(inbox.handler());
    let feeds = Feeds::new(hubs.clone());
    let services = feeds.register(hubs.register(routes.register(services)));
    let events = Events::new(hubs.clone(), &backbone);
    let services = events.register(services);

    let (gossip, gossip_task) = Gossip::new(
        gossip_config(&config, me, incarnation),
        backbone.clone(),
        inbox,
    );
    let router = Router::new(backbone.clone(), routes.clone());
    let gate = Gate::new(gossip.clone(), router.clone());
    let status = Status {
        hubs: hubs.clone(),
        gossip: gossip.clone(),
        gate: gate.clone(),
        node: me,
    };
    let upstream = Upstream::new(router.clone());
    let cells = Cells {
        upstream: upstream.clone(),
        feeds: feeds.clone(),
        gate: gate.clone(),
    };
    let flannel = Flannel::new(cells, hubs.clone(), me, config.flannel);
    backbone.serve(flannel.register(status.register(services)));
    let drain = Drain {
        hubs: hubs.clone(),
        gate: gate.clone(),
        reach: Reach::new(config.cut_off_after),
    };
    let refusals = Arc::<Refusals>::default();
    let limits = Limits::new(config.limits.clone());
    let doors = Doors::new(&config.limits);
    let (measures, probes) = (Measures::default(), Probes::default());
    let metrics = Metrics {
        hubs: hubs.clone(),
        upstream: upstream.clone(),
        feeds: feeds.clone(),
        flannel: flannel.clone(),
        events: events.clone(),
        refusals: Arc::clone(&refusals),
        limits: limits.clone(),
        doors: doors.clone(),
        measures: measures.clone(),
        gossip: gossip.clone(),
        router,
        wan_emulated: config.backbone.wan.is_some(),
    };

    let tls = tls::client_plane_server(&config.server)?;
    let transport = endpoint::client_transport(config.client_liveness, Streams::EDGE);
    let server = endpoint::server_config(tls, transport);
    let wan = config.backbone.wan.as_ref();
    let clients = endpoint::bind(config.client_listen, Some(server), wan)
        .map_err(|source| bind_error("udp", config.client_listen, source))?;
    let listener = https::bind(config.https_listen)
        .await
        .map_err(|source| bind_error("tcp", config.https_listen, source))?;
    let app = web::routes(web::WebState {
        ask: Arc::new(upstream.patiently()),
        online: online(upstream.clone(), events.clone()),
        verifier: config.verifier.clone(),
        unready: unready(routes.clone(), gate.clone()),
        metrics: Arc::new(move || metrics.render()),
        limits: limits.clone(),
        refusals: Arc::clone(&refusals),
    });
    let app = app.merge(websocket::routes());
    let sessions = Arc::new(Sessions {
        upstream: upstream.clone(),
        verifier: config.verifier,
        hubs,
        gate,
        feeds,
        flannel: flannel.clone(),
        events: events.clone(),
        edge: config.name,
        pop: config.pop.clone(),
        refusals,
        limits,
        measures: measures.clone(),
        probes: probes.clone(),
    });

    // In the order in which they stop.
    let (front, middle, back) = (
        CancellationToken::new(),
        CancellationToken::new(),
        CancellationToken::new(),
    );
    let drain = tokio::spawn(drain.run(stop.clone()));
    let sockets = websocket::Sockets::new(Arc::clone(&sessions), config.client_liveness);
    let quic = tokio::spawn(listener::serve(
        clients.clone(),
        sessions,
        doors.quic,
        front.clone(),
    ));
    let tls = tls::https_server(&config.server)?;
    let serving = https::serve(listener, tls, app, Some(sockets), doors.tcp, front.clone());
    let https = tokio::spawn(serving);
    let router = upstream.router().clone();
    let events = tokio::spawn(events.run(router, gossip.clone(), middle.clone()));
    let hub =
        tokio::spawn(hub_tasks.run(upstream, flannel.clone(), gossip.clone(), middle.clone()));
    let flannel = tokio::spawn(flannel.run(gossip.clone(), config.pop, middle.clone()));
    let (have, take) = (routes.clone(), routes.clone());
    let directory = tokio::spawn(follow_directory(
        backbone.clone(),
        gossip.clone(),
        routes,
        move || have.get().version(),
        move |directory| take.apply_directory(directory),
        middle.clone(),
    ));
    let membership = tokio::spawn(gossip_task.run(back.clone()));
    let looking = tokio::spawn(probes.run(measures, back.clone()));

    let mut parts = [
        ("the client plane over QUIC", quic),
        ("the Web API and WebSockets", https),
        ("the hub", hub),
        ("flannel", flannel),
        ("events", events),
        ("following the directory", directory),
        ("gossip", membership),
        ("looking at connections", looking),
    ];
    let ended = tokio::select! {
        () = stop.cancelled() => Ok(()),
        name = first_to_end(&mut parts) => Err(EdgeError::Ended(name)),
    };
    // A part that has ended leaves nobody to be sent away in order.
    if ended.is_ok() && drain.await.is_err() {
        tracing::error!("emptying the node has panicked");
    }
    for stopping in [front, middle, back] {
        stopping.cancel();
    }
    for (name, part) in &mut parts {
        if !part.is_finished() && part.await.is_err() {
            tracing::error!("{name} has panicked");
        }
    }
    clients.wait_idle().await;
    backbone.close().await;
    ended
}

async fn first_to_end(parts: &mut [(&'static str, tokio::task::JoinHandle<()>)]) -> &'static str {
    let running = parts.iter_mut().map(|(name, part)| {
        Box::pin(async move {
            // A panic is an end like any other.
            let _ = part.await;
            *name
        })
    });
    futures::future::select_all(running).await.0
}

fn bind_error(protocol: &'static str, address: SocketAddr, source: std::io::Error) -> EdgeError {
    EdgeError::Bind {
        protocol,
        address,
        source,
    }
}

fn gossip_config(config: &EdgeConfig, me: NodeId, incarnation: u64) -> GossipConfig {
    tracing::info!(name = %config.name, pop = %config.pop, node = %me, "starting");
    GossipConfig {
        me: MemberInfo {
            node: me,
            incarnation,
            name: config.name.clone(),
            role: Role::Edge,
            place: config.pop.clone(),
            zone: config.pop.clone(),
            backbone: config.advertise,
            client: Some(config.client_advertise),
            http: Some(config.https_listen),
            version: env!("CARGO_PKG_VERSION").into(),
        },
        seeds: config.seeds.clone(),
        timings: config.gossip,
    }
}

/// Whether users are online, as channel servers know.
fn online(
    upstream: Upstream,
    events: Events,
) -> Arc<dyn Fn(UserId) -> BoxFuture<'static, Option<bool>> + Send + Sync> {
    Arc::new(move |user| {
        let (upstream, events) = (upstream.clone(), events.clone());
        async move {
            let cell = upstream.cell_of(user.workspace()).await.ok()?;
            events.is_online(cell, user).await
        }
        .boxed()
    })
}

/// Ready: the directory is known, each cell has a leader, some core node is
/// connected, and new clients are welcome here.
fn unready(routes: SharedRoutes, gate: Gate) -> Arc<dyn Fn() -> Option<String> + Send + Sync> {
    Arc::new(move || {
        let routes = routes.get();
        if routes.version() == 0 {
            return Some("the directory is not known yet".into());
        }
        match gate.closed() {
            Some(Closed::CutOff) => return Some("no core node is within reach".into()),
            Some(Closed::Draining(_)) => return Some("this edge node is being drained".into()),
            None => {}
        }
        let leaderless = routes.cells().find(|(_, route)| route.leader.is_none());
        leaderless.map(|(cell, _)| format!("cell {cell} has no known leader yet"))
    })
}

/// Microseconds since 1970.
fn now_us() -> u64 {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since_epoch.map_or(0, |d| u64::try_from(d.as_micros()).unwrap_or(u64::MAX))
}
