//! Between the edge nodes of a PoP: the one that holds a workspace answers the others.

use std::time::Instant;

use bytes::Bytes;
use causeway_protocol::backbone::{ApiCall, FlannelReply};
use causeway_protocol::client::{self, request::Body, response};
use causeway_protocol::{ApiError, CellId, ErrorCode, Method, NodeId, UserId, WorkspaceId};
use causeway_transport::backbone::Services;
use causeway_transport::tls::Role;
use prost::Message;

use super::boot::Booted;
use super::counters::Counters;
use super::shelf::Demand;
use super::{Flannel, queries};

impl Flannel {
    /// Answers other edge nodes.
    #[must_use]
    pub fn register(&self, services: Services) -> Services {
        let flannel = self.clone();
        services.call(Method::Flannel, &[Role::Edge], move |_, body| {
            let flannel = flannel.clone();
            async move { flannel.serve(body).await }
        })
    }

    async fn serve(&self, body: Bytes) -> Result<Bytes, ApiError> {
        let call = ApiCall::decode(body);
        let call = call.map_err(|e| ApiError::new(ErrorCode::Malformed, e.to_string()))?;
        let (user, cell) = (UserId(call.user), CellId(call.cell));
        let request = call.request.unwrap_or_default();
        let demand = Demand {
            position: request.min_position,
            wrote: request.wrote,
            version: call
                .metadata_versions
                .into_iter()
                .next()
                .unwrap_or_default(),
        };
        let reply = match request.body {
            Some(Body::Boot(_)) => {
                let booted = self.boot_here(user, cell, &demand).await;
                booted.map(Booted::into_reply)
            }
            Some(body) if queries::is_ours(&body) => {
                let answered = self.query_here(user, cell, &body, &demand).await;
                answered.map(|response| FlannelReply {
                    response: Some(response),
                    ..FlannelReply::default()
                })
            }
            _ => Err(ErrorCode::UnknownMethod.into()),
        };
        let reply = reply.unwrap_or_else(|error| FlannelReply {
            response: Some(error.into_response()),
            ..FlannelReply::default()
        });
        Ok(reply.encode_to_vec().into())
    }

    /// What the holder answers; `None` if this node is to do without.
    async fn pass_on(
        &self,
        user: UserId,
        cell: CellId,
        demand: &Demand,
        body: &Body,
    ) -> Option<FlannelReply> {
        let holder = self.other_holder(user.workspace())?;
        Counters::count(&self.0.counters.passed_on);
        let call = ApiCall {
            cell: cell.0,
            user: user.0,
            request: Some(client::Request {
                min_position: demand.position,
                wrote: demand.wrote.clone(),
                body: Some(body.clone()),
            }),
            metadata_versions: vec![demand.version.clone()],
            ..ApiCall::default()
        };
        match self.0.source.pass_on(holder, call).await {
            Ok(reply) => Some(reply),
            Err(error) => {
                tracing::debug!(%holder, %error, "the holder of a workspace does not answer");
                let mut holders = self.0.holders.lock();
                holders.fell_silent(holder, Instant::now());
                None
            }
        }
    }

    fn other_holder(&self, workspace: WorkspaceId) -> Option<NodeId> {
        let holders = self.0.holders.lock();
        holders.other(workspace, Instant::now())
    }

    pub(super) async fn other_boots(
        &self,
        user: UserId,
        cell: CellId,
        demand: &Demand,
    ) -> Option<Result<Booted, ApiError>> {
        let body = Body::Boot(client::Boot {});
        let reply = self.pass_on(user, cell, demand, &body).await?;
        match Booted::from_reply(reply) {
            // It may be cut off where this node is not.
            Err(error) if error.code == ErrorCode::Unavailable => None,
            booted => Some(booted),
        }
    }

    pub(super) async fn other_answers(
        &self,
        user: UserId,
        cell: CellId,
        body: &Body,
    ) -> Option<Result<client::Response, ApiError>> {
        let demand = self.0.source.seen(user);
        let reply = self.pass_on(user, cell, &demand, body).await?;
        let response = reply.response?;
        match &response.result {
            Some(response::Result::Error(error)) => {
                let error = ApiError::from_wire(error.clone());
                (error.code != ErrorCode::Unavailable).then_some(Err(error))
            }
            _ => Some(Ok(response)),
        }
    }
}

impl Booted {
    /// As a request is answered with it.
    pub fn into_response(self) -> client::Response {
        client::Response {
            position: self.position,
            age_ms: self.age_ms,
            result: Some(response::Result::Boot(self.boot)),
            ..client::Response::default()
        }
    }

    /// What a request was answered with.
    ///
    /// # Errors
    /// The refusal.
    pub(super) fn from_response(response: client::Response) -> Result<Self, ApiError> {
        match response.result {
            Some(response::Result::Boot(boot)) => Ok(Self {
                boot,
                position: response.position,
                age_ms: response.age_ms,
                ..Self::default()
            }),
            Some(response::Result::Error(error)) => Err(ApiError::from_wire(error)),
            _ => Err(ErrorCode::InternalError.into()),
        }
    }

    fn into_reply(self) -> FlannelReply {
        FlannelReply {
            behind: self.behind,
            kept: self.kept,
            response: Some(self.into_response()),
        }
    }

    fn from_reply(reply: FlannelReply) -> Result<Self, ApiError> {
        Ok(Self {
            behind: reply.behind,
            kept: reply.kept,
            ..Self::from_response(reply.response.unwrap_or_default())?
        })
    }
}
