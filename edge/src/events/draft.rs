//! Events on their way out: what is wrong with them, and what others receive.

use causeway_protocol::backbone::EventRelay;
use causeway_protocol::client::{self, event, send_event, server_frame};
use causeway_protocol::limits::{
    EVENT_GOOD_FOR_MS_DEFAULT, EVENT_GOOD_FOR_MS_MAX, EVENT_PAYLOAD_BYTES_MAX, KEY_BYTES_MAX,
};
use causeway_protocol::{ApiError, ChannelId, ErrorCode, Topic, UserId, frame};

/// An event that is what it should be.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// Where it goes.
    pub channel: ChannelId,
    kind: event::Kind,
    good_for_ms: u32,
}

impl Draft {
    /// Looks at what a client sends.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArguments`].
    pub fn read(send: client::SendEvent) -> Result<Self, ApiError> {
        let invalid = |text: String| ApiError::new(ErrorCode::InvalidArguments, text);
        let (kind, good_for_ms) = match send.kind {
            Some(send_event::Kind::Typing(typing)) => {
                (event::Kind::Typing(typing), EVENT_GOOD_FOR_MS_DEFAULT)
            }
            Some(send_event::Kind::Custom(custom)) => {
                if custom.name.is_empty() || custom.name.len() > KEY_BYTES_MAX {
                    let text = format!("the name of an event has 1 to {KEY_BYTES_MAX} bytes");
                    return Err(invalid(text));
                }
                if custom.payload.len() > EVENT_PAYLOAD_BYTES_MAX {
                    let text = format!("an event carries up to {EVENT_PAYLOAD_BYTES_MAX} bytes");
                    return Err(invalid(text));
                }
                let good_for_ms = match send.good_for_ms {
                    0 => EVENT_GOOD_FOR_MS_DEFAULT,
                    ms => ms,
                };
                (event::Kind::Custom(custom), good_for_ms)
            }
            None => return Err(invalid("the event is of no kind that is known here".into())),
        };
        if good_for_ms > EVENT_GOOD_FOR_MS_MAX {
            let text = format!("an event is good for up to {EVENT_GOOD_FOR_MS_MAX} ms");
            return Err(invalid(text));
        }
        Ok(Self {
            channel: ChannelId(send.channel),
            kind,
            good_for_ms,
        })
    }

    /// Where it goes.
    pub fn topic(&self) -> Topic {
        Topic::Channel(self.channel)
    }

    /// The channel in which the user types, if that is all.
    pub fn typing(&self) -> Option<ChannelId> {
        matches!(self.kind, event::Kind::Typing(_)).then_some(self.channel)
    }

    /// As it goes to the channel server, from `user`. The frame is encoded this once.
    pub fn relay(self, user: UserId) -> EventRelay {
        // Whoever types knows it.
        let pass_over = self.typing().map_or(0, |_| user.0);
        let topic = Some(self.topic().to_wire());
        let event = client::Event {
            topic,
            user: user.0,
            kind: Some(self.kind),
            good_for_ms: self.good_for_ms,
        };
        EventRelay {
            topic,
            pass_over,
            good_for_ms: self.good_for_ms,
            frame: frame::encode(&client::ServerFrame {
                body: Some(server_frame::Body::Event(event)),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use causeway_protocol::client::{CustomEvent, SendEvent, Typing};

    use super::*;

    fn typing() -> SendEvent {
        SendEvent {
            channel: 5,
            kind: Some(send_event::Kind::Typing(Typing { thread_ts: 7 })),
            good_for_ms: 0,
        }
    }

    fn custom(name: &str, payload: usize, good_for_ms: u32) -> SendEvent {
        let custom = CustomEvent {
            name: name.into(),
            payload: vec![0; payload].into(),
        };
        SendEvent {
            channel: 5,
            kind: Some(send_event::Kind::Custom(custom)),
            good_for_ms,
        }
    }

    fn event_of(frame: &Bytes) -> client::Event {
        let body = frame.slice(frame::HEADER_BYTES..);
        match frame::decode::<client::ServerFrame>(body).unwrap().body {
            Some(server_frame::Body::Event(event)) => event,
            other => panic!("no event: {other:?}"),
        }
    }

    #[test]
    fn what_is_out_of_bounds_is_refused() {
        let broken = [
            SendEvent {
                kind: None,
                ..typing()
            },
            custom("", 0, 0),
            custom(&"x".repeat(KEY_BYTES_MAX + 1), 0, 0),
            custom("x", EVENT_PAYLOAD_BYTES_MAX + 1, 0),
            custom("x", 0, EVENT_GOOD_FOR_MS_MAX + 1),
        ];
        for send in broken {
            let refused = Draft::read(send.clone()).map_err(|e| e.code);
            assert_eq!(refused, Err(ErrorCode::InvalidArguments), "{send:?}");
        }
        let longest = "x".repeat(KEY_BYTES_MAX);
        let largest = custom(&longest, EVENT_PAYLOAD_BYTES_MAX, EVENT_GOOD_FOR_MS_MAX);
        assert!(Draft::read(largest).is_ok());
    }

    #[test]
    fn the_edge_says_by_whom_an_event_is() {
        let user = UserId(9);
        let draft = Draft::read(typing()).unwrap();
        assert_eq!(draft.typing(), Some(ChannelId(5)));
        let relay = draft.relay(user);
        assert_eq!((relay.pass_over, relay.good_for_ms), (9, 6_000));
        let event = event_of(&relay.frame);
        assert_eq!((event.user, event.topic), (9, relay.topic));

        let draft = Draft::read(custom("hand", 2, 10_000)).unwrap();
        assert_eq!(draft.typing(), None);
        let relay = draft.relay(user);
        assert_eq!((relay.pass_over, relay.good_for_ms), (0, 10_000));
        assert_eq!(event_of(&relay.frame).good_for_ms, 10_000);
    }
}
