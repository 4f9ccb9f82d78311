//! A world on one machine, and the file that describes it to every other tool.

pub mod atlas;
mod demo;
pub mod dev;
mod files;
mod layout;
pub mod probe;
pub mod processes;
pub mod stat;
mod targets;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use causeway_client::Pop;
use causeway_protocol::Name;
use causeway_transport::tls::{Credentials, Roots};
use causeway_transport::wan::Wan;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

pub use demo::{WorldChannel, WorldUser, WorldWorkspace};

/// `world.json`: everything that is needed to talk to a world.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct World {
    /// The folder that holds all of it.
    pub data_dir: PathBuf,
    /// The certificate authority (PEM).
    pub ca: PathBuf,
    /// The operator's certificate and key (PEM).
    pub operator: OperatorFiles,
    /// The emulated network, when there is one.
    pub wan: Option<PathBuf>,
    /// Its regions.
    pub regions: Vec<Name>,
    /// Its PoPs.
    pub pops: Vec<Name>,
    /// Its nodes.
    pub nodes: Vec<WorldNode>,
    /// Workspaces to play with.
    pub workspaces: Vec<WorldWorkspace>,
}

/// What entitles to operate a world.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OperatorFiles {
    /// PEM.
    pub certificate: PathBuf,
    /// PEM.
    pub key: PathBuf,
}

/// What a node does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeRole {
    /// Holds cells.
    Core,
    /// Terminates clients.
    Edge,
}

/// One process of a world.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WorldNode {
    /// Its name.
    pub name: Name,
    /// What it does.
    pub role: NodeRole,
    /// Its region or PoP.
    pub place: Name,
    /// Its failure domain.
    pub zone: Name,
    /// Its process, as of the start of the world.
    pub pid: u32,
    /// Its backbone address.
    pub backbone: SocketAddr,
    /// Where clients reach it over QUIC.
    pub client: Option<SocketAddr>,
    /// Its HTTP address: HTTPS at an edge node.
    pub http: SocketAddr,
    /// Its data.
    pub data_dir: PathBuf,
    /// Its configuration.
    pub config: PathBuf,
    /// Its log.
    pub log: PathBuf,
    /// Where faults can be injected, if they can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub faults: Option<PathBuf>,
    /// What starts it.
    pub command: Vec<String>,
}

/// Where tools find the world that was started last.
pub fn default_file() -> PathBuf {
    let user = nix::unistd::getuid();
    std::env::temp_dir()
        .join(format!("causeway-{user}"))
        .join("world.json")
}

impl World {
    /// Reads a world's file; `None` = `$CAUSEWAY_WORLD`, or the world that was
    /// started last.
    ///
    /// # Errors
    /// With a hint when there is no world.
    pub fn load(file: Option<&Path>) -> anyhow::Result<Self> {
        let from_env = std::env::var_os("CAUSEWAY_WORLD").map(PathBuf::from);
        let path = file.map(Path::to_owned).or(from_env);
        let path = path.unwrap_or_else(default_file);
        let text = std::fs::read_to_string(&path).with_context(|| {
            let path = path.display();
            format!("{path}: no world; start one with `./x dev`, or name one with --world FILE")
        })?;
        serde_json::from_str(&text).with_context(|| format!("{} is no world", path.display()))
    }

    /// Where it is described.
    pub fn file(&self) -> PathBuf {
        self.data_dir.join("world.json")
    }

    /// Writes the file in one step.
    ///
    /// # Errors
    /// The system's.
    pub fn save(&self) -> anyhow::Result<PathBuf> {
        let path = self.file();
        let fresh = path.with_extension("json.new");
        std::fs::write(&fresh, serde_json::to_string_pretty(self)?)
            .and_then(|()| std::fs::rename(&fresh, &path))
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }

    /// Who certifies its nodes.
    ///
    /// # Errors
    /// When the file is not there.
    pub fn roots(&self) -> anyhow::Result<Roots> {
        Ok(Roots::load(&self.ca)?)
    }

    /// The operator's credentials.
    ///
    /// # Errors
    /// When the files are not there.
    pub fn operator_credentials(&self) -> anyhow::Result<Credentials> {
        let files = &self.operator;
        Ok(Credentials::load(&files.certificate, &files.key)?)
    }

    /// Its emulated network, as it is now.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub fn wan(&self) -> anyhow::Result<Option<Wan>> {
        Ok(self.wan.as_deref().map(Wan::load).transpose()?)
    }

    /// The same, following the file's changes until `stop`.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub fn follow_wan(&self, stop: &CancellationToken) -> anyhow::Result<Option<Wan>> {
        let wan = self.wan()?;
        if let (Some(wan), Some(file)) = (&wan, &self.wan) {
            tokio::spawn(wan.clone().watch(file.clone(), stop.clone()));
        }
        Ok(wan)
    }

    /// Its core nodes.
    pub fn cores(&self) -> impl Iterator<Item = &WorldNode> {
        self.nodes.iter().filter(|n| n.role == NodeRole::Core)
    }

    /// Its edge nodes.
    pub fn edges(&self) -> impl Iterator<Item = &WorldNode> {
        self.nodes.iter().filter(|n| n.role == NodeRole::Edge)
    }

    /// Its PoPs, as offered to clients.
    pub fn offered_pops(&self) -> Vec<Pop> {
        let pop = |node: &WorldNode| {
            let address = node.client?;
            Some(Pop {
                name: node.place.clone(),
                address,
                https: Some(node.http),
                server_name: address.ip().to_string(),
            })
        };
        self.nodes.iter().filter_map(pop).collect()
    }

    /// A node by its name.
    ///
    /// # Errors
    /// When there is none.
    pub fn node(&self, name: &str) -> anyhow::Result<&WorldNode> {
        let found = self.nodes.iter().find(|n| n.name.as_str() == name);
        found.with_context(|| self.has_no_node(name))
    }

    /// A node by its name, to be changed.
    ///
    /// # Errors
    /// When there is none.
    pub fn node_mut(&mut self, name: &str) -> anyhow::Result<&mut WorldNode> {
        let nodes = &self.nodes;
        let at = nodes.iter().position(|n| n.name.as_str() == name);
        let at = at.with_context(|| self.has_no_node(name))?;
        Ok(&mut self.nodes[at])
    }

    fn has_no_node(&self, name: &str) -> String {
        let names: Vec<&str> = self.nodes.iter().map(|node| node.name.as_str()).collect();
        format!(
            "the world has no node `{name}`; there are {}",
            names.join(", ")
        )
    }

    /// An address for a client that stands at `place`: on the emulated network
    /// inside the place, otherwise wherever the system likes.
    ///
    /// # Errors
    /// When there is no such place.
    pub fn client_address(&self, place: &Name) -> anyhow::Result<SocketAddr> {
        if self.wan.is_none() {
            return Ok(([127, 0, 0, 1], 0).into());
        }
        let Some(node) = self.nodes.iter().find(|n| n.place == *place) else {
            let known: Vec<_> = self.regions.iter().chain(&self.pops).collect();
            bail!("the world has no place `{place}`; it has {known:?}");
        };
        let IpAddr::V4(ip) = node.backbone.ip() else {
            bail!("`{place}` has no IPv4 network");
        };
        let [a, b, c, _] = ip.octets();
        Ok(([a, b, c, layout::CLIENT_HOST], 0).into())
    }
}
