//! What a client sends: frames, and requests in them.

#![no_main]

use bytes::BytesMut;
use causeway_fuzz::decode;
use causeway_protocol::client::request::Body;
use causeway_protocol::client::{Request, SocketRequest, Topic as WireTopic};
use causeway_protocol::limits::CLIENT_FRAME_BYTES_MAX;
use causeway_protocol::{Topic, frame};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut stream = BytesMut::from(data);
    while let Ok(Some(body)) = frame::split(&mut stream, CLIENT_FRAME_BYTES_MAX) {
        if let Some(over_socket) = decode::<SocketRequest>(&body) {
            let _ = decode::<Request>(&over_socket.request);
        }
        match decode::<Request>(&body).and_then(|request| request.body) {
            Some(Body::Hello(hello)) => hello.cursors.iter().for_each(|c| topic(c.topic.as_ref())),
            Some(Body::ReadLog(read)) => topic(read.topic.as_ref()),
            _ => {}
        }
    }
});

fn topic(wire: Option<&WireTopic>) {
    if let Some(topic) = Topic::from_wire(wire) {
        assert_eq!(Some(&topic.to_wire()), wire);
        let _ = (topic.workspace(), topic.key());
    }
}
