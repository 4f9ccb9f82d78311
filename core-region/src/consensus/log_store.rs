//! A cell's Raft log in the node's store. Entries are written at once, read from
//! a small cache, and reported durable by the group commit.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use causeway_protocol::CellId;
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::{EntryPayload, LogState, OptionalSend, RaftLogReader};
use parking_lot::Mutex;

use super::types::{Command, Entry, LogId, TypeConfig, Vote};
use super::wire;
use crate::raft_wire;
use crate::store::{Family, Store, StoreError, keys, record};

/// Recent entries kept in memory for replication and applying, by bytes.
const CACHE_BYTES: usize = 1024 * 1024;
/// Entries sent to a replica in one request, by bytes.
const REQUEST_BYTES: usize = 1024 * 1024;
/// Entries that a leader has written when it is still new.
const SINCE_MAX: u64 = 8;

/// The log of one cell; clones share it.
#[derive(Clone)]
pub struct LogStore {
    store: Store,
    cell: CellId,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    vote: Option<Vote>,
    recent: VecDeque<Entry>,
    recent_bytes: usize,
}

impl LogStore {
    /// Opens the log of `cell`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(store: Store, cell: CellId) -> Result<Self, StoreError> {
        let vote = match store.get(Family::Log, &keys::vote(cell))? {
            Some(bytes) => {
                let vote: raft_wire::Vote = record::decode(&bytes)?;
                Some(wire::read_vote(Some(&vote)).map_err(missing)?)
            }
            None => None,
        };
        let shared = Shared {
            vote,
            ..Shared::default()
        };
        Ok(Self {
            store,
            cell,
            shared: Arc::new(Mutex::new(shared)),
        })
    }

    fn stored_log_id(&self, key: &[u8]) -> Result<Option<LogId>, StoreError> {
        let bytes = self.store.get(Family::Log, key)?;
        let id = bytes.map(|b| record::decode(&b)).transpose()?;
        Ok(id.as_ref().map(wire::read_log_id))
    }

    fn last_entry(&self) -> Result<Option<Entry>, StoreError> {
        let entries = keys::log_entries(self.cell);
        let mut rows = self.store.range_back(Family::Log, &entries, &entries.end());
        rows.next().map(|row| decode_entry(&row?.1)).transpose()
    }

    /// Entries `start..end`, but at least one, and then not over `bytes`.
    fn read(&self, start: u64, end: u64, bytes: usize) -> Result<Vec<Entry>, StoreError> {
        if let Some(entries) = self.shared.lock().read(start, end, bytes) {
            return Ok(entries);
        }
        let from = keys::log_entry(self.cell, start);
        let to = keys::log_entry(self.cell, end);
        let (mut entries, mut total) = (Vec::new(), 0);
        for row in self.store.range(Family::Log, &from, &to) {
            let (_, value) = row?;
            total += value.len();
            if total > bytes && !entries.is_empty() {
                break;
            }
            entries.push(decode_entry(&value)?);
        }
        Ok(entries)
    }

    /// Whether this very entry is in the log.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn holds(&self, id: &LogId) -> Result<bool, StoreError> {
        let entries = self.read(id.index, id.index + 1, usize::MAX)?;
        Ok(entries.first().is_some_and(|entry| entry.log_id == *id))
    }

    /// What follows this very entry, as far as one request holds it; `None` if it
    /// is not in the log.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn after(&self, id: &LogId) -> Result<Option<Vec<Entry>>, StoreError> {
        let mut entries = self.read(id.index, u64::MAX, REQUEST_BYTES)?;
        let holds = entries.first().is_some_and(|entry| entry.log_id == *id);
        Ok(holds.then(|| entries.split_off(1)))
    }

    /// The last entry of a term before `term`, and what follows it; `None` if
    /// that is long ago.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn since(&self, term: u64) -> Result<Option<(LogId, Vec<Entry>)>, StoreError> {
        let recent = self.shared.lock().recent.back().map(|last| last.log_id);
        let last = match recent {
            None => self.last_entry()?.map(|last| last.log_id),
            recent => recent,
        };
        let Some(last) = last else { return Ok(None) };
        let from = last.index.saturating_sub(SINCE_MAX);
        let mut entries = self.read(from, last.index + 1, REQUEST_BYTES)?;
        let count = entries.partition_point(|entry| entry.log_id.leader_id.term < term);
        let since = entries.split_off(count);
        Ok(entries.last().map(|before| (before.log_id, since)))
    }

    async fn write_synced(&self, batch: crate::store::Batch<'_>) -> io::Result<()> {
        batch.write()?;
        self.store.flusher().synced().await
    }
}

impl Shared {
    fn read(&self, start: u64, end: u64, bytes: usize) -> Option<Vec<Entry>> {
        let first = self.recent.front()?.log_id.index;
        let skip = usize::try_from(start.checked_sub(first)?).ok()?;
        let count = usize::try_from(end.saturating_sub(start)).ok()?;
        let mut total = 0;
        let within = |entry: &&Entry| {
            let first = total == 0;
            total += size_of_entry(entry);
            first || total <= bytes
        };
        let wanted = self.recent.iter().skip(skip).take(count);
        Some(wanted.take_while(within).cloned().collect())
    }

    fn push(&mut self, entry: Entry) {
        let next = self.recent.back().map(|last| last.log_id.index + 1);
        if next.is_some_and(|next| next != entry.log_id.index) {
            self.clear();
        }
        self.recent_bytes += size_of_entry(&entry);
        self.recent.push_back(entry);
        while self.recent_bytes > CACHE_BYTES && self.recent.len() > 1 {
            if let Some(oldest) = self.recent.pop_front() {
                self.recent_bytes -= size_of_entry(&oldest);
            }
        }
    }

    fn forget_up_to(&mut self, index: u64) {
        let count = self.recent.partition_point(|e| e.log_id.index <= index);
        let gone = self.recent.drain(..count);
        self.recent_bytes -= gone.map(|entry| size_of_entry(&entry)).sum::<usize>();
    }

    fn clear(&mut self) {
        self.recent.clear();
        self.recent_bytes = 0;
    }
}

fn size_of_entry(entry: &Entry) -> usize {
    let body = match &entry.payload {
        EntryPayload::Normal(Command(bytes)) => bytes.len(),
        EntryPayload::Blank | EntryPayload::Membership(_) => 0,
    };
    body + size_of::<Entry>()
}

fn decode_entry(bytes: &[u8]) -> Result<Entry, StoreError> {
    wire::read_entry(record::decode(bytes)?).map_err(missing)
}

fn missing(error: wire::Missing) -> StoreError {
    StoreError::Record(error.to_string())
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> io::Result<Vec<Entry>> {
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(before) => before + 1,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(last) => last + 1,
            Bound::Excluded(end) => *end,
            Bound::Unbounded => u64::MAX,
        };
        Ok(self.read(start, end, usize::MAX)?)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        Ok(self.read(start, end, REQUEST_BYTES)?)
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.shared.lock().vote)
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        let purged = self.stored_log_id(&keys::purged(self.cell))?;
        let last = self.last_entry()?.map(|entry| entry.log_id);
        Ok(LogState {
            last_purged_log_id: purged,
            last_log_id: last.or(purged),
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        let mut batch = self.store.batch();
        let value = record::encode(&wire::vote(vote));
        batch.put(Family::Log, &keys::vote(self.cell), &value);
        self.shared.lock().vote = Some(*vote);
        self.write_synced(batch).await
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        self.store.room().to_grow().await?;
        let mut batch = self.store.batch();
        let entries: Vec<Entry> = entries.into_iter().collect();
        for entry in &entries {
            let key = keys::log_entry(self.cell, entry.log_id.index);
            batch.put(Family::Log, &key, &record::encode(&wire::entry(entry)));
        }
        batch.write()?;
        {
            let mut shared = self.shared.lock();
            entries.into_iter().for_each(|entry| shared.push(entry));
        }
        let store = &self.store;
        store.after_sync(move |result| callback.io_completed(result));
        Ok(())
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> io::Result<()> {
        let first = last_log_id.map_or(0, |id| id.index + 1);
        let mut batch = self.store.batch();
        let from = keys::log_entry(self.cell, first);
        batch.delete_range(Family::Log, &from, &keys::log_entries(self.cell).end());
        self.shared.lock().clear();
        self.write_synced(batch).await
    }

    async fn purge(&mut self, log_id: LogId) -> io::Result<()> {
        let mut batch = self.store.batch();
        let mark = record::encode(&wire::log_id(&log_id));
        batch.put(Family::Log, &keys::purged(self.cell), &mark);
        let to = keys::log_entry(self.cell, log_id.index + 1);
        batch.delete_range(Family::Log, &keys::log_entries(self.cell), &to);
        self.shared.lock().forget_up_to(log_id.index);
        Ok(batch.write()?)
    }
}
