//! What travels between the hosts of a simulated world.

use std::rc::Rc;

use bytes::Bytes;
use causeway_core_region::surplus::Word;
use causeway_protocol::backbone::{Directory, LeaderHint};
use causeway_protocol::{CellId, ErrorCode, NodeId, Seq, Topic, UserId, client};

use crate::raft::message::RaftMessage;

/// A machine with an address; what runs on it comes and goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Host(pub usize);

/// A client's connection to an edge node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Connection(pub u64);

/// A call between nodes, among those of the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallId(pub u64);

#[derive(Debug, Clone)]
pub enum Message {
    Gossip(Bytes),
    Raft(CellId, Rc<RaftMessage>),
    Hints(Rc<Vec<LeaderHint>>),
    /// Whether the leader's group counts the sender.
    AskWord(CellId),
    Word(CellId, Word),
    Publish(Publish),
    Call(CallId, Rc<Call>),
    Answer(CallId, Rc<Answer>),
    Dial(Connection),
    Accepted(Connection),
    Request(Connection, u64, Rc<client::Request>),
    Response(Connection, u64, Rc<client::Response>),
    Push(Connection, Bytes),
}

/// An entry on its way from a leader to the edges.
#[derive(Debug, Clone)]
pub struct Publish {
    pub topic: Topic,
    pub seq: Seq,
    pub frame: Bytes,
}

#[derive(Debug, Clone)]
pub enum Call {
    Api {
        cell: CellId,
        user: UserId,
        request: client::Request,
        latest: bool,
    },
    Heads(CellId, Vec<Topic>),
    Subscribe(Vec<(CellId, Topic)>),
    Unsubscribe(Vec<(CellId, Topic)>),
    Directory {
        have_version: u64,
    },
}

#[derive(Debug, Clone)]
pub enum Answer {
    /// Of a call to a cell; with `not_leader` comes who leads, if known.
    Routed(Result<Body, ErrorCode>, Option<LeaderHint>),
    /// Where the topics end; `None` while the leader is not found.
    Heads(Vec<Option<Seq>>),
    Directory(Directory),
}

#[derive(Debug, Clone)]
pub enum Body {
    Response(Box<client::Response>),
    Heads(Vec<Seq>),
}

impl Message {
    /// Whether a transport below carries it, in spite of lost packets, for as
    /// long as the connection lives.
    pub fn is_on_a_stream(&self) -> bool {
        matches!(
            self,
            Self::Request(..) | Self::Response(..) | Self::Push(..) | Self::Accepted(..)
        )
    }

    pub fn connection(&self) -> Option<Connection> {
        match self {
            Self::Accepted(connection)
            | Self::Request(connection, ..)
            | Self::Response(connection, ..)
            | Self::Push(connection, _) => Some(*connection),
            _ => None,
        }
    }

    /// For the trace.
    pub fn kind(&self) -> (u8, &'static str) {
        match self {
            Self::Gossip(_) => (1, "gossip"),
            Self::Raft(_, message) => message.kind(),
            Self::Hints(_) => (2, "hints"),
            Self::Publish(_) => (3, "publish"),
            Self::Call(_, call) => call.kind(),
            Self::Answer(..) => (4, "answer"),
            Self::Dial(_) => (5, "dial"),
            Self::Accepted(_) => (6, "accepted"),
            Self::Request(..) => (7, "request"),
            Self::Response(..) => (8, "response"),
            Self::Push(..) => (9, "push"),
            Self::AskWord(_) => (16, "ask word"),
            Self::Word(..) => (17, "word"),
        }
    }
}

impl Call {
    fn kind(&self) -> (u8, &'static str) {
        match self {
            Self::Api { .. } => (20, "call api"),
            Self::Heads(..) => (21, "call heads"),
            Self::Subscribe(_) => (22, "call subscribe"),
            Self::Unsubscribe(_) => (23, "call unsubscribe"),
            Self::Directory { .. } => (24, "call directory"),
        }
    }
}

/// How a connection between two nodes of the backbone changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    Up,
    /// It fell silent.
    Silent,
    /// The peer said that it is stopping.
    Stopped,
}

/// A change of a backbone connection, as one of its ends learns of it.
#[derive(Debug, Clone, Copy)]
pub struct LinkChange {
    pub peer: NodeId,
    pub host: Host,
    pub link: Link,
}
