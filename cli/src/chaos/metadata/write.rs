//! Writes as clients make them, and what became of each.

use std::time::Duration;

use causeway_protocol::client::{self, request::Body, set_channel::Field};
use causeway_protocol::{ApiError, ChannelId, ErrorCode, UserId};

use super::item::{Change, Item};
use crate::chaos::history::{At, ClientNumber};

/// An edge node asks again when it has waited for two seconds: a refusal that took long
/// may speak of what the first try has done.
const RETRIED: Duration = Duration::from_secs(1);

/// A region, by its number in the world.
pub type RegionNumber = usize;
/// A phase of the run: within one, the same regions can talk to one another.
pub type PhaseNumber = usize;

/// A write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// By which client.
    pub client: ClientNumber,
    /// By whom.
    pub user: UserId,
    /// Nearest to the client.
    pub region: RegionNumber,
    /// When, roughly.
    pub phase: PhaseNumber,
    /// Of what.
    pub item: Item,
    /// What is asked for.
    pub change: Change,
    /// Given to the client library.
    pub began: At,
    /// How it ended.
    pub outcome: Outcome,
}

/// How a write ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is done.
    Acknowledged(At),
    /// It is not.
    Refused(At, ErrorCode),
    /// Nobody knows, since when the client was told so.
    Unanswered(At),
    /// No answer has come yet.
    UnderWay,
}

impl Outcome {
    /// What an answer says.
    pub fn of(answer: &Result<client::response::Result, ApiError>, at: At) -> Self {
        match answer {
            Ok(_) => Self::Acknowledged(at),
            Err(error) if error.code.is_retryable() => Self::Unanswered(at),
            Err(error) => Self::Refused(at, error.code),
        }
    }
}

impl Write {
    /// Whether it was refused because of how things are, which is an answer like another.
    pub fn is_refused_by_state(&self) -> bool {
        let Outcome::Refused(_, code) = self.outcome else {
            return false;
        };
        matches!(
            code,
            ErrorCode::AlreadyReacted
                | ErrorCode::NoReaction
                | ErrorCode::TooManyEmoji
                | ErrorCode::AlreadyPinned
                | ErrorCode::NoPin
                | ErrorCode::TooManyPins
                | ErrorCode::AlreadyStarred
                | ErrorCode::NotStarred
                | ErrorCode::EmojiNotFound
                | ErrorCode::IsArchived
                | ErrorCode::AlreadyArchived
                | ErrorCode::NotArchived
                | ErrorCode::NameTaken
                | ErrorCode::NotInChannel
        )
    }

    /// Whether a refusal may be the answer to a second try, after the first was done.
    pub fn may_have_been_tried_twice(&self) -> bool {
        match self.outcome {
            Outcome::Refused(at, _) => at.saturating_sub(self.began) > RETRIED,
            _ => false,
        }
    }

    /// How long its acknowledgement took.
    pub fn latency(&self) -> Option<Duration> {
        match self.outcome {
            Outcome::Acknowledged(at) => Some(at.saturating_sub(self.began)),
            _ => None,
        }
    }
}

/// The request by which `user` asks for a change.
///
/// # Panics
/// For a change that is not one of the item's kind: the workload makes none.
pub fn request(user: UserId, item: &Item, change: &Change) -> Body {
    match (item, change) {
        (
            Item::Reaction {
                channel, ts, emoji, ..
            },
            change,
        ) => Body::React(client::React {
            channel: channel.0,
            ts: *ts,
            emoji: emoji.clone(),
            remove: *change == Change::Remove,
        }),
        (Item::Pin { channel, ts }, change) => Body::Pin(client::Pin {
            channel: channel.0,
            ts: *ts,
            remove: *change == Change::Remove,
        }),
        (Item::Star { channel, ts, .. }, change) => Body::Star(client::Star {
            channel: channel.0,
            ts: *ts,
            remove: *change == Change::Remove,
        }),
        (Item::Emoji { name, .. }, change) => Body::SetEmoji(client::SetEmoji {
            name: name.clone(),
            url: match change {
                Change::Add(url) => url.clone(),
                _ => String::new(),
            },
            remove: *change == Change::Remove,
        }),
        (Item::Member { channel, user: of }, change) => membership(user, *channel, *of, change),
        (Item::ReadCursor { channel, .. }, Change::Raise(seq)) => {
            Body::MarkRead(client::MarkRead {
                channel: channel.0,
                seq: *seq,
            })
        }
        (item, Change::Set(text)) => setting(item, text),
        (item, change) => panic!("{change:?} is no change of {item:?}"),
    }
}

fn membership(user: UserId, channel: ChannelId, of: UserId, change: &Change) -> Body {
    let channel = channel.0;
    match (*change == Change::Join, of == user) {
        (true, true) => Body::JoinChannel(client::JoinChannel { channel }),
        (false, true) => Body::LeaveChannel(client::LeaveChannel { channel }),
        (true, false) => Body::InviteMember(client::InviteMember {
            channel,
            user: of.0,
        }),
        (false, false) => Body::KickMember(client::KickMember {
            channel,
            user: of.0,
        }),
    }
}

fn setting(item: &Item, text: &str) -> Body {
    let text = text.to_owned();
    let channel = |channel: &ChannelId, field| {
        Body::SetChannel(client::SetChannel {
            channel: channel.0,
            field: Some(field),
        })
    };
    match item {
        Item::Name(id) => channel(id, Field::Name(text)),
        Item::Topic(id) => channel(id, Field::Topic(text)),
        Item::Purpose(id) => channel(id, Field::Purpose(text)),
        Item::Archived(id) => channel(id, Field::Archived(text == "true")),
        Item::Field { field, .. } => Body::SetProfile(client::SetProfile {
            fields: [(field.clone(), text)].into(),
        }),
        Item::Status(_) => Body::SetStatus(client::SetStatus {
            text,
            ..client::SetStatus::default()
        }),
        Item::Preference { name, .. } => Body::SetPreference(client::SetPreference {
            name: name.clone(),
            value: text,
        }),
        Item::Away(_) => Body::SetAway(client::SetAway {
            away: text == "true",
        }),
        Item::DoNotDisturb(_) => Body::SetDoNotDisturb(client::SetDoNotDisturb {
            until_s: text.parse().expect("the workload writes numbers"),
        }),
        item => panic!("{item:?} is not set"),
    }
}
