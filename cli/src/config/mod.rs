//! A node's configuration: a TOML file, then the environment, then flags.
//!
//! `CAUSEWAY_BACKBONE_LISTEN` and `--set backbone.listen=…` both stand for the
//! key `listen` in `[backbone]`. An unknown key is an error that names file,
//! line and key; a variable of an unknown section is none of ours. Values are
//! checked before anything starts.

mod checks;
mod layers;
mod sections;

use std::path::{Path, PathBuf};

use causeway_core_region::CoreConfig;
use causeway_core_region::faults::FaultFileError;
use causeway_edge::EdgeConfig;
use causeway_protocol::NameError;
use causeway_protocol::token::TokenError;
use causeway_transport::tls::{PeerIdentity, TlsError};
use causeway_transport::wan::WanFileError;
use thiserror::Error;

pub use checks::WrongValue;
use layers::ConfigFile;
pub use layers::Overrides;
pub use sections::{
    BackboneSection, ClientsSection, CoreFile, DiskSection, EdgeFile, FaultsSection,
    FoundingSection, GossipSection, HttpSection, LogFormat, LogSection, NodeSection, RaftSection,
    SurviveName, TokensSection, VerifySection, WanSection,
};

/// A configuration that cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not what it should be.
    #[error("{path}: {message}")]
    File {
        /// The file.
        path: PathBuf,
        /// Line, key, and what is wrong.
        message: String,
    },
    /// A variable or flag is not what it should be.
    #[error("{name}: {message}")]
    Override {
        /// The variable or flag.
        name: String,
        /// What is wrong.
        message: String,
    },
    /// A value that cannot be.
    #[error("{path}: {wrong}{}", set_by.as_ref().map(|by| format!(" ({by})")).unwrap_or_default())]
    Value {
        /// The file.
        path: PathBuf,
        /// Key, value, and what is allowed.
        wrong: Box<WrongValue>,
        /// The variable or flag that has set it.
        set_by: Option<String>,
    },
    /// The node's certificate is another node's.
    #[error("{path}: the certificate of {found}, but [node] says that this is {wanted}")]
    Identity {
        /// The certificate.
        path: PathBuf,
        /// Whose it is.
        found: PeerIdentity,
        /// Whose it must be.
        wanted: PeerIdentity,
    },
    /// The node's certificate is nobody's.
    #[error("{path}: the certificate names no node; it must name {wanted}")]
    NoIdentity {
        /// The certificate.
        path: PathBuf,
        /// Whose it must be.
        wanted: PeerIdentity,
    },
    /// A certificate, key or CA.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A key for tokens.
    #[error("{path}: {source}")]
    Token {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: TokenError,
    },
    /// The emulated network.
    #[error(transparent)]
    Wan(#[from] WanFileError),
    /// The injected faults.
    #[error(transparent)]
    Faults(#[from] FaultFileError),
    /// A name.
    #[error(transparent)]
    Name(#[from] NameError),
}

/// Everything a node needs to run.
#[derive(Debug)]
pub struct Loaded<T> {
    /// The node's own settings.
    pub config: T,
    /// How it logs.
    pub log: LogSection,
    /// The emulated network's file, when there is one.
    pub wan_file: Option<PathBuf>,
    /// Variables that look as if they were meant for a node and have no effect.
    pub ignored: Vec<String>,
}

/// Loads the configuration of a core node.
///
/// # Errors
/// [`ConfigError`], with file, line and key where there are such.
pub fn load_core(path: &Path, overrides: &Overrides) -> Result<Loaded<CoreConfig>, ConfigError> {
    let file: CoreFile = layers::load(path, overrides)?;
    Ok(Loaded {
        ignored: overrides.ignored(CoreFile::SECTIONS),
        ..file.resolve(base(path))?
    })
}

/// Loads the configuration of an edge node.
///
/// # Errors
/// [`ConfigError`], with file, line and key where there are such.
pub fn load_edge(path: &Path, overrides: &Overrides) -> Result<Loaded<EdgeConfig>, ConfigError> {
    let file: EdgeFile = layers::load(path, overrides)?;
    Ok(Loaded {
        ignored: overrides.ignored(EdgeFile::SECTIONS),
        ..file.resolve(base(path))?
    })
}

/// Relative paths in a file are relative to the file.
fn base(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}
