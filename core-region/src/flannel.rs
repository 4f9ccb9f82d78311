//! Answers edge nodes that fill what they keep of workspaces.

use std::sync::Arc;

use bytes::Bytes;
use causeway_protocol::backbone::FlannelAsk;
use causeway_protocol::{ApiError, CellId, ErrorCode, Method};
use causeway_transport::backbone::Services;
use causeway_transport::tls::Role;
use prost::Message;
use tokio::sync::Semaphore;

use crate::cells::Cells;
use crate::routed;

/// Answers that are read at a time: whoever boots is not to keep others from the disk.
const AT_A_TIME: usize = 2;

/// Serves edge nodes.
#[must_use]
pub fn register(services: Services, cells: Cells) -> Services {
    let turns = Arc::new(Semaphore::new(AT_A_TIME));
    services.call(Method::FlannelPages, &[Role::Edge], move |_, body| {
        let (cells, turns) = (cells.clone(), Arc::clone(&turns));
        async move { answer(&cells, &turns, body).await }
    })
}

async fn answer(cells: &Cells, turns: &Semaphore, body: Bytes) -> Result<Bytes, ApiError> {
    let ask = FlannelAsk::decode(body);
    let ask = ask.map_err(|e| ApiError::new(ErrorCode::Malformed, e.to_string()))?;
    let cell = cells.get(CellId(ask.cell));
    let unavailable = |text: &str| ApiError::new(ErrorCode::Unavailable, text);
    let cell = cell.ok_or_else(|| unavailable("no replica of the cell is here"))?;
    let turn = turns.acquire().await;
    let _turn = turn.map_err(|_| unavailable("this node is about to end"))?;
    Ok(match cell.flannel(ask).await {
        Ok(answer) => routed::answer(answer.encode_to_vec()),
        Err(error) => routed::refused(&error),
    })
}
