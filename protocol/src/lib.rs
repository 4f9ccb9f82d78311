//! The wire contract of Causeway, shared by every other crate: messages
//! ([`client`], [`backbone`]), [framing](frame), [ids](id), [timestamps](ts),
//! [errors](error), [close codes](close), states of a [session], [tokens](token) and
//! [limits].
//!
//! Nothing in here does IO, reads a clock or knows of QUIC. `PROTOCOL.md`, in
//! this folder, tells the same to authors of clients in other languages.

pub mod close;
pub mod error;
pub mod frame;
pub mod id;
pub mod limits;
pub mod mention;
pub mod method;
pub mod name;
pub mod session;
pub mod token;
pub mod topic;
pub mod ts;

/// Generated from `proto/*.proto`.
#[allow(missing_docs, clippy::all)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/causeway.rs"));
}

/// Messages of the backbone, from `proto/backbone.proto`.
pub use generated::causeway::backbone::v1 as backbone;
/// Messages of the client plane, from `proto/client.proto`.
pub use generated::causeway::client::v1 as client;

pub use close::CloseCode;
pub use error::{ApiError, ErrorCode};
pub use id::{CellId, ChannelId, Epoch, NodeId, Position, Seq, UserId, WorkspaceId};
pub use method::Method;
pub use name::{Name, NameError};
pub use topic::Topic;
pub use ts::Timestamp;
