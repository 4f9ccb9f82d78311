//! A channel's log: what the replicas agree upon.

use std::collections::{BTreeMap, HashMap};

use crate::chaos::history::{LogEntry, ReplicaLog, Shown, What};

/// The log, and where things are in it.
#[derive(Debug, Default)]
pub struct Log<'h> {
    /// Whether any replica was read.
    pub is_read: bool,
    /// By `seq`, each once.
    pub entries: Vec<&'h LogEntry>,
    /// Where each id is posted.
    copies: HashMap<&'h [u8], Vec<u64>>,
    /// Posted messages by `ts`.
    messages: HashMap<u64, &'h Shown>,
    /// The entries of edits, by the message's `ts`.
    edits: HashMap<u64, Vec<u64>>,
    /// The entries of deletions, by the message's `ts`.
    deletions: HashMap<u64, Vec<u64>>,
}

impl<'h> Log<'h> {
    /// Where replicas differ, what most of them hold; what only some hold is
    /// there, too.
    pub fn of(replicas: &[&'h ReplicaLog]) -> Self {
        let mut held = BTreeMap::<u64, Vec<&'h LogEntry>>::new();
        for entry in replicas.iter().flat_map(|replica| &replica.entries) {
            held.entry(entry.seq).or_default().push(entry);
        }
        let mut log = Self {
            is_read: !replicas.is_empty(),
            entries: held
                .values()
                .map(|entries| most_frequent(entries))
                .collect(),
            ..Self::default()
        };
        for entry in log.entries.clone() {
            match &entry.what {
                What::Posted(shown) => {
                    log.copies.entry(&shown.id).or_default().push(entry.seq);
                    log.messages.entry(entry.ts).or_insert(shown);
                }
                What::Edited(shown) => log.edits.entry(shown.ts).or_default().push(entry.seq),
                What::Deleted { ts } => log.deletions.entry(*ts).or_default().push(entry.seq),
                What::Other => {}
            }
        }
        log
    }

    /// The entry with this `seq`.
    pub fn get(&self, seq: u64) -> Option<&'h LogEntry> {
        let place = self.entries.binary_search_by_key(&seq, |entry| entry.seq);
        place.ok().map(|place| self.entries[place])
    }

    /// Where a message is posted.
    pub fn copies(&self, id: &[u8]) -> &[u64] {
        self.copies.get(id).map_or(&[], Vec::as_slice)
    }

    /// The message that was posted at `ts`.
    pub fn message(&self, ts: u64) -> Option<&'h Shown> {
        self.messages.get(&ts).copied()
    }

    /// The entries of a message's edits.
    pub fn edits(&self, ts: u64) -> &[u64] {
        self.edits.get(&ts).map_or(&[], Vec::as_slice)
    }

    /// The entries of a message's deletion.
    pub fn deletions(&self, ts: u64) -> &[u64] {
        self.deletions.get(&ts).map_or(&[], Vec::as_slice)
    }
}

fn most_frequent<'h>(entries: &[&'h LogEntry]) -> &'h LogEntry {
    let (mut most, mut best) = (0, entries[0]);
    for entry in entries {
        let count = entries.iter().filter(|other| *other == entry).count();
        if count > most {
            (most, best) = (count, entry);
        }
    }
    best
}
