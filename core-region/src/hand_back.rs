//! How a node that was replaced, and is back with its disk, gets what only it has to
//! the replicas that took its place: the directory counts its metadata for a while,
//! so it [begins anew](crate::metadata) and ships. Nothing is remembered of how far
//! that is: at any time, what its rows and the directory's record say tells what is
//! to be done next.

use std::time::Duration;

use bytes::Bytes;
use causeway_protocol::{ApiError, CellId, ErrorCode, Method, NodeId};
use causeway_transport::backbone::{Backbone, Services};
use causeway_transport::tls::Role;
use prost::Message;

use crate::cells::Cells;
use crate::directory::{SharedBook, admit, dismiss, place_cells};
use crate::metadata_wire::ReturnRequest;
use crate::state_records::PlaceCells;

/// A leader that does not answer by then is asked again later.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);

/// Has the directory's leader answer the other core nodes.
#[must_use]
pub fn register(services: Services, cells: Cells, book: SharedBook) -> Services {
    services.call(
        Method::MetadataReturn,
        &[Role::Core],
        move |peer, body: Bytes| {
            let (cells, book) = (cells.clone(), book.clone());
            async move {
                let request = ReturnRequest::decode(body)
                    .map_err(|e| ApiError::new(ErrorCode::Malformed, e.to_string()))?;
                decide(&cells, &book, peer.node, &request).await?;
                Ok(Bytes::new())
            }
        },
    )
}

async fn decide(
    cells: &Cells,
    book: &SharedBook,
    node: NodeId,
    request: &ReturnRequest,
) -> Result<(), ApiError> {
    let not_leader = || ApiError::from(ErrorCode::NotLeader);
    let directory = cells.get(CellId::DIRECTORY).ok_or_else(not_leader)?;
    let consensus = directory.consensus();
    // Another's copy may be older than what was placed before this.
    consensus.turn().await.map_err(|_| not_leader())?;
    let cell = CellId(request.cell);
    let changed = match (book.get().cell(cell), request.done) {
        (None, _) => return Err(ErrorCode::InvalidArguments.into()),
        (Some(record), false) => admit(record, node)?,
        (Some(record), true) => dismiss(record, node),
    };
    let Some(changed) = changed else {
        return Ok(());
    };
    tracing::info!(%cell, %node, done = request.done, "a node that was replaced hands back");
    let cells = vec![changed];
    place_cells(consensus.as_ref(), PlaceCells { cells }).await
}

/// Asks the directory's leader to count this node's metadata of a cell, or, when it is
/// `done`, to count it no more. The directory's next record is the answer; without one
/// it is asked again.
pub async fn ask(backbone: Backbone, leader: NodeId, cell: CellId, done: bool) {
    let request = ReturnRequest { cell: cell.0, done };
    let body = request.encode_to_vec().into();
    let asked = backbone.call(leader, Method::MetadataReturn, body, ASK_TIMEOUT);
    if let Err(error) = asked.await {
        tracing::warn!(%cell, %error, "what only this node has is not handed back yet");
    }
}
