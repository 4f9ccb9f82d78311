//! Answers to calls that are addressed to a cell's leader.

use bytes::Bytes;
use causeway_protocol::backbone::{LeaderHint, RoutedReply, routed_reply};
use causeway_protocol::{ApiError, ErrorCode, NodeId};
use prost::Message;

/// An answer.
pub fn answer(body: Vec<u8>) -> Bytes {
    reply(routed_reply::Result::Body(body.into()))
}

/// A refusal.
pub fn refused(error: &ApiError) -> Bytes {
    reply(routed_reply::Result::Error(error.to_wire()))
}

/// A redirect: to whoever is known to lead, or is about to.
pub fn not_leader(leader: Option<LeaderHint>, successor: Option<NodeId>) -> Bytes {
    let error = ApiError::from(ErrorCode::NotLeader).to_wire();
    let reply = RoutedReply {
        result: Some(routed_reply::Result::Error(error)),
        leader,
        successor: successor.map_or(0, |node| node.0),
    };
    reply.encode_to_vec().into()
}

fn reply(result: routed_reply::Result) -> Bytes {
    let reply = RoutedReply {
        result: Some(result),
        ..RoutedReply::default()
    };
    reply.encode_to_vec().into()
}
