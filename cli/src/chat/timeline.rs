//! The part of a channel's messages that is in memory: one stretch without
//! holes, which grows at both ends by pages and is cut at the end that is
//! farther from the reader.

use std::collections::BTreeMap;

use causeway_protocol::client::{self, entry::Kind};
use causeway_protocol::{ChannelId, Seq, Timestamp};

use super::row::{Row, bury, renew, thread_of};

/// Rows in memory.
pub const ROWS_MAX: usize = 2_000;
/// Bytes in memory, about: several pages of the longest texts.
const BYTES_MAX: usize = 8 * 1024 * 1024;
/// Messages of a page.
const PAGE_ROWS: u32 = 100;
/// Entries that wait for a page; with more the page is asked for again.
const EARLY_MAX: usize = 1_000;

/// Which messages are loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// The newest.
    Latest,
    /// Those before the oldest in memory.
    Older,
    /// Those after the newest in memory.
    Newer,
}

/// What is known about the messages beyond one end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Edge {
    /// There are none: the channel's beginning, or the present.
    #[default]
    End,
    /// There may be more beyond this time (0 = no bound), from this cursor on.
    More(Timestamp, String),
}

#[derive(Debug, Clone, Copy)]
struct Loading {
    load: Load,
    number: u64,
}

/// The messages of a channel that are in memory.
#[derive(Debug, Default)]
pub struct Timeline {
    rows: BTreeMap<Seq, Row>,
    bytes: usize,
    loaded: bool,
    older: Edge,
    newer: Edge,
    loading: Option<Loading>,
    /// Entries that came while a page was under way, and concern it.
    early: Vec<client::Entry>,
}

impl Timeline {
    /// The rows, oldest first.
    pub fn rows(&self) -> &BTreeMap<Seq, Row> {
        &self.rows
    }

    /// Whether anything has been loaded.
    pub fn is_loaded(&self) -> bool {
        self.loaded
    }

    /// Whether the newest message of the channel is in memory.
    pub fn is_live(&self) -> bool {
        self.loaded && self.newer == Edge::End
    }

    /// Whether the channel has messages before the first in memory.
    pub fn has_older(&self) -> bool {
        self.older != Edge::End
    }

    /// Whether another page finds room without cutting anything off.
    pub fn has_room(&self) -> bool {
        self.rows.len() < ROWS_MAX / 2 && self.bytes < BYTES_MAX / 2
    }

    /// What is being loaded.
    pub fn loading(&self) -> Option<Load> {
        self.loading.map(|loading| loading.load)
    }

    /// The message with this `ts`.
    pub fn message_at(&self, ts: Timestamp) -> Option<&client::Message> {
        let mut messages = self.rows.values().filter_map(Row::message);
        messages.find(|message| message.ts == ts.0)
    }

    /// Begins to load a page, as request `number`. `None` when there is nothing
    /// to load, or a page is under way.
    pub fn begin(
        &mut self,
        channel: ChannelId,
        load: Load,
        number: u64,
    ) -> Option<client::ReadHistory> {
        let wanted = match load {
            Load::Latest => !self.loaded,
            Load::Older | Load::Newer => self.loaded,
        };
        if !wanted || self.loading.is_some() {
            return None;
        }
        let mut read = client::ReadHistory {
            channel: channel.0,
            with_replies: true,
            limit: PAGE_ROWS,
            ..client::ReadHistory::default()
        };
        match (load, &self.older, &self.newer) {
            (Load::Latest, ..) => {}
            (Load::Older, Edge::More(before, cursor), _) => {
                read.latest_ts = before.0;
                read.cursor.clone_from(cursor);
            }
            (Load::Newer, _, Edge::More(after, cursor)) => {
                read.oldest_first = true;
                read.oldest_ts = after.0;
                read.cursor.clone_from(cursor);
            }
            _ => return None,
        }
        self.loading = Some(Loading { load, number });
        Some(read)
    }

    /// The page of request `number`; one that is no longer awaited is dropped.
    pub fn page(&mut self, number: u64, page: client::MessagePage) {
        let Some(loading) = self.loading.filter(|loading| loading.number == number) else {
            return;
        };
        self.loading = None;
        for message in page.messages {
            self.put(Seq(message.seq), Row::Message(message));
        }
        let beyond = |known: &Edge| match (known, page.next_cursor.is_empty()) {
            (_, true) => Edge::End,
            (Edge::End, false) => Edge::More(Timestamp(0), page.next_cursor.clone()),
            (Edge::More(ts, _), false) => Edge::More(*ts, page.next_cursor.clone()),
        };
        match loading.load {
            Load::Latest => {
                self.loaded = true;
                self.older = beyond(&Edge::End);
                self.newer = Edge::End;
            }
            Load::Older => self.older = beyond(&self.older),
            Load::Newer => self.newer = beyond(&self.newer),
        }
        for entry in std::mem::take(&mut self.early) {
            self.apply(&entry);
        }
    }

    /// Request `number` has failed.
    pub fn failed(&mut self, number: u64) {
        if self.loading.is_some_and(|loading| loading.number == number) {
            self.stop_loading();
        }
    }

    /// Takes in an entry of the channel's log.
    pub fn apply(&mut self, entry: &client::Entry) {
        let done = match &entry.kind {
            Some(Kind::Posted(message)) => {
                let counted = self.count_reply(message);
                self.append(entry) && counted
            }
            Some(Kind::MemberJoined(_) | Kind::MemberLeft(_)) => self.append(entry),
            Some(Kind::Edited(message)) => {
                let known = self.message_mut(Seq(message.seq));
                let known = known.map(|known| renew(known, message.clone()));
                self.weigh();
                known.is_some()
            }
            Some(Kind::Deleted(deleted)) => {
                let known = self.message_mut(Seq(deleted.seq)).map(bury);
                self.weigh();
                known.is_some()
            }
            _ => true,
        };
        if !done {
            self.wait(entry);
        }
    }

    /// Takes in an own message whose place is known before its entry comes.
    pub fn sent(&mut self, message: client::Message) {
        if self.is_live() {
            self.put(Seq(message.seq), Row::Message(message));
        }
    }

    /// Forgets everything: the newest messages are loaded anew.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// Keeps the rows around `keep`, which is the newest unless the reader looks
    /// at older ones, and forgets what is over the limits.
    pub fn trim(&mut self, keep: Option<Seq>) {
        if !self.is_over() {
            return;
        }
        let before = |seq| self.rows.range(..seq).count();
        let cut_oldest = keep.is_none_or(|seq| before(seq) >= self.rows.len() / 2);
        while self.is_over() {
            let cut = match cut_oldest {
                true => self.rows.pop_first(),
                false => self.rows.pop_last(),
            };
            self.bytes -= cut.map_or(0, |(_, row)| row.bytes());
        }
        // The edge is a new one: a page that would adjoin the old one is not
        // waited for.
        let stale = if cut_oldest {
            let first = self.rows.first_key_value();
            let ts = first.map_or(Timestamp(0), |(_, row)| row.ts());
            self.older = Edge::More(ts, String::new());
            Load::Older
        } else {
            let last = self.rows.last_key_value();
            let ts = last.map_or(Timestamp(0), |(_, row)| row.ts());
            self.newer = Edge::More(ts, String::new());
            Load::Newer
        };
        if self.loading() == Some(stale) {
            self.stop_loading();
        }
    }

    /// One row is always kept, so that the edges have their times.
    fn is_over(&self) -> bool {
        self.rows.len() > ROWS_MAX || (self.bytes > BYTES_MAX && self.rows.len() > 1)
    }

    /// Adds a row at the newest end, if that is in memory.
    fn append(&mut self, entry: &client::Entry) -> bool {
        let row = Row::of(entry).filter(|_| self.is_live());
        let placed = row.is_some();
        if let Some(row) = row {
            self.put(Seq(entry.seq), row);
        }
        placed
    }

    /// Keeps an entry for the page that is under way; without one it is not
    /// needed: whoever loads the messages later gets them as they are then.
    fn wait(&mut self, entry: &client::Entry) {
        if self.loading.is_none() {
            return;
        }
        self.early.push(entry.clone());
        if self.early.len() > EARLY_MAX {
            self.stop_loading();
        }
    }

    fn stop_loading(&mut self) {
        self.loading = None;
        self.early.clear();
    }

    fn put(&mut self, seq: Seq, row: Row) {
        match (self.rows.get_mut(&seq), row) {
            (Some(Row::Message(known)), Row::Message(other)) => {
                renew(known, other);
                self.weigh();
            }
            (Some(_), _) => {}
            (None, row) => {
                self.bytes += row.bytes();
                self.rows.insert(seq, row);
            }
        }
    }

    fn weigh(&mut self) {
        self.bytes = self.rows.values().map(Row::bytes).sum();
    }

    /// Counts a reply at the message that starts its thread, unless the message
    /// was read from the log after the reply. False when that message is not in
    /// memory.
    fn count_reply(&mut self, reply: &client::Message) -> bool {
        let Some(thread) = thread_of(reply) else {
            return true;
        };
        let mut messages = self.rows.values_mut().filter_map(|row| match row {
            Row::Message(message) => Some(message),
            _ => None,
        });
        let Some(root) = messages.find(|message| message.ts == thread.0) else {
            return false;
        };
        if root.latest_reply_ts < reply.ts {
            root.reply_count = root.reply_count.saturating_add(1);
            root.latest_reply_ts = reply.ts;
        }
        true
    }

    fn message_mut(&mut self, seq: Seq) -> Option<&mut client::Message> {
        match self.rows.get_mut(&seq)? {
            Row::Message(message) => Some(message),
            _ => None,
        }
    }
}
