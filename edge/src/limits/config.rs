//! The limits of an edge node, as operators set them.

use serde::{Deserialize, Serialize};

use super::rate::Rate;

/// `[limits]` of an edge node. Everything is counted by this node alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// QUIC connections at a time.
    pub connections: u32,
    /// TCP connections at a time.
    pub tcp_connections: u32,
    /// Handshakes under way at a time, of QUIC and of TLS over TCP each.
    pub handshakes: u32,
    /// Connections of one address at a time; of IPv6, a /64 counts as one.
    pub connections_per_address: u32,
    /// Handshakes of one address under way at a time.
    pub handshakes_per_address: u32,
    /// Sessions of one user at a time.
    pub sessions_per_user: u32,
    /// Connections that one address opens.
    pub new_connections_per_address: Rate,
    /// Times that one user says hello.
    pub hellos_per_user: Rate,
    /// Requests on one connection.
    pub requests_per_connection: Rate,
    /// Requests of one user, on all connections and in the Web API.
    pub requests_per_user: Rate,
    /// Requests of one workspace's users.
    pub requests_per_workspace: Rate,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            connections: 100_000,
            tcp_connections: 60_000,
            handshakes: 4_000,
            connections_per_address: 10_000,
            handshakes_per_address: 1_000,
            sessions_per_user: 200,
            new_connections_per_address: Rate::new(200, 4_000),
            hellos_per_user: Rate::new(10, 200),
            requests_per_connection: Rate::new(1_000, 4_000),
            requests_per_user: Rate::new(2_000, 8_000),
            requests_per_workspace: Rate::new(20_000, 80_000),
        }
    }
}

impl LimitsConfig {
    /// For a world on one machine, whose clients share few addresses and users: only
    /// what one connection asks is limited as elsewhere.
    pub fn of_one_machine() -> Self {
        const MANY: u32 = 1_000_000;
        let plenty = Rate::new(MANY, MANY);
        Self {
            handshakes: MANY,
            connections_per_address: MANY,
            handshakes_per_address: MANY,
            sessions_per_user: MANY,
            new_connections_per_address: plenty,
            hellos_per_user: plenty,
            requests_per_user: plenty,
            requests_per_workspace: plenty,
            ..Self::default()
        }
    }
}
