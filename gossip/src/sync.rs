//! Keeps a node's [`Routes`] up to date: follows the directory through the
//! nearest core node, and takes in what leaders announce.

use std::sync::Arc;
use std::time::Duration;

use causeway_protocol::backbone::{Directory, DirectoryPoll, LeaderHint, LeaderHints};
use causeway_protocol::{Method, NodeId};
use causeway_transport::backbone::{Backbone, Services};
use causeway_transport::tls::Role as PeerRole;
use prost::Message;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

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

/// Follows the directory until `stop`, by way of whichever other core node is
/// nearest at the time. `have` is the version that this node has; `apply` takes
/// what is new.
pub async fn follow_directory(
    backbone: Backbone,
    gossip: Gossip,
    have: impl Fn() -> u64,
    apply: impl Fn(&Directory),
    stop: CancellationToken,
) {
    let mut avoid = None;
    loop {
        let polling = poll(&backbone, &gossip, have(), avoid);
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

/// One poll; the error is the node that did not answer.
async fn poll(
    backbone: &Backbone,
    gossip: &Gossip,
    have_version: u64,
    avoid: Option<NodeId>,
) -> Result<Directory, Option<NodeId>> {
    let node = nearest_core(backbone, gossip, avoid).ok_or(None)?;
    let poll = DirectoryPoll {
        have_version,
        at_once: false,
    };
    let body = poll.encode_to_vec().into();
    let answer = backbone
        .call(node, Method::Directory, body, POLL_TIMEOUT)
        .await;
    Directory::decode(answer.map_err(|_| Some(node))?).map_err(|_| Some(node))
}

/// The core node with the shortest round trip; those without a connection come
/// last, and `avoid` only if there is no other.
fn nearest_core(backbone: &Backbone, gossip: &Gossip, avoid: Option<NodeId>) -> Option<NodeId> {
    let membership = gossip.membership();
    membership
        .cores(None)
        .map(|member| member.node)
        .filter(|node| *node != backbone.node())
        .min_by_key(|node| {
            let unknown = Duration::from_secs(3_600);
            let round_trip = backbone.round_trip(*node).unwrap_or(unknown);
            (Some(*node) == avoid, round_trip)
        })
}
