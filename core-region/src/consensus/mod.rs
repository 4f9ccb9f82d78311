//! Consensus: how the replicas of a cell come to hold the same log, and apply it
//! to the same state. [`Consensus`] is all that the rest of the node sees of it;
//! openraft is known to this folder alone.

mod election;
mod freshness;
mod group;
mod handover;
mod log_store;
mod network;
mod server;
mod snapshot;
mod state_adapter;
mod types;
mod wire;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use bytes::Bytes;
use causeway_protocol::client::{self, response};
use causeway_protocol::{ApiError, NodeId, Position, Topic, WorkspaceId};
use futures::future::BoxFuture;
use thiserror::Error;
use tokio::sync::watch;

use crate::state::Tx;
use crate::store::StoreError;

pub use group::{GroupError, GroupParts, RaftGroup, RaftTimings};
pub use server::Groups;

/// What a command led to, on every replica alike.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Nothing to tell.
    Done,
    /// An answer as clients read it.
    Answer(Box<response::Result>),
    /// The state refuses the command; it is unchanged.
    Refused(ApiError),
    /// The directory's word on a workspace.
    Placed(WorkspaceId),
    /// What the command was decided from is no longer so: decide anew.
    Overtaken,
}

/// An entry that the command appended to a topic's log.
#[derive(Debug, Clone, PartialEq)]
pub struct TopicEntry {
    /// The topic.
    pub topic: Topic,
    /// The entry, with its `seq`.
    pub entry: client::Entry,
}

/// What applying a command did.
#[derive(Debug, Clone, PartialEq)]
pub struct Applied {
    /// For whoever proposed it.
    pub outcome: Outcome,
    /// For whoever listens.
    pub entries: Vec<TopicEntry>,
}

impl From<Outcome> for Applied {
    fn from(outcome: Outcome) -> Self {
        Self {
            outcome,
            entries: Vec::new(),
        }
    }
}

/// A replicated state machine. Applying must depend on the command and the state
/// alone: no clock, no randomness, no node.
pub trait Machine: Send + Sync + 'static {
    /// Applies one command.
    ///
    /// # Errors
    /// [`StoreError`] stops the replica. A command that the state refuses is an
    /// [`Outcome::Refused`], and no error.
    fn apply(&self, tx: &mut Tx<'_>, command: Bytes) -> Result<Applied, StoreError>;

    /// The state has reached `position`, and is written. `leading` tells whether
    /// this replica led when it applied.
    fn reached(&self, position: Position, leading: bool, entries: Vec<TopicEntry>);

    /// The whole state has been replaced, by a snapshot.
    fn replaced(&self) {}
}

/// Who leads, as this replica knows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Leadership {
    /// The term.
    pub term: u64,
    /// Its leader.
    pub leader: Option<NodeId>,
    /// This replica leads: a quorum has voted for it.
    pub leads: bool,
    /// It has its first lease, and has applied all that earlier leaders committed:
    /// what it reads is the latest.
    pub ready: bool,
}

/// A replica at a glance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupStatus {
    /// Who leads.
    pub leadership: Leadership,
    /// How far the state is.
    pub applied: Position,
    /// Those who certainly have a vote in every majority that is needed, and may
    /// lead: before and after a change that is under way, as far as is committed.
    pub voters: BTreeSet<NodeId>,
    /// Those who only follow, by the latest membership in the log.
    pub learners: BTreeSet<NodeId>,
    /// All whom the group counts, by that membership or the last that is committed:
    /// voters of any majority, and learners.
    pub members: BTreeSet<NodeId>,
    /// The latest membership in the log is committed, and so no other counts.
    pub settled: bool,
    /// On the leader: how far each other replica's log matches.
    pub matched: Vec<(NodeId, u64)>,
}

impl GroupStatus {
    /// Whether another replica votes, and is up to so many entries behind: it catches up
    /// while it takes over.
    pub fn is_near(&self, node: NodeId, behind_max: u64) -> bool {
        let matched = self.matched.iter().find(|(n, _)| *n == node);
        let is_close = matched.is_some_and(|(_, index)| index + behind_max >= self.applied.0);
        self.voters.contains(&node) && is_close
    }
}

/// Why a command was not carried out, as far as is known.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ProposeError {
    /// Another replica leads; nothing has happened here.
    #[error("this replica does not lead")]
    NotLeader,
    /// No quorum answered in time: the command may still be carried out.
    #[error("no quorum within the time limit")]
    Unavailable,
    /// Too many commands are under way; nothing has happened.
    #[error("too many commands are under way")]
    Overloaded,
    /// The replica has stopped, after an error that the log has.
    #[error("the replica has stopped")]
    Stopped,
}

/// Whether a replica may ask for elections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Campaigns {
    /// At once when the leader is gone.
    Freely,
    /// Not before the ordinary election timeout: others go first.
    IfNobodyElseDoes,
    /// Not at all.
    Never,
}

/// A membership change that did not come about.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the replicas were not changed: {0}")]
pub struct ChangeError(pub String);

/// One replica of a cell.
pub trait Consensus: Send + Sync {
    /// Has the command replicated, synced by a quorum and applied here.
    fn propose(&self, command: Bytes) -> BoxFuture<'_, Result<(Position, Outcome), ProposeError>>;

    /// How far the state must be to hold all that was acknowledged before this
    /// call. Only a leader knows, and only under its lease.
    fn latest(&self) -> BoxFuture<'_, Result<Position, ProposeError>>;

    /// Waits for this replica to lead, as long as that may come about: while it
    /// campaigns, or has been named the successor.
    fn turn(&self) -> BoxFuture<'_, Result<(), ProposeError>>;

    /// To whom this replica is handing its leadership over.
    fn successor(&self) -> Option<NodeId>;

    /// Who leads; changes are seen at once.
    fn leadership(&self) -> watch::Receiver<Leadership>;

    /// How far the state is; changes are seen at once.
    fn applied(&self) -> watch::Receiver<Position>;

    /// How long ago this replica last knew that it lacked nothing, in
    /// milliseconds: 0 on a leader under its lease, the largest number when it
    /// has not heard of a leader yet.
    fn age_ms(&self) -> u32;

    /// The replica at a glance.
    fn status(&self) -> GroupStatus;

    /// Founds the group with these voters. Does nothing where it exists.
    fn found(&self, voters: BTreeSet<NodeId>) -> BoxFuture<'_, Result<(), ChangeError>>;

    /// Changes who votes and who follows. Only the leader can.
    fn set_members(
        &self,
        voters: BTreeSet<NodeId>,
        learners: BTreeSet<NodeId>,
    ) -> BoxFuture<'_, Result<(), ChangeError>>;

    /// Asks for an election, if it may and a quorum would grant it, as soon as this
    /// replica is no longer bound to the leader that it last heard.
    fn campaign(&self) -> BoxFuture<'_, ()>;

    /// Ends when another replica asks for a vote that it cannot be given, because
    /// its log is shorter than this one's.
    fn awaited(&self) -> BoxFuture<'_, ()>;

    /// Says whether it may.
    fn let_campaign(&self, campaigns: Campaigns);

    /// Hands leadership over to a voter.
    fn transfer(&self, to: NodeId) -> BoxFuture<'_, ()>;

    /// Waits until every command that is under way here is answered, before the
    /// replica is stopped. One that led answers them as a follower, once its successor
    /// has committed them.
    fn answered(&self) -> BoxFuture<'_, ()>;

    /// Stops the replica.
    fn stop(&self) -> BoxFuture<'_, ()>;
}
