//! Snapshots: a cell's state on its way to another replica, in chunks. Never a
//! whole cell in memory; never half a cell in use.

use std::io;

use causeway_protocol::CellId;
use tokio::sync::{mpsc, oneshot};

use super::state_adapter::{read_applied, read_membership};
use super::types::SnapshotMeta;
use crate::raft_wire::{Row, SnapshotChunk};
use crate::state::CellState;
use crate::store::keys::{self, Generation};
use crate::store::{Family, Snapshot, Store, StoreError};

/// Bytes of rows in a chunk, about.
const CHUNK_BYTES: usize = 256 * 1024;
/// Chunks read ahead of the network.
const CHUNKS_AHEAD: usize = 4;

/// A cell's state, about to be sent, or received and not yet in use.
pub enum SnapshotData {
    /// Read from the store as it is sent.
    Outgoing(mpsc::Receiver<Result<SnapshotChunk, StoreError>>),
    /// Received into this generation.
    Staged(Generation),
}

/// Begins to read the state as it is now. A thread holds RocksDB's snapshot
/// until all is read, or the receiver is dropped.
///
/// # Errors
/// The store's error.
pub async fn read(state: CellState) -> io::Result<(SnapshotMeta, SnapshotData)> {
    let (found, meta) = oneshot::channel();
    let (chunks, receiver) = mpsc::channel(CHUNKS_AHEAD);
    tokio::task::spawn_blocking(move || {
        let prefix = keys::state(state.cell(), state.generation());
        state.store().with_snapshot(|snapshot| {
            let meta = read_meta(snapshot, &prefix);
            let readable = meta.is_ok();
            if found.send(meta).is_ok() && readable {
                send_rows(snapshot, &prefix, &chunks);
            }
        });
    });
    let meta = meta.await.map_err(io::Error::other)??;
    Ok((meta, SnapshotData::Outgoing(receiver)))
}

fn read_meta(snapshot: &Snapshot<'_>, prefix: &keys::Key) -> Result<SnapshotMeta, StoreError> {
    let get = |key: &keys::Key| snapshot.get(Family::State, &prefix.clone().bytes(key));
    Ok(SnapshotMeta {
        last_log_id: read_applied(get)?,
        last_membership: read_membership(get)?,
    })
}

fn send_rows(
    snapshot: &Snapshot<'_>,
    prefix: &keys::Key,
    chunks: &mpsc::Sender<Result<SnapshotChunk, StoreError>>,
) {
    let (mut rows, mut bytes) = (Vec::new(), 0);
    for row in snapshot.range(Family::State, prefix, &prefix.end()) {
        let (key, value) = match row {
            Ok(row) => row,
            Err(error) => {
                // The receiver may be gone, too: nobody is left to tell.
                let _ = chunks.blocking_send(Err(error));
                return;
            }
        };
        bytes += key.len() + value.len();
        rows.push(Row {
            key: key[prefix.len()..].to_vec().into(),
            value: value.into_vec().into(),
        });
        if bytes >= CHUNK_BYTES {
            bytes = 0;
            let rows = std::mem::take(&mut rows);
            if chunks
                .blocking_send(Ok(SnapshotChunk { rows, last: false }))
                .is_err()
            {
                return;
            }
        }
    }
    let _ = chunks.blocking_send(Ok(SnapshotChunk { rows, last: true }));
}

/// Receives a snapshot into the generation after the present one, which stays
/// in use meanwhile.
pub struct Staging {
    store: Store,
    cell: CellId,
    generation: Generation,
}

impl Staging {
    /// Makes room, also where an earlier attempt was cut off.
    ///
    /// # Errors
    /// The store's error.
    pub fn begin(state: &CellState) -> Result<Self, StoreError> {
        let generation = Generation(state.generation().0.wrapping_add(1));
        let prefix = keys::state(state.cell(), generation);
        let mut batch = state.store().batch();
        batch.delete_range(Family::State, &prefix, &prefix.end());
        batch.write()?;
        Ok(Self {
            store: state.store().clone(),
            cell: state.cell(),
            generation,
        })
    }

    /// Adds rows.
    ///
    /// # Errors
    /// The store's error.
    pub fn add(&self, rows: &[Row]) -> Result<(), StoreError> {
        let prefix = keys::state(self.cell, self.generation);
        let mut batch = self.store.batch();
        for row in rows {
            let key = prefix.clone().bytes(&row.key);
            batch.put(Family::State, &key, &row.value);
        }
        batch.write()
    }

    /// All rows are there.
    pub fn finish(self) -> SnapshotData {
        SnapshotData::Staged(self.generation)
    }
}
