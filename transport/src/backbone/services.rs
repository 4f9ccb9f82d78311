//! What a node answers on the backbone: method → handler, with the roles that
//! may call it.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use causeway_protocol::{ApiError, Method, NodeId};
use futures::future::{BoxFuture, FutureExt};
use quinn::SendStream;

use crate::stream::FrameReader;
use crate::tls::{PeerIdentity, Role};

/// Who is at the other end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its node id. An operator's tool has a random one.
    pub node: NodeId,
    /// When its process started.
    pub incarnation: u64,
    /// Which of the node's connections this is: unique within this process.
    pub connection: u64,
    /// What its certificate says.
    pub identity: PeerIdentity,
}

type Call = dyn Fn(Peer, Bytes) -> BoxFuture<'static, Result<Bytes, ApiError>> + Send + Sync;
type Stream = dyn Fn(Peer, SendStream, FrameReader) -> BoxFuture<'static, ()> + Send + Sync;
type OneWay = dyn Fn(Peer, FrameReader) -> BoxFuture<'static, ()> + Send + Sync;
type Datagram = dyn Fn(&Peer, Bytes) + Send + Sync;

/// How a method is served.
#[derive(Clone)]
pub(super) enum Service {
    Call(Arc<Call>),
    Stream(Arc<Stream>),
    OneWay(Arc<OneWay>),
}

/// The services of a node; built once, before the node serves.
#[derive(Default)]
pub struct Services {
    methods: HashMap<Method, (&'static [Role], Service)>,
    datagram: Option<Box<Datagram>>,
}

impl Services {
    /// One request, one answer.
    #[must_use]
    pub fn call<F, Fut>(mut self, method: Method, roles: &'static [Role], handler: F) -> Self
    where
        F: Fn(Peer, Bytes) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Bytes, ApiError>> + Send + 'static,
    {
        let call = Service::Call(Arc::new(move |peer, body| handler(peer, body).boxed()));
        self.methods.insert(method, (roles, call));
        self
    }

    /// A stream that both sides use as they like.
    #[must_use]
    pub fn stream<F, Fut>(mut self, method: Method, roles: &'static [Role], handler: F) -> Self
    where
        F: Fn(Peer, SendStream, FrameReader) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let stream = Service::Stream(Arc::new(move |peer, send, recv| {
            handler(peer, send, recv).boxed()
        }));
        self.methods.insert(method, (roles, stream));
        self
    }

    /// Frames from the peer, without answers.
    #[must_use]
    pub fn one_way<F, Fut>(mut self, method: Method, roles: &'static [Role], handler: F) -> Self
    where
        F: Fn(Peer, FrameReader) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let one_way = Service::OneWay(Arc::new(move |peer, recv| handler(peer, recv).boxed()));
        self.methods.insert(method, (roles, one_way));
        self
    }

    /// Datagrams of peers that are nodes. Must not block.
    #[must_use]
    pub fn datagram(mut self, handler: impl Fn(&Peer, Bytes) + Send + Sync + 'static) -> Self {
        self.datagram = Some(Box::new(handler));
        self
    }

    /// The service behind a method number, if `role` may use it.
    pub(super) fn find(&self, number: u16, role: Role) -> Option<Service> {
        let (roles, service) = self.methods.get(&Method::from_number(number)?)?;
        roles.contains(&role).then(|| service.clone())
    }

    pub(super) fn on_datagram(&self, peer: &Peer, bytes: Bytes) {
        if let Some(handler) = &self.datagram {
            handler(peer, bytes);
        }
    }
}
