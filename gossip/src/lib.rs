//! Who is there, and who serves what: [membership](member) by SWIM,
//! [consistent hashing](ring) over the members, and [routes] to cells.
//!
//! SWIM finds, Raft decides: nothing in here owns anything. A wrong belief costs
//! a redirect or a hole that is filled from the log, never a message.

pub mod away;
pub mod codec;
pub mod drains;
pub mod member;
pub mod page;
pub mod ring;
pub mod router;
pub mod routes;
pub mod search;
pub mod service;
pub mod swim;
pub mod sync;

pub use drains::Drains;
pub use member::{Member, Membership, Role};
pub use ring::Ring;
pub use router::{Repeat, Router};
pub use routes::{CellRoute, Routes};
pub use search::Patience;
pub use service::{Gossip, GossipConfig};
