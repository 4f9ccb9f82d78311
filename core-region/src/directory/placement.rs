//! Where cells go: a pure decision over the members that are there.

use std::collections::BTreeMap;

use causeway_gossip::Member;
use causeway_protocol::backbone::{Cell, Replica, Survive};
use causeway_protocol::{Name, NodeId};
use thiserror::Error;

/// Zones of the home region that vote for a cell that survives a zone.
const ZONES: usize = 3;
/// Regions that a cell needs to survive the loss of one.
const REGIONS: usize = 3;

/// Cells cannot be placed on these nodes.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PlacementError {
    /// No core node is in the region.
    #[error("region {0} has no core node")]
    EmptyRegion(Name),
    /// More cells than there are ids.
    #[error("there are no ids for {count} more cells from {first_id} on")]
    TooManyCells {
        /// The first new one's id.
        first_id: u32,
        /// How many were asked for.
        count: u32,
    },
    /// `survive = "region"` has too few regions.
    #[error("surviving a region takes core nodes in {REGIONS} regions; there are {0}")]
    TooFewRegions(usize),
    /// `survive = "zone"` has too few zones.
    #[error("surviving a zone takes core nodes in {ZONES} zones of {region}; there are {zones}")]
    TooFewZones {
        /// The home region.
        region: Name,
        /// Its zones that have a core node.
        zones: usize,
    },
}

/// The core nodes to choose from, and how many replicas each has been given.
#[derive(Debug, Clone)]
pub struct Placement {
    nodes: Vec<(Member, usize)>,
}

impl Placement {
    /// Chooses among `cores`, which hold the replicas of `cells` already.
    pub fn new<'a>(
        cores: impl IntoIterator<Item = Member>,
        cells: impl IntoIterator<Item = &'a Cell>,
    ) -> Self {
        let mut loads = BTreeMap::<NodeId, usize>::new();
        for cell in cells {
            for replica in &cell.replicas {
                *loads.entry(NodeId(replica.node_id)).or_default() += 1;
            }
        }
        let load = |node| loads.get(&node).copied().unwrap_or(0);
        let nodes = cores.into_iter().map(|core| {
            let load = load(core.node);
            (core, load)
        });
        Self {
            nodes: nodes.collect(),
        }
    }

    /// The regions that have a core node, in order of their names.
    pub fn regions(&self) -> Vec<Name> {
        let mut regions: Vec<_> = self.nodes.iter().map(|(m, _)| m.place.clone()).collect();
        regions.sort();
        regions.dedup();
        regions
    }

    /// `count` new cells with ids from `first_id`, their homes spread over the
    /// regions.
    ///
    /// # Errors
    /// [`PlacementError`].
    pub fn spread(
        &mut self,
        first_id: u32,
        count: u32,
        survive: Survive,
    ) -> Result<Vec<Cell>, PlacementError> {
        let regions = self.regions();
        if regions.is_empty() {
            return Err(PlacementError::TooFewRegions(0));
        }
        let end = first_id.checked_add(count);
        let end = end.ok_or(PlacementError::TooManyCells { first_id, count })?;
        let homes = regions.iter().cycle();
        (first_id..end)
            .zip(homes)
            .map(|(id, home)| self.cell(id, home, survive))
            .collect()
    }

    /// A new cell at `home`, with its replicas.
    ///
    /// # Errors
    /// [`PlacementError`].
    pub fn cell(&mut self, id: u32, home: &Name, survive: Survive) -> Result<Cell, PlacementError> {
        let replicas = match survive {
            Survive::Zone => self.survive_zone(home)?,
            Survive::Region | Survive::Unspecified => self.survive_region(home)?,
        };
        Ok(Cell {
            id,
            home_region: home.to_string(),
            survive: survive.into(),
            replicas,
            epoch: 1,
            ..Cell::default()
        })
    }

    /// One voter in each region.
    fn survive_region(&mut self, home: &Name) -> Result<Vec<Replica>, PlacementError> {
        let regions = self.regions();
        if !regions.contains(home) {
            return Err(PlacementError::EmptyRegion(home.clone()));
        }
        if regions.len() < REGIONS {
            return Err(PlacementError::TooFewRegions(regions.len()));
        }
        let voters = regions.iter().filter_map(|region| self.take(region, None));
        Ok(voters.collect())
    }

    /// A voter in each of three zones at home, a learner in every other region.
    fn survive_zone(&mut self, home: &Name) -> Result<Vec<Replica>, PlacementError> {
        let at_home = self.nodes.iter().filter(|(m, _)| m.place == *home);
        let mut zones: Vec<_> = at_home.map(|(m, _)| m.zone.clone()).collect();
        zones.sort();
        zones.dedup();
        if zones.len() < ZONES {
            return Err(PlacementError::TooFewZones {
                region: home.clone(),
                zones: zones.len(),
            });
        }
        let mut replicas = Vec::new();
        for zone in zones.iter().take(ZONES) {
            replicas.extend(self.take(home, Some(zone)));
        }
        for region in self.regions().iter().filter(|region| *region != home) {
            replicas.extend(self.take(region, None).map(|replica| Replica {
                learner: true,
                ..replica
            }));
        }
        Ok(replicas)
    }

    /// A replica in the place of `away`: in its region, on a node without one of
    /// the cell, in its zone if there is one.
    pub fn substitute(&mut self, cell: &Cell, away: &Replica) -> Option<Replica> {
        let holds = |node: NodeId| cell.replicas.iter().any(|r| r.node_id == node.0);
        let fits = |m: &Member| m.place.as_str() == away.region && !holds(m.node);
        let (member, load) = (self.nodes.iter_mut())
            .filter(|(member, _)| fits(member))
            .min_by_key(|(member, load)| {
                let elsewhere = member.zone.as_str() != away.zone;
                (elsewhere, *load, member.name.clone())
            })?;
        *load += 1;
        Some(Replica {
            learner: away.learner,
            ..replica_on(member)
        })
    }

    /// Gives a replica to the node with the fewest, in a region or a zone of it.
    fn take(&mut self, region: &Name, zone: Option<&Name>) -> Option<Replica> {
        let fits = |m: &Member| m.place == *region && zone.is_none_or(|zone| m.zone == *zone);
        let (member, load) = (self.nodes.iter_mut())
            .filter(|(member, _)| fits(member))
            .min_by_key(|(member, load)| (*load, member.name.clone()))?;
        *load += 1;
        Some(replica_on(member))
    }
}

/// A voter on this node.
pub fn replica_on(member: &Member) -> Replica {
    Replica {
        node_id: member.node.0,
        region: member.place.to_string(),
        zone: member.zone.to_string(),
        ..Replica::default()
    }
}

#[cfg(test)]
mod tests {
    use causeway_gossip::Role;
    use causeway_gossip::member::MemberInfo;
    use proptest::prelude::*;

    use super::*;

    fn core(node: u64, region: &str, zone: &str) -> Member {
        Member::new(MemberInfo {
            node: NodeId(node),
            incarnation: 1,
            name: format!("core-{node}").parse().unwrap(),
            role: Role::Core,
            place: region.parse().unwrap(),
            zone: zone.parse().unwrap(),
            backbone: ([127, 0, 0, 1], 1).into(),
            client: None,
            http: None,
            version: String::new(),
        })
    }

    fn three_regions() -> Vec<Member> {
        vec![
            core(1, "us-east", "a"),
            core(2, "eu-west", "a"),
            core(3, "ap-northeast", "a"),
        ]
    }

    #[test]
    fn twelve_cells_have_homes_everywhere_and_a_voter_in_each_region() {
        let mut placement = Placement::new(three_regions(), []);
        let cells = placement.spread(1, 12, Survive::Region).unwrap();
        let homes = |region: &str| cells.iter().filter(|c| c.home_region == region).count();
        assert_eq!(
            [homes("us-east"), homes("eu-west"), homes("ap-northeast")],
            [4, 4, 4]
        );
        for cell in &cells {
            let mut regions: Vec<_> = cell.replicas.iter().map(|r| r.region.as_str()).collect();
            regions.sort_unstable();
            assert_eq!(regions, ["ap-northeast", "eu-west", "us-east"]);
            assert!(cell.replicas.iter().all(|r| !r.learner));
        }
        assert_eq!(cells.last().unwrap().id, 12);
    }

    #[test]
    fn a_zone_cell_votes_at_home_and_is_followed_elsewhere() {
        let mut cores = three_regions();
        cores.extend([core(4, "us-east", "b"), core(5, "us-east", "c")]);
        let home = "us-east".parse().unwrap();
        let cell = Placement::new(cores, [])
            .cell(1, &home, Survive::Zone)
            .unwrap();
        let voters: Vec<_> = cell.replicas.iter().filter(|r| !r.learner).collect();
        assert!(voters.iter().all(|r| r.region == "us-east"));
        let mut zones: Vec<_> = voters.iter().map(|r| r.zone.as_str()).collect();
        zones.sort_unstable();
        assert_eq!(zones, ["a", "b", "c"]);
        assert_eq!(cell.replicas.iter().filter(|r| r.learner).count(), 2);
    }

    #[test]
    fn what_cannot_survive_is_refused() {
        let home: Name = "us-east".parse().unwrap();
        let mut two = Placement::new(three_regions().into_iter().take(2), []);
        assert_eq!(
            two.cell(1, &home, Survive::Region),
            Err(PlacementError::TooFewRegions(2))
        );
        let mut one_zone = Placement::new(three_regions(), []);
        assert!(matches!(
            one_zone.cell(1, &home, Survive::Zone),
            Err(PlacementError::TooFewZones { zones: 1, .. })
        ));
        let nowhere = "mars".parse().unwrap();
        assert!(matches!(
            one_zone.cell(1, &nowhere, Survive::Region),
            Err(PlacementError::EmptyRegion(_))
        ));
    }

    #[test]
    fn more_cells_than_ids_are_refused() {
        let mut placement = Placement::new(three_regions(), []);
        assert!(matches!(
            placement.spread(1, u32::MAX, Survive::Region),
            Err(PlacementError::TooManyCells {
                count: u32::MAX,
                ..
            })
        ));
    }

    proptest! {
        /// However many nodes there are: no node holds two replicas of a cell,
        /// and replicas are spread evenly inside each region.
        #[test]
        fn replicas_are_even(sizes in prop::collection::vec(1u64..5, 3..5), cells in 1u32..40) {
            let mut cores = Vec::new();
            for (region, size) in sizes.iter().enumerate() {
                for n in 0..*size {
                    cores.push(core(region as u64 * 100 + n, &format!("r{region}"), "a"));
                }
            }
            let mut placement = Placement::new(cores.clone(), []);
            let cells = placement.spread(1, cells, Survive::Region).unwrap();
            let mut loads = BTreeMap::<u64, usize>::new();
            for cell in &cells {
                let mut nodes: Vec<_> = cell.replicas.iter().map(|r| r.node_id).collect();
                nodes.sort_unstable();
                nodes.dedup();
                prop_assert_eq!(nodes.len(), sizes.len());
                for node in nodes {
                    *loads.entry(node).or_default() += 1;
                }
            }
            for (region, size) in sizes.iter().enumerate() {
                let loads: Vec<_> = (0..*size)
                    .map(|n| loads.get(&(region as u64 * 100 + n)).copied().unwrap_or(0))
                    .collect();
                let (most, least) = (loads.iter().max(), loads.iter().min());
                prop_assert!(most.unwrap() - least.unwrap() <= 1);
            }
        }
    }
}
