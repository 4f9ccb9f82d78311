//! Elections: a pre-vote, which promises nothing, then the vote.

use std::collections::BTreeSet;
use std::time::Instant;

use causeway_protocol::NodeId;

use super::message::{LogId, RaftMessage};
use super::replication::Leading;
use super::{Deferred, Replica, Role};
use crate::io::Io;
use crate::planted::Planted;

/// A campaign under way.
pub struct Candidacy {
    pre: bool,
    votes: BTreeSet<NodeId>,
}

impl Replica {
    /// Asks for an election, if a quorum would grant it.
    pub fn campaign(&mut self, io: &mut Io<'_>) {
        if self.is_leader() || !self.members.votes(self.me) {
            return;
        }
        self.begin(true);
        self.ask_votes(true, false, io);
        self.count_votes(io);
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
            let granted = up_to_date && !led && term > self.disk.term();
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
        if !pre && !granted {
            self.follow_term(term);
            return;
        }
        let asked_for = match pre {
            true => self.disk.term() + 1,
            false => self.disk.term(),
        };
        if let Role::Candidate(candidacy) = &mut self.role
            && candidacy.pre == pre
            && granted
            && term == asked_for
        {
            candidacy.votes.insert(from);
            self.count_votes(io);
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

    fn begin(&mut self, pre: bool) {
        self.role = Role::Candidate(Candidacy {
            pre,
            votes: [self.me].into(),
        });
        self.leader = None;
    }

    fn stand(&mut self, transfer: bool, io: &mut Io<'_>) {
        self.disk.set_vote(self.disk.term() + 1, Some(self.me));
        self.begin(false);
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

    fn count_votes(&mut self, io: &mut Io<'_>) {
        let Role::Candidate(candidacy) = &self.role else {
            return;
        };
        if !self
            .members
            .is_quorum(|node| candidacy.votes.contains(&node))
        {
            return;
        }
        if candidacy.pre {
            return self.stand(false, io);
        }
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
