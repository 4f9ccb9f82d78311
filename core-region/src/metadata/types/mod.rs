//! The types of metadata, each a state and the operations on it. Whatever order
//! operations come in, as long as each comes after those that its writer knew of,
//! and however often: the state is the same; and so it is when states are merged
//! instead (`tests`).
//!
//! `crdts` is behind them. Nothing outside of this folder names it, but for the
//! dot.

mod mark;
mod membership;
mod multi_value;
mod observed_set;
mod register;
mod stamp;
mod stored;
#[cfg(test)]
pub(super) mod tests;

use bytes::Bytes;

use super::actor::Dot;
use super::hybrid::HybridTime;
use super::observed::Observed;
use super::version::Version;

pub use mark::Mark;
pub use membership::Membership;
pub use multi_value::{MultiValue, Written};
pub use register::Register;
pub use stamp::Stamp;

/// Which type a row has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An element of a set.
    Element,
    /// A register of which the last write wins.
    Register,
    /// A register that keeps what was written at the same time.
    MultiValue,
    /// A mark that moves forward.
    Mark,
    /// A membership that a removal ends.
    Membership,
}

/// A change of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Writes a register.
    Set(Bytes),
    /// Writes a register that keeps concurrent writes, or adds an element with a
    /// note: in place of these.
    Put(Bytes, Observed),
    /// Removes an element: undoes these additions.
    Remove(Observed),
    /// Moves a mark.
    Raise(Mark),
    /// Joins, knowing of all this.
    Join(Version),
    /// Leaves: undoes these joins.
    Leave(Observed),
}

impl Change {
    /// Whether it is one of that type.
    pub fn fits(&self, kind: Kind) -> bool {
        match self {
            Self::Set(_) => kind == Kind::Register,
            Self::Put(..) => matches!(kind, Kind::Element | Kind::MultiValue),
            Self::Remove(_) => kind == Kind::Element,
            Self::Raise(_) => kind == Kind::Mark,
            Self::Join(_) | Self::Leave(_) => kind == Kind::Membership,
        }
    }

    /// What its writer knew that matters: to be had before it is applied.
    pub fn context(&self) -> Vec<Dot> {
        match self {
            Self::Remove(observed) | Self::Put(_, observed) | Self::Leave(observed) => {
                observed.iter().collect()
            }
            Self::Join(seen) => seen.iter().map(|(actor, n)| Dot::new(actor, n)).collect(),
            Self::Set(_) | Self::Raise(_) => Vec::new(),
        }
    }

    /// Bytes that it brings.
    pub fn value(&self) -> &[u8] {
        match self {
            Self::Set(bytes) | Self::Put(bytes, _) => bytes,
            _ => &[],
        }
    }
}

/// The state of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// [`Kind::Element`].
    Element(MultiValue),
    /// [`Kind::Register`].
    Register(Register),
    /// [`Kind::MultiValue`].
    MultiValue(MultiValue),
    /// [`Kind::Mark`].
    Mark(Mark),
    /// [`Kind::Membership`].
    Membership(Membership),
}

impl Value {
    /// Before the first operation.
    pub fn new(kind: Kind) -> Self {
        match kind {
            Kind::Element => Self::Element(MultiValue::default()),
            Kind::Register => Self::Register(Register::default()),
            Kind::MultiValue => Self::MultiValue(MultiValue::default()),
            Kind::Mark => Self::Mark(Mark::default()),
            Kind::Membership => Self::Membership(Membership::default()),
        }
    }

    /// Its type.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Element(_) => Kind::Element,
            Self::Register(_) => Kind::Register,
            Self::MultiValue(_) => Kind::MultiValue,
            Self::Mark(_) => Kind::Mark,
            Self::Membership(_) => Kind::Membership,
        }
    }

    /// Applies an operation. One of another type changes nothing; it is refused
    /// before it comes here.
    pub fn apply(&mut self, dot: Dot, time: HybridTime, change: &Change) {
        let stamp = Stamp {
            time,
            actor: dot.actor,
        };
        match (self, change) {
            (Self::Element(it), Change::Remove(observed)) => it.remove(observed),
            (Self::Register(it), Change::Set(value)) => it.set(value.clone(), stamp),
            (Self::Element(it) | Self::MultiValue(it), Change::Put(value, observed)) => {
                let value = value.clone();
                it.put(dot, Written { stamp, value }, observed);
            }
            (Self::Mark(it), Change::Raise(to)) => it.raise(*to),
            (Self::Membership(it), Change::Join(seen)) => it.join(dot, seen),
            (Self::Membership(it), Change::Leave(observed)) => it.leave(dot, time, observed),
            _ => {}
        }
    }

    /// Takes another replica's state in.
    pub fn merge(&mut self, other: Self) {
        match (self, other) {
            (Self::Element(it), Self::Element(other)) => it.merge(other),
            (Self::Register(it), Self::Register(other)) => it.merge(other),
            (Self::MultiValue(it), Self::MultiValue(other)) => it.merge(other),
            (Self::Mark(it), Self::Mark(other)) => it.raise(other),
            (Self::Membership(it), Self::Membership(other)) => it.merge(other),
            _ => {}
        }
    }

    /// Whether there is anything to see. What is not there may still matter to
    /// operations that are on their way.
    pub fn is_there(&self) -> bool {
        match self {
            Self::Register(it) => it.get().is_some(),
            Self::Element(it) | Self::MultiValue(it) => it.latest().is_some(),
            Self::Mark(it) => *it != Mark::default(),
            Self::Membership(it) => it.is_member(),
        }
    }

    /// Forgets what is settled: every replica has the operations in `stable`, and
    /// none that its writer made without knowing of them is on its way.
    pub fn settle(&mut self, stable: &Version) {
        match self {
            Self::Element(it) | Self::MultiValue(it) => it.0.settle(stable),
            Self::Membership(it) => {
                it.joined.settle(stable);
                it.left.settle(stable);
            }
            Self::Register(_) | Self::Mark(_) => {}
        }
    }
}
