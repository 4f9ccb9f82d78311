//! Scenarios across real processes: each starts a world of its own, acts on it
//! from outside, and looks at what came of it.
//!
//! Worlds run one at a time: a machine with two cores has enough to do with one.

mod bad_input;
mod chaos;
mod dashboard;
mod durability;
mod events;
mod export;
mod failover;
mod flannel;
mod hostile;
mod isolation;
mod limits;
mod membership;
mod metadata;
mod planted;
mod raw;
mod replay;
mod transports;
mod web_api;
mod world;
