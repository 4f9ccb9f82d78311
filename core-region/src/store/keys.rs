//! Keys of the store. Numbers are big endian, so that keys sort like them.

use causeway_protocol::CellId;

/// Which copy of a cell's state is the present one: a snapshot is received into
/// the next generation, and takes its place in one write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Generation(pub u32);

/// A key under construction.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(Vec<u8>);

impl Key {
    /// Appends raw bytes.
    #[must_use]
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Appends one byte.
    #[must_use]
    pub fn u8(self, value: u8) -> Self {
        self.bytes(&[value])
    }

    /// Appends four bytes.
    #[must_use]
    pub fn u32(self, value: u32) -> Self {
        self.bytes(&value.to_be_bytes())
    }

    /// Appends eight bytes.
    #[must_use]
    pub fn u64(self, value: u64) -> Self {
        self.bytes(&value.to_be_bytes())
    }

    /// The first key after all that begin with this one.
    #[must_use]
    pub fn end(&self) -> Self {
        let mut end = self.0.clone();
        while let Some(last) = end.pop() {
            if last < u8::MAX {
                end.push(last + 1);
                return Self(end);
            }
        }
        unreachable!("every prefix in use begins with a cell id or a small tag")
    }
}

impl std::ops::Deref for Key {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// All of a cell's log: votes, marks and entries.
pub fn log(cell: CellId) -> Key {
    Key::default().u32(cell.0)
}

/// The cell's vote.
pub fn vote(cell: CellId) -> Key {
    log(cell).u8(1)
}

/// The last log id that was purged.
pub fn purged(cell: CellId) -> Key {
    log(cell).u8(2)
}

/// The log entry at `index`.
pub fn log_entry(cell: CellId, index: u64) -> Key {
    log(cell).u8(3).u64(index)
}

/// All log entries.
pub fn log_entries(cell: CellId) -> Key {
    log(cell).u8(3)
}

/// All of one generation of a cell's state.
pub fn state(cell: CellId, generation: Generation) -> Key {
    Key::default().u32(cell.0).u32(generation.0)
}

/// All generations of a cell's state.
pub fn states(cell: CellId) -> Key {
    Key::default().u32(cell.0)
}

/// The present generation of a cell's state, among the node's facts.
pub fn generation(cell: CellId) -> Key {
    Key::default().bytes(b"generation/").u32(cell.0)
}

/// The epoch in which the replica of a cell was released, among the node's facts.
pub fn released(cell: CellId) -> Key {
    Key::default().bytes(b"released/").u32(cell.0)
}

/// What is written to see whether the disk takes writes.
pub fn probe() -> Key {
    Key::default().bytes(b"probe")
}

/// When this node's last life began, among the node's facts.
pub fn life() -> Key {
    Key::default().bytes(b"life")
}

/// Who this node is, among the node's facts.
pub fn identity() -> Key {
    Key::default().bytes(b"identity")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_like_their_numbers() {
        let cell = CellId(7);
        assert!(*log_entry(cell, 255) < *log_entry(cell, 256));
        assert!(*vote(cell) < *log_entry(cell, 0));
        assert!(*log_entry(CellId(1), u64::MAX) < *log_entry(CellId(2), 0));
    }

    #[test]
    fn an_end_is_after_all_with_the_prefix() {
        let prefix = Key::default().u8(1).u8(0xff);
        assert_eq!(prefix.end()[..], [2]);
        assert!(prefix.clone().u64(u64::MAX)[..] < prefix.end()[..]);
    }
}
