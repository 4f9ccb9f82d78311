//! Who may take a cell over from this node, as far as it knows of the others:
//! what they tell of themselves, how far they are, and what is being drained.

use std::time::Duration;

use causeway_gossip::Gossip;
use causeway_gossip::sync::SharedRoutes;
use causeway_protocol::NodeId;
use causeway_protocol::backbone::{Cell, Drain};
use causeway_transport::backbone::Backbone;

use crate::homecoming;
use crate::vitals::Vitals;

/// What it takes to choose heirs; clones share it.
#[derive(Clone)]
pub struct Heirs {
    /// Who is there.
    pub gossip: Gossip,
    /// What is being drained.
    pub routes: SharedRoutes,
    /// How far the others are.
    pub backbone: Backbone,
    /// How they are.
    pub vitals: Vitals,
}

impl Heirs {
    /// The drain that this node is under.
    pub fn drain_here(&self) -> Option<Drain> {
        let (members, routes) = (self.gossip.membership(), self.routes.get());
        let me = members.get(self.backbone.node())?;
        routes.drains().of(me).cloned()
    }

    /// Who should lead a cell instead of this node, the best first; nobody if it
    /// is where it should be.
    pub fn at_home_or_undrained(&self, record: &Cell) -> Vec<NodeId> {
        self.choose(record, self.drained())
    }

    /// Who can lead a cell now that this node should not, the best first: who is
    /// being drained comes after the others.
    pub fn anybody(&self, record: &Cell) -> Vec<NodeId> {
        let me = self.backbone.node();
        let mut heirs = self.choose(record, |node| node == me);
        heirs.retain(|node| self.backbone.round_trip(*node).is_some());
        let is_drained = self.drained();
        heirs.sort_by_key(|node| is_drained(*node));
        heirs
    }

    fn choose(&self, record: &Cell, leaves: impl Fn(NodeId) -> bool) -> Vec<NodeId> {
        let distance = |node| {
            let round_trip = self.backbone.round_trip(node);
            round_trip.unwrap_or(Duration::MAX)
        };
        let mut heirs = homecoming::heirs(record, self.backbone.node(), leaves, distance);
        heirs.retain(|node| self.vitals.may_lead(*node));
        heirs
    }

    /// Tells whether a node is being drained, as things are now.
    fn drained(&self) -> impl Fn(NodeId) -> bool {
        let (members, routes) = (self.gossip.membership(), self.routes.get());
        move |node| {
            let member = members.get(node);
            member.is_some_and(|member| routes.drains().of(member).is_some())
        }
    }
}
