//! How a node that was replaced, and is back with its disk, gets what only it has to
//! the replicas that took its place: the directory counts its metadata for a while,
//! so it [begins anew](crate::metadata) and ships. Nothing is remembered of how far
//! that is: at any time, what its rows and the directory's record say tells what is
//! to be done next.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use causeway_gossip::sync::SharedRoutes;
use causeway_protocol::backbone::Cell;
use causeway_protocol::{ApiError, CellId, ErrorCode, Method, NodeId};
use causeway_transport::backbone::{Backbone, CallError, Services};
use causeway_transport::tls::Role;
use prost::Message;
use tokio::sync::Semaphore;

use crate::cells::Cells;
use crate::directory::{SharedBook, admit, change_cells, dismiss};
use crate::metadata_wire::{CellReturn, ReturnRequest};

/// A leader that does not answer by then is asked again later.
const ASK_TIMEOUT: Duration = Duration::from_secs(4);

/// What it takes to ask the directory's leader, who may be this node; clones share it.
#[derive(Clone)]
pub struct HandBack {
    cells: Cells,
    book: SharedBook,
    routes: SharedRoutes,
    backbone: Backbone,
    /// One request at a time.
    turn: Arc<Semaphore>,
}

impl HandBack {
    /// Of this node.
    pub fn new(cells: Cells, book: SharedBook, routes: SharedRoutes, backbone: Backbone) -> Self {
        Self {
            cells,
            book,
            routes,
            backbone,
            turn: Arc::new(Semaphore::new(1)),
        }
    }

    /// Has the directory's leader answer the other core nodes.
    #[must_use]
    pub fn register(&self, services: Services) -> Services {
        let this = self.clone();
        services.call(
            Method::MetadataReturn,
            &[Role::Core],
            move |peer, body: Bytes| {
                let this = this.clone();
                async move {
                    let request = ReturnRequest::decode(body)
                        .map_err(|e| ApiError::new(ErrorCode::Malformed, e.to_string()))?;
                    this.decide(peer.node, &request).await?;
                    Ok(Bytes::new())
                }
            },
        )
    }

    /// Asks for what is to be done next, unless that has been asked and not answered. The
    /// answer is the directory's next record; without one it is asked again.
    pub fn ask(&self, cells: Vec<CellReturn>) {
        let Ok(turn) = Arc::clone(&self.turn).try_acquire_owned() else {
            return;
        };
        let this = self.clone();
        tokio::spawn(async move {
            let _turn = turn;
            if let Err(error) = this.ask_leader(ReturnRequest { cells }).await {
                tracing::warn!(%error, "what only this node has is not handed back yet");
            }
        });
    }

    async fn ask_leader(&self, request: ReturnRequest) -> Result<(), CallError> {
        let me = self.backbone.node();
        let routes = self.routes.get();
        let directory = routes.cell(CellId::DIRECTORY);
        match directory.and_then(|route| route.leader) {
            Some(leader) if leader.node == me => {
                let decided = self.decide(me, &request).await;
                decided.map_err(CallError::Refused)
            }
            Some(leader) => {
                let body = request.encode_to_vec().into();
                let asked =
                    self.backbone
                        .call(leader.node, Method::MetadataReturn, body, ASK_TIMEOUT);
                asked.await.map(drop)
            }
            None => Ok(()),
        }
    }

    /// On the directory's leader.
    async fn decide(&self, node: NodeId, request: &ReturnRequest) -> Result<(), ApiError> {
        let not_leader = || ApiError::from(ErrorCode::NotLeader);
        let directory = self.cells.get(CellId::DIRECTORY).ok_or_else(not_leader)?;
        let consensus = directory.consensus();
        let decide = || {
            let records = request.cells.iter();
            let records = records.map(|asked| self.next_record(node, asked));
            let records: Vec<_> = records.collect::<Result<_, _>>()?;
            Ok(records.into_iter().flatten().collect())
        };
        let cells = change_cells(consensus.as_ref(), decide).await?;
        if cells > 0 {
            tracing::info!(cells, %node, "a node that was replaced hands back");
        }
        Ok(())
    }

    /// The cell's next record, if there is to be one. Who goes by another than the present
    /// one, or asked before it, asks again.
    fn next_record(&self, node: NodeId, asked: &CellReturn) -> Result<Option<Cell>, ApiError> {
        let book = self.book.get();
        match book.cell(CellId(asked.cell)) {
            Some(record) if record.epoch != asked.epoch => Ok(None),
            Some(record) if asked.done => Ok(dismiss(record, node)),
            Some(record) => admit(record, node),
            None => Ok(None),
        }
    }
}
