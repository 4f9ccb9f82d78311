//! Reads of the story's channel.

use std::collections::BTreeSet;

use super::builder::{Op, Story};
use crate::chaos::history::{Call, ClientNumber, Outcome, What};

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
        let last_seq = self.newest(end);
        self.end(op, |at| Outcome::Seen { at, last_seq });
        op
    }

    /// The newest message that history showed when the log ended at `end`.
    fn newest(&self, end: u64) -> u64 {
        let mut shown = BTreeSet::new();
        for entry in self.log.iter().take_while(|entry| entry.seq <= end) {
            match &entry.what {
                What::Posted(message) if message.thread_ts == 0 => {
                    shown.insert((entry.seq, entry.ts));
                }
                What::Deleted { ts } => shown.retain(|(_, message)| message != ts),
                _ => {}
            }
        }
        shown.last().map_or(0, |(seq, _)| *seq)
    }
}
