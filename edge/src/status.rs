//! What an edge node tells an operator of itself.

use bytes::Bytes;
use causeway_gossip::{Gossip, Member, Router};
use causeway_protocol::backbone::{
    AdminCall, AdminReply, EdgeStatus, RoutedReply, admin_call, admin_reply, routed_reply,
};
use causeway_protocol::{ApiError, ErrorCode, Method};
use causeway_transport::backbone::Services;
use causeway_transport::tls::Role;
use prost::Message;

use crate::hub::Hubs;

/// Answers operators; clones share what they answer from.
#[derive(Clone)]
pub struct Status {
    /// Its sessions.
    pub hubs: Hubs,
    /// Who is there.
    pub gossip: Gossip,
    /// What is being drained.
    pub router: Router,
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
        let me = membership.get(self.router.backbone().node());
        let drains = self.router.routes().get();
        let status = EdgeStatus {
            self_: me.map(Member::to_wire),
            sessions: self.hubs.sessions() as u64,
            draining: me.is_some_and(|me| drains.drains().of(me).is_some()),
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
