//! What a client receives: pushes, answers, and the errors in them.

#![no_main]

use bytes::BytesMut;
use causeway_fuzz::decode;
use causeway_protocol::client::{Response, ServerFrame, response, server_frame};
use causeway_protocol::limits::SERVER_FRAME_BYTES_MAX;
use causeway_protocol::{ApiError, Topic, frame};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut stream = BytesMut::from(data);
    while let Ok(Some(body)) = frame::split(&mut stream, SERVER_FRAME_BYTES_MAX) {
        let pushed = decode::<ServerFrame>(&body).and_then(|frame| frame.body);
        if let Some(server_frame::Body::Metadata(push)) = pushed {
            let _ = Topic::from_wire(push.topic.as_ref());
        }
        let response = decode::<Response>(&body).and_then(|response| response.result);
        if let Some(response::Result::Error(wire)) = response {
            let error = ApiError::from_wire(wire);
            assert_eq!(ApiError::from_wire(error.to_wire()), error);
        }
    }
});
