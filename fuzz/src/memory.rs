//! Rows of metadata in memory: there is no disk to fail.

use std::collections::BTreeMap;

use causeway_core_region::metadata::rows::{KeyValue, Rows, RowsMut};
use causeway_core_region::store::StoreError;
use causeway_core_region::store::keys::Key;

/// The rows of one shard.
#[derive(Default)]
pub struct Memory(BTreeMap<Vec<u8>, Vec<u8>>);

impl Rows for Memory {
    fn get(&self, key: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.get(&key[..]).cloned())
    }

    fn first(&self, from: &Key, to: &Key, limit: usize) -> Result<Vec<KeyValue>, StoreError> {
        // A range that ends before it begins would panic.
        let to = to.max(from);
        let rows = self.0.range(from.to_vec()..to.to_vec()).take(limit);
        let rows = rows.map(|(key, value)| (key.clone(), value.clone()));
        Ok(rows.collect())
    }
}

impl RowsMut for Memory {
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
