//! Examples of what is not stored: ben types, ann sees it.

use bytes::Bytes;
use causeway_protocol::backbone::{EventRelay, Looked, PresenceChanges};
use causeway_protocol::client::request::Body;
use causeway_protocol::client::response::Result as Answer;
use causeway_protocol::client::{
    Counter, Counters, CustomEvent, Event, Introduced, OpenChannel, OpenChannels, Presence,
    Presences, Response, SendEvent, ServerFrame, Typing, WatchPresence, event, send_event,
    server_frame,
};
use causeway_protocol::frame;

use crate::client::{ANN, BEN, GENERAL, TS, general, request};
use crate::example::Example;

fn raised_hand() -> CustomEvent {
    CustomEvent {
        name: "hand".into(),
        payload: Bytes::from_static(b"up"),
    }
}

fn ben_types() -> ServerFrame {
    frame_of(server_frame::Body::Event(Event {
        topic: Some(general().to_wire()),
        user: BEN,
        kind: Some(event::Kind::Typing(Typing { thread_ts: 0 })),
        good_for_ms: 6_000,
    }))
}

fn frame_of(body: server_frame::Body) -> ServerFrame {
    ServerFrame { body: Some(body) }
}

fn both() -> Presences {
    let presence = |user, online| Presence { user, online };
    Presences {
        users: vec![presence(ANN, true), presence(BEN, false)],
    }
}

pub fn requests() -> Vec<Example> {
    vec![
        request(
            "send_typing",
            "d20508 088580808010 1200",
            Body::SendEvent(SendEvent {
                channel: GENERAL,
                kind: Some(send_event::Kind::Typing(Typing { thread_ts: 0 })),
                good_for_ms: 0,
            }),
        ),
        request(
            "send_typing_in_thread",
            "d20511 088580808010 1209 08e480f9c0c1c48203",
            Body::SendEvent(SendEvent {
                channel: GENERAL,
                kind: Some(send_event::Kind::Typing(Typing { thread_ts: TS })),
                good_for_ms: 0,
            }),
        ),
        request(
            "send_custom_event",
            "d20515 088580808010 1a0a 0a0468616e64 12027570 20904e",
            Body::SendEvent(SendEvent {
                channel: GENERAL,
                kind: Some(send_event::Kind::Custom(raised_hand())),
                good_for_ms: 10_000,
            }),
        ),
        request(
            "open_channels",
            "da0508 0a06 088580808010",
            Body::OpenChannels(OpenChannels {
                channels: vec![OpenChannel {
                    channel: GENERAL,
                    seq: 0,
                }],
                counters: false,
            }),
        ),
        request(
            "open_channels_counted",
            "da050c 0a08 088580808010 102b 1001",
            Body::OpenChannels(OpenChannels {
                channels: vec![OpenChannel {
                    channel: GENERAL,
                    seq: 43,
                }],
                counters: true,
            }),
        ),
        request(
            "watch_presence",
            "e2050c 0a0a81808080108280808010",
            Body::WatchPresence(WatchPresence {
                users: vec![ANN, BEN],
            }),
        ),
    ]
}

pub fn responses() -> Vec<Example> {
    vec![Example::new(
        "presences",
        "e20312 0a08 088180808010 1001 0a06 088280808010",
        Response {
            result: Some(Answer::Presences(both())),
            ..Response::default()
        },
    )]
}

pub fn frames() -> Vec<Example> {
    vec![
        Example::new(
            "event_typing",
            "2a13 0a06 088580808010 108280808010 1a00 28f02e",
            ben_types(),
        ),
        Example::new(
            "event_custom",
            "2a1d 0a06 088580808010 108280808010 220a 0a0468616e64 12027570 28904e",
            frame_of(server_frame::Body::Event(Event {
                topic: Some(general().to_wire()),
                user: BEN,
                kind: Some(event::Kind::Custom(raised_hand())),
                good_for_ms: 10_000,
            })),
        ),
        Example::new(
            "counters",
            "3a0f 0a0d 088580808010 1030 1829 22012f",
            frame_of(server_frame::Body::Counters(Counters {
                counters: vec![Counter {
                    channel: GENERAL,
                    last_seq: 48,
                    messages: 41,
                    mentioned: vec![47],
                }],
            })),
        ),
        Example::new(
            "introduced",
            "4a17 0a15 088280808010 120362656e 1a0842656e2042656c6c",
            frame_of(server_frame::Body::Introduced(Introduced {
                users: vec![crate::flannel::ben()],
            })),
        ),
        Example::new(
            "presences_pushed",
            "4212 0a08 088180808010 1001 0a06 088280808010",
            frame_of(server_frame::Body::Presences(both())),
        ),
    ]
}

/// Between nodes.
pub fn relays() -> Vec<Example> {
    vec![
        Example::new("looked", "0a058180808010", Looked { online: vec![ANN] }),
        Example::new(
            "event_relay",
            "0a06 088580808010 108280808010 18f02e \
                2219000000152a130a060885808080101082808080101a0028f02e",
            EventRelay {
                topic: Some(general().to_wire()),
                pass_over: BEN,
                good_for_ms: 6_000,
                frame: frame::encode(&ben_types()),
            },
        ),
        Example::new(
            "presence_changes",
            "0a058180808010 12058280808010",
            PresenceChanges {
                online: vec![ANN],
                offline: vec![BEN],
            },
        ),
    ]
}
