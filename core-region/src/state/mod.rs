//! A cell's state: rows under the cell's prefix, read through a [`View`] or,
//! while a command is applied, through a [`Tx`] that sees its own writes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use causeway_protocol::CellId;
use prost::Message;

use crate::store::keys::{self, Generation, Key};
use crate::store::{Batch, Family, Store, StoreError, record};

/// A row of the state: its key, without the cell's prefix, and its value.
pub type Row = (Vec<u8>, Vec<u8>);

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
            store: &self.store,
            cell: self.cell,
            generation,
            prefix: keys::state(self.cell, generation),
        }
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
        Tx {
            view: self.view(),
            writes: BTreeMap::new(),
        }
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

/// Rows of a scan.
pub struct Scan<'a> {
    rows: crate::store::Rows<'a>,
    skip: usize,
}

impl Iterator for Scan<'_> {
    type Item = Result<(Vec<u8>, Box<[u8]>), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = self.rows.next()?;
        Some(row.map(|(key, value)| (key[self.skip..].to_vec(), value)))
    }
}

/// A cell's state, for reading.
pub struct View<'a> {
    store: &'a Store,
    cell: CellId,
    generation: Generation,
    prefix: Key,
}

impl View<'_> {
    fn is_present(&self) -> Result<bool, StoreError> {
        let stored = self.store.get(Family::Node, &keys::generation(self.cell))?;
        Ok(read_generation(stored)? == self.generation)
    }

    fn full(&self, key: &[u8]) -> Key {
        self.prefix.clone().bytes(key)
    }

    /// Rows from `from` up to, and without, `to`: keys without the cell's
    /// prefix, and values.
    pub fn scan(&self, from: &[u8], to: &[u8]) -> Scan<'_> {
        let rows = self
            .store
            .range(Family::State, &self.full(from), &self.full(to));
        Scan {
            rows,
            skip: self.prefix.len(),
        }
    }

    /// The same rows from the last to the first.
    pub fn scan_back(&self, from: &[u8], to: &[u8]) -> Scan<'_> {
        let rows = self
            .store
            .range_back(Family::State, &self.full(from), &self.full(to));
        Scan {
            rows,
            skip: self.prefix.len(),
        }
    }
}

impl ReadState for View<'_> {
    fn get(&self, key: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.get(Family::State, &self.full(key))
    }
}

/// A cell's state while commands are applied to it. Reads see its writes, so
/// that it makes no difference how commands are gathered into writes.
pub struct Tx<'a> {
    view: View<'a>,
    writes: BTreeMap<Key, Option<Vec<u8>>>,
}

impl ReadState for Tx<'_> {
    fn get(&self, key: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        match self.writes.get(key) {
            Some(value) => Ok(value.clone()),
            None => self.view.get(key),
        }
    }
}

impl<'a> Tx<'a> {
    /// Sets a row.
    pub fn put(&mut self, key: Key, value: &impl Message) {
        self.writes.insert(key, Some(record::encode(value)));
    }

    /// Sets a row that is no record, such as an index.
    pub fn put_bytes(&mut self, key: Key, value: &[u8]) {
        self.writes.insert(key, Some(value.to_vec()));
    }

    /// Removes a row.
    pub fn delete(&mut self, key: Key) {
        self.writes.insert(key, None);
    }

    /// The first `limit` rows from `from` up to, and without, `to`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn first_rows(&self, from: &Key, to: &Key, limit: usize) -> Result<Vec<Row>, StoreError> {
        let mut rows = BTreeMap::new();
        for row in self.view.scan(from, to) {
            let (key, value) = row?;
            let key = Key::default().bytes(&key);
            if rows.len() == limit {
                break;
            }
            if !self.writes.contains_key(&key) {
                rows.insert(key, value.into_vec());
            }
        }
        for (key, value) in self.writes.range(from.clone()..to.clone()) {
            if let Some(value) = value {
                rows.insert(key.clone(), value.clone());
            }
        }
        let rows = rows.into_iter().take(limit);
        Ok(rows.map(|(key, value)| (key.to_vec(), value)).collect())
    }

    /// The last row from `from` up to, and without, `to`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn last_row(&self, from: &Key, to: &Key) -> Result<Option<Row>, StoreError> {
        let mut writes = self.writes.range(from.clone()..to.clone()).rev();
        let written = writes.find_map(|(key, value)| Some((key.to_vec(), value.clone()?)));
        for row in self.view.scan_back(from, to) {
            let (key, value) = row?;
            let overwritten = self.writes.contains_key(&Key::default().bytes(&key));
            if !overwritten {
                // `None` is less than any row.
                return Ok(written.max(Some((key, value.into_vec()))));
            }
        }
        Ok(written)
    }

    /// How many rows it changes.
    pub fn len(&self) -> usize {
        self.writes.len()
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// The writes, as one batch.
    pub fn into_batch(self) -> Batch<'a> {
        let mut batch = self.view.store.batch();
        for (key, value) in &self.writes {
            let key = self.view.full(key);
            match value {
                Some(value) => batch.put(Family::State, &key, value),
                None => batch.delete(Family::State, &key),
            }
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u8) -> Key {
        Key::default().u8(1).u8(n)
    }

    fn numbers(rows: &[Row]) -> Vec<u8> {
        rows.iter().map(|(key, _)| key[1]).collect()
    }

    #[test]
    fn rows_are_the_same_whether_written_or_about_to_be() {
        let folder = tempfile::tempdir().unwrap();
        let state = CellState::open(Store::open(folder.path()).unwrap(), CellId(1)).unwrap();
        let mut tx = state.tx();
        (0..6).for_each(|n| tx.put_bytes(key(n), b""));
        tx.into_batch().write().unwrap();

        let mut tx = state.tx();
        tx.delete(key(1));
        tx.put_bytes(key(9), b"");
        let rows = |tx: &Tx<'_>, limit| numbers(&tx.first_rows(&key(0), &key(10), limit).unwrap());
        assert_eq!(rows(&tx, 3), [0, 2, 3]);
        assert_eq!(rows(&tx, 9), [0, 2, 3, 4, 5, 9]);
        assert_eq!(tx.get(&key(1)).unwrap(), None);
        tx.into_batch().write().unwrap();
        assert_eq!(rows(&state.tx(), 9), [0, 2, 3, 4, 5, 9]);
    }

    #[test]
    fn the_last_row_is_the_same_whether_written_or_about_to_be() {
        let folder = tempfile::tempdir().unwrap();
        let state = CellState::open(Store::open(folder.path()).unwrap(), CellId(1)).unwrap();
        let mut tx = state.tx();
        [1, 3, 5]
            .into_iter()
            .for_each(|n| tx.put_bytes(key(n), b"stored"));
        tx.into_batch().write().unwrap();
        let last = |tx: &Tx<'_>, to| {
            let row = tx.last_row(&key(0), &key(to)).unwrap();
            row.map(|(key, value)| (key[1], value))
        };

        let mut tx = state.tx();
        assert_eq!(last(&tx, 9), Some((5, b"stored".to_vec())));
        assert_eq!(last(&tx, 5), Some((3, b"stored".to_vec())));
        assert_eq!(last(&tx, 1), None);
        tx.put_bytes(key(4), b"new");
        tx.put_bytes(key(3), b"changed");
        assert_eq!(last(&tx, 9), Some((5, b"stored".to_vec())));
        assert_eq!(last(&tx, 5), Some((4, b"new".to_vec())));
        assert_eq!(last(&tx, 4), Some((3, b"changed".to_vec())));
        tx.delete(key(5));
        tx.delete(key(4));
        assert_eq!(last(&tx, 9), Some((3, b"changed".to_vec())));
        tx.into_batch().write().unwrap();
        assert_eq!(last(&state.tx(), 9), Some((3, b"changed".to_vec())));
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
