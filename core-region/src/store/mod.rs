//! One RocksDB for a node: the Raft logs of all its cells, their state, and the
//! node's own facts, in one write-ahead log, so that one sync serves them all.
//!
//! Writes go to the write-ahead log at once and unsynced; whoever needs
//! durability queues a callback with the [`Flusher`], which syncs the log for
//! everybody who waits. A crash keeps a prefix of all writes, in their order.

mod flusher;
mod identity;
pub mod keys;
pub mod record;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType,
    DBRecoveryMode, Options, ReadOptions, WriteBatch, WriteOptions,
};
use thiserror::Error;

pub use flusher::Flusher;
pub use identity::Identity;

const LOG: &str = "log";
const STATE: &str = "state";
const NODE: &str = "node";
const BLOCK_CACHE_BYTES: usize = 128 * 1024 * 1024;
const WAL_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// A column family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Raft logs and votes, by cell.
    Log,
    /// State, by cell and generation.
    State,
    /// The node's own facts.
    Node,
}

impl Family {
    fn name(self) -> &'static str {
        match self {
            Self::Log => LOG,
            Self::State => STATE,
            Self::Node => NODE,
        }
    }
}

/// The disk cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StoreError {
    /// RocksDB failed.
    #[error("storage in {path}: {source}")]
    RocksDb {
        /// The folder.
        path: PathBuf,
        /// What RocksDB said.
        source: rocksdb::Error,
    },
    /// A stored record cannot be read.
    #[error("a stored record is damaged or of a newer version: {0}")]
    Record(String),
}

impl From<StoreError> for io::Error {
    fn from(error: StoreError) -> Self {
        Self::other(error)
    }
}

/// A node's storage; clones share it.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    db: DB,
    path: PathBuf,
    flusher: Flusher,
}

impl Store {
    /// Opens, and creates where there is nothing.
    ///
    /// # Errors
    /// [`StoreError::RocksDb`], such as when another process has it open.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let families =
            [LOG, STATE, NODE].map(|name| ColumnFamilyDescriptor::new(name, family_options(name)));
        let db = DB::open_cf_descriptors(&db_options(), path, families).map_err(|source| {
            StoreError::RocksDb {
                path: path.into(),
                source,
            }
        })?;
        let inner = Arc::new_cyclic(|weak: &std::sync::Weak<Inner>| {
            let weak = weak.clone();
            let sync = move || match weak.upgrade() {
                Some(inner) => inner.db.flush_wal(true).map_err(io::Error::other),
                None => Ok(()),
            };
            Inner {
                db,
                path: path.into(),
                flusher: Flusher::start(sync),
            }
        });
        Ok(Self(inner))
    }

    /// The group commit.
    pub fn flusher(&self) -> &Flusher {
        &self.0.flusher
    }

    /// The value of a key.
    ///
    /// # Errors
    /// [`StoreError::RocksDb`].
    pub fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let value = self.0.db.get_cf(self.family(family), key);
        value.map_err(|e| self.error(e))
    }

    /// Starts a batch of writes that take effect together.
    pub fn batch(&self) -> Batch<'_> {
        Batch {
            store: self,
            batch: WriteBatch::default(),
        }
    }

    /// Rows from `from` up to, and without, `to`.
    pub fn range(&self, family: Family, from: &[u8], to: &[u8]) -> Rows<'_> {
        self.rows(family, from, to, false)
    }

    /// Rows from just below `to` down to `from`.
    pub fn range_back(&self, family: Family, from: &[u8], to: &[u8]) -> Rows<'_> {
        self.rows(family, from, to, true)
    }

    fn rows(&self, family: Family, from: &[u8], to: &[u8], back: bool) -> Rows<'_> {
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(from);
        options.set_iterate_upper_bound(to);
        let mode = if back {
            rocksdb::IteratorMode::End
        } else {
            rocksdb::IteratorMode::Start
        };
        let rows = self
            .0
            .db
            .iterator_cf_opt(self.family(family), options, mode);
        Rows { store: self, rows }
    }

    /// Runs `read` over a view that no later write changes. `read` may take
    /// long: this is for a thread of its own.
    pub fn with_snapshot<T>(&self, read: impl FnOnce(&Snapshot<'_>) -> T) -> T {
        read(&Snapshot {
            store: self,
            snapshot: self.0.db.snapshot(),
        })
    }

    fn family(&self, family: Family) -> &ColumnFamily {
        self.0
            .db
            .cf_handle(family.name())
            .expect("every family is created when the store opens")
    }

    fn error(&self, source: rocksdb::Error) -> StoreError {
        StoreError::RocksDb {
            path: self.0.path.clone(),
            source,
        }
    }
}

/// Writes that take effect together.
pub struct Batch<'a> {
    store: &'a Store,
    batch: WriteBatch,
}

impl Batch<'_> {
    /// Sets a key.
    pub fn put(&mut self, family: Family, key: &[u8], value: &[u8]) {
        self.batch.put_cf(self.store.family(family), key, value);
    }

    /// Removes a key.
    pub fn delete(&mut self, family: Family, key: &[u8]) {
        self.batch.delete_cf(self.store.family(family), key);
    }

    /// Removes the keys from `from` up to, and without, `to`.
    pub fn delete_range(&mut self, family: Family, from: &[u8], to: &[u8]) {
        self.batch
            .delete_range_cf(self.store.family(family), from, to);
    }

    /// Bytes so far.
    pub fn size(&self) -> usize {
        self.batch.size_in_bytes()
    }

    /// Writes, without waiting for the disk: a crash may undo it, with
    /// everything that was written later.
    ///
    /// # Errors
    /// [`StoreError::RocksDb`]; nothing has been written then.
    pub fn write(self) -> Result<(), StoreError> {
        let written = self
            .store
            .0
            .db
            .write_opt(self.batch, &WriteOptions::default());
        written.map_err(|e| self.store.error(e))
    }
}

/// Rows of a range.
pub struct Rows<'a> {
    store: &'a Store,
    rows: rocksdb::DBIterator<'a>,
}

impl Iterator for Rows<'_> {
    type Item = Result<(Box<[u8]>, Box<[u8]>), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = self.rows.next()?;
        Some(row.map_err(|e| self.store.error(e)))
    }
}

/// A view that no later write changes.
pub struct Snapshot<'a> {
    store: &'a Store,
    snapshot: rocksdb::Snapshot<'a>,
}

impl Snapshot<'_> {
    /// The value of a key.
    ///
    /// # Errors
    /// [`StoreError::RocksDb`].
    pub fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let value = self.snapshot.get_cf(self.store.family(family), key);
        value.map_err(|e| self.store.error(e))
    }

    /// Rows from `from` up to, and without, `to`.
    pub fn range(&self, family: Family, from: &[u8], to: &[u8]) -> Rows<'_> {
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(from);
        options.set_iterate_upper_bound(to);
        options.fill_cache(false);
        let rows = self.snapshot.iterator_cf_opt(
            self.store.family(family),
            options,
            rocksdb::IteratorMode::Start,
        );
        Rows {
            store: self.store,
            rows,
        }
    }
}

fn db_options() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    // A torn tail is what a crash leaves; anything else wrong must stop the node.
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    options.set_max_total_wal_size(WAL_BYTES_MAX);
    options.set_max_background_jobs(2);
    options.set_keep_log_file_num(4);
    options
}

fn family_options(name: &str) -> Options {
    let mut options = Options::default();
    options.set_compression_type(DBCompressionType::Lz4);
    if name == STATE {
        options.set_bottommost_compression_type(DBCompressionType::Zstd);
        let mut table = BlockBasedOptions::default();
        table.set_block_cache(&Cache::new_lru_cache(BLOCK_CACHE_BYTES));
        table.set_bloom_filter(10.0, false);
        options.set_block_based_table_factory(&table);
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_takes_effect_together_and_survives_reopening() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let mut batch = store.batch();
        batch.put(Family::Log, b"a", b"1");
        batch.put(Family::State, b"b", b"2");
        batch.write().unwrap();
        drop(store);
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(store.get(Family::Log, b"a").unwrap().unwrap(), b"1");
        assert_eq!(store.get(Family::State, b"b").unwrap().unwrap(), b"2");
        assert_eq!(store.get(Family::Node, b"a").unwrap(), None);
    }

    #[test]
    fn ranges_have_bounds_in_both_directions() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let mut batch = store.batch();
        for key in ["a1", "a2", "a3", "b1"] {
            batch.put(Family::State, key.as_bytes(), b"");
        }
        batch.write().unwrap();
        let keys = |rows: Rows<'_>| {
            rows.map(|row| String::from_utf8(row.unwrap().0.to_vec()).unwrap())
                .collect::<Vec<_>>()
        };
        assert_eq!(keys(store.range(Family::State, b"a2", b"b")), ["a2", "a3"]);
        assert_eq!(
            keys(store.range_back(Family::State, b"a", b"a3")),
            ["a2", "a1"]
        );
    }

    #[test]
    fn a_second_process_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let _store = Store::open(folder.path()).unwrap();
        assert!(Store::open(folder.path()).is_err());
    }
}
