//! What a replica knows of a shard as a whole: one record, written with every
//! change.

use super::hybrid::HybridTime;
use super::rows::{Rows, RowsMut};
use super::tables;
use super::version::Version;
use crate::metadata_wire as wire;
use crate::store::{StoreError, record};

/// The record.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Info {
    /// All operations that the replica has.
    pub version: Version,
    /// The log begins after these.
    pub truncated: Version,
    /// Differences from an earlier version than this cannot be told.
    pub floor: Version,
    /// The first row that is no more and still told of, and the next to go.
    pub gone: std::ops::Range<u64>,
    /// The latest departure whose row is no more.
    pub left_until: HybridTime,
    /// The rows are being replaced by another replica's.
    pub resyncing: bool,
    /// While they are: what the replica had before.
    pub before: Version,
    /// The latest time of all operations: later is whatever is written next.
    pub latest: HybridTime,
    /// Rows that there are.
    pub rows: u64,
    /// Traces in the index: an actor's last operation on a row each.
    pub traces: u64,
}

impl Info {
    /// Reads the record; a shard without one is empty.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn read(rows: &impl Rows) -> Result<Self, StoreError> {
        let stored = rows.get(&tables::info())?;
        let stored = stored.map(|bytes| record::decode(&bytes)).transpose()?;
        Ok(stored
            .map(|info| Self::from_wire(&info))
            .unwrap_or_default())
    }

    /// Writes the record.
    pub fn write(&self, rows: &mut impl RowsMut) {
        rows.put(tables::info(), record::encode(&self.to_wire()));
    }

    /// As stored, and sent ahead of rows.
    pub fn to_wire(&self) -> wire::ShardInfo {
        wire::ShardInfo {
            version: Some(self.version.to_wire()),
            truncated: Some(self.truncated.to_wire()),
            floor: Some(self.floor.to_wire()),
            gone_first: self.gone.start,
            gone_next: self.gone.end,
            left_until: self.left_until.0,
            resyncing: self.resyncing,
            before: (!self.before.is_empty()).then(|| self.before.to_wire()),
            latest: self.latest.0,
            rows: self.rows,
            traces: self.traces,
        }
    }

    /// Reads what was stored or sent.
    pub fn from_wire(info: &wire::ShardInfo) -> Self {
        Self {
            version: Version::from_wire(info.version.as_ref()),
            truncated: Version::from_wire(info.truncated.as_ref()),
            floor: Version::from_wire(info.floor.as_ref()),
            gone: info.gone_first..info.gone_next.max(info.gone_first),
            left_until: HybridTime(info.left_until),
            resyncing: info.resyncing,
            before: Version::from_wire(info.before.as_ref()),
            latest: HybridTime(info.latest),
            rows: info.rows,
            traces: info.traces,
        }
    }
}
