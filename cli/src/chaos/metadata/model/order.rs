//! Who may have known of what, and what came later: from the outside, by the times
//! at which clients saw writes begin and end.

use std::time::Duration;

use super::Written;

/// Clocks that are in step differ by less. All nodes of a world on one machine have the
/// machine's.
const CLOCKS: Duration = Duration::from_millis(20);

/// Of a run; in order, and one ends before the next begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Phase {
    /// Whether replicas can talk to one another.
    pub connected: bool,
    /// Whether all replicas knew everything when it began.
    pub settled: bool,
}

/// The order of writes.
pub struct Order {
    phases: Vec<Phase>,
}

impl Order {
    /// In a run with these phases.
    pub fn new(phases: Vec<Phase>) -> Self {
        Self { phases }
    }

    /// Whether the replica that took `later` knew of `earlier`, if that was done at all.
    pub fn must_know(&self, later: &Written, earlier: &Written) -> bool {
        let ended_before = earlier.ended.is_some_and(|ended| ended <= later.began);
        let is_same_place = earlier.region.is_some() && earlier.region == later.region;
        (is_same_place && ended_before) || self.is_settled_between(earlier, later)
    }

    /// Whether it may have known. Not, if it was done before the other began, or if the
    /// two were made in regions that could not talk to one another in between.
    pub fn may_know(&self, later: &Written, earlier: &Written) -> bool {
        if later.ended.is_some_and(|ended| ended <= earlier.began) {
            return false;
        }
        let is_same_place = earlier.region.is_some() && earlier.region == later.region;
        is_same_place || self.could_talk(earlier, later)
    }

    /// Whether `later` bears the later time for sure. What knows of another is later, and
    /// so is what began after the other had ended, where clocks are right.
    pub fn is_later(&self, later: &Written, earlier: &Written) -> bool {
        let clocks_are_right = later.clock_is_right && earlier.clock_is_right;
        let ended = earlier.ended.map(|ended| ended + CLOCKS);
        let by_clock = clocks_are_right && ended.is_some_and(|ended| ended <= later.began);
        by_clock || self.must_know(later, earlier)
    }

    fn is_settled_between(&self, earlier: &Written, later: &Written) -> bool {
        let between = self.phases.get(earlier.phase + 1..=later.phase);
        let settled = between.is_some_and(|phases| phases.iter().any(|phase| phase.settled));
        // What nobody has an answer to may have been done later.
        settled && earlier.ended.is_some()
    }

    fn could_talk(&self, earlier: &Written, later: &Written) -> bool {
        let between = self.phases.get(earlier.phase..=later.phase);
        let could = between.is_some_and(|phases| phases.iter().any(|phase| phase.connected));
        could || later.ended.is_none()
    }
}
