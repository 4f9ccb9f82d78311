//! Operations: what a replica logs, applies and ships.

use thiserror::Error;

use super::actor::{Actor, Dot};
use super::hybrid::HybridTime;
use super::item::Item;
use super::observed::Observed;
use super::types::{Change, Mark};
use super::version::Version;
use crate::metadata_wire as wire;

/// Bytes of a value.
pub const VALUE_BYTES_MAX: usize = 16 * 1024;

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Op {
    /// Whose, and the how manieth.
    pub dot: Dot,
    /// When.
    pub time: HybridTime,
    /// What is changed.
    pub item: Item,
    /// How.
    pub change: Change,
}

/// An operation that no replica writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Invalid {
    /// A field is missing.
    #[error("it is not whole")]
    Missing,
    /// No such item in this version.
    #[error("its item is not known")]
    Item,
    /// The change is not one of the item's type.
    #[error("its change is of another type than its item")]
    Type,
    /// Its value is over [`VALUE_BYTES_MAX`].
    #[error("its value is too large")]
    TooLarge,
    /// It knows of itself, or of what its writer wrote later.
    #[error("it comes after itself")]
    Future,
}

impl Op {
    /// Whether the operations that its writer knew of, as far as they matter to
    /// it, are in `version`.
    pub fn is_due(&self, version: &Version) -> bool {
        let mut context = self.change.context().into_iter();
        // Its own actor's are: operations come in their order.
        context.all(|dot| dot.actor == self.dot.actor || version.has(&dot))
    }

    /// As logged and shipped; the actor is told apart.
    pub fn to_wire(&self) -> wire::Op {
        use wire::op::Change as Wire;
        let change = match &self.change {
            Change::Remove(observed) => Wire::Remove(wire::Remove {
                observed: Some(observed.to_wire()),
            }),
            Change::Set(value) => Wire::Set(wire::Set {
                value: value.clone(),
            }),
            Change::Put(value, observed) => Wire::Put(wire::Put {
                value: value.clone(),
                observed: Some(observed.to_wire()),
            }),
            Change::Raise(mark) => Wire::Raise(wire::Raise {
                seq: mark.seq,
                messages: mark.messages,
            }),
            Change::Join(seen) => Wire::Join(wire::Join {
                seen: Some(seen.to_wire()),
            }),
            Change::Leave(observed) => Wire::Leave(wire::Leave {
                observed: Some(observed.to_wire()),
            }),
        };
        wire::Op {
            counter: self.dot.counter,
            time: self.time.0,
            item: self.item.key().to_vec().into(),
            change: Some(change),
        }
    }

    /// Reads an operation of `actor`.
    ///
    /// # Errors
    /// [`Invalid`].
    pub fn from_wire(actor: Actor, op: wire::Op) -> Result<Self, Invalid> {
        let item = Item::from_key(&op.item).ok_or(Invalid::Item)?;
        let change = change(op.change.ok_or(Invalid::Missing)?);
        if op.counter == 0 {
            return Err(Invalid::Missing);
        }
        if !change.fits(item.kind()) {
            return Err(Invalid::Type);
        }
        if change.value().len() > VALUE_BYTES_MAX {
            return Err(Invalid::TooLarge);
        }
        let is_later = |dot: &Dot| dot.actor == actor && dot.counter >= op.counter;
        if change.context().iter().any(is_later) {
            return Err(Invalid::Future);
        }
        Ok(Self {
            dot: Dot::new(actor, op.counter),
            time: HybridTime(op.time),
            item,
            change,
        })
    }
}

fn change(change: wire::op::Change) -> Change {
    use wire::op::Change as Wire;
    match change {
        Wire::Remove(remove) => Change::Remove(Observed::from_wire(remove.observed.as_ref())),
        Wire::Set(set) => Change::Set(set.value),
        Wire::Put(put) => Change::Put(put.value, Observed::from_wire(put.observed.as_ref())),
        Wire::Raise(raise) => Change::Raise(Mark {
            seq: raise.seq,
            messages: raise.messages,
        }),
        Wire::Join(join) => Change::Join(Version::from_wire(join.seen.as_ref())),
        Wire::Leave(leave) => Change::Leave(Observed::from_wire(leave.observed.as_ref())),
    }
}
