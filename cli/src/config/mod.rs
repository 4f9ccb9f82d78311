//! A node's configuration: a TOML file, then the environment, then flags.
//!
//! `CAUSEWAY_BACKBONE_LISTEN` and `--set backbone.listen=…` both stand for the
//! key `listen` in `[backbone]`. An unknown key is an error that names file,
//! line and key.

mod layers;
mod sections;

use std::path::{Path, PathBuf};

use causeway_core_region::CoreConfig;
use causeway_edge::EdgeConfig;
use causeway_protocol::NameError;
use causeway_protocol::token::TokenError;
use causeway_transport::tls::TlsError;
use causeway_transport::wan::WanFileError;
use thiserror::Error;

pub use layers::Overrides;
pub use sections::{
    BackboneSection, ClientsSection, CoreFile, EdgeFile, FoundingSection, GossipSection,
    HttpSection, LogFormat, LogSection, NodeSection, RaftSection, SurviveName, TokensSection,
    VerifySection, WanSection,
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
}

/// Loads the configuration of a core node.
///
/// # Errors
/// [`ConfigError`], with file, line and key where there are such.
pub fn load_core(path: &Path, overrides: &Overrides) -> Result<Loaded<CoreConfig>, ConfigError> {
    let file: CoreFile = layers::load(path, overrides)?;
    file.resolve(base(path))
}

/// Loads the configuration of an edge node.
///
/// # Errors
/// [`ConfigError`], with file, line and key where there are such.
pub fn load_edge(path: &Path, overrides: &Overrides) -> Result<Loaded<EdgeConfig>, ConfigError> {
    let file: EdgeFile = layers::load(path, overrides)?;
    file.resolve(base(path))
}

/// Relative paths in a file are relative to the file.
fn base(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}
