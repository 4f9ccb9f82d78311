//! Faults on purpose: of the disk, of the clock, and bugs that are planted to see
//! whether the chaos suite catches them. Off unless `[faults] file` is
//! configured, loud when on.
//!
//! The file is watched like the emulated network's: a change takes effect within
//! [`RELOAD_EVERY`].

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio_util::sync::CancellationToken;

/// How often the file is looked at.
pub const RELOAD_EVERY: Duration = Duration::from_millis(100);
/// The longest sync that may be asked for: ten minutes.
const SYNC_DELAY_MS_MAX: u64 = 600_000;
/// The clock may be off by a week at the most.
const CLOCK_OFFSET_MS_MAX: u64 = 7 * 24 * 3_600_000;

/// What is wrong with a node, on purpose.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FaultConfig {
    /// Each sync of the write-ahead log takes this much longer.
    pub sync_delay_ms: u64,
    /// No space is said to be left.
    pub disk_full: bool,
    /// The system's clock is ahead by so much, or behind.
    pub clock_offset_ms: i64,
    /// A bug that the chaos suite must catch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plant: Option<Plant>,
}

/// A planted bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Plant {
    /// Entries are reported durable before their sync.
    AckBeforeSync,
    /// A resend is stored again.
    SkipDedup,
}

/// The faults of this node; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Faults(Option<Arc<Injected>>);

#[derive(Debug)]
struct Injected {
    path: PathBuf,
    config: ArcSwap<FaultConfig>,
}

/// The file cannot be used.
#[derive(Debug, Error)]
pub enum FaultFileError {
    /// It cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is not what it should be.
    #[error("{path}: {message}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line, key and reason.
        message: String,
    },
}

impl Faults {
    /// Reads the faults from `path`, which must be there.
    ///
    /// # Errors
    /// [`FaultFileError`].
    pub fn load(path: &Path) -> Result<Self, FaultFileError> {
        Ok(Self(Some(Arc::new(Injected {
            path: path.into(),
            config: ArcSwap::from_pointee(read(path)?),
        }))))
    }

    /// What is wrong now; nothing, when nothing is configured.
    pub fn now(&self) -> FaultConfig {
        let injected = self.0.as_ref();
        injected.map_or_else(FaultConfig::default, |injected| **injected.config.load())
    }

    /// Whether faults can be injected at all.
    pub fn is_configured(&self) -> bool {
        self.0.is_some()
    }

    /// Whether this bug is planted.
    pub fn has(&self, plant: Plant) -> bool {
        self.now().plant == Some(plant)
    }

    /// Follows the file until `stop`. A file that turns bad is reported, and the
    /// faults stay as they were.
    pub async fn watch(self, stop: CancellationToken) {
        let Some(injected) = self.0 else {
            return;
        };
        injected.announce();
        let mut seen = modified(&injected.path);
        let mut ticks = tokio::time::interval(RELOAD_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let now = modified(&injected.path);
            if now == seen {
                continue;
            }
            seen = now;
            match read(&injected.path) {
                Ok(config) => {
                    injected.config.store(Arc::new(config));
                    injected.announce();
                }
                Err(error) => tracing::error!(%error, "the injected faults stay as they were"),
            }
        }
    }
}

impl Injected {
    fn announce(&self) {
        let config = self.config.load();
        let file = self.path.display();
        tracing::warn!(%file, ?config, "FAULTS ARE INJECTED INTO THIS NODE from this file");
        if let Some(plant) = config.plant {
            tracing::error!(
                ?plant,
                "A BUG IS PLANTED IN THIS NODE: it will lose or spoil data"
            );
        }
    }
}

/// Reads and checks a faults file.
///
/// # Errors
/// [`FaultFileError`], with the file's name.
pub fn read(path: &Path) -> Result<FaultConfig, FaultFileError> {
    let text = std::fs::read_to_string(path).map_err(|source| FaultFileError::Io {
        path: path.into(),
        source,
    })?;
    let wrong = |message: String| FaultFileError::Syntax {
        path: path.into(),
        message,
    };
    let config: FaultConfig = toml::from_str(&text).map_err(|e| wrong(e.to_string()))?;
    if config.sync_delay_ms > SYNC_DELAY_MS_MAX {
        return Err(wrong(format!(
            "sync_delay_ms = {}: up to {SYNC_DELAY_MS_MAX} is allowed",
            config.sync_delay_ms
        )));
    }
    if config.clock_offset_ms.unsigned_abs() > CLOCK_OFFSET_MS_MAX {
        return Err(wrong(format!(
            "clock_offset_ms = {}: up to {CLOCK_OFFSET_MS_MAX} either way is allowed",
            config.clock_offset_ms
        )));
    }
    Ok(config)
}

/// Writes a faults file in one step, so that no reader sees half of it.
///
/// # Errors
/// [`FaultFileError::Io`].
pub fn write(path: &Path, config: &FaultConfig) -> Result<(), FaultFileError> {
    let text = toml::to_string(config).expect("faults are plain data");
    let fresh = path.with_extension("toml.new");
    let written = std::fs::write(&fresh, text).and_then(|()| std::fs::rename(&fresh, path));
    written.map_err(|source| FaultFileError::Io {
        path: path.into(),
        source,
    })
}

fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path)
        .and_then(|meta| meta.modified())
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_wrong_unless_it_is_configured() {
        let faults = Faults::default();
        assert_eq!(faults.now(), FaultConfig::default());
        assert!(!faults.is_configured() && !faults.has(Plant::SkipDedup));
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("faults.toml");
        assert!(Faults::load(&path).is_err(), "there is no file");
        let config = FaultConfig {
            sync_delay_ms: 2_000,
            disk_full: true,
            clock_offset_ms: -3_600_000,
            plant: Some(Plant::AckBeforeSync),
        };
        for config in [FaultConfig::default(), config] {
            write(&path, &config).unwrap();
            assert_eq!(Faults::load(&path).unwrap().now(), config);
        }
    }

    #[test]
    fn absurd_and_unknown_values_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("faults.toml");
        for (text, told) in [
            ("sync_delay_ms = 600001", "sync_delay_ms = 600001"),
            ("clock_offset_ms = -604800001", "clock_offset_ms"),
            ("plant = \"moles\"", "moles"),
            ("disk_ful = true", "disk_ful"),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = Faults::load(&path).unwrap_err().to_string();
            assert!(error.contains(told), "`{told}` is missing in: {error}");
            assert!(error.contains("faults.toml"), "{error}");
        }
    }
}
