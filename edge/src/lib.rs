//! An edge node: terminates clients at a PoP, and holds nothing that lasts.
//!
//! [`node`] puts the parts together: the [`transports`] by which clients come,
//! their [`session`]s, the [`hub`] that fans entries out to these, what is kept of
//! workspaces ([`flannel`]), and the way [`upstream`] to the cells. The [`web`] API asks
//! the same way. Nothing in here knows how a cell keeps its state.

pub mod drain;
pub mod events;
pub mod feeds;
#[cfg(test)]
mod fixture;
pub mod flannel;
pub mod gate;
pub mod https;
pub mod hub;
pub mod limits;
mod mailbox;
pub mod metrics;
pub mod node;
mod pushed;
pub mod recent;
pub mod refusals;
pub mod session;
pub mod status;
pub mod transports;
pub mod upstream;
pub mod web;

pub use flannel::FlannelConfig;
pub use limits::LimitsConfig;
pub use node::{EdgeConfig, EdgeError, run};
