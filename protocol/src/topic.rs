//! Topics: the addresses of real-time delivery.

use std::fmt;

use crate::client;
use crate::id::{ChannelId, UserId, WorkspaceId};

/// The address of real-time delivery; its log is ordered by `seq`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// A channel's messages and comings and goings.
    Channel(ChannelId),
    /// What concerns one user: channels joined and left.
    User(UserId),
    /// What concerns a workspace: new channels, new users.
    Workspace(WorkspaceId),
}

impl Topic {
    /// The workspace whose cell holds this topic's log.
    pub fn workspace(self) -> WorkspaceId {
        match self {
            Self::Channel(channel) => channel.workspace(),
            Self::User(user) => user.workspace(),
            Self::Workspace(workspace) => workspace,
        }
    }

    /// Nine bytes that sort and hash like the topic: kind, then id.
    pub fn key(self) -> [u8; 9] {
        let (kind, id) = match self {
            Self::Channel(channel) => (1, channel.0),
            Self::User(user) => (2, user.0),
            Self::Workspace(workspace) => (3, u64::from(workspace.0)),
        };
        let mut key = [kind; 9];
        key[1..].copy_from_slice(&id.to_be_bytes());
        key
    }

    /// The wire form.
    pub fn to_wire(self) -> client::Topic {
        use client::topic::Kind;
        let kind = match self {
            Self::Channel(channel) => Kind::Channel(channel.0),
            Self::User(user) => Kind::User(user.0),
            Self::Workspace(workspace) => Kind::Workspace(workspace.0),
        };
        client::Topic { kind: Some(kind) }
    }

    /// Reads the wire form; `None` when the kind is missing or unknown.
    pub fn from_wire(topic: Option<&client::Topic>) -> Option<Self> {
        use client::topic::Kind;
        Some(match topic?.kind.as_ref()? {
            Kind::Channel(id) => Self::Channel(ChannelId(*id)),
            Kind::User(id) => Self::User(UserId(*id)),
            Kind::Workspace(id) => Self::Workspace(WorkspaceId(*id)),
        })
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Channel(channel) => channel.fmt(f),
            Self::User(user) => user.fmt(f),
            Self::Workspace(workspace) => workspace.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn wire_form_round_trips(id: u64, workspace: u32) {
            for topic in [
                Topic::Channel(ChannelId(id)),
                Topic::User(UserId(id)),
                Topic::Workspace(WorkspaceId(workspace)),
            ] {
                prop_assert_eq!(Topic::from_wire(Some(&topic.to_wire())), Some(topic));
            }
        }
    }

    #[test]
    fn a_topic_without_a_kind_is_none() {
        assert_eq!(Topic::from_wire(Some(&client::Topic { kind: None })), None);
        assert_eq!(Topic::from_wire(None), None);
    }
}
