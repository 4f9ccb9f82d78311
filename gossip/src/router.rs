//! The way of a call to a cell: to its leader wherever that is, or to the
//! nearest replica.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway_protocol::backbone::{RoutedReply, routed_reply};
use causeway_protocol::{ApiError, CellId, ErrorCode, Method, NodeId};
use causeway_transport::backbone::{Backbone, CallError};
use futures::future::BoxFuture;
use prost::Message;

use crate::search::{DIAL_TIMEOUT, LeaderSearch, Next, Patience, TRY_TIMEOUT, reaches_quorum};
use crate::sync::SharedRoutes;

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

/// Between looks whether a quorum is within reach.
const LOOK_EVERY: Duration = Duration::from_millis(50);

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
    /// It may have been carried out, and nobody there knows.
    Unavailable(ApiError),
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

    /// Calls the leader of `cell`, and looks for it as long as there is patience.
    ///
    /// # Errors
    /// What the leader says, or [`ErrorCode::Unavailable`].
    pub async fn call_leader(
        &self,
        cell: CellId,
        method: Method,
        body: Bytes,
        repeat: Repeat,
        patience: Patience,
    ) -> Result<Bytes, ApiError> {
        let mut search = LeaderSearch::new(cell, &self.routes.get(), patience, Instant::now());
        let mut last = unavailable(format!("cell {cell} is not known"));
        loop {
            let next = search.next(
                &self.routes.get(),
                |node| self.is_connected(node),
                Instant::now(),
            );
            let (node, timeout) = match next {
                Next::Try(node, timeout) => (node, timeout),
                Next::Pause(pause) => {
                    tokio::time::sleep(pause).await;
                    continue;
                }
                Next::GiveUp => return Err(last),
            };
            let trying = self.call_once(node, method, body.clone(), timeout);
            let tried_this = tokio::select! {
                tried = trying => tried,
                // A new leader is heard of while the old one does not answer:
                // whoever was waited for, it is not worth waiting any longer.
                () = self.led_by_another(&search, node), if repeat == Repeat::Safe => {
                    tracing::debug!(%cell, %node, "given up for a new leader");
                    continue;
                }
                () = self.cut_off(&search) => {
                    return Err(unavailable(format!("no quorum of cell {cell} is within reach")));
                }
            };
            match tried_this {
                Tried::Answered(answer) => return Ok(answer),
                Tried::Refused(error) => return Err(error),
                Tried::Elsewhere(about_to) => {
                    // Whoever has no room is a better reason than whoever does not lead.
                    if last.code != ErrorCode::StorageFull {
                        last = unavailable(format!("{node} does not lead cell {cell}"));
                    }
                    search.follow(about_to);
                }
                Tried::NoRoom(error) => last = error,
                Tried::Unavailable(error)
                    if repeat == Repeat::Safe && self.reaches_quorum(cell) =>
                {
                    // It has lost the others, which this node has not: they
                    // may be electing another.
                    search.lost_quorum(node);
                    last = error;
                }
                Tried::Unavailable(error) => return Err(error),
                Tried::Unknown(reason) if repeat == Repeat::Unsafe => {
                    return Err(unavailable(reason));
                }
                Tried::Unknown(reason) => last = unavailable(reason),
            }
            tracing::debug!(%cell, %node, %last, "tried in vain");
            search.failed(node);
        }
    }

    /// Calls the replicas of `cell`, the nearest first, until one answers.
    ///
    /// # Errors
    /// What the replica says, or [`ErrorCode::Unavailable`].
    pub async fn call_nearest(
        &self,
        cell: CellId,
        method: Method,
        body: Bytes,
        patience: Patience,
    ) -> Result<Bytes, ApiError> {
        let begun = Instant::now();
        let mut last = unavailable("no replica is known".into());
        for node in self.by_distance(cell) {
            let patience = patience.after(begun.elapsed());
            let left = match self.reaches_quorum(cell) {
                true => patience.reaching_quorum,
                false => patience.cut_off,
            };
            let longest = match self.is_connected(node) {
                true => TRY_TIMEOUT,
                false => DIAL_TIMEOUT,
            };
            let timeout = left.min(longest);
            if timeout.is_zero() {
                break;
            }
            match self.call_once(node, method, body.clone(), timeout).await {
                Tried::Answered(answer) => return Ok(answer),
                Tried::Refused(error) => return Err(error),
                Tried::Elsewhere(_) => {}
                Tried::NoRoom(error) | Tried::Unavailable(error) => last = error,
                Tried::Unknown(reason) => last = unavailable(reason),
            }
        }
        Err(last)
    }

    /// Ends when another leader of the cell is known than the one tried.
    async fn led_by_another(&self, search: &LeaderSearch, tried: NodeId) {
        let mut routes = self.routes.watch();
        let changed = routes.wait_for(|routes| search.is_led_by_another(routes, tried));
        if changed.await.is_err() {
            std::future::pending().await
        }
    }

    /// Ends when the search has waited long enough for a quorum that is out of
    /// this node's reach.
    async fn cut_off(&self, search: &LeaderSearch) {
        tokio::time::sleep_until(search.deadline_cut_off().into()).await;
        let is_over =
            || search.is_over(&self.routes.get(), |n| self.is_connected(n), Instant::now());
        while !is_over() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn reaches_quorum(&self, cell: CellId) -> bool {
        reaches_quorum(&self.routes.get(), cell, |node| self.is_connected(node))
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
        route.by_distance(|node| match node == self.backbone.node() {
            true => Some(Duration::ZERO),
            false => self.backbone.round_trip(node),
        })
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
            Err(CallError::Refused(error)) if error.code == ErrorCode::Unavailable => {
                return Tried::Unavailable(error);
            }
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
                    ErrorCode::Unavailable => Tried::Unavailable(error),
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
