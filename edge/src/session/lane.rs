//! Lanes: pushes between which there is no order, so that what waits for a lost packet
//! holds up no others. Where the transport has streams, each lane is one, but for that of
//! events, which need none.

use bytes::Bytes;
use causeway_protocol::Topic;

/// Lanes for channels.
const CHANNEL_LANES: u64 = 7;

/// A lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lane(u8);

impl Lane {
    /// Of what is worth nothing later: it may be lost, and overtake all else.
    pub const EVENTS: Self = Self(0);
    /// Of whatever is neither that nor an entry of a channel.
    pub const FIRST: Self = Self(1);

    /// Of a topic's entries.
    pub fn of(topic: Topic) -> Self {
        match topic {
            Topic::Channel(channel) => {
                let lane = 2 + channel.0 % CHANNEL_LANES;
                Self(u8::try_from(lane).unwrap_or_default())
            }
            _ => Self::FIRST,
        }
    }
}

/// A frame, and its lane. Frames of a lane go out in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Laned {
    /// Where it goes.
    pub lane: Lane,
    /// With its length in front.
    pub frame: Bytes,
}

impl Laned {
    /// On the first lane.
    pub fn first(frame: Bytes) -> Self {
        Self {
            lane: Lane::FIRST,
            frame,
        }
    }
}
