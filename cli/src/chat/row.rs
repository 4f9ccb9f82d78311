//! A row of a channel's timeline: a message, or somebody's coming or going.

use causeway_protocol::client::{self, entry::Kind};
use causeway_protocol::{Timestamp, UserId};

/// Bytes of a row besides its text, about.
const ROW_BYTES: usize = 200;

/// One row; its place is its `seq`.
#[derive(Debug, Clone, PartialEq)]
pub enum Row {
    /// A message, deleted or not.
    Message(client::Message),
    /// Somebody has joined.
    Joined(UserId, Timestamp),
    /// Somebody has left.
    Left(UserId, Timestamp),
}

impl Row {
    /// The row that an entry adds, if it adds one.
    pub fn of(entry: &client::Entry) -> Option<Self> {
        let ts = Timestamp(entry.ts);
        match entry.kind.as_ref()? {
            Kind::Posted(message) => Some(Self::Message(message.clone())),
            Kind::MemberJoined(user) => Some(Self::Joined(UserId(*user), ts)),
            Kind::MemberLeft(user) => Some(Self::Left(UserId(*user), ts)),
            _ => None,
        }
    }

    /// When it happened.
    pub fn ts(&self) -> Timestamp {
        match self {
            Self::Message(message) => Timestamp(message.ts),
            Self::Joined(_, ts) | Self::Left(_, ts) => *ts,
        }
    }

    /// Who did it.
    pub fn user(&self) -> UserId {
        match self {
            Self::Message(message) => UserId(message.user),
            Self::Joined(user, _) | Self::Left(user, _) => *user,
        }
    }

    /// The message, if it is one.
    pub fn message(&self) -> Option<&client::Message> {
        match self {
            Self::Message(message) => Some(message),
            Self::Joined(..) | Self::Left(..) => None,
        }
    }

    /// What it takes in memory, about.
    pub fn bytes(&self) -> usize {
        ROW_BYTES + self.message().map_or(0, |message| message.text.len())
    }
}

/// The thread that a message is a reply in; none for the one that starts it.
pub fn thread_of(message: &client::Message) -> Option<Timestamp> {
    let is_reply = message.thread_ts != 0 && message.thread_ts != message.ts;
    is_reply.then_some(Timestamp(message.thread_ts))
}

/// Takes in another version of a message. Versions come from pushes and from
/// pages, in any order: the newer text and the newer count of replies stay.
pub fn renew(known: &mut client::Message, other: client::Message) {
    if other.latest_reply_ts > known.latest_reply_ts {
        known.reply_count = other.reply_count;
        known.latest_reply_ts = other.latest_reply_ts;
    }
    if other.deleted {
        bury(known);
    } else if !known.deleted && other.edited_ts >= known.edited_ts {
        known.text = other.text;
        known.edited_ts = other.edited_ts;
    }
}

/// Deletes a message; its place stays marked.
pub fn bury(message: &mut client::Message) {
    message.text = String::new();
    message.deleted = true;
}
