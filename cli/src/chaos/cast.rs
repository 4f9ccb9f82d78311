//! What is known of the clients of a run once they play.

use std::collections::{BTreeMap, HashMap, HashSet};

use anyhow::Context;
use causeway_protocol::backbone::{CellStatus, Directory};
use causeway_protocol::{CellId, ChannelId, Name, UserId};

use super::readback;
use super::report;
use super::scenario::Plan;
use super::stage::Part;
use super::witness::Witness;
use crate::operator::Operator;
use crate::world::World;

/// Who is where.
pub struct Cast {
    /// The PoP of each client.
    pub places: Vec<Name>,
    /// The home of each client's workspace.
    pub homes: Vec<Name>,
    /// The user of each client.
    pub users: Vec<UserId>,
    /// All homes.
    pub regions: Vec<Name>,
    /// The home of each channel.
    pub home_of: HashMap<ChannelId, Name>,
    /// A member of each channel, who reads its log at the end.
    pub readers: BTreeMap<ChannelId, UserId>,
}

impl Cast {
    /// Of those who take part.
    pub fn of(parts: &[Part]) -> Self {
        let homes: Vec<Name> = parts.iter().map(|part| part.home.clone()).collect();
        let regions: HashSet<Name> = homes.iter().cloned().collect();
        let all = |part: &Part| [part.channels.clone(), part.open.clone()].concat();
        let readers = parts.iter().flat_map(|part| {
            let user = part.user;
            all(part).into_iter().map(move |channel| (channel, user))
        });
        Self {
            places: parts.iter().map(|part| part.place.clone()).collect(),
            homes,
            users: parts.iter().map(|part| part.user).collect(),
            regions: regions.into_iter().collect(),
            home_of: report::homes(parts.iter().map(|part| (part.home.clone(), all(part)))),
            readers: readers.collect(),
        }
    }

    /// Whether the fault is at a client's home or PoP, or everywhere.
    pub fn is_struck(&self, plan: &Plan, client: usize) -> bool {
        plan.strikes_everybody()
            || plan.region.as_ref() == Some(&self.homes[client])
            || plan.pop.as_ref() == Some(&self.places[client])
    }

    /// Who watches the node at fault, if one is.
    ///
    /// # Errors
    /// The node has no channel of this run, or does not answer.
    pub async fn witness(
        &self,
        plan: &Plan,
        world: &World,
        operator: &Operator,
    ) -> anyhow::Result<Option<Witness>> {
        let Some(faulty) = plan.faulty.clone() else {
            return Ok(None);
        };
        let directory = operator.directory().await?;
        let address = world.node(faulty.node.as_str())?.backbone;
        let status = operator.status_at(address).await?;
        let node_id = status.self_.context("a node without a self")?.node_id;
        let watched = self.watched(&directory, &status.cells, node_id);
        let watched = watched.with_context(|| {
            let node = &faulty.node;
            format!("{node} holds no channel of this run: take another --seed, or more --clients")
        })?;
        Ok(Some(Witness {
            node_id,
            address,
            faulty,
            watched,
        }))
    }

    /// A channel of a cell that the node leads; if it leads none, of one of which it has
    /// a replica.
    fn watched(&self, directory: &Directory, cells: &[CellStatus], node: u64) -> Option<Watched> {
        let leads = |cell: CellId| {
            let mut cells = cells.iter();
            cells.any(|status| status.cell == cell.0 && status.leader == node)
        };
        let held = self.readers.iter().filter_map(|(channel, reader)| {
            let (cell, replicas) = readback::home(directory, *channel)?;
            replicas.contains(&node).then_some(Watched {
                cell,
                channel: *channel,
                user: *reader,
                led: leads(cell),
            })
        });
        // Of equals, the first.
        held.min_by_key(|watched| !watched.led)
    }
}

/// A channel through which a node is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watched {
    /// Its cell.
    pub cell: CellId,
    /// It.
    pub channel: ChannelId,
    /// A member.
    pub user: UserId,
    /// Whether the node leads the cell at first.
    pub led: bool,
}

#[cfg(test)]
mod tests {
    use causeway_protocol::WorkspaceId;
    use causeway_protocol::backbone::{Cell, Replica, Shard};

    use super::*;

    #[test]
    fn a_node_is_watched_where_it_leads_if_it_does() {
        let channel = |workspace: u32| ChannelId(u64::from(workspace) << 32 | 5);
        let reader = |workspace| UserId::new(WorkspaceId(workspace), 1);
        let readers = (1..=3).map(|n| (channel(n), reader(n)));
        let cast = Cast {
            places: Vec::new(),
            homes: Vec::new(),
            users: Vec::new(),
            regions: Vec::new(),
            home_of: HashMap::new(),
            readers: readers.collect(),
        };
        let cell = |id, nodes: &[u64]| Cell {
            id,
            replicas: nodes
                .iter()
                .map(|node_id| Replica {
                    node_id: *node_id,
                    ..Replica::default()
                })
                .collect(),
            ..Cell::default()
        };
        let shard = |workspace, cell| Shard {
            workspace,
            cell,
            ..Shard::default()
        };
        // Nodes 7 and 8 are in one region; all channels are at home there.
        let directory = Directory {
            cells: vec![cell(1, &[8, 9]), cell(2, &[7, 9]), cell(3, &[7, 9])],
            shards: vec![shard(1, 1), shard(2, 2), shard(3, 3)],
            ..Directory::default()
        };
        let led = |cell, leader| CellStatus {
            cell,
            leader,
            ..CellStatus::default()
        };
        let cells = [led(2, 9), led(3, 7)];
        let watched = |node, cells| cast.watched(&directory, cells, node);
        assert_eq!(
            watched(7, &cells).map(|w| (w.cell, w.led)),
            Some((CellId(3), true))
        );
        assert_eq!(
            watched(7, &cells[..1]).map(|w| (w.cell, w.led)),
            Some((CellId(2), false))
        );
        assert_eq!(watched(6, &cells), None);
    }
}
