//! The files of a new world: certificates, keys, configurations.

use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use causeway_core_region::faults::{self, FaultConfig};
use causeway_edge::LimitsConfig;
use causeway_protocol::Name;
use causeway_transport::ca::{self, Authority, Pem};
use causeway_transport::tls::{PeerIdentity, Role};
use causeway_transport::wan;

use super::layout::{Plan, PlannedNode};
use super::{NodeRole, OperatorFiles, World, WorldNode, targets};
use crate::config::{
    BackboneSection, ClientsSection, CoreFile, EdgeFile, FaultsSection, FoundingSection,
    HttpSection, LogSection, NodeSection, SurviveName, TokensSection, VerifySection, WanSection,
};

/// Certificates of a development world are valid this long.
const DAYS: i64 = 90;
/// In a core node's folder, beside its configuration.
const FAULTS_FILE: &str = "faults.toml";

/// What a new world is to be.
#[derive(Debug, Clone)]
pub struct NewWorld {
    /// Its nodes.
    pub plan: Plan,
    /// Its cells.
    pub cells: u32,
    /// What they survive.
    pub survive: SurviveName,
    /// Whether distances are emulated.
    pub wan: bool,
    /// Whether faults can be injected into core nodes.
    pub faults: bool,
}

/// Writes everything that a world's nodes need, and describes it.
///
/// # Errors
/// The system's.
pub fn create(data_dir: &Path, new: &NewWorld, binary: &Path) -> anyhow::Result<World> {
    std::fs::create_dir_all(data_dir)
        .with_context(|| format!("cannot create {}", data_dir.display()))?;
    let authority = Authority::new("Causeway development", DAYS)?;
    write_pem(data_dir, "ca", &authority.pem())?;
    write_pem(data_dir, "tokens", &ca::token_keys()?)?;
    let operator = PeerIdentity {
        role: Role::Operator,
        name: "operator".parse()?,
    };
    let operator = write_pem(
        data_dir,
        "operator",
        &authority.issue_node(&operator, DAYS)?,
    )?;
    let wan = new.wan.then(|| data_dir.join("wan.toml"));
    if let Some(file) = &wan {
        wan::write(file, &new.plan.wan()?)?;
    }
    let planned = new.plan.nodes()?;
    targets::write(data_dir, &planned)?;
    let nodes = (planned.iter())
        .map(|node| create_node(data_dir, node, &planned, new, &authority, binary))
        .collect::<anyhow::Result<_>>()?;
    Ok(World {
        data_dir: data_dir.into(),
        ca: data_dir.join("ca.pem"),
        operator,
        wan,
        regions: places(&planned, NodeRole::Core),
        pops: places(&planned, NodeRole::Edge),
        nodes,
        workspaces: Vec::new(),
    })
}

fn places(nodes: &[PlannedNode], role: NodeRole) -> Vec<Name> {
    let mut places: Vec<Name> = Vec::new();
    for node in nodes.iter().filter(|n| n.role == role) {
        if !places.contains(&node.place) {
            places.push(node.place.clone());
        }
    }
    places
}

fn create_node(
    data_dir: &Path,
    node: &PlannedNode,
    all: &[PlannedNode],
    new: &NewWorld,
    authority: &Authority,
    binary: &Path,
) -> anyhow::Result<WorldNode> {
    let folder = data_dir.join(node.name.as_str());
    std::fs::create_dir_all(&folder)?;
    let role = match node.role {
        NodeRole::Core => Role::Core,
        NodeRole::Edge => Role::Edge,
    };
    let identity = PeerIdentity {
        role,
        name: node.name.clone(),
    };
    write_pem(&folder, "node", &authority.issue_node(&identity, DAYS)?)?;
    let (command, text) = match node.role {
        NodeRole::Core => ("core", toml::to_string(&core_file(node, all, new))?),
        NodeRole::Edge => {
            let names = ["localhost", node.place.as_str()];
            let addresses: [IpAddr; 1] = [node.ip];
            let server = authority.issue_server(&names, &addresses, DAYS)?;
            write_pem(&folder, "server", &server)?;
            ("edge", toml::to_string(&edge_file(node, all, new))?)
        }
    };
    let has_faults = new.faults && node.role == NodeRole::Core;
    let faults = has_faults.then(|| folder.join(FAULTS_FILE));
    if let Some(file) = &faults {
        faults::write(file, &FaultConfig::default())?;
    }
    let config = folder.join(format!("{command}.toml"));
    std::fs::write(&config, text)?;
    let words = [
        binary.display().to_string(),
        command.to_owned(),
        "--config".to_owned(),
        config.display().to_string(),
    ];
    Ok(WorldNode {
        name: node.name.clone(),
        role: node.role,
        place: node.place.clone(),
        zone: node.zone.clone(),
        pid: 0,
        backbone: node.backbone(),
        client: node.client(),
        http: node.http(),
        data_dir: folder.join("data"),
        log: folder.join("node.log"),
        faults,
        config,
        command: words.into(),
    })
}

fn node_section(node: &PlannedNode) -> NodeSection {
    NodeSection {
        name: node.name.clone(),
        place: node.place.clone(),
        zone: Some(node.zone.clone()),
        data_dir: "data".into(),
    }
}

fn backbone_section(node: &PlannedNode, all: &[PlannedNode]) -> BackboneSection {
    let cores = all
        .iter()
        .filter(|n| n.role == NodeRole::Core && n.name != node.name);
    BackboneSection {
        listen: node.backbone(),
        advertise: None,
        seeds: cores.map(PlannedNode::backbone).collect(),
        ca: "../ca.pem".into(),
        certificate: "node.pem".into(),
        key: "node.key".into(),
        idle_timeout_ms: None,
        keep_alive_ms: None,
    }
}

fn wan_section(new: &NewWorld) -> WanSection {
    WanSection {
        emulate: new.wan.then(|| "../wan.toml".into()),
    }
}

fn core_file(node: &PlannedNode, all: &[PlannedNode], new: &NewWorld) -> CoreFile {
    CoreFile {
        node: node_section(node),
        backbone: backbone_section(node, all),
        http: HttpSection {
            listen: node.http(),
        },
        gossip: Default::default(),
        raft: Default::default(),
        tokens: TokensSection {
            signing_key: Some("../tokens.key".into()),
        },
        founding: founding(all, new),
        placement: Default::default(),
        disk: Default::default(),
        wan: wan_section(new),
        faults: FaultsSection {
            file: new.faults.then(|| FAULTS_FILE.into()),
        },
        log: LogSection::default(),
    }
}

fn founding(all: &[PlannedNode], new: &NewWorld) -> Option<FoundingSection> {
    let cores = || all.iter().filter(|n| n.role == NodeRole::Core);
    Some(FoundingSection {
        by: cores().next()?.name.clone(),
        core_nodes: cores().count(),
        regions: places(all, NodeRole::Core),
        cells: new.cells,
        survive: new.survive,
    })
}

fn edge_file(node: &PlannedNode, all: &[PlannedNode], new: &NewWorld) -> EdgeFile {
    EdgeFile {
        node: node_section(node),
        backbone: backbone_section(node, all),
        http: HttpSection {
            listen: node.http(),
        },
        clients: ClientsSection {
            listen: node.client().unwrap_or_else(|| node.http()),
            advertise: None,
            certificate: "server.pem".into(),
            key: "server.key".into(),
            idle_timeout_ms: None,
            keep_alive_ms: None,
            cut_off_ms: None,
        },
        tokens: VerifySection {
            verify_keys: vec!["../tokens.pem".into()],
        },
        limits: LimitsConfig::of_one_machine(),
        flannel: Default::default(),
        gossip: Default::default(),
        wan: wan_section(new),
        log: LogSection::default(),
    }
}

/// Writes `NAME.pem` for everybody and `NAME.key` for the owner.
fn write_pem(folder: &Path, name: &str, pem: &Pem) -> anyhow::Result<OperatorFiles> {
    let certificate: PathBuf = folder.join(format!("{name}.pem"));
    let key: PathBuf = folder.join(format!("{name}.key"));
    std::fs::write(&certificate, &pem.public)?;
    std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&key)?
        .write_all(pem.private.as_bytes())?;
    Ok(OperatorFiles { certificate, key })
}
