//! How nodes and clients talk: QUIC [endpoints](endpoint), [identities](tls)
//! and the [authority](ca) behind them, the [kinds](kind) of client connections
//! and their [ends](closed), frames on [streams](stream) and on a [WebSocket](socket), the [backbone] between nodes, and the [emulated network](wan) below all of it.
//!
//! Nothing in here knows what a cell, a session or a topic is.

pub mod backbone;
pub mod ca;
pub mod closed;
pub mod congestion;
pub mod endpoint;
pub mod kind;
pub mod socket;
pub mod stream;
pub mod tls;
pub mod wan;

pub use closed::Closed;
pub use kind::Transport;
