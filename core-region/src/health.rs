//! Why a node should not lead cells, and whether its disk is a reason: a pure
//! decision over the state of the disk. A node that should not keeps its replicas,
//! follows, and is read from.

use std::time::{Duration, Instant};

use causeway_protocol::backbone;

use crate::store::Space;

/// After each relapse the disk must be well for twice as long, up to this.
const CALM_MAX: Duration = Duration::from_secs(600);

/// Why a node should not lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// Free space is below the reserve.
    DiskFull,
    /// Writes wait too long for their sync.
    DiskStalled,
    /// It is about to end.
    Stopping,
}

impl Unfit {
    /// As told to other nodes.
    pub fn to_wire(unfit: Option<Self>) -> backbone::Unfit {
        match unfit {
            None => backbone::Unfit::Unspecified,
            Some(Self::DiskFull) => backbone::Unfit::DiskFull,
            Some(Self::DiskStalled) => backbone::Unfit::DiskStalled,
            Some(Self::Stopping) => backbone::Unfit::Stopping,
        }
    }

    /// As told by other nodes.
    pub fn from_wire(unfit: backbone::Unfit) -> Option<Self> {
        match unfit {
            backbone::Unfit::Unspecified => None,
            backbone::Unfit::DiskFull => Some(Self::DiskFull),
            backbone::Unfit::DiskStalled => Some(Self::DiskStalled),
            backbone::Unfit::Stopping => Some(Self::Stopping),
        }
    }
}

/// What is expected of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskLimits {
    /// Bytes of the file system that are to stay free.
    pub reserve_bytes: u64,
    /// A write that has waited so long for its sync has met a stall.
    pub stall: Duration,
    /// After a stall, all writes must be synced in half that time for so long.
    pub calm: Duration,
}

impl Default for DiskLimits {
    fn default() -> Self {
        Self {
            reserve_bytes: 512 * 1024 * 1024,
            stall: Duration::from_millis(1_000),
            calm: Duration::from_secs(10),
        }
    }
}

/// The state of the disk over time.
#[derive(Debug)]
pub struct Health {
    limits: DiskLimits,
    stall: Option<Stall>,
    /// How long it must be well after the next stall.
    next_calm: Duration,
    /// When the last stall was over.
    recovered: Option<Instant>,
    stalls: u64,
}

/// A stall that is not over.
#[derive(Debug)]
struct Stall {
    /// Since when all writes have been synced soon.
    well_since: Option<Instant>,
    /// For how long they must be.
    calm: Duration,
}

impl Health {
    /// Of a disk of which nothing is known.
    pub fn new(limits: DiskLimits) -> Self {
        Self {
            limits,
            stall: None,
            next_calm: limits.calm,
            recovered: None,
            stalls: 0,
        }
    }

    /// Takes in how long the oldest write has been waiting, and how much room
    /// there is.
    pub fn look(&mut self, oldest: Option<Duration>, space: Space, now: Instant) -> Option<Unfit> {
        self.look_at_syncs(oldest.unwrap_or_default(), now);
        match (space, &self.stall) {
            (Space::Scarce | Space::Out, _) => Some(Unfit::DiskFull),
            (Space::Enough, Some(_)) => Some(Unfit::DiskStalled),
            (Space::Enough, None) => None,
        }
    }

    /// Stalls so far.
    pub fn stalls(&self) -> u64 {
        self.stalls
    }

    fn look_at_syncs(&mut self, oldest: Duration, now: Instant) {
        match &mut self.stall {
            None if oldest >= self.limits.stall => self.begin(now),
            None => {}
            Some(stall) if oldest >= self.limits.stall / 2 => stall.well_since = None,
            Some(stall) => {
                let since = *stall.well_since.get_or_insert(now);
                if now.duration_since(since) >= stall.calm {
                    self.stall = None;
                    self.recovered = Some(now);
                }
            }
        }
    }

    fn begin(&mut self, now: Instant) {
        let forgotten = |at: Instant| now.duration_since(at) >= 2 * CALM_MAX;
        if self.recovered.is_none_or(forgotten) {
            self.next_calm = self.limits.calm;
        }
        self.stall = Some(Stall {
            well_since: None,
            calm: self.next_calm,
        });
        self.next_calm = (2 * self.next_calm).min(CALM_MAX.max(self.limits.calm));
        self.stalls += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk that is looked at every 100 ms.
    struct Disk {
        health: Health,
        now: Instant,
    }

    impl Disk {
        fn new() -> Self {
            Self {
                health: Health::new(DiskLimits::default()),
                now: Instant::now(),
            }
        }

        /// Writes wait so long, for so long; what is thought of the disk then.
        fn waits(&mut self, wait_ms: u64, for_ms: u64) -> Option<Unfit> {
            let mut unfit = None;
            for _ in 0..for_ms / 100 {
                self.now += Duration::from_millis(100);
                let wait = Duration::from_millis(wait_ms);
                unfit = self.health.look(Some(wait), Space::Enough, self.now);
            }
            unfit
        }
    }

    #[test]
    fn a_disk_that_is_slow_now_and_then_is_well() {
        let mut disk = Disk::new();
        for wait_ms in [0, 5, 900, 999, 20] {
            assert_eq!(disk.waits(wait_ms, 1_000), None);
        }
        assert_eq!(disk.health.stalls(), 0);
    }

    #[test]
    fn a_stall_ends_leading_and_calm_begins_it_again() {
        let mut disk = Disk::new();
        assert_eq!(disk.waits(1_000, 100), Some(Unfit::DiskStalled));
        assert_eq!(disk.waits(10, 10_000), Some(Unfit::DiskStalled));
        assert_eq!(disk.waits(10, 100), None);
        assert_eq!(disk.health.stalls(), 1);
    }

    #[test]
    fn a_slow_sync_starts_the_calm_anew() {
        let mut disk = Disk::new();
        disk.waits(3_000, 100);
        for _ in 0..5 {
            assert_eq!(disk.waits(10, 9_000), Some(Unfit::DiskStalled));
            assert_eq!(disk.waits(600, 100), Some(Unfit::DiskStalled));
        }
        assert_eq!(disk.waits(10, 10_100), None);
    }

    #[test]
    fn each_relapse_takes_twice_the_calm_and_a_long_peace_forgives() {
        let mut disk = Disk::new();
        for calm_ms in [10_000, 20_000, 40_000] {
            disk.waits(2_000, 100);
            assert_eq!(disk.waits(0, calm_ms), Some(Unfit::DiskStalled));
            assert_eq!(disk.waits(0, 100), None);
        }
        disk.waits(0, 2_000_000);
        disk.waits(2_000, 100);
        assert_eq!(disk.waits(0, 10_100), None);
    }

    #[test]
    fn a_full_disk_is_full_while_it_is() {
        let mut disk = Disk::new();
        let now = disk.now;
        for space in [Space::Scarce, Space::Out] {
            let unfit = disk.health.look(None, space, now);
            assert_eq!(unfit, Some(Unfit::DiskFull));
        }
        assert_eq!(disk.health.look(None, Space::Enough, now), None);
    }

    #[test]
    fn the_wire_form_round_trips() {
        use Unfit::{DiskFull, DiskStalled, Stopping};
        for unfit in [None, Some(DiskFull), Some(DiskStalled), Some(Stopping)] {
            assert_eq!(Unfit::from_wire(Unfit::to_wire(unfit)), unfit);
        }
    }
}
