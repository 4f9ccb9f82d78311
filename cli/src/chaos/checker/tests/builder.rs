//! A story of one channel, told step by step: who asks for what, when it takes its
//! place in the log, who is told. A correct world, from which tests then take
//! something away.

use std::collections::BTreeMap;
use std::time::Duration;

use causeway_protocol::{ChannelId, UserId, WorkspaceId};

use crate::chaos::history::{
    At, Call, ClientNumber, Delivery, History, LogEntry, Membership, Operation, Outcome,
    ReplicaLog, Shown, What,
};

pub const CHANNEL: ChannelId = ChannelId(0x1_0000_0005);
/// Clients that are members from the beginning.
pub const MEMBERS: ClientNumber = 3;
/// One that is not.
pub const STRANGER: ClientNumber = MEMBERS;

/// An operation of the story.
pub type Op = usize;

/// What a client knows.
#[derive(Debug, Clone, Default)]
pub struct Person {
    away: bool,
    /// It is given what follows.
    cursor: u64,
    /// It has seen the log up to here in any way.
    pub position: u64,
}

/// The story so far.
#[derive(Debug, Clone)]
pub struct Story {
    now: At,
    operations: Vec<Operation>,
    /// Where each operation was carried out last.
    places: BTreeMap<Op, (u64, u64)>,
    /// As they were when they were new.
    pub log: Vec<LogEntry>,
    /// As they are, by `ts`.
    messages: BTreeMap<u64, Shown>,
    deliveries: Vec<Delivery>,
    pub people: Vec<Person>,
    /// The clock of the leader.
    pub clock: u64,
}

impl Story {
    pub fn new() -> Self {
        let mut story = Self {
            now: Duration::ZERO,
            operations: Vec::new(),
            places: BTreeMap::new(),
            log: Vec::new(),
            messages: BTreeMap::new(),
            deliveries: Vec::new(),
            people: vec![Person::default(); MEMBERS + 1],
            clock: 1_000,
        };
        story.people[STRANGER].away = true;
        // The members have joined before anybody connects.
        for _ in 0..MEMBERS {
            story.append(|_, _| What::Other);
        }
        for person in &mut story.people {
            person.cursor = 3;
        }
        story
    }

    pub fn begin(&mut self, client: ClientNumber, call: Call) -> Op {
        self.now += Duration::from_millis(1);
        self.operations.push(Operation {
            client,
            channel: CHANNEL,
            call,
            began: self.now,
            outcome: Outcome::Unknown,
        });
        self.operations.len() - 1
    }

    pub fn end(&mut self, op: Op, outcome: impl FnOnce(At) -> Outcome) {
        self.now += Duration::from_millis(1);
        self.operations[op].outcome = outcome(self.now);
    }

    /// An operation is acknowledged with the place it has.
    pub fn acknowledge(&mut self, op: Op) {
        let (seq, ts) = self.places[&op];
        self.end(op, |at| Outcome::Acknowledged { at, seq, ts });
        let client = self.operations[op].client;
        let position = &mut self.people[client].position;
        *position = (*position).max(seq);
    }

    pub fn refuse(&mut self, op: Op) {
        let code = "ratelimited".into();
        self.end(op, |at| Outcome::Refused { at, code });
    }

    /// An operation is carried out, if it can be, and those who are there are
    /// given what is new. Returns its place.
    pub fn commit(&mut self, op: Op) -> Option<(u64, u64)> {
        let operation = self.operations[op].clone();
        match &operation.call {
            Call::Send { id, .. } => {
                let known = self.messages.values().find(|m| m.id == *id);
                match known.map(|message| (message.seq, message.ts)) {
                    Some(place) => {
                        self.places.insert(op, place);
                    }
                    None => self.store(op),
                }
            }
            Call::Edit { ts, text } => {
                let message = self.messages.get_mut(ts).filter(|m| !m.deleted)?;
                message.text = text.clone();
                let message = message.clone();
                self.append_for(op, |_, _| What::Edited(message));
            }
            Call::Delete { ts } => {
                let message = self.messages.get_mut(ts).filter(|m| !m.deleted)?;
                message.deleted = true;
                message.text.clear();
                self.append_for(op, |_, _| What::Deleted { ts: *ts });
            }
            Call::Join | Call::Read => return None,
        }
        self.places.get(&op).copied()
    }

    /// A message is stored, even if it is there already.
    pub fn store(&mut self, op: Op) {
        let operation = self.operations[op].clone();
        let Call::Send {
            id,
            text,
            thread_ts,
        } = operation.call
        else {
            panic!("not a message");
        };
        let author = author(operation.client);
        self.append_for(op, |seq, ts| {
            What::Posted(Shown {
                seq,
                ts,
                author,
                id,
                text,
                deleted: false,
                thread_ts,
            })
        });
    }

    fn append_for(&mut self, op: Op, what: impl FnOnce(u64, u64) -> What) {
        let place = self.append(what);
        self.places.insert(op, place);
        for client in 0..self.people.len() {
            if !self.people[client].away {
                self.give(client);
            }
        }
    }

    fn append(&mut self, what: impl FnOnce(u64, u64) -> What) -> (u64, u64) {
        self.clock += 10;
        let (seq, ts) = (self.log.len() as u64 + 1, self.clock);
        let what = what(seq, ts);
        if let What::Posted(message) = &what {
            self.messages.insert(ts, message.clone());
        }
        self.log.push(LogEntry { seq, ts, what });
        (seq, ts)
    }

    /// A client is given all it does not have.
    fn give(&mut self, client: ClientNumber) {
        self.now += Duration::from_millis(1);
        let cursor = usize::try_from(self.people[client].cursor).unwrap();
        let new = self.log[cursor..].iter().map(|entry| self.as_it_is(entry));
        let new: Vec<_> = new.collect();
        for entry in new {
            self.people[client].cursor = entry.seq;
            self.deliveries.push(Delivery {
                client,
                at: self.now,
                channel: CHANNEL,
                entry,
            });
        }
        let cursor = self.people[client].cursor;
        let position = &mut self.people[client].position;
        *position = (*position).max(cursor);
    }

    /// An entry, read now.
    fn as_it_is(&self, entry: &LogEntry) -> LogEntry {
        let mut entry = entry.clone();
        if let What::Posted(shown) | What::Edited(shown) = &mut entry.what {
            *shown = self.messages[&shown.ts].clone();
        }
        entry
    }

    pub fn away(&mut self, client: ClientNumber) {
        self.people[client].away = true;
    }

    /// A client comes back, and catches up.
    pub fn back(&mut self, client: ClientNumber) {
        self.people[client].away = false;
        self.give(client);
    }

    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// The place of an operation that was carried out.
    pub fn place(&self, op: Op) -> Option<(u64, u64)> {
        self.places.get(&op).copied()
    }

    pub fn end_of_log(&self) -> u64 {
        self.log.len() as u64
    }

    pub fn join(&mut self, client: ClientNumber) {
        let op = self.begin(client, Call::Join);
        self.append(|_, _| What::Other);
        self.people[client].cursor = self.end_of_log();
        for client in 0..self.people.len() {
            if !self.people[client].away {
                self.give(client);
            }
        }
        self.people[client].away = false;
        self.end(op, |at| Outcome::Done { at });
    }

    /// All of it, with what three replicas hold at the end.
    pub fn history(&self) -> History {
        let entries: Vec<_> = self.log.iter().map(|e| self.as_it_is(e)).collect();
        let replica = |node: &str| ReplicaLog {
            node: node.into(),
            channel: CHANNEL,
            entries: entries.clone(),
        };
        History {
            operations: self.operations.clone(),
            deliveries: self.deliveries.clone(),
            memberships: (0..MEMBERS).map(member).collect(),
            replicas: ["core-1", "core-2", "core-3"].map(replica).to_vec(),
        }
    }
}

pub fn author(client: ClientNumber) -> UserId {
    UserId::new(WorkspaceId(1), u32::try_from(client).unwrap() + 1)
}

fn member(client: ClientNumber) -> Membership {
    Membership {
        client,
        channel: CHANNEL,
        from_seq: MEMBERS as u64,
        joined: false,
    }
}
