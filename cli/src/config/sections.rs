//! The sections of a configuration file, and what becomes of them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use causeway_core_region::faults::Faults;
use causeway_core_region::{CoreConfig, DiskLimits, Founding, RaftTimings};
use causeway_edge::{EdgeConfig, FlannelConfig, LimitsConfig};
use causeway_gossip::swim;
use causeway_protocol::Name;
use causeway_protocol::backbone::Survive;
use causeway_protocol::token::{Signer, Verifier};
use causeway_transport::backbone::BackboneConfig;
use causeway_transport::endpoint::Liveness;
use causeway_transport::tls::{Credentials, PeerIdentity, Role, Roots};
use causeway_transport::wan::Wan;
use serde::{Deserialize, Serialize};

use super::{ConfigError, Loaded};

const MIB: u64 = 1024 * 1024;
/// `[clients] cut_off_ms`, unless set.
const CUT_OFF_MS: u64 = 2_000;

/// `core.toml`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CoreFile {
    /// Who the node is.
    pub node: NodeSection,
    /// How nodes talk.
    pub backbone: BackboneSection,
    /// Health checks and metrics.
    pub http: HttpSection,
    /// How quickly the dead are noticed.
    #[serde(default, skip_serializing_if = "is_default")]
    pub gossip: GossipSection,
    /// The clockwork of cells.
    #[serde(default, skip_serializing_if = "is_default")]
    pub raft: RaftSection,
    /// Signing of tokens.
    #[serde(default, skip_serializing_if = "is_default")]
    pub tokens: TokensSection,
    /// What a new world looks like.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub founding: Option<FoundingSection>,
    /// Where replicas go.
    #[serde(default, skip_serializing_if = "is_default")]
    pub placement: PlacementSection,
    /// What is expected of the disk.
    #[serde(default, skip_serializing_if = "is_default")]
    pub disk: DiskSection,
    /// The emulated network.
    #[serde(default, skip_serializing_if = "is_default")]
    pub wan: WanSection,
    /// Faults on purpose.
    #[serde(default, skip_serializing_if = "is_default")]
    pub faults: FaultsSection,
    /// The log.
    #[serde(default, skip_serializing_if = "is_default")]
    pub log: LogSection,
}

/// `edge.toml`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EdgeFile {
    /// Who the node is.
    pub node: NodeSection,
    /// How nodes talk.
    pub backbone: BackboneSection,
    /// The Web API, health checks and metrics.
    pub http: HttpSection,
    /// Where clients connect.
    pub clients: ClientsSection,
    /// Verifying of tokens.
    pub tokens: VerifySection,
    /// What is kept of workspaces.
    #[serde(default, skip_serializing_if = "is_default")]
    pub flannel: FlannelSection,
    /// How many may come in, and what they may ask.
    #[serde(default, skip_serializing_if = "is_default")]
    pub limits: LimitsConfig,
    /// How quickly the dead are noticed.
    #[serde(default, skip_serializing_if = "is_default")]
    pub gossip: GossipSection,
    /// The emulated network.
    #[serde(default, skip_serializing_if = "is_default")]
    pub wan: WanSection,
    /// The log.
    #[serde(default, skip_serializing_if = "is_default")]
    pub log: LogSection,
}

/// `[node]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeSection {
    /// As in its certificate; unique in the world.
    pub name: Name,
    /// The region of a core node, the PoP of an edge node.
    pub place: Name,
    /// The failure domain inside the place; the place itself if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<Name>,
    /// Where its data is; a core node needs one.
    pub data_dir: PathBuf,
}

/// `[backbone]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackboneSection {
    /// UDP address.
    pub listen: SocketAddr,
    /// The address that others use, if it is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advertise: Option<SocketAddr>,
    /// Nodes to ask first.
    #[serde(default)]
    pub seeds: Vec<SocketAddr>,
    /// The authority behind every node's certificate (PEM).
    pub ca: PathBuf,
    /// This node's certificate (PEM).
    pub certificate: PathBuf,
    /// Its key (PEM).
    pub key: PathBuf,
    /// A peer that is silent for this long is given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_timeout_ms: Option<u64>,
    /// A ping goes out after this long without anything else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_alive_ms: Option<u64>,
}

/// Whether a section says nothing, and need not be written.
fn is_default<T: Default + PartialEq>(section: &T) -> bool {
    *section == T::default()
}

pub(super) fn liveness(
    default: Liveness,
    idle_ms: Option<u64>,
    keep_alive_ms: Option<u64>,
) -> Liveness {
    Liveness {
        idle_timeout: idle_ms.map_or(default.idle_timeout, Duration::from_millis),
        keep_alive: keep_alive_ms.map_or(default.keep_alive, Duration::from_millis),
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// `[http]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpSection {
    /// TCP address: plain HTTP at a core node, HTTPS at an edge node.
    pub listen: SocketAddr,
}

/// `[gossip]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GossipSection {
    /// One member is probed in each period.
    pub probe_period_ms: u64,
    /// The longest round trip.
    pub probe_round_trip_ms: u64,
    /// A suspect has this long to object.
    pub suspicion_ms: u64,
}

impl Default for GossipSection {
    fn default() -> Self {
        let timings = swim::Timings::default();
        Self {
            probe_period_ms: millis(timings.probe_period),
            probe_round_trip_ms: millis(timings.probe_round_trip),
            suspicion_ms: millis(timings.suspicion),
        }
    }
}

/// `[raft]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RaftSection {
    /// A leader speaks up this often.
    pub heartbeat_ms: u64,
    /// Followers that hear nothing campaign after a time between these two.
    pub election_min_ms: u64,
    /// See `election_min_ms`.
    pub election_max_ms: u64,
    /// A command that no quorum has acknowledged by then is refused.
    pub propose_timeout_ms: u64,
    /// Entries after which the beginning of a log may go.
    pub snapshot_every: u64,
}

impl Default for RaftSection {
    fn default() -> Self {
        let timings = RaftTimings::default();
        Self {
            heartbeat_ms: millis(timings.heartbeat),
            election_min_ms: millis(timings.election_min),
            election_max_ms: millis(timings.election_max),
            propose_timeout_ms: millis(timings.propose_timeout),
            snapshot_every: timings.snapshot_every,
        }
    }
}

/// `[tokens]` of a core node
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokensSection {
    /// Private Ed25519 key (PEM); without it the node issues no tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signing_key: Option<PathBuf>,
}

/// `[tokens]` of an edge node
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerifySection {
    /// Public Ed25519 keys (PEM), all that are valid at a time.
    pub verify_keys: Vec<PathBuf>,
}

/// `[placement]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PlacementSection {
    /// A core node that has been away for so long gives its replicas to another
    /// node of its region, if there is one.
    pub replace_after_ms: u64,
}

impl Default for PlacementSection {
    fn default() -> Self {
        Self {
            replace_after_ms: 300_000,
        }
    }
}

/// `[disk]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DiskSection {
    /// With less than so many MiB free, the node takes no new writes of clients
    /// and leads no cell; with a quarter of it, its logs grow no further.
    pub reserve_mb: u64,
    /// A disk that lets a write wait so long for its sync stalls: the node leads
    /// no cell.
    pub stall_ms: u64,
    /// After a stall, the disk must be well for so long.
    pub calm_ms: u64,
}

impl Default for DiskSection {
    fn default() -> Self {
        let limits = DiskLimits::default();
        Self {
            reserve_mb: limits.reserve_bytes / MIB,
            stall_ms: millis(limits.stall),
            calm_ms: millis(limits.calm),
        }
    }
}

/// `[faults]`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultsSection {
    /// What is wrong with the node on purpose; absent = nothing can be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
}

/// `[founding]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FoundingSection {
    /// The node that founds the directory.
    pub by: Name,
    /// Core nodes that must be there first.
    pub core_nodes: usize,
    /// Regions that must have one of them.
    pub regions: Vec<Name>,
    /// Cells to create.
    #[serde(default = "default_cells")]
    pub cells: u32,
    /// What they survive.
    #[serde(default)]
    pub survive: SurviveName,
}

fn default_cells() -> u32 {
    12
}

/// What a cell survives the loss of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SurviveName {
    /// A region.
    #[default]
    Region,
    /// A zone of the home region.
    Zone,
}

/// `[clients]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientsSection {
    /// UDP address for QUIC.
    pub listen: SocketAddr,
    /// The address that clients are told, if it is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advertise: Option<SocketAddr>,
    /// What proves the node to clients (PEM).
    pub certificate: PathBuf,
    /// Its key (PEM).
    pub key: PathBuf,
    /// A client that is silent for this long is given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_timeout_ms: Option<u64>,
    /// A ping goes out after this long without anything else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_alive_ms: Option<u64>,
    /// Without a core node for this long, clients are sent to other PoPs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cut_off_ms: Option<u64>,
}

/// `[flannel]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FlannelSection {
    /// What is kept takes about so many MiB at the most.
    pub memory_mb: u64,
    /// So many clients are let in each second.
    pub boots_per_s: u32,
}

impl Default for FlannelSection {
    fn default() -> Self {
        let config = FlannelConfig::default();
        Self {
            memory_mb: config.memory_bytes as u64 / MIB,
            boots_per_s: config.boots_per_s,
        }
    }
}

/// `[wan]`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WanSection {
    /// The emulated network's file; absent = the real network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub emulate: Option<PathBuf>,
}

/// `[log]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogSection {
    /// As tracing's `EnvFilter` reads it.
    pub filter: String,
    /// For people or for machines.
    pub format: LogFormat,
}

impl Default for LogSection {
    fn default() -> Self {
        Self {
            filter: "info,openraft=error,foca=warn,quinn=warn,web_transport_quinn=error".into(),
            format: LogFormat::Text,
        }
    }
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object a line.
    Json,
}

impl NodeSection {
    fn zone(&self) -> Name {
        self.zone.clone().unwrap_or_else(|| self.place.clone())
    }

    fn identity(&self, role: Role) -> PeerIdentity {
        PeerIdentity {
            role,
            name: self.name.clone(),
        }
    }
}

impl BackboneSection {
    fn resolve(
        &self,
        base: &Path,
        node: PeerIdentity,
        wan: Option<Wan>,
    ) -> Result<BackboneConfig, ConfigError> {
        let certificate = base.join(&self.certificate);
        let credentials = Credentials::load(&certificate, &base.join(&self.key))?;
        must_name(certificate, credentials.identity(), node)?;
        Ok(BackboneConfig {
            listen: self.listen,
            credentials,
            roots: Roots::load(&base.join(&self.ca))?,
            liveness: liveness(Liveness::BACKBONE, self.idle_timeout_ms, self.keep_alive_ms),
            wan,
        })
    }

    fn advertise(&self) -> SocketAddr {
        self.advertise.unwrap_or(self.listen)
    }
}

impl ClientsSection {
    pub(super) fn cut_off_ms(&self) -> u64 {
        self.cut_off_ms.unwrap_or(CUT_OFF_MS)
    }
}

impl FlannelSection {
    fn resolve(&self) -> FlannelConfig {
        let memory_bytes = usize::try_from(self.memory_mb.saturating_mul(MIB));
        FlannelConfig {
            memory_bytes: memory_bytes.unwrap_or(usize::MAX),
            boots_per_s: self.boots_per_s,
        }
    }
}

impl GossipSection {
    fn resolve(&self) -> swim::Timings {
        swim::Timings {
            probe_period: Duration::from_millis(self.probe_period_ms),
            probe_round_trip: Duration::from_millis(self.probe_round_trip_ms),
            suspicion: Duration::from_millis(self.suspicion_ms),
        }
    }
}

impl RaftSection {
    fn resolve(&self) -> RaftTimings {
        RaftTimings {
            heartbeat: Duration::from_millis(self.heartbeat_ms),
            election_min: Duration::from_millis(self.election_min_ms),
            election_max: Duration::from_millis(self.election_max_ms),
            propose_timeout: Duration::from_millis(self.propose_timeout_ms),
            snapshot_every: self.snapshot_every,
        }
    }
}

impl DiskSection {
    fn resolve(&self) -> DiskLimits {
        DiskLimits {
            reserve_bytes: self.reserve_mb * MIB,
            stall: Duration::from_millis(self.stall_ms),
            calm: Duration::from_millis(self.calm_ms),
        }
    }
}

impl FaultsSection {
    fn resolve(&self, base: &Path) -> Result<Faults, ConfigError> {
        match &self.file {
            None => Ok(Faults::default()),
            Some(file) => Ok(Faults::load(&base.join(file))?),
        }
    }
}

impl VerifySection {
    fn resolve(&self, base: &Path) -> Result<Verifier, ConfigError> {
        let mut pems = Vec::new();
        for key in &self.verify_keys {
            let path = base.join(key);
            let pem = read(&path)?;
            // Each by itself, so that the error names the one that is wrong.
            Verifier::from_pems([&pem]).map_err(|source| ConfigError::Token { path, source })?;
            pems.push(pem);
        }
        let path = self.verify_keys.first().map(|key| base.join(key));
        let path = path.unwrap_or_default();
        Verifier::from_pems(pems).map_err(|source| ConfigError::Token { path, source })
    }
}

impl FoundingSection {
    fn resolve(&self) -> Founding {
        Founding {
            by: self.by.clone(),
            core_nodes: self.core_nodes,
            regions: self.regions.clone(),
            cells: self.cells,
            survive: match self.survive {
                SurviveName::Region => Survive::Region,
                SurviveName::Zone => Survive::Zone,
            },
        }
    }
}

impl WanSection {
    fn resolve(&self, base: &Path) -> Result<(Option<Wan>, Option<PathBuf>), ConfigError> {
        match &self.emulate {
            None => Ok((None, None)),
            Some(file) => {
                let path = base.join(file);
                Ok((Some(Wan::load(&path)?), Some(path)))
            }
        }
    }
}

impl CoreFile {
    pub(super) fn resolve(self, base: &Path) -> Result<Loaded<CoreConfig>, ConfigError> {
        let (wan, wan_file) = self.wan.resolve(base)?;
        let signer = self.tokens.signing_key.as_ref().map(|key| {
            let path = base.join(key);
            let pem = read(&path)?;
            Signer::from_pem(&pem).map_err(|source| ConfigError::Token { path, source })
        });
        let config = CoreConfig {
            name: self.node.name.clone(),
            region: self.node.place.clone(),
            zone: self.node.zone(),
            data_dir: base.join(&self.node.data_dir),
            backbone: (self.backbone).resolve(base, self.node.identity(Role::Core), wan)?,
            advertise: self.backbone.advertise(),
            seeds: self.backbone.seeds,
            gossip: self.gossip.resolve(),
            raft: self.raft.resolve(),
            founding: self.founding.as_ref().map(FoundingSection::resolve),
            replace_after: Duration::from_millis(self.placement.replace_after_ms),
            http: self.http.listen,
            signer: signer.transpose()?,
            disk: self.disk.resolve(),
            faults: self.faults.resolve(base)?,
        };
        Ok(Loaded {
            config,
            log: self.log,
            wan_file,
            ignored: Vec::new(),
        })
    }
}

impl EdgeFile {
    pub(super) fn resolve(self, base: &Path) -> Result<Loaded<EdgeConfig>, ConfigError> {
        let (wan, wan_file) = self.wan.resolve(base)?;
        let verifier = self.tokens.resolve(base)?;
        let clients = &self.clients;
        let (certificate, key) = (base.join(&clients.certificate), base.join(&clients.key));
        let config = EdgeConfig {
            name: self.node.name.clone(),
            pop: self.node.place.clone(),
            backbone: (self.backbone).resolve(base, self.node.identity(Role::Edge), wan)?,
            advertise: self.backbone.advertise(),
            seeds: self.backbone.seeds,
            gossip: self.gossip.resolve(),
            client_listen: clients.listen,
            client_advertise: clients.advertise.unwrap_or(clients.listen),
            client_liveness: liveness(
                Liveness::CLIENT_PLANE,
                clients.idle_timeout_ms,
                clients.keep_alive_ms,
            ),
            cut_off_after: Duration::from_millis(clients.cut_off_ms()),
            flannel: self.flannel.resolve(),
            limits: self.limits,
            https_listen: self.http.listen,
            server: Credentials::load(&certificate, &key)?,
            verifier,
        };
        Ok(Loaded {
            config,
            log: self.log,
            wan_file,
            ignored: Vec::new(),
        })
    }
}

/// A node with another's certificate would be taken for the other by all.
fn must_name(
    path: PathBuf,
    found: Option<PeerIdentity>,
    wanted: PeerIdentity,
) -> Result<(), ConfigError> {
    match found {
        Some(found) if found == wanted => Ok(()),
        Some(found) => Err(ConfigError::Identity {
            path,
            found,
            wanted,
        }),
        None => Err(ConfigError::NoIdentity { path, wanted }),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, ConfigError> {
    std::fs::read(path).map_err(|source| ConfigError::Read {
        path: path.into(),
        source,
    })
}
