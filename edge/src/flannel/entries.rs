//! The last entries of a workspace's topic: what was read while they came in lacks them.

use std::collections::VecDeque;

use causeway_protocol::Seq;
use causeway_protocol::client::Entry;

/// Entries that are kept.
const ENTRIES_MAX: usize = 2_000;

/// In order and without holes.
#[derive(Debug, Default)]
pub struct Entries {
    /// The entry before the first; `None` until it is known where to begin.
    before: Option<Seq>,
    entries: VecDeque<Entry>,
}

impl Entries {
    /// Begins after `seq`, unless it has begun.
    pub fn begin(&mut self, seq: Seq) {
        self.before.get_or_insert(seq);
    }

    /// The last entry that has come in.
    pub fn last(&self) -> Option<Seq> {
        let last = self.entries.back().map(|entry| Seq(entry.seq));
        last.or(self.before)
    }

    /// The next has come in. Returns whether it was the next.
    pub fn add(&mut self, entry: Entry) -> bool {
        if self.last().is_none_or(|last| entry.seq != last.0 + 1) {
            return false;
        }
        self.entries.push_back(entry);
        if self.entries.len() > ENTRIES_MAX {
            self.entries.pop_front();
            self.before = self.before.map(Seq::next);
        }
        true
    }

    /// Those after `seq`; `None` if some of them are no longer here.
    pub fn since(&self, seq: Seq) -> Option<impl Iterator<Item = &Entry>> {
        let before = self.before.filter(|before| *before <= seq)?;
        let known = usize::try_from(seq.0 - before.0).ok()?;
        // Of one that was read later than the last came in, nothing is lacking.
        Some(self.entries.range(known.min(self.entries.len())..))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(seq: u64) -> Entry {
        Entry {
            seq,
            ..Entry::default()
        }
    }

    fn seqs(entries: &Entries, since: u64) -> Option<Vec<u64>> {
        let since = entries.since(Seq(since))?;
        Some(since.map(|entry| entry.seq).collect())
    }

    #[test]
    fn what_came_since_is_found_as_long_as_it_is_kept() {
        let mut entries = Entries::default();
        assert_eq!((entries.last(), seqs(&entries, 0)), (None, None));
        assert!(!entries.add(entry(1)), "nobody knows where it begins");
        entries.begin(Seq(5));
        entries.begin(Seq(9));
        assert!(entries.add(entry(6)) && entries.add(entry(7)));
        assert!(!entries.add(entry(7)) && !entries.add(entry(9)));
        assert_eq!(seqs(&entries, 5), Some(vec![6, 7]));
        assert_eq!(seqs(&entries, 7), Some(vec![]));
        assert_eq!(
            seqs(&entries, 30),
            Some(vec![]),
            "read from a replica that is ahead"
        );
        assert_eq!(seqs(&entries, 4), None);
        for seq in 8..=8 + ENTRIES_MAX as u64 {
            entries.add(entry(seq));
        }
        assert_eq!(seqs(&entries, 5), None);
        assert_eq!(entries.last(), Some(Seq(8 + ENTRIES_MAX as u64)));
    }
}
