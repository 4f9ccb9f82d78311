//! Whether a user is a member of a public channel. Where somebody joins and is
//! removed at the same time, the removal wins: a join counts only if its writer
//! knew of every departure.

use super::observed_set::ObservedSet;
use crate::metadata::actor::Dot;
use crate::metadata::hybrid::HybridTime;
use crate::metadata::observed::Observed;
use crate::metadata::version::Version;

/// Joins, and the departures that no later join has seen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Membership {
    pub(super) joined: ObservedSet<()>,
    pub(super) left: ObservedSet<()>,
    /// Of the latest departure.
    pub(super) left_time: HybridTime,
}

impl Membership {
    /// Joins; departures in `seen` are over.
    pub fn join(&mut self, dot: Dot, seen: &Version) {
        self.left.remove_if(|dot| seen.has(dot));
        self.joined.add(dot, ());
    }

    /// Leaves, or is removed; joins in `observed` are over.
    pub fn leave(&mut self, dot: Dot, time: HybridTime, observed: &Observed) {
        self.joined.remove(observed);
        self.left.add(dot, ());
        self.left_time = time.max(self.left_time);
    }

    /// Takes another replica's state in.
    pub fn merge(&mut self, other: Self) {
        self.joined.merge(other.joined);
        self.left.merge(other.left);
        self.left_time = other.left_time.max(self.left_time);
    }

    /// Whether the user is a member.
    pub fn is_member(&self) -> bool {
        self.left.is_empty() && !self.joined.is_empty()
    }

    /// The departures that no join has seen.
    pub fn departures(&self) -> Observed {
        self.left.alive()
    }

    /// When the user last left.
    pub fn left_time(&self) -> HybridTime {
        self.left_time
    }

    /// The joins that a departure undoes.
    pub fn observed(&self) -> Observed {
        self.joined.alive()
    }
}
