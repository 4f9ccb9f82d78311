//! Metadata in words of our own: what there is to write, what a write asks for, and
//! what is shown. The product's types have no part in it, so that the check is one.

use std::collections::BTreeMap;

use causeway_protocol::{ChannelId, UserId, WorkspaceId};

/// One thing that is written and shown by itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Item {
    /// A user's reaction to a message.
    Reaction {
        /// The message's channel.
        channel: ChannelId,
        /// The message.
        ts: u64,
        /// The emoji's name.
        emoji: String,
        /// Who.
        user: UserId,
    },
    /// A message pinned to its channel; shows by whom.
    Pin {
        /// The channel.
        channel: ChannelId,
        /// The message.
        ts: u64,
    },
    /// A message that a user has starred.
    Star {
        /// Who.
        user: UserId,
        /// The message's channel.
        channel: ChannelId,
        /// The message.
        ts: u64,
    },
    /// An emoji of the workspace; shows its address.
    Emoji {
        /// The workspace.
        workspace: WorkspaceId,
        /// Its name.
        name: String,
    },
    /// A member of a public channel.
    Member {
        /// The channel.
        channel: ChannelId,
        /// Who.
        user: UserId,
    },
    /// A channel's name.
    Name(ChannelId),
    /// Its topic.
    Topic(ChannelId),
    /// Its purpose.
    Purpose(ChannelId),
    /// Whether it is archived.
    Archived(ChannelId),
    /// A field of a user's profile.
    Field {
        /// Whose.
        user: UserId,
        /// Which.
        field: String,
    },
    /// A user's status.
    Status(UserId),
    /// One of a user's preferences.
    Preference {
        /// Whose.
        user: UserId,
        /// Which.
        name: String,
    },
    /// Whether a user has set themselves away.
    Away(UserId),
    /// Until when a user is not to be disturbed.
    DoNotDisturb(UserId),
    /// How far a user has read a channel.
    ReadCursor {
        /// Who.
        user: UserId,
        /// The channel.
        channel: ChannelId,
    },
}

/// By which rule writes of an item become what is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Is there, or not; where it is added and removed at the same time, it stays.
    Element,
    /// Shows the last write.
    Register,
    /// Shows the last write, and beside it those of the same time.
    MultiValue,
    /// Is there, or not; where somebody joins and leaves at the same time, they are out.
    Membership,
    /// Shows the highest.
    Mark,
}

/// What a write asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// An element is to be there, and to show this.
    Add(String),
    /// It is not to be there.
    Remove,
    /// A register, or one that keeps what is written at the same time, is to show this.
    Set(String),
    /// A user is to be a member.
    Join,
    /// They are not to be one.
    Leave,
    /// A mark is to be here at least.
    Raise(u64),
}

/// What is shown of an item: first what most people see, then what was written at the
/// same time. Never empty.
pub type Shown = Vec<String>;

/// All that is shown; what is not there, or as it is at first, is absent.
pub type State = BTreeMap<Item, Shown>;

/// Words for kinds of metadata, in the order of [`Item`].
pub const WORDS: [&str; 15] = [
    "reactions",
    "pins",
    "stars",
    "emoji",
    "members",
    "names",
    "topics",
    "purposes",
    "archived",
    "profiles",
    "statuses",
    "preferences",
    "away",
    "do-not-disturb",
    "read cursors",
];

impl Item {
    /// Its rule.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Reaction { .. } | Self::Pin { .. } | Self::Star { .. } | Self::Emoji { .. } => {
                Kind::Element
            }
            Self::Member { .. } => Kind::Membership,
            Self::Purpose(_) | Self::Status(_) => Kind::MultiValue,
            Self::ReadCursor { .. } => Kind::Mark,
            _ => Kind::Register,
        }
    }

    /// What kind of metadata it is, one of [`WORDS`].
    pub fn word(&self) -> &'static str {
        WORDS[match self {
            Self::Reaction { .. } => 0,
            Self::Pin { .. } => 1,
            Self::Star { .. } => 2,
            Self::Emoji { .. } => 3,
            Self::Member { .. } => 4,
            Self::Name(_) => 5,
            Self::Topic(_) => 6,
            Self::Purpose(_) => 7,
            Self::Archived(_) => 8,
            Self::Field { .. } => 9,
            Self::Status(_) => 10,
            Self::Preference { .. } => 11,
            Self::Away(_) => 12,
            Self::DoNotDisturb(_) => 13,
            Self::ReadCursor { .. } => 14,
        }]
    }

    /// The workspace that it belongs to.
    pub fn workspace(&self) -> WorkspaceId {
        match self {
            Self::Emoji { workspace, .. } => *workspace,
            Self::Star { user, .. }
            | Self::Field { user, .. }
            | Self::Status(user)
            | Self::Preference { user, .. }
            | Self::Away(user)
            | Self::DoNotDisturb(user)
            | Self::ReadCursor { user, .. } => user.workspace(),
            Self::Reaction { channel, .. }
            | Self::Pin { channel, .. }
            | Self::Member { channel, .. }
            | Self::Name(channel)
            | Self::Topic(channel)
            | Self::Purpose(channel)
            | Self::Archived(channel) => channel.workspace(),
        }
    }

    /// The channel to whose members alone it is told.
    pub fn channel(&self) -> Option<ChannelId> {
        match self {
            Self::Reaction { channel, .. }
            | Self::Pin { channel, .. }
            | Self::Member { channel, .. }
            | Self::Name(channel)
            | Self::Topic(channel)
            | Self::Purpose(channel)
            | Self::Archived(channel) => Some(*channel),
            _ => None,
        }
    }

    /// The user to whom alone it is told.
    pub fn owner(&self) -> Option<UserId> {
        match self {
            Self::Star { user, .. }
            | Self::Preference { user, .. }
            | Self::ReadCursor { user, .. } => Some(*user),
            _ => None,
        }
    }

    /// The text that stands for nothing: it is not shown.
    pub fn nothing(&self) -> &'static str {
        match self {
            Self::Archived(_) | Self::Away(_) => "false",
            Self::DoNotDisturb(_) | Self::ReadCursor { .. } => "0",
            _ => "",
        }
    }
}

/// What somebody has said of a channel.
pub fn said(text: &str, by: UserId) -> String {
    format!("{text} ({by})")
}

/// Shows an item as it is now.
pub fn show(state: &mut State, item: Item, shown: Shown) {
    let is_nothing = match item.kind() {
        Kind::Register | Kind::Mark => shown.iter().all(|text| text == item.nothing()),
        _ => shown.is_empty(),
    };
    match is_nothing {
        true => drop(state.remove(&item)),
        false => drop(state.insert(item, shown)),
    }
}
