//! Where a shard's rows are: on the disk, through a transaction, or in memory,
//! where replicas are simulated.

use std::collections::BTreeMap;

use crate::store::StoreError;
use crate::store::keys::Key;
use crate::store::table::{Overlay, Row, Table};

/// A row: its key, without the shard's prefix, and its value.
pub type KeyValue = Row;

/// Rows by key; reads see what was written before.
pub trait Rows {
    /// The value of a key.
    ///
    /// # Errors
    /// [`StoreError`].
    fn get(&self, key: &Key) -> Result<Option<Vec<u8>>, StoreError>;

    /// The first `limit` rows from `from` up to, and without, `to`.
    ///
    /// # Errors
    /// [`StoreError`].
    fn first(&self, from: &Key, to: &Key, limit: usize) -> Result<Vec<KeyValue>, StoreError>;
}

/// Rows that can be changed.
pub trait RowsMut: Rows {
    /// Sets a row.
    fn put(&mut self, key: Key, value: Vec<u8>);

    /// Removes a row.
    fn delete(&mut self, key: Key);

    /// Removes all rows from `from` up to, and without, `to`.
    fn clear(&mut self, from: Key, to: Key);
}

impl Rows for Table<'_> {
    fn get(&self, key: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        Table::get(self, key)
    }

    fn first(&self, from: &Key, to: &Key, limit: usize) -> Result<Vec<KeyValue>, StoreError> {
        let rows = self.scan(from, to).take(limit);
        rows.map(|row| row.map(|(key, value)| (key, value.into_vec())))
            .collect()
    }
}

impl Rows for Overlay<'_> {
    fn get(&self, key: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        Overlay::get(self, key)
    }

    fn first(&self, from: &Key, to: &Key, limit: usize) -> Result<Vec<KeyValue>, StoreError> {
        self.first_rows(from, to, limit)
    }
}

impl RowsMut for Overlay<'_> {
    fn put(&mut self, key: Key, value: Vec<u8>) {
        self.put_bytes(key, value);
    }

    fn delete(&mut self, key: Key) {
        Overlay::delete(self, key);
    }

    fn clear(&mut self, from: Key, to: Key) {
        Overlay::clear(self, from, to);
    }
}

/// Rows in memory, where there is no disk to fail: for simulations, tests and fuzzing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryRows(pub BTreeMap<Vec<u8>, Vec<u8>>);

impl Rows for MemoryRows {
    fn get(&self, key: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.get(&key[..]).cloned())
    }

    fn first(&self, from: &Key, to: &Key, limit: usize) -> Result<Vec<KeyValue>, StoreError> {
        let range = self.0.range(from.to_vec()..to.to_vec().max(from.to_vec()));
        let rows = range.take(limit);
        Ok(rows
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect())
    }
}

impl RowsMut for MemoryRows {
    fn put(&mut self, key: Key, value: Vec<u8>) {
        self.0.insert(key.to_vec(), value);
    }

    fn delete(&mut self, key: Key) {
        self.0.remove(&key[..]);
    }

    fn clear(&mut self, from: Key, to: Key) {
        self.0
            .retain(|key, _| key[..] < from[..] || key[..] >= to[..]);
    }
}
