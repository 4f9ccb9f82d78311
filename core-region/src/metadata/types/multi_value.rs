//! What keeps what was written at the same time: a channel's purpose, a user's
//! status. The latest is shown, the others can be read until somebody, who has seen
//! them, writes again. What can be removed, too, is an element of a set: a reaction,
//! a pin, a star, an emoji; where it is added and removed at the same time, it
//! stays.
//!
//! An observed-remove set of writes, each of which removes those that its writer
//! saw: unlike `crdts::MVReg`, whose values carry every actor that ever wrote, it
//! does not grow with them.

use bytes::Bytes;

use super::observed_set::ObservedSet;
use super::stamp::Stamp;
use crate::metadata::actor::Dot;
use crate::metadata::observed::Observed;

/// One write.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Written {
    /// When, and by whom.
    pub stamp: Stamp,
    /// What.
    pub value: Bytes,
}

/// The writes that no later one has seen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MultiValue(pub(super) ObservedSet<Written>);

impl MultiValue {
    /// Writes in place of `observed`.
    pub fn put(&mut self, dot: Dot, written: Written, observed: &Observed) {
        self.0.remove(observed);
        self.0.add(dot, written);
    }

    /// Undoes the writes in `observed`.
    pub fn remove(&mut self, observed: &Observed) {
        self.0.remove(observed);
    }

    /// Takes another replica's state in.
    pub fn merge(&mut self, other: Self) {
        self.0.merge(other.0);
    }

    /// What was written at the same time, the latest first.
    pub fn values(&self) -> Vec<&Written> {
        let mut values: Vec<_> = self.0.elements().collect();
        values.sort_unstable_by(|a, b| b.cmp(a));
        values
    }

    /// The latest.
    pub fn latest(&self) -> Option<&Written> {
        self.0.elements().max()
    }

    /// The writes that another one replaces, and that a removal undoes.
    pub fn observed(&self) -> Observed {
        self.0.alive()
    }
}
