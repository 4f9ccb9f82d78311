//! Group commit: one thread syncs the write-ahead log for everybody who waits.
//! While one sync runs, the next group gathers.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use causeway_gossip::page;
use parking_lot::{Condvar, Mutex};
use prometheus_client::metrics::histogram::Histogram;
use tokio::sync::oneshot;

type Callback = Box<dyn FnOnce(io::Result<()>) + Send>;

/// Hands callbacks to the thread that syncs. The queue has no bound of its own:
/// those who write have at most a bounded number of writes under way.
pub struct Flusher(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    syncs: AtomicU64,
    times: Histogram,
}

#[derive(Default)]
struct State {
    waiting: Vec<Callback>,
    /// Since when the first of them has been waiting.
    waiting_since: Option<Instant>,
    /// The same of the group whose sync runs.
    syncing_since: Option<Instant>,
    closed: bool,
}

impl Flusher {
    /// Starts the thread; `sync` makes durable all that has been written.
    pub fn start(sync: impl Fn() -> io::Result<()> + Send + 'static) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            wake: Condvar::new(),
            syncs: AtomicU64::new(0),
            times: page::times(),
        });
        let thread = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("flusher".into())
            .spawn(move || thread.run(sync))
            .expect("the system has room for a thread");
        Self(shared)
    }

    /// Calls `done` once all that was written before this call is durable, or
    /// cannot be made so.
    pub fn after_sync(&self, done: impl FnOnce(io::Result<()>) + Send + 'static) {
        let mut state = self.0.state.lock();
        state.waiting.push(Box::new(done));
        state.waiting_since.get_or_insert_with(Instant::now);
        drop(state);
        self.0.wake.notify_one();
    }

    /// Waits until all that was written before this call is durable.
    ///
    /// # Errors
    /// The disk's error: what was written may be lost.
    pub async fn synced(&self) -> io::Result<()> {
        let (done, waiting) = oneshot::channel();
        self.after_sync(move |result| {
            // The waiter may have given up.
            let _ = done.send(result);
        });
        waiting
            .await
            .unwrap_or_else(|_| Err(io::Error::other("the store is closed")))
    }

    /// How long the oldest write has been waiting for its sync; `None` when none
    /// waits.
    pub fn oldest_wait(&self, now: Instant) -> Option<Duration> {
        let state = self.0.state.lock();
        let since = state.syncing_since.or(state.waiting_since)?;
        Some(now.saturating_duration_since(since))
    }

    /// How many syncs there have been.
    pub fn syncs(&self) -> u64 {
        self.0.syncs.load(Ordering::Relaxed)
    }

    /// How long they took.
    pub fn times(&self) -> Histogram {
        self.0.times.clone()
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        self.0.state.lock().closed = true;
        self.0.wake.notify_one();
    }
}

impl Shared {
    fn run(&self, sync: impl Fn() -> io::Result<()>) {
        while let Some(group) = self.next_group() {
            let began = Instant::now();
            let result = sync();
            self.times.observe(began.elapsed().as_secs_f64());
            self.syncs.fetch_add(1, Ordering::Relaxed);
            self.state.lock().syncing_since = None;
            for done in group {
                done(match &result {
                    Ok(()) => Ok(()),
                    Err(e) => Err(io::Error::new(e.kind(), e.to_string())),
                });
            }
        }
    }

    fn next_group(&self) -> Option<Vec<Callback>> {
        let mut state = self.state.lock();
        loop {
            if !state.waiting.is_empty() {
                state.syncing_since = state.waiting_since.take();
                return Some(std::mem::take(&mut state.waiting));
            }
            if state.closed {
                return None;
            }
            self.wake.wait(&mut state);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn those_who_wait_together_share_one_sync() {
        let (entered, enter) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let flusher = Flusher::start(move || {
            entered.send(()).unwrap();
            released.recv().map_err(io::Error::other)
        });
        let (done, results) = mpsc::channel();
        let wait = || {
            let done = done.clone();
            flusher.after_sync(move |result| done.send(result.is_ok()).unwrap());
        };
        wait();
        enter.recv().unwrap();
        let later = Instant::now() + Duration::from_secs(9);
        assert!(flusher.oldest_wait(later) >= Some(Duration::from_secs(9)));
        // The first sync runs: these gather for the second.
        (0..10).for_each(|_| wait());
        release.send(()).unwrap();
        assert!(results.recv().unwrap());
        enter.recv().unwrap();
        release.send(()).unwrap();
        assert!((0..10).all(|_| results.recv().unwrap()));
        assert_eq!(flusher.syncs(), 2);
    }

    #[tokio::test]
    async fn a_disk_error_reaches_everybody_who_waits() {
        let flusher = Flusher::start(|| Err(io::Error::from(io::ErrorKind::StorageFull)));
        let error = flusher.synced().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}
