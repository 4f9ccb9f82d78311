//! The history by channel: what was asked for there, by whom, and what came.

use std::collections::{BTreeMap, HashMap};

use causeway_protocol::ChannelId;

use crate::chaos::history::{
    At, Call, ClientNumber, Delivery, History, Membership, Operation, Outcome, ReplicaLog, Shown,
};

/// Refusals that leave open whether an earlier try, repeated by the edge, was
/// carried out; see "Errors" in PROTOCOL.md.
const LEAVES_OPEN: [&str; 6] = [
    "message_not_found",
    "unavailable",
    "internal_error",
    "not_leader",
    "storage_full",
    "draining",
];

/// An acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack {
    pub at: At,
    pub seq: u64,
    pub ts: u64,
}

/// What became of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Acknowledged(Ack),
    /// It has happened; nobody said where.
    Done,
    /// It may have happened.
    Open,
    /// It must not have happened.
    Refused,
}

impl Fate {
    fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Acknowledged { at, seq, ts } => Self::Acknowledged(Ack {
                at: *at,
                seq: *seq,
                ts: *ts,
            }),
            Outcome::Done { .. } => Self::Done,
            Outcome::Refused { code, .. } if !LEAVES_OPEN.contains(&code.as_str()) => Self::Refused,
            Outcome::Refused { .. }
            | Outcome::Seen { .. }
            | Outcome::Open { .. }
            | Outcome::Unknown => Self::Open,
        }
    }
}

/// A message, over all operations under its id.
#[derive(Debug)]
pub struct Sent<'h> {
    pub client: ClientNumber,
    pub text: &'h str,
    pub thread_ts: u64,
    /// When it could first have been stored.
    pub began: At,
    pub acks: Vec<Ack>,
    /// Some operation may have stored it unseen.
    open: bool,
}

impl Sent<'_> {
    /// Whether it must not show.
    pub fn is_refused(&self) -> bool {
        self.acks.is_empty() && !self.open
    }

    /// The acknowledgement that came first.
    pub fn first_ack(&self) -> Option<Ack> {
        self.acks.iter().copied().min_by_key(|ack| ack.at)
    }
}

/// An edit.
#[derive(Debug)]
pub struct Edit<'h> {
    pub client: ClientNumber,
    pub text: &'h str,
    pub began: At,
    pub fate: Fate,
}

impl Edit<'_> {
    /// The place of its entry, if it was told.
    pub fn seq(&self) -> Option<u64> {
        match self.fate {
            Fate::Acknowledged(ack) => Some(ack.seq),
            _ => None,
        }
    }
}

/// A deletion.
#[derive(Debug)]
pub struct Deletion {
    pub client: ClientNumber,
    pub began: At,
    pub fate: Fate,
}

/// What was asked for with a message after it was posted.
#[derive(Debug, Default)]
pub struct Changes<'h> {
    pub edits: Vec<Edit<'h>>,
    pub deletions: Vec<Deletion>,
}

/// A read that was answered.
#[derive(Debug, Clone, Copy)]
pub struct Reading<'h> {
    pub client: ClientNumber,
    pub began: At,
    pub ended: At,
    pub last_seq: u64,
    pub page: &'h [Shown],
}

/// A channel's part of the history.
#[derive(Debug)]
pub struct Channel<'h> {
    pub id: ChannelId,
    /// By id.
    pub sends: HashMap<&'h [u8], Sent<'h>>,
    /// By the message's `ts`.
    pub changes: HashMap<u64, Changes<'h>>,
    pub reads: Vec<Reading<'h>>,
    pub members: Vec<Membership>,
    pub streams: BTreeMap<ClientNumber, Vec<&'h Delivery>>,
    pub replicas: Vec<&'h ReplicaLog>,
}

/// Takes a history apart.
pub fn by_channel(history: &History) -> BTreeMap<ChannelId, Channel<'_>> {
    let mut channels = BTreeMap::new();
    for operation in &history.operations {
        channel(&mut channels, operation.channel).take(operation);
    }
    for membership in &history.memberships {
        let channel = channel(&mut channels, membership.channel);
        channel.members.push(*membership);
    }
    for delivery in &history.deliveries {
        let channel = channel(&mut channels, delivery.channel);
        let stream = channel.streams.entry(delivery.client).or_default();
        stream.push(delivery);
    }
    for replica in &history.replicas {
        let channel = channel(&mut channels, replica.channel);
        channel.replicas.push(replica);
    }
    channels
}

fn channel<'a, 'h>(
    channels: &'a mut BTreeMap<ChannelId, Channel<'h>>,
    id: ChannelId,
) -> &'a mut Channel<'h> {
    channels.entry(id).or_insert_with(|| Channel {
        id,
        sends: HashMap::new(),
        changes: HashMap::new(),
        reads: Vec::new(),
        members: Vec::new(),
        streams: BTreeMap::new(),
        replicas: Vec::new(),
    })
}

impl<'h> Channel<'h> {
    fn take(&mut self, operation: &'h Operation) {
        let (client, began) = (operation.client, operation.began);
        let fate = Fate::of(&operation.outcome);
        match &operation.call {
            Call::Send {
                id,
                text,
                thread_ts,
            } => {
                let sent = self.sends.entry(id).or_insert(Sent {
                    client,
                    text,
                    thread_ts: *thread_ts,
                    began: At::MAX,
                    acks: Vec::new(),
                    open: false,
                });
                match fate {
                    Fate::Refused => return,
                    Fate::Acknowledged(ack) => sent.acks.push(ack),
                    Fate::Done | Fate::Open => sent.open = true,
                }
                sent.began = sent.began.min(began);
            }
            Call::Edit { ts, text } => {
                let changes = self.changes.entry(*ts).or_default();
                changes.edits.push(Edit {
                    client,
                    text,
                    began,
                    fate,
                });
            }
            Call::Delete { ts } => {
                let changes = self.changes.entry(*ts).or_default();
                changes.deletions.push(Deletion {
                    client,
                    began,
                    fate,
                });
            }
            Call::Read => {
                if let Outcome::Seen { at, last_seq, page } = &operation.outcome {
                    self.reads.push(Reading {
                        client,
                        began,
                        ended: *at,
                        last_seq: *last_seq,
                        page,
                    });
                }
            }
            Call::Join => {}
        }
    }
}
