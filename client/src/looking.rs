//! What the application looks at, and what it does that is not stored. What it looks at
//! is said again on each connection; what it does is said now or not at all.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use causeway_protocol::client::{self, event, request::Body, send_event};
use causeway_protocol::limits::{OPEN_CHANNELS_MAX, TYPING_EVERY_MS, WATCHED_USERS_MAX};
use causeway_protocol::{ChannelId, Timestamp, Topic, UserId};

use crate::Event;

/// Typing is told again after this.
const TYPING_EVERY: Duration = Duration::from_millis(TYPING_EVERY_MS);

/// What is on the screen.
#[derive(Debug, Default)]
pub struct Looking {
    open: Vec<ChannelId>,
    watched: Vec<UserId>,
    /// When typing was told last, by channel; no older than [`TYPING_EVERY`].
    typed: BTreeMap<ChannelId, Instant>,
}

impl Looking {
    /// These channels are on the screen; so many of them as can be.
    pub fn open(&mut self, mut channels: Vec<ChannelId>) -> Body {
        channels.truncate(OPEN_CHANNELS_MAX);
        self.open = channels;
        self.open_channels()
    }

    /// These users are on the screen; so many of them as can be.
    pub fn watch(&mut self, mut users: Vec<UserId>) -> Body {
        users.truncate(WATCHED_USERS_MAX);
        self.watched = users;
        self.watch_presence()
    }

    /// What a new connection is told.
    pub fn again(&self) -> Vec<Body> {
        let open = (!self.open.is_empty()).then(|| self.open_channels());
        let watch = (!self.watched.is_empty()).then(|| self.watch_presence());
        open.into_iter().chain(watch).collect()
    }

    /// The user types; `None` when others know already.
    pub fn types(
        &mut self,
        channel: ChannelId,
        thread: Option<Timestamp>,
        now: Instant,
    ) -> Option<client::SendEvent> {
        self.typed
            .retain(|_, at| now.duration_since(*at) < TYPING_EVERY);
        if self.typed.contains_key(&channel) {
            return None;
        }
        self.typed.insert(channel, now);
        let typing = client::Typing {
            thread_ts: thread.map_or(0, |ts| ts.0),
        };
        Some(client::SendEvent {
            channel: channel.0,
            kind: Some(send_event::Kind::Typing(typing)),
            good_for_ms: 0,
        })
    }

    fn open_channels(&self) -> Body {
        let channels = self.open.iter();
        let channels = channels.map(|channel| client::OpenChannel { channel: channel.0 });
        Body::OpenChannels(client::OpenChannels {
            channels: channels.collect(),
        })
    }

    fn watch_presence(&self) -> Body {
        let users = self.watched.iter().map(|user| user.0).collect();
        Body::WatchPresence(client::WatchPresence { users })
    }
}

/// What the application is told of an event; nothing of one that a newer server knows.
pub fn event(event: client::Event, at: Instant) -> Option<Event> {
    let Topic::Channel(channel) = Topic::from_wire(event.topic.as_ref())? else {
        return None;
    };
    let user = UserId(event.user);
    let good_for = Duration::from_millis(event.good_for_ms.into());
    Some(match event.kind? {
        event::Kind::Typing(typing) => Event::Typing {
            channel,
            user,
            thread: (typing.thread_ts != 0).then_some(Timestamp(typing.thread_ts)),
            good_for,
            at,
        },
        event::Kind::Custom(event) => Event::Custom {
            channel,
            user,
            event,
            good_for,
            at,
        },
    })
}

/// What the application is told of users that are watched.
pub fn presence(presences: &client::Presences, at: Instant) -> Option<Event> {
    let users = presences.users.iter();
    let users: Vec<_> = users.map(|p| (UserId(p.user), p.online)).collect();
    (!users.is_empty()).then_some(Event::Presence { users, at })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANNEL: ChannelId = ChannelId(5);

    #[test]
    fn what_is_looked_at_is_said_again() {
        let mut looking = Looking::default();
        assert_eq!(looking.again(), []);
        let open = looking.open(vec![CHANNEL]);
        let watch = looking.watch(vec![UserId(7)]);
        assert_eq!(looking.again(), [open, watch]);
        looking.open(Vec::new());
        looking.watch((0..1_000).map(UserId).collect());
        let again = looking.again();
        let [Body::WatchPresence(watch)] = &again[..] else {
            panic!("{again:?}");
        };
        assert_eq!(watch.users.len(), WATCHED_USERS_MAX);
    }

    #[test]
    fn typing_is_told_now_and_then() {
        let (mut looking, now) = (Looking::default(), Instant::now());
        assert!(looking.types(CHANNEL, None, now).is_some());
        assert!(looking.types(CHANNEL, None, now).is_none());
        assert!(looking.types(ChannelId(6), None, now).is_some());
        let later = now + TYPING_EVERY;
        assert!(looking.types(CHANNEL, None, later).is_some());
    }
}
