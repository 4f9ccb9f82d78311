//! A cell's state: rows under the cell's prefix, read through a [`View`] or,
//! while a command is applied, through a [`Tx`] that sees its own writes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use causeway_protocol::CellId;
use prost::Message;

use crate::store::keys::{self, Generation, Key};
use crate::store::{Batch, Family, Store, StoreError, record};

/// Where a cell's state is; clones share it.
#[derive(Clone)]
pub struct CellState {
    store: Store,
    cell: CellId,
    generation: Arc<AtomicU32>,
}

impl CellState {
    /// The state of `cell`, in its present generation.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(store: Store, cell: CellId) -> Result<Self, StoreError> {
        let present = store.get(Family::Node, &keys::generation(cell))?;
        let present = present.and_then(|bytes| bytes.try_into().ok());
        let generation = present.map_or(0, u32::from_be_bytes);
        Ok(Self {
            store,
            cell,
            generation: Arc::new(AtomicU32::new(generation)),
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

    /// For reading.
    pub fn view(&self) -> View<'_> {
        View {
            store: &self.store,
            prefix: keys::state(self.cell, self.generation()),
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
    prefix: Key,
}

impl View<'_> {
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
    pub fn first_rows(
        &self,
        from: &Key,
        to: &Key,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreError> {
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

    fn numbers(rows: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
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
}
