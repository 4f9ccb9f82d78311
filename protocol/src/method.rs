//! The methods of the backbone: what a stream between nodes is for. Numbers are
//! never reused.

use std::fmt;

macro_rules! methods {
    ($( $(#[$doc:meta])* $name:ident = $number:literal; )*) => {
        /// The first two bytes of every backbone stream after the handshake.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Method { $( $(#[$doc])* $name, )* }

        impl Method {
            /// The number on the wire.
            pub fn number(self) -> u16 {
                match self { $( Self::$name => $number, )* }
            }

            /// Reads the number; `None` for one of a newer version.
            pub fn from_number(number: u16) -> Option<Self> {
                match number { $( $number => Some(Self::$name), )* _ => None }
            }

            /// For metrics and logs.
            pub fn as_str(self) -> &'static str {
                match self { $( Self::$name => stringify!($name), )* }
            }
        }
    };
}

methods! {
    /// Call: `ApiCall` → `RoutedReply` of a `Response`.
    Api = 1;
    /// Call: `DirectoryPoll` → `Directory`.
    Directory = 2;
    /// Call: `AdminCall` → `RoutedReply` of an `AdminReply`.
    Admin = 3;
    /// One way: `LeaderHints`, frame by frame.
    LeaderHints = 4;
    /// Call: `Vitals` → `Vitals`, between core nodes.
    Vitals = 5;
    /// Call: a vote or pre-vote → its answer.
    RaftVote = 10;
    /// Both ways: log entries in order → acknowledgements in order.
    RaftAppend = 11;
    /// Both ways: a snapshot in chunks → one acknowledgement.
    RaftSnapshot = 12;
    /// Call: a leader asks its successor to take over.
    RaftTransfer = 13;
    /// Call: a replica that the directory gives to others asks its leader whether
    /// the group counts it → its answer.
    RaftMember = 14;
    /// Call: `Subscribe` → `Heads`, to a channel server.
    Subscribe = 20;
    /// Call: `Unsubscribe` → nothing, to a channel server.
    Unsubscribe = 21;
    /// Call: `Subscribe` → `Heads`, to the leader of the topics' cells;
    /// subscribes nothing.
    Heads = 22;
    /// One way: `Publish`, frame by frame: leader to channel server, and channel
    /// server to edge.
    Publish = 23;
    /// Call: `Subscribe` → `Looked`, to a channel server: events of channels and the
    /// presence of users.
    Look = 24;
    /// Call: `Unsubscribe` → nothing, to a channel server.
    LookAway = 25;
    /// One way: `EventRelay`, frame by frame: edge to channel server, and channel server
    /// to edge.
    Event = 26;
    /// One way: `PresenceChanges`, frame by frame, to an edge node.
    Presence = 27;
    /// Both ways: operations on metadata as they are written → reports, between
    /// replicas.
    MetadataShip = 30;
    /// Call: `Digest` → `Digest`: what either side has.
    MetadataDigest = 31;
    /// Call: `Pull` → `Pulled`: operations that the asker lacks.
    MetadataPull = 32;
    /// Both ways: `RowsRequest` → `RowsHeader` and `RowsChunk`s.
    MetadataRows = 33;
    /// Call: `MetadataSubscribe` → `MetadataSubscribed`, from an edge node.
    MetadataSubscribe = 34;
    /// Call: `MetadataUnsubscribe` → nothing.
    MetadataUnsubscribe = 35;
    /// One way: `MetadataPublish`, frame by frame, to an edge node.
    MetadataPublish = 36;
    /// Call: `ReturnRequest` → nothing: a node that was replaced asks the
    /// directory's leader to count its metadata for a while.
    MetadataReturn = 37;
    /// Call: `ApiCall` → `FlannelReply`, from an edge node to the one of its PoP that
    /// holds the workspace.
    Flannel = 40;
    /// Call: `FlannelAsk` → `RoutedReply` of a `FlannelAnswer`, from an edge node.
    FlannelPages = 41;
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
