//! What a replica has written, and how much of it a crash would leave.

use std::rc::Rc;

use causeway_protocol::NodeId;

use super::message::{Entry, LogId, Members, Payload};

/// What was written when a sync was asked for.
#[derive(Debug, Clone, Copy)]
struct Written {
    operation: u64,
    len: usize,
    term: u64,
    vote: Option<NodeId>,
}

/// A replica's term, vote and log. Writing is at once; it lasts once synced.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    term: u64,
    vote: Option<NodeId>,
    log: Vec<Rc<Entry>>,
    operations: u64,
    unsynced: Vec<Written>,
    synced_len: usize,
    synced_term: u64,
    synced_vote: Option<NodeId>,
}

impl Disk {
    /// A log whose first entry names the members.
    pub fn founded(members: Members) -> Self {
        let first = Entry {
            term: 0,
            payload: Payload::Members(members),
        };
        Self {
            log: vec![Rc::new(first)],
            synced_len: 1,
            ..Self::default()
        }
    }

    pub fn term(&self) -> u64 {
        self.term
    }

    pub fn vote(&self) -> Option<NodeId> {
        self.vote
    }

    pub fn len(&self) -> u64 {
        self.log.len() as u64
    }

    /// The last index that a crash would leave.
    pub fn synced(&self) -> u64 {
        self.synced_len as u64
    }

    pub fn entry(&self, index: u64) -> Option<&Rc<Entry>> {
        self.log.get(slot(index)?)
    }

    pub fn id(&self, index: u64) -> Option<LogId> {
        match index {
            0 => Some(LogId::default()),
            _ => self.entry(index).map(|entry| LogId {
                index,
                term: entry.term,
            }),
        }
    }

    pub fn last(&self) -> LogId {
        self.id(self.len()).unwrap_or_default()
    }

    /// Up to `most` entries from `index` on.
    pub fn from(&self, index: u64, most: usize) -> Vec<Rc<Entry>> {
        let from = slot(index).unwrap_or(0).min(self.log.len());
        self.log[from..].iter().take(most).cloned().collect()
    }

    /// The latest members in the log up to `index`, and where they are.
    pub fn members(&self, index: u64) -> (u64, Members) {
        let len = slot(index + 1).unwrap_or(0).min(self.log.len());
        let entries = self.log[..len].iter().enumerate().rev();
        let mut found = entries.filter_map(|(slot, entry)| match &entry.payload {
            Payload::Members(members) => Some((slot as u64 + 1, members.clone())),
            _ => None,
        });
        found.next().unwrap_or_default()
    }

    pub fn set_vote(&mut self, term: u64, vote: Option<NodeId>) {
        (self.term, self.vote) = (term, vote);
    }

    pub fn append(&mut self, entry: Rc<Entry>) {
        self.log.push(entry);
    }

    /// Removes what comes after `index`: an earlier leader's, never committed.
    pub fn truncate(&mut self, index: u64) {
        let len = slot(index + 1).unwrap_or(0);
        self.log.truncate(len);
        self.synced_len = self.synced_len.min(len);
        for written in &mut self.unsynced {
            written.len = written.len.min(len);
        }
    }

    /// Asks for a sync of all that was written; its number.
    pub fn begin_sync(&mut self) -> u64 {
        self.operations += 1;
        self.unsynced.push(Written {
            operation: self.operations,
            len: self.log.len(),
            term: self.term,
            vote: self.vote,
        });
        self.operations
    }

    /// The sync of this number, and so of all before it, is done.
    pub fn synced_up_to(&mut self, operation: u64) {
        let done = self.unsynced.partition_point(|w| w.operation <= operation);
        for written in self.unsynced.drain(..done) {
            self.synced_len = self.synced_len.max(written.len);
            self.synced_term = written.term;
            self.synced_vote = written.vote;
        }
    }

    /// The power fails: what was not synced is gone. Returns how much that was.
    pub fn crash(&mut self) -> u64 {
        let lost = self.log.len() - self.synced_len;
        self.log.truncate(self.synced_len);
        self.unsynced.clear();
        (self.term, self.vote) = (self.synced_term, self.synced_vote);
        lost as u64
    }
}

fn slot(index: u64) -> Option<usize> {
    usize::try_from(index).ok()?.checked_sub(1)
}
