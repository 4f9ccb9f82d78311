//! A core node of the bench: its metadata alone, on a disk of its own, behind a real
//! backbone on loopback.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::Bytes;
use causeway_core_region::clock::Clock;
use causeway_core_region::directory::SharedBook;
use causeway_core_region::faults::Faults;
use causeway_core_region::metadata::cell::Committed;
use causeway_core_region::metadata::item::Item;
use causeway_core_region::metadata::shard::Intent;
use causeway_core_region::metadata::{CellMetadata, Metadata, MetadataParts, Told, tables};
use causeway_core_region::store::Store;
use causeway_protocol::backbone::{Cell, Directory, PeerHello, Replica, Shard};
use causeway_protocol::{NodeId, WorkspaceId};
use causeway_transport::backbone::{Backbone, BackboneConfig, Services, Traffic};
use causeway_transport::ca::Authority;
use causeway_transport::endpoint::Liveness;
use causeway_transport::tls::{Credentials, PeerIdentity, Role, Roots};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// All that is written is of this workspace.
pub const WORKSPACE: WorkspaceId = WorkspaceId(1);
const CELL: u32 = 1;
const FIRST_LIFE: u64 = 1;
/// What replicas wait for comes within this.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between looks whether it has.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// What all nodes of a bench have in common.
pub struct World {
    authority: Authority,
    directory: Directory,
}

/// The node.
pub struct Node {
    me: NodeId,
    /// Its disk.
    pub store: Store,
    /// Its replica.
    pub cell: Arc<CellMetadata>,
    backbone: Backbone,
    stop: CancellationToken,
    running: JoinHandle<()>,
}

struct Nobody;

impl Told for Nobody {
    fn skip(&self, _: WorkspaceId) {}

    fn tell(&self, _: &[Committed]) {}
}

/// What a shard's rows take.
#[derive(Debug, Clone, Copy, Default)]
pub struct Size {
    /// Bytes of keys and values of all rows.
    pub bytes: u64,
    /// Operations in the log.
    pub log_ops: u64,
    /// Rows that are no more, and are remembered.
    pub gone: u64,
    /// Lives that the shard's version names.
    pub actors: usize,
    /// Operations that wait for those they follow.
    pub waiting: u64,
}

impl World {
    /// In which these nodes have a replica each.
    ///
    /// # Errors
    /// Keys that cannot be made.
    pub fn new(nodes: &[u64]) -> anyhow::Result<Self> {
        let replica = |node_id: &u64| Replica {
            node_id: *node_id,
            region: format!("region-{node_id}"),
            ..Replica::default()
        };
        let directory = Directory {
            version: 1,
            cells: vec![Cell {
                id: CELL,
                epoch: 1,
                version: 1,
                replicas: nodes.iter().map(replica).collect(),
                ..Cell::default()
            }],
            shards: vec![Shard {
                workspace: WORKSPACE.0,
                cell: CELL,
                epoch: 1,
                version: 1,
            }],
            ..Directory::default()
        };
        Ok(Self {
            authority: Authority::new("bench", 1)?,
            directory,
        })
    }

    /// Starts a node on what `folder` holds.
    ///
    /// # Errors
    /// A folder or a port that cannot be used.
    pub fn start(&self, me: u64, folder: &Path) -> anyhow::Result<Node> {
        self.start_again(me, FIRST_LIFE, Store::open(folder)?)
    }

    /// Starts a node in a later life of its process, on what its disk holds.
    ///
    /// # Errors
    /// A port that cannot be used.
    pub fn start_again(&self, me: u64, life: u64, store: Store) -> anyhow::Result<Node> {
        let backbone = self.backbone(me, life)?;
        let book = SharedBook::default();
        book.apply(&self.directory);
        let (metadata, outbox) = Metadata::start(MetadataParts {
            node: NodeId(me),
            life,
            store: store.clone(),
            clock: Clock::start(Faults::default()),
            backbone: backbone.clone(),
            book,
        })?;
        let cell = metadata.open(&self.directory.cells[0])?;
        backbone.serve(metadata.register(Services::default()));
        let stop = CancellationToken::new();
        let running = metadata.run(outbox, Arc::new(Nobody), stop.clone());
        Ok(Node {
            me: NodeId(me),
            store,
            cell,
            backbone,
            stop,
            running: tokio::spawn(async move {
                if let Err(error) = running.await {
                    tracing::error!(%error, "a replica has ended");
                }
            }),
        })
    }

    fn backbone(&self, me: u64, life: u64) -> anyhow::Result<Backbone> {
        let identity = PeerIdentity {
            role: Role::Core,
            name: format!("bench-{me}").parse()?,
        };
        let config = BackboneConfig {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            credentials: Credentials::from_pem(&self.authority.issue_node(&identity, 1)?)?,
            roots: Roots::from_pem(&self.authority.pem().public)?,
            liveness: Liveness::BACKBONE,
            wan: None,
        };
        let hello = PeerHello {
            node_id: me,
            incarnation: life,
            name: identity.name.to_string(),
            ..PeerHello::default()
        };
        Ok(Backbone::bind(&config, hello)?)
    }
}

impl Node {
    /// Connects two nodes.
    ///
    /// # Errors
    /// A connection that does not come about.
    pub async fn meet(&self, other: &Self) -> anyhow::Result<()> {
        // Before any of them can dial by itself: of two connections one is given up, and
        // what went over it is not counted.
        self.backbone.connect(other.backbone.address()?).await?;
        other
            .backbone
            .set_address(self.me, self.backbone.address()?);
        self.backbone
            .set_address(other.me, other.backbone.address()?);
        Ok(())
    }

    /// Ends it; what it has is on its disk.
    pub async fn stop(self) {
        self.stop.cancel();
        // An end with an error has been told.
        let _ = self.running.await;
        self.backbone.close().await;
    }

    /// Bytes that went to and came from `other` on the connection in use.
    pub fn traffic(&self, other: &Self) -> Traffic {
        self.backbone.traffic(other.me).unwrap_or_default()
    }

    /// Its number.
    pub fn number(&self) -> u64 {
        self.me.0
    }

    /// Writes one change, and waits until it is on the disk. Returns whether there was
    /// something to change.
    ///
    /// # Errors
    /// The disk's.
    pub async fn write(&self, item: Item, intent: Intent) -> anyhow::Result<bool> {
        let (dot, durable) = self.cell.write(WORKSPACE, vec![(item, intent)])?;
        durable.wait().await?;
        Ok(dot.is_some())
    }

    /// Waits until this node has all that `other` has.
    ///
    /// # Errors
    /// It does not come.
    pub async fn has_all_of(&self, other: &Self) -> anyhow::Result<()> {
        let wanted = other.cell.version(WORKSPACE)?;
        self.until("all of another's operations", || {
            let has = self.cell.version(WORKSPACE)?.has_all(&wanted);
            Ok(has && self.cell.serves(WORKSPACE)?)
        })
        .await
    }

    /// Waits until the log is empty: every replica has all that was written.
    ///
    /// # Errors
    /// It does not come.
    pub async fn is_collected(&self) -> anyhow::Result<()> {
        self.until("an empty log", || Ok(self.size()?.log_ops == 0))
            .await
    }

    async fn until(
        &self,
        what: &str,
        mut is_so: impl FnMut() -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let waiting = async {
            while !is_so()? {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            anyhow::Ok(())
        };
        let waited = tokio::time::timeout(PATIENCE, waiting).await;
        waited.with_context(|| format!("{what}: not within {PATIENCE:?}"))?
    }

    /// Operations that wait for those they follow.
    ///
    /// # Errors
    /// The disk's.
    pub fn waiting(&self) -> anyhow::Result<u64> {
        let (waiting, _) = self.cell.shard(WORKSPACE)?.lock().shard().early();
        Ok(waiting as u64)
    }

    /// What its rows take, and what it holds in memory.
    ///
    /// # Errors
    /// The disk's.
    pub fn size(&self) -> anyhow::Result<Size> {
        let rows = self.cell.rows(WORKSPACE);
        let mut size = Size {
            actors: self.cell.version(WORKSPACE)?.iter().count(),
            waiting: self.waiting()?,
            ..Size::default()
        };
        for row in rows.scan(&[], &[u8::MAX]) {
            let (key, value) = row?;
            size.bytes += (key.len() + value.len()) as u64;
            size.log_ops += u64::from(key.starts_with(&tables::logs()));
            size.gone += u64::from(key.starts_with(&tables::all_gone()));
        }
        ensure!(size.bytes > 0, "nothing was written");
        Ok(size)
    }
}

/// Whether a user has reacted to a message, and that they have, or have not.
pub fn reaction(user: u32, message: u64, is_there: bool) -> (Item, Intent) {
    let item = Item::Reaction {
        channel: 1,
        ts: message,
        emoji: "thumbsup".into(),
        user,
    };
    let intent = match is_there {
        true => Intent::Put(Bytes::new()),
        false => Intent::Remove,
    };
    (item, intent)
}
