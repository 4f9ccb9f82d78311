//! The replicated state of a cell and of the directory, modelled: the product's
//! own is written into RocksDB, a thousand of which would take hours. It keeps
//! the product's rules: `seq` without holes, one message an id, a new epoch for
//! every change of a placement.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use causeway_core_region::consensus::{Outcome, TopicEntry};
use causeway_core_region::directory::Book;
use causeway_core_region::state_records::{Command, PlaceCells, command};
use causeway_protocol::backbone::{Cell, Directory, Drain, Shard};
use causeway_protocol::client::{self, entry::Kind, response};
use causeway_protocol::{CellId, ChannelId, ErrorCode, Seq, Topic, UserId};

use crate::atlas;

#[derive(Debug, Clone, Default)]
pub struct State {
    deduplicates: bool,
    topics: BTreeMap<Topic, Vec<client::Entry>>,
    members: BTreeSet<(ChannelId, UserId)>,
    posted: BTreeMap<(UserId, Bytes), client::Sent>,
    book: Book,
}

impl State {
    /// A cell whose workspace has its users and channels; or the directory,
    /// with these cells in it.
    pub fn founded(cell: CellId, cells: &[Cell], deduplicates: bool) -> Self {
        let mut state = Self {
            deduplicates,
            ..Self::default()
        };
        if cell == CellId::DIRECTORY {
            state.book.apply(&first_directory(cells));
        }
        for user in atlas::clients().map(atlas::user) {
            let workspace = user.workspace();
            if workspace != atlas::workspace(cell.0) {
                continue;
            }
            let closed =
                atlas::channels(workspace).filter(|c| *c != atlas::open_channel(workspace));
            state.members.extend(closed.map(|channel| (channel, user)));
        }
        state
    }

    pub fn book(&self) -> &Book {
        &self.book
    }

    pub fn head(&self, topic: Topic) -> Seq {
        Seq(self.log(topic).len() as u64)
    }

    pub fn log(&self, topic: Topic) -> &[client::Entry] {
        self.topics.get(&topic).map_or(&[], Vec::as_slice)
    }

    pub fn topics(&self) -> impl Iterator<Item = (Topic, &[client::Entry])> {
        self.topics.iter().map(|(topic, log)| (*topic, &log[..]))
    }

    pub fn is_member(&self, channel: ChannelId, user: UserId) -> bool {
        self.members.contains(&(channel, user))
    }

    /// What a client starts with.
    pub fn boot(&self, user: UserId) -> client::BootData {
        let workspace = user.workspace();
        let joined = atlas::channels(workspace).filter(|c| self.is_member(*c, user));
        client::BootData {
            self_: Some(client::User {
                id: user.0,
                ..client::User::default()
            }),
            channels: joined.map(|channel| self.channel(channel)).collect(),
            user_seq: self.head(Topic::User(user)).0,
            workspace_seq: self.head(Topic::Workspace(workspace)).0,
            ..client::BootData::default()
        }
    }

    pub fn page(&self, read: &client::ReadLog) -> client::LogPage {
        let topic = Topic::from_wire(read.topic.as_ref()).expect("the simulation asks well");
        let log = self.log(topic).iter();
        let wanted = log.filter(|entry| (read.from_seq..=read.to_seq).contains(&entry.seq));
        client::LogPage {
            entries: wanted.cloned().collect(),
            last_seq: self.head(topic).0,
        }
    }

    pub fn apply(&mut self, command: &Command) -> (Outcome, Vec<TopicEntry>) {
        let user = UserId(command.actor);
        let mut entries = Vec::new();
        let outcome = match &command.body {
            Some(command::Body::SendMessage(send)) => {
                self.post(user, send, command.proposed_at_us, &mut entries)
            }
            Some(command::Body::InviteMember(invite)) => {
                self.join(UserId(invite.user), ChannelId(invite.channel), &mut entries)
            }
            Some(command::Body::LeaveChannel(leave)) => {
                self.leave(user, ChannelId(leave.channel), &mut entries)
            }
            Some(command::Body::PlaceCells(place)) => self.place(place),
            Some(command::Body::SetDrain(drain)) => self.set_drain(drain),
            _ => Outcome::Refused(ErrorCode::UnknownMethod.into()),
        };
        (outcome, entries)
    }

    fn post(
        &mut self,
        user: UserId,
        send: &client::SendMessage,
        now_us: u64,
        entries: &mut Vec<TopicEntry>,
    ) -> Outcome {
        let channel = ChannelId(send.channel);
        let id = (user, send.client_msg_id.clone());
        if let Some(before) = self.posted.get(&id).filter(|_| self.deduplicates) {
            return answer(response::Result::Sent(client::Sent {
                duplicate: true,
                ..*before
            }));
        }
        if !self.is_member(channel, user) {
            return Outcome::Refused(ErrorCode::NotInChannel.into());
        }
        let posted = Kind::Posted(client::Message {
            channel: channel.0,
            user: user.0,
            text: send.text.clone(),
            client_msg_id: send.client_msg_id.clone(),
            ..client::Message::default()
        });
        let entry = self.append(Topic::Channel(channel), now_us, posted, entries);
        let sent = client::Sent {
            seq: entry.0,
            ts: entry.1,
            duplicate: false,
        };
        self.posted.insert(id, sent);
        answer(response::Result::Sent(sent))
    }

    fn join(&mut self, user: UserId, channel: ChannelId, entries: &mut Vec<TopicEntry>) -> Outcome {
        if self.members.insert((channel, user)) {
            self.append(
                Topic::Channel(channel),
                0,
                Kind::MemberJoined(user.0),
                entries,
            );
            let joined = Kind::ChannelJoined(self.channel(channel));
            self.append(Topic::User(user), 0, joined, entries);
        }
        answer(response::Result::Channel(self.channel(channel)))
    }

    fn leave(
        &mut self,
        user: UserId,
        channel: ChannelId,
        entries: &mut Vec<TopicEntry>,
    ) -> Outcome {
        if !self.members.remove(&(channel, user)) {
            return Outcome::Refused(ErrorCode::NotInChannel.into());
        }
        self.append(
            Topic::Channel(channel),
            0,
            Kind::MemberLeft(user.0),
            entries,
        );
        self.append(Topic::User(user), 0, Kind::ChannelLeft(channel.0), entries);
        answer(response::Result::Done(client::Done {}))
    }

    fn append(
        &mut self,
        topic: Topic,
        now_us: u64,
        kind: Kind,
        entries: &mut Vec<TopicEntry>,
    ) -> (u64, u64) {
        let log = self.topics.entry(topic).or_default();
        let last_ts = log.last().map_or(0, |entry| entry.ts);
        let entry = client::Entry {
            seq: log.len() as u64 + 1,
            ts: now_us.max(last_ts + 1),
            messages: 0,
            kind: Some(kind),
        };
        log.push(entry.clone());
        let place = (entry.seq, entry.ts);
        entries.push(TopicEntry { topic, entry });
        place
    }

    fn channel(&self, channel: ChannelId) -> client::Channel {
        client::Channel {
            id: channel.0,
            last_seq: self.head(Topic::Channel(channel)).0,
            ..client::Channel::default()
        }
    }

    fn place(&mut self, place: &PlaceCells) -> Outcome {
        let known = |cell: &Cell| self.book.cell(CellId(cell.id)).map_or(0, |c| c.epoch);
        if place.cells.iter().any(|cell| known(cell) >= cell.epoch) {
            return Outcome::Refused(ErrorCode::InvalidArguments.into());
        }
        let version = self.book.version() + 1;
        let cells = place.cells.iter().cloned();
        let cells: Vec<Cell> = cells.map(|cell| Cell { version, ..cell }).collect();
        self.book.apply(&Directory {
            version,
            cells,
            ..Directory::default()
        });
        Outcome::Done
    }
}

impl State {
    fn set_drain(&mut self, drain: &Drain) -> Outcome {
        let overtaken = self.book.drains().since(drain.version).next().is_some();
        if drain.version > 0 && overtaken {
            return Outcome::Overtaken;
        }
        let version = self.book.version() + 1;
        let drain = Drain {
            version,
            ..drain.clone()
        };
        self.book.apply(&Directory {
            version,
            drains: vec![drain],
            ..Directory::default()
        });
        Outcome::Done
    }
}

fn first_directory(cells: &[Cell]) -> Directory {
    let shards = cells.iter().filter(|cell| cell.id != 0).map(|cell| Shard {
        workspace: atlas::workspace(cell.id).0,
        cell: cell.id,
        epoch: 1,
        version: 1,
    });
    let cells = cells
        .iter()
        .cloned()
        .map(|cell| Cell { version: 1, ..cell });
    Directory {
        version: 1,
        cells: cells.collect(),
        shards: shards.collect(),
        workspaces: Vec::new(),
        drains: Vec::new(),
    }
}

fn answer(result: response::Result) -> Outcome {
    Outcome::Answer(Box::new(result))
}
