//! A set whose removals undo the additions that the remover knew of: an addition
//! at the same time survives. `crdts::Orswot`, made of parts that are stored, and
//! with a clock that forgets what is settled.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::hash::Hash;

use crdts::orswot::Op;
use crdts::{CmRDT, CvRDT, Orswot, VClock};

use crate::metadata::actor::{Actor, Dot};
use crate::metadata::observed::Observed;
use crate::metadata::version::Version;

/// The set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedSet<M: Hash + Eq>(Orswot<M, Actor>);

/// What is stored of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts<M> {
    /// The last addition of each actor, whether it counts or not.
    pub clock: BTreeMap<Actor, u64>,
    /// The additions that count, and what they added.
    pub alive: Vec<(Dot, M)>,
}

impl<M: Hash + Eq> Default for ObservedSet<M> {
    fn default() -> Self {
        Self(Orswot::default())
    }
}

impl<M: Hash + Eq + Clone + Debug + Default> ObservedSet<M> {
    /// Adds an element; again changes nothing.
    pub fn add(&mut self, dot: Dot, element: M) {
        let members = vec![element];
        self.0.apply(Op::Add { dot, members });
    }

    /// Undoes the additions in `observed`.
    pub fn remove(&mut self, observed: &Observed) {
        self.remove_if(|dot| observed.has(dot));
    }

    /// Undoes the additions that are.
    pub fn remove_if(&mut self, is_undone: impl Fn(&Dot) -> bool) {
        for (dot, element) in self.additions() {
            if is_undone(&dot) {
                self.undo(dot, element);
            }
        }
    }

    /// Takes another replica's state in.
    pub fn merge(&mut self, other: Self) {
        self.0.merge(other.0);
    }

    /// Whether it has no element.
    pub fn is_empty(&self) -> bool {
        self.0.iter().next().is_none()
    }

    /// Its elements, in no order.
    pub fn elements(&self) -> impl Iterator<Item = &M> {
        self.0.iter().map(|element| element.val)
    }

    /// The additions that count.
    pub fn alive(&self) -> Observed {
        self.additions().into_iter().map(|(dot, _)| dot).collect()
    }

    /// What is stored of it.
    pub fn parts(&self) -> Parts<M> {
        let mut alive = self.additions();
        alive.sort_unstable_by_key(|(dot, _)| (dot.actor, dot.counter));
        Parts {
            clock: self.0.clock().dots,
            alive,
        }
    }

    /// Made of what was stored.
    pub fn from_parts(Parts { clock, mut alive }: Parts<M>) -> Self {
        let mut set = Self::default();
        // In the order in which each actor has added them.
        alive.sort_unstable_by_key(|(dot, _)| (dot.actor, dot.counter));
        for (dot, element) in alive {
            set.add(dot, element);
        }
        for (actor, counter) in clock {
            let dot = Dot::new(actor, counter);
            if set.0.clock().get(&actor) < counter {
                // Only that it was there is left of it.
                set.0.apply(Op::Add {
                    dot,
                    members: Vec::new(),
                });
            }
        }
        set
    }

    /// Forgets additions that are over and settled: every replica has them, and
    /// none will come again.
    pub fn settle(&mut self, stable: &Version) {
        let mut parts = self.parts();
        let before = parts.clock.len();
        parts.clock.retain(|actor, n| {
            let counts = parts.alive.iter().any(|(dot, _)| dot.actor == *actor);
            counts || !stable.has(&Dot::new(*actor, *n))
        });
        if parts.clock.len() != before {
            *self = Self::from_parts(parts);
        }
    }

    fn additions(&self) -> Vec<(Dot, M)> {
        let additions = self.0.iter().flat_map(|element| {
            let dots: Vec<Dot> = element.rm_clock.into_iter().collect();
            let with_element = |dot| (dot, element.val.clone());
            dots.into_iter().map(with_element).collect::<Vec<_>>()
        });
        additions.collect()
    }

    fn undo(&mut self, dot: Dot, element: M) {
        self.0.apply(Op::Rm {
            clock: VClock::from(dot),
            members: vec![element],
        });
    }
}
