//! Elections: a pre-vote, which promises nothing, then the vote.

use std::collections::BTreeSet;
use std::time::Instant;

use causeway_protocol::NodeId;

use super::message::{LogId, RaftMessage};
use super::replication::Leading;
use super::{Deferred, Replica, Role};
use crate::io::Io;
use crate::planted::Planted;

/// Who has voted for a candidate, itself among them.
pub type Votes = BTreeSet<NodeId>;

impl Replica {
    /// Asks for an election, if a quorum would grant it.
    pub fn campaign(&mut self, io: &mut Io<'_>) {
        if self.has_granted_lease(io.instant()) || self.is_leader() {
            return;
        }
        if !self.members.votes(self.me) {
            return;
        }
        let cell = self.cell;
        io.note(self.disk.term(), |line| {
            line.push_str(&format!("campaigns for cell {cell}"))
        });
        self.pre_votes = Some([self.me].into());
        self.ask_votes(true, false, io);
    }

    pub(super) fn on_take_over(&mut self, term: u64, io: &mut Io<'_>) {
        if term == self.disk.term() && !self.is_leader() && self.members.votes(self.me) {
            self.stand(true, io);
        }
    }

    pub(super) fn on_ask_vote(
        &mut self,
        from: NodeId,
        term: u64,
        last: LogId,
        pre: bool,
        transfer: bool,
        io: &mut Io<'_>,
    ) {
        let mine = self.disk.last();
        let up_to_date = (last.term, last.index) >= (mine.term, mine.index);
        let led = !transfer && self.has_granted_lease(io.instant());
        if pre {
            let is_new = term > self.disk.term()
                || (term == self.disk.term() && self.disk.vote() == Some(from));
            let granted = up_to_date && !led && is_new;
            // A refusal tells the voter's term: who is behind would never win.
            let term = if granted { term } else { self.disk.term() };
            let vote = RaftMessage::Vote { term, granted, pre };
            return self.send(from, vote, io);
        }
        if led {
            return;
        }
        self.follow_term(term);
        let free =
            io.has(Planted::ForgottenVote) || self.disk.vote().is_none_or(|vote| vote == from);
        if term != self.disk.term() || !up_to_date || !free || self.is_leader() {
            let vote = RaftMessage::Vote {
                term: self.disk.term(),
                granted: false,
                pre,
            };
            return self.send(from, vote, io);
        }
        self.disk.set_vote(term, Some(from));
        self.election_at = None;
        let granted = RaftMessage::Vote {
            term,
            granted: true,
            pre,
        };
        self.after_sync(Deferred::Send(from, granted), io);
    }

    pub(super) fn on_vote(
        &mut self,
        from: NodeId,
        term: u64,
        granted: bool,
        pre: bool,
        io: &mut Io<'_>,
    ) {
        if !granted {
            return self.follow_term(term);
        }
        if pre {
            self.on_pre_vote(from, term, io);
        } else if let Role::Candidate(votes) = &mut self.role
            && term == self.disk.term()
        {
            votes.insert(from);
            if self.members.is_quorum(|node| votes.contains(&node)) {
                self.lead(io);
            }
        }
    }

    fn on_pre_vote(&mut self, from: NodeId, term: u64, io: &mut Io<'_>) {
        let Some(votes) = &mut self.pre_votes else {
            return;
        };
        if term == self.disk.term() + 1 {
            votes.insert(from);
            if self.members.is_quorum(|node| votes.contains(&node)) {
                self.stand(false, io);
            }
        }
    }

    /// As long as this holds, the leader may answer alone, and no other is
    /// elected.
    fn has_granted_lease(&self, now: Instant) -> bool {
        if let Role::Leader(leading) = &self.role {
            return leading.has_lease(self.me, &self.members, self.timings.election_max, now);
        }
        let lease = self.timings.election_max;
        self.heard_at.is_some_and(|heard| now < heard + lease)
    }

    fn stand(&mut self, transfer: bool, io: &mut Io<'_>) {
        io.ledger.candidacies += 1;
        self.disk.set_vote(self.disk.term() + 1, Some(self.me));
        self.role = Role::Candidate([self.me].into());
        self.pre_votes = None;
        self.leader = None;
        self.after_sync(Deferred::AskVotes { transfer }, io);
    }

    pub(super) fn ask_votes(&mut self, pre: bool, transfer: bool, io: &mut Io<'_>) {
        let ask = RaftMessage::AskVote {
            term: self.disk.term() + u64::from(pre),
            last: self.disk.last(),
            pre,
            transfer,
        };
        let others = self.members.all().into_iter().filter(|n| *n != self.me);
        for node in others.filter(|node| self.members.votes(*node)) {
            self.send(node, ask.clone(), io);
        }
    }

    fn lead(&mut self, io: &mut Io<'_>) {
        io.ledger.elections += 1;
        let moved = io.oracle.elected(self.cell, self.disk.term(), self.me);
        io.ledger.failovers += u64::from(moved);
        let (cell, term) = (self.cell, self.disk.term());
        io.note(term, |line| {
            line.push_str(&format!("leads cell {cell} in term {term}"))
        });
        self.leader = Some(self.me);
        self.role = Role::Leader(Leading::new(self.disk.len() + 1, io.instant()));
        self.append(super::message::Payload::Blank);
        self.replicate(io);
    }
}
