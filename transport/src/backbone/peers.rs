//! Which of two connections to the same node stays: a pure decision that both
//! ends take alike, so that one multiplexed connection a pair remains.

use causeway_protocol::NodeId;

/// What both ends know of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkFacts {
    /// The node that dialled.
    pub dialled_by: NodeId,
    /// When the peer's process started.
    pub peer_incarnation: u64,
}

/// Whether `new` takes the place of `old` between `me` and `peer`.
///
/// A later life of the peer always does. So does a second dial by the same
/// node: it would not dial if the first connection still served it. Where both
/// nodes dialled at once, the connection of the smaller id stays.
pub fn replaces(me: NodeId, peer: NodeId, old: LinkFacts, new: LinkFacts) -> bool {
    if old.peer_incarnation != new.peer_incarnation {
        return new.peer_incarnation > old.peer_incarnation;
    }
    old.dialled_by == new.dialled_by || new.dialled_by == me.min(peer)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn facts(dialled_by: u64, peer_incarnation: u64) -> LinkFacts {
        LinkFacts {
            dialled_by: NodeId(dialled_by),
            peer_incarnation,
        }
    }

    #[test]
    fn a_restarted_peer_wins_over_its_former_life() {
        let (me, peer) = (NodeId(1), NodeId(2));
        assert!(replaces(me, peer, facts(1, 10), facts(2, 11)));
        assert!(!replaces(me, peer, facts(2, 11), facts(1, 10)));
    }

    #[test]
    fn a_second_dial_by_the_same_node_wins() {
        assert!(replaces(NodeId(1), NodeId(2), facts(2, 10), facts(2, 10)));
    }

    proptest! {
        /// Whatever the order in which each end sees two simultaneous dials,
        /// both keep the same one.
        #[test]
        fn both_ends_keep_the_same_connection(a: u64, b: u64, first_at_a: bool, first_at_b: bool) {
            prop_assume!(a != b);
            let kept = |me: u64, peer: u64, a_first: bool| {
                let (old, new) = if a_first { (a, b) } else { (b, a) };
                let replaced = replaces(NodeId(me), NodeId(peer), facts(old, 1), facts(new, 1));
                if replaced { new } else { old }
            };
            prop_assert_eq!(kept(a, b, first_at_a), kept(b, a, first_at_b));
        }
    }
}
