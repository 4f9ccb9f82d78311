//! Who listens to what, and how far each has been told.

use std::collections::HashMap;

use bytes::Bytes;
use causeway_protocol::backbone::MetadataPublish;
use causeway_protocol::{CellId, NodeId, WorkspaceId, frame};

use crate::metadata::version::Version;

/// Workspaces of one edge node.
const WORKSPACES_PER_EDGE_MAX: usize = 100_000;

/// Who listens to what.
#[derive(Debug, Default)]
pub(super) struct Subscribers {
    pub workspaces: HashMap<WorkspaceId, HashMap<NodeId, Subscription>>,
    pub edges: HashMap<NodeId, usize>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subscription {
    pub id: u64,
    pub cell: CellId,
    pub last_seq: u64,
    /// What clients there were told of and the replica has not: it may be lost, which
    /// comes to light only if it is remembered.
    pub ahead: Version,
}

impl Subscription {
    /// What clients there have been told of, once they have all up to `version`.
    pub fn told(&mut self, version: &Version) -> Option<Version> {
        if version.has_all(&self.ahead) {
            self.ahead = Version::default();
            return None;
        }
        let mut told = version.clone();
        told.merge(&self.ahead);
        Some(told)
    }

    /// What is to be sent where something is left out: what comes after it, so that the
    /// edge sees at once that there is a hole.
    pub fn skip(&mut self, workspace: WorkspaceId) -> Bytes {
        self.last_seq += 2;
        frame::encode(&MetadataPublish {
            workspace: workspace.0,
            subscription: self.id,
            seq: self.last_seq,
            ..MetadataPublish::default()
        })
    }
}

impl Subscribers {
    /// Returns false when the edge has too many.
    pub fn add(
        &mut self,
        edge: NodeId,
        workspace: WorkspaceId,
        subscription: Subscription,
    ) -> bool {
        let of_edge = self.edges.entry(edge).or_default();
        let edges = self.workspaces.entry(workspace).or_default();
        if !edges.contains_key(&edge) {
            if *of_edge >= WORKSPACES_PER_EDGE_MAX {
                return false;
            }
            *of_edge += 1;
        }
        edges.insert(edge, subscription);
        true
    }

    /// Subscriptions of edges whose clients were told of more than the replica has.
    pub fn ahead(&self) -> Vec<(WorkspaceId, NodeId, Subscription)> {
        let workspaces = self.workspaces.iter().flat_map(|(workspace, edges)| {
            let ahead = edges.iter().filter(|(_, it)| !it.ahead.is_empty());
            ahead.map(|(edge, subscription)| (*workspace, *edge, subscription.clone()))
        });
        workspaces.collect()
    }

    /// What clients were told of beyond the replica is lost; returns what tells the edge,
    /// unless it has subscribed anew.
    pub fn give_up(
        &mut self,
        edge: NodeId,
        workspace: WorkspaceId,
        seen: &Subscription,
    ) -> Option<Bytes> {
        let present = self.workspaces.get_mut(&workspace)?.get_mut(&edge)?;
        if (present.id, &present.ahead) != (seen.id, &seen.ahead) {
            return None;
        }
        present.ahead = Version::default();
        Some(present.skip(workspace))
    }

    pub fn remove(&mut self, edge: NodeId, workspace: WorkspaceId) {
        let Some(edges) = self.workspaces.get_mut(&workspace) else {
            return;
        };
        if edges.remove(&edge).is_some()
            && let Some(of_edge) = self.edges.get_mut(&edge)
        {
            *of_edge -= 1;
        }
        if edges.is_empty() {
            self.workspaces.remove(&workspace);
        }
    }

    pub fn remove_edge(&mut self, edge: NodeId) {
        self.edges.remove(&edge);
        self.workspaces.retain(|_, edges| {
            edges.remove(&edge);
            !edges.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::actor::{Actor, Dot};

    fn subscription(id: u64) -> Subscription {
        Subscription {
            id,
            cell: CellId(1),
            last_seq: 0,
            ahead: Version::default(),
        }
    }

    fn version(n: u64) -> Version {
        let actor = Actor {
            node: NodeId(1),
            life: 1,
        };
        [Dot::new(actor, n)].into_iter().collect()
    }

    #[test]
    fn what_is_lost_is_told_once_and_not_to_who_has_subscribed_anew() {
        let mut subscribers = Subscribers::default();
        let (edge, workspace) = (NodeId(1), WorkspaceId(7));
        let ahead = |id| Subscription {
            ahead: version(5),
            ..subscription(id)
        };
        subscribers.add(edge, workspace, ahead(1));
        subscribers.add(NodeId(2), workspace, subscription(1));
        let found = subscribers.ahead();
        assert_eq!(found, [(workspace, edge, ahead(1))]);
        let hole = subscribers.give_up(edge, workspace, &ahead(1)).unwrap();
        let body = hole.slice(frame::HEADER_BYTES..);
        let hole: MetadataPublish = frame::decode(body).unwrap();
        assert_eq!((hole.subscription, hole.seq), (1, 2), "1 is missing");
        assert_eq!(subscribers.give_up(edge, workspace, &ahead(1)), None);
        assert!(subscribers.ahead().is_empty());
        subscribers.add(edge, workspace, ahead(2));
        assert_eq!(subscribers.give_up(edge, workspace, &ahead(1)), None);
    }

    #[test]
    fn who_listens_is_counted_once_and_forgotten_with_the_edge() {
        let mut subscribers = Subscribers::default();
        let (edge, other) = (NodeId(1), NodeId(2));
        let workspace = WorkspaceId(7);
        assert!(subscribers.add(edge, workspace, subscription(1)));
        assert!(subscribers.add(edge, workspace, subscription(2)));
        assert!(subscribers.add(other, workspace, subscription(1)));
        assert_eq!(subscribers.edges[&edge], 1);
        let of_edge = &subscribers.workspaces[&workspace][&edge];
        assert_eq!((of_edge.id, of_edge.last_seq), (2, 0));
        subscribers.remove(edge, workspace);
        subscribers.remove(edge, workspace);
        assert_eq!(subscribers.edges[&edge], 0);
        subscribers.remove_edge(other);
        assert!(subscribers.workspaces.is_empty());
    }

    #[test]
    fn what_clients_were_told_of_is_remembered_until_the_replica_has_it() {
        let mut subscription = Subscription {
            ahead: version(5),
            ..subscription(1)
        };
        assert_eq!(subscription.told(&version(4)), Some(version(5)));
        assert_eq!(subscription.told(&version(5)), None);
        assert_eq!(subscription.told(&version(4)), None);
    }
}
