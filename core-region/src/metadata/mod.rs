//! Metadata: what is written at the nearest replica, in every region, without
//! waiting for another, and merges to the same everywhere.

pub mod actor;
mod anew;
pub mod cell;
mod collect;
pub mod derived;
mod early;
mod exchange;
mod host;
pub mod hybrid;
mod in_vain;
mod info;
pub mod item;
pub mod observed;
pub mod op;
pub mod peers;
mod pull;
mod rebirth;
pub mod replica;
mod row;
pub mod rows;
pub mod shard;
#[cfg(test)]
mod simulation;
pub mod tables;
mod traces;
pub mod types;
pub mod version;

pub use cell::{CellMetadata, Counters};
pub use host::{Hosted, Metadata, MetadataParts, Outbox, Told};
pub use replica::Left;
