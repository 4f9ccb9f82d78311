//! The directory's state machine: cells, and which shard is in which. Its state
//! is the truth; the [`Book`] is its copy in memory.

use std::sync::Arc;

use bytes::Bytes;
use causeway_protocol::backbone::{Cell, CreateWorkspace, Directory, Drain, Shard, WorkspaceName};
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

fn drain_key(scope: i32, name: &str) -> Key {
    let scope = u8::try_from(scope).unwrap_or_default();
    Key::default().u8(44).u8(scope).bytes(name.as_bytes())
}

/// After the last key of a drain.
fn drains_end() -> Key {
    Key::default().u8(45)
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

    /// A drain was found to leave enough by the directory as it was at
    /// `drain.version`: one that came in between may have taken that away.
    fn set_drain(&self, tx: &mut Tx<'_>, mut drain: Drain) -> Result<Outcome, StoreError> {
        if drain.version > 0 && latest_drain(tx)? > drain.version {
            return Ok(Outcome::Overtaken);
        }
        let mut counters = counters(tx)?;
        counters.version += 1;
        drain.version = counters.version;
        tx.put(counters_key(), &counters);
        tx.put(drain_key(drain.scope, &drain.name), &drain);
        let mut fresh = self.fresh.lock();
        fresh.version = counters.version;
        fresh.drains.push(drain);
        Ok(Outcome::Done)
    }
}

impl Machine for DirectoryMachine {
    fn apply(&self, tx: &mut Tx<'_>, command: Bytes) -> Result<Applied, StoreError> {
        let body = Command::decode(command).ok().and_then(|c| c.body);
        let outcome = match body {
            Some(Body::PlaceCells(place)) => self.place_cells(tx, place)?,
            Some(Body::PlaceWorkspace(create)) => self.place_workspace(tx, create)?,
            Some(Body::SetDrain(drain)) => self.set_drain(tx, drain)?,
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

/// The version of the drain, or of the end of one, that was written last.
fn latest_drain(tx: &Tx<'_>) -> Result<u64, StoreError> {
    let mut latest = 0;
    for (_, row) in tx.first_rows(&drain_key(0, ""), &drains_end(), usize::MAX)? {
        let drain: Drain = record::decode(&row)?;
        latest = latest.max(drain.version);
    }
    Ok(latest)
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
    for row in view.scan(&drain_key(0, ""), &drains_end()) {
        directory.drains.push(record::decode(&row?.1)?);
    }
    Ok(directory)
}

#[cfg(test)]
mod tests {
    use causeway_protocol::UserId;
    use causeway_protocol::backbone::DrainScope;

    use super::*;
    use crate::store::Store;

    /// The directory on one disk, and its copy in memory.
    struct World {
        state: CellState,
        machine: DirectoryMachine,
        book: watch::Receiver<Arc<Book>>,
        folder: tempfile::TempDir,
        position: u64,
    }

    impl World {
        fn new() -> Self {
            Self::start(tempfile::tempdir().unwrap(), 0)
        }

        fn start(folder: tempfile::TempDir, position: u64) -> Self {
            let store = Store::open(folder.path()).unwrap();
            let state = CellState::open(store, CellId::DIRECTORY).unwrap();
            let (sender, book) = watch::channel(Arc::default());
            Self {
                machine: DirectoryMachine::new(state.clone(), sender).unwrap(),
                state,
                book,
                folder,
                position,
            }
        }

        fn restarted(self) -> Self {
            let Self {
                state,
                machine,
                folder,
                position,
                ..
            } = self;
            drop((state, machine));
            Self::start(folder, position)
        }

        /// Applies commands in one write.
        fn apply(&mut self, bodies: Vec<Body>) -> Vec<Outcome> {
            let mut tx = self.state.tx();
            let mut outcomes = Vec::new();
            for body in bodies {
                let command = Command {
                    proposed_at_us: 0,
                    actor: UserId(0).0,
                    body: Some(body),
                };
                let command = command.encode_to_vec().into();
                outcomes.push(self.machine.apply(&mut tx, command).unwrap().outcome);
            }
            tx.into_batch().write().unwrap();
            self.position += 1;
            let position = Position(self.position);
            self.machine.reached(position, true, Vec::new());
            outcomes
        }

        fn place_cells(&mut self, cells: Vec<Cell>) -> Outcome {
            self.apply(vec![Body::PlaceCells(PlaceCells { cells })])
                .remove(0)
        }

        fn place(&mut self, name: &str, region: &str) -> Outcome {
            self.apply(vec![workspace(name, region)]).remove(0)
        }

        fn rows(&self) -> Vec<(Vec<u8>, Box<[u8]>)> {
            let view = self.state.view();
            view.scan(&[], &[u8::MAX]).map(|row| row.unwrap()).collect()
        }

        /// How many workspaces each cell has.
        fn loads(&self) -> Vec<(u32, usize)> {
            let book = self.book.borrow();
            let load = |cell: &Cell| (cell.id, book.load(CellId(cell.id)));
            book.cells().map(load).collect()
        }
    }

    fn cell(id: u32, region: &str, epoch: u64) -> Cell {
        Cell {
            id,
            home_region: region.into(),
            epoch,
            ..Cell::default()
        }
    }

    fn workspace(name: &str, region: &str) -> Body {
        Body::PlaceWorkspace(CreateWorkspace {
            name: name.into(),
            home_region: region.into(),
        })
    }

    fn code(outcome: &Outcome) -> Option<ErrorCode> {
        match outcome {
            Outcome::Refused(error) => Some(error.code),
            _ => None,
        }
    }

    fn placed(workspace: u32) -> Outcome {
        Outcome::Placed(WorkspaceId(workspace))
    }

    /// The directory itself, and cells in two regions.
    fn founded() -> World {
        let mut world = World::new();
        let cells = [(0, "eu"), (1, "eu"), (2, "us"), (3, "eu"), (4, "eu")];
        let cells = cells.map(|(id, region)| cell(id, region, 1));
        assert_eq!(world.place_cells(cells.into()), Outcome::Done);
        world
    }

    #[test]
    fn a_cell_changes_only_with_a_later_epoch() {
        let mut world = founded();
        assert_eq!(world.book.borrow().version(), 1);
        let rows = world.rows();
        for epoch in [0, 1] {
            let refused = world.place_cells(vec![cell(1, "us", epoch)]);
            assert_eq!(code(&refused), Some(ErrorCode::InvalidArguments));
        }
        // All or nothing: the new cell waits for a command that is in order.
        let refused = world.place_cells(vec![cell(9, "eu", 1), cell(1, "us", 1)]);
        assert_eq!(code(&refused), Some(ErrorCode::InvalidArguments));
        assert_eq!(world.rows(), rows);
        assert_eq!(world.book.borrow().cells().count(), 5);

        let moved = world.place_cells(vec![cell(1, "us", 2)]);
        assert_eq!(moved, Outcome::Done);
        let book = world.book.borrow();
        let record = book.cell(CellId(1)).unwrap();
        assert_eq!((record.home_region.as_str(), record.epoch), ("us", 2));
        assert_eq!((record.version, book.version()), (2, 2));
    }

    #[test]
    fn workspaces_go_to_the_cell_at_home_with_the_fewest() {
        let mut world = founded();
        for n in 1..=6 {
            assert_eq!(world.place(&format!("w{n}"), "eu"), placed(n));
        }
        assert_eq!(world.place("w7", "us"), placed(7));
        // Never the directory's own cell.
        assert_eq!(world.loads(), [(0, 0), (1, 2), (2, 1), (3, 2), (4, 2)]);

        // A new cell fills up first.
        world.place_cells(vec![cell(5, "eu", 1)]);
        world.place("w8", "eu");
        world.place("w9", "eu");
        assert_eq!(world.book.borrow().load(CellId(5)), 2);
        world.place("w10", "eu");
        assert_eq!(world.book.borrow().load(CellId(1)), 3);
    }

    #[test]
    fn workspaces_that_come_together_are_spread_all_the_same() {
        let mut world = founded();
        let together = (1..=6).map(|n| workspace(&format!("w{n}"), "eu"));
        let outcomes = world.apply(together.collect());
        assert_eq!(outcomes, (1..=6).map(placed).collect::<Vec<_>>());
        assert_eq!(world.loads(), [(0, 0), (1, 2), (2, 0), (3, 2), (4, 2)]);
    }

    #[test]
    fn a_name_is_placed_once() {
        let mut world = founded();
        assert_eq!(world.place("acme", "eu"), placed(1));
        let rows = world.rows();
        assert_eq!(world.place("acme", "eu"), placed(1));
        // Asking for another home does not move it.
        assert_eq!(world.place("acme", "us"), placed(1));
        assert_eq!(world.place("acme", "mars"), placed(1));
        assert_eq!(world.rows(), rows);
        let book = world.book.borrow();
        assert_eq!(book.workspace_named("acme"), Some(WorkspaceId(1)));
        assert_eq!(book.cell_of(WorkspaceId(1)), Some(CellId(1)));
    }

    #[test]
    fn a_region_without_cells_is_not_found() {
        let mut world = founded();
        let rows = world.rows();
        let refused = world.place("acme", "mars");
        assert_eq!(code(&refused), Some(ErrorCode::RegionNotFound));
        assert_eq!(world.rows(), rows);
        assert_eq!(world.book.borrow().workspace_named("acme"), None);
        // The number was not used up.
        assert_eq!(world.place("acme", "us"), placed(1));
    }

    fn drain(name: &str, version: u64) -> Body {
        Body::SetDrain(Drain {
            scope: DrainScope::Pop.into(),
            name: name.into(),
            permille_per_s: 100,
            active: true,
            version,
            ..Drain::default()
        })
    }

    #[test]
    fn of_drains_that_were_checked_together_one_is_taken() {
        let mut world = founded();
        let seen = world.book.borrow().version();
        let together = ["gru", "nrt", "nyc"].map(|pop| drain(pop, seen));
        let outcomes = world.apply(together.into());
        let taken = [Outcome::Done, Outcome::Overtaken, Outcome::Overtaken];
        assert_eq!(outcomes, taken);
        assert_eq!(world.book.borrow().drains().active().count(), 1);

        // Checked anew, the next is taken; what is placed meanwhile does not matter.
        let seen = world.book.borrow().version();
        world.place("acme", "eu");
        assert_eq!(world.apply(vec![drain("nrt", seen)]), [Outcome::Done]);
        // What was written by an older version of the platform was not checked so.
        assert_eq!(world.apply(vec![drain("nyc", 0)]), [Outcome::Done]);
    }

    #[test]
    fn commands_of_other_cells_are_refused() {
        let mut world = founded();
        let rows = world.rows();
        let outcomes = world.apply(vec![Body::SendMessage(Default::default())]);
        assert_eq!(code(&outcomes[0]), Some(ErrorCode::UnknownMethod));
        let mut tx = world.state.tx();
        let garbage = Bytes::from_static(b"\xff\xff");
        let outcome = world.machine.apply(&mut tx, garbage).unwrap().outcome;
        assert_eq!(code(&outcome), Some(ErrorCode::UnknownMethod));
        assert!(tx.is_empty());
        drop(tx);
        assert_eq!(world.rows(), rows);
    }

    #[test]
    fn the_book_is_what_the_disk_holds() {
        let mut world = founded();
        for n in 1..=5 {
            world.place(&format!("w{n}"), if n % 2 == 0 { "us" } else { "eu" });
        }
        world.place_cells(vec![cell(2, "us", 2)]);
        let book = world.book.borrow().clone();
        assert_eq!(book.version(), 7);

        let mut world = world.restarted();
        assert_eq!(*world.book.borrow(), book);
        // And it counts on from there.
        assert_eq!(world.place("w6", "us"), placed(6));
        assert_eq!(world.book.borrow().version(), 8);
    }

    #[test]
    fn the_book_tells_of_nothing_that_is_not_written() {
        let mut world = founded();
        let mut tx = world.state.tx();
        let command = Command {
            body: Some(workspace("acme", "eu")),
            ..Command::default()
        };
        let command = command.encode_to_vec().into();
        world.machine.apply(&mut tx, command).unwrap();
        assert_eq!(world.book.borrow().workspace_named("acme"), None);
        tx.into_batch().write().unwrap();
        world.book.borrow_and_update();
        world.machine.reached(Position(2), false, Vec::new());
        assert!(world.book.has_changed().unwrap());
        let known = world.book.borrow().workspace_named("acme");
        assert_eq!(known, Some(WorkspaceId(1)));
    }

    #[test]
    fn a_snapshot_brings_the_book_up_to_date() {
        let mut leader = founded();
        leader.place("acme", "eu");
        let follower = World::new();
        let mut tx = follower.state.tx();
        for (key, value) in leader.rows() {
            tx.put_bytes(Key::default().bytes(&key), &value);
        }
        tx.into_batch().write().unwrap();
        assert_eq!(follower.book.borrow().version(), 0);
        follower.machine.replaced();
        assert_eq!(*follower.book.borrow(), *leader.book.borrow());
    }
}
