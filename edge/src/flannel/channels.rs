//! The channels of a workspace, by id; the public ones also by name.

use std::collections::{BTreeMap, BTreeSet};

use causeway_protocol::client::{Channel, fact::Kind};
use prost::Message;

use super::index::{Index, folded};

/// What a channel costs beside the bytes of its texts.
const CHANNEL_BYTES: usize = 400;

/// All of them; what speaks of single users is not filled in.
#[derive(Debug, Default)]
pub struct Channels {
    channels: BTreeMap<u64, Channel>,
    public: Index,
    /// Channels that somebody has left: how many are in them is to be read.
    uncounted: BTreeSet<u64>,
    bytes: usize,
}

impl Channels {
    /// These.
    pub fn new(channels: Vec<Channel>) -> Self {
        let mut all = Self::default();
        for channel in channels {
            all.put(channel);
        }
        all
    }

    /// As a replica has told it just now.
    pub fn put(&mut self, channel: Channel) {
        let channel = Channel {
            is_member: false,
            read_seq: 0,
            unread: 0,
            ..channel
        };
        if let Some(before) = self.channels.remove(&channel.id) {
            self.bytes -= size(&before);
            self.public.remove(before.id, name(&before));
        }
        self.bytes += size(&channel);
        self.public.add(channel.id, name(&channel));
        self.channels.insert(channel.id, channel);
    }

    /// The same, as to how many are in it, too.
    pub fn put_counted(&mut self, channel: Channel) {
        self.uncounted.remove(&channel.id);
        self.put(channel);
    }

    /// The log tells of a new channel, as it was when it was created.
    pub fn created(&mut self, channel: &Channel) {
        if !self.channels.contains_key(&channel.id) {
            self.put(channel.clone());
        }
    }

    /// A fact of whichever topic.
    pub fn fact(&mut self, fact: &Kind) {
        match fact {
            Kind::Channel(told) if !told.name.is_empty() => {
                if let Some(known) = self.channels.get(&told.id) {
                    self.put(Channel {
                        name: told.name.clone(),
                        topic: told.topic.clone(),
                        purpose: told.purpose.clone(),
                        other_purposes: told.other_purposes.clone(),
                        archived: told.archived,
                        ..known.clone()
                    });
                }
            }
            Kind::Joined(told) if !told.name.is_empty() => self.put_counted(told.clone()),
            // Told twice, it would count twice.
            Kind::Member(member) if member.left && self.channels.contains_key(&member.channel) => {
                self.uncounted.insert(member.channel);
            }
            _ => {}
        }
    }

    /// So many members have been counted.
    pub fn counted(&mut self, channel: u64, members: usize) {
        if let Some(channel) = self.channels.get_mut(&channel) {
            channel.members = u32::try_from(members).unwrap_or(u32::MAX);
            self.uncounted.remove(&channel.id);
        }
    }

    /// Whether it is known of all how many are in them.
    pub fn are_counted(&self) -> bool {
        self.uncounted.is_empty()
    }

    /// Those that are to be read, as it is not known how many are in them.
    pub fn uncounted(&self) -> Vec<u64> {
        self.uncounted.iter().copied().collect()
    }

    /// One of them.
    pub fn get(&self, id: u64) -> Option<&Channel> {
        self.channels.get(&id)
    }

    /// Public channels whose name begins with `prefix`, by name, after `after`.
    pub fn find<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<(&str, u64)>,
    ) -> impl Iterator<Item = (&'a str, &'a Channel)> {
        let found = self.public.find(prefix, after);
        found.filter_map(|(name, id)| Some((name, self.channels.get(&id)?)))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.channels.len()
    }

    /// What they take in memory, about.
    pub fn bytes(&self) -> usize {
        self.bytes + self.public.bytes()
    }
}

/// What everybody finds a channel by.
fn name(channel: &Channel) -> Option<String> {
    (!channel.private).then(|| folded(&channel.name))
}

fn size(channel: &Channel) -> usize {
    CHANNEL_BYTES + 2 * channel.encoded_len()
}

#[cfg(test)]
mod tests {
    use causeway_protocol::client::{MemberFact, Said};

    use super::*;

    fn channel(id: u64, name: &str) -> Channel {
        Channel {
            id,
            name: name.into(),
            members: 5,
            ..Channel::default()
        }
    }

    fn found(channels: &Channels, prefix: &str) -> Vec<u64> {
        channels.find(prefix, None).map(|(_, c)| c.id).collect()
    }

    #[test]
    fn a_name_finds_public_channels_and_follows_them() {
        let secret = Channel {
            private: true,
            ..channel(2, "general-secret")
        };
        let mut channels = Channels::new(vec![channel(1, "general"), secret, channel(3, "food")]);
        assert_eq!(found(&channels, "ge"), [1]);
        channels.fact(&Kind::Channel(channel(3, "genuine-food")));
        channels.fact(&Kind::Channel(channel(3, "")));
        assert_eq!(found(&channels, "ge"), [1, 3]);
        assert_eq!(found(&channels, "food"), [0u64; 0]);
        channels.fact(&Kind::Channel(Channel {
            private: true,
            ..channel(2, "gems")
        }));
        assert_eq!(found(&channels, "gem"), [0u64; 0], "private as ever");
    }

    #[test]
    fn facts_change_what_they_tell_of_and_leave_the_rest() {
        let mut channels = Channels::new(vec![channel(1, "general")]);
        let topic = Said {
            text: "lunch".into(),
            ..Said::default()
        };
        channels.fact(&Kind::Channel(Channel {
            topic: Some(topic.clone()),
            members: 0,
            archived: true,
            ..channel(1, "general")
        }));
        let seen = channels.get(1).unwrap();
        assert_eq!((seen.members, seen.archived), (5, true));
        assert_eq!(seen.topic, Some(topic));
        channels.created(&channel(1, "as-it-was"));
        assert_eq!(channels.get(1).unwrap().name, "general");
    }

    #[test]
    fn members_are_counted_as_they_come_and_go() {
        let mut channels = Channels::new(vec![channel(1, "general")]);
        let left_by_one = |channel| MemberFact {
            channel,
            user: 7,
            left: true,
        };
        channels.fact(&Kind::Member(left_by_one(1)));
        channels.fact(&Kind::Member(left_by_one(9)));
        assert_eq!(channels.uncounted(), [1]);
        channels.fact(&Kind::Joined(Channel {
            members: 9,
            is_member: true,
            unread: 3,
            ..channel(1, "general")
        }));
        let seen = channels.get(1).unwrap();
        assert_eq!((seen.members, seen.is_member, seen.unread), (9, false, 0));
        assert!(channels.uncounted().is_empty());
        channels.fact(&Kind::Member(left_by_one(1)));
        channels.counted(1, 8);
        assert_eq!(channels.get(1).unwrap().members, 8);
        assert!(channels.uncounted().is_empty());
    }
}
