//! A leader's log on its way to the others, and what commits it.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use causeway_core_region::state_records::Command;
use causeway_protocol::{NodeId, Position};

use super::message::{Entry, LogId, Members, Payload, RaftMessage};
use super::{Deferred, Proposal, Proposals, Replica, Role};
use crate::io::Io;
use crate::planted::Planted;

/// Entries in one message.
const ENTRIES_MAX: usize = 64;

#[derive(Debug, Clone, Copy, Default)]
struct Peer {
    matched: u64,
    next: u64,
    /// When the last message that it answered was sent.
    answered: Option<Instant>,
}

/// What a leader knows of its term.
pub struct Leading {
    first_index: u64,
    peers: BTreeMap<NodeId, Peer>,
    heartbeat_at: Instant,
    /// It has asked another to take over, and promises nothing any more.
    handed_over_at: Option<Instant>,
    pub(super) proposals: Proposals,
}

impl Leading {
    pub(super) fn new(first_index: u64, now: Instant) -> Self {
        Self {
            first_index,
            peers: BTreeMap::new(),
            heartbeat_at: now,
            handed_over_at: None,
            proposals: Proposals::new(),
        }
    }

    pub(super) fn matched(&self) -> Vec<(NodeId, u64)> {
        let peers = self.peers.iter();
        peers.map(|(node, peer)| (*node, peer.matched)).collect()
    }

    pub(super) fn has_lease(
        &self,
        me: NodeId,
        members: &Members,
        lease: Duration,
        now: Instant,
    ) -> bool {
        let answered = |node: NodeId| self.peers.get(&node).and_then(|peer| peer.answered);
        let holds = |node| node == me || answered(node).is_some_and(|at| now < at + lease);
        self.handed_over_at.is_none() && members.is_quorum(holds)
    }
}

impl Replica {
    /// Whether this replica leads, and has applied all that is committed.
    pub fn is_ready(&self, now: Instant) -> bool {
        match &self.role {
            Role::Leader(leading) => {
                let lease = self.timings.election_max;
                self.applied >= leading.first_index
                    && leading.has_lease(self.me, &self.members, lease, now)
            }
            _ => false,
        }
    }

    /// How far a state must be to hold all that was acknowledged before.
    pub fn latest(&self, io: &mut Io<'_>) -> Option<Position> {
        let Role::Leader(leading) = &self.role else {
            return None;
        };
        let lease = self.timings.election_max;
        let leased = leading.has_lease(self.me, &self.members, lease, io.instant());
        if !leased && !io.has(Planted::StaleLease) {
            return None;
        }
        let latest = self.commit.max(leading.first_index.min(self.disk.len()));
        io.ledger.fresh_reads += 1;
        io.oracle.answers_as_fresh(self.cell, self.me, latest);
        Some(Position(latest))
    }

    /// Appends a command, if this replica may.
    pub fn propose(
        &mut self,
        command: Command,
        proposal: Option<Proposal>,
        io: &mut Io<'_>,
    ) -> bool {
        let index = self.disk.len() + 1;
        match &mut self.role {
            Role::Leader(leading) if leading.handed_over_at.is_none() => {
                if let Some(proposal) = proposal {
                    leading.proposals.insert(index, proposal);
                }
            }
            _ => return false,
        }
        self.append(Payload::Command(command));
        self.replicate(io);
        true
    }

    /// Hands leadership over to a voter.
    pub fn transfer(&mut self, to: NodeId, io: &mut Io<'_>) {
        let (term, now) = (self.disk.term(), io.instant());
        if let Role::Leader(leading) = &mut self.role {
            leading.handed_over_at = Some(now);
            self.send(to, RaftMessage::TakeOver { term }, io);
        }
    }

    /// Proposals that no quorum has acknowledged in time.
    pub fn overdue_proposals(&mut self, now: Instant) -> Vec<Proposal> {
        let timeout = self.timings.propose_timeout;
        let Role::Leader(leading) = &mut self.role else {
            return Vec::new();
        };
        let (overdue, waiting) = std::mem::take(&mut leading.proposals)
            .into_iter()
            .partition(|(_, proposal)| now >= proposal.at + timeout);
        leading.proposals = waiting;
        let overdue: Proposals = overdue;
        overdue.into_values().collect()
    }

    pub(super) fn replicate(&mut self, io: &mut Io<'_>) {
        self.after_sync(Deferred::Advance, io);
        let last = self.disk.len();
        for node in self.others() {
            self.append_to(node, None, io);
            if let Role::Leader(leading) = &mut self.role {
                leading.peers.entry(node).or_default().next = last + 1;
            }
        }
    }

    pub(super) fn tick_leader(&mut self, io: &mut Io<'_>) {
        let now = io.instant();
        let Role::Leader(leading) = &mut self.role else {
            return;
        };
        if leading
            .handed_over_at
            .is_some_and(|at| now >= at + self.timings.election_max)
        {
            // Whoever was to take over did not.
            self.leader = None;
            return self.step_down();
        }
        if leading.handed_over_at.is_some() || now < leading.heartbeat_at {
            return self.change_members(io);
        }
        leading.heartbeat_at = now + self.timings.heartbeat;
        for node in self.others() {
            // Again from where it is known to match: what was sent since may be
            // lost.
            let matched = self.peer(node).matched;
            self.append_to(node, Some(matched), io);
        }
        self.change_members(io);
    }

    fn others(&self) -> Vec<NodeId> {
        let all = self.members.all().into_iter();
        all.filter(|node| *node != self.me).collect()
    }

    pub(super) fn matched(&self, node: NodeId) -> u64 {
        self.peer(node).matched
    }

    fn peer(&self, node: NodeId) -> Peer {
        match &self.role {
            Role::Leader(leading) => leading.peers.get(&node).copied().unwrap_or_default(),
            _ => Peer::default(),
        }
    }

    fn append_to(&self, node: NodeId, after: Option<u64>, io: &mut Io<'_>) {
        let peer = self.peer(node);
        let fresh = peer.next.max(1) - 1;
        let prev = after.unwrap_or(fresh).min(self.disk.len());
        let message = RaftMessage::Append {
            term: self.disk.term(),
            prev: self.disk.id(prev).unwrap_or_default(),
            entries: self.disk.from(prev + 1, ENTRIES_MAX),
            commit: self.commit,
            sent_at: io.instant(),
        };
        self.send(node, message, io);
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one message")]
    pub(super) fn on_append(
        &mut self,
        from: NodeId,
        term: u64,
        prev: LogId,
        entries: &[Rc<Entry>],
        commit: u64,
        sent_at: Instant,
        io: &mut Io<'_>,
    ) {
        let answer = |term, matched, refused| RaftMessage::Appended {
            term,
            matched,
            refused,
            sent_at,
        };
        if term < self.disk.term() {
            return self.send(from, answer(self.disk.term(), 0, true), io);
        }
        self.follow_term(term);
        if self.is_leader() {
            io.oracle.two_leaders(self.cell, term, self.me, from);
            return;
        }
        self.role = Role::Follower;
        self.pre_votes = None;
        self.leader = Some(from);
        self.heard_at = Some(io.instant());
        self.election_at = None;
        if self.disk.id(prev.index) != Some(prev) {
            let hint = self
                .disk
                .len()
                .min(prev.index.saturating_sub(1))
                .max(self.commit);
            return self.send(from, answer(term, hint, true), io);
        }
        self.take_entries(prev.index, entries, io);
        let matched = prev.index + entries.len() as u64;
        self.after_sync(Deferred::Send(from, answer(term, matched, false)), io);
        self.commit_up_to(commit.min(matched), io);
    }

    fn take_entries(&mut self, prev: u64, entries: &[Rc<Entry>], io: &mut Io<'_>) {
        let mut names_members = false;
        for (index, entry) in (prev + 1..).zip(entries) {
            match self.disk.id(index) {
                Some(known) if known.term == entry.term => continue,
                Some(_) => {
                    if index <= self.commit {
                        io.oracle.committed_is_replaced(self.cell, self.me, index);
                    }
                    self.disk.truncate(index - 1);
                    names_members |= self.members_at >= index;
                }
                None => {}
            }
            names_members |= matches!(entry.payload, Payload::Members(_));
            self.disk.append(Rc::clone(entry));
        }
        if names_members {
            self.read_members();
        }
    }

    pub(super) fn on_appended(
        &mut self,
        from: NodeId,
        term: u64,
        matched: u64,
        refused: bool,
        sent_at: Instant,
        io: &mut Io<'_>,
    ) {
        self.follow_term(term);
        let last = self.disk.len();
        let Role::Leader(leading) = &mut self.role else {
            return;
        };
        if term != self.disk.term() {
            return;
        }
        let peer = leading.peers.entry(from).or_default();
        peer.answered = peer.answered.max(Some(sent_at));
        if refused {
            let after = matched.max(peer.matched).min(last);
            return self.append_to(from, Some(after), io);
        }
        peer.matched = peer.matched.max(matched);
        self.advance_commit(io);
    }

    pub(super) fn advance_commit(&mut self, io: &mut Io<'_>) {
        let Role::Leader(leading) = &self.role else {
            return;
        };
        let synced = match io.has(Planted::AckBeforeSync) {
            true => self.disk.len(),
            false => self.disk.synced(),
        };
        let alone = io.has(Planted::AckBeforeQuorum);
        let has = |node: NodeId, index: u64| match node == self.me {
            true => synced >= index,
            false => alone || leading.peers.get(&node).is_some_and(|p| p.matched >= index),
        };
        let from = leading.first_index.max(self.commit + 1);
        let committed = (from..=self.disk.len())
            .take_while(|index| self.members.is_quorum(|node| has(node, *index)))
            .last();
        if let Some(index) = committed {
            self.commit_up_to(index, io);
        }
    }
}
