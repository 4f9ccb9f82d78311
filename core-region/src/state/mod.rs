//! A cell's state: rows under the cell's prefix, read through a [`View`] or,
//! while a command is applied, through a [`Tx`] that sees its own writes.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use causeway_protocol::CellId;
use prost::Message;

use crate::store::keys::{self, Generation, Key};
use crate::store::table::{Overlay, Table};
use crate::store::{Batch, Family, Store, StoreError, record};

pub use crate::store::table::Row;

/// Where a cell's state is; clones share it.
#[derive(Clone)]
pub struct CellState {
    store: Store,
    cell: CellId,
    generation: Arc<AtomicU32>,
    /// The last generation that was given to a snapshot.
    reserved: Arc<AtomicU32>,
}

impl CellState {
    /// The state of `cell`, in its present generation. To be opened once: what is
    /// there of other generations is what a crash has left, and is removed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(store: Store, cell: CellId) -> Result<Self, StoreError> {
        let present = read_generation(store.get(Family::Node, &keys::generation(cell))?)?;
        remove_others(&store, cell, present)?;
        Ok(Self {
            store,
            cell,
            generation: Arc::new(AtomicU32::new(present.0)),
            reserved: Arc::new(AtomicU32::new(present.0)),
        })
    }

    /// The store below.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The cell.
    pub fn cell(&self) -> CellId {
        self.cell
    }

    /// The present generation.
    pub fn generation(&self) -> Generation {
        Generation(self.generation.load(Ordering::Acquire))
    }

    /// A generation of its own for a snapshot that begins to arrive.
    pub fn reserve(&self) -> Generation {
        let last = self.reserved.fetch_add(1, Ordering::AcqRel);
        Generation(last.wrapping_add(1))
    }

    /// For reading.
    pub fn view(&self) -> View<'_> {
        let generation = self.generation();
        View {
            table: self.table(generation),
            cell: self.cell,
            generation,
        }
    }

    fn table(&self, generation: Generation) -> Table<'_> {
        let prefix = keys::state(self.cell, generation);
        Table::new(&self.store, Family::State, prefix)
    }

    /// Answers from the state, and again if a snapshot took its place meanwhile:
    /// then some of what was looked for may have been gone.
    ///
    /// # Errors
    /// That of `answer`, or [`StoreError`].
    pub fn read<T, E: From<StoreError>>(
        &self,
        answer: impl Fn(&View<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        loop {
            let view = self.view();
            let answered = answer(&view);
            if view.is_present()? {
                return answered;
            }
        }
    }

    /// For applying commands.
    pub fn tx(&self) -> Tx<'_> {
        Tx(Overlay::new(self.table(self.generation())))
    }

    /// Makes `next` the present generation and removes the one before: together.
    ///
    /// # Errors
    /// [`StoreError`]; the present generation stays.
    pub fn switch_to(&self, next: Generation) -> Result<(), StoreError> {
        let mut batch = self.store.batch();
        let old = keys::state(self.cell, self.generation());
        batch.put(
            Family::Node,
            &keys::generation(self.cell),
            &next.0.to_be_bytes(),
        );
        batch.delete_range(Family::State, &old, &old.end());
        batch.write()?;
        self.generation.store(next.0, Ordering::Release);
        Ok(())
    }
}

/// Reads the present generation, as it is stored; the first one is not.
///
/// # Errors
/// [`StoreError::Record`] for what is no generation.
pub fn read_generation(stored: Option<Vec<u8>>) -> Result<Generation, StoreError> {
    let Some(bytes) = stored else {
        return Ok(Generation(0));
    };
    let bytes: [u8; 4] = bytes
        .try_into()
        .map_err(|_| StoreError::Record("a cell's generation".into()))?;
    Ok(Generation(u32::from_be_bytes(bytes)))
}

fn remove_others(store: &Store, cell: CellId, present: Generation) -> Result<(), StoreError> {
    let (all, present) = (keys::states(cell), keys::state(cell, present));
    let mut batch = store.batch();
    for (from, to) in [(all.clone(), present.clone()), (present.end(), all.end())] {
        if store.range(Family::State, &from, &to).next().is_some() {
            batch.delete_range(Family::State, &from, &to);
        }
    }
    batch.write()
}

/// Reading a cell's state by key.
pub trait ReadState {
    /// The bytes of a row.
    ///
    /// # Errors
    /// [`StoreError`].
    fn get(&self, key: &Key) -> Result<Option<Vec<u8>>, StoreError>;

    /// The record of a row.
    ///
    /// # Errors
    /// [`StoreError`], also for a record that cannot be read.
    fn record<M: Message + Default>(&self, key: &Key) -> Result<Option<M>, StoreError> {
        self.get(key)?
            .map(|bytes| record::decode(&bytes))
            .transpose()
    }
}

/// A cell's state, for reading.
pub struct View<'a> {
    table: Table<'a>,
    cell: CellId,
    generation: Generation,
}

impl View<'_> {
    fn is_present(&self) -> Result<bool, StoreError> {
        let store = self.table.store();
        let stored = store.get(Family::Node, &keys::generation(self.cell))?;
        Ok(read_generation(stored)? == self.generation)
    }
}

impl<'a> Deref for View<'a> {
    type Target = Table<'a>;

    fn deref(&self) -> &Table<'a> {
        &self.table
    }
}

impl ReadState for View<'_> {
    fn get(&self, key: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        self.table.get(key)
    }
}

/// A cell's state while commands are applied to it. Reads see its writes, so
/// that it makes no difference how commands are gathered into writes.
pub struct Tx<'a>(Overlay<'a>);

impl<'a> Deref for Tx<'a> {
    type Target = Overlay<'a>;

    fn deref(&self) -> &Overlay<'a> {
        &self.0
    }
}

impl DerefMut for Tx<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl ReadState for Tx<'_> {
    fn get(&self, key: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.get(key)
    }
}

impl<'a> Tx<'a> {
    /// Sets a row.
    pub fn put(&mut self, key: Key, value: &impl Message) {
        self.0.put_bytes(key, record::encode(value));
    }

    /// Sets a row that is no record, such as an index.
    pub fn put_bytes(&mut self, key: Key, value: &[u8]) {
        self.0.put_bytes(key, value.to_vec());
    }

    /// The writes, as one batch.
    pub fn into_batch(self) -> Batch<'a> {
        self.0.into_batch()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u8) -> Key {
        Key::default().u8(1).u8(n)
    }

    #[test]
    fn a_new_generation_takes_the_place_of_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let state = CellState::open(store.clone(), CellId(1)).unwrap();
        let other = CellState::open(store.clone(), CellId(2)).unwrap();
        for state in [&state, &other] {
            let mut tx = state.tx();
            tx.put_bytes(key(1), b"old");
            tx.into_batch().write().unwrap();
        }
        let mut batch = store.batch();
        let staged = keys::state(CellId(1), Generation(1)).bytes(&key(2));
        batch.put(Family::State, &staged, b"new");
        batch.write().unwrap();

        state.switch_to(Generation(1)).unwrap();
        let reopened = CellState::open(store, CellId(1)).unwrap();
        for state in [state, reopened] {
            assert_eq!(state.view().get(&key(1)).unwrap(), None);
            assert_eq!(state.view().get(&key(2)).unwrap().unwrap(), b"new");
        }
        assert_eq!(other.view().get(&key(1)).unwrap().unwrap(), b"old");
    }

    #[test]
    fn a_question_is_asked_again_when_the_state_was_replaced_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let state = CellState::open(store.clone(), CellId(1)).unwrap();
        let mut batch = store.batch();
        for (generation, value) in [(0, "old"), (1, "new")] {
            let row = keys::state(CellId(1), Generation(generation)).bytes(&key(1));
            batch.put(Family::State, &row, value.as_bytes());
        }
        batch.write().unwrap();

        let asked = std::cell::RefCell::new(Vec::new());
        let answer = state.read(|view| {
            if asked.borrow().is_empty() {
                state.switch_to(Generation(1))?;
            }
            let found = view.get(&key(1))?;
            asked.borrow_mut().push(found.clone());
            Ok::<_, StoreError>(found)
        });
        let new = Some(b"new".to_vec());
        assert_eq!(answer.unwrap(), new);
        assert_eq!(*asked.borrow(), [None, new]);
    }

    #[test]
    fn a_damaged_generation_is_an_error_and_not_an_empty_state() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let mut batch = store.batch();
        batch.put(Family::Node, &keys::generation(CellId(1)), b"?");
        batch.write().unwrap();
        assert!(CellState::open(store, CellId(1)).is_err());
    }
}
