//! Consistent hashing: which node serves a key, so that a node that comes or
//! goes moves only its share of the keys.

use causeway_protocol::NodeId;
use xxhash_rust::xxh3::xxh3_64;

/// Points of each node on the ring: enough to even out the shares.
const POINTS: u32 = 128;

/// Nodes on a ring of 64-bit hashes; the same on every node that knows the same
/// members.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ring {
    /// Sorted by hash.
    points: Vec<(u64, NodeId)>,
}

impl Ring {
    /// Places `nodes` on the ring.
    pub fn new(nodes: impl IntoIterator<Item = NodeId>) -> Self {
        let mut points: Vec<_> = nodes
            .into_iter()
            .flat_map(|node| (0..POINTS).map(move |point| (hash_point(node, point), node)))
            .collect();
        points.sort_unstable();
        points.dedup();
        Self { points }
    }

    /// The node that serves `key`; `None` when the ring is empty.
    pub fn owner(&self, key: &[u8]) -> Option<NodeId> {
        let hash = xxh3_64(key);
        let after = self.points.partition_point(|(point, _)| *point < hash);
        let (_, node) = self.points.get(after).or_else(|| self.points.first())?;
        Some(*node)
    }

    /// Whether no node is on it.
    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }
}

fn hash_point(node: NodeId, point: u32) -> u64 {
    let mut bytes = [0; 12];
    bytes[..8].copy_from_slice(&node.0.to_be_bytes());
    bytes[8..].copy_from_slice(&point.to_be_bytes());
    xxh3_64(&bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    const KEYS: u32 = 20_000;

    fn owners(nodes: &[u64]) -> Vec<NodeId> {
        let ring = Ring::new(nodes.iter().copied().map(NodeId));
        (0..KEYS)
            .map(|key| ring.owner(&key.to_be_bytes()).unwrap())
            .collect()
    }

    #[test]
    fn shares_are_even() {
        let mut shares = HashMap::new();
        for owner in owners(&[11, 22, 33, 44, 55]) {
            *shares.entry(owner).or_insert(0u32) += 1;
        }
        for (node, share) in shares {
            let fair = KEYS / 5;
            assert!(
                (fair * 7 / 10..fair * 13 / 10).contains(&share),
                "{node}: {share}"
            );
        }
    }

    #[test]
    fn an_empty_ring_has_no_owner() {
        assert_eq!(Ring::new([]).owner(b"key"), None);
        assert!(Ring::default().is_empty());
    }

    #[test]
    fn owners_are_stable_between_versions() {
        let ring = Ring::new([NodeId(1), NodeId(2), NodeId(3)]);
        let owners: Vec<_> = (0u8..8).map(|key| ring.owner(&[key]).unwrap().0).collect();
        assert_eq!(owners, [2, 3, 3, 1, 3, 2, 3, 3]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20))]
        /// When a node leaves, only its keys move; when it joins, it only takes.
        #[test]
        fn movement_is_bounded(mut nodes in prop::collection::hash_set(any::<u64>(), 3..12)) {
            let gone = *nodes.iter().next().unwrap();
            let all: Vec<_> = nodes.iter().copied().collect();
            let before = owners(&all);
            nodes.remove(&gone);
            let rest: Vec<_> = nodes.iter().copied().collect();
            let after = owners(&rest);
            let mut moved = 0;
            for (was, is) in before.iter().zip(&after) {
                if was.0 == gone { moved += 1 } else { prop_assert_eq!(was, is) }
            }
            let fair = KEYS as usize / all.len();
            prop_assert!(moved < fair * 2, "{} of {} moved", moved, KEYS);
        }

        #[test]
        fn order_of_nodes_does_not_matter(nodes in prop::collection::vec(any::<u64>(), 1..8)) {
            let reversed: Vec<_> = nodes.iter().rev().copied().collect();
            prop_assert_eq!(owners(&nodes), owners(&reversed));
        }
    }
}
