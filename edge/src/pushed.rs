//! Looks into frames on their way to clients. They come from other nodes: what cannot be
//! read is passed on unread.

use bytes::Bytes;
use causeway_protocol::client::{self, server_frame::Body};
use causeway_protocol::frame;

/// What a frame holds.
pub fn body(framed: &Bytes) -> Option<Body> {
    let body = framed.slice(frame::HEADER_BYTES.min(framed.len())..);
    frame::decode::<client::ServerFrame>(body).ok()?.body
}

/// The entry that a frame tells of.
pub fn entry(framed: &Bytes) -> Option<client::Entry> {
    match body(framed)? {
        Body::Push(push) => push.entry,
        _ => None,
    }
}
