//! A thread for clients that are watched while others storm: they share none with the
//! storm, or its handshakes would be taken for their latency.

use std::future::Future;
use std::{io, thread};

use tokio::runtime::{Builder, Handle};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

/// The thread; it ends when this is dropped.
pub struct Aside {
    handle: Handle,
    _stop: DropGuard,
}

impl Aside {
    /// Starts it.
    ///
    /// # Errors
    /// The system's.
    pub fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        thread::Builder::new()
            .name("aside".into())
            .spawn(move || runtime.block_on(stopped))?;
        Ok(Self {
            handle,
            _stop: stop.drop_guard(),
        })
    }

    /// Waits for what spawns tasks, which run there.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        tokio::task::block_in_place(|| self.handle.block_on(future))
    }

    /// Runs a task there.
    pub fn spawn<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.handle.spawn(future)
    }
}
