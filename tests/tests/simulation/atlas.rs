//! The world that every run is set in: three regions of two core nodes, a PoP
//! near each, clients at the PoPs; and how far everything is from everything.

use std::net::SocketAddr;
use std::time::Duration;

use causeway_client::Pop;
use causeway_gossip::member::{Member, MemberInfo, Role};
use causeway_protocol::{ChannelId, Name, NodeId, UserId, WorkspaceId};

use crate::message::Host;

/// Regions, in order of their names, as the directory's leader places cells.
pub const REGIONS: [&str; 3] = ["ap-south", "eu-west", "us-east"];
pub const POPS: [&str; 3] = ["bom", "fra", "nyc"];
/// One-way delays between sites, in milliseconds.
const DELAYS_MS: [[u64; 3]; 3] = [[1, 55, 95], [55, 1, 40], [95, 40, 1]];

pub const CORES: usize = 6;
pub const EDGES: usize = 3;
pub const CLIENTS: usize = 7;
/// Some have two clients.
const USERS: u32 = 6;
/// Cells beside the directory; one is at home in each region.
pub const CELLS: u32 = 3;
/// Channels of a workspace. Everybody is in all but the last from the start.
pub const CHANNELS: u32 = 3;

pub fn cores() -> impl Iterator<Item = Host> {
    (0..CORES).map(Host)
}

pub fn edges() -> impl Iterator<Item = Host> {
    (CORES..CORES + EDGES).map(Host)
}

pub fn clients() -> impl Iterator<Item = Host> {
    (CORES + EDGES..CORES + EDGES + CLIENTS).map(Host)
}

/// Nodes of the backbone.
pub fn nodes() -> impl Iterator<Item = Host> {
    cores().chain(edges())
}

pub fn is_core(host: Host) -> bool {
    host.0 < CORES
}

/// Which of the three sites a host is at: a region and the PoP near it.
pub fn site(host: Host) -> usize {
    match host.0 {
        core if core < CORES => core / 2,
        other => (other - CORES) % 3,
    }
}

pub fn region(host: Host) -> Name {
    name(REGIONS[site(host)])
}

/// The least time that a message takes from one host to another.
pub fn delay(from: Host, to: Host) -> Duration {
    if from == to {
        return Duration::ZERO;
    }
    let last_mile = match is_core(from) && is_core(to) {
        true => 0,
        false => 6,
    };
    Duration::from_millis(DELAYS_MS[site(from)][site(to)] + last_mile)
}

pub fn address(host: Host) -> SocketAddr {
    let port = 7_000 + u16::try_from(host.0).expect("a small world");
    ([127, 0, 0, 1], port).into()
}

/// The host that listens at an address.
pub fn host_at(address: SocketAddr) -> Host {
    Host(usize::from(address.port() - 7_000))
}

/// What clients are offered.
pub fn pops() -> Vec<Pop> {
    let pop = |host| Pop {
        name: name(POPS[site(host)]),
        address: address(host),
        https: None,
        server_name: POPS[site(host)].into(),
    };
    edges().map(pop).collect()
}

/// A node's name.
pub fn node_name(host: Host) -> String {
    let place = match is_core(host) {
        true => REGIONS[site(host)],
        false => POPS[site(host)],
    };
    format!("{place}-{}", host.0)
}

/// A node's facts, as gossip tells them.
pub fn member(host: Host, node: NodeId, incarnation: u64) -> Member {
    let (role, place) = match is_core(host) {
        true => (Role::Core, REGIONS[site(host)]),
        false => (Role::Edge, POPS[site(host)]),
    };
    Member::new(MemberInfo {
        node,
        incarnation,
        name: name(&node_name(host)),
        role,
        place: name(place),
        zone: name(&format!("{place}-{}", host.0 % 2)),
        backbone: address(host),
        client: None,
        http: None,
        version: String::new(),
    })
}

/// The workspace that lives in a cell, under the same number.
pub fn workspace(cell: u32) -> WorkspaceId {
    WorkspaceId(cell)
}

/// The user who sits at a client: two of a workspace, at different PoPs. The
/// last client is another device of the first one's user.
pub fn user(client: Host) -> UserId {
    let number = u32::try_from(client.0 - CORES - EDGES).expect("a small world");
    let number = number % USERS;
    let workspace = (number + number / 3) % CELLS + 1;
    UserId::new(self::workspace(workspace), number + 1)
}

pub fn channels(workspace: WorkspaceId) -> impl Iterator<Item = ChannelId> {
    (1..=CHANNELS).map(move |number| ChannelId::new(workspace, number))
}

/// The channel that users join and leave.
pub fn open_channel(workspace: WorkspaceId) -> ChannelId {
    ChannelId::new(workspace, CHANNELS)
}

pub fn name(text: &str) -> Name {
    text.parse().expect("a valid name")
}
