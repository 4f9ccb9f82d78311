//! Snapshots: a cell's state on its way to another replica, in chunks. Never a
//! whole cell in memory; never half a cell in use.

use std::io;

use causeway_protocol::CellId;
use tokio::sync::{mpsc, oneshot};

use super::state_adapter::{read_applied, read_membership};
use super::types::SnapshotMeta;
use crate::raft_wire::{Row, SnapshotChunk};
use crate::state::{CellState, read_generation};
use crate::store::keys::{self, Generation};
use crate::store::{Family, Snapshot, StoreError};

/// Bytes of rows in a chunk, about.
const CHUNK_BYTES: usize = 256 * 1024;
/// Chunks read ahead of the network.
const CHUNKS_AHEAD: usize = 4;

/// A cell's state, about to be sent, or received and not yet in use.
pub enum SnapshotData {
    /// Read from the store as it is sent.
    Outgoing(mpsc::Receiver<Result<SnapshotChunk, StoreError>>),
    /// Received, in full.
    Staged(Staging),
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
        state.store().with_snapshot(|snapshot| {
            match begin(snapshot, state.cell()) {
                Ok((prefix, meta)) => {
                    if found.send(Ok(meta)).is_ok() {
                        send_rows(snapshot, &prefix, &chunks);
                    }
                }
                // Whoever has asked may be gone.
                Err(error) => drop(found.send(Err(error))),
            }
        });
    });
    let meta = meta.await.map_err(io::Error::other)??;
    Ok((meta, SnapshotData::Outgoing(receiver)))
}

/// Where the state is in this snapshot of the store, and how far it is. The
/// state may be replaced at any time: what is present is for the snapshot to say.
fn begin(snapshot: &Snapshot<'_>, cell: CellId) -> Result<(keys::Key, SnapshotMeta), StoreError> {
    let generation = snapshot.get(Family::Node, &keys::generation(cell))?;
    let prefix = keys::state(cell, read_generation(generation)?);
    let get = |key: &keys::Key| snapshot.get(Family::State, &prefix.clone().bytes(key));
    let meta = SnapshotMeta {
        last_log_id: read_applied(get)?,
        last_membership: read_membership(get)?,
    };
    Ok((prefix, meta))
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

/// Receives a snapshot into a generation of its own; the present one stays in use
/// meanwhile. What is not installed is removed.
pub struct Staging {
    state: CellState,
    generation: Generation,
    installed: bool,
}

impl Staging {
    /// Makes room.
    pub fn begin(state: &CellState) -> Self {
        Self {
            generation: state.reserve(),
            state: state.clone(),
            installed: false,
        }
    }

    /// Adds rows.
    ///
    /// # Errors
    /// The store's error.
    pub fn add(&self, rows: &[Row]) -> Result<(), StoreError> {
        let prefix = keys::state(self.state.cell(), self.generation);
        let mut batch = self.state.store().batch();
        for row in rows {
            let key = prefix.clone().bytes(&row.key);
            batch.put(Family::State, &key, &row.value);
        }
        batch.write()
    }

    /// All rows are there.
    pub fn finish(self) -> SnapshotData {
        SnapshotData::Staged(self)
    }

    /// Puts what was received in the place of the present state.
    ///
    /// # Errors
    /// The store's error; the present state stays.
    pub fn install(mut self) -> Result<(), StoreError> {
        self.state.switch_to(self.generation)?;
        self.installed = true;
        Ok(())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if self.installed {
            return;
        }
        let prefix = keys::state(self.state.cell(), self.generation);
        let mut batch = self.state.store().batch();
        batch.delete_range(Family::State, &prefix, &prefix.end());
        if let Err(error) = batch.write() {
            let cell = self.state.cell();
            tracing::warn!(%cell, %error, "half a snapshot stays until the next start");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consensus::types::LogId;
    use crate::state_records::Applied;
    use crate::store::{Store, record};

    #[test]
    fn a_snapshot_reads_the_state_that_was_present_when_it_was_taken() {
        let folder = tempfile::tempdir().unwrap();
        let state = CellState::open(Store::open(folder.path()).unwrap(), CellId(1)).unwrap();
        let applied = |generation, index| {
            let mut batch = state.store().batch();
            let key = keys::state(state.cell(), Generation(generation))
                .u8(0)
                .u8(0);
            let record = record::encode(&Applied { term: 1, index });
            batch.put(Family::State, &key, &record);
            batch.write().unwrap();
        };
        applied(0, 5);
        applied(1, 9);
        let last = |snapshot: &Snapshot<'_>| begin(snapshot, state.cell()).unwrap().1.last_log_id;
        state.store().with_snapshot(|snapshot| {
            state.switch_to(Generation(1)).unwrap();
            assert_eq!(last(snapshot), Some(LogId::new_term_index(1, 5)));
        });
        state.store().with_snapshot(|snapshot| {
            assert_eq!(last(snapshot), Some(LogId::new_term_index(1, 9)));
        });
    }
}
