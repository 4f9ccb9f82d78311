//! Answers to calls that are addressed to a cell's leader.

use bytes::Bytes;
use causeway_protocol::backbone::{LeaderHint, RoutedReply, routed_reply};
use causeway_protocol::{ApiError, ErrorCode};
use prost::Message;

/// An answer.
pub fn answer(body: Vec<u8>) -> Bytes {
    reply(routed_reply::Result::Body(body.into()), None)
}

/// A refusal.
pub fn refused(error: &ApiError) -> Bytes {
    reply(routed_reply::Result::Error(error.to_wire()), None)
}

/// A redirect, to whoever is known to lead.
pub fn not_leader(leader: Option<LeaderHint>) -> Bytes {
    let error = ApiError::from(ErrorCode::NotLeader).to_wire();
    reply(routed_reply::Result::Error(error), leader)
}

fn reply(result: routed_reply::Result, leader: Option<LeaderHint>) -> Bytes {
    let reply = RoutedReply {
        result: Some(result),
        leader,
    };
    reply.encode_to_vec().into()
}
