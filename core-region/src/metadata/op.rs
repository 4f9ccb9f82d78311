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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::metadata::hybrid::HybridClock;
    use crate::metadata::rows::MemoryRows;
    use crate::metadata::shard::{Refusal, Shard};
    use crate::metadata_wire::op::Change as Wire;

    const ACTOR: Actor = Actor {
        node: causeway_protocol::NodeId(7),
        life: 1,
    };
    const NOW_US: u64 = 1_700_000_000_000_000;

    fn set(counter: u64, value: &str) -> wire::Op {
        wire::Op {
            counter,
            time: HybridTime::at_ms(NOW_US / 1_000).0,
            item: Item::ChannelTopic { channel: 1 }.key().to_vec().into(),
            change: Some(Wire::Set(wire::Set {
                value: value.to_owned().into(),
            })),
        }
    }

    fn invalid(op: wire::Op) -> Invalid {
        Op::from_wire(ACTOR, op).unwrap_err()
    }

    #[test]
    fn what_no_replica_writes_is_told_apart() {
        assert!(Op::from_wire(ACTOR, set(1, "tea")).is_ok());
        assert_eq!(invalid(set(0, "tea")), Invalid::Missing);
        let unchanged = wire::Op {
            change: None,
            ..set(1, "tea")
        };
        assert_eq!(invalid(unchanged), Invalid::Missing);
        let of_nothing = wire::Op {
            item: vec![99, 1].into(),
            ..set(1, "tea")
        };
        assert_eq!(invalid(of_nothing), Invalid::Item);
        let raised = wire::Op {
            change: Some(Wire::Raise(wire::Raise::default())),
            ..set(1, "tea")
        };
        assert_eq!(invalid(raised), Invalid::Type);
        let large = "x".repeat(VALUE_BYTES_MAX + 1);
        assert_eq!(invalid(set(1, &large)), Invalid::TooLarge);
    }

    #[test]
    fn nothing_comes_after_itself() {
        let observed = |counter| {
            let mut observed = Version::default();
            observed.add(&Dot::new(ACTOR, counter));
            wire::Op {
                item: Item::Pin { channel: 1, ts: 1 }.key().to_vec().into(),
                change: Some(Wire::Remove(wire::Remove {
                    observed: Some(observed.to_wire()),
                })),
                ..set(5, "")
            }
        };
        assert!(Op::from_wire(ACTOR, observed(4)).is_ok());
        assert_eq!(invalid(observed(5)), Invalid::Future);
        assert_eq!(invalid(observed(6)), Invalid::Future);
    }

    #[test]
    fn what_comes_before_an_invalid_one_is_taken_and_nothing_after_it() {
        let (mut rows, mut shard) = (MemoryRows::default(), Shard::default());
        let mut clock = HybridClock::after(HybridTime::default());
        let ops = vec![
            set(1, "tea"),
            set(2, &"x".repeat(VALUE_BYTES_MAX + 1)),
            set(3, "no"),
        ];
        let received = shard.receive(&mut rows, ACTOR, ops, &mut clock, NOW_US);
        let received = received.unwrap();
        assert_eq!(received.refused, Some(Refusal::Invalid(Invalid::TooLarge)));
        assert_eq!(received.items, [Item::ChannelTopic { channel: 1 }]);
        assert_eq!(shard.version().get(ACTOR), 1);
        assert_eq!(shard.early(), (0, 0));
        // Its writer's next is taken once the right one comes.
        let ops = vec![set(2, "milk")];
        let received = shard.receive(&mut rows, ACTOR, ops, &mut clock, NOW_US);
        assert_eq!(received.unwrap().refused, None);
        assert_eq!(shard.version().get(ACTOR), 2);
    }

    proptest! {
        #[test]
        fn operations_read_back(counter in 1..u64::MAX, time: u64, value in ".{0,40}") {
            let op = wire::Op { time, ..set(counter, &value) };
            let read = Op::from_wire(ACTOR, op.clone()).unwrap();
            prop_assert_eq!(read.to_wire(), op);
        }
    }
}
