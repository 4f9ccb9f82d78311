//! A core that is made up: one workspace, and what is told of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway_protocol::backbone::flannel_ask::What;
use causeway_protocol::backbone::{
    ApiCall, FlannelAnswer, FlannelAsk, FlannelReply, Shelf, ShelfAsk,
};
use causeway_protocol::client::{self, BootData, Channel, ChannelHead, Entry, User};
use causeway_protocol::client::{fact::Kind, response, server_frame};
use causeway_protocol::{
    ApiError, CellId, ChannelId, ErrorCode, NodeId, Seq, Topic, UserId, WorkspaceId, frame,
};
use futures::future::{BoxFuture, FutureExt};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::feeds::recent::{Facts, RecentFacts};
use crate::feeds::{Feeds, Progress, Share};
use crate::flannel::source::Source;
use crate::flannel::{Demand, Flannel, FlannelConfig};
use crate::hub::Hubs;

pub const HOME: WorkspaceId = WorkspaceId(1);
pub const CELL: CellId = CellId(1);

pub fn user(number: u32) -> UserId {
    UserId::new(HOME, number)
}

pub fn channel(number: u32) -> ChannelId {
    ChannelId::new(HOME, number)
}

/// What the core has.
#[derive(Debug, Clone, Default)]
pub struct Model {
    pub users: BTreeMap<u64, User>,
    pub channels: BTreeMap<u64, Channel>,
    pub members: BTreeMap<u64, BTreeSet<u64>>,
    pub read: BTreeMap<(u64, u64), u64>,
    pub preferences: BTreeMap<(u64, String), String>,
    pub position: u64,
    pub version: u64,
    pub workspace_seq: u64,
}

impl Model {
    fn channels_of(&self, user: UserId) -> Vec<ChannelHead> {
        let own = self.members.iter().filter(|(_, who)| who.contains(&user.0));
        let own = own.filter_map(|(id, members)| {
            let channel = self.channels.get(id)?;
            let read_seq = self.read.get(&(user.0, *id)).copied().unwrap_or(0);
            Some(ChannelHead {
                channel: *id,
                last_seq: channel.last_seq,
                last_ts: channel.last_ts,
                read_seq,
                unread: u32::try_from(channel.last_seq.saturating_sub(read_seq)).unwrap(),
                members: u32::try_from(members.len()).unwrap(),
            })
        });
        own.collect()
    }

    fn preferences_of(&self, user: UserId) -> Vec<client::Preference> {
        let own = self.preferences.iter().filter(|((of, _), _)| *of == user.0);
        let own = own.map(|((_, name), value)| client::Preference {
            name: name.clone(),
            value: value.clone(),
        });
        own.collect()
    }

    fn seen(&self, id: u64) -> Channel {
        let members = self.members.get(&id).map_or(0, BTreeSet::len);
        Channel {
            members: u32::try_from(members).unwrap(),
            ..self.channels[&id].clone()
        }
    }

    fn shelf(&self, ask: &ShelfAsk) -> Shelf {
        let id = UserId(ask.user);
        let Some(user) = self.users.get(&id.0) else {
            return Shelf {
                refusal: Some(ApiError::from(ErrorCode::UserNotFound).to_wire()),
                ..Shelf::default()
            };
        };
        let knows = number(&ask.metadata_version).max(number(&ask.wrote));
        Shelf {
            self_: Some(user.clone()),
            channels: self.channels_of(id),
            preferences: self.preferences_of(id),
            user_seq: 3,
            behind: knows > self.version,
            refusal: None,
        }
    }

    /// What the user should be told.
    pub fn boot(&self, id: UserId) -> BootData {
        let channels = self.channels_of(id).into_iter().map(|head| Channel {
            is_member: true,
            read_seq: head.read_seq,
            unread: head.unread,
            ..self.seen(head.channel)
        });
        BootData {
            self_: self.users.get(&id.0).cloned(),
            workspace: Some(workspace()),
            channels: channels.collect(),
            user_seq: 3,
            workspace_seq: self.workspace_seq,
            metadata_version: version(self.version),
            preferences: self.preferences_of(id),
            ..BootData::default()
        }
    }
}

fn workspace() -> client::Workspace {
    client::Workspace {
        id: HOME.0,
        name: "home".into(),
        ..client::Workspace::default()
    }
}

pub fn version(n: u64) -> Bytes {
    match n {
        0 => Bytes::new(),
        n => Bytes::copy_from_slice(&n.to_be_bytes()),
    }
}

fn number(version: &Bytes) -> u64 {
    let bytes = version.as_ref().try_into();
    bytes.map_or(0, u64::from_be_bytes)
}

/// The core, and the feed from it.
pub struct Town {
    pub model: Mutex<Model>,
    /// What the nearest replica has, if that is less.
    pub replica: Mutex<Option<Model>>,
    /// Facts that are still on their way.
    pub on_the_way: Mutex<Vec<Facts>>,
    pub recent: Arc<Mutex<RecentFacts>>,
    pub cut_off: AtomicBool,
    pub silent: AtomicBool,
    /// What was asked, but for boots of single users.
    pub asks: AtomicUsize,
    pub alone: AtomicUsize,
    pub seen: Mutex<Demand>,
    /// How long an answer takes.
    pub takes: Mutex<Duration>,
    progress: watch::Sender<Progress>,
    hubs: Hubs,
}

/// As flannel sees it.
struct Outside(Arc<Town>);

impl Town {
    /// With this many users and channels; everybody is in the first channel.
    pub fn new(users: u32, channels: u32) -> (Arc<Self>, Flannel) {
        Self::with(users, channels, FlannelConfig::default())
    }

    pub fn with(users: u32, channels: u32, config: FlannelConfig) -> (Arc<Self>, Flannel) {
        let mut model = Model {
            position: 10,
            version: 1,
            workspace_seq: 5,
            ..Model::default()
        };
        for number in 1..=users {
            let id = user(number).0;
            let name = format!("user-{number}");
            model.users.insert(
                id,
                User {
                    id,
                    name,
                    ..User::default()
                },
            );
        }
        for number in 1..=channels {
            let id = channel(number).0;
            let name = format!("channel-{number}");
            let last_seq = 4;
            model.channels.insert(
                id,
                Channel {
                    id,
                    name,
                    last_seq,
                    ..Channel::default()
                },
            );
            model.members.insert(id, BTreeSet::new());
        }
        let everybody = model.users.keys().copied().collect();
        model.members.insert(channel(1).0, everybody);
        let (hubs, _) = Hubs::new();
        let live = Progress {
            live: true,
            ..Progress::default()
        };
        let mut recent = RecentFacts::default();
        recent.start_over(version(1));
        recent.heard(Instant::now());
        let town = Arc::new(Self {
            model: Mutex::new(model),
            replica: Mutex::default(),
            on_the_way: Mutex::default(),
            recent: Arc::new(Mutex::new(recent)),
            cut_off: AtomicBool::new(false),
            silent: AtomicBool::new(false),
            asks: AtomicUsize::new(0),
            alone: AtomicUsize::new(0),
            seen: Mutex::default(),
            takes: Mutex::new(Duration::from_millis(30)),
            progress: watch::Sender::new(live),
            hubs: hubs.clone(),
        });
        let flannel = Flannel::new(Outside(Arc::clone(&town)), hubs, NodeId(1), config);
        (town, flannel)
    }

    /// Something of the metadata changes; it is told of later.
    pub fn change(&self, facts: Vec<(Topic, Kind)>, change: impl FnOnce(&mut Model)) {
        let mut model = self.model.lock();
        change(&mut model);
        model.version += 1;
        let frames = facts.into_iter().map(|(topic, kind)| {
            let push = client::MetadataPush {
                topic: Some(topic.to_wire()),
                facts: vec![client::Fact { kind: Some(kind) }],
                ..client::MetadataPush::default()
            };
            let body = Some(server_frame::Body::Metadata(push));
            (topic, frame::encode(&client::ServerFrame { body }))
        });
        self.on_the_way.lock().push(Facts {
            frames: frames.collect(),
            version: version(model.version),
        });
    }

    /// So many of the facts that are on their way come in.
    pub fn tell(&self, count: usize) {
        let mut on_the_way = self.on_the_way.lock();
        let count = count.min(on_the_way.len());
        let mut recent = self.recent.lock();
        on_the_way
            .drain(..count)
            .for_each(|facts| recent.add(facts));
        recent.heard(Instant::now());
    }

    pub fn tell_all(&self) {
        self.tell(usize::MAX);
    }

    pub fn asks(&self) -> usize {
        self.asks.load(Ordering::Relaxed)
    }

    /// What somebody sees of a channel who has just joined it.
    pub fn joined(model: &Model, user: UserId, channel: ChannelId) -> Kind {
        let heads = model.channels_of(user);
        let head = heads.iter().find(|head| head.channel == channel.0);
        let head = head.cloned().unwrap_or_default();
        Kind::Joined(Channel {
            is_member: true,
            read_seq: head.read_seq,
            unread: head.unread,
            ..model.seen(channel.0)
        })
    }

    fn answer(&self, ask: &FlannelAsk) -> Result<FlannelAnswer, ApiError> {
        let replica = self.replica.lock().clone();
        let model = replica.unwrap_or_else(|| self.model.lock().clone());
        if ask.min_position > model.position {
            return Err(ErrorCode::Unavailable.into());
        }
        let told = number(&ask.metadata_version);
        let mut answer = FlannelAnswer {
            position: model.position,
            age_ms: 7,
            metadata_version: version(told.min(model.version)),
            workspace: Some(workspace()),
            workspace_seq: model.workspace_seq,
            ..FlannelAnswer::default()
        };
        match ask.what.as_ref().unwrap() {
            What::Users(rows) => {
                // In pages, so that something happens between them.
                let after = model.users.range(rows.after + 1..);
                answer.users = after.map(|(_, user)| user.clone()).take(3).collect();
                let last = answer.users.last().map_or(0, |user| user.id);
                let more = model.users.range(last + 1..).next().is_some();
                answer.next = if more { last } else { 0 };
            }
            What::Channels(_) => {
                let ids = model.channels.keys();
                answer.channels = ids.map(|id| model.seen(*id)).collect();
            }
            What::Emoji(_) => {}
            What::Members(ask) => {
                let members = model.members.get(&ask.channel);
                answer.members = members.into_iter().flatten().copied().collect();
            }
            What::SomeChannels(ask) => {
                let known = ask
                    .channels
                    .iter()
                    .filter(|id| model.channels.contains_key(id));
                answer.channels = known.map(|id| model.seen(*id)).collect();
            }
            What::Shelves(ask) => {
                answer.shelves = ask.users.iter().map(|ask| model.shelf(ask)).collect();
            }
        }
        Ok(answer)
    }
}

impl Source for Outside {
    fn ask(&self, ask: FlannelAsk) -> BoxFuture<'_, Result<FlannelAnswer, ApiError>> {
        let takes = *self.0.takes.lock();
        async move {
            self.0.asks.fetch_add(1, Ordering::Relaxed);
            if self.0.silent.load(Ordering::Relaxed) {
                return Err(ErrorCode::Unavailable.into());
            }
            tokio::time::sleep(takes / 2).await;
            let answer = self.0.answer(&ask);
            tokio::time::sleep(takes / 2).await;
            answer
        }
        .boxed()
    }

    fn boot(
        &self,
        user: UserId,
        demand: Demand,
    ) -> BoxFuture<'_, Result<client::Response, ApiError>> {
        async move {
            self.0.alone.fetch_add(1, Ordering::Relaxed);
            let model = self.0.model.lock();
            if self.0.silent.load(Ordering::Relaxed) || demand.position > model.position {
                return Err(ErrorCode::Unavailable.into());
            }
            Ok(client::Response {
                position: model.position,
                result: Some(response::Result::Boot(model.boot(user))),
                ..client::Response::default()
            })
        }
        .boxed()
    }

    fn read_log(&self, _: Topic, _: Seq, _: Seq) -> BoxFuture<'_, Vec<Entry>> {
        async { Vec::new() }.boxed()
    }

    fn pass_on(&self, _: NodeId, _: ApiCall) -> BoxFuture<'_, Result<FlannelReply, ApiError>> {
        async { Err(ErrorCode::Unavailable.into()) }.boxed()
    }

    fn follow(&self, workspace: WorkspaceId, _: CellId) -> Share {
        Share::of(
            Feeds::new(self.0.hubs.clone()),
            workspace,
            self.0.progress.subscribe(),
            Arc::clone(&self.0.recent),
        )
    }

    fn seen(&self, _: UserId) -> Demand {
        self.0.seen.lock().clone()
    }

    fn is_cut_off(&self) -> bool {
        self.0.cut_off.load(Ordering::Relaxed)
    }
}
