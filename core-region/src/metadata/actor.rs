//! Who writes: one life of a replica's process. A wiped disk is another node, and
//! each start, and each time that a replica begins anew, is another life; so no dot
//! is given twice.

use std::fmt;

use causeway_protocol::NodeId;

use crate::metadata_wire as wire;

/// One life of a replica.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Actor {
    /// The node.
    pub node: NodeId,
    /// When the life began, in microseconds since 1970, as the node knew; later than
    /// all its lives before.
    pub life: u64,
}

impl fmt::Debug for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.node, self.life)
    }
}

impl Actor {
    /// All actors sort from here on that are of `node`.
    pub fn first_of(node: NodeId) -> Self {
        Self { node, life: 0 }
    }

    /// And up to here.
    pub fn last_of(node: NodeId) -> Self {
        Self {
            node,
            life: u64::MAX,
        }
    }

    /// As stored and sent.
    pub fn to_wire(self) -> wire::Actor {
        wire::Actor {
            node: self.node.0,
            life: self.life,
        }
    }

    /// Reads what was stored or sent.
    pub fn from_wire(actor: Option<&wire::Actor>) -> Option<Self> {
        let actor = actor?;
        Some(Self {
            node: NodeId(actor.node),
            life: actor.life,
        })
    }
}

/// One operation: the `counter`-th of its actor in a shard.
pub type Dot = crdts::Dot<Actor>;

/// A dot as stored and sent.
pub fn dot_to_wire(dot: &Dot) -> wire::Dot {
    wire::Dot {
        actor: Some(dot.actor.to_wire()),
        counter: dot.counter,
    }
}

/// Reads a dot; the 0-th operation is none.
pub fn dot_from_wire(dot: &wire::Dot) -> Option<Dot> {
    let actor = Actor::from_wire(dot.actor.as_ref())?;
    (dot.counter > 0).then(|| Dot::new(actor, dot.counter))
}
