//! The scenarios, and what a schedule of faults says.

mod planner;

use std::time::Duration;

use causeway_core_region::faults::FaultConfig;
use causeway_protocol::Name;

use crate::drain::What;

pub use planner::plan;

/// What the run starts with, undisturbed, where it is long enough.
const CALM: Duration = Duration::from_secs(8);

/// A named schedule of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// Nothing happens.
    None,
    /// One core node is killed.
    KillNode,
    /// One core node hangs: it is there, and answers nobody.
    FreezeNode,
    /// All core nodes of a region are killed, and started again.
    KillRegion,
    /// They stay dead.
    KillRegionForever,
    /// A region is cut off from everybody.
    PartitionRegion,
    /// A region hears nobody, or is heard by nobody.
    PartitionOneWay,
    /// Regions cannot talk to one another; PoPs can to all.
    PartitionSplit,
    /// A region is cut off and healed, again and again.
    Flap,
    /// The edge nodes of a PoP are killed.
    KillPop,
    /// A region is drained, and opened again.
    DrainRegion,
    /// A PoP is drained, and opened again.
    DrainPop,
    /// Every node is stopped and started, one after another.
    RollingRestart,
    /// Syncs of one core node take seconds.
    DiskStall,
    /// The disk of one core node is full.
    DiskFull,
    /// The clock of one core node jumps by an hour.
    ClockJump,
    /// All clients of a PoP return at once, again and again.
    Storm,
    /// All core nodes die at once, while their disks hang.
    PowerFailure,
    /// One of these after another, as the seed has it.
    Mixed,
}

impl Scenario {
    /// Whether it is routine, so that nobody may see an error.
    pub fn is_unnoticed(self) -> bool {
        matches!(
            self,
            Self::DrainRegion | Self::DrainPop | Self::RollingRestart
        )
    }

    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::KillNode => "kill-node",
            Self::FreezeNode => "freeze-node",
            Self::KillRegion => "kill-region",
            Self::KillRegionForever => "kill-region-forever",
            Self::PartitionRegion => "partition-region",
            Self::PartitionOneWay => "partition-one-way",
            Self::PartitionSplit => "partition-split",
            Self::Flap => "flap",
            Self::KillPop => "kill-pop",
            Self::DrainRegion => "drain-region",
            Self::DrainPop => "drain-pop",
            Self::RollingRestart => "rolling-restart",
            Self::DiskStall => "disk-stall",
            Self::DiskFull => "disk-full",
            Self::ClockJump => "clock-jump",
            Self::Storm => "storm",
            Self::PowerFailure => "power-failure",
            Self::Mixed => "mixed",
        }
    }
}

/// Where nodes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Regions and their core nodes.
    pub regions: Vec<(Name, Vec<Name>)>,
    /// PoPs and their edge nodes.
    pub pops: Vec<(Name, Vec<Name>)>,
    /// Whether faults can be injected into core nodes.
    pub takes_faults: bool,
}

/// Something that is done to the world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// SIGKILL.
    Kill(Name),
    /// SIGKILL of all of them at once.
    KillAll(Vec<Name>),
    /// SIGTERM.
    Stop(Name),
    /// Started again.
    Start(Name),
    /// SIGSTOP.
    Freeze(Name),
    /// SIGCONT.
    Thaw(Name),
    /// Nothing arrives from one place at another.
    Cut(Vec<(Name, Name)>),
    /// All cuts are undone.
    Heal,
    /// Leaders and clients leave a part of the world.
    Drain(What, Name),
    /// They may come back.
    Undrain(What, Name),
    /// What is wrong with a core node's disk and clock from now on.
    Inject(Name, FaultConfig),
}

/// A schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What is done when, in order.
    pub acts: Vec<(Duration, Act)>,
    /// The region whose leaders are lost with the first fault, if it is one region.
    pub region: Option<Name>,
    /// Whether they must be: nobody there can lead, for long enough to be noticed.
    pub takes_leaders: bool,
    /// The PoP whose clients are.
    pub pop: Option<Name>,
    /// Nodes that are dead at the end.
    pub gone: Vec<Name>,
    /// The one core node that is watched while it is cut off, or its disk or clock is at
    /// fault.
    pub faulty: Option<Faulty>,
    /// The workload ends.
    pub length: Duration,
    /// How long nothing is done at first.
    pub calm: Duration,
}

impl Plan {
    /// Whether it takes a world into which faults can be injected.
    pub fn injects(&self) -> bool {
        let mut acts = self.acts.iter();
        acts.any(|(_, act)| matches!(act, Act::Inject(..)))
    }

    /// Whether leaders and clients leave in their own time, so that nothing fails over.
    pub fn is_paced(&self) -> bool {
        let mut acts = self.acts.iter();
        acts.any(|(_, act)| matches!(act, Act::Drain(..)))
    }

    /// When the calm is over.
    pub fn begins(&self) -> Duration {
        self.acts.first().map_or(self.calm, |(at, _)| *at)
    }

    /// Whether the fault is in no one place.
    pub fn strikes_everybody(&self) -> bool {
        !self.acts.is_empty() && self.region.is_none() && self.pop.is_none()
    }
}

/// A core node at fault for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faulty {
    /// Which.
    pub node: Name,
    /// Its region.
    pub region: Name,
    /// From when.
    pub from: Duration,
    /// Until when.
    pub to: Duration,
}
