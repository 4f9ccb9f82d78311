//! What is a user's own: memberships, how far they have read, preferences. As a replica
//! told it, and since then kept by facts; the log goes on beyond it.

use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway_protocol::backbone;
use causeway_protocol::client::{self, ChannelHead, fact::Kind};
use causeway_protocol::{Topic, UserId};
use prost::Message;

/// A shelf that is older than this is read again, if a replica can be had: what came
/// since reaches the session from the log, and should not be too much.
pub const GOOD_FOR: Duration = Duration::from_secs(600);
/// What a shelf costs beside what is on it.
const SHELF_BYTES: usize = 400;

/// When something was read, and what of metadata is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filled {
    /// When.
    pub at: Instant,
    /// How far the replica had applied its log.
    pub position: u64,
    /// How old it was then; the largest number = nobody knew.
    pub age_ms: u32,
    /// `None` = all that the feed has passed on; else this version.
    pub only: Option<Bytes>,
}

impl Filled {
    /// For how long it has been kept.
    pub fn kept_ms(&self, now: Instant) -> u32 {
        let since = now.saturating_duration_since(self.at).as_millis();
        u32::try_from(since).unwrap_or(u32::MAX)
    }
}

/// What a user knows, and expects to find.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Demand {
    /// A position of the cell's log.
    pub position: u64,
    /// Their last write of metadata; empty = none.
    pub wrote: Bytes,
    /// What they were told of metadata; empty = nothing.
    pub version: Bytes,
}

/// One user's own.
#[derive(Debug, Clone)]
pub struct Shelf {
    own: backbone::Shelf,
    /// As of when.
    pub filled: Filled,
    /// What the user knew when it was read is in it.
    demand: Demand,
}

impl Shelf {
    /// As a replica has told it, to somebody who demanded this.
    pub fn new(own: backbone::Shelf, filled: Filled, demand: Demand) -> Self {
        Self {
            own,
            filled,
            demand,
        }
    }

    /// Whether a user who knows this much may boot from it; `is_told` says whether the
    /// feed has passed a version on.
    pub fn satisfies(&self, demand: &Demand, is_told: impl Fn(&Bytes) -> bool) -> bool {
        let has_write = demand.wrote.is_empty() || demand.wrote == self.demand.wrote;
        let has_version = demand.version.is_empty()
            || demand.version == self.demand.version
            || self.filled.only.is_none() && is_told(&demand.version);
        demand.position <= self.filled.position && has_write && has_version
    }

    /// Whether it is not too old, if another can be had.
    pub fn is_fresh(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.filled.at) < GOOD_FOR
    }

    /// What is on it.
    pub fn own(&self) -> &backbone::Shelf {
        &self.own
    }

    /// How the user is in a channel, if they are.
    pub fn channel(&self, channel: u64) -> Option<&ChannelHead> {
        let at = self.place(channel).ok()?;
        self.own.channels.get(at)
    }

    fn place(&self, channel: u64) -> Result<usize, usize> {
        self.own
            .channels
            .binary_search_by_key(&channel, |c| c.channel)
    }

    /// A fact of the user's own topic, or about their profile. Returns false if it cannot
    /// be told what the shelf is with it.
    pub fn fact(&mut self, fact: &Kind) -> bool {
        match fact {
            Kind::Joined(channel) => self.joined(channel),
            Kind::Left(channel) => {
                if let Ok(at) = self.place(*channel) {
                    self.own.channels.remove(at);
                }
            }
            Kind::ReadCursor(cursor) => return self.read(cursor),
            Kind::Preference(preference) => self.prefers(preference),
            Kind::Profile(profile) => {
                if let Some(user) = &mut self.own.self_ {
                    user.profile = Some(profile.clone());
                }
            }
            _ => {}
        }
        true
    }

    fn joined(&mut self, channel: &client::Channel) {
        let head = ChannelHead {
            channel: channel.id,
            last_seq: channel.last_seq,
            last_ts: channel.last_ts,
            read_seq: channel.read_seq,
            unread: channel.unread,
            members: channel.members,
        };
        match self.place(channel.id) {
            Ok(at) => self.own.channels[at] = head,
            Err(at) => self.own.channels.insert(at, head),
        }
    }

    /// A cursor does not tell how many messages come after it, unless none do.
    fn read(&mut self, cursor: &client::ReadCursor) -> bool {
        let Ok(at) = self.place(cursor.channel) else {
            return true;
        };
        let head = &mut self.own.channels[at];
        if cursor.seq <= head.read_seq {
            return true;
        }
        head.read_seq = cursor.seq;
        if cursor.seq >= head.last_seq {
            head.unread = 0;
        }
        head.unread == 0
    }

    fn prefers(&mut self, preference: &client::Preference) {
        let preferences = &mut self.own.preferences;
        match preferences.binary_search_by(|p| p.name.cmp(&preference.name)) {
            Ok(at) => preferences[at] = preference.clone(),
            Err(at) => preferences.insert(at, preference.clone()),
        }
    }

    /// What it takes in memory, about.
    pub fn bytes(&self) -> usize {
        let rows = self.own.channels.len() * size_of::<ChannelHead>();
        let texts = self.own.self_.as_ref().map_or(0, Message::encoded_len);
        let preferences = self.own.preferences.iter();
        let preferences = preferences.map(|p| p.encoded_len() + size_of::<client::Preference>());
        SHELF_BYTES + rows + 2 * texts + preferences.sum::<usize>()
    }
}

/// Whose shelf a fact is for.
pub fn owner(topic: Topic, fact: &Kind) -> Option<UserId> {
    match (topic, fact) {
        (Topic::User(user), _) => Some(user),
        (Topic::Workspace(_), Kind::Profile(profile)) => Some(UserId(profile.user)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(channel: u64, last_seq: u64, read_seq: u64, unread: u32) -> ChannelHead {
        ChannelHead {
            channel,
            last_seq,
            read_seq,
            unread,
            ..ChannelHead::default()
        }
    }

    fn shelf(channels: Vec<ChannelHead>) -> Shelf {
        let filled = Filled {
            at: Instant::now(),
            position: 10,
            age_ms: 5,
            only: None,
        };
        let own = backbone::Shelf {
            self_: Some(client::User::default()),
            channels,
            ..backbone::Shelf::default()
        };
        Shelf::new(own, filled, Demand::default())
    }

    fn read(channel: u64, seq: u64) -> Kind {
        Kind::ReadCursor(client::ReadCursor { channel, seq })
    }

    fn channels(shelf: &Shelf) -> Vec<u64> {
        shelf.own.channels.iter().map(|c| c.channel).collect()
    }

    #[test]
    fn channels_come_and_go_in_the_order_of_their_ids() {
        let mut shelf = shelf(vec![head(2, 1, 1, 0), head(5, 1, 1, 0)]);
        let joined = |id, unread| {
            Kind::Joined(client::Channel {
                id,
                unread,
                ..client::Channel::default()
            })
        };
        assert!(shelf.fact(&joined(3, 0)));
        assert!(shelf.fact(&joined(3, 7)), "said again");
        assert_eq!(channels(&shelf), [2, 3, 5]);
        assert_eq!(shelf.channel(3).map(|c| c.unread), Some(7));
        assert!(shelf.fact(&Kind::Left(2)));
        assert!(shelf.fact(&Kind::Left(2)));
        assert_eq!(channels(&shelf), [3, 5]);
    }

    #[test]
    fn what_is_read_to_the_end_is_known_and_what_is_read_in_part_is_not() {
        let mut shelf = shelf(vec![head(1, 9, 4, 5)]);
        assert!(shelf.fact(&read(1, 4)), "it does not go back");
        assert!(shelf.fact(&read(2, 4)), "of another channel");
        assert!(!shelf.fact(&read(1, 7)));
        assert!(shelf.fact(&read(1, 12)));
        assert_eq!(
            shelf.channel(1).map(|c| (c.read_seq, c.unread)),
            Some((12, 0))
        );
    }

    #[test]
    fn preferences_and_the_own_profile_are_as_they_were_told_last() {
        let mut shelf = shelf(vec![]);
        for (name, value) in [("theme", "dark"), ("sound", "on"), ("theme", "light")] {
            let (name, value) = (name.into(), value.into());
            shelf.fact(&Kind::Preference(client::Preference { name, value }));
        }
        let preferences = shelf.own.preferences.iter();
        let preferences: Vec<_> = preferences.map(|p| (&*p.name, &*p.value)).collect();
        assert_eq!(preferences, [("sound", "on"), ("theme", "light")]);
        let profile = client::Profile {
            away: true,
            ..client::Profile::default()
        };
        shelf.fact(&Kind::Profile(profile.clone()));
        assert_eq!(shelf.own.self_.unwrap().profile, Some(profile));
    }

    #[test]
    fn nobody_boots_from_less_than_they_know() {
        let (wrote, told) = (Bytes::from_static(b"wrote"), Bytes::from_static(b"told"));
        let is_told = |version: &Bytes| *version == told;
        let shelf = shelf(vec![]);
        let knows = |position, wrote: &Bytes, version: &Bytes| Demand {
            position,
            wrote: wrote.clone(),
            version: version.clone(),
        };
        let none = Bytes::new();
        assert!(shelf.satisfies(&knows(10, &none, &none), is_told));
        assert!(!shelf.satisfies(&knows(11, &none, &none), is_told));
        assert!(!shelf.satisfies(&knows(0, &wrote, &none), is_told));
        assert!(shelf.satisfies(&knows(0, &none, &told), is_told));
        assert!(!shelf.satisfies(&knows(0, &none, &wrote), is_told));

        let demand = knows(10, &wrote, &wrote);
        let only = Some(Bytes::from_static(b"only"));
        let read_for = Shelf {
            demand: demand.clone(),
            filled: Filled {
                only,
                ..shelf.filled.clone()
            },
            ..shelf
        };
        assert!(read_for.satisfies(&demand, is_told), "it was read for that");
        assert!(!read_for.satisfies(&knows(0, &none, &told), is_told));
    }

    #[test]
    fn it_grows_old() {
        let shelf = shelf(vec![]);
        let at = shelf.filled.at;
        assert_eq!(shelf.filled.kept_ms(at + Duration::from_secs(2)), 2_000);
        assert!(shelf.is_fresh(at) && !shelf.is_fresh(at + GOOD_FOR));
    }
}
