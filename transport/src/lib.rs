//! How nodes and clients talk: QUIC [endpoints](endpoint), [identities](tls)
//! and the [authority](ca) behind them, [frames on streams](stream), the
//! [backbone] between nodes, and the [emulated network](wan) below all of it.
//!
//! Nothing in here knows what a cell, a session or a topic is.

pub mod backbone;
pub mod ca;
pub mod endpoint;
pub mod stream;
pub mod tls;
pub mod wan;
