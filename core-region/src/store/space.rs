//! How much room the disk has: a pure decision, and the wait of those who would
//! fill what is left.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::statvfs::statvfs;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Leaderships are given away within this.
const HANDOVER: Duration = Duration::from_secs(1);

/// How much room there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Space {
    /// More than the reserve.
    #[default]
    Enough,
    /// The reserve is touched: no new writes of clients. Replication goes on.
    Scarce,
    /// A quarter of the reserve is left, for votes, for what is in the log
    /// already, and for RocksDB's own housekeeping: the log grows no further.
    Out,
}

/// Space over time.
#[derive(Debug)]
pub struct SpaceGauge {
    reserve: u64,
    space: Space,
    /// Since when it has not been enough.
    short_since: Option<Instant>,
}

impl SpaceGauge {
    /// Of a file system of which `reserve` bytes are to stay free.
    pub fn new(reserve: u64) -> Self {
        Self {
            reserve,
            space: Space::Enough,
            short_since: None,
        }
    }

    /// What it is with `free` bytes at `now`. What has become scarce must recover
    /// by a quarter more, so that a few bytes decide nothing again and again. Room
    /// is not out at once, so that leaderships can be given away before.
    pub fn look(&mut self, free: u64, now: Instant) -> Space {
        let quarter = self.reserve / 4;
        let (scarce, out) = match self.space {
            Space::Enough => (self.reserve, quarter),
            Space::Scarce => (self.reserve + quarter, quarter),
            Space::Out => (self.reserve + quarter, 2 * quarter),
        };
        if free >= scarce {
            self.short_since = None;
            self.space = Space::Enough;
            return self.space;
        }
        let since = *self.short_since.get_or_insert(now);
        let has_passed = now.duration_since(since) >= HANDOVER;
        self.space = match free < out && has_passed {
            true => Space::Out,
            false => Space::Scarce,
        };
        self.space
    }
}

/// Bytes of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// Those that this process may still use.
    pub free: u64,
    /// All.
    pub total: u64,
}

impl Capacity {
    /// That of the file system with `path`.
    ///
    /// # Errors
    /// The system's.
    pub fn of(path: &Path) -> io::Result<Self> {
        let stat = statvfs(path)?;
        let unit = stat.fragment_size();
        Ok(Self {
            free: unit.saturating_mul(stat.blocks_available()),
            total: unit.saturating_mul(stat.blocks()),
        })
    }
}

/// Where those wait who would make the log longer while there is no room.
#[derive(Debug, Default)]
pub struct Room {
    space: watch::Sender<Space>,
    closed: CancellationToken,
}

impl Room {
    /// How much there is.
    pub fn space(&self) -> Space {
        *self.space.borrow()
    }

    /// Takes in how much there is.
    pub fn set(&self, space: Space) {
        self.space.send_if_modified(|known| {
            let changed = *known != space;
            *known = space;
            changed
        });
    }

    /// Waits until the log may grow. This has no timeout: a replica that cannot
    /// write stands still, and goes on when somebody has made room.
    ///
    /// # Errors
    /// When the store closes meanwhile.
    pub async fn to_grow(&self) -> io::Result<()> {
        if self.space() != Space::Out {
            return Ok(());
        }
        let mut space = self.space.subscribe();
        let room = space.wait_for(|space| *space != Space::Out);
        match self.closed.run_until_cancelled(room).await {
            Some(Ok(_)) => Ok(()),
            Some(Err(_)) | None => Err(io::Error::from(io::ErrorKind::StorageFull)),
        }
    }

    /// Sends those away who wait: the node stops.
    pub fn close(&self) {
        self.closed.cancel();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    const RESERVE: u64 = 400;

    /// After looks that are a second apart.
    fn after(frees: &[u64]) -> Space {
        let start = Instant::now();
        let mut gauge = SpaceGauge::new(RESERVE);
        let looks = frees.iter().zip(0..);
        let spaces = looks.map(|(free, s)| gauge.look(*free, start + Duration::from_secs(s)));
        spaces.last().unwrap()
    }

    #[test]
    fn room_becomes_scarce_and_then_is_out() {
        assert_eq!(after(&[400]), Space::Enough);
        assert_eq!(after(&[399]), Space::Scarce);
        assert_eq!(after(&[399, 100]), Space::Scarce);
        assert_eq!(after(&[399, 99]), Space::Out);
    }

    #[test]
    fn there_is_time_to_hand_over_before_it_is_out() {
        assert_eq!(after(&[0]), Space::Scarce);
        assert_eq!(after(&[0, 0]), Space::Out);
    }

    #[test]
    fn a_few_bytes_more_do_not_end_it() {
        assert_eq!(after(&[399, 499]), Space::Scarce);
        assert_eq!(after(&[399, 500]), Space::Enough);
        assert_eq!(after(&[0, 0, 199]), Space::Out);
        assert_eq!(after(&[0, 0, 200]), Space::Scarce);
        assert_eq!(after(&[0, 0, 500]), Space::Enough);
    }

    #[test]
    fn a_file_system_has_a_capacity() {
        let capacity = Capacity::of(Path::new("/")).unwrap();
        assert!(capacity.total > 0 && capacity.free <= capacity.total);
    }

    #[tokio::test]
    async fn who_would_grow_the_log_waits_for_room() {
        let room = Room::default();
        room.to_grow().await.unwrap();
        room.set(Space::Out);
        let mut waiting = Box::pin(room.to_grow());
        assert!(waiting.as_mut().now_or_never().is_none());
        room.set(Space::Scarce);
        waiting.await.unwrap();
        room.set(Space::Out);
        room.close();
        assert!(room.to_grow().await.is_err());
    }
}
