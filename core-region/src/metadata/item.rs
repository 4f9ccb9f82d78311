//! What there is of metadata in a shard: each item is one row, of one type, and
//! its key is the item itself.

use causeway_protocol::{ChannelId, Topic, UserId, WorkspaceId};

use super::types::Kind;
use crate::store::keys::Key;

/// Bytes of a name inside a key: of an emoji, a field, a preference.
pub const NAME_BYTES_MAX: usize = 100;

/// One piece of metadata. Channels and users by their number in the workspace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Item {
    /// Whether the user has reacted to the message with this emoji.
    Reaction {
        /// The message's channel.
        channel: u32,
        /// The message.
        ts: u64,
        /// The emoji's name.
        emoji: String,
        /// Who.
        user: u32,
    },
    /// Whether the message is pinned to its channel.
    Pin {
        /// The channel.
        channel: u32,
        /// The message.
        ts: u64,
    },
    /// Whether the user has starred the message.
    Star {
        /// Who.
        user: u32,
        /// The message's channel.
        channel: u32,
        /// The message; 0 = the channel itself.
        ts: u64,
    },
    /// Whether the workspace has this emoji.
    Emoji {
        /// Its name.
        name: String,
    },
    /// Whether the user is a member of the public channel.
    Member {
        /// The channel.
        channel: u32,
        /// Who.
        user: u32,
    },
    /// The name that a channel was given after its creation.
    ChannelName {
        /// The channel.
        channel: u32,
    },
    /// Its topic.
    ChannelTopic {
        /// The channel.
        channel: u32,
    },
    /// Its purpose.
    ChannelPurpose {
        /// The channel.
        channel: u32,
    },
    /// Whether it is archived.
    ChannelArchived {
        /// The channel.
        channel: u32,
    },
    /// A field of the user's profile.
    ProfileField {
        /// Whose.
        user: u32,
        /// Its name.
        field: String,
    },
    /// The user's status.
    Status {
        /// Whose.
        user: u32,
    },
    /// One of the user's preferences.
    Preference {
        /// Whose.
        user: u32,
        /// Its name.
        name: String,
    },
    /// Whether the user has set themselves away.
    Away {
        /// Who.
        user: u32,
    },
    /// Until when the user is not to be disturbed.
    DoNotDisturb {
        /// Who.
        user: u32,
    },
    /// How far the user has read the channel.
    ReadCursor {
        /// Who.
        user: u32,
        /// The channel.
        channel: u32,
    },
}

/// The tables: the first byte of a key.
mod table {
    pub const REACTION: u8 = 1;
    pub const PIN: u8 = 2;
    pub const STAR: u8 = 3;
    pub const EMOJI: u8 = 4;
    pub const MEMBER: u8 = 5;
    pub const CHANNEL_NAME: u8 = 6;
    pub const CHANNEL_TOPIC: u8 = 7;
    pub const CHANNEL_PURPOSE: u8 = 8;
    pub const CHANNEL_ARCHIVED: u8 = 9;
    pub const PROFILE_FIELD: u8 = 10;
    pub const STATUS: u8 = 11;
    pub const PREFERENCE: u8 = 12;
    pub const AWAY: u8 = 13;
    pub const DO_NOT_DISTURB: u8 = 14;
    pub const READ_CURSOR: u8 = 15;
}

fn start(table: u8) -> Key {
    Key::default().u8(table)
}

/// The keys of all reactions to a message begin with this; between emoji and user
/// there is a zero, which no name has.
pub fn reactions(channel: u32, ts: u64) -> Key {
    start(table::REACTION).u32(channel).u64(ts)
}

/// The keys of all pins of a channel begin with this.
pub fn pins(channel: u32) -> Key {
    start(table::PIN).u32(channel)
}

/// The keys of all stars of a user begin with this.
pub fn stars(user: u32) -> Key {
    start(table::STAR).u32(user)
}

/// The keys of all emoji begin with this.
pub fn emoji() -> Key {
    start(table::EMOJI)
}

/// The keys of all memberships of a channel begin with this.
pub fn members(channel: u32) -> Key {
    start(table::MEMBER).u32(channel)
}

/// The keys of all fields of a user's profile begin with this.
pub fn profile(user: u32) -> Key {
    start(table::PROFILE_FIELD).u32(user)
}

/// The keys of all preferences of a user begin with this.
pub fn preferences(user: u32) -> Key {
    start(table::PREFERENCE).u32(user)
}

impl Item {
    /// Its key.
    pub fn key(&self) -> Key {
        match self {
            Self::Reaction {
                channel,
                ts,
                emoji,
                user,
            } => {
                let of_message = reactions(*channel, *ts);
                of_message.bytes(emoji.as_bytes()).u8(0).u32(*user)
            }
            Self::Pin { channel, ts } => pins(*channel).u64(*ts),
            Self::Star { user, channel, ts } => stars(*user).u32(*channel).u64(*ts),
            Self::Emoji { name } => emoji().bytes(name.as_bytes()),
            Self::Member { channel, user } => members(*channel).u32(*user),
            Self::ChannelName { channel } => start(table::CHANNEL_NAME).u32(*channel),
            Self::ChannelTopic { channel } => start(table::CHANNEL_TOPIC).u32(*channel),
            Self::ChannelPurpose { channel } => start(table::CHANNEL_PURPOSE).u32(*channel),
            Self::ChannelArchived { channel } => start(table::CHANNEL_ARCHIVED).u32(*channel),
            Self::ProfileField { user, field } => profile(*user).bytes(field.as_bytes()),
            Self::Status { user } => start(table::STATUS).u32(*user),
            Self::Preference { user, name } => preferences(*user).bytes(name.as_bytes()),
            Self::Away { user } => start(table::AWAY).u32(*user),
            Self::DoNotDisturb { user } => start(table::DO_NOT_DISTURB).u32(*user),
            Self::ReadCursor { user, channel } => {
                start(table::READ_CURSOR).u32(*user).u32(*channel)
            }
        }
    }

    /// Reads a key; `None` for what is none of this version.
    pub fn from_key(key: &[u8]) -> Option<Self> {
        let (table, rest) = key.split_first()?;
        let mut rest = Reader(rest);
        let item = match *table {
            table::REACTION => Self::Reaction {
                channel: rest.u32()?,
                ts: rest.u64()?,
                emoji: rest.name_before(5)?,
                user: rest.zero_and_u32()?,
            },
            table::PIN => Self::Pin {
                channel: rest.u32()?,
                ts: rest.u64()?,
            },
            table::STAR => Self::Star {
                user: rest.u32()?,
                channel: rest.u32()?,
                ts: rest.u64()?,
            },
            table::EMOJI => Self::Emoji {
                name: rest.name_before(0)?,
            },
            table::MEMBER => Self::Member {
                channel: rest.u32()?,
                user: rest.u32()?,
            },
            table::CHANNEL_NAME => Self::ChannelName {
                channel: rest.u32()?,
            },
            table::CHANNEL_TOPIC => Self::ChannelTopic {
                channel: rest.u32()?,
            },
            table::CHANNEL_PURPOSE => Self::ChannelPurpose {
                channel: rest.u32()?,
            },
            table::CHANNEL_ARCHIVED => Self::ChannelArchived {
                channel: rest.u32()?,
            },
            table::PROFILE_FIELD => Self::ProfileField {
                user: rest.u32()?,
                field: rest.name_before(0)?,
            },
            table::STATUS => Self::Status { user: rest.u32()? },
            table::PREFERENCE => Self::Preference {
                user: rest.u32()?,
                name: rest.name_before(0)?,
            },
            table::AWAY => Self::Away { user: rest.u32()? },
            table::DO_NOT_DISTURB => Self::DoNotDisturb { user: rest.u32()? },
            table::READ_CURSOR => Self::ReadCursor {
                user: rest.u32()?,
                channel: rest.u32()?,
            },
            _ => return None,
        };
        rest.0.is_empty().then_some(item)
    }

    /// The type of its row.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Reaction { .. } | Self::Pin { .. } | Self::Star { .. } | Self::Emoji { .. } => {
                Kind::Element
            }
            Self::Member { .. } => Kind::Membership,
            Self::ChannelPurpose { .. } | Self::Status { .. } => Kind::MultiValue,
            Self::ReadCursor { .. } => Kind::Mark,
            Self::ChannelName { .. }
            | Self::ChannelTopic { .. }
            | Self::ChannelArchived { .. }
            | Self::ProfileField { .. }
            | Self::Preference { .. }
            | Self::Away { .. }
            | Self::DoNotDisturb { .. } => Kind::Register,
        }
    }

    /// Whom a change of it is told.
    pub fn topic(&self, workspace: WorkspaceId) -> Topic {
        match self {
            Self::Reaction { channel, .. }
            | Self::Pin { channel, .. }
            | Self::Member { channel, .. }
            | Self::ChannelName { channel }
            | Self::ChannelTopic { channel }
            | Self::ChannelPurpose { channel }
            | Self::ChannelArchived { channel } => {
                Topic::Channel(ChannelId::new(workspace, *channel))
            }
            Self::Star { user, .. }
            | Self::Preference { user, .. }
            | Self::ReadCursor { user, .. } => Topic::User(UserId::new(workspace, *user)),
            Self::Emoji { .. }
            | Self::ProfileField { .. }
            | Self::Status { .. }
            | Self::Away { .. }
            | Self::DoNotDisturb { .. } => Topic::Workspace(workspace),
        }
    }
}

/// Reads a key from its front.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn u32(&mut self) -> Option<u32> {
        let (number, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*number))
    }

    fn u64(&mut self) -> Option<u64> {
        let (number, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(u64::from_be_bytes(*number))
    }

    fn zero_and_u32(&mut self) -> Option<u32> {
        let (zero, rest) = self.0.split_first()?;
        self.0 = rest;
        (*zero == 0).then(|| self.u32()).flatten()
    }

    /// A name that ends so many bytes before the key does.
    fn name_before(&mut self, after: usize) -> Option<String> {
        let length = self.0.len().checked_sub(after)?;
        let (name, rest) = self.0.split_at(length);
        self.0 = rest;
        let is_name = (1..=NAME_BYTES_MAX).contains(&length) && !name.contains(&0);
        let name = is_name.then(|| std::str::from_utf8(name).ok()).flatten();
        name.map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// One of each.
    pub fn all(channel: u32, user: u32, ts: u64, name: &str) -> Vec<Item> {
        let name = name.to_owned();
        vec![
            Item::Reaction {
                channel,
                ts,
                emoji: name.clone(),
                user,
            },
            Item::Pin { channel, ts },
            Item::Star { user, channel, ts },
            Item::Emoji { name: name.clone() },
            Item::Member { channel, user },
            Item::ChannelName { channel },
            Item::ChannelTopic { channel },
            Item::ChannelPurpose { channel },
            Item::ChannelArchived { channel },
            Item::ProfileField {
                user,
                field: name.clone(),
            },
            Item::Status { user },
            Item::Preference { user, name },
            Item::Away { user },
            Item::DoNotDisturb { user },
            Item::ReadCursor { user, channel },
        ]
    }

    proptest! {
        #[test]
        fn keys_round_trip(channel: u32, user: u32, ts: u64, name in "[a-zé_+:]{1,40}") {
            for item in all(channel, user, ts, &name) {
                prop_assert_eq!(Item::from_key(&item.key()), Some(item));
            }
        }

        #[test]
        fn whatever_comes_is_a_key_or_not(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Some(item) = Item::from_key(&bytes) {
                prop_assert_eq!(&item.key()[..], &bytes[..]);
            }
        }
    }

    #[test]
    fn no_key_is_two_items() {
        for item in all(1, 2, 3, "name") {
            let key = item.key();
            assert_eq!(Item::from_key(&key[..key.len() - 1]), shorter(&item));
        }
    }

    /// A name may be shorter.
    fn shorter(item: &Item) -> Option<Item> {
        match item {
            Item::Emoji { .. } => Some(Item::Emoji { name: "nam".into() }),
            Item::ProfileField { user, .. } => Some(Item::ProfileField {
                user: *user,
                field: "nam".into(),
            }),
            Item::Preference { user, .. } => Some(Item::Preference {
                user: *user,
                name: "nam".into(),
            }),
            _ => None,
        }
    }

    #[test]
    fn golden_keys() {
        let hex = |item: &Item| -> String {
            item.key()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect()
        };
        let keys: Vec<String> = all(5, 7, 0x0102, "ok").iter().map(hex).collect();
        assert_eq!(
            keys,
            [
                "010000000500000000000001026f6b0000000007",
                "02000000050000000000000102",
                "0300000007000000050000000000000102",
                "046f6b",
                "050000000500000007",
                "0600000005",
                "0700000005",
                "0800000005",
                "0900000005",
                "0a000000076f6b",
                "0b00000007",
                "0c000000076f6b",
                "0d00000007",
                "0e00000007",
                "0f0000000700000005",
            ]
        );
    }
}
