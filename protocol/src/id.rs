//! Identifiers, each a type of its own, and their text forms.
//!
//! Workspaces, channels and users are written the way Slack writes them: a
//! letter, then upper-case base 32 (Crockford's digits, as they survive being
//! read aloud). A channel's or user's id carries its workspace in the upper
//! half, so that routing and the check for a foreign tenant need no look-up.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Text forms are padded to this many digits, to look like ids.
const MIN_DIGITS: usize = 8;

/// A text that is not an id of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is not a {kind} id (expected {prefix} and then digits or capitals)")]
pub struct IdError {
    kind: &'static str,
    prefix: char,
    text: String,
}

fn encode(prefix: char, mut value: u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut digits = [b'0'; 13];
    let mut used = 0;
    while value > 0 {
        used += 1;
        digits[13 - used] = DIGITS[(value & 31) as usize];
        value >>= 5;
    }
    let start = 13 - used.max(MIN_DIGITS);
    write!(f, "{prefix}")?;
    digits[start..]
        .iter()
        .try_for_each(|&digit| write!(f, "{}", char::from(digit)))
}

fn decode(prefix: char, text: &str) -> Option<u64> {
    let digits = text.strip_prefix(prefix)?;
    if digits.len() < MIN_DIGITS || digits.len() > 13 {
        return None;
    }
    // One id has one text: no padding beyond the minimum.
    if digits.len() > MIN_DIGITS && digits.starts_with('0') {
        return None;
    }
    digits.bytes().try_fold(0u64, |value, byte| {
        let digit = DIGITS.iter().position(|&d| d == byte)? as u64;
        value.checked_mul(32)?.checked_add(digit)
    })
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident($int:ty), $prefix:literal, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $int);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                encode($prefix, u64::from(self.0), f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                decode($prefix, text)
                    .and_then(|value| <$int>::try_from(value).ok())
                    .map(Self)
                    .ok_or_else(|| IdError {
                        kind: $kind,
                        prefix: $prefix,
                        text: text.chars().take(32).collect(),
                    })
            }
        }
    };
}

text_id!(
    /// A workspace: the tenant, and the shard that the directory places.
    WorkspaceId(u32), 'T', "workspace"
);
text_id!(
    /// A channel of a workspace.
    ChannelId(u64), 'C', "channel"
);
text_id!(
    /// A user of a workspace.
    UserId(u64), 'U', "user"
);

impl ChannelId {
    /// The `number`-th channel of `workspace`.
    pub fn new(workspace: WorkspaceId, number: u32) -> Self {
        Self(u64::from(workspace.0) << 32 | u64::from(number))
    }

    /// The workspace that owns this channel.
    pub fn workspace(self) -> WorkspaceId {
        WorkspaceId((self.0 >> 32) as u32)
    }

    /// Its number among the channels of the workspace.
    pub fn number(self) -> u32 {
        let [_, _, _, _, low @ ..] = self.0.to_be_bytes();
        u32::from_be_bytes(low)
    }
}

impl UserId {
    /// The `number`-th user of `workspace`.
    pub fn new(workspace: WorkspaceId, number: u32) -> Self {
        Self(u64::from(workspace.0) << 32 | u64::from(number))
    }

    /// The workspace to which this user belongs.
    pub fn workspace(self) -> WorkspaceId {
        WorkspaceId((self.0 >> 32) as u32)
    }

    /// Their number among the users of the workspace.
    pub fn number(self) -> u32 {
        let [_, _, _, _, low @ ..] = self.0.to_be_bytes();
        u32::from_be_bytes(low)
    }

    /// The platform itself, acting in a workspace: number 0, which no user has.
    pub fn platform(workspace: WorkspaceId) -> Self {
        Self::new(workspace, 0)
    }

    /// Whether this is the platform and no user.
    pub fn is_platform(self) -> bool {
        self.0 & u64::from(u32::MAX) == 0
    }
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($int:ty)) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub $int);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

number!(
    /// A cell: one Raft group, many shards. Cell 0 is the directory.
    CellId(u32)
);
number!(
    /// A place in a topic's log: 1, 2, 3 … without holes. 0 = before the first.
    Seq(u64)
);
number!(
    /// Counts the changes of a cell's or shard's placement; the larger is newer.
    Epoch(u64)
);
number!(
    /// An index of a cell's Raft log, as clients see it: opaque, larger is later.
    Position(u64)
);

impl CellId {
    /// The cell that maps shards to cells.
    pub const DIRECTORY: Self = Self(0);
}

impl Seq {
    /// The place after this one.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// One life of a node's disk: drawn at random at its first start, so that a
/// wiped disk never comes back under its old id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct NodeId(pub u64);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_have_stable_texts() {
        let channel = ChannelId::new(WorkspaceId(1), 5);
        assert_eq!(channel.to_string(), "C04000005");
        assert_eq!(UserId(u64::MAX).to_string(), "UFZZZZZZZZZZZZ");
        assert_eq!(WorkspaceId(33).to_string(), "T00000011");
        assert_eq!(NodeId(0xab).to_string(), "00000000000000ab");
    }

    #[test]
    fn wrong_texts_are_refused() {
        for text in [
            "",
            "C",
            "U04000005",
            "c04000005",
            "C0400000I",
            "C4000005",
            "C000000000000005",
            "CZZZZZZZZZZZZZ",
        ] {
            assert!(text.parse::<ChannelId>().is_err(), "{text}");
        }
        assert!("TFZZZZZZZZZZZZ".parse::<WorkspaceId>().is_err());
    }

    proptest! {
        #[test]
        fn texts_round_trip(value: u64, workspace: u32, number: u32) {
            prop_assert_eq!(ChannelId(value).to_string().parse(), Ok(ChannelId(value)));
            prop_assert_eq!(UserId(value).to_string().parse(), Ok(UserId(value)));
            let id = WorkspaceId(workspace);
            prop_assert_eq!(id.to_string().parse(), Ok(id));
            prop_assert_eq!(ChannelId::new(id, number).workspace(), id);
        }

        #[test]
        fn a_parsed_text_is_the_only_text(text in "C[0-9A-Z]{0,14}") {
            if let Ok(id) = text.parse::<ChannelId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }
}
