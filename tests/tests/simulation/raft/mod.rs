//! A small Raft in openraft's stead, which cannot run without its tasks: terms,
//! votes with pre-votes and leases, a log that a quorum syncs, joint changes of
//! members, hand-over. What the product adds around openraft is real: when to
//! campaign, who hands over to whom, and which members there should be.

mod disk;
mod members;
pub mod message;
mod replication;
mod vote;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Instant;

use causeway_core_region::RaftTimings;
use causeway_core_region::consensus::{GroupStatus, Leadership, Outcome, TopicEntry};
use causeway_protocol::backbone::LeaderHint;
use causeway_protocol::{CellId, NodeId, Position};
use rand::RngExt;

pub use self::disk::Disk;
use self::members::Change;
use self::message::{Entry, Members, Payload, RaftMessage};
use self::replication::Leading;
use self::vote::Votes;
use crate::io::{Io, Output};
use crate::message::{CallId, Message};
use crate::planted::Planted;
use crate::state::State;

/// Who waits for an entry to be applied: the call, and since when.
#[derive(Debug, Clone, Copy)]
pub struct Proposal {
    pub caller: NodeId,
    pub call: CallId,
    pub at: Instant,
}

/// An entry that this replica has applied.
pub struct Applied {
    pub position: Position,
    pub outcome: Outcome,
    pub entries: Vec<TopicEntry>,
    pub leading: bool,
    pub proposal: Option<Proposal>,
}

enum Role {
    Follower,
    Candidate(Votes),
    Leader(Leading),
}

/// What waits for a sync of the disk.
enum Deferred {
    Send(NodeId, RaftMessage),
    AskVotes { transfer: bool },
    Advance,
}

/// One replica of a cell.
pub struct Replica {
    cell: CellId,
    me: NodeId,
    timings: RaftTimings,
    disk: Disk,
    members_at: u64,
    members: Members,
    role: Role,
    /// Who would vote for this replica; it goes on as what it is meanwhile.
    pre_votes: Option<Votes>,
    leader: Option<NodeId>,
    /// When the leader was last heard of.
    heard_at: Option<Instant>,
    election_at: Option<Instant>,
    deferred: Vec<(u64, u64, Deferred)>,
    commit: u64,
    applied: u64,
    /// The state before the log.
    founded: State,
    state: State,
    change: Option<Change>,
    fresh: Vec<Applied>,
}

/// What of a replica lasts.
#[derive(Debug, Clone)]
pub struct Remains {
    pub disk: Disk,
    applied: u64,
    founded: State,
}

impl Remains {
    /// A new group's replica, or with no members one that is yet to be told.
    pub fn founded(members: Option<Members>, state: State) -> Self {
        Self {
            disk: members.map(Disk::founded).unwrap_or_default(),
            applied: 0,
            founded: state,
        }
    }
}

impl Replica {
    /// Starts from what is on the disk.
    pub fn start(cell: CellId, me: NodeId, remains: Remains) -> Self {
        let (members_at, members) = remains.disk.members(remains.disk.len());
        let mut replica = Self {
            cell,
            me,
            timings: RaftTimings::default(),
            disk: remains.disk,
            members_at,
            members,
            role: Role::Follower,
            pre_votes: None,
            leader: None,
            heard_at: None,
            election_at: None,
            deferred: Vec::new(),
            commit: 0,
            applied: 0,
            state: remains.founded.clone(),
            founded: remains.founded,
            change: None,
            fresh: Vec::new(),
        };
        // The state is written with the log, and is never ahead of it.
        replica.commit = remains.applied.min(replica.disk.synced());
        while replica.applied < replica.commit {
            replica.apply_next();
        }
        replica.fresh.clear();
        replica
    }

    /// Pulls the plug. Returns what lasts, and how many entries do not.
    pub fn crash(mut self) -> (Remains, u64) {
        let lost = self.disk.crash();
        let remains = Remains {
            applied: self.applied.min(self.disk.len()),
            disk: self.disk,
            founded: self.founded,
        };
        (remains, lost)
    }

    pub fn state(&self) -> &State {
        &self.state
    }

    pub fn applied(&self) -> Position {
        Position(self.applied)
    }

    pub fn last_index(&self) -> u64 {
        self.disk.len()
    }

    pub fn leader(&self) -> Option<NodeId> {
        self.leader
    }

    pub fn is_leader(&self) -> bool {
        matches!(self.role, Role::Leader(_))
    }

    pub fn members(&self) -> &Members {
        &self.members
    }

    pub fn leadership(&self, now: Instant) -> Leadership {
        Leadership {
            term: self.disk.term(),
            leader: self.leader,
            leads: self.is_leader(),
            ready: self.is_ready(now),
        }
    }

    pub fn hint(&self) -> Option<LeaderHint> {
        Some(LeaderHint {
            cell: self.cell.0,
            term: self.disk.term(),
            node_id: self.leader?.0,
        })
    }

    pub fn status(&self, now: Instant) -> GroupStatus {
        let matched = match &self.role {
            Role::Leader(leading) => leading.matched(),
            _ => Vec::new(),
        };
        let (committed_at, committed) = self.disk.members(self.commit);
        let voters = self.members.voters.iter().flatten().copied();
        let certain = |node: &NodeId| {
            self.members.votes_everywhere(*node) && committed.votes_everywhere(*node)
        };
        GroupStatus {
            leadership: self.leadership(now),
            applied: self.applied(),
            voters: voters.filter(certain).collect(),
            learners: self.members.learners.clone(),
            members: self
                .members
                .all()
                .union(&committed.all())
                .copied()
                .collect(),
            settled: committed_at == self.members_at,
            matched,
        }
    }

    pub fn on_message(&mut self, from: NodeId, message: &RaftMessage, io: &mut Io<'_>) {
        match message {
            RaftMessage::AskVote {
                term,
                last,
                pre,
                transfer,
            } => self.on_ask_vote(from, *term, *last, *pre, *transfer, io),
            RaftMessage::Vote { term, granted, pre } => {
                self.on_vote(from, *term, *granted, *pre, io);
            }
            RaftMessage::Append {
                term,
                prev,
                entries,
                commit,
                sent_at,
            } => self.on_append(from, *term, *prev, entries, *commit, *sent_at, io),
            RaftMessage::Appended {
                term,
                matched,
                refused,
                sent_at,
            } => self.on_appended(from, *term, *matched, *refused, *sent_at, io),
            RaftMessage::TakeOver { term } => self.on_take_over(*term, io),
        }
    }

    pub fn on_synced(&mut self, operation: u64, io: &mut Io<'_>) {
        self.disk.synced_up_to(operation);
        let done = self.deferred.partition_point(|(op, ..)| *op <= operation);
        let done: Vec<_> = self.deferred.drain(..done).collect();
        for (_, term, deferred) in done {
            // An answer to a leader of the past could count for what another
            // leader has replaced.
            if term == self.disk.term() {
                self.carry_out(deferred, io);
            }
        }
    }

    pub fn tick(&mut self, io: &mut Io<'_>) {
        let now = io.instant();
        match &self.role {
            Role::Leader(_) => self.tick_leader(io),
            _ => {
                let due = *self.election_at.get_or_insert_with(|| {
                    let (min, max) = (self.timings.election_min, self.timings.election_max);
                    let spread = io.rng.random_range(min..=max);
                    now + self.timings.election_max + spread
                });
                if now >= due {
                    self.election_at = None;
                    self.campaign(io);
                }
            }
        }
    }

    /// What was applied since the last call.
    pub fn take_applied(&mut self) -> Vec<Applied> {
        std::mem::take(&mut self.fresh)
    }

    fn carry_out(&mut self, deferred: Deferred, io: &mut Io<'_>) {
        match deferred {
            Deferred::Send(to, message) => self.send(to, message, io),
            Deferred::AskVotes { transfer } => self.ask_votes(false, transfer, io),
            Deferred::Advance => self.advance_commit(io),
        }
    }

    /// Has `deferred` carried out once what was written so far is synced.
    fn after_sync(&mut self, deferred: Deferred, io: &mut Io<'_>) {
        let operation = self.disk.begin_sync();
        io.outputs.push(Output::Sync(self.cell, operation));
        if io.has(Planted::AckBeforeSync) {
            return self.carry_out(deferred, io);
        }
        self.deferred.push((operation, self.disk.term(), deferred));
    }

    fn send(&self, to: NodeId, message: RaftMessage, io: &mut Io<'_>) {
        io.send(to, Message::Raft(self.cell, Rc::new(message)));
    }

    /// A later term than ours is under way.
    fn follow_term(&mut self, term: u64) {
        if term > self.disk.term() {
            self.disk.set_vote(term, None);
            self.step_down();
            self.leader = None;
        }
    }

    fn step_down(&mut self) {
        self.role = Role::Follower;
        self.pre_votes = None;
        self.change = None;
        self.election_at = None;
    }

    fn read_members(&mut self) {
        (self.members_at, self.members) = self.disk.members(self.disk.len());
    }

    fn commit_up_to(&mut self, index: u64, io: &mut Io<'_>) {
        self.commit = self.commit.max(index.min(self.disk.len()));
        while self.applied < self.commit {
            self.apply_next();
            if let Some(entry) = self.disk.entry(self.applied) {
                io.oracle.applied(self.cell, self.applied, entry);
            }
        }
    }

    fn apply_next(&mut self) {
        self.applied += 1;
        let Some(entry) = self.disk.entry(self.applied).cloned() else {
            return;
        };
        let (outcome, entries) = match &entry.payload {
            Payload::Command(command) => self.state.apply(command),
            Payload::Blank | Payload::Members(_) => (Outcome::Done, Vec::new()),
        };
        let proposal = match &mut self.role {
            Role::Leader(leading) => leading.proposals.remove(&self.applied),
            _ => None,
        };
        self.fresh.push(Applied {
            position: Position(self.applied),
            outcome,
            entries,
            leading: self.is_leader(),
            proposal,
        });
    }

    fn append(&mut self, payload: Payload) -> u64 {
        let term = self.disk.term();
        let names_members = matches!(payload, Payload::Members(_));
        self.disk.append(Rc::new(Entry { term, payload }));
        if names_members {
            self.read_members();
        }
        self.disk.len()
    }
}

/// Proposals of a leader, by index.
type Proposals = BTreeMap<u64, Proposal>;
