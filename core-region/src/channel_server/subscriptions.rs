//! Which edge nodes want which topics: the channel server's own state.

use std::collections::{HashMap, HashSet};

use causeway_protocol::{NodeId, Topic};

/// Topics that one edge node may have subscribed to here.
pub const TOPICS_PER_EDGE_MAX: usize = 1_000_000;

/// Subscriptions, by topic and by edge node.
#[derive(Debug, Default)]
pub struct Subscriptions {
    edges: HashMap<Topic, Vec<NodeId>>,
    topics: HashMap<NodeId, HashSet<Topic>>,
}

impl Subscriptions {
    /// Subscribes an edge node; again changes nothing. Returns false when the
    /// node has too many.
    pub fn add(&mut self, edge: NodeId, topic: Topic) -> bool {
        let topics = self.topics.entry(edge).or_default();
        if topics.contains(&topic) {
            return true;
        }
        if topics.len() >= TOPICS_PER_EDGE_MAX {
            return false;
        }
        topics.insert(topic);
        self.edges.entry(topic).or_default().push(edge);
        true
    }

    /// Ends a subscription.
    pub fn remove(&mut self, edge: NodeId, topic: Topic) {
        if let Some(topics) = self.topics.get_mut(&edge)
            && topics.remove(&topic)
        {
            self.drop_edge(edge, topic);
        }
    }

    /// Ends all subscriptions of an edge node that is gone.
    pub fn remove_edge(&mut self, edge: NodeId) {
        for topic in self.topics.remove(&edge).unwrap_or_default() {
            self.drop_edge(edge, topic);
        }
    }

    /// The edge nodes that want a topic.
    pub fn edges(&self, topic: Topic) -> &[NodeId] {
        self.edges.get(&topic).map_or(&[], Vec::as_slice)
    }

    /// How many subscriptions there are.
    pub fn len(&self) -> usize {
        self.topics.values().map(HashSet::len).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.topics.values().all(HashSet::is_empty)
    }

    fn drop_edge(&mut self, edge: NodeId, topic: Topic) {
        if let Some(edges) = self.edges.get_mut(&topic) {
            edges.retain(|e| *e != edge);
            if edges.is_empty() {
                self.edges.remove(&topic);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use causeway_protocol::ChannelId;
    use proptest::prelude::*;

    use super::*;

    fn topic(n: u64) -> Topic {
        Topic::Channel(ChannelId(n))
    }

    proptest! {
        /// Whatever comes and goes, both sides of the table agree with a plain
        /// set of pairs.
        #[test]
        fn the_table_is_a_set_of_pairs(steps in prop::collection::vec((0u8..3, 0u64..4, 0u64..6), 0..200)) {
            let mut table = Subscriptions::default();
            let mut model = HashSet::new();
            for (step, edge, t) in steps {
                let edge = NodeId(edge);
                match step {
                    0 => { table.add(edge, topic(t)); model.insert((edge, t)); }
                    1 => { table.remove(edge, topic(t)); model.remove(&(edge, t)); }
                    _ => { table.remove_edge(edge); model.retain(|(e, _)| *e != edge); }
                }
            }
            prop_assert_eq!(table.len(), model.len());
            for t in 0..6 {
                let mut edges = table.edges(topic(t)).to_vec();
                edges.sort();
                let mut expected: Vec<_> = model.iter().filter(|(_, x)| *x == t).map(|(e, _)| *e).collect();
                expected.sort();
                prop_assert_eq!(edges, expected);
            }
        }
    }
}
