//! Values that parse and still cannot be: a node that started with them would
//! stop, or never find its peers.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use causeway_edge::LimitsConfig;
use causeway_transport::endpoint::Liveness;
use thiserror::Error;

use super::layers::ConfigFile;
use super::sections::{
    BackboneSection, ClientsSection, CoreFile, DiskSection, EdgeFile, FlannelSection,
    FoundingSection, GossipSection, PlacementSection, RaftSection, VerifySection, liveness, millis,
};

/// Silence of a connection.
const IDLE_TIMEOUT_MS: RangeInclusive<u64> = 100..=3_600_000;
/// Everything else that takes time.
const TIMING_MS: RangeInclusive<u64> = 10..=600_000;
/// Entries between two snapshots.
const SNAPSHOT_EVERY: RangeInclusive<u64> = 100..=1_000_000_000;
/// A node is away: longer than a restart takes, and up to a week.
const REPLACE_AFTER_MS: RangeInclusive<u64> = 500..=604_800_000;
/// Space that stays free: from what one flush of memory takes, up to 1 TiB.
const RESERVE_MB: RangeInclusive<u64> = 8..=1_048_576;
/// A sync takes too long: more than any healthy disk's, up to ten minutes.
const STALL_MS: RangeInclusive<u64> = 200..=600_000;
/// A disk is well again: up to an hour.
const CALM_MS: RangeInclusive<u64> = 1_000..=3_600_000;
/// What an edge node keeps of workspaces: up to 1 TiB.
const FLANNEL_MB: RangeInclusive<u64> = 1..=1_048_576;
/// Clients that are let in each second.
const BOOTS_PER_S: RangeInclusive<u64> = 1..=1_000_000;
/// Connections and the like that there may be at a time.
const AT_A_TIME: RangeInclusive<u64> = 1..=10_000_000;
/// Requests and the like, a second or at once.
const A_SECOND: RangeInclusive<u64> = 1..=10_000_000;
/// Cells of a new world.
const CELLS: RangeInclusive<u64> = 1..=1_024;
/// Core nodes that a new world waits for.
const CORE_NODES_MAX: u64 = 10_000;

/// A value that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("[{section}] {key} = {value}: {wanted}")]
pub struct WrongValue {
    /// The section.
    pub section: &'static str,
    /// The key in it.
    pub key: &'static str,
    /// What it is.
    pub value: String,
    /// What it may be.
    pub wanted: String,
}

impl ConfigFile for CoreFile {
    const SECTIONS: &'static [&'static str] = &[
        "node",
        "backbone",
        "http",
        "gossip",
        "raft",
        "tokens",
        "founding",
        "placement",
        "disk",
        "wan",
        "faults",
        "log",
    ];

    fn check(&self) -> Result<(), WrongValue> {
        self.backbone.check()?;
        self.gossip.check()?;
        self.raft.check()?;
        if let Some(founding) = &self.founding {
            founding.check()?;
        }
        self.disk.check()?;
        self.placement.check()
    }
}

impl ConfigFile for EdgeFile {
    const SECTIONS: &'static [&'static str] = &[
        "node", "backbone", "http", "clients", "tokens", "limits", "flannel", "gossip", "wan",
        "log",
    ];

    fn check(&self) -> Result<(), WrongValue> {
        self.backbone.check()?;
        self.clients.check()?;
        self.tokens.check()?;
        check_limits(&self.limits)?;
        self.flannel.check()?;
        self.gossip.check()
    }
}

impl BackboneSection {
    fn check(&self) -> Result<(), WrongValue> {
        let liveness = liveness(Liveness::BACKBONE, self.idle_timeout_ms, self.keep_alive_ms);
        check_liveness("backbone", liveness)
    }
}

impl ClientsSection {
    fn check(&self) -> Result<(), WrongValue> {
        let default = Liveness::CLIENT_PLANE;
        let liveness = liveness(default, self.idle_timeout_ms, self.keep_alive_ms);
        check_liveness("clients", liveness)?;
        within("clients", "cut_off_ms", self.cut_off_ms(), TIMING_MS)
    }
}

impl FlannelSection {
    fn check(&self) -> Result<(), WrongValue> {
        within("flannel", "memory_mb", self.memory_mb, FLANNEL_MB)?;
        let boots_per_s = u64::from(self.boots_per_s);
        within("flannel", "boots_per_s", boots_per_s, BOOTS_PER_S)
    }
}

fn check_limits(limits: &LimitsConfig) -> Result<(), WrongValue> {
    for (key, value) in [
        ("connections", limits.connections),
        ("tcp_connections", limits.tcp_connections),
        ("handshakes", limits.handshakes),
        ("connections_per_address", limits.connections_per_address),
        ("handshakes_per_address", limits.handshakes_per_address),
        ("sessions_per_user", limits.sessions_per_user),
    ] {
        within("limits", key, value.into(), AT_A_TIME)?;
    }
    for (key, rate) in [
        (
            "new_connections_per_address",
            limits.new_connections_per_address,
        ),
        ("hellos_per_user", limits.hellos_per_user),
        ("requests_per_connection", limits.requests_per_connection),
        ("requests_per_user", limits.requests_per_user),
        ("requests_per_workspace", limits.requests_per_workspace),
    ] {
        within("limits", key, rate.per_s.into(), A_SECOND)?;
        within("limits", key, rate.burst.into(), A_SECOND)?;
    }
    Ok(())
}

fn check_liveness(section: &'static str, liveness: Liveness) -> Result<(), WrongValue> {
    let idle_ms = millis(liveness.idle_timeout);
    let keep_alive_ms = millis(liveness.keep_alive);
    within(section, "idle_timeout_ms", idle_ms, IDLE_TIMEOUT_MS)?;
    within(section, "keep_alive_ms", keep_alive_ms, TIMING_MS)?;
    in_order(
        section,
        [
            ("keep_alive_ms", keep_alive_ms),
            ("idle_timeout_ms", idle_ms),
        ],
    )
}

impl GossipSection {
    fn check(&self) -> Result<(), WrongValue> {
        let period = ("probe_period_ms", self.probe_period_ms);
        let round_trip = ("probe_round_trip_ms", self.probe_round_trip_ms);
        let suspicion = ("suspicion_ms", self.suspicion_ms);
        for (key, value) in [period, round_trip, suspicion] {
            within("gossip", key, value, TIMING_MS)?;
        }
        in_order("gossip", [round_trip, period])
    }
}

impl RaftSection {
    fn check(&self) -> Result<(), WrongValue> {
        let heartbeat = ("heartbeat_ms", self.heartbeat_ms);
        let election_min = ("election_min_ms", self.election_min_ms);
        let election_max = ("election_max_ms", self.election_max_ms);
        let propose = ("propose_timeout_ms", self.propose_timeout_ms);
        for (key, value) in [heartbeat, election_min, election_max, propose] {
            within("raft", key, value, TIMING_MS)?;
        }
        in_order("raft", [heartbeat, election_min])?;
        in_order("raft", [election_min, election_max])?;
        within(
            "raft",
            "snapshot_every",
            self.snapshot_every,
            SNAPSHOT_EVERY,
        )
    }
}

impl FoundingSection {
    fn check(&self) -> Result<(), WrongValue> {
        let distinct: BTreeSet<_> = self.regions.iter().collect();
        if distinct.is_empty() || distinct.len() < self.regions.len() {
            let names: Vec<_> = self.regions.iter().map(|name| name.as_str()).collect();
            return Err(WrongValue {
                section: "founding",
                key: "regions",
                value: format!("{names:?}"),
                wanted: "name at least one region, and each of them once".into(),
            });
        }
        within("founding", "cells", u64::from(self.cells), CELLS)?;
        // Each region must have one of them.
        let allowed = distinct.len() as u64..=CORE_NODES_MAX;
        within("founding", "core_nodes", self.core_nodes as u64, allowed)
    }
}

impl DiskSection {
    fn check(&self) -> Result<(), WrongValue> {
        within("disk", "reserve_mb", self.reserve_mb, RESERVE_MB)?;
        within("disk", "stall_ms", self.stall_ms, STALL_MS)?;
        within("disk", "calm_ms", self.calm_ms, CALM_MS)
    }
}

impl PlacementSection {
    fn check(&self) -> Result<(), WrongValue> {
        let after_ms = self.replace_after_ms;
        within("placement", "replace_after_ms", after_ms, REPLACE_AFTER_MS)
    }
}

impl VerifySection {
    fn check(&self) -> Result<(), WrongValue> {
        if !self.verify_keys.is_empty() {
            return Ok(());
        }
        Err(WrongValue {
            section: "tokens",
            key: "verify_keys",
            value: "[]".into(),
            wanted: "name at least one key".into(),
        })
    }
}

fn within(
    section: &'static str,
    key: &'static str,
    value: u64,
    allowed: RangeInclusive<u64>,
) -> Result<(), WrongValue> {
    if allowed.contains(&value) {
        return Ok(());
    }
    Err(WrongValue {
        section,
        key,
        value: value.to_string(),
        wanted: format!("{} to {} is allowed", allowed.start(), allowed.end()),
    })
}

/// The first must be less than the second. Whoever set one of the two knows of
/// the other by this error, which names it with its value.
fn in_order(
    section: &'static str,
    [(key, value), (larger, limit)]: [(&'static str, u64); 2],
) -> Result<(), WrongValue> {
    if value < limit {
        return Ok(());
    }
    Err(WrongValue {
        section,
        key,
        value: value.to_string(),
        wanted: format!("less than {larger} = {limit} is allowed"),
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use causeway_transport::ca::{self, Authority, Pem};
    use causeway_transport::tls::{PeerIdentity, Role};

    use super::super::{ConfigError, Overrides, load_core, load_edge};
    use super::*;

    const NODE: &str = r#"
[node]
name = "one"
place = "here"
data_dir = "data"
[backbone]
listen = "127.0.0.1:1"
ca = "ca.pem"
certificate = "node.pem"
key = "node.key"
[http]
listen = "127.0.0.1:2"
"#;
    const FOUNDING: &str = r#"
[founding]
by = "one"
core_nodes = 3
regions = ["a", "b", "c"]
"#;
    const EDGE: &str = r#"
[clients]
listen = "127.0.0.1:3"
certificate = "server.pem"
key = "server.key"
[tokens]
verify_keys = ["tokens.pem"]
"#;

    fn write(folder: &Path, name: &str, pem: &Pem) {
        std::fs::write(folder.join(format!("{name}.pem")), &pem.public).unwrap();
        std::fs::write(folder.join(format!("{name}.key")), &pem.private).unwrap();
    }

    /// A folder with everything that a node `name` needs.
    fn folder(role: Role, name: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new("test", 1).unwrap();
        let name = name.parse().unwrap();
        let node = authority.issue_node(&PeerIdentity { role, name }, 1);
        let server = authority.issue_server(&["localhost"], &[], 1);
        write(folder.path(), "ca", &authority.pem());
        write(folder.path(), "node", &node.unwrap());
        write(folder.path(), "server", &server.unwrap());
        write(folder.path(), "tokens", &ca::token_keys().unwrap());
        let path = |name| folder.path().join(name);
        std::fs::write(path("core.toml"), [NODE, FOUNDING].concat()).unwrap();
        std::fs::write(path("edge.toml"), [NODE, EDGE].concat()).unwrap();
        folder
    }

    fn flags(changes: &[&str]) -> Overrides {
        let changes: Vec<_> = changes.iter().map(|c| (*c).to_owned()).collect();
        Overrides::new([], &changes).unwrap()
    }

    fn core(folder: &Path, changes: &[&str]) -> Result<(), ConfigError> {
        load_core(&folder.join("core.toml"), &flags(changes)).map(drop)
    }

    fn edge(folder: &Path, changes: &[&str]) -> Result<(), ConfigError> {
        load_edge(&folder.join("edge.toml"), &flags(changes)).map(drop)
    }

    fn assert_refused(loaded: Result<(), ConfigError>, file: &str, told: &str) {
        let error = loaded.expect_err(told);
        assert!(matches!(error, ConfigError::Value { .. }), "{error}");
        let error = error.to_string();
        for part in [file, told] {
            assert!(error.contains(part), "`{part}` is missing in: {error}");
        }
    }

    #[test]
    fn a_core_node_refuses_values_that_cannot_be() {
        let folder = folder(Role::Core, "one");
        core(folder.path(), &[]).unwrap();
        for (change, told) in [
            ("backbone.idle_timeout_ms=0", "100 to 3600000 is allowed"),
            (
                "backbone.idle_timeout_ms=9223372036854775807",
                "[backbone] idle_timeout_ms = 9223372036854775807: 100 to",
            ),
            ("backbone.keep_alive_ms=0", "10 to 600000 is allowed"),
            (
                "backbone.keep_alive_ms=600",
                "[backbone] keep_alive_ms = 600: less than idle_timeout_ms = 600",
            ),
            ("gossip.probe_period_ms=0", "[gossip] probe_period_ms = 0"),
            ("gossip.probe_round_trip_ms=0", "10 to 600000"),
            (
                "gossip.probe_round_trip_ms=800",
                "less than probe_period_ms",
            ),
            ("gossip.suspicion_ms=99999999", "[gossip] suspicion_ms"),
            ("raft.heartbeat_ms=0", "[raft] heartbeat_ms = 0: 10 to"),
            ("raft.heartbeat_ms=500", "less than election_min_ms = 500"),
            ("raft.election_min_ms=0", "[raft] election_min_ms = 0"),
            (
                "raft.election_min_ms=700",
                "less than election_max_ms = 700",
            ),
            ("raft.election_max_ms=9999999", "[raft] election_max_ms"),
            ("raft.propose_timeout_ms=0", "[raft] propose_timeout_ms = 0"),
            ("raft.snapshot_every=99", "100 to 1000000000 is allowed"),
            ("raft.snapshot_every=9223372036854775807", "snapshot_every"),
            ("placement.replace_after_ms=0", "500 to 604800000"),
            ("disk.reserve_mb=7", "[disk] reserve_mb = 7: 8 to 1048576"),
            ("disk.reserve_mb=9223372036854775807", "reserve_mb"),
            ("disk.stall_ms=0", "200 to 600000 is allowed"),
            ("disk.calm_ms=1", "[disk] calm_ms = 1: 1000 to 3600000"),
            ("founding.cells=0", "[founding] cells = 0: 1 to 1024"),
            ("founding.cells=4294967295", "1 to 1024 is allowed"),
            ("founding.core_nodes=2", "core_nodes = 2: 3 to 10000"),
            ("founding.regions=[]", "at least one region"),
            ("founding.regions=[\"a\", \"a\"]", "[\"a\", \"a\"]"),
        ] {
            let loaded = core(folder.path(), &[change]);
            assert_refused(loaded, "core.toml", told);
        }
        let bounds = ["founding.cells=1024", "raft.snapshot_every=100"];
        core(folder.path(), &bounds).unwrap();
    }

    #[test]
    fn an_edge_node_refuses_values_that_cannot_be() {
        let folder = folder(Role::Edge, "one");
        edge(folder.path(), &[]).unwrap();
        for (change, told) in [
            ("clients.idle_timeout_ms=0", "[clients] idle_timeout_ms = 0"),
            ("clients.keep_alive_ms=0", "[clients] keep_alive_ms = 0"),
            (
                "clients.idle_timeout_ms=10000",
                "keep_alive_ms = 10000: less than idle_timeout_ms = 10000",
            ),
            ("clients.cut_off_ms=0", "[clients] cut_off_ms = 0"),
            ("flannel.memory_mb=0", "[flannel] memory_mb = 0"),
            ("flannel.boots_per_s=0", "[flannel] boots_per_s = 0"),
            ("backbone.idle_timeout_ms=0", "[backbone] idle_timeout_ms"),
            ("gossip.suspicion_ms=0", "[gossip] suspicion_ms = 0"),
            ("tokens.verify_keys=[]", "[tokens] verify_keys = []"),
            ("limits.connections=0", "[limits] connections = 0: 1 to"),
            (
                "limits.requests_per_user={ per_s = 0, burst = 5 }",
                "[limits] requests_per_user = 0: 1 to 10000000",
            ),
        ] {
            let loaded = edge(folder.path(), &[change]);
            assert_refused(loaded, "edge.toml", told);
        }
    }

    #[test]
    fn the_certificate_of_another_node_is_refused() {
        let named_two = folder(Role::Core, "two");
        let error = core(named_two.path(), &[]).unwrap_err().to_string();
        for part in ["node.pem", "causeway://core/two", "causeway://core/one"] {
            assert!(error.contains(part), "`{part}` is missing in: {error}");
        }
        let of_a_core = folder(Role::Core, "one");
        let error = edge(of_a_core.path(), &[]).unwrap_err();
        assert!(matches!(error, ConfigError::Identity { .. }), "{error}");
        let server = ["backbone.certificate=server.pem", "backbone.key=server.key"];
        let error = core(of_a_core.path(), &server).unwrap_err();
        assert!(matches!(error, ConfigError::NoIdentity { .. }), "{error}");
    }

    #[test]
    fn a_key_of_another_certificate_is_named_with_it() {
        let folder = folder(Role::Edge, "one");
        for (key, names) in [
            ("backbone.key=server.key", ["node.pem", "server.key"]),
            ("clients.key=node.key", ["server.pem", "node.key"]),
        ] {
            let error = edge(folder.path(), &[key]).unwrap_err().to_string();
            for name in names {
                assert!(error.contains(name), "`{name}` is missing in: {error}");
            }
        }
    }

    #[test]
    fn a_key_for_tokens_that_cannot_be_used_is_named() {
        let folder = folder(Role::Edge, "one");
        let keys = "tokens.verify_keys=[\"tokens.pem\", \"node.pem\"]";
        let error = edge(folder.path(), &[keys]).unwrap_err().to_string();
        assert!(error.contains("node.pem"), "{error}");
    }

    /// A section that is not in the list could not be set by a variable.
    #[test]
    fn every_section_is_in_the_list() {
        fn known<T: ConfigFile + std::fmt::Debug>() {
            let known = |section: &str| {
                let error = toml::from_str::<T>(&format!("[{section}]")).unwrap_err();
                !error.message().contains("unknown field")
            };
            let strangers = toml::from_str::<T>("[nonsense]").unwrap_err().to_string();
            for section in T::SECTIONS {
                assert!(known(section), "{section}");
                let quoted = format!("`{section}`");
                assert!(strangers.contains(&quoted), "{section}");
            }
            let all = strangers.matches('`').count() / 2 - 1;
            assert_eq!(all, T::SECTIONS.len(), "{strangers}");
        }
        known::<CoreFile>();
        known::<EdgeFile>();
    }
}
