//! Rows under a prefix, for reading, and with writes on top that are not written
//! yet.

use std::collections::BTreeMap;

use super::keys::Key;
use super::{Batch, Family, Rows, Store, StoreError};

/// A row: its key, without the prefix, and its value.
pub type Row = (Vec<u8>, Vec<u8>);

/// Rows under a prefix.
pub struct Table<'a> {
    store: &'a Store,
    family: Family,
    prefix: Key,
}

/// Rows of a scan.
pub struct Scan<'a> {
    rows: Rows<'a>,
    skip: usize,
}

impl Iterator for Scan<'_> {
    type Item = Result<(Vec<u8>, Box<[u8]>), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = self.rows.next()?;
        Some(row.map(|(key, value)| (key[self.skip..].to_vec(), value)))
    }
}

impl<'a> Table<'a> {
    /// The rows of `family` whose keys begin with `prefix`.
    pub fn new(store: &'a Store, family: Family, prefix: Key) -> Self {
        Self {
            store,
            family,
            prefix,
        }
    }

    /// The store below.
    pub fn store(&self) -> &'a Store {
        self.store
    }

    fn full(&self, key: &[u8]) -> Key {
        self.prefix.clone().bytes(key)
    }

    /// The value of a key.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn get(&self, key: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.get(self.family, &self.full(key))
    }

    /// Rows from `from` up to, and without, `to`.
    pub fn scan(&self, from: &[u8], to: &[u8]) -> Scan<'a> {
        let rows = self
            .store
            .range(self.family, &self.full(from), &self.full(to));
        Scan {
            rows,
            skip: self.prefix.len(),
        }
    }

    /// The same rows from the last to the first.
    pub fn scan_back(&self, from: &[u8], to: &[u8]) -> Scan<'a> {
        let rows = self
            .store
            .range_back(self.family, &self.full(from), &self.full(to));
        Scan {
            rows,
            skip: self.prefix.len(),
        }
    }
}

/// Rows and writes that are not written yet. Reads see the writes, so that it
/// makes no difference how they are gathered into batches.
pub struct Overlay<'a> {
    table: Table<'a>,
    cleared: Vec<(Key, Key)>,
    writes: BTreeMap<Key, Option<Vec<u8>>>,
}

impl<'a> Overlay<'a> {
    /// Without writes.
    pub fn new(table: Table<'a>) -> Self {
        Self {
            table,
            cleared: Vec::new(),
            writes: BTreeMap::new(),
        }
    }

    /// The value of a key.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn get(&self, key: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        match self.writes.get(key) {
            Some(value) => Ok(value.clone()),
            None if self.is_cleared(key) => Ok(None),
            None => self.table.get(key),
        }
    }

    /// Sets a row.
    pub fn put_bytes(&mut self, key: Key, value: Vec<u8>) {
        self.writes.insert(key, Some(value));
    }

    /// Removes a row.
    pub fn delete(&mut self, key: Key) {
        self.writes.insert(key, None);
    }

    /// Removes all rows from `from` up to, and without, `to`.
    pub fn clear(&mut self, from: Key, to: Key) {
        self.writes.retain(|key, _| *key < from || *key >= to);
        self.cleared.push((from, to));
    }

    /// The first `limit` rows from `from` up to, and without, `to`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn first_rows(&self, from: &Key, to: &Key, limit: usize) -> Result<Vec<Row>, StoreError> {
        let mut rows = BTreeMap::new();
        for row in self.table.scan(from, to) {
            if rows.len() == limit {
                break;
            }
            let (key, value) = row?;
            let key = Key::default().bytes(&key);
            if !self.writes.contains_key(&key) && !self.is_cleared(&key) {
                rows.insert(key, value.into_vec());
            }
        }
        if from < to {
            for (key, value) in self.writes.range(from.clone()..to.clone()) {
                if let Some(value) = value {
                    rows.insert(key.clone(), value.clone());
                }
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
        for row in self.table.scan_back(from, to) {
            let (key, value) = row?;
            let key = Key::default().bytes(&key);
            if !self.writes.contains_key(&key) && !self.is_cleared(&key) {
                // `None` is less than any row.
                return Ok(written.max(Some((key.to_vec(), value.into_vec()))));
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
        self.writes.is_empty() && self.cleared.is_empty()
    }

    /// The writes, as one batch.
    pub fn into_batch(self) -> Batch<'a> {
        let (table, family) = (&self.table, self.table.family);
        let mut batch = table.store.batch();
        for (from, to) in &self.cleared {
            batch.delete_range(family, &table.full(from), &table.full(to));
        }
        for (key, value) in &self.writes {
            let key = table.full(key);
            match value {
                Some(value) => batch.put(family, &key, value),
                None => batch.delete(family, &key),
            }
        }
        batch
    }

    fn is_cleared(&self, key: &Key) -> bool {
        let mut cleared = self.cleared.iter();
        cleared.any(|(from, to)| key >= from && key < to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u8) -> Key {
        Key::default().u8(1).u8(n)
    }

    fn overlay(store: &Store) -> Overlay<'_> {
        Overlay::new(Table::new(store, Family::State, Key::default().u32(7)))
    }

    fn stored(numbers: impl IntoIterator<Item = u8>) -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let mut writes = overlay(&store);
        for n in numbers {
            writes.put_bytes(key(n), b"stored".to_vec());
        }
        writes.into_batch().write().unwrap();
        (folder, store)
    }

    fn numbers(overlay: &Overlay<'_>, limit: usize) -> Vec<u8> {
        let rows = overlay.first_rows(&key(0), &key(10), limit).unwrap();
        rows.iter().map(|(key, _)| key[1]).collect()
    }

    #[test]
    fn rows_are_the_same_whether_written_or_about_to_be() {
        let (_folder, store) = stored(0..6);
        let mut writes = overlay(&store);
        writes.delete(key(1));
        writes.put_bytes(key(9), Vec::new());
        assert_eq!(numbers(&writes, 3), [0, 2, 3]);
        assert_eq!(numbers(&writes, 9), [0, 2, 3, 4, 5, 9]);
        assert_eq!(writes.get(&key(1)).unwrap(), None);
        writes.into_batch().write().unwrap();
        assert_eq!(numbers(&overlay(&store), 9), [0, 2, 3, 4, 5, 9]);
    }

    #[test]
    fn a_range_that_is_cleared_is_empty_at_once() {
        let (_folder, store) = stored(0..6);
        let mut writes = overlay(&store);
        writes.put_bytes(key(3), b"before".to_vec());
        writes.clear(key(2), key(5));
        writes.put_bytes(key(4), b"after".to_vec());
        assert_eq!(numbers(&writes, 9), [0, 1, 4, 5]);
        assert_eq!(writes.get(&key(3)).unwrap(), None);
        let last = writes.last_row(&key(0), &key(4)).unwrap().unwrap();
        assert_eq!(last.0[1], 1);
        writes.into_batch().write().unwrap();
        assert_eq!(numbers(&overlay(&store), 9), [0, 1, 4, 5]);
    }

    #[test]
    fn the_last_row_is_the_same_whether_written_or_about_to_be() {
        let (_folder, store) = stored([1, 3, 5]);
        let last = |overlay: &Overlay<'_>, to| {
            let row = overlay.last_row(&key(0), &key(to)).unwrap();
            row.map(|(key, value)| (key[1], value))
        };
        let mut writes = overlay(&store);
        assert_eq!(last(&writes, 9), Some((5, b"stored".to_vec())));
        assert_eq!(last(&writes, 5), Some((3, b"stored".to_vec())));
        assert_eq!(last(&writes, 1), None);
        writes.put_bytes(key(4), b"new".to_vec());
        writes.put_bytes(key(3), b"changed".to_vec());
        assert_eq!(last(&writes, 9), Some((5, b"stored".to_vec())));
        assert_eq!(last(&writes, 5), Some((4, b"new".to_vec())));
        assert_eq!(last(&writes, 4), Some((3, b"changed".to_vec())));
        writes.delete(key(5));
        writes.delete(key(4));
        assert_eq!(last(&writes, 9), Some((3, b"changed".to_vec())));
        writes.into_batch().write().unwrap();
        assert_eq!(last(&overlay(&store), 9), Some((3, b"changed".to_vec())));
    }
}
