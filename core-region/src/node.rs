//! A core node: what it is made of, the order in which it starts, and the order
//! in which it stops.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use causeway_gossip::member::{Member, MemberInfo};
use causeway_gossip::service::{GossipTask, Inbox};
use causeway_gossip::sync::{SharedRoutes, follow_directory};
use causeway_gossip::{Gossip, GossipConfig, Role, Router};
use causeway_protocol::backbone::PeerHello;
use causeway_protocol::token::Signer;
use causeway_protocol::{CellId, Name};
use causeway_transport::backbone::{Backbone, BackboneConfig, Services, StartError};
use thiserror::Error;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::api::{Api, Parts};
use crate::cells::{CellHost, Cells};
use crate::channel_server::ChannelServer;
use crate::clock::Clock;
use crate::consensus::{GroupError, Groups, RaftTimings};
use crate::directory::{DirectoryMachine, Founder, Founding, Keeper, SharedBook};
use crate::faults::Faults;
use crate::feeds::Feeds;
use crate::hand_back::HandBack;
use crate::health::DiskLimits;
use crate::heirs::Heirs;
use crate::http::{self, Health};
use crate::metadata::{Metadata, MetadataParts};
use crate::metrics::{Measures, Metrics};
use crate::state::CellState;
use crate::step_aside::StepAside;
use crate::store::{Identity, Store, StoreError, next_incarnation};
use crate::vitals::Vitals;
use crate::{flannel, leaders, release};

/// How a core node is set up.
#[derive(Debug, Clone)]
pub struct CoreConfig {
    /// The node's name, as in its certificate.
    pub name: Name,
    /// Its region.
    pub region: Name,
    /// Its failure domain inside the region.
    pub zone: Name,
    /// Where its data is.
    pub data_dir: PathBuf,
    /// How it joins the backbone.
    pub backbone: BackboneConfig,
    /// The backbone address that others use.
    pub advertise: SocketAddr,
    /// Nodes to ask first.
    pub seeds: Vec<SocketAddr>,
    /// How quickly the dead are noticed.
    pub gossip: causeway_gossip::swim::Timings,
    /// The clockwork of its Raft groups.
    pub raft: RaftTimings,
    /// What a new world looks like; `None` = this node waits for one.
    pub founding: Option<Founding>,
    /// A node that has been away for so long is replaced by another of its
    /// region, if there is one.
    pub replace_after: Duration,
    /// Where health checks and metrics are served.
    pub http: SocketAddr,
    /// Signs tokens.
    pub signer: Option<Signer>,
    /// What is expected of its disk.
    pub disk: DiskLimits,
    /// What is wrong with it on purpose.
    pub faults: Faults,
}

/// A core node that cannot start, or cannot go on.
#[derive(Debug, Error)]
pub enum CoreError {
    /// The disk.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The reserve cannot be kept.
    #[error(
        "[disk] reserve_mb: {reserve_bytes} bytes are to stay free in {path}, which has \
         {total_bytes} in all; half of it is the most"
    )]
    Reserve {
        /// Where the data is.
        path: PathBuf,
        /// The reserve.
        reserve_bytes: u64,
        /// The file system.
        total_bytes: u64,
    },
    /// The free space cannot be told.
    #[error("cannot tell the free space of {path}: {source}")]
    Capacity {
        /// Where the data is.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The backbone.
    #[error(transparent)]
    Backbone(#[from] StartError),
    /// A replica.
    #[error(transparent)]
    Group(#[from] GroupError),
    /// The HTTP address cannot be bound.
    #[error("cannot listen on tcp {address}: {source}")]
    Http {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// A part of the node ended, or panicked: the node must not go on without.
    #[error("{0} has ended")]
    Ended(String),
}

/// Runs a core node until `stop`, and then stops it in order.
///
/// # Errors
/// [`CoreError`]. The first part that fails stops the rest.
pub async fn run(config: CoreConfig, stop: CancellationToken) -> Result<(), CoreError> {
    let node = CoreNode::start(config).await?;
    node.run(stop).await
}

struct CoreNode {
    backbone: Backbone,
    cells: Cells,
    step_aside: StepAside,
    metadata: Metadata,
    store: Store,
    tasks: JoinSet<Result<(), CoreError>>,
    /// Stops the tasks that need nobody else.
    stop: CancellationToken,
    /// Stops gossip, last of the tasks.
    leave: CancellationToken,
    gossip_task: tokio::task::JoinHandle<()>,
}

impl CoreNode {
    async fn start(config: CoreConfig) -> Result<Self, CoreError> {
        let stop = CancellationToken::new();
        tokio::spawn(config.faults.clone().watch(stop.clone()));
        let store = Store::open_with(&config.data_dir, config.faults.clone())?;
        check_reserve(&config, &store)?;
        let clock = Clock::start(config.faults.clone());
        let vitals = Vitals::new(clock.clone());
        let me = Identity::of(&store).await?.node;
        let incarnation = next_incarnation(&store, clock.system_us()).await?;
        let hello = PeerHello {
            node_id: me.0,
            incarnation,
            name: config.name.to_string(),
            version: env!("CARGO_PKG_VERSION").into(),
            address: config.advertise.to_string(),
        };
        let backbone = Backbone::bind(&config.backbone, hello)?;
        let inbox = Inbox::default();
        let services = Services::default().datagram(inbox.handler());
        let (gossip, gossip_task) = join(&config, me, incarnation, &backbone, inbox);

        let routes = SharedRoutes::default();
        let router = Router::new(backbone.clone(), routes.clone());
        let book = SharedBook::default();
        let (groups, cells) = (Groups::default(), Cells::default());
        let channel_server = ChannelServer::new(
            config.region.clone(),
            &backbone,
            router.clone(),
            cells.clone(),
        );
        let (metadata, outbox) = Metadata::start(MetadataParts {
            node: me,
            life: incarnation,
            store: store.clone(),
            clock: vitals.clock().clone(),
            backbone: backbone.clone(),
            book: book.clone(),
        })?;
        let measures = Measures::default();
        let api = Api::new(Parts {
            cells: cells.clone(),
            book: book.clone(),
            router: router.clone(),
            gossip: gossip.clone(),
            me,
            metadata: metadata.clone(),
            clock,
            signer: config.signer.clone(),
            measures: measures.clone(),
        });
        let local = api.clone();
        router.serve_local(Box::new(move |method, body| {
            Box::pin(local.clone().local(method, body))
        }));
        let feeds = Feeds::new(backbone.clone(), cells.clone());
        let services = feeds.register(metadata.register(services));
        let services = groups.register(services);
        let services = routes.register(services);
        let services = book.register(services);
        let services = vitals.register(services);
        let services = release::register(services, cells.clone(), book.clone());
        let services = flannel::register(services, cells.clone());
        let hand_back = HandBack::new(
            cells.clone(),
            book.clone(),
            routes.clone(),
            backbone.clone(),
        );
        let services = hand_back.register(services);
        let services = channel_server.register(services);
        backbone.serve(api.register(services));

        let heirs = Heirs {
            gossip: gossip.clone(),
            routes: routes.clone(),
            backbone: backbone.clone(),
            vitals: vitals.clone(),
        };
        let step_aside = StepAside {
            cells: cells.clone(),
            book: book.clone(),
            heirs: heirs.clone(),
        };
        let host = CellHost {
            node: me,
            store: store.clone(),
            backbone: backbone.clone(),
            groups,
            timings: config.raft,
            cells: cells.clone(),
            gossip: gossip.clone(),
            routes: routes.clone(),
            vitals: vitals.clone(),
            heirs,
            hand_back,
            metadata: metadata.clone(),
            measures: measures.clone(),
        };
        let state = CellState::open(store.clone(), CellId::DIRECTORY)?;
        let machine = Arc::new(DirectoryMachine::new(state.clone(), book.sender())?);
        let directory = host.start(state, machine, None).await?;
        if let Some(record) = book.get().cell(CellId::DIRECTORY) {
            host.lead_if_nobody_does(Arc::clone(&directory), record);
        }

        let health = Health {
            cells: cells.clone(),
            book: book.clone(),
            me,
            metrics: Metrics {
                store: store.clone(),
                vitals: vitals.clone(),
                cells: cells.clone(),
                book: book.clone(),
                gossip: gossip.clone(),
                backbone: backbone.clone(),
                channel_server: channel_server.clone(),
                metadata: metadata.clone(),
                feeds: feeds.clone(),
                measures,
            },
        };
        let listener = http::bind(config.http)
            .await
            .map_err(|source| CoreError::Http {
                address: config.http,
                source,
            })?;

        let mut tasks = JoinSet::new();
        let mut task =
            |name: &'static str, run: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>| {
                let stop = stop.clone();
                tasks.spawn(async move {
                    run.await;
                    match stop.is_cancelled() {
                        true => Ok(()),
                        false => Err(CoreError::Ended(name.into())),
                    }
                });
            };
        if let Some(founding) = config.founding {
            let founder = Founder {
                founding,
                name: config.name.clone(),
                directory: Arc::clone(directory.consensus()),
                book: book.clone(),
                gossip: gossip.clone(),
                backbone: backbone.clone(),
            };
            tokio::spawn(founder.run(stop.clone()));
        }
        let keeper = Keeper {
            directory: Arc::clone(directory.consensus()),
            book: book.clone(),
            gossip: gossip.clone(),
            replace_after: config.replace_after,
        };
        task("placement", Box::pin(keeper.run(stop.clone())));
        let (have, take) = (book.clone(), book.clone());
        let watching = vitals
            .clone()
            .watch_disk(store.clone(), config.disk, stop.clone());
        task("looking at the disk", Box::pin(watching));
        let exchange = vitals
            .clone()
            .exchange(backbone.clone(), gossip.clone(), stop.clone());
        task("exchanging vitals", Box::pin(exchange));
        task(
            "stepping aside",
            Box::pin(step_aside.clone().run(stop.clone())),
        );
        task(
            "following the directory",
            Box::pin(follow_directory(
                backbone.clone(),
                gossip.clone(),
                routes.clone(),
                move || have.get().version(),
                move |directory| take.apply(directory),
                stop.clone(),
            )),
        );
        task(
            "routes",
            Box::pin(feed_routes(book.clone(), routes, stop.clone())),
        );
        task(
            "the channel server",
            Box::pin(
                channel_server
                    .clone()
                    .run(gossip, backbone.clone(), stop.clone()),
            ),
        );
        task(
            "the feeds",
            Box::pin(feeds.clone().run(backbone.clone(), stop.clone())),
        );
        task(
            "announcing leaders",
            Box::pin(leaders::announce(
                cells.clone(),
                backbone.clone(),
                stop.clone(),
            )),
        );
        task(
            "http",
            Box::pin(http::serve(listener, health, stop.clone())),
        );
        let keeping = metadata.clone().run(outbox, Arc::new(feeds), stop.clone());
        tasks.spawn(async move { Ok(keeping.await?) });
        let hosting = host.run(book, Arc::new(channel_server), stop.clone());
        tasks.spawn(async move { Ok(hosting.await?) });
        let (disk, stopped) = (store.clone(), stop.clone());
        tasks.spawn(async move {
            match stopped.run_until_cancelled(disk.failed()).await {
                Some(error) => Err(error.into()),
                None => Ok(()),
            }
        });

        let leave = CancellationToken::new();
        let gossip_task = tokio::spawn(gossip_task.run(leave.clone()));
        Ok(Self {
            backbone,
            cells,
            step_aside,
            metadata,
            store,
            tasks,
            stop,
            leave,
            gossip_task,
        })
    }

    async fn run(mut self, stop: CancellationToken) -> Result<(), CoreError> {
        let ended = tokio::select! {
            () = stop.cancelled() => Ok(()),
            ended = self.tasks.join_next() => first_end(ended),
        };
        self.stop_in_order().await;
        ended
    }

    /// Hand over leadership and what is written only here, take leave, stop replicas,
    /// close connections; the store closes when its last user is gone.
    async fn stop_in_order(mut self) {
        tokio::join!(self.step_aside.leave(), self.metadata.hand_off());
        self.stop.cancel();
        self.leave.cancel();
        if self.gossip_task.await.is_err() {
            tracing::error!("gossip has panicked");
        }
        while self.tasks.join_next().await.is_some() {}
        // Replicas that wait for room on the disk wait no longer.
        self.store.room().close();
        self.cells.stop().await;
        self.backbone.close().await;
    }
}

fn first_end(
    ended: Option<Result<Result<(), CoreError>, tokio::task::JoinError>>,
) -> Result<(), CoreError> {
    match ended {
        Some(Ok(Ok(()))) | None => Err(CoreError::Ended("a task".into())),
        Some(Ok(Err(error))) => Err(error),
        Some(Err(panic)) => Err(CoreError::Ended(panic.to_string())),
    }
}

/// A reserve that the file system can hardly have would refuse all writes.
fn check_reserve(config: &CoreConfig, store: &Store) -> Result<(), CoreError> {
    let path = config.data_dir.clone();
    let capacity = store.capacity();
    let total_bytes = match capacity {
        Ok(capacity) => capacity.total,
        Err(source) => return Err(CoreError::Capacity { path, source }),
    };
    let reserve_bytes = config.disk.reserve_bytes;
    if reserve_bytes > total_bytes / 2 {
        return Err(CoreError::Reserve {
            path,
            reserve_bytes,
            total_bytes,
        });
    }
    Ok(())
}

fn join(
    config: &CoreConfig,
    me: causeway_protocol::NodeId,
    incarnation: u64,
    backbone: &Backbone,
    inbox: Inbox,
) -> (Gossip, GossipTask) {
    let me = MemberInfo {
        node: me,
        incarnation,
        name: config.name.clone(),
        role: Role::Core,
        place: config.region.clone(),
        zone: config.zone.clone(),
        backbone: config.advertise,
        client: None,
        http: Some(config.http),
        version: env!("CARGO_PKG_VERSION").into(),
    };
    tracing::info!(member = ?Member::new(me.clone()), node = %me.node, "starting");
    let config = GossipConfig {
        me,
        seeds: config.seeds.clone(),
        timings: config.gossip,
    };
    Gossip::new(config, backbone.clone(), inbox)
}

/// Keeps the routes in step with the directory.
async fn feed_routes(book: SharedBook, routes: SharedRoutes, stop: CancellationToken) {
    let mut changed = book.watch();
    loop {
        let since = routes.get().version();
        let fresh = changed.borrow_and_update().since(since);
        routes.apply_directory(&fresh);
        match stop.run_until_cancelled(changed.changed()).await {
            Some(Ok(())) => {}
            Some(Err(_)) | None => return,
        }
    }
}
