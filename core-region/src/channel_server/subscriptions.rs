//! Which edge nodes want which topics: the channel server's own state.

use std::collections::{HashMap, HashSet};

use causeway_protocol::{NodeId, Topic};

/// Topics that one edge node may have subscribed to here.
pub const TOPICS_PER_EDGE_MAX: usize = 1_000_000;

/// Subscriptions, by topic and by edge node.
#[derive(Debug, Default)]
pub struct Subscriptions {
    edges: HashMap<Topic, Vec<NodeId>>,
    wanted: HashMap<NodeId, Wanted>,
}

/// What one edge node wants.
#[derive(Debug, Default)]
struct Wanted {
    topics: HashSet<Topic>,
    /// The last connection on which it asked.
    connection: u64,
}

impl Subscriptions {
    /// Subscribes an edge node that asks on this connection of its; again changes
    /// nothing. Returns false when the node has too many.
    pub fn add(&mut self, edge: NodeId, connection: u64, topic: Topic) -> bool {
        let wanted = self.wanted.entry(edge).or_default();
        wanted.connection = wanted.connection.max(connection);
        if wanted.topics.contains(&topic) {
            return true;
        }
        if wanted.topics.len() >= TOPICS_PER_EDGE_MAX {
            return false;
        }
        wanted.topics.insert(topic);
        self.edges.entry(topic).or_default().push(edge);
        true
    }

    /// Ends a subscription.
    pub fn remove(&mut self, edge: NodeId, topic: Topic) {
        if let Some(wanted) = self.wanted.get_mut(&edge)
            && wanted.topics.remove(&topic)
        {
            self.drop_edge(edge, topic);
        }
    }

    /// A connection of an edge node is gone, and all its subscriptions with it, unless it
    /// has come back and asked again before word of that came here. Returns the topics
    /// that nobody wants any more.
    pub fn disconnected(&mut self, edge: NodeId, connection: u64) -> Vec<Topic> {
        let asked_since = |wanted: &Wanted| wanted.connection > connection;
        if self.wanted.get(&edge).is_some_and(asked_since) {
            return Vec::new();
        }
        let wanted = self.wanted.remove(&edge).unwrap_or_default();
        for topic in &wanted.topics {
            self.drop_edge(edge, *topic);
        }
        let unwanted = wanted
            .topics
            .into_iter()
            .filter(|topic| !self.is_wanted(*topic));
        unwanted.collect()
    }

    /// Word of connections that are gone may have been missed: only edge nodes that
    /// are connected keep their subscriptions. Returns the topics that nobody wants any
    /// more.
    pub fn keep(&mut self, is_connected: impl Fn(NodeId) -> bool) -> Vec<Topic> {
        let edges = self.wanted.keys().copied();
        let gone: Vec<NodeId> = edges.filter(|edge| !is_connected(*edge)).collect();
        let unwanted = gone
            .into_iter()
            .flat_map(|edge| self.disconnected(edge, u64::MAX));
        unwanted.collect()
    }

    /// Whether some edge node wants a topic.
    pub fn is_wanted(&self, topic: Topic) -> bool {
        self.edges.contains_key(&topic)
    }

    /// The edge nodes that want a topic.
    pub fn edges(&self, topic: Topic) -> &[NodeId] {
        self.edges.get(&topic).map_or(&[], Vec::as_slice)
    }

    /// How many subscriptions there are.
    pub fn len(&self) -> usize {
        self.wanted.values().map(|wanted| wanted.topics.len()).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.edges.is_empty()
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
        /// Whatever comes and goes, both sides of the table agree with a plain set of
        /// pairs, and the going of an old connection ends nothing.
        #[test]
        fn the_table_is_a_set_of_pairs(steps in prop::collection::vec((0u8..3, 0u64..4, 0u64..6, 0u64..3), 0..200)) {
            let mut table = Subscriptions::default();
            let mut model = HashSet::new();
            let mut asked_on = HashMap::new();
            for (step, edge, t, connection) in steps {
                let edge = NodeId(edge);
                match step {
                    0 => {
                        table.add(edge, connection, topic(t));
                        model.insert((edge, t));
                        let on = asked_on.entry(edge).or_insert(connection);
                        *on = connection.max(*on);
                    }
                    1 => { table.remove(edge, topic(t)); model.remove(&(edge, t)); }
                    _ => {
                        let before: HashSet<_> = model.iter().map(|(_, t)| *t).collect();
                        let unwanted = table.disconnected(edge, connection);
                        if asked_on.get(&edge).is_some_and(|on| *on <= connection) {
                            asked_on.remove(&edge);
                            model.retain(|(e, _)| *e != edge);
                        }
                        let after: HashSet<_> = model.iter().map(|(_, t)| *t).collect();
                        let left = before.difference(&after).map(|t| topic(*t));
                        prop_assert_eq!(HashSet::from_iter(unwanted), left.collect::<HashSet<_>>());
                    }
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
