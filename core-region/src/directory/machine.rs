//! The directory's state machine: cells, and which shard is in which. Its state
//! is the truth; the [`Book`] is its copy in memory.

use std::sync::Arc;

use bytes::Bytes;
use causeway_protocol::backbone::{Cell, CreateWorkspace, Directory, Shard, WorkspaceName};
use causeway_protocol::{ApiError, CellId, ErrorCode, Position, WorkspaceId};
use parking_lot::Mutex;
use prost::Message;
use tokio::sync::watch;

use super::book::Book;
use crate::consensus::{Applied, Machine, Outcome, TopicEntry};
use crate::state::{CellState, ReadState, Tx, View};
use crate::state_records::{Command, DirectoryCounters, PlaceCells, command::Body};
use crate::store::keys::Key;
use crate::store::{StoreError, record};

fn cell_key(cell: u32) -> Key {
    Key::default().u8(40).u32(cell)
}

fn shard_key(workspace: u32) -> Key {
    Key::default().u8(41).u32(workspace)
}

fn name_key(name: &str) -> Key {
    Key::default().u8(42).bytes(name.as_bytes())
}

fn counters_key() -> Key {
    Key::default().u8(43)
}

/// Applies commands to the directory.
pub struct DirectoryMachine {
    state: CellState,
    book: watch::Sender<Arc<Book>>,
    /// What has been applied and is not written yet.
    fresh: Mutex<Directory>,
}

impl DirectoryMachine {
    /// Fills `book` with what the disk holds.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn new(state: CellState, book: watch::Sender<Arc<Book>>) -> Result<Self, StoreError> {
        let machine = Self {
            state,
            book,
            fresh: Mutex::default(),
        };
        machine.publish(&read_all(&machine.state.view())?);
        Ok(machine)
    }

    fn publish(&self, directory: &Directory) {
        self.book
            .send_if_modified(|book| Arc::make_mut(book).apply(directory));
    }

    fn place_cells(&self, tx: &mut Tx<'_>, place: PlaceCells) -> Result<Outcome, StoreError> {
        for cell in &place.cells {
            let known: Option<Cell> = tx.record(&cell_key(cell.id))?;
            let epoch = known.map_or(0, |known| known.epoch);
            if epoch >= cell.epoch {
                let text = format!("cell {} is at epoch {epoch} already", cell.id);
                return Ok(Outcome::Refused(ApiError::new(
                    ErrorCode::InvalidArguments,
                    text,
                )));
            }
        }
        let mut counters = counters(tx)?;
        counters.version += 1;
        let mut fresh = self.fresh.lock();
        for mut cell in place.cells {
            cell.version = counters.version;
            tx.put(cell_key(cell.id), &cell);
            fresh.cells.push(cell);
        }
        fresh.version = counters.version;
        tx.put(counters_key(), &counters);
        Ok(Outcome::Done)
    }

    fn place_workspace(
        &self,
        tx: &mut Tx<'_>,
        create: CreateWorkspace,
    ) -> Result<Outcome, StoreError> {
        let known: Option<WorkspaceName> = tx.record(&name_key(&create.name))?;
        if let Some(known) = known {
            return Ok(Outcome::Placed(WorkspaceId(known.workspace)));
        }
        let Some(cell) = least_loaded(tx, &create.home_region)? else {
            let text = format!("no cell has its home in `{}`", create.home_region);
            return Ok(Outcome::Refused(ApiError::new(
                ErrorCode::RegionNotFound,
                text,
            )));
        };
        let mut counters = counters(tx)?;
        counters.version += 1;
        counters.last_workspace += 1;
        let workspace = counters.last_workspace;
        let shard = Shard {
            workspace,
            cell: cell.0,
            epoch: 1,
            version: counters.version,
        };
        let name = WorkspaceName {
            name: create.name,
            workspace,
            version: counters.version,
        };
        tx.put(counters_key(), &counters);
        tx.put(shard_key(workspace), &shard);
        tx.put(name_key(&name.name), &name);
        let mut fresh = self.fresh.lock();
        fresh.version = counters.version;
        fresh.shards.push(shard);
        fresh.workspaces.push(name);
        Ok(Outcome::Placed(WorkspaceId(workspace)))
    }
}

impl Machine for DirectoryMachine {
    fn apply(&self, tx: &mut Tx<'_>, command: Bytes) -> Result<Applied, StoreError> {
        let body = Command::decode(command).ok().and_then(|c| c.body);
        let outcome = match body {
            Some(Body::PlaceCells(place)) => self.place_cells(tx, place)?,
            Some(Body::PlaceWorkspace(create)) => self.place_workspace(tx, create)?,
            _ => Outcome::Refused(ErrorCode::UnknownMethod.into()),
        };
        Ok(outcome.into())
    }

    fn reached(&self, _position: Position, _leading: bool, _entries: Vec<TopicEntry>) {
        let fresh = std::mem::take(&mut *self.fresh.lock());
        if fresh.version > 0 {
            self.publish(&fresh);
        }
    }

    fn replaced(&self) {
        match read_all(&self.state.view()) {
            Ok(directory) => self.publish(&directory),
            Err(error) => tracing::error!(%error, "the directory cannot be read"),
        }
    }
}

fn counters(tx: &Tx<'_>) -> Result<DirectoryCounters, StoreError> {
    Ok(tx.record(&counters_key())?.unwrap_or_default())
}

/// The cell at home in `region` that holds the fewest workspaces.
fn least_loaded(tx: &Tx<'_>, region: &str) -> Result<Option<CellId>, StoreError> {
    let mut loads = Vec::new();
    for (_, row) in tx.first_rows(&cell_key(1), &shard_key(0), usize::MAX)? {
        let cell: Cell = record::decode(&row)?;
        if cell.home_region == region {
            loads.push((0usize, CellId(cell.id)));
        }
    }
    for (_, row) in tx.first_rows(&shard_key(0), &name_key(""), usize::MAX)? {
        let shard: Shard = record::decode(&row)?;
        for (load, cell) in &mut loads {
            *load += usize::from(cell.0 == shard.cell);
        }
    }
    Ok(loads.into_iter().min().map(|(_, cell)| cell))
}

fn read_all(view: &View<'_>) -> Result<Directory, StoreError> {
    let counters: Option<DirectoryCounters> = view.record(&counters_key())?;
    let mut directory = Directory {
        version: counters.map_or(0, |c| c.version),
        ..Directory::default()
    };
    for row in view.scan(&cell_key(0), &shard_key(0)) {
        directory.cells.push(record::decode(&row?.1)?);
    }
    for row in view.scan(&shard_key(0), &name_key("")) {
        directory.shards.push(record::decode(&row?.1)?);
    }
    for row in view.scan(&name_key(""), &counters_key()) {
        directory.workspaces.push(record::decode(&row?.1)?);
    }
    Ok(directory)
}
