//! Keeps a node's [`Routes`] up to date: follows the directory through the
//! nearest of its replicas, and takes in what leaders announce.

use std::sync::Arc;
use std::time::Duration;

use causeway_protocol::backbone::{Directory, DirectoryPoll, LeaderHint, LeaderHints};
use causeway_protocol::{CellId, Method, NodeId};
use causeway_transport::backbone::{Backbone, Services};
use causeway_transport::tls::Role as PeerRole;
use prost::Message;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::member::Membership;
use crate::routes::Routes;
use crate::service::Gossip;

/// A poll is answered by then, changes or not.
pub const POLL_HOLD: Duration = Duration::from_secs(10);
/// Time for the way there and back on top of it.
const POLL_TIMEOUT: Duration = Duration::from_secs(12);
/// Pause after a poll that failed.
const POLL_PAUSE: Duration = Duration::from_millis(200);

/// A node's routes; clones share them.
#[derive(Debug, Clone)]
pub struct SharedRoutes(watch::Sender<Arc<Routes>>);

impl Default for SharedRoutes {
    fn default() -> Self {
        Self(watch::Sender::new(Arc::default()))
    }
}

impl SharedRoutes {
    /// The routes as they are now.
    pub fn get(&self) -> Arc<Routes> {
        self.0.borrow().clone()
    }

    /// For waiting until they change.
    pub fn watch(&self) -> watch::Receiver<Arc<Routes>> {
        self.0.subscribe()
    }

    /// Takes in what the directory says.
    pub fn apply_directory(&self, directory: &Directory) {
        self.0
            .send_if_modified(|routes| Arc::make_mut(routes).apply_directory(directory));
    }

    /// Takes in who leads which cells.
    pub fn apply_hints(&self, hints: &[LeaderHint]) {
        self.0.send_if_modified(|routes| {
            let mut fresh = Routes::clone(routes);
            let mut changed = false;
            for hint in hints {
                changed |= fresh.apply_hint(hint);
            }
            // An early hint is kept although nobody needs to be woken.
            *routes = Arc::new(fresh);
            changed
        });
    }

    /// Serves the announcements of leaders.
    #[must_use]
    pub fn register(&self, services: Services) -> Services {
        let routes = self.clone();
        services.one_way(
            Method::LeaderHints,
            &[PeerRole::Core],
            move |_, mut recv| {
                let routes = routes.clone();
                async move {
                    while let Ok(Some(hints)) = recv.message::<LeaderHints>().await {
                        routes.apply_hints(&hints.hints);
                    }
                }
            },
        )
    }
}

/// Follows the directory until `stop`, by way of the nearest of its replicas, as
/// far as `routes` tell; of any core node as long as they do not. `have` is the
/// version that this node has; `apply` takes what is new.
pub async fn follow_directory(
    backbone: Backbone,
    gossip: Gossip,
    routes: SharedRoutes,
    have: impl Fn() -> u64,
    apply: impl Fn(&Directory),
    stop: CancellationToken,
) {
    let mut avoid = None;
    loop {
        let polling = async {
            let source = source(
                backbone.node(),
                &gossip.membership(),
                &routes.get(),
                avoid,
                |node| backbone.round_trip(node),
            )
            .ok_or(None)?;
            poll(&backbone, source, have())
                .await
                .map_err(|()| Some(source))
        };
        match stop.run_until_cancelled(polling).await {
            None => return,
            Some(Ok(directory)) => {
                avoid = None;
                apply(&directory);
            }
            Some(Err(node)) => {
                avoid = node;
                tokio::time::sleep(POLL_PAUSE).await;
            }
        }
    }
}

async fn poll(backbone: &Backbone, node: NodeId, have_version: u64) -> Result<Directory, ()> {
    let poll = DirectoryPoll {
        have_version,
        at_once: false,
    };
    let body = poll.encode_to_vec().into();
    let answer = backbone.call(node, Method::Directory, body, POLL_TIMEOUT);
    Directory::decode(answer.await.map_err(drop)?).map_err(drop)
}

/// Whom `me` asks: the nearest replica of the directory. Others only follow it,
/// and two that followed each other would hear nothing; they are asked by a node
/// that knows no replica, or instead of the one to `avoid`.
pub fn source(
    me: NodeId,
    membership: &Membership,
    routes: &Routes,
    avoid: Option<NodeId>,
    round_trip: impl Fn(NodeId) -> Option<Duration>,
) -> Option<NodeId> {
    let directory = routes.cell(CellId::DIRECTORY);
    let follows = |node: NodeId| {
        !directory.is_some_and(|route| route.replicas.iter().any(|r| r.node == node))
    };
    membership
        .cores(None)
        .map(|member| member.node)
        .filter(|node| *node != me)
        .min_by_key(|node| {
            let round_trip = round_trip(*node).unwrap_or(Duration::from_secs(3_600));
            (Some(*node) == avoid, follows(*node), round_trip)
        })
}
