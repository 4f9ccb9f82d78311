//! Which operations somebody has: of each actor, all up to a number.
//!
//! Lives that are over would pile up. Once every replica that counts has all of
//! one, they forget its number, and remember how many operations there were in all
//! of the node's lives before a certain one: whoever has as many has them all.

use std::collections::BTreeMap;

use bytes::Bytes;
use causeway_protocol::NodeId;
use prost::Message;

use super::actor::{Actor, Dot, dot_from_wire, dot_to_wire};
use crate::metadata_wire as wire;

/// Actors and nodes that a version from outside may name.
const NAMES_MAX: usize = 1_024;

/// A set of operations without holes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Version {
    counters: BTreeMap<Actor, u64>,
    /// Lives that are in it in full.
    complete: BTreeMap<NodeId, Complete>,
}

/// All lives of a node before one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Complete {
    before: u64,
    /// Operations of all of them.
    ops: u64,
}

impl Version {
    /// The last operation of an actor that is in it; the highest number, if all of
    /// the actor's life is.
    pub fn get(&self, actor: Actor) -> u64 {
        if self.is_forgotten(actor) {
            return u64::MAX;
        }
        self.counters.get(&actor).copied().unwrap_or(0)
    }

    fn is_forgotten(&self, actor: Actor) -> bool {
        let complete = self.complete.get(&actor.node);
        complete.is_some_and(|complete| actor.life < complete.before)
    }

    /// Whether the operation is in it.
    pub fn has(&self, dot: &Dot) -> bool {
        dot.counter <= self.get(dot.actor)
    }

    /// Whether all of `other` is in it.
    pub fn has_all(&self, other: &Self) -> bool {
        let mut complete = other.complete.iter();
        other.iter().all(|(actor, n)| self.get(actor) >= n)
            && complete.all(|(node, theirs)| self.ops_before(*node, theirs.before) >= theirs.ops)
    }

    /// Operations of the node's lives before one; no number is too high, if they
    /// are had in full.
    fn ops_before(&self, node: NodeId, life: u64) -> u64 {
        let complete = self.complete.get(&node).copied().unwrap_or_default();
        if complete.before >= life {
            return u64::MAX;
        }
        let lives = Actor::first_of(node)..Actor { node, life };
        let ops = self.counters.range(lives).map(|(_, n)| *n);
        // Who asks may have made the numbers up.
        ops.fold(complete.ops, u64::saturating_add)
    }

    /// Whether the operation, one of `theirs`, may not be in it: of lives that are
    /// forgotten here, only how many operations there were can be compared.
    pub fn may_lack(&self, dot: &Dot, theirs: &Self) -> bool {
        let complete = self.complete.get(&dot.actor.node).copied();
        let Some(complete) = complete.filter(|complete| dot.actor.life < complete.before) else {
            return !self.has(dot) && theirs.has(dot);
        };
        let had = theirs.ops_before(dot.actor.node, complete.before);
        let (last, lacking) = (theirs.get(dot.actor), had.saturating_sub(complete.ops));
        had < u64::MAX && last < u64::MAX && dot.counter > last.saturating_sub(lacking)
    }

    /// Takes an operation in, with all before it.
    pub fn add(&mut self, dot: &Dot) {
        if !self.has(dot) {
            self.counters.insert(dot.actor, dot.counter);
        }
    }

    /// Takes all of another in.
    pub fn merge(&mut self, other: &Self) {
        for (node, complete) in &other.complete {
            self.take_complete(*node, *complete);
        }
        for (actor, counter) in &other.counters {
            self.add(&Dot::new(*actor, *counter));
        }
    }

    /// What is in both.
    #[must_use]
    pub fn common(&self, other: &Self) -> Self {
        let complete = self.complete.iter().filter_map(|(node, ours)| {
            let theirs = other.complete.get(node)?;
            let lesser = if ours.before < theirs.before {
                ours
            } else {
                theirs
            };
            Some((*node, *lesser))
        });
        let actors = self.counters.keys().chain(other.counters.keys());
        let counters = actors.map(|actor| (*actor, self.get(*actor).min(other.get(*actor))));
        let counters = counters.filter(|(_, counter)| (1..u64::MAX).contains(counter));
        Self {
            counters: counters.collect(),
            complete: complete.collect(),
        }
    }

    /// Has everything of the node's lives before this one, and no number for them.
    pub fn complete_before(&mut self, node: NodeId, life: u64) {
        let ops = self.ops_before(node, life);
        self.take_complete(node, Complete { before: life, ops });
    }

    fn take_complete(&mut self, node: NodeId, theirs: Complete) {
        let ours = self.complete.entry(node).or_default();
        if theirs.before > ours.before {
            *ours = theirs;
            self.counters
                .retain(|actor, _| actor.node != node || actor.life >= theirs.before);
        }
    }

    /// The lives of the node that it has in full.
    #[must_use]
    pub fn only_complete(&self, node: NodeId) -> Self {
        let complete = self.complete.get(&node).map(|complete| (node, *complete));
        Self {
            counters: BTreeMap::new(),
            complete: complete.into_iter().collect(),
        }
    }

    /// Actors and their last operations, but for lives that are forgotten.
    pub fn iter(&self) -> impl Iterator<Item = (Actor, u64)> + '_ {
        self.counters
            .iter()
            .map(|(actor, counter)| (*actor, *counter))
    }

    /// The last operation of the node's latest life in it.
    pub fn last_of(&self, node: NodeId) -> Option<Dot> {
        let lives = Actor::first_of(node)..=Actor::last_of(node);
        let (actor, counter) = self.counters.range(lives).next_back()?;
        Some(Dot::new(*actor, *counter))
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.counters.is_empty() && self.complete.is_empty()
    }

    /// How many operations of `other` are not in it, as far as numbers tell.
    pub fn lacks(&self, other: &Self) -> u64 {
        let lacking = other
            .iter()
            .map(|(actor, n)| n.saturating_sub(self.get(actor)));
        let complete = other.complete.iter().map(|(node, theirs)| {
            let had = self.ops_before(*node, theirs.before);
            theirs.ops.saturating_sub(had)
        });
        lacking.chain(complete).fold(0, u64::saturating_add)
    }

    /// The last of each actor's operations in `other`, if it is not in this.
    pub fn lacking(&self, other: &Self) -> impl Iterator<Item = Dot> {
        let last = other.iter().map(|(actor, n)| Dot::new(actor, n));
        last.filter(|dot| !self.has(dot))
    }

    /// Whether `other` has more operations of some node's lives than there were, by
    /// what is remembered of them.
    pub fn is_exceeded_by(&self, other: &Self) -> bool {
        self.complete.iter().any(|(node, all)| {
            let theirs = other.ops_before(*node, all.before);
            theirs < u64::MAX && theirs > all.ops
        })
    }

    /// As stored and sent.
    pub fn to_wire(&self) -> wire::Version {
        let dots = self
            .iter()
            .map(|(actor, n)| dot_to_wire(&Dot::new(actor, n)));
        let complete = self.complete.iter().map(|(node, complete)| wire::Complete {
            node: node.0,
            before: complete.before,
            ops: complete.ops,
        });
        wire::Version {
            dots: dots.collect(),
            complete: complete.collect(),
        }
    }

    /// Reads what was stored or sent.
    pub fn from_wire(version: Option<&wire::Version>) -> Self {
        let Some(version) = version else {
            return Self::default();
        };
        let mut read: Self = version.dots.iter().filter_map(dot_from_wire).collect();
        for complete in &version.complete {
            let (before, ops) = (complete.before, complete.ops);
            read.take_complete(NodeId(complete.node), Complete { before, ops });
        }
        read
    }

    /// As clients carry it.
    pub fn to_bytes(&self) -> Bytes {
        self.to_wire().encode_to_vec().into()
    }

    /// Reads what a client brings; `None` for what no replica has given it.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let version = wire::Version::decode(bytes).ok()?;
        let names = version.dots.len() + version.complete.len();
        (names <= NAMES_MAX).then(|| Self::from_wire(Some(&version)))
    }
}

impl FromIterator<Dot> for Version {
    fn from_iter<T: IntoIterator<Item = Dot>>(dots: T) -> Self {
        let mut version = Self::default();
        dots.into_iter().for_each(|dot| version.add(&dot));
        version
    }
}

/// One dot, as a token that clients carry.
pub fn dot_to_bytes(dot: &Dot) -> Bytes {
    dot_to_wire(dot).encode_to_vec().into()
}

/// Reads a client's token.
pub fn dot_from_bytes(bytes: &[u8]) -> Option<Dot> {
    dot_from_wire(&wire::Dot::decode(bytes).ok()?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn actor(node: u64, life: u64) -> Actor {
        Actor {
            node: NodeId(node),
            life,
        }
    }

    fn version(dots: &[(u64, u64, u64)]) -> Version {
        let dots = dots
            .iter()
            .map(|(n, life, c)| Dot::new(actor(*n, *life), *c));
        dots.collect()
    }

    #[test]
    fn a_life_that_is_forgotten_is_had_in_full() {
        let mut ours = version(&[(1, 1, 5), (1, 2, 3), (2, 1, 1)]);
        assert!(!ours.has(&Dot::new(actor(1, 1), 6)));
        ours.complete_before(NodeId(1), 2);
        assert!(ours.has(&Dot::new(actor(1, 1), 6)));
        assert!(ours.has_all(&version(&[(1, 1, 5), (1, 2, 3)])));
        assert!(!ours.has(&Dot::new(actor(1, 2), 4)), "a later life");
        assert!(!ours.has(&Dot::new(actor(2, 1), 2)), "another node");
        // Whoever lags behind is told what it lacks, and no more.
        let theirs = version(&[(1, 1, 5)]);
        assert_eq!(theirs.lacks(&ours), 4);
        assert_eq!(ours.lacks(&theirs), 0);
        assert!(ours.has_all(&theirs) && !theirs.has_all(&ours));
        // Nor does anybody pass for one who has all of a life.
        let mut all = version(&[(1, 1, 5), (1, 2, 3), (2, 1, 1)]);
        assert!(all.has_all(&ours) && ours.has_all(&all));
        all.complete_before(NodeId(1), 2);
        assert_eq!(all, ours);
        let most = version(&[(1, 1, 4), (1, 2, 3), (2, 1, 1)]);
        assert!(!most.has_all(&ours));
        // More than there was is had by nobody any more.
        let more = version(&[(1, 1, 6), (1, 2, 3)]);
        assert!(ours.is_exceeded_by(&more));
        assert!(!ours.is_exceeded_by(&all) && !ours.is_exceeded_by(&most));
    }

    #[test]
    fn what_both_have_is_the_least_of_both() {
        let (a, b) = (
            version(&[(1, 1, 5), (2, 1, 4)]),
            version(&[(1, 1, 3), (3, 1, 9)]),
        );
        assert_eq!(a.common(&b), version(&[(1, 1, 3)]));
        let mut forgotten = version(&[(1, 1, 6), (1, 2, 7)]);
        forgotten.complete_before(NodeId(1), 2);
        assert_eq!(a.common(&forgotten), version(&[(1, 1, 5)]));
    }

    /// Every life has as many operations.
    const OPS: u64 = 5;

    fn any_version() -> impl Strategy<Value = Version> {
        let dots = prop::collection::vec((1..4u64, 1..4u64, 1..=OPS), 0..8);
        let complete = prop::collection::vec((1..4u64, 1..4u64), 0..3);
        (dots, complete).prop_map(|(dots, complete)| {
            let mut version = version(&dots);
            for (node, life) in complete {
                (1..life).for_each(|life| version.add(&Dot::new(actor(node, life), OPS)));
                version.complete_before(NodeId(node), life);
            }
            version
        })
    }

    fn all_dots() -> impl Iterator<Item = Dot> {
        let lives = (1..4u64).flat_map(|node| (1..4u64).map(move |life| actor(node, life)));
        lives.flat_map(|actor| (1..=OPS).map(move |n| Dot::new(actor, n)))
    }

    proptest! {
        #[test]
        fn bytes_round_trip(version in any_version()) {
            prop_assert_eq!(Version::from_bytes(&version.to_bytes()), Some(version));
        }

        #[test]
        fn versions_are_sets(a in any_version(), b in any_version()) {
            let mut both = a.clone();
            both.merge(&b);
            let common = a.common(&b);
            for dot in all_dots() {
                prop_assert_eq!(both.has(&dot), a.has(&dot) || b.has(&dot));
                prop_assert_eq!(common.has(&dot), a.has(&dot) && b.has(&dot));
            }
            prop_assert_eq!(a.has_all(&b), all_dots().all(|dot| a.has(&dot) || !b.has(&dot)));
            prop_assert_eq!(a.lacks(&b) == 0, a.has_all(&b));
        }
    }
}
