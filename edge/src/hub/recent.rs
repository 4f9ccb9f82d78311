//! The last entries of topics, as they were pushed: whoever comes back after a short
//! while is given them without a look into the log.

use std::collections::VecDeque;

use bytes::Bytes;
use causeway_protocol::client::{self, entry::Kind};
use causeway_protocol::{Seq, Topic};

/// Entries that are kept of a topic.
pub const ENTRIES_MAX: usize = 256;
/// Bytes that are kept of all topics of a hub.
const BYTES_MAX: usize = 16 * 1024 * 1024;
/// Entries that are kept of all topics of a hub.
const ALL_ENTRIES_MAX: usize = 64 * 1024;

/// The last entries of one topic, without a hole, up to the topic's head.
#[derive(Debug, Default)]
pub struct Recent {
    entries: VecDeque<(Seq, Bytes)>,
}

impl Recent {
    /// The first entry that is kept.
    pub fn first(&self) -> Option<Seq> {
        self.entries.front().map(|(seq, _)| *seq)
    }

    /// All entries after `cursor` up to `head`, if they are here.
    pub fn after(&self, cursor: Seq, head: Seq) -> Option<impl Iterator<Item = (Seq, Bytes)>> {
        let (last, _) = self.entries.back()?;
        let has_all = self.first()? <= cursor.next() && *last == head;
        let missing = usize::try_from(head.0.saturating_sub(cursor.0)).ok()?;
        let skipped = self.entries.len().checked_sub(missing)?;
        has_all.then(|| self.entries.iter().skip(skipped).cloned())
    }

    /// Puts entries in front that were read from the log. Those that do not lead up to
    /// the first are of no use.
    pub fn put_before(&mut self, entries: Vec<(Seq, Bytes)>) {
        let first = self.first();
        let fits = |(seq, _): &(Seq, Bytes)| first.is_none_or(|first| *seq < first);
        for (seq, frame) in entries.into_iter().rev().filter(fits) {
            if self.first().is_none_or(|first| seq.next() == first) {
                self.entries.push_front((seq, frame));
            }
        }
    }

    /// Keeps no more than there may be.
    pub fn trim(&mut self) {
        let surplus = self.entries.len().saturating_sub(ENTRIES_MAX);
        self.entries.drain(..surplus);
    }

    /// The next entry of the topic was pushed, in this frame.
    pub fn add(&mut self, seq: Seq, frame: Bytes, entry: Option<&client::Entry>) {
        let follows = |(last, _): &(Seq, Bytes)| last.next() == seq;
        if !self.entries.back().is_some_and(follows) || entry.is_some_and(changes_others) {
            self.entries.clear();
        }
        self.entries.push_back((seq, frame));
        self.trim();
    }

    /// Nothing up to `seq` is kept any more.
    pub fn drop_up_to(&mut self, seq: Seq) {
        while self.first().is_some_and(|first| first <= seq) {
            self.entries.pop_front();
        }
    }
}

/// An edit or a deletion: what was pushed before it is not what the log tells now.
fn changes_others(entry: &client::Entry) -> bool {
    matches!(entry.kind, Some(Kind::Edited(_) | Kind::Deleted(_)))
}

/// What is kept of all topics together: the oldest goes first.
#[derive(Debug, Default)]
pub struct Budget {
    /// In the order in which they came; some may be gone already.
    kept: VecDeque<(Topic, Seq, usize)>,
    bytes: usize,
}

impl Budget {
    /// An entry of so many bytes is kept. Returns which have to go for it.
    pub fn keep(&mut self, topic: Topic, seq: Seq, bytes: usize) -> Vec<(Topic, Seq)> {
        self.bytes += bytes;
        self.kept.push_back((topic, seq, bytes));
        let mut go = Vec::new();
        while (self.bytes > BYTES_MAX || self.kept.len() > ALL_ENTRIES_MAX)
            && let Some((topic, seq, bytes)) = self.kept.pop_front()
        {
            self.bytes -= bytes;
            go.push((topic, seq));
        }
        go
    }
}

#[cfg(test)]
mod tests {
    use causeway_protocol::ChannelId;

    use super::*;

    const TOPIC: Topic = Topic::Channel(ChannelId(1));

    fn bytes(seq: u64) -> Bytes {
        Bytes::copy_from_slice(&seq.to_be_bytes())
    }

    fn entries(seqs: std::ops::RangeInclusive<u64>) -> Vec<(Seq, Bytes)> {
        seqs.map(|seq| (Seq(seq), bytes(seq))).collect()
    }

    fn after(recent: &Recent, cursor: u64, head: u64) -> Option<Vec<u64>> {
        let entries = recent.after(Seq(cursor), Seq(head))?;
        Some(entries.map(|(seq, _)| seq.0).collect())
    }

    #[test]
    fn what_follows_on_a_cursor_is_given_if_all_of_it_is_there() {
        let mut recent = Recent::default();
        assert_eq!(after(&recent, 5, 5), None);
        (6..=9).for_each(|seq| recent.add(Seq(seq), bytes(seq), None));
        assert_eq!(after(&recent, 7, 9), Some(vec![8, 9]));
        assert_eq!(after(&recent, 5, 9), Some(vec![6, 7, 8, 9]));
        assert_eq!(after(&recent, 4, 9), None, "5 is not there");
        assert_eq!(after(&recent, 7, 10), None, "10 is not there");
        recent.add(Seq(20), bytes(20), None);
        assert_eq!(after(&recent, 7, 20), None, "there was a hole");
        assert_eq!(after(&recent, 19, 20), Some(vec![20]));
    }

    #[test]
    fn what_was_read_goes_before_what_was_pushed() {
        let mut recent = Recent::default();
        recent.put_before(entries(3..=5));
        assert_eq!(after(&recent, 2, 5), Some(vec![3, 4, 5]));
        recent.put_before(entries(1..=4));
        assert_eq!(after(&recent, 0, 5), Some(vec![1, 2, 3, 4, 5]));
        let mut far = Recent::default();
        far.add(Seq(9), bytes(9), None);
        far.put_before(entries(3..=5));
        assert_eq!(after(&far, 8, 9), Some(vec![9]), "6 to 8 are not there");
        assert_eq!(far.first(), Some(Seq(9)));
    }

    #[test]
    fn an_edit_or_a_deletion_ends_what_was_pushed_before() {
        let mut recent = Recent::default();
        let mut add = |seq, kind| {
            let entry = client::Entry {
                kind: Some(kind),
                ..client::Entry::default()
            };
            recent.add(Seq(seq), bytes(seq), Some(&entry));
            recent.first()
        };
        add(1, Kind::Posted(client::Message::default()));
        let first = add(2, Kind::Posted(client::Message::default()));
        assert_eq!(first, Some(Seq(1)));
        let first = add(3, Kind::Deleted(client::Deleted::default()));
        assert_eq!(first, Some(Seq(3)));
    }

    #[test]
    fn a_topic_keeps_its_last_entries() {
        let mut recent = Recent::default();
        let last = ENTRIES_MAX as u64 + 9;
        (1..=last).for_each(|seq| recent.add(Seq(seq), bytes(seq), None));
        assert_eq!(recent.first(), Some(Seq(10)));
        recent.put_before(entries(5..=9));
        assert_eq!(recent.first(), Some(Seq(5)));
        recent.trim();
        assert_eq!(recent.first(), Some(Seq(10)));
        recent.drop_up_to(Seq(last));
        assert_eq!(recent.first(), None);
    }

    #[test]
    fn all_topics_together_keep_a_bounded_number_and_the_oldest_goes_first() {
        let (mut budget, other) = (Budget::default(), Topic::Channel(ChannelId(2)));
        assert_eq!(budget.keep(TOPIC, Seq(1), 1), []);
        let mut gone = Vec::new();
        for seq in 1..=ALL_ENTRIES_MAX as u64 {
            gone.extend(budget.keep(other, Seq(seq), 1));
        }
        assert_eq!(gone, [(TOPIC, Seq(1))]);
        let go = budget.keep(other, Seq(1 << 20), BYTES_MAX);
        assert_eq!(go.len(), ALL_ENTRIES_MAX);
        assert_eq!(budget.bytes, BYTES_MAX);
    }
}
