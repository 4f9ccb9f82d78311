//! The application above a client: says things, says them again, comes, goes,
//! and looks at channels' ends.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use bytes::Bytes;
use causeway_client::Outgoing;
use causeway_protocol::client::{self, entry::Kind, request};
use causeway_protocol::{ChannelId, Topic};
use rand::RngExt;
use rand::seq::IndexedRandom;

use super::Client;
use super::requests::Waiting;
use crate::atlas;
use crate::io::Io;

#[derive(Default)]
pub struct Talk {
    next_at: Option<Instant>,
    said: Vec<Outgoing>,
    joined: BTreeSet<ChannelId>,
    /// The last entry of each channel that this client knows to exist.
    ends: BTreeMap<ChannelId, u64>,
}

impl Talk {
    pub fn booted(&mut self, channels: impl Iterator<Item = ChannelId>) {
        self.joined = channels.collect();
    }

    pub fn heard(&mut self, topic: Topic, entry: &client::Entry) {
        match (&entry.kind, topic) {
            (Some(Kind::ChannelJoined(channel)), _) => {
                self.joined.insert(ChannelId(channel.id));
            }
            (Some(Kind::ChannelLeft(channel)), _) => {
                self.joined.remove(&ChannelId(*channel));
            }
            (_, Topic::Channel(channel)) => self.saw_end(channel, entry.seq),
            _ => {}
        }
    }

    pub fn saw_end(&mut self, channel: ChannelId, seq: u64) {
        let end = self.ends.entry(channel).or_default();
        *end = (*end).max(seq);
    }

    fn end(&self, channel: ChannelId) -> u64 {
        self.ends.get(&channel).copied().unwrap_or(0)
    }
}

impl Client {
    pub(super) fn talk(&mut self, io: &mut Io<'_>) {
        let now = io.instant();
        if self.talk.next_at.is_some_and(|at| now < at) {
            return;
        }
        self.talk.next_at = Some(now + io.between(80, 700));
        let joined: Vec<ChannelId> = self.talk.joined.iter().copied().collect();
        let Some(channel) = joined.choose(io.rng).copied() else {
            return;
        };
        match io.rng.random_range(0..100) {
            0..60 => self.say(channel, io),
            60..68 => self.say_again(io),
            68..78 => self.come_or_go(io),
            _ => self.look(channel, io),
        }
    }

    fn say(&mut self, channel: ChannelId, io: &mut Io<'_>) {
        // An id is unique among all devices of a user.
        let number = (io.host.0 as u64) << 32 | self.talk.said.len() as u64;
        let message = Outgoing {
            channel,
            client_msg_id: Bytes::copy_from_slice(&number.to_be_bytes()),
            text: format!("{number:x}"),
            thread: None,
        };
        self.talk.said.push(message.clone());
        // A full outbox says no: then nothing was promised.
        let _ = self.outbox.push(message, io.instant());
    }

    fn say_again(&mut self, io: &mut Io<'_>) {
        if let Some(message) = self.talk.said.choose(io.rng).cloned() {
            let _ = self.outbox.push(message, io.instant());
        }
    }

    fn come_or_go(&mut self, io: &mut Io<'_>) {
        if !self.is_connected() {
            return;
        }
        let channel = atlas::open_channel(self.user().workspace());
        let body = match self.talk.joined.contains(&channel) {
            true => {
                io.ledger.topics_left += 1;
                request::Body::LeaveChannel(client::LeaveChannel { channel: channel.0 })
            }
            false => {
                io.ledger.topics_joined += 1;
                // Private channels are what the log tells of; here, one invites oneself.
                request::Body::InviteMember(client::InviteMember {
                    channel: channel.0,
                    user: self.user().0,
                })
            }
        };
        self.request(body, Waiting::Membership, io);
    }

    fn look(&mut self, channel: ChannelId, io: &mut Io<'_>) {
        if !self.is_connected() {
            return;
        }
        let read = client::ReadLog {
            topic: Some(Topic::Channel(channel).to_wire()),
            from_seq: 1,
            to_seq: 0,
        };
        let waiting = Waiting::Look(channel, self.talk.end(channel));
        self.request(request::Body::ReadLog(read), waiting, io);
    }
}
