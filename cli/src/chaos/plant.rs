//! Bugs that are planted in a world to see whether the suite catches them.

use causeway_core_region::faults::Plant as CorePlant;
use clap::ValueEnum;

/// A bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Plant {
    /// Core nodes report entries durable before their sync
    AckBeforeSync,
    /// Core nodes store a resend again
    SkipDedup,
    /// Clients give entries out of order
    DeliverUnordered,
}

impl Plant {
    /// What is planted in core nodes, if it is.
    pub fn in_cores(self) -> Option<CorePlant> {
        match self {
            Self::AckBeforeSync => Some(CorePlant::AckBeforeSync),
            Self::SkipDedup => Some(CorePlant::SkipDedup),
            Self::DeliverUnordered => None,
        }
    }
}
