//! Who was a member, and is not now: for whoever wants to know what became of a
//! node. It decides nothing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use causeway_protocol::NodeId;

use crate::member::{Member, Membership};

/// Nodes that are remembered. An edge node has a new id with each start.
const AWAY_MAX: usize = 256;

/// Nodes that are away, as they were last, and since when.
#[derive(Debug, Clone, Default)]
pub struct Away(BTreeMap<NodeId, (Member, Instant)>);

impl Away {
    /// Takes in that the members are `after` at `now`, and were `before`.
    pub fn update(&mut self, before: &Membership, after: &Membership, now: Instant) {
        self.0.retain(|node, _| after.get(*node).is_none());
        for member in before.iter() {
            if after.get(member.node).is_none() {
                self.0.insert(member.node, (member.clone(), now));
            }
        }
        while self.0.len() > AWAY_MAX {
            let first = self.0.iter().min_by_key(|(_, (_, since))| *since);
            let Some(node) = first.map(|(node, _)| *node) else {
                return;
            };
            self.0.remove(&node);
        }
    }

    /// All of them, and how long they have been away at `now`.
    pub fn iter(&self, now: Instant) -> impl Iterator<Item = (&Member, Duration)> {
        let away = self.0.values();
        away.map(move |(member, since)| (member, now.duration_since(*since)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swim::tests::member;

    fn membership(nodes: impl IntoIterator<Item = u64>) -> Membership {
        Membership::new(nodes.into_iter().map(member))
    }

    fn nodes(away: &Away, now: Instant) -> Vec<(u64, u64)> {
        let told = away.iter(now);
        told.map(|(m, since)| (m.node.0, since.as_secs())).collect()
    }

    #[test]
    fn whoever_is_away_is_remembered_until_it_is_back() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut away = Away::default();
        away.update(&membership([1, 2, 3]), &membership([1, 3]), at(0));
        away.update(&membership([1, 3]), &membership([1]), at(5));
        assert_eq!(nodes(&away, at(7)), [(2, 7), (3, 2)]);
        away.update(&membership([1]), &membership([1, 2]), at(8));
        assert_eq!(nodes(&away, at(8)), [(3, 3)]);
    }

    #[test]
    fn what_is_remembered_has_a_bound() {
        let (start, mut away) = (Instant::now(), Away::default());
        for node in 2..400 {
            let now = start + Duration::from_secs(node);
            away.update(&membership([1, node]), &membership([1]), now);
        }
        let told = nodes(&away, start + Duration::from_secs(400));
        assert_eq!((told.len(), told[0].0), (AWAY_MAX, 400 - AWAY_MAX as u64));
    }
}
