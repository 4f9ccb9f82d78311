//! Stories in few words.

use bytes::Bytes;

use super::builder::Story;
use crate::chaos::history::{Call, ClientNumber};

pub fn send(id: &str, thread_ts: u64) -> Call {
    Call::Send {
        id: Bytes::copy_from_slice(id.as_bytes()),
        text: format!("text of {id}"),
        thread_ts,
    }
}

pub fn edit(ts: u64, text: &str) -> Call {
    let text = text.into();
    Call::Edit { ts, text }
}

/// Messages of two clients: a (seq 4), b (5, edited by 6), c (7); and their `ts`.
pub fn three_messages() -> (Story, [u64; 3]) {
    let mut story = Story::new();
    let a = story.sends(0, "a");
    let b = story.sends(1, "b");
    story.edits(1, b, "another b");
    let c = story.sends(0, "c");
    (story, [a, b, c])
}

impl Story {
    pub fn sends(&mut self, client: ClientNumber, id: &str) -> u64 {
        let op = self.begin(client, send(id, 0));
        let (_, ts) = self.commit(op).unwrap();
        self.acknowledge(op);
        ts
    }

    pub fn replies(&mut self, client: ClientNumber, id: &str, thread_ts: u64) -> u64 {
        let op = self.begin(client, send(id, thread_ts));
        let (_, ts) = self.commit(op).unwrap();
        self.acknowledge(op);
        ts
    }

    pub fn edits(&mut self, client: ClientNumber, ts: u64, text: &str) -> u64 {
        let op = self.begin(client, edit(ts, text));
        let (seq, _) = self.commit(op).unwrap();
        self.acknowledge(op);
        seq
    }

    pub fn deletes(&mut self, client: ClientNumber, ts: u64) -> u64 {
        let op = self.begin(client, Call::Delete { ts });
        let (seq, _) = self.commit(op).unwrap();
        self.acknowledge(op);
        seq
    }
}
