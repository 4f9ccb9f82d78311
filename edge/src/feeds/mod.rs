//! Feeds: what changes of a workspace's metadata, from the nearest replica to the
//! sessions that see it. The decisions are in [`machine`]; this file carries them
//! out, in a task for each workspace that somebody is connected from.

pub mod machine;
pub mod recent;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use causeway_protocol::backbone::{
    MetadataFacts, MetadataPublish, MetadataSubscribe, MetadataSubscribed, MetadataUnsubscribe,
};
use causeway_protocol::{CellId, Method, NodeId, Topic, WorkspaceId, client, frame};
use causeway_transport::backbone::{PeerEvent, Services};
use causeway_transport::tls::Role;
use parking_lot::Mutex;
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};
use tokio::sync::{Notify, broadcast, mpsc, watch};

use self::machine::{Action, Feed};
use self::recent::{Facts, RecentFacts};
use crate::hub::Hubs;
use crate::session::facts;
use crate::upstream::Upstream;

/// Inputs that wait for a feed.
const INPUTS_MAX: usize = 1_024;
/// A subscription is answered by then.
const SUBSCRIBE_TIMEOUT: Duration = Duration::from_secs(2);
/// A feed that nobody wants is kept this long.
const LINGER: Duration = Duration::from_secs(20);
/// Clients that are told nothing are told now and then that they lack nothing: so that,
/// when one comes back, the difference is small.
const TELL_VERSION_EVERY: Duration = Duration::from_secs(30);
/// Between looks which replica is nearest.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The field of a `ServerFrame` that holds metadata.
const METADATA_FIELD: u32 = 4;

/// The feeds of an edge node; clones share them.
#[derive(Clone)]
pub struct Feeds(Arc<Inner>);

struct Inner {
    hubs: Hubs,
    feeds: Mutex<HashMap<WorkspaceId, Entry>>,
}

struct Entry {
    inputs: mpsc::Sender<Input>,
    progress: watch::Receiver<Progress>,
    recent: Arc<Mutex<RecentFacts>>,
    added: Arc<Notify>,
    sessions: usize,
}

enum Input {
    Published(MetadataPublish),
    Subscribed(u64, MetadataSubscribed),
    Failed(u64),
}

/// How far a feed is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// All that changes is passed on.
    pub live: bool,
    /// All up to here has been passed on.
    pub version: Bytes,
    /// How often sessions have had to ask for themselves.
    pub too_much: u64,
}

/// A session's share in a feed; dropping it gives it back.
pub struct Share {
    feeds: Feeds,
    workspace: WorkspaceId,
    /// How far the feed is.
    pub progress: watch::Receiver<Progress>,
    /// What it has passed on last.
    pub recent: Arc<Mutex<RecentFacts>>,
    /// Wakes one who waits for more.
    pub added: Arc<Notify>,
}

#[cfg(test)]
impl Share {
    /// In a feed that somebody else drives.
    pub fn of(
        feeds: Feeds,
        workspace: WorkspaceId,
        progress: watch::Receiver<Progress>,
        recent: Arc<Mutex<RecentFacts>>,
    ) -> Self {
        Self {
            feeds,
            workspace,
            progress,
            recent,
            added: Arc::default(),
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if let Some(entry) = self.feeds.0.feeds.lock().get_mut(&self.workspace) {
            entry.sessions -= 1;
        }
    }
}

impl Feeds {
    /// Passes on to the sessions of these hubs.
    pub fn new(hubs: Hubs) -> Self {
        Self(Arc::new(Inner {
            hubs,
            feeds: Mutex::default(),
        }))
    }

    /// Takes what replicas publish.
    #[must_use]
    pub fn register(&self, services: Services) -> Services {
        let feeds = self.clone();
        services.one_way(
            Method::MetadataPublish,
            &[Role::Core],
            move |_, mut recv| {
                let feeds = feeds.clone();
                async move {
                    while let Ok(Some(publish)) = recv.message::<MetadataPublish>().await {
                        feeds.input(publish);
                    }
                }
            },
        )
    }

    fn input(&self, publish: MetadataPublish) {
        let feeds = self.0.feeds.lock();
        if let Some(entry) = feeds.get(&WorkspaceId(publish.workspace)) {
            // What is lost here leaves a hole, which is noticed.
            let _ = entry.inputs.try_send(Input::Published(publish));
        }
    }

    /// A session of a workspace takes part.
    pub fn join(&self, workspace: WorkspaceId, cell: CellId, upstream: &Upstream) -> Share {
        let mut feeds = self.0.feeds.lock();
        let entry = feeds.entry(workspace).or_insert_with(|| {
            let (inputs, receiver) = mpsc::channel(INPUTS_MAX);
            let (sender, progress) = watch::channel(Progress::default());
            let recent = Arc::<Mutex<RecentFacts>>::default();
            let added = Arc::<Notify>::default();
            let task = Task {
                feeds: self.clone(),
                upstream: upstream.clone(),
                workspace,
                cell,
                inputs: inputs.clone(),
                progress: sender,
                recent: Arc::clone(&recent),
                added: Arc::clone(&added),
                feed: Feed::new(Instant::now()),
            };
            tokio::spawn(task.run(receiver));
            Entry {
                inputs,
                progress,
                recent,
                added,
                sessions: 0,
            }
        });
        entry.sessions += 1;
        Share {
            feeds: self.clone(),
            workspace,
            progress: entry.progress.clone(),
            recent: Arc::clone(&entry.recent),
            added: Arc::clone(&entry.added),
        }
    }

    /// How many workspaces there are.
    pub fn count(&self) -> usize {
        self.0.feeds.lock().len()
    }

    /// Takes a feed out that nobody wants; false if somebody does.
    fn end(&self, workspace: WorkspaceId) -> bool {
        let mut feeds = self.0.feeds.lock();
        let unwanted = feeds
            .get(&workspace)
            .is_none_or(|entry| entry.sessions == 0);
        if unwanted {
            feeds.remove(&workspace);
        }
        unwanted
    }

    fn is_wanted(&self, workspace: WorkspaceId) -> bool {
        let feeds = self.0.feeds.lock();
        feeds
            .get(&workspace)
            .is_some_and(|entry| entry.sessions > 0)
    }
}

struct Task {
    feeds: Feeds,
    upstream: Upstream,
    workspace: WorkspaceId,
    cell: CellId,
    inputs: mpsc::Sender<Input>,
    progress: watch::Sender<Progress>,
    recent: Arc<Mutex<RecentFacts>>,
    added: Arc<Notify>,
    feed: Feed,
}

impl Task {
    async fn run(mut self, mut inputs: mpsc::Receiver<Input>) {
        let mut events = self.upstream.router().backbone().events();
        let mut looks = tokio::time::interval(LOOK_EVERY);
        let mut tellings = tokio::time::interval(TELL_VERSION_EVERY);
        let mut told = Bytes::new();
        let mut wanted_at = Instant::now();
        loop {
            let now = Instant::now();
            let due = self.feed.tick(self.choice(now), now);
            self.carry_out(due).await;
            let actions = tokio::select! {
                Some(input) = inputs.recv() => self.input(input),
                event = events.recv() => {
                    self.event(event);
                    Vec::new()
                }
                _ = looks.tick() => {
                    let now = Instant::now();
                    self.feed.moves_to(self.choice(now), now);
                    self.hear(now);
                    if self.feeds.is_wanted(self.workspace) {
                        wanted_at = Instant::now();
                    } else if wanted_at.elapsed() >= LINGER && self.feeds.end(self.workspace) {
                        break;
                    }
                    Vec::new()
                }
                _ = tellings.tick() => {
                    told = self.tell_version(told).await;
                    Vec::new()
                }
                () = tokio::time::sleep_until(self.feed.deadline().into()) => Vec::new(),
            };
            self.carry_out(actions).await;
        }
        self.upstream.told(self.workspace, &Bytes::new());
        if let Some(server) = self.feed.server() {
            self.unsubscribe(server);
        }
    }

    /// Where to subscribe, of the replicas that are connected.
    fn choice(&self, now: Instant) -> Option<NodeId> {
        let router = self.upstream.router();
        let replicas = router.by_distance(self.cell).into_iter();
        let connected = replicas.filter(|node| router.backbone().round_trip(*node).is_some());
        self.feed.choose(&connected.collect::<Vec<_>>(), now)
    }

    fn input(&mut self, input: Input) -> Vec<Action> {
        let now = Instant::now();
        match input {
            Input::Published(publish) => self.feed.published(publish, now),
            Input::Subscribed(id, answer) => self.feed.subscribed(id, answer, now),
            Input::Failed(id) => {
                self.feed.failed(id, now);
                Vec::new()
            }
        }
    }

    fn event(&mut self, event: Result<PeerEvent, broadcast::error::RecvError>) {
        if let Ok(PeerEvent::Up(peer) | PeerEvent::Down { peer, .. }) = event {
            self.feed.server_lost(peer.node, Instant::now());
        }
    }

    async fn carry_out(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Subscribe {
                    server,
                    id,
                    version,
                } => self.subscribe(server, id, version),
                Action::Unsubscribe(server) => self.unsubscribe(server),
                Action::Deliver { facts, version } => {
                    self.deliver(facts, &version).await;
                    self.reached(version, 0);
                }
                Action::TooMuch { version } => {
                    self.recent.lock().start_over(version.clone());
                    self.reached(version, 1);
                }
            }
        }
    }

    /// Tells all clients how far they are, unless that is what they were `told` last.
    async fn tell_version(&self, told: Bytes) -> Bytes {
        let version = self.progress.borrow().version.clone();
        if version != told {
            let topic = Topic::Workspace(self.workspace);
            let frame = facts::told_up_to(&version);
            let telling = std::iter::once((topic, frame));
            self.feeds.0.hubs.tell(telling, &version).await;
        }
        version
    }

    /// Notes that whoever tells is within reach, if so.
    fn hear(&self, now: Instant) {
        let backbone = self.upstream.router().backbone();
        let server = self.feed.live_at();
        if server.is_some_and(|server| backbone.round_trip(server).is_some()) {
            self.recent.lock().heard(now);
        }
    }

    fn reached(&self, version: Bytes, too_much: u64) {
        self.hear(Instant::now());
        self.added.notify_one();
        self.upstream.told(self.workspace, &version);
        self.progress.send_if_modified(|progress| {
            let is_news = !progress.live || too_much > 0;
            progress.live = true;
            progress.version = version;
            progress.too_much += too_much;
            // No session waits for a version: they would all be woken by every change.
            is_news
        });
    }

    /// Passes facts on, and waits until all sessions have them in their queues. The
    /// version that they bear is the one before: of a topic that is slower, some might
    /// yet be missing.
    async fn deliver(&self, facts: Vec<MetadataFacts>, version: &Bytes) {
        let before = self.progress.borrow().version.clone();
        let frames = facts.into_iter().filter_map(|facts| {
            let topic = Topic::from_wire(facts.topic.as_ref())?;
            Some((topic, framed(&facts.push, &before)))
        });
        let frames: Vec<_> = frames.collect();
        // First: a session that comes too late for the hub finds them here.
        self.recent.lock().add(Facts {
            frames: frames.clone(),
            version: version.clone(),
        });
        self.feeds.0.hubs.tell(frames.into_iter(), &before).await;
    }

    fn subscribe(&self, server: NodeId, id: u64, version: Bytes) {
        let ask = MetadataSubscribe {
            cell: self.cell.0,
            workspace: self.workspace.0,
            subscription: id,
            version,
        };
        let backbone = self.upstream.router().backbone().clone();
        let inputs = self.inputs.clone();
        tokio::spawn(async move {
            let body = ask.encode_to_vec().into();
            let answer = backbone
                .call(server, Method::MetadataSubscribe, body, SUBSCRIBE_TIMEOUT)
                .await;
            let answer = answer.ok().and_then(|a| MetadataSubscribed::decode(a).ok());
            let input = match answer {
                Some(answer) => Input::Subscribed(id, answer),
                None => Input::Failed(id),
            };
            // The feed may have ended.
            let _ = inputs.send(input).await;
        });
    }

    fn unsubscribe(&self, server: NodeId) {
        let backbone = self.upstream.router().backbone().clone();
        let workspace = self.workspace.0;
        tokio::spawn(async move {
            let body = MetadataUnsubscribe { workspace }.encode_to_vec().into();
            // A replica that cannot be reached forgets this node by itself.
            let _ = backbone
                .call(server, Method::MetadataUnsubscribe, body, SUBSCRIBE_TIMEOUT)
                .await;
        });
    }
}

/// The frame in which clients receive a push that is encoded already, with a version
/// added to it.
fn framed(push: &[u8], version: &Bytes) -> Bytes {
    let version = client::MetadataPush {
        version: version.clone(),
        ..client::MetadataPush::default()
    };
    let version = version.encode_to_vec();
    // Messages that are encoded one after the other are one message.
    let inner = (push.len() + version.len()) as u64;
    let mut body = BytesMut::with_capacity(push.len() + version.len() + 16);
    encode_key(METADATA_FIELD, WireType::LengthDelimited, &mut body);
    encode_varint(inner, &mut body);
    body.put_slice(push);
    body.put_slice(&version);
    frame::with_header(&body)
}

#[cfg(test)]
mod tests {
    use causeway_protocol::client::server_frame;

    use super::*;

    #[test]
    fn a_push_is_framed_without_being_decoded() {
        let push = client::MetadataPush {
            topic: Some(Topic::Workspace(WorkspaceId(3)).to_wire()),
            facts: vec![client::Fact { kind: None }],
            ..client::MetadataPush::default()
        };
        let version = Bytes::from_static(b"version");
        let framed = framed(&push.encode_to_vec(), &version);
        let body = framed.slice(frame::HEADER_BYTES..);
        let decoded: client::ServerFrame = frame::decode(body).unwrap();
        let wanted = client::MetadataPush { version, ..push };
        assert_eq!(decoded.body, Some(server_frame::Body::Metadata(wanted)));
    }
}
