//! Reads of the story's channel.

use std::collections::BTreeMap;

use super::builder::{Op, Story};
use crate::chaos::history::{Call, ClientNumber, Outcome, Shown, What};

/// Messages of a page.
const PAGE: usize = 10;

impl Story {
    pub fn reads(&mut self, client: ClientNumber) -> Op {
        self.read_behind(client, 0)
    }

    /// A client reads from a replica that is at least as far as the client, and
    /// up to `behind` entries behind the log.
    pub fn read_behind(&mut self, client: ClientNumber, behind: u64) -> Op {
        let op = self.begin(client, Call::Read);
        let end = self.end_of_log().saturating_sub(behind);
        let end = end.max(self.people[client].position);
        self.people[client].position = end;
        let page = self.page(end);
        let last_seq = page.last().map_or(0, |message| message.seq);
        self.end(op, |at| Outcome::Seen { at, last_seq, page });
        op
    }

    /// What history showed when the log ended at `end`.
    fn page(&self, end: u64) -> Vec<Shown> {
        let mut shown = BTreeMap::new();
        for entry in self.log.iter().take_while(|entry| entry.seq <= end) {
            match &entry.what {
                What::Posted(message) if message.thread_ts == 0 => {
                    shown.insert(message.ts, message.clone());
                }
                What::Edited(message) => {
                    shown
                        .entry(message.ts)
                        .and_modify(|old| old.clone_from(message));
                }
                What::Deleted { ts } => drop(shown.remove(ts)),
                _ => {}
            }
        }
        let messages: Vec<Shown> = shown.into_values().collect();
        messages[messages.len().saturating_sub(PAGE)..].to_vec()
    }
}
