//! Stories about what a replica keeps on its disk: the log, the state, and
//! snapshots on their way from one to another.

mod adapter;
mod log;
mod log_model;
mod snapshots;
mod suite;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use bytes::Bytes;
use causeway_protocol::{CellId, Position};
use openraft::EntryPayload;
use openraft::storage::{RaftLogStorageExt, RaftStateMachine};
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::sync::watch;

use super::log_store::LogStore;
use super::snapshot::{SnapshotData, Staging};
use super::state_adapter::StateAdapter;
use super::types::{Command, Entry, LogId, Membership};
use super::{Applied, Machine, Outcome, TopicEntry};
use crate::raft_wire::SnapshotChunk;
use crate::state::{CellState, Row, Tx};
use crate::store::keys::{self, Key};
use crate::store::{Family, Store, StoreError};

const CELL: CellId = CellId(5);

fn id(term: u64, index: u64) -> LogId {
    LogId::new_term_index(term, index)
}

fn blank(term: u64, index: u64) -> Entry {
    Entry {
        log_id: id(term, index),
        payload: EntryPayload::Blank,
    }
}

fn command(term: u64, index: u64, bytes: impl Into<Bytes>) -> Entry {
    Entry {
        log_id: id(term, index),
        payload: EntryPayload::Normal(Command(bytes.into())),
    }
}

fn membership(term: u64, index: u64, voters: &[u64]) -> Entry {
    let voters = vec![voters.iter().copied().collect()];
    Entry {
        log_id: id(term, index),
        payload: EntryPayload::Membership(Membership::new_with_defaults(voters, [])),
    }
}

/// Appends, and waits until it is durable.
async fn append(log: &mut LogStore, entries: impl IntoIterator<Item = Entry>) {
    let entries: Vec<Entry> = entries.into_iter().collect();
    log.blocking_append(entries).await.unwrap();
}

/// The command that sets a row of [`Table`].
fn set(term: u64, index: u64, row: u64, value: &[u8]) -> Entry {
    let mut bytes = row.to_be_bytes().to_vec();
    bytes.extend_from_slice(value);
    command(term, index, bytes)
}

/// A state machine of one table: commands set its rows.
#[derive(Default)]
struct Table {
    reached: Mutex<Vec<(Position, bool)>>,
    replaced: AtomicU32,
}

impl Machine for Table {
    fn apply(&self, tx: &mut Tx<'_>, command: Bytes) -> Result<Applied, StoreError> {
        let (row, value) = command.split_at(8);
        tx.put_bytes(Key::default().u8(1).bytes(row), value);
        Ok(Outcome::Done.into())
    }

    fn reached(&self, position: Position, leading: bool, _entries: Vec<TopicEntry>) {
        self.reached.lock().push((position, leading));
    }

    fn replaced(&self) {
        self.replaced.fetch_add(1, Ordering::Relaxed);
    }
}

/// One replica's state, on a disk of its own.
struct Replica {
    state: CellState,
    adapter: StateAdapter,
    machine: Arc<Table>,
    leading: Arc<AtomicBool>,
    applied: watch::Receiver<Position>,
    folder: TempDir,
}

impl Replica {
    fn new() -> Self {
        Self::start(tempfile::tempdir().unwrap())
    }

    fn start(folder: TempDir) -> Self {
        let state = open_state(folder.path());
        let machine = Arc::new(Table::default());
        let leading = Arc::new(AtomicBool::new(false));
        let (sender, applied) = watch::channel(Position::default());
        let adapter = StateAdapter::new(
            state.clone(),
            Arc::clone(&machine) as Arc<dyn Machine>,
            Arc::clone(&leading),
            sender,
        );
        Self {
            adapter: adapter.unwrap(),
            state,
            machine,
            leading,
            applied,
            folder,
        }
    }

    /// The node stops and starts again.
    fn restarted(self) -> Self {
        let Self {
            folder,
            state,
            adapter,
            ..
        } = self;
        // The disk is closed with its last user.
        drop((state, adapter));
        Self::start(folder)
    }

    async fn apply(&mut self, entries: impl IntoIterator<Item = Entry>) {
        let entries: Vec<_> = entries.into_iter().map(|entry| Ok((entry, None))).collect();
        let entries = futures::stream::iter(entries);
        self.adapter.apply(entries).await.unwrap();
    }

    /// The state as two replicas must agree on it, to the byte.
    fn rows(&self) -> Vec<Row> {
        let view = self.state.view();
        let rows = view.scan(&[], &[u8::MAX]).map(|row| row.unwrap());
        rows.map(|(key, value)| (key, value.into_vec())).collect()
    }

    /// How many rows of the cell are on the disk, in use or not.
    fn rows_on_disk(&self) -> usize {
        let all = keys::states(CELL);
        let rows = self.state.store().range(Family::State, &all, &all.end());
        rows.count()
    }
}

fn open_state(folder: &Path) -> CellState {
    CellState::open(Store::open(folder).unwrap(), CELL).unwrap()
}

/// All chunks of a snapshot that is read from a replica.
async fn chunks(data: SnapshotData) -> Vec<SnapshotChunk> {
    let SnapshotData::Outgoing(mut outgoing) = data else {
        panic!("a snapshot that was received, not read");
    };
    let mut chunks = Vec::new();
    while let Some(chunk) = outgoing.recv().await {
        chunks.push(chunk.unwrap());
    }
    chunks
}

/// Receives a snapshot as the network does, chunk by chunk.
fn receive(state: &CellState, chunks: &[SnapshotChunk]) -> SnapshotData {
    let staging = Staging::begin(state);
    for chunk in chunks {
        staging.add(&chunk.rows).unwrap();
    }
    staging.finish()
}
