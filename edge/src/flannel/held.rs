//! One workspace that is held here: what is kept of it, and what is being read.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway_protocol::{ApiError, CellId, UserId, WorkspaceId};
use futures::future::{BoxFuture, Shared};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::boot::{self, Booted, Lacking};
use super::cache::{Cache, Part};
use super::gather::Gather;
use super::shelf::{Demand, Shelf};
use crate::feeds::Share;

/// Without a word from the feed's replica for so long, the PoP is out of touch.
const OUT_OF_TOUCH: Duration = Duration::from_secs(2);

/// A reading that several wait for.
pub type Flight = Shared<BoxFuture<'static, Result<(), ApiError>>>;

/// Why a user's own data could not be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// The user may not.
    Refused(ApiError),
    /// Who asks knows more than the replica.
    Behind,
    /// They could not be read.
    Unread(ApiError),
}

/// Who waits for a user's own data.
pub type Waiter = oneshot::Sender<Result<Box<Shelf>, Why>>;

/// The workspace.
pub struct Held {
    /// Which.
    pub workspace: WorkspaceId,
    /// Its cell.
    pub cell: CellId,
    /// What is told of its metadata.
    pub share: Share,
    /// What is kept.
    pub cache: Mutex<Cache>,
    /// What is being read.
    pub flights: Mutex<HashMap<Part, Flight>>,
    /// Whose own data are wanted.
    pub gather: Mutex<Gather<Waiter>>,
    /// Whether members are about to be counted again.
    pub counting: AtomicBool,
    /// Whether its topic is followed.
    pub followed: AtomicBool,
    /// Ends the following.
    pub stop: CancellationToken,
    position: AtomicU64,
    used_at: Mutex<Instant>,
}

impl Held {
    /// Nothing is kept yet.
    pub fn new(workspace: WorkspaceId, cell: CellId, share: Share) -> Self {
        Self {
            workspace,
            cell,
            share,
            cache: Mutex::default(),
            flights: Mutex::default(),
            gather: Mutex::default(),
            counting: AtomicBool::new(false),
            followed: AtomicBool::new(false),
            stop: CancellationToken::new(),
            position: AtomicU64::new(0),
            used_at: Mutex::new(Instant::now()),
        }
    }

    /// It is used at `now`.
    pub fn used(&self, now: Instant) {
        *self.used_at.lock() = now;
    }

    /// For how long it has not been used.
    pub fn unused_for(&self, now: Instant) -> Duration {
        now.saturating_duration_since(*self.used_at.lock())
    }

    /// What is kept is as of this position of the log, or later.
    pub fn reached(&self, position: u64) {
        self.position.fetch_max(position, Ordering::Relaxed);
    }

    /// See [`reached`](Self::reached).
    pub fn position(&self) -> u64 {
        self.position.load(Ordering::Relaxed)
    }

    /// Whether what changes is heard of.
    pub fn is_in_touch(&self, now: Instant) -> bool {
        let silence = self.share.recent.lock().silence(now);
        silence.is_some_and(|silence| silence < OUT_OF_TOUCH)
    }

    /// How old an answer is that was made from what is kept, in milliseconds.
    pub fn age_ms(&self, now: Instant) -> u32 {
        match self.share.recent.lock().silence(now) {
            Some(silence) if silence < OUT_OF_TOUCH => 0,
            Some(silence) => u32::try_from(silence.as_millis()).unwrap_or(u32::MAX),
            None => u32::MAX,
        }
    }

    /// Does something with what is kept, as it is now.
    pub fn look<T>(&self, look: impl FnOnce(&mut Cache) -> T) -> T {
        let mut cache = self.cache.lock();
        cache.catch_up(&self.share.recent.lock());
        look(&mut cache)
    }

    /// A user's shelf, if it is good enough for one who knows this much.
    pub fn good_shelf(&self, user: UserId, demand: &Demand, now: Instant) -> Option<Box<Shelf>> {
        self.look(|cache| {
            let shelf = cache.shelf(user)?;
            let good = shelf.is_fresh(now) && self.satisfies(shelf, demand);
            good.then(|| Box::new(shelf.clone()))
        })
    }

    /// Boot data from a user's shelf, if it is good enough for one who knows this much and
    /// all that is needed beside it is here.
    pub fn good_boot(&self, user: UserId, demand: &Demand, now: Instant) -> Option<Booted> {
        let in_touch = self.is_in_touch(now);
        self.look(|cache| {
            let shelf = cache.shelf(user)?;
            let good = shelf.is_fresh(now) && self.satisfies(shelf, demand);
            let booted = good.then(|| boot::boot(cache, shelf, false))?.ok()?;
            Some(booted.aged(shelf, in_touch, now))
        })
    }

    /// Whether somebody who knows this much may boot from a shelf.
    pub fn satisfies(&self, shelf: &Shelf, demand: &Demand) -> bool {
        shelf.satisfies(demand, |version| self.has_told(version))
    }

    fn has_told(&self, version: &Bytes) -> bool {
        self.share.recent.lock().step_of(version).is_some()
    }

    /// Boot data from a shelf; see [`boot::boot`].
    ///
    /// # Errors
    /// [`Lacking`].
    pub fn boot(&self, shelf: &Shelf, known_only: bool, now: Instant) -> Result<Booted, Lacking> {
        let in_touch = self.is_in_touch(now);
        let booted = self.look(|cache| boot::boot(cache, shelf, known_only))?;
        Ok(booted.aged(shelf, in_touch, now))
    }
}
