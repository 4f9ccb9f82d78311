//! What an edge node tells an operator of itself.

use bytes::Bytes;
use causeway_gossip::{Gossip, Member};
use causeway_protocol::backbone::{
    AdminCall, AdminReply, EdgeStatus, RoutedReply, admin_call, admin_reply, routed_reply,
};
use causeway_protocol::{ApiError, ErrorCode, Method, NodeId};
use causeway_transport::backbone::Services;
use causeway_transport::tls::Role;
use prost::Message;

use crate::gate::{Closed, Gate};
use crate::hub::Hubs;

/// Answers operators; clones share what they answer from.
#[derive(Clone)]
pub struct Status {
    /// Its sessions.
    pub hubs: Hubs,
    /// Who is there.
    pub gossip: Gossip,
    /// Whether it takes clients.
    pub gate: Gate,
    /// This node.
    pub node: NodeId,
}

impl Status {
    /// Serves operators.
    #[must_use]
    pub fn register(self, services: Services) -> Services {
        services.call(Method::Admin, &[Role::Operator], move |_, body: Bytes| {
            let status = self.clone();
            async move { status.answer(body) }
        })
    }

    fn answer(&self, body: Bytes) -> Result<Bytes, ApiError> {
        let call = AdminCall::decode(body);
        let call = call.map_err(|e| ApiError::new(ErrorCode::Malformed, e.to_string()))?;
        let Some(admin_call::Body::Status(_)) = call.body else {
            let text = "an edge node tells its status, and nothing else";
            return Err(ApiError::new(ErrorCode::UnknownMethod, text));
        };
        let membership = self.gossip.membership();
        let me = membership.get(self.node);
        let status = EdgeStatus {
            self_: me.map(Member::to_wire),
            sessions: self.hubs.sessions() as u64,
            draining: matches!(self.gate.closed(), Some(Closed::Draining(_))),
            cut_off: self.gate.is_cut_off(),
        };
        let reply = AdminReply {
            body: Some(admin_reply::Body::Edge(status)),
        };
        let reply = RoutedReply {
            result: Some(routed_reply::Result::Body(reply.encode_to_vec().into())),
            ..RoutedReply::default()
        };
        Ok(reply.encode_to_vec().into())
    }
}
