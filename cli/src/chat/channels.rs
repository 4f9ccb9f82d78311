//! The user's channels: their names, what is unread in them, and what they hold.

use std::collections::BTreeMap;

use causeway_protocol::client::{self, entry::Kind};
use causeway_protocol::{ChannelId, Seq, UserId};

use super::input::InputLine;
use super::timeline::Timeline;

/// A channel of which the user is a member.
#[derive(Debug, Default)]
pub struct Channel {
    /// Its name, without a mark in front.
    pub name: String,
    /// Whether only members see it.
    pub private: bool,
    /// How many members it has.
    pub members: u32,
    /// Messages that the user has not seen.
    pub unread: u32,
    /// Those among them that mention the user, as far as that has been told.
    pub mentions: u32,
    /// Messages up to the last entry, where that is known.
    messages: Option<u64>,
    /// The last entry that is known to exist.
    pub last_seq: Seq,
    /// Up to here the user has seen everything.
    pub read_seq: Seq,
    /// Up to here the server knows that.
    pub marked_seq: Seq,
    /// The messages in memory.
    pub timeline: Timeline,
    /// What was being typed when the user looked away.
    pub draft: InputLine,
    /// Who has joined or left since the start-up data.
    told: BTreeMap<UserId, bool>,
}

impl Channel {
    /// Takes in what the server says of the channel.
    fn renew(&mut self, channel: &client::Channel) {
        self.name.clone_from(&channel.name);
        self.private = channel.private;
        self.marked_seq = self.marked_seq.max(Seq(channel.read_seq));
        let last_seq = Seq(channel.last_seq);
        // Start-up data may be older than what has been pushed.
        if last_seq >= self.last_seq {
            self.messages = self.messages.filter(|_| last_seq == self.last_seq);
            self.last_seq = last_seq;
            self.members = channel.members;
            self.told.clear();
            self.unread = match self.read_seq >= last_seq {
                true => 0,
                false => channel.unread,
            };
        }
        self.read_seq = self.read_seq.max(Seq(channel.read_seq));
    }

    /// Counts an entry, unless it was counted with the start-up data.
    fn count(&mut self, entry: &client::Entry, me: Option<UserId>) {
        let seq = Seq(entry.seq);
        if seq <= self.last_seq {
            return;
        }
        self.last_seq = seq;
        self.messages = Some(entry.messages);
        match &entry.kind {
            Some(Kind::Posted(message)) => {
                let all_read = self.unread == 0 && self.read_seq == self.marked_seq;
                if all_read && me == Some(UserId(message.user)) {
                    // The server marks one's own message, too.
                    (self.read_seq, self.marked_seq) = (seq, seq);
                } else {
                    self.unread = self.unread.saturating_add(1);
                }
            }
            Some(Kind::MemberJoined(_)) => self.members = self.members.saturating_add(1),
            Some(Kind::MemberLeft(_)) => self.members = self.members.saturating_sub(1),
            _ => {}
        }
    }

    /// The channel is not on the screen, and told to be so far.
    pub fn counted(&mut self, counter: &client::Counter) {
        let seq = Seq(counter.last_seq);
        if seq < self.last_seq {
            return;
        }
        let new = match self.messages {
            Some(known) => counter.messages.saturating_sub(known),
            // Nearly every entry is a message.
            None => seq.0 - self.last_seq.0,
        };
        self.last_seq = seq;
        self.messages = Some(counter.messages);
        let new = u32::try_from(new).unwrap_or(u32::MAX);
        self.unread = self.unread.saturating_add(new);
        let mentions = u32::try_from(counter.mentioned.len()).unwrap_or(u32::MAX);
        self.mentions = self.mentions.saturating_add(mentions);
    }

    /// Takes in an entry of the channel's log.
    pub fn apply(&mut self, entry: &client::Entry, me: Option<UserId>) {
        self.count(entry, me);
        self.timeline.apply(entry);
    }

    /// Somebody has joined or left; the same may be told again.
    pub fn told_of(&mut self, user: UserId, is_member: bool) {
        if self.told.insert(user, is_member) == Some(is_member) {
            return;
        }
        self.members = match is_member {
            true => self.members.saturating_add(1),
            false => self.members.saturating_sub(1),
        };
    }

    /// The user has read up to here on another device.
    pub fn read_elsewhere(&mut self, seq: Seq) {
        self.marked_seq = self.marked_seq.max(seq);
        self.read_seq = self.read_seq.max(seq);
        if self.read_seq >= self.last_seq {
            (self.unread, self.mentions) = (0, 0);
        }
    }

    /// The user has seen everything.
    pub fn see(&mut self) {
        if self.unread > 0 {
            (self.unread, self.mentions) = (0, 0);
            self.read_seq = self.last_seq;
        }
    }
}

/// The channels, by id and in the order of their names.
#[derive(Debug, Default)]
pub struct Channels {
    by_id: BTreeMap<ChannelId, Channel>,
    order: Vec<ChannelId>,
}

impl Channels {
    /// The ids in the order of the names.
    pub fn order(&self) -> &[ChannelId] {
        &self.order
    }

    /// The channels in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (ChannelId, &Channel)> {
        let found = |id: &ChannelId| Some((*id, self.by_id.get(id)?));
        self.order.iter().filter_map(found)
    }

    /// One channel.
    pub fn get(&self, id: ChannelId) -> Option<&Channel> {
        self.by_id.get(&id)
    }

    /// One channel, to change it.
    pub fn get_mut(&mut self, id: ChannelId) -> Option<&mut Channel> {
        self.by_id.get_mut(&id)
    }

    /// The channel with this name.
    pub fn named(&self, name: &str) -> Option<ChannelId> {
        let mut channels = self.iter();
        channels
            .find(|(_, channel)| channel.name == name)
            .map(|(id, _)| id)
    }

    /// The channels whose names begin with `prefix`, whatever the case.
    pub fn with_prefix(&self, prefix: &str) -> Vec<ChannelId> {
        let prefix = prefix.to_lowercase();
        let fits = |channel: &Channel| channel.name.to_lowercase().starts_with(&prefix);
        let channels = self.iter().filter(|(_, channel)| fits(channel));
        channels.map(|(id, _)| id).collect()
    }

    /// The channel `steps` below `id` in the list, or above it; round the ends.
    pub fn neighbour(&self, id: Option<ChannelId>, steps: isize) -> Option<ChannelId> {
        let at = id.and_then(|id| self.order.iter().position(|&other| other == id));
        let Some(at) = at else {
            return self.order.first().copied();
        };
        let len = self.order.len().cast_signed();
        let next = (at.cast_signed() + steps).rem_euclid(len);
        self.order.get(next.cast_unsigned()).copied()
    }

    /// The start-up data has all channels: those it lacks have been left.
    pub fn booted(&mut self, channels: &[client::Channel]) {
        self.by_id
            .retain(|id, _| channels.iter().any(|c| c.id == id.0));
        for channel in channels {
            self.by_id
                .entry(ChannelId(channel.id))
                .or_default()
                .renew(channel);
        }
        self.sort();
    }

    /// A channel has been joined, or something about it has changed.
    pub fn joined(&mut self, channel: &client::Channel) {
        self.by_id
            .entry(ChannelId(channel.id))
            .or_default()
            .renew(channel);
        self.sort();
    }

    /// A channel has this name now.
    pub fn renamed(&mut self, id: ChannelId, name: &str) {
        if let Some(channel) = self.by_id.get_mut(&id) {
            name.clone_into(&mut channel.name);
            self.sort();
        }
    }

    /// A channel has been left.
    pub fn left(&mut self, id: ChannelId) {
        self.by_id.remove(&id);
        self.sort();
    }

    fn sort(&mut self) {
        let mut order: Vec<_> = self.by_id.iter().collect();
        order.sort_by_key(|(id, channel)| (channel.name.to_lowercase(), **id));
        self.order = order.into_iter().map(|(id, _)| *id).collect();
    }
}
