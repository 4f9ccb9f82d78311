//! What the application looks at, and what it does that is not stored. What it looks at
//! is said again on each connection; what it does is said now or not at all.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use causeway_protocol::client::{self, event, request::Body, send_event};
use causeway_protocol::limits::{OPEN_CHANNELS_MAX, TYPING_EVERY_MS, WATCHED_USERS_MAX};
use causeway_protocol::{ChannelId, Timestamp, Topic, UserId};

use crate::Event;
use crate::inbox::Inbox;

/// Typing is told again after this.
const TYPING_EVERY: Duration = Duration::from_millis(TYPING_EVERY_MS);

/// Words about what is on the screen: one kind takes the place of the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Open,
    Watch,
}

/// What is on the screen. It is said in order: the next word when the one before has been
/// taken.
#[derive(Debug, Default)]
pub struct Looking {
    open: Vec<ChannelId>,
    counters: bool,
    watched: Vec<UserId>,
    /// Still to be said.
    due: Vec<Word>,
    /// The word under way, and its number.
    saying: Option<(u64, Word)>,
    said: u64,
    /// When typing was told last, by channel; no older than [`TYPING_EVERY`].
    typed: BTreeMap<ChannelId, Instant>,
}

impl Looking {
    /// These channels are on the screen; so many of them as can be. With `counters`, others
    /// that are big are counted.
    pub fn open(&mut self, mut channels: Vec<ChannelId>, counters: bool) {
        channels.truncate(OPEN_CHANNELS_MAX);
        (self.open, self.counters) = (channels, counters);
        self.is_due(Word::Open);
    }

    /// These users are on the screen; so many of them as can be.
    pub fn watch(&mut self, mut users: Vec<UserId>) {
        users.truncate(WATCHED_USERS_MAX);
        self.watched = users;
        self.is_due(Word::Watch);
    }

    /// There is a new connection, which has been told nothing.
    pub fn connected(&mut self) {
        self.saying = None;
        self.due.clear();
        if self.counters || !self.open.is_empty() {
            self.is_due(Word::Open);
        }
        if !self.watched.is_empty() {
            self.is_due(Word::Watch);
        }
    }

    /// What to say next, and under which number; nothing while something is under way.
    pub fn next(&mut self, inbox: &mut Inbox) -> Option<(u64, Body)> {
        if self.saying.is_some() || self.due.is_empty() {
            return None;
        }
        let word = self.due.remove(0);
        self.said += 1;
        self.saying = Some((self.said, word));
        let body = match word {
            Word::Open => self.open_channels(inbox),
            Word::Watch => self.watch_presence(),
        };
        Some((self.said, body))
    }

    /// What was said under this number was taken, or is to be said again.
    pub fn said(&mut self, number: u64, taken: bool) {
        if let Some((_, word)) = self.saying.take_if(|(saying, _)| *saying == number)
            && !taken
        {
            self.is_due(word);
        }
    }

    fn is_due(&mut self, word: Word) {
        if !self.due.contains(&word) {
            self.due.push(word);
        }
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

    fn open_channels(&self, inbox: &mut Inbox) -> Body {
        inbox.count(self.counters);
        Body::OpenChannels(client::OpenChannels {
            channels: inbox.show(&self.open),
            counters: self.counters,
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

    /// Says what is to be said, until nothing is.
    fn say(looking: &mut Looking) -> Vec<Body> {
        let mut inbox = Inbox::default();
        let mut said = Vec::new();
        while let Some((number, body)) = looking.next(&mut inbox) {
            looking.said(number, true);
            said.push(body);
        }
        said
    }

    #[test]
    fn what_is_looked_at_is_said_to_each_connection() {
        let mut looking = Looking::default();
        looking.connected();
        assert_eq!(say(&mut looking), []);
        looking.open(vec![CHANNEL], false);
        looking.watch(vec![UserId(7)]);
        let said = say(&mut looking);
        assert_eq!(said.len(), 2);
        assert_eq!(say(&mut looking), []);
        looking.connected();
        assert_eq!(say(&mut looking), said);
        looking.open(Vec::new(), true);
        looking.watch(Vec::new());
        say(&mut looking);
        looking.connected();
        assert_eq!(say(&mut looking).len(), 1, "others are to be counted");
        looking.watch((0..1_000).map(UserId).collect());
        let said = say(&mut looking);
        let [Body::WatchPresence(watch)] = &said[..] else {
            panic!("{said:?}");
        };
        assert_eq!(watch.users.len(), WATCHED_USERS_MAX);
    }

    #[test]
    fn the_last_word_is_said_last_and_what_was_not_taken_again() {
        let (mut looking, mut inbox) = (Looking::default(), Inbox::default());
        looking.watch(vec![UserId(1)]);
        let (first, _) = looking.next(&mut inbox).unwrap();
        looking.watch(vec![UserId(2)]);
        looking.watch(vec![UserId(3)]);
        assert_eq!(looking.next(&mut inbox), None, "one is under way");
        looking.said(first + 1, true);
        assert_eq!(looking.next(&mut inbox), None, "of that nothing is known");
        looking.said(first, false);
        let (second, body) = looking.next(&mut inbox).unwrap();
        let users = vec![3];
        assert_eq!(body, Body::WatchPresence(client::WatchPresence { users }));
        looking.connected();
        looking.said(second, true);
        assert!(
            looking.next(&mut inbox).is_some(),
            "the new one knows nothing"
        );
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
