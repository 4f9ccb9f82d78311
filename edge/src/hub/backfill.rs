//! Reading the log once for all sessions of a topic that are a little behind.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway_protocol::Seq;

use super::machine::SessionId;

/// A session that is further behind reads the log by itself.
pub const BEHIND_MAX: u64 = super::recent::ENTRIES_MAX as u64;
/// What has not been read by then is left to the sessions.
const GIVE_UP_AFTER: Duration = Duration::from_secs(3);

/// Sessions that wait for entries of the log, and the reading for them.
#[derive(Debug, Default)]
pub struct Backfill {
    /// The last entry that each has.
    waiting: BTreeMap<SessionId, Seq>,
    reading: Option<Reading>,
}

#[derive(Debug)]
struct Reading {
    /// The entry that is read next.
    next: Seq,
    /// The last.
    to: Seq,
    read: Vec<(Seq, Bytes)>,
    give_up_at: Instant,
}

/// What has become of a reading.
#[derive(Debug, PartialEq, Eq)]
pub enum Read {
    /// It is another's.
    NotOurs,
    /// It goes on with these.
    More(Seq, Seq),
    /// It is done.
    Done(Vec<(Seq, Bytes)>),
}

impl Backfill {
    /// A session that has `cursor` waits. Returns what is to be read if nobody reads yet,
    /// up to `to`.
    pub fn wait(
        &mut self,
        session: SessionId,
        cursor: Seq,
        to: Seq,
        now: Instant,
    ) -> Option<(Seq, Seq)> {
        self.waiting.insert(session, cursor);
        match self.reading {
            Some(_) => None,
            None => Some(self.read(cursor.next(), to, now)),
        }
    }

    /// A session no longer waits.
    pub fn forget(&mut self, session: SessionId) {
        self.waiting.remove(&session);
    }

    /// Entries have been read, in order.
    pub fn fetched(&mut self, entries: &[(Seq, Bytes)], now: Instant) -> Read {
        let first = entries.first().map(|(seq, _)| *seq);
        let Some(reading) = &mut self.reading else {
            return Read::NotOurs;
        };
        if first != Some(reading.next) {
            return Read::NotOurs;
        }
        for (seq, frame) in entries {
            if *seq == reading.next && *seq <= reading.to {
                reading.read.push((*seq, frame.clone()));
                reading.next = seq.next();
            }
        }
        if reading.next <= reading.to {
            reading.give_up_at = now + GIVE_UP_AFTER;
            return Read::More(reading.next, reading.to);
        }
        let read = self.reading.take().map(|reading| reading.read);
        Read::Done(read.unwrap_or_default())
    }

    /// The reading is over: whoever waits, and the last entry that each has.
    pub fn take(&mut self) -> Vec<(SessionId, Seq)> {
        self.reading = None;
        std::mem::take(&mut self.waiting).into_iter().collect()
    }

    /// Whether the reading takes too long.
    pub fn is_overdue(&self, now: Instant) -> bool {
        let reading = self.reading.as_ref();
        reading.is_some_and(|reading| now >= reading.give_up_at)
    }

    fn read(&mut self, from: Seq, to: Seq, now: Instant) -> (Seq, Seq) {
        self.reading = Some(Reading {
            next: from,
            to,
            read: Vec::new(),
            give_up_at: now + GIVE_UP_AFTER,
        });
        (from, to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(seqs: std::ops::RangeInclusive<u64>) -> Vec<(Seq, Bytes)> {
        seqs.map(|seq| (Seq(seq), Bytes::new())).collect()
    }

    #[test]
    fn one_reading_serves_all_and_goes_on_where_an_answer_ends() {
        let (mut backfill, now) = (Backfill::default(), Instant::now());
        let first = backfill.wait(SessionId(1), Seq(4), Seq(9), now);
        assert_eq!(first, Some((Seq(5), Seq(9))));
        assert_eq!(backfill.wait(SessionId(2), Seq(6), Seq(9), now), None);
        assert_eq!(backfill.fetched(&entries(1..=3), now), Read::NotOurs);
        let more = backfill.fetched(&entries(5..=6), now);
        assert_eq!(more, Read::More(Seq(7), Seq(9)));
        let done = backfill.fetched(&entries(7..=11), now);
        assert_eq!(done, Read::Done(entries(5..=9)));
        let waited = backfill.take();
        assert_eq!(waited, [(SessionId(1), Seq(4)), (SessionId(2), Seq(6))]);
    }

    #[test]
    fn a_reading_without_an_answer_is_given_up() {
        let (mut backfill, now) = (Backfill::default(), Instant::now());
        assert!(!backfill.is_overdue(now + GIVE_UP_AFTER));
        backfill.wait(SessionId(1), Seq(4), Seq(9), now);
        assert!(!backfill.is_overdue(now));
        assert!(backfill.is_overdue(now + GIVE_UP_AFTER));
    }
}
