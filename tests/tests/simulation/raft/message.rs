//! What replicas say to each other, and what is in their logs.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Instant;

use causeway_core_region::state_records::Command;
use causeway_protocol::NodeId;

/// The place of an entry: index, then term.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogId {
    pub index: u64,
    pub term: u64,
}

#[derive(Debug, Clone)]
pub struct Entry {
    pub term: u64,
    pub payload: Payload,
}

#[derive(Debug, Clone)]
pub enum Payload {
    /// A leader's first.
    Blank,
    Members(Members),
    Command(Command),
}

/// Who votes; two majorities are needed amid a change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Members {
    pub voters: Vec<BTreeSet<NodeId>>,
    pub learners: BTreeSet<NodeId>,
}

impl Members {
    pub fn votes(&self, node: NodeId) -> bool {
        self.voters.iter().any(|set| set.contains(&node))
    }

    /// In each majority that is needed.
    pub fn votes_everywhere(&self, node: NodeId) -> bool {
        !self.voters.is_empty() && self.voters.iter().all(|set| set.contains(&node))
    }

    pub fn all(&self) -> BTreeSet<NodeId> {
        let voters = self.voters.iter().flatten();
        voters.chain(&self.learners).copied().collect()
    }

    /// Whether those for whom `agrees` holds are a majority of each set.
    pub fn is_quorum(&self, agrees: impl Fn(NodeId) -> bool) -> bool {
        let majority = |set: &BTreeSet<NodeId>| {
            set.iter().filter(|node| agrees(**node)).count() > set.len() / 2
        };
        !self.voters.is_empty() && self.voters.iter().all(majority)
    }
}

#[derive(Debug, Clone)]
pub enum RaftMessage {
    AskVote {
        term: u64,
        last: LogId,
        /// Nothing is promised yet.
        pre: bool,
        /// On the leader's word: its lease does not count.
        transfer: bool,
    },
    Vote {
        term: u64,
        granted: bool,
        pre: bool,
    },
    Append {
        term: u64,
        prev: LogId,
        entries: Vec<Rc<Entry>>,
        commit: u64,
        /// The leader's clock; comes back with the answer.
        sent_at: Instant,
    },
    Appended {
        term: u64,
        /// How far the log matches; or how far it might, with `refused`.
        matched: u64,
        refused: bool,
        sent_at: Instant,
    },
    /// Campaign now: the leader of `term` hands over.
    TakeOver {
        term: u64,
    },
}

impl RaftMessage {
    pub fn kind(&self) -> (u8, &'static str) {
        match self {
            Self::AskVote { pre: true, .. } => (10, "raft ask pre-vote"),
            Self::AskVote { .. } => (11, "raft ask vote"),
            Self::Vote { .. } => (12, "raft vote"),
            Self::Append { .. } => (13, "raft append"),
            Self::Appended { .. } => (14, "raft appended"),
            Self::TakeOver { .. } => (15, "raft take over"),
        }
    }
}
