//! The way of a call to a cell: to its leader wherever that is, or to the
//! nearest replica.

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway_protocol::backbone::{RoutedReply, routed_reply};
use causeway_protocol::{ApiError, CellId, ErrorCode, Method, NodeId};
use causeway_transport::backbone::{Backbone, CallError};
use futures::future::BoxFuture;
use prost::Message;

use crate::routes::{Leader, Routes};
use crate::sync::SharedRoutes;

/// One try at one node. A quorum across an ocean takes a fraction of this.
const TRY_TIMEOUT: Duration = Duration::from_secs(2);
/// A node without a connection is given this long: a handshake across the world
/// and the answer. It is probably dead.
const DIAL_TIMEOUT: Duration = Duration::from_millis(800);
/// After every replica has been tried in vain.
const ROUND_PAUSE: Duration = Duration::from_millis(50);

/// Whether a call may be made again when its fate is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// It has an id, or doing it twice is the same as once.
    Safe,
    /// It is made again only if it certainly was not carried out.
    Unsafe,
}

/// How a node answers calls that its own router finds to be for itself.
pub type LocalCalls =
    dyn Fn(Method, Bytes) -> BoxFuture<'static, Result<Bytes, ApiError>> + Send + Sync;

/// Routes calls by what this node knows of the cells; clones share that.
#[derive(Clone)]
pub struct Router {
    backbone: Backbone,
    routes: SharedRoutes,
    local: Arc<OnceLock<Box<LocalCalls>>>,
}

/// What one try at one node led to.
enum Tried {
    Answered(Bytes),
    Refused(ApiError),
    /// It does not lead; perhaps it knows who is about to.
    Elsewhere(Option<NodeId>),
    /// It leads, and takes no writes: another will lead soon.
    NoRoom(ApiError),
    /// It was not reached, or its answer did not come.
    Unknown(String),
}

impl Router {
    /// Over these connections and routes.
    pub fn new(backbone: Backbone, routes: SharedRoutes) -> Self {
        Self {
            backbone,
            routes,
            local: Arc::default(),
        }
    }

    /// Answers calls to this node itself. Only the first call counts.
    pub fn serve_local(&self, local: Box<LocalCalls>) {
        // Set once, while the node starts.
        let _ = self.local.set(local);
    }

    /// The routes that are used.
    pub fn routes(&self) -> &SharedRoutes {
        &self.routes
    }

    /// The backbone below.
    pub fn backbone(&self) -> &Backbone {
        &self.backbone
    }

    /// Calls the leader of `cell`, and looks for it until `budget` is used up.
    ///
    /// # Errors
    /// What the leader says, or [`ErrorCode::Unavailable`].
    pub async fn call_leader(
        &self,
        cell: CellId,
        method: Method,
        body: Bytes,
        repeat: Repeat,
        budget: Duration,
    ) -> Result<Bytes, ApiError> {
        let deadline = Instant::now() + budget;
        let mut tried = HashSet::new();
        let mut successor = None;
        let mut hinted = self.hinted(cell);
        let mut last = unavailable(format!("cell {cell} is not known"));
        loop {
            let now = self.hinted(cell);
            if now != hinted {
                // Whoever did not lead a moment ago may do so now.
                tried.clear();
                hinted = now;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(last);
            }
            let next = successor.take();
            let Some(node) = next.or_else(|| self.next_candidate(cell, &tried)) else {
                tried.clear();
                tokio::time::sleep(ROUND_PAUSE.min(left)).await;
                continue;
            };
            let timeout = match self.is_connected(node) {
                true => left.min(TRY_TIMEOUT),
                false => left.min(DIAL_TIMEOUT),
            };
            let trying = self.call_once(node, method, body.clone(), timeout);
            let tried_this = match repeat {
                Repeat::Unsafe => trying.await,
                // A new leader is heard of while the old one does not answer:
                // whoever was waited for, it is not worth waiting any longer.
                Repeat::Safe => tokio::select! {
                    tried = trying => tried,
                    () = self.led_by_another(cell, node, hinted) => {
                        tracing::debug!(%cell, %node, "given up for a new leader");
                        continue;
                    }
                },
            };
            match tried_this {
                Tried::Answered(answer) => return Ok(answer),
                Tried::Refused(error) => return Err(error),
                Tried::Elsewhere(about_to) => {
                    // Whoever has no room is a better reason than whoever does not lead.
                    if last.code != ErrorCode::StorageFull {
                        last = unavailable(format!("{node} does not lead cell {cell}"));
                    }
                    successor = about_to;
                }
                Tried::NoRoom(error) => last = error,
                Tried::Unknown(reason) if repeat == Repeat::Unsafe => {
                    return Err(unavailable(reason));
                }
                Tried::Unknown(reason) => last = unavailable(reason),
            }
            tracing::debug!(%cell, %node, %last, "tried in vain");
            tried.insert(node);
        }
    }

    /// Calls the nearest replica of `cell` that answers; the leader at last.
    ///
    /// # Errors
    /// What the replica says, or [`ErrorCode::Unavailable`].
    pub async fn call_nearest(
        &self,
        cell: CellId,
        method: Method,
        body: Bytes,
        budget: Duration,
    ) -> Result<Bytes, ApiError> {
        let deadline = Instant::now() + budget;
        let mut last = unavailable("no replica is known".into());
        for node in self.by_distance(cell) {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = left.min(TRY_TIMEOUT);
            match self.call_once(node, method, body.clone(), timeout).await {
                Tried::Answered(answer) => return Ok(answer),
                Tried::Refused(error) if error.code == ErrorCode::Unavailable => last = error,
                Tried::Refused(error) => return Err(error),
                Tried::Elsewhere(_) => {}
                Tried::NoRoom(error) => last = error,
                Tried::Unknown(reason) => last = unavailable(reason),
            }
        }
        Err(last)
    }

    /// The leader of a cell, as far as is known.
    fn hinted(&self, cell: CellId) -> Option<Leader> {
        self.routes.get().cell(cell)?.leader
    }

    /// Ends when another leader of the cell is known than was `hinted`.
    async fn led_by_another(&self, cell: CellId, tried: NodeId, hinted: Option<Leader>) {
        let leader = |routes: &Routes| routes.cell(cell).and_then(|route| route.leader);
        let mut routes = self.routes.watch();
        let changed = routes.wait_for(|routes| {
            let now = leader(routes);
            now != hinted && now.is_some_and(|leader| leader.node != tried)
        });
        if changed.await.is_err() {
            std::future::pending().await
        }
    }

    fn next_candidate(&self, cell: CellId, tried: &HashSet<NodeId>) -> Option<NodeId> {
        let routes = self.routes.get();
        let candidates = routes.cell(cell)?.candidates();
        let untried: Vec<NodeId> = candidates.filter(|node| !tried.contains(node)).collect();
        // A leader without a connection is probably dead: those who elect the
        // next one are asked first.
        let connected = untried.iter().find(|node| self.is_connected(**node));
        connected.or(untried.first()).copied()
    }

    fn is_connected(&self, node: NodeId) -> bool {
        node == self.backbone.node() || self.backbone.round_trip(node).is_some()
    }

    /// The replicas of a cell, the nearest first; those of unknown distance last.
    pub fn by_distance(&self, cell: CellId) -> Vec<NodeId> {
        let routes = self.routes.get();
        let Some(route) = routes.cell(cell) else {
            return Vec::new();
        };
        let mut nodes: Vec<_> = route.replicas.iter().map(|r| r.node).collect();
        nodes.sort_by_key(|node| {
            if *node == self.backbone.node() {
                return Duration::ZERO;
            }
            let round_trip = self.backbone.round_trip(*node);
            round_trip.unwrap_or(Duration::MAX)
        });
        nodes
    }

    async fn call_once(
        &self,
        node: NodeId,
        method: Method,
        body: Bytes,
        timeout: Duration,
    ) -> Tried {
        let answer = match self.local.get() {
            Some(local) if node == self.backbone.node() => {
                local(method, body).await.map_err(CallError::Refused)
            }
            _ => self.backbone.call(node, method, body, timeout).await,
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(CallError::Refused(error)) => return Tried::Refused(error),
            Err(error) => return Tried::Unknown(error.to_string()),
        };
        let Ok(reply) = RoutedReply::decode(answer) else {
            return Tried::Unknown("the answer cannot be understood".into());
        };
        if let Some(hint) = &reply.leader {
            self.routes.apply_hints(std::slice::from_ref(hint));
        }
        match reply.result {
            Some(routed_reply::Result::Body(body)) => Tried::Answered(body),
            Some(routed_reply::Result::Error(error)) => {
                let error = ApiError::from_wire(error);
                match error.code {
                    ErrorCode::NotLeader => {
                        let successor = Some(reply.successor).filter(|node| *node != 0);
                        Tried::Elsewhere(successor.map(NodeId))
                    }
                    ErrorCode::StorageFull => Tried::NoRoom(error),
                    _ => Tried::Refused(error),
                }
            }
            None => Tried::Unknown("an empty answer".into()),
        }
    }
}

fn unavailable(reason: String) -> ApiError {
    ApiError::new(ErrorCode::Unavailable, reason)
}
