//! How clients are connected: natively over QUIC, by WebTransport, or over a
//! WebSocket. What differs between them is in here, behind [`Carrier`]; what is
//! said on them is in [`crate::session::attend`], once for all.

pub mod listener;
pub mod streams;
#[cfg(test)]
mod tests;
pub mod websocket;

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use causeway_protocol::{ApiError, CloseCode, client};
use causeway_transport::Transport;

use crate::session::lane::Laned;

/// A client's connection; clones share it.
pub trait Carrier: Clone + Send + Sync + 'static {
    /// Takes pushes to the client.
    type Pushes: Pushes;

    /// The way of the session's pushes; a session has one.
    fn pushes(&self) -> Self::Pushes;

    /// Ends the connection. What has been handed over before is still sent where
    /// that takes no more than a moment.
    fn close(&self, code: CloseCode);

    /// Waits for the end.
    fn closed(&self) -> impl Future<Output = ()> + Send;

    /// Where the client is.
    fn remote(&self) -> SocketAddr;

    /// How long a round trip takes, where that is known.
    fn round_trip(&self) -> Option<Duration>;

    /// What the connection is made of.
    fn transport(&self) -> Transport;
}

/// What comes in on a connection.
pub trait Inbound: Send + 'static {
    /// A request on its way in.
    type Call: Call;

    /// The next that has come, `None` at the end. Nothing is lost when this is
    /// dropped.
    fn next(&mut self) -> impl Future<Output = Option<Arrival<Self::Call>>> + Send;
}

/// Something that has come in.
#[derive(Debug)]
pub enum Arrival<C> {
    /// A request, of which more may have to be read.
    Call(C),
    /// What a client sends without waiting for an answer.
    Event(Bytes),
}

/// A request, and the way of its answer.
pub trait Call: Send + 'static {
    /// Reads the request.
    fn read(&mut self) -> impl Future<Output = Result<client::Request, ApiError>> + Send;

    /// Answers it. The client may have lost interest.
    fn answer(self, response: client::Response) -> impl Future<Output = ()> + Send;
}

/// The connection is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone;

/// Takes pushes to a client.
pub trait Pushes: Send + 'static {
    /// Hands frames over, those of a lane in their order, and leaves none behind. Waits
    /// while the client takes nothing.
    fn write(&mut self, frames: &mut Vec<Laned>) -> impl Future<Output = Result<(), Gone>> + Send;
}
