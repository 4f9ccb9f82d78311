//! Which edge node of the PoP holds a workspace, so that it is read once and kept once.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use causeway_gossip::{Membership, Ring, Role};
use causeway_protocol::{Name, NodeId, WorkspaceId};

/// A holder that did not answer is passed over for this long.
const PASSED_OVER: Duration = Duration::from_secs(5);

/// The edge nodes of this PoP.
#[derive(Debug)]
pub struct Holders {
    me: NodeId,
    ring: Ring,
    silent: HashMap<NodeId, Instant>,
}

impl Holders {
    /// As long as nobody else is known, `me` holds everything.
    pub fn new(me: NodeId) -> Self {
        Self {
            me,
            ring: Ring::default(),
            silent: HashMap::new(),
        }
    }

    /// The members have changed.
    pub fn members(&mut self, membership: &Membership, pop: &Name) {
        let here = membership.iter();
        let here = here.filter(|m| m.role == Role::Edge && m.place == *pop);
        let nodes: Vec<NodeId> = here.map(|member| member.node).collect();
        self.silent.retain(|node, _| nodes.contains(node));
        self.ring = Ring::new(nodes);
    }

    /// Another node that holds the workspace; `None` if this one does, or is to do
    /// without.
    pub fn other(&self, workspace: WorkspaceId, now: Instant) -> Option<NodeId> {
        let holder = self.ring.owner(&workspace.0.to_be_bytes())?;
        let is_silent = self.silent.get(&holder).is_some_and(|until| *until > now);
        (holder != self.me && !is_silent).then_some(holder)
    }

    /// It did not answer in time.
    pub fn fell_silent(&mut self, holder: NodeId, now: Instant) {
        self.silent.insert(holder, now + PASSED_OVER);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use causeway_gossip::Member;
    use causeway_gossip::member::MemberInfo;

    use super::*;

    fn member(node: u64, role: Role, place: &str) -> Member {
        Member::new(MemberInfo {
            node: NodeId(node),
            incarnation: 1,
            name: "n".parse().unwrap(),
            role,
            place: place.parse().unwrap(),
            zone: place.parse().unwrap(),
            backbone: (Ipv4Addr::LOCALHOST, 1).into(),
            client: None,
            http: None,
            version: String::new(),
        })
    }

    fn holders(me: u64) -> Holders {
        let members = [
            member(1, Role::Edge, "fra"),
            member(2, Role::Edge, "fra"),
            member(3, Role::Edge, "nyc"),
            member(4, Role::Core, "fra"),
        ];
        let mut holders = Holders::new(NodeId(me));
        holders.members(&Membership::new(members), &"fra".parse().unwrap());
        holders
    }

    #[test]
    fn each_workspace_has_one_holder_among_the_edge_nodes_of_the_pop() {
        let now = Instant::now();
        let (one, two) = (holders(1), holders(2));
        let mut held = [0, 0];
        for workspace in (1..=100).map(WorkspaceId) {
            match (one.other(workspace, now), two.other(workspace, now)) {
                (None, Some(NodeId(1))) => held[0] += 1,
                (Some(NodeId(2)), None) => held[1] += 1,
                other => panic!("{workspace}: {other:?}"),
            }
        }
        assert!(held.iter().all(|n| *n > 20), "{held:?}");
    }

    #[test]
    fn whoever_does_not_answer_is_done_without_for_a_while() {
        let now = Instant::now();
        let mut one = holders(1);
        let workspace = (1..)
            .map(WorkspaceId)
            .find(|w| one.other(*w, now).is_some());
        let workspace = workspace.unwrap();
        one.fell_silent(NodeId(2), now);
        assert_eq!(one.other(workspace, now), None);
        assert_eq!(one.other(workspace, now + PASSED_OVER), Some(NodeId(2)));
        one.members(&Membership::default(), &"fra".parse().unwrap());
        assert_eq!(one.other(workspace, now + PASSED_OVER), None, "it is gone");
    }

    #[test]
    fn alone_it_holds_everything() {
        assert_eq!(
            Holders::new(NodeId(1)).other(WorkspaceId(1), Instant::now()),
            None
        );
    }
}
