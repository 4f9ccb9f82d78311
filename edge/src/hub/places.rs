//! Where topics are served, as far as this node knows: on the ring of the core
//! nodes in the region of the cell's leader.

use std::collections::HashMap;
use std::sync::Arc;

use causeway_gossip::{Membership, Ring, Routes};
use causeway_protocol::{CellId, Name, Topic};

use super::machine::{Placement, Server};

/// The channel servers of all topics.
#[derive(Debug)]
pub struct Places {
    routes: Arc<Routes>,
    rings: HashMap<Name, Ring>,
}

impl Places {
    /// By these routes, among these members.
    pub fn new(routes: Arc<Routes>, membership: &Membership) -> Self {
        let rings = routes.rings(membership);
        Self { routes, rings }
    }
}

impl Placement for Places {
    fn server(&self, cell: CellId, topic: Topic) -> Option<Server> {
        let route = self.routes.cell(cell)?;
        let ring = self.rings.get(route.leader_region()?)?;
        Some(Server {
            node: ring.owner(&topic.key())?,
            term: route.leader?.term,
        })
    }
}

/// Before anything is known, nothing is served anywhere.
impl Placement for Option<Places> {
    fn server(&self, cell: CellId, topic: Topic) -> Option<Server> {
        self.as_ref()?.server(cell, topic)
    }
}
