//! Emulated distances: delay, jitter, loss, reordering and one-way cuts between
//! places, below QUIC, at the UDP socket. Off unless configured, loud when on.
//!
//! A place is a network of addresses, so every process of a world on one
//! machine knows where a datagram comes from and where it goes. The network is
//! a file, `wan.toml`, that all of them watch: a change takes effect in each
//! within [`RELOAD_EVERY`], needs no root, and reaches nodes that a cut hides.

mod model;
mod place;
mod socket;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use thiserror::Error;
use tokio_util::sync::CancellationToken;

pub use model::{Fate, LinkConfig, Sender, WanConfig, WanError, WanModel};
pub use place::{Network, Place};
pub use socket::WanSocket;

/// How often the file is looked at.
pub const RELOAD_EVERY: Duration = Duration::from_millis(100);

/// The emulated network of this process; clones share it.
#[derive(Debug, Clone)]
pub struct Wan(Arc<ArcSwap<WanModel>>);

/// `wan.toml` cannot be used.
#[derive(Debug, Error)]
pub enum WanFileError {
    /// It cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is not what it should be; the text has line and key.
    #[error("{path}: {message}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line, key and reason.
        message: String,
    },
    /// It describes a network that cannot be.
    #[error("{path}: {source}")]
    Network {
        /// The file.
        path: PathBuf,
        /// Which value.
        source: WanError,
    },
}

impl Wan {
    /// A network that does not change by itself.
    pub fn new(model: WanModel) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(model)))
    }

    /// Reads the network from `path`.
    ///
    /// # Errors
    /// [`WanFileError`] names the file and, where it can, line and key.
    pub fn load(path: &Path) -> Result<Self, WanFileError> {
        Ok(Self::new(read(path)?))
    }

    /// The network as it is now.
    pub fn model(&self) -> arc_swap::Guard<Arc<WanModel>> {
        self.0.load()
    }

    /// Follows the file until `stop`. A file that turns bad is reported, and the
    /// network stays as it was.
    pub async fn watch(self, path: PathBuf, stop: CancellationToken) {
        let mut seen = modified(&path);
        let mut ticks = tokio::time::interval(RELOAD_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let now = modified(&path);
            if now == seen {
                continue;
            }
            seen = now;
            match read(&path) {
                Ok(model) => {
                    tracing::warn!(path = %path.display(), "the emulated network has changed");
                    self.0.store(Arc::new(model));
                }
                Err(error) => tracing::error!(%error, "the emulated network stays as it was"),
            }
        }
    }
}

/// Reads and checks a `wan.toml`.
///
/// # Errors
/// [`WanFileError`], with the file's name.
pub fn read(path: &Path) -> Result<WanModel, WanFileError> {
    let text = std::fs::read_to_string(path).map_err(|source| WanFileError::Io {
        path: path.into(),
        source,
    })?;
    let config = toml::from_str(&text).map_err(|e| WanFileError::Syntax {
        path: path.into(),
        message: e.to_string(),
    })?;
    WanModel::new(config).map_err(|source| WanFileError::Network {
        path: path.into(),
        source,
    })
}

/// Writes a `wan.toml` in one step, so that no reader sees half of it.
///
/// # Errors
/// [`WanFileError::Network`] when the network cannot be (nothing is written),
/// [`WanFileError::Io`] when the file cannot be written.
pub fn write(path: &Path, config: &WanConfig) -> Result<(), WanFileError> {
    WanModel::new(config.clone()).map_err(|source| WanFileError::Network {
        path: path.into(),
        source,
    })?;
    let text = toml::to_string(config).expect("a network is plain data");
    let fresh = path.with_extension("toml.new");
    let written = std::fs::write(&fresh, text).and_then(|()| std::fs::rename(&fresh, path));
    written.map_err(|source| WanFileError::Io {
        path: path.into(),
        source,
    })
}

fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path)
        .and_then(|meta| meta.modified())
        .ok()
}
