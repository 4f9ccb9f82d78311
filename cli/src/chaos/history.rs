//! What happened in a run, as clients saw it from outside: every operation with
//! its beginning and end, every push, every reconnection, and the logs read back
//! from every replica. The checker believes nothing else.

use std::time::Duration;

use bytes::Bytes;
use causeway_protocol::{ChannelId, UserId};

/// Since the run began.
pub type At = Duration;
/// A client, by its number.
pub type ClientNumber = usize;

/// Everything that was recorded.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    /// In the order in which they began.
    pub operations: Vec<Operation>,
    /// Per client in the order in which its application was given them.
    pub deliveries: Vec<Delivery>,
    /// What each client is a member of to the end, from the beginning or since it was
    /// told that it has joined.
    pub memberships: Vec<Membership>,
    /// The logs at the end, from each replica of each cell.
    pub replicas: Vec<ReplicaLog>,
}

/// A client that belongs to a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Membership {
    /// The client.
    pub client: ClientNumber,
    /// The channel.
    pub channel: ChannelId,
    /// Deliveries begin after this `seq`: where the channel's log ended when the
    /// client connected first, or as it was told with its joining.
    pub from_seq: u64,
    /// It was no member when it connected first.
    pub joined: bool,
}

/// An operation of a client.
#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    /// By whom.
    pub client: ClientNumber,
    /// In which channel.
    pub channel: ChannelId,
    /// What.
    pub call: Call,
    /// Given to the client library.
    pub began: At,
    /// How it ended.
    pub outcome: Outcome,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// A message. Several operations may have the same id: deliberate resends,
    /// by the same client, with the same text.
    Send {
        /// `client_msg_id`.
        id: Bytes,
        /// The text; different for each id.
        text: String,
        /// The `ts` of the thread's first message; 0 = none.
        thread_ts: u64,
    },
    /// A new text for the client's own message.
    Edit {
        /// The message's `ts`.
        ts: u64,
        /// The text; different for each edit.
        text: String,
    },
    /// The end of the client's own message.
    Delete {
        /// The message's `ts`.
        ts: u64,
    },
    /// The client joins the channel.
    Join,
    /// The newest messages of the channel.
    Read,
}

impl Call {
    /// In one word.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Send { thread_ts: 0, .. } => "send",
            Self::Send { .. } => "reply",
            Self::Edit { .. } => "edit",
            Self::Delete { .. } => "delete",
            Self::Join => "join",
            Self::Read => "read",
        }
    }
}

/// How an operation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A message, an edit or a deletion has its place in the channel's log.
    Acknowledged {
        /// When the client knew.
        at: At,
        /// The place of its entry. For a resend: the first one's.
        seq: u64,
        /// The entry's `ts`.
        ts: u64,
    },
    /// It is done, and has no place in a log that the answer tells.
    Done {
        /// When the client knew.
        at: At,
    },
    /// What a read showed.
    Seen {
        /// When the client knew.
        at: At,
        /// The highest `seq` among the messages.
        last_seq: u64,
        /// The messages.
        page: Vec<Shown>,
    },
    /// It must not have happened, nor ever happen.
    Refused {
        /// When the client knew.
        at: At,
        /// Why.
        code: String,
    },
    /// An answer that leaves open whether it has happened.
    Open {
        /// When the client knew.
        at: At,
        /// Why.
        code: String,
    },
    /// Nobody knows: no answer came.
    Unknown,
}

impl Outcome {
    /// When something was done that was asked for.
    pub fn done_at(&self) -> Option<At> {
        match self {
            Self::Acknowledged { at, .. } | Self::Done { at } | Self::Seen { at, .. } => Some(*at),
            Self::Refused { .. } | Self::Open { .. } | Self::Unknown => None,
        }
    }
}

/// An entry of a channel's log, given to a client's application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// To whom.
    pub client: ClientNumber,
    /// When.
    pub at: At,
    /// In which channel.
    pub channel: ChannelId,
    /// The entry.
    pub entry: LogEntry,
}

/// An entry of a channel's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// Its place.
    pub seq: u64,
    /// Its time.
    pub ts: u64,
    /// What it says.
    pub what: What,
}

/// What an entry says. A log shows a message as it is when the log is read: a
/// posted entry that is read late has the text of the last edit, and a deleted
/// message's entries have no text at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A message.
    Posted(Shown),
    /// A message after an edit; the message's own `seq` and `ts` are in it.
    Edited(Shown),
    /// A message is gone.
    Deleted {
        /// The message's `ts`.
        ts: u64,
    },
    /// Somebody joined or left, or something newer than this checker.
    Other,
}

/// A message, as an entry shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The message's own `seq`.
    pub seq: u64,
    /// The message's own `ts`.
    pub ts: u64,
    /// Who wrote it.
    pub author: UserId,
    /// Under which id.
    pub id: Bytes,
    /// The text; empty if deleted.
    pub text: String,
    /// Whether it had been deleted when the entry was read.
    pub deleted: bool,
    /// The thread it belongs to; 0 = none.
    pub thread_ts: u64,
}

/// A channel's log as one replica holds it at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaLog {
    /// The node's name.
    pub node: String,
    /// The channel.
    pub channel: ChannelId,
    /// All its entries, in the order in which the replica gave them.
    pub entries: Vec<LogEntry>,
}
