//! Changes of a group's members, in the steps of the product's `RaftGroup`: new
//! ones first learn, then two majorities are needed, then those who go, go.

use std::collections::BTreeSet;

use causeway_protocol::NodeId;

use super::message::{Members, Payload};
use super::{Replica, Role};
use crate::io::Io;

/// Entries that a learner may be behind when it becomes a voter.
const BEHIND_MAX: u64 = 100;

/// What a change leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    epoch: u64,
    voters: BTreeSet<NodeId>,
    learners: BTreeSet<NodeId>,
}

impl Replica {
    /// Changes who votes and who follows, as the record of this epoch says; a
    /// change for another record is given up.
    pub fn set_members(
        &mut self,
        epoch: u64,
        voters: BTreeSet<NodeId>,
        learners: BTreeSet<NodeId>,
    ) {
        let is_new = self
            .change
            .as_ref()
            .is_none_or(|change| change.epoch != epoch);
        if is_new && self.is_leader() {
            self.change = Some(Change {
                epoch,
                voters,
                learners,
            });
        }
    }

    /// Takes the next step, once the last one is committed.
    pub(super) fn change_members(&mut self, io: &mut Io<'_>) {
        if self.commit < self.members_at {
            return;
        }
        if self.members.voters.len() == 1 && !self.members.votes(self.me) {
            // Voted out, by itself.
            self.leader = None;
            return self.step_down();
        }
        let Some(change) = self.change.clone() else {
            return;
        };
        match self.next_members(&change) {
            Step::Append(members) => {
                let cell = self.cell;
                io.note(self.members_at, |line| {
                    line.push_str(&format!("changes cell {cell} to {members:?}"));
                });
                self.append(Payload::Members(members));
                self.replicate(io);
            }
            Step::Wait => {}
            Step::Done => {
                io.ledger.membership_changes += 1;
                self.change = None;
            }
        }
    }

    fn next_members(&self, change: &Change) -> Step {
        let now = &self.members;
        let (present, wanted) = match &now.voters[..] {
            [present] => (present, &change.voters),
            [before, after] => {
                let gone: BTreeSet<NodeId> = before.difference(after).copied().collect();
                let learners = now.learners.union(&gone).copied();
                return Step::Append(Members {
                    voters: vec![after.clone()],
                    learners: learners.filter(|n| !after.contains(n)).collect(),
                });
            }
            _ => return Step::Wait,
        };
        let all = now.all();
        let wanted_nodes = change.voters.union(&change.learners);
        let new: BTreeSet<NodeId> = wanted_nodes.filter(|n| !all.contains(n)).copied().collect();
        if !new.is_empty() {
            let learners = now.learners.union(&new).copied().collect();
            let voters = now.voters.clone();
            return Step::Append(Members { voters, learners });
        }
        if present != wanted {
            let caught_up =
                |n: &NodeId| *n == self.me || self.matched(*n) + BEHIND_MAX >= self.disk.len();
            let new = wanted.difference(present);
            return match new
                .copied()
                .all(|node| caught_up(&node) && self.is_known(node))
            {
                true => Step::Append(Members {
                    voters: vec![present.clone(), wanted.clone()],
                    learners: now.learners.difference(wanted).copied().collect(),
                }),
                false => Step::Wait,
            };
        }
        if now.learners != change.learners {
            return Step::Append(Members {
                voters: now.voters.clone(),
                learners: change.learners.clone(),
            });
        }
        Step::Done
    }

    /// Whether the node has answered this leader.
    fn is_known(&self, node: NodeId) -> bool {
        matches!(&self.role, Role::Leader(leading) if leading.matched().iter().any(|(n, m)| *n == node && *m > 0))
    }
}

enum Step {
    Append(Members),
    Wait,
    Done,
}
