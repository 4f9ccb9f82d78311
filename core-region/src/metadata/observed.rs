//! Operations that an operation undoes or replaces: each is named.

use std::collections::BTreeSet;

use super::actor::{Actor, Dot, dot_from_wire, dot_to_wire};
use crate::metadata_wire as wire;

/// A few operations.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Observed(BTreeSet<(Actor, u64)>);

impl Observed {
    /// Whether the operation is among them.
    pub fn has(&self, dot: &Dot) -> bool {
        self.0.contains(&(dot.actor, dot.counter))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = Dot> + '_ {
        self.0.iter().map(|(actor, n)| Dot::new(*actor, *n))
    }

    /// As logged and shipped.
    pub fn to_wire(&self) -> wire::Version {
        wire::Version {
            dots: self.iter().map(|dot| dot_to_wire(&dot)).collect(),
            complete: Vec::new(),
        }
    }

    /// Reads what was logged or shipped.
    pub fn from_wire(dots: Option<&wire::Version>) -> Self {
        let dots = dots.map_or(&[][..], |dots| &dots.dots);
        dots.iter().filter_map(dot_from_wire).collect()
    }
}

impl FromIterator<Dot> for Observed {
    fn from_iter<T: IntoIterator<Item = Dot>>(dots: T) -> Self {
        let dots = dots.into_iter();
        Self(dots.map(|dot| (dot.actor, dot.counter)).collect())
    }
}
