//! A core node: cells (Raft over RocksDB), the directory that places them, the
//! router's far end, and channel servers.
//!
//! [`node`] puts the parts together. Nothing in here knows of clients' sessions:
//! edges ask on behalf of a user whose token they have verified, and every
//! permission is checked again where the state is.

pub mod api;
pub mod assignment;
pub mod cell;
pub mod cells;
pub mod channel_server;
pub mod clock;
pub mod consensus;
pub mod directory;
pub mod faults;
mod feeds;
mod flannel;
mod hand_back;
pub mod health;
pub mod heirs;
pub mod homecoming;
pub mod http;
pub mod leaders;
pub mod metadata;
pub mod metrics;
pub mod node;
mod release;
mod routed;
pub mod state;
pub mod step_aside;
pub mod store;
pub mod succession;
pub mod surplus;
pub mod vitals;

pub use consensus::RaftTimings;
pub use directory::Founding;
pub use health::DiskLimits;
pub use node::{CoreConfig, CoreError, run};

/// Raft's messages and log records, from `proto/raft.proto`.
#[allow(missing_docs, clippy::all)]
pub(crate) mod raft_wire {
    include!(concat!(env!("OUT_DIR"), "/causeway.raft.v1.rs"));
}

/// Operations and rows of metadata, and what replicas say of them, from
/// `proto/metadata.proto`.
#[allow(missing_docs, clippy::all)]
pub mod metadata_wire {
    include!(concat!(env!("OUT_DIR"), "/causeway.metadata.v1.rs"));
}

/// Commands and records of state, from `proto/state.proto`.
#[allow(missing_docs, clippy::all)]
pub mod state_records {
    include!(concat!(env!("OUT_DIR"), "/causeway.state.v1.rs"));
}
