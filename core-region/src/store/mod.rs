//! One RocksDB for a node: the Raft logs of all its cells, their state and their
//! metadata, and the node's own facts, in one write-ahead log, so that one sync serves them all.
//!
//! Writes wait in the process until the next sync of the write-ahead log;
//! whoever needs durability queues a callback with [`Store::after_sync`], and
//! the [`Flusher`] writes and syncs the log for everybody who waits. A crash
//! keeps a prefix of all writes, in their order. A kill of the process loses
//! what a power failure would: so tests that kill nodes test the disk's promise,
//! and not the page cache.
//!
//! RocksDB refuses all writes after an error of its disk, and the `rocksdb` crate
//! has no way to resume it. So the first error is kept in
//! [`Store::failed`], and ends the process: nothing that was acknowledged
//! depends on what could not be written.

mod flusher;
mod identity;
pub mod keys;
pub mod record;
mod space;
pub mod table;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType,
    DBRecoveryMode, Options, ReadOptions, WriteBatch, WriteOptions,
};
use thiserror::Error;
use tokio::sync::watch;

use crate::faults::{Faults, Plant};

pub use flusher::Flusher;
pub use identity::{Identity, next_incarnation};
pub use space::{Capacity, Room, Space, SpaceGauge};

const LOG: &str = "log";
const STATE: &str = "state";
const METADATA: &str = "metadata";
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
    /// Metadata, by cell and workspace.
    Metadata,
    /// The node's own facts.
    Node,
}

impl Family {
    fn name(self) -> &'static str {
        match self {
            Self::Log => LOG,
            Self::State => STATE,
            Self::Metadata => METADATA,
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
    room: Room,
    faults: Faults,
    failure: watch::Sender<Option<StoreError>>,
}

impl Store {
    /// Opens, and creates where there is nothing.
    ///
    /// # Errors
    /// [`StoreError::RocksDb`], such as when another process has it open.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_with(path, Faults::default())
    }

    /// The same, on a disk with these faults.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn open_with(path: &Path, faults: Faults) -> Result<Self, StoreError> {
        let cache = Cache::new_lru_cache(BLOCK_CACHE_BYTES);
        let families = [LOG, STATE, METADATA, NODE]
            .map(|name| ColumnFamilyDescriptor::new(name, family_options(name, &cache)));
        let db = DB::open_cf_descriptors(&db_options(), path, families).map_err(|source| {
            StoreError::RocksDb {
                path: path.into(),
                source,
            }
        })?;
        let inner = Arc::new_cyclic(|weak: &std::sync::Weak<Inner>| {
            let weak = weak.clone();
            let sync = move || match weak.upgrade() {
                Some(inner) => inner.sync(),
                None => Ok(()),
            };
            Inner {
                db,
                path: path.into(),
                flusher: Flusher::start(sync),
                room: Room::default(),
                faults,
                failure: watch::Sender::new(None),
            }
        });
        Ok(Self(inner))
    }

    /// The group commit.
    pub fn flusher(&self) -> &Flusher {
        &self.0.flusher
    }

    /// Calls `done` once all that was written before this call is durable, or
    /// cannot be made so.
    pub fn after_sync(&self, done: impl FnOnce(io::Result<()>) + Send + 'static) {
        if self.0.faults.has(Plant::AckBeforeSync) {
            done(Ok(()));
            self.0.flusher.after_sync(drop);
            return;
        }
        self.0.flusher.after_sync(done);
    }

    /// Where those wait who would make the log longer.
    pub fn room(&self) -> &Room {
        &self.0.room
    }

    /// What is wrong on purpose.
    pub fn faults(&self) -> &Faults {
        &self.0.faults
    }

    /// The file system's free space.
    ///
    /// # Errors
    /// The system's.
    pub fn capacity(&self) -> io::Result<Capacity> {
        let capacity = Capacity::of(&self.0.path)?;
        Ok(match self.0.faults.now().disk_full {
            true => Capacity {
                free: 0,
                ..capacity
            },
            false => capacity,
        })
    }

    /// Waits for the first error of the disk: nothing can be written from then on.
    pub async fn failed(&self) -> StoreError {
        let mut failure = self.0.failure.subscribe();
        let failed = failure.wait_for(Option::is_some).await;
        let failed = failed.ok().and_then(|failure| failure.clone());
        failed.expect("the store, and so its sender, lives as long as this call")
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
        self.0.error(source)
    }
}

impl Inner {
    fn sync(&self) -> io::Result<()> {
        let delay_ms = self.faults.now().sync_delay_ms;
        if delay_ms > 0 {
            std::thread::sleep(Duration::from_millis(delay_ms));
        }
        let synced = self.db.flush_wal(true);
        Ok(synced.map_err(|e| self.write_failed(e))?)
    }

    fn write_failed(&self, source: rocksdb::Error) -> StoreError {
        let error = self.error(source);
        self.failure.send_if_modified(|first| {
            let is_first = first.is_none();
            first.get_or_insert_with(|| error.clone());
            is_first
        });
        error
    }

    fn error(&self, source: rocksdb::Error) -> StoreError {
        StoreError::RocksDb {
            path: self.path.clone(),
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
        written.map_err(|e| self.store.0.write_failed(e))
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
    // The flusher writes before it syncs.
    options.set_manual_wal_flush(true);
    options.set_max_background_jobs(2);
    options.set_keep_log_file_num(4);
    options
}

fn family_options(name: &str, cache: &Cache) -> Options {
    let mut options = Options::default();
    options.set_compression_type(DBCompressionType::Lz4);
    if name == STATE || name == METADATA {
        options.set_bottommost_compression_type(DBCompressionType::Zstd);
        let mut table = BlockBasedOptions::default();
        table.set_block_cache(cache);
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

    #[tokio::test]
    async fn the_first_error_of_the_disk_is_kept_for_whoever_ends_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let Err(StoreError::RocksDb { source, .. }) = Store::open(folder.path()) else {
            panic!("it is open already");
        };
        let first = store.0.write_failed(source.clone());
        store.0.write_failed(source);
        assert_eq!(store.failed().await, first);
    }

    #[test]
    fn a_second_process_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let _store = Store::open(folder.path()).unwrap();
        assert!(Store::open(folder.path()).is_err());
    }
}
