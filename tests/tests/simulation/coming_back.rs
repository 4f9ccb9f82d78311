//! A law that edge and client keep together: what a client has kept, made whole by the
//! difference that its PoP tells, is what a client without anything is told.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use causeway_client::inbox::{Inbox, Take};
use causeway_client::kept::Kept;
use causeway_edge::flannel::boot::difference;
use causeway_protocol::client::{
    self, BootData, Channel, Entry, Fact, MetadataPush, entry::Kind, fact::Kind as FactKind,
    server_frame::Body,
};
use causeway_protocol::{ChannelId, Topic, UserId, WorkspaceId};
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

const SEEDS: u64 = 300;
const STEPS: usize = 120;
const CHANNELS: u32 = 8;
const WORKSPACE: WorkspaceId = WorkspaceId(1);

/// What somebody changes, of which a fact tells how it is now.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Thing {
    /// A channel's name and topic.
    Named(u64),
    /// Whether the user is in a public channel.
    Public(u64),
    Read(u64),
    Preference(String),
    Profile,
}

/// The workspace as one user may see it.
#[derive(Clone, Default)]
struct Core {
    channels: BTreeMap<u64, Channel>,
    mine: BTreeSet<u64>,
    logs: BTreeMap<Topic, Vec<Entry>>,
    preferences: BTreeMap<String, String>,
    title: String,
    /// What was changed, in its order.
    changed: Vec<Thing>,
}

fn me() -> UserId {
    UserId::new(WORKSPACE, 7)
}

fn created_as(channel: u64) -> String {
    format!("channel-{channel}")
}

fn number(version: &Bytes) -> usize {
    std::str::from_utf8(version).map_or(0, |text| text.parse().unwrap_or(0))
}

impl Core {
    fn version(&self) -> Bytes {
        self.changed.len().to_string().into()
    }

    fn head(&self, topic: Topic) -> u64 {
        self.logs.get(&topic).map_or(0, |log| log.len() as u64)
    }

    /// The entries from here to there.
    fn log(&self, topic: Topic, from: u64, to: u64) -> Vec<Entry> {
        let log = self.logs.get(&topic).into_iter().flatten();
        let some = log.filter(|entry| (from..=to).contains(&entry.seq));
        some.cloned().collect()
    }

    /// Appends to a log; times grow with all that happens.
    fn append(&mut self, topic: Topic, kind: Kind) {
        let ts = self.logs.values().map(Vec::len).sum::<usize>() as u64 + 1;
        let log = self.logs.entry(topic).or_default();
        log.push(Entry {
            seq: log.len() as u64 + 1,
            ts,
            kind: Some(kind),
            ..Entry::default()
        });
        if let (Topic::Channel(id), Some(channel)) = (topic, log.last())
            && let Some(known) = self.channels.get_mut(&id.0)
        {
            known.last_seq = channel.seq;
            if let Some(Kind::Posted(_)) = channel.kind {
                known.last_ts = ts;
            }
        }
    }

    /// A channel as its member sees it.
    fn seen(&self, id: u64) -> Channel {
        let channel = self.channels[&id].clone();
        let log = self.logs.get(&Topic::Channel(ChannelId(id)));
        let unread = log.into_iter().flatten().filter(|entry| {
            entry.seq > channel.read_seq && matches!(entry.kind, Some(Kind::Posted(_)))
        });
        Channel {
            unread: u32::try_from(unread.count()).expect("few"),
            is_member: true,
            ..channel
        }
    }

    /// A channel as the log knows it.
    fn logged(&self, id: u64) -> Channel {
        Channel {
            name: created_as(id),
            read_seq: 0,
            ..self.channels[&id].clone()
        }
    }

    fn profile(&self) -> client::Profile {
        client::Profile {
            user: me().0,
            fields: [("title".to_owned(), self.title.clone())].into(),
            ..client::Profile::default()
        }
    }

    /// What a client is told that has nothing.
    fn boot(&self) -> BootData {
        let preferences = self.preferences.iter();
        BootData {
            self_: Some(client::User {
                id: me().0,
                profile: Some(self.profile()),
                ..client::User::default()
            }),
            workspace: Some(client::Workspace::default()),
            channels: self.mine.iter().map(|id| self.seen(*id)).collect(),
            user_seq: self.head(Topic::User(me())),
            workspace_seq: 0,
            metadata_version: self.version(),
            preferences: preferences
                .map(|(name, value)| client::Preference {
                    name: name.clone(),
                    value: value.clone(),
                })
                .collect(),
            ..BootData::default()
        }
    }

    /// How a thing is now, if the user is told of it.
    fn fact(&self, thing: &Thing) -> Option<FactKind> {
        let mine = |id: &u64| self.mine.contains(id);
        Some(match thing {
            Thing::Named(id) => {
                FactKind::Channel(self.channels.get(id).filter(|_| mine(id))?.clone())
            }
            Thing::Public(id) if mine(id) => FactKind::Joined(self.seen(*id)),
            Thing::Public(id) => FactKind::Left(*id),
            Thing::Read(id) => FactKind::ReadCursor(client::ReadCursor {
                channel: *id,
                seq: self.channels.get(id).filter(|_| mine(id))?.read_seq,
            }),
            Thing::Preference(name) => FactKind::Preference(client::Preference {
                name: name.clone(),
                value: self.preferences.get(name)?.clone(),
            }),
            Thing::Profile => FactKind::Profile(self.profile()),
        })
    }

    /// Facts for whoever is as far as this version.
    fn facts_since(&self, version: &Bytes) -> MetadataPush {
        let since = self.changed[number(version)..].iter();
        let things: BTreeSet<&Thing> = since.collect();
        let facts = things.into_iter().filter_map(|thing| self.fact(thing));
        MetadataPush {
            version: self.version(),
            facts: facts.map(|kind| Fact { kind: Some(kind) }).collect(),
            ..MetadataPush::default()
        }
    }

    /// Something happens.
    fn change(&mut self, rng: &mut SmallRng) {
        let number = rng.random_range(1..=CHANNELS);
        let id = ChannelId::new(WORKSPACE, number).0;
        let (topic, own) = (Topic::Channel(ChannelId(id)), Topic::User(me()));
        let Some(channel) = self.channels.get_mut(&id) else {
            let channel = Channel {
                id,
                name: created_as(id),
                private: number % 3 == 0,
                ..Channel::default()
            };
            self.channels.insert(id, channel);
            return;
        };
        let is_private = channel.private;
        match rng.random_range(0..10) {
            0 => {
                channel.name = format!("named-{}", self.changed.len());
                self.changed.push(Thing::Named(id));
            }
            1 if is_private => {
                let kind = match self.mine.remove(&id) {
                    true => Kind::ChannelLeft(id),
                    false => {
                        self.mine.insert(id);
                        self.has_read_all(id);
                        Kind::ChannelJoined(self.logged(id))
                    }
                };
                self.append(own, kind);
            }
            1 => {
                if !self.mine.remove(&id) {
                    self.mine.insert(id);
                    self.has_read_all(id);
                }
                self.changed.push(Thing::Public(id));
            }
            2 if self.mine.contains(&id) => {
                let read_seq = channel.read_seq.max(rng.random_range(0..=channel.last_seq));
                channel.read_seq = read_seq;
                self.changed.push(Thing::Read(id));
            }
            3 => {
                let name = format!("preference-{}", rng.random_range(0..3));
                self.preferences
                    .insert(name.clone(), rng.random::<u8>().to_string());
                self.changed.push(Thing::Preference(name));
            }
            4 => {
                self.title = rng.random::<u8>().to_string();
                self.changed.push(Thing::Profile);
            }
            5 if channel.last_seq > 0 => {
                self.append(topic, Kind::Edited(client::Message::default()))
            }
            _ => self.append(topic, Kind::Posted(client::Message::default())),
        }
    }

    /// A new member has read what was there before.
    fn has_read_all(&mut self, id: u64) {
        if let Some(channel) = self.channels.get_mut(&id) {
            channel.read_seq = channel.last_seq;
        }
        self.changed.push(Thing::Read(id));
    }
}

/// A client, as far as it keeps its boot data.
#[derive(Default)]
struct Returning {
    inbox: Inbox,
    kept: Kept,
    /// What the application was shown last.
    shown: BootData,
}

impl Returning {
    /// Says hello, and is told what is so at the PoP. Returns whether only the difference.
    fn come_back(&mut self, at_the_pop: &Core) -> bool {
        let (cursors, version) = (self.inbox.cursors(), self.inbox.version());
        let whole = at_the_pop.boot();
        let told = match self.kept.is_there() && !version.is_empty() {
            true => difference(whole, &cursors, false),
            false => whole,
        };
        let by_difference = told.difference;
        self.shown = self.kept.booted(told);
        let takes = self.inbox.booted(&self.shown);
        assert_eq!(takes, []);
        by_difference
    }

    /// Is pushed all that is new, of topics and facts in any order.
    fn catch_up(&mut self, core: &Core, rng: &mut SmallRng) {
        let channels = core.channels.keys();
        let channels = channels.map(|id| Some(Topic::Channel(ChannelId(*id))));
        let mut told: Vec<_> = channels.chain([Some(Topic::User(me())), None]).collect();
        told.shuffle(rng);
        for topic in told {
            match topic {
                Some(topic) => self.entries(core, topic),
                None => {
                    let facts = core.facts_since(&self.inbox.version());
                    self.take(core, Body::Metadata(facts));
                }
            }
        }
    }

    /// The entries of a topic after the client's cursor, if it has one; else the last.
    fn entries(&mut self, core: &Core, topic: Topic) {
        let cursors = self.inbox.cursors().into_iter();
        let mut cursors = cursors.filter(|cursor| cursor.topic == Some(topic.to_wire()));
        let head = core.head(topic);
        let cursor = cursors
            .next()
            .map_or(head.saturating_sub(1), |cursor| cursor.seq);
        for entry in core.log(topic, cursor + 1, head) {
            let push = client::Push {
                topic: Some(topic.to_wire()),
                entry: Some(entry),
                ..client::Push::default()
            };
            self.take(core, Body::Push(push));
        }
    }

    fn take(&mut self, core: &Core, frame: Body) {
        let mut takes = VecDeque::from(self.inbox.frame(frame));
        while let Some(take) = takes.pop_front() {
            match take {
                Take::Deliver(topic, entry) => self.kept.entry(topic, &entry),
                Take::Tell(push) => self.kept.facts(&push),
                Take::Read { topic, from, to } => {
                    let entries = core.log(topic, from.0, to.0);
                    takes.extend(self.inbox.log(topic, Some(entries)));
                }
                Take::Count(_) => panic!("nothing is counted"),
            }
        }
    }
}

/// What a difference tells of channels. Facts tell the rest, but for the number of members
/// where nothing is new.
fn by_difference(boot: &BootData) -> Vec<(u64, u64, u64, u32)> {
    let channels = boot.channels.iter();
    channels
        .map(|c| (c.id, c.last_seq, c.last_ts, c.unread))
        .collect()
}

#[test]
fn what_was_kept_and_the_difference_are_the_whole() {
    let mut differences = 0;
    for seed in 0..SEEDS {
        let mut rng = SmallRng::seed_from_u64(seed);
        let (mut core, mut client) = (Core::default(), Returning::default());
        for _ in 0..STEPS {
            (0..rng.random_range(0..10)).for_each(|_| core.change(&mut rng));
            // What the PoP keeps may be older than what is pushed after the welcome.
            let at_the_pop = core.clone();
            differences += u64::from(client.come_back(&at_the_pop));
            let whole = at_the_pop.boot();
            assert_eq!(
                by_difference(&client.shown),
                by_difference(&whole),
                "seed {seed}"
            );
            (0..rng.random_range(0..4)).for_each(|_| core.change(&mut rng));
            client.catch_up(&core, &mut rng);
            // While it is connected, what changes is pushed in pieces.
            for _ in 0..rng.random_range(0..4) {
                core.change(&mut rng);
                client.catch_up(&core, &mut rng);
            }
            // Shown again at once, it is all that there is.
            differences += u64::from(client.come_back(&core));
            assert_eq!(client.shown, core.boot(), "seed {seed}");
        }
    }
    assert!(differences > SEEDS * STEPS as u64, "half of all");
}
