//! The plan of a world: which nodes, at which addresses. On one machine a place
//! is a network of loopback, `127.PLACE.WORLD.0/24`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::ensure;
use causeway_protocol::Name;
use causeway_transport::wan::{Place, WanConfig};

use super::NodeRole;
use super::atlas::{POPS, REGIONS, Site};

/// Clients stand at this address of their place's network.
pub const CLIENT_HOST: u8 = 250;
/// The first place's network.
const FIRST_PLACE: u8 = 64;
const BACKBONE_PORT: u16 = 7400;
const CLIENT_PORT: u16 = 7443;
const HTTPS_PORT: u16 = 7443;
const HTTP_PORT: u16 = 7480;
/// Nodes of one place.
const NODES_MAX: usize = 100;

/// What a world is to look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Zones of each region.
    pub zones: usize,
    /// Core nodes of each zone.
    pub nodes: usize,
    /// Which world of this machine it is: part of every address.
    pub world: u8,
}

/// A node that is planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedNode {
    /// Its name.
    pub name: Name,
    /// What it does.
    pub role: NodeRole,
    /// Its region or PoP.
    pub place: Name,
    /// Its failure domain.
    pub zone: Name,
    /// Its address.
    pub ip: IpAddr,
}

impl PlannedNode {
    /// Where it listens for other nodes.
    pub fn backbone(&self) -> SocketAddr {
        (self.ip, BACKBONE_PORT).into()
    }

    /// Where it listens for clients over QUIC.
    pub fn client(&self) -> Option<SocketAddr> {
        (self.role == NodeRole::Edge).then_some((self.ip, CLIENT_PORT).into())
    }

    /// Where it serves HTTP, or HTTPS.
    pub fn http(&self) -> SocketAddr {
        match self.role {
            NodeRole::Core => (self.ip, HTTP_PORT).into(),
            NodeRole::Edge => (self.ip, HTTPS_PORT).into(),
        }
    }
}

impl Plan {
    /// All nodes: those of the regions, then one for each PoP.
    ///
    /// # Errors
    /// When there would be too many.
    pub fn nodes(&self) -> anyhow::Result<Vec<PlannedNode>> {
        ensure!(
            self.zones >= 1 && self.nodes >= 1 && self.zones * self.nodes <= NODES_MAX,
            "a region has 1 to {NODES_MAX} core nodes"
        );
        let mut nodes = Vec::new();
        for (i, region) in REGIONS.iter().enumerate() {
            for n in 0..self.zones * self.nodes {
                let zone = char::from(b'a' + u8::try_from(n / self.nodes)?);
                nodes.push(PlannedNode {
                    name: format!("{}-{}", region.name, n + 1).parse()?,
                    role: NodeRole::Core,
                    place: region.name.parse()?,
                    zone: format!("{}-{zone}", region.name).parse()?,
                    ip: self.ip(i, n + 1)?,
                });
            }
        }
        for (i, pop) in POPS.iter().enumerate() {
            nodes.push(PlannedNode {
                name: format!("{}-1", pop.name).parse()?,
                role: NodeRole::Edge,
                place: pop.name.parse()?,
                zone: pop.name.parse()?,
                ip: self.ip(REGIONS.len() + i, 1)?,
            });
        }
        Ok(nodes)
    }

    /// The network between the places.
    ///
    /// # Errors
    /// Never, for the places of the atlas.
    pub fn wan(&self) -> anyhow::Result<WanConfig> {
        let sites = REGIONS.iter().chain(&POPS).enumerate();
        let places = sites.map(|(i, site)| self.place(i, site));
        Ok(WanConfig {
            seed: 1,
            places: places.collect::<Result<_, _>>()?,
            ..WanConfig::default()
        })
    }

    fn place(&self, index: usize, site: &Site) -> anyhow::Result<Place> {
        let network = format!("{}/24", self.ip(index, 0)?);
        Ok(Place {
            name: site.name.parse()?,
            latitude: site.latitude,
            longitude: site.longitude,
            network: network.parse().map_err(anyhow::Error::msg)?,
        })
    }

    fn ip(&self, place: usize, host: usize) -> anyhow::Result<IpAddr> {
        let place = FIRST_PLACE + u8::try_from(place)?;
        Ok(Ipv4Addr::new(127, place, self.world, u8::try_from(host)?).into())
    }
}

/// A number for a new world whose addresses nobody uses; worlds in different
/// folders begin to look at different numbers.
pub fn free_world(data_dir: &Path) -> anyhow::Result<u8> {
    let hash = xxhash_rust::xxh3::xxh3_64(data_dir.as_os_str().as_encoded_bytes());
    let first = (hash % 250) as u8;
    let world = (0..250u8).map(|n| (first + n) % 250 + 1).find(|world| {
        let plan = Plan {
            zones: 1,
            nodes: 1,
            world: *world,
        };
        plan.nodes().is_ok_and(|nodes| is_free(&nodes))
    });
    world.ok_or_else(|| anyhow::anyhow!("every world of this machine is in use"))
}

/// Whether all addresses can be bound.
pub fn is_free(nodes: &[PlannedNode]) -> bool {
    nodes.iter().all(|node| {
        std::net::UdpSocket::bind(node.backbone()).is_ok()
            && std::net::TcpListener::bind(node.http()).is_ok()
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_node_has_an_address_of_its_own_inside_its_place() {
        let plan = Plan {
            zones: 3,
            nodes: 2,
            world: 7,
        };
        let nodes = plan.nodes().unwrap();
        assert_eq!(nodes.len(), 3 * 6 + 4);
        let addresses: BTreeSet<_> = nodes.iter().map(PlannedNode::backbone).collect();
        assert_eq!(addresses.len(), nodes.len());
        let wan = plan.wan().unwrap();
        for node in &nodes {
            let place = wan.places.iter().find(|p| p.name == node.place).unwrap();
            assert!(place.network.contains(node.ip));
        }
        assert_eq!(nodes[2].zone.as_str(), "us-east-b");
        assert_eq!(nodes[0].backbone().to_string(), "127.64.7.1:7400");
    }

    #[test]
    fn a_region_has_at_least_one_node_and_not_too_many() {
        for (zones, nodes) in [(0, 1), (1, 0), (11, 10)] {
            let plan = Plan {
                zones,
                nodes,
                world: 1,
            };
            assert!(plan.nodes().is_err());
        }
    }
}
