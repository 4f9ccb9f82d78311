//! When something was written, and by whom: unique, and ordered.

use crate::metadata::actor::Actor;
use crate::metadata::hybrid::HybridTime;
use crate::metadata_wire as wire;

/// The marker of a write. The later wins; at the same time, the higher actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Stamp {
    /// When.
    pub time: HybridTime,
    /// By whom.
    pub actor: Actor,
}

impl Stamp {
    /// As stored.
    pub fn to_wire(self) -> wire::Stamp {
        wire::Stamp {
            time: self.time.0,
            actor: Some(self.actor.to_wire()),
        }
    }

    /// Reads what was stored; what is missing is before everything.
    pub fn from_wire(stamp: Option<&wire::Stamp>) -> Self {
        let read = |stamp: &wire::Stamp| Self {
            time: HybridTime(stamp.time),
            actor: Actor::from_wire(stamp.actor.as_ref()).unwrap_or_default(),
        };
        stamp.map(read).unwrap_or_default()
    }
}
