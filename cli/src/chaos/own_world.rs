//! A world of a run's own.

use std::path::PathBuf;

use tokio::task::spawn_blocking;

use super::progress::Progress;
use crate::world::World;
use crate::world::dev::{DevArgs, start_world};
use crate::world::processes::{Processes, end_strays, stop_strays};

/// A world for one run.
pub struct OwnWorld {
    world: World,
    processes: Processes,
    folder: tempfile::TempDir,
}

impl OwnWorld {
    /// Starts one.
    ///
    /// # Errors
    /// What kept it from starting.
    pub async fn start(progress: &Progress) -> anyhow::Result<Self> {
        progress.set_message("starting a world");
        let folder = tempfile::Builder::new()
            .prefix("causeway-chaos-")
            .tempdir()?;
        let path = folder.path().join("world");
        let (world, processes) = start_world(&path, &DevArgs::for_chaos()).await?;
        Ok(Self {
            world,
            processes,
            folder,
        })
    }

    /// Starts it again, with its files changed meanwhile.
    ///
    /// # Errors
    /// What kept it from starting.
    pub async fn start_with(
        self,
        change: impl FnOnce(&World) -> anyhow::Result<()>,
    ) -> anyhow::Result<Self> {
        self.processes.stop().await;
        change(&self.world)?;
        let (world, processes) = start_world(&self.world.data_dir, &DevArgs::for_chaos()).await?;
        Ok(Self {
            world,
            processes,
            folder: self.folder,
        })
    }

    /// Where it is described.
    pub fn file(&self) -> PathBuf {
        self.world.file()
    }

    /// Stops all of its processes, and removes its folder. If it is to be kept, for
    /// somebody to look at, its path is returned.
    pub async fn stop(self, keep: bool) -> Option<PathBuf> {
        // Nodes that were killed and started again are in the file alone.
        let world = World::load(Some(&self.world.file())).unwrap_or(self.world);
        stop_strays(&world.nodes);
        self.processes.stop().await;
        // They write into the folder as long as they run.
        let ended = spawn_blocking(move || end_strays(&world.nodes)).await;
        debug_assert!(ended.is_ok(), "ending processes panics");
        keep.then(|| self.folder.keep())
    }
}
