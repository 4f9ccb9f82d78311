//! Beginning anew: taking all rows of another replica, and giving them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use causeway_protocol::{CellId, Method, NodeId, WorkspaceId, frame};
use causeway_transport::backbone::CallError;
use causeway_transport::stream::{FrameReader, StreamError};
use quinn::SendStream;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use super::cell::{CellMetadata, Changed, Counters, Durable, Effects};
use super::exchange::Exchange;
use super::replica::Anew;
use super::rows::KeyValue;
use super::tables;
use crate::metadata_wire::{self as wire, Refused};
use crate::store::{Family, StoreError};

/// Bytes of rows in a chunk, about.
const CHUNK_BYTES: usize = 256 * 1024;
/// Chunks read ahead of the network.
const CHUNKS_AHEAD: usize = 4;
/// The next chunk comes by then, or another replica is asked.
const CHUNK_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a shard has not begun anew yet.
#[derive(Debug, Error)]
pub enum NotYet {
    /// The directory's record does not count this replica.
    #[error("this replica is not counted")]
    NotCounted,
    /// No other replica can be asked.
    #[error("no replica that counts is within reach")]
    Nobody,
    /// The one that was asked refuses.
    #[error("{node} refuses: {refused:?}")]
    Refused {
        /// Who.
        node: NodeId,
        /// Why.
        refused: Refused,
    },
    /// The way to it.
    #[error(transparent)]
    Unreachable(#[from] CallError),
    /// The stream broke.
    #[error(transparent)]
    Broken(#[from] StreamError),
    /// The stream ended before all had come, or made no sense.
    #[error("the rows ended early")]
    Early,
    /// This node's disk.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It could not be synced.
    #[error(transparent)]
    Sync(#[from] std::io::Error),
}

/// Whether some shard of the cell must begin anew, or the cell has done so and has
/// yet to remember it.
///
/// # Errors
/// [`StoreError`].
pub fn must(cell: &CellMetadata, shards: &BTreeSet<WorkspaceId>) -> Result<bool, StoreError> {
    let Some(since) = counted_since(cell) else {
        return Ok(false);
    };
    for workspace in shards {
        if cell.must_begin_anew(*workspace)?.is_some() {
            return Ok(true);
        }
    }
    Ok(since != cell.since())
}

fn counted_since(cell: &CellMetadata) -> Option<u64> {
    let counted = cell.counted();
    counted.nodes.get(&cell.shared().node).copied()
}

/// Has every shard of the cell that must begin anew do so.
///
/// # Errors
/// [`NotYet`]: to be tried again.
pub async fn begin(
    exchange: &Exchange,
    cell: &Arc<CellMetadata>,
    shards: &BTreeSet<WorkspaceId>,
) -> Result<(), NotYet> {
    let since = counted_since(cell).ok_or(NotYet::NotCounted)?;
    let mut not_yet = None;
    for workspace in shards {
        if let Some(why) = cell.must_begin_anew(*workspace)? {
            if why == Anew::Clock {
                // What was too far ahead is given another time.
                cell.shared().set_clock_back();
            }
            match take_from_nearest(exchange, cell, *workspace, (since, why)).await {
                Ok(source) => {
                    let id = cell.cell();
                    tracing::info!(cell = %id, %workspace, ?why, %source, "metadata has begun anew");
                }
                // A shard that must wait keeps no other from beginning.
                Err(error) => not_yet = Some(error),
            }
        }
    }
    if let Some(error) = not_yet {
        return Err(error);
    }
    if cell.since() != since {
        cell.has_joined(since).await?;
    }
    Ok(())
}

/// The others that count, the nearest first.
fn sources(exchange: &Exchange, cell: &CellMetadata) -> Vec<NodeId> {
    let backbone = exchange.backbone();
    let counted = cell.counted();
    let others = counted.nodes.keys().copied();
    let mut others: Vec<_> = others
        .filter_map(|node| Some((backbone.round_trip(node)?, node)))
        .collect();
    others.sort_unstable();
    others.into_iter().map(|(_, node)| node).collect()
}

async fn take_from_nearest(
    exchange: &Exchange,
    cell: &Arc<CellMetadata>,
    workspace: WorkspaceId,
    again: (u64, Anew),
) -> Result<NodeId, NotYet> {
    let mut last = NotYet::Nobody;
    for source in sources(exchange, cell) {
        match take_from(exchange, cell, workspace, source, again).await {
            Ok(()) => return Ok(source),
            Err(error @ NotYet::Store(_)) => return Err(error),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn take_from(
    exchange: &Exchange,
    cell: &Arc<CellMetadata>,
    workspace: WorkspaceId,
    source: NodeId,
    (since, why): (u64, Anew),
) -> Result<(), NotYet> {
    let (mut send, mut recv) = exchange
        .backbone()
        .open(source, Method::MetadataRows)
        .await?;
    let request = wire::RowsRequest {
        cell: cell.cell().0,
        workspace: workspace.0,
        since,
        is_ahead: why == Anew::Clock,
    };
    let sent = send.write_chunk(frame::encode(&request)).await;
    sent.map_err(|_| NotYet::Early)?;
    let header: wire::RowsHeader = next(&mut recv).await?;
    let refused = match cell.counted().has(source, header.since) {
        true => header.refused(),
        false => Refused::NotCounted,
    };
    if refused != Refused::Unspecified {
        return Err(NotYet::Refused {
            node: source,
            refused,
        });
    }
    let life = cell.next_life().await?;
    cell.step(workspace, |step| {
        step.replica.begin_resync(step.rows);
        Ok(((), Effects::default()))
    })?;
    loop {
        let chunk: wire::RowsChunk = next(&mut recv).await?;
        let rows = chunk.rows.into_iter();
        let rows = rows.map(|row| (row.key.to_vec(), row.value.to_vec()));
        let rows: Vec<KeyValue> = rows.collect();
        cell.step(workspace, |step| {
            step.replica.take_rows(step.rows, rows)?;
            Ok(((), Effects::default()))
        })?;
        if chunk.last {
            break;
        }
    }
    let theirs = header.info.unwrap_or_default();
    let ended = cell.step(workspace, |step| {
        let (rows, clock) = (&mut *step.rows, &mut *step.clock);
        let again = (life, since, step.counted);
        let reissued = step
            .replica
            .end_resync(rows, &theirs, again, clock, step.now_us)?;
        let effects = Effects {
            changed: Changed::Everything,
            ops: reissued.ops.into_iter().map(|(_, op)| op).collect(),
        };
        Ok((reissued.set_aside, effects))
    });
    let (set_aside, durable): (_, Durable) = ended?;
    for dot in set_aside {
        tracing::warn!(cell = %cell.cell(), %workspace, %dot.actor, dot.counter,
            "a join is set aside: it may be older than a departure");
    }
    durable.wait().await?;
    Counters::count(&cell.shared().counters.resyncs, 1);
    Ok(())
}

async fn next<M: prost::Message + Default>(recv: &mut FrameReader) -> Result<M, NotYet> {
    let message = tokio::time::timeout(CHUNK_TIMEOUT, recv.message()).await;
    message.map_err(|_| NotYet::Early)??.ok_or(NotYet::Early)
}

/// Gives a peer all rows of a shard, as they are at one moment.
pub async fn give(exchange: &Exchange, from: NodeId, mut send: SendStream, mut recv: FrameReader) {
    let Ok(request) = next::<wire::RowsRequest>(&mut recv).await else {
        return;
    };
    let (header, mut chunks) = match read(exchange, from, &request).await {
        Ok((header, chunks)) => (header, Some(chunks)),
        Err(refused) => {
            let header = wire::RowsHeader {
                refused: refused.into(),
                ..wire::RowsHeader::default()
            };
            (header, None)
        }
    };
    if send.write_chunk(frame::encode(&header)).await.is_err() {
        return;
    }
    while let Some(chunks) = &mut chunks
        && let Some(chunk) = chunks.recv().await
    {
        if send.write_chunk(frame::encode(&chunk)).await.is_err() {
            return;
        }
    }
    // The taker sees that the last chunk has come.
    let _ = send.finish();
}

/// Begins to read, once all that is to be read is on the disk: nobody may have of this
/// replica what it could lose.
async fn read(
    exchange: &Exchange,
    from: NodeId,
    request: &wire::RowsRequest,
) -> Result<(wire::RowsHeader, mpsc::Receiver<wire::RowsChunk>), Refused> {
    let cell = exchange.hosted().get(CellId(request.cell));
    let cell = cell.ok_or(Refused::Busy)?;
    if !cell.counted().has(from, request.since) {
        return Err(Refused::NotCounted);
    }
    let workspace = WorkspaceId(request.workspace);
    let is_source = cell.is_source(workspace, request.is_ahead);
    let is_source = is_source.unwrap_or(false);
    if !is_source {
        return Err(Refused::Busy);
    }
    let (found, begun) = oneshot::channel();
    let (chunks, receiver) = mpsc::channel(CHUNKS_AHEAD);
    tokio::task::spawn_blocking(move || read_rows(&cell, workspace, found, &chunks));
    let (header, durable) = begun.await.map_err(|_| Refused::Busy)?;
    durable.wait().await.map_err(|_| Refused::Busy)?;
    Ok((header, receiver))
}

fn read_rows(
    cell: &Arc<CellMetadata>,
    workspace: WorkspaceId,
    found: oneshot::Sender<(wire::RowsHeader, Durable)>,
    chunks: &mpsc::Sender<wire::RowsChunk>,
) {
    let read = cell.at_one_moment(workspace, |info, durable, snapshot| {
        let header = wire::RowsHeader {
            info: Some(info.to_wire()),
            since: cell.since(),
            ..wire::RowsHeader::default()
        };
        if found.send((header, durable)).is_err() {
            return Ok(());
        }
        let prefix = tables::shard(cell.cell(), workspace);
        let mut chunk = wire::RowsChunk::default();
        let mut bytes = 0;
        for table in tables::resynced() {
            let from = prefix.clone().bytes(&table);
            for row in snapshot.range(Family::Metadata, &from, &from.end()) {
                let (key, value) = row?;
                bytes += key.len() + value.len();
                chunk.rows.push(wire::KeyValue {
                    key: key[prefix.len()..].to_vec().into(),
                    value: value.into_vec().into(),
                });
                if bytes >= CHUNK_BYTES {
                    bytes = 0;
                    if chunks.blocking_send(std::mem::take(&mut chunk)).is_err() {
                        return Ok(());
                    }
                }
            }
        }
        chunk.last = true;
        // The peer may be gone.
        let _ = chunks.blocking_send(chunk);
        Ok(())
    });
    if let Err(error) = read {
        tracing::error!(%error, "rows cannot be read");
    }
}
