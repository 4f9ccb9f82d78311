//! What keeps a session's client told of metadata. Facts flow from the feed through the
//! queue; whatever may have changed before they did is read from a replica first: at
//! the start, when a topic begins, and when facts were lost. Nothing runs while they flow.

use std::collections::BTreeSet;
use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway_protocol::client::{self, fact::Kind, request, response, server_frame};
use causeway_protocol::{Topic, UserId, frame};
use futures::future::{BoxFuture, FutureExt};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::notice::{Notice, Notices};
use super::queue::PushQueue;
use crate::feeds::Progress;
use crate::feeds::recent::{RecentFacts, kinds};
use crate::upstream::{Ask, Upstream};

/// Between tries to read what does not answer.
const READ_PAUSE: Duration = Duration::from_millis(200);
/// What the replica had not, and the client or the edge was told of, is asked for again
/// after this: it comes, or it is lost.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(5);
/// Topics that have not begun by then are told of what has changed when they do.
const BEGIN_WITHIN: Duration = Duration::from_secs(2);
/// Versions from which is read again.
const OWED_MAX: usize = 4;

/// Reads for a session what has changed of metadata.
#[derive(Clone)]
pub struct Reader {
    /// The way to the replicas.
    pub upstream: Upstream,
    /// Who is told.
    pub user: UserId,
    /// On the way to the client.
    pub queue: Arc<PushQueue>,
    /// Where the session is told of facts of the user's own topic.
    pub notices: Arc<Notices>,
    /// Cuts the session off.
    pub cut: CancellationToken,
    /// What the feed has passed on last.
    pub recent: Arc<Mutex<RecentFacts>>,
}

/// What a session's client is told of metadata, and when something must be read.
pub struct Telling {
    reader: Reader,
    /// How far the feed is.
    progress: watch::Receiver<Progress>,
    /// Topics have begun: what the client knew before it could have heard of them.
    begun: Option<Bytes>,
    /// What the client knew at the beginning.
    first: Bytes,
    state: State,
}

enum State {
    /// The feed is not live yet, or not all topics have begun: what changes after a reading
    /// now would be lost.
    Starting(Box<Start>),
    /// Something is being read; it was begun after the feed had told so often that too
    /// much has changed.
    Reading(BoxFuture<'static, (Pending, Option<Bytes>)>, u64),
    /// Facts flow.
    Flowing {
        pending: Pending,
        too_much: u64,
        since: Instant,
    },
    /// The session is over.
    Over,
}

/// Versions of metadata at the beginning of a session.
#[derive(Debug, Clone, Default)]
pub struct Versions {
    /// What the client has kept; empty = nothing.
    pub kept: Bytes,
    /// Of what it was given when it was let in.
    pub boot: Bytes,
    /// It was given less than it knew.
    pub behind: bool,
}

impl Versions {
    /// From where the client is told what has changed.
    fn first(&self) -> &Bytes {
        match self.kept.is_empty() {
            true => &self.boot,
            false => &self.kept,
        }
    }
}

/// What is known at the beginning.
struct Start {
    versions: Versions,
    /// The session's topics, once all have begun.
    topics: Option<BTreeSet<Topic>>,
    until: Instant,
}

/// What is still to be read, and from where.
#[derive(Default)]
struct Pending {
    /// What the client was given when it was let in, if it has not started over since.
    boot: Option<Bytes>,
    /// Versions that had more than the replica.
    owed: Vec<Bytes>,
}

impl Pending {
    fn owe(&mut self, version: Bytes) {
        if self.owed.len() < OWED_MAX && !self.owed.contains(&version) {
            self.owed.push(version);
        }
    }
}

enum Read {
    /// All that has changed up to this version is in the queue.
    UpTo {
        version: Bytes,
        /// It has more than the replica.
        behind: bool,
    },
    /// More has changed than can be told.
    TooMuch,
    /// The session is over.
    Over,
}

impl Telling {
    /// Begins when the feed is live.
    pub fn new(reader: Reader, progress: watch::Receiver<Progress>, versions: Versions) -> Self {
        Self {
            reader,
            progress,
            begun: None,
            first: versions.first().clone(),
            state: State::Starting(Box::new(Start {
                versions,
                topics: None,
                until: Instant::now() + BEGIN_WITHIN,
            })),
        }
    }

    /// The session's topics have begun, all of them.
    pub fn all_have_begun(&mut self, topics: BTreeSet<Topic>) {
        match &mut self.state {
            State::Starting(start) => start.topics = Some(topics),
            // They could not be waited for.
            _ => self.begin(self.first.clone()),
        }
    }

    /// A topic has begun, of a client that knew this version. One reading serves all that
    /// begin before it: the first knew the least.
    pub fn begin(&mut self, known: Bytes) {
        self.begun.get_or_insert(known);
    }

    /// Waits for what comes next, and does it. Nothing is lost when this is dropped.
    pub async fn step(&mut self) {
        let next = match &mut self.state {
            State::Starting(_) => self.start().await,
            State::Reading(reading, _) => {
                let (pending, upto) = reading.await;
                self.has_read(pending, upto)
            }
            State::Flowing { .. } => self.flow().await,
            State::Over => pending().await,
        };
        self.state = next;
    }

    async fn start(&mut self) -> State {
        let live = self.progress.wait_for(|progress| progress.live);
        if live.await.is_err() {
            return State::Over;
        }
        let State::Starting(start) = &mut self.state else {
            return State::Over;
        };
        if start.topics.is_none() {
            tokio::time::sleep_until(start.until.into()).await;
        }
        let (versions, topics) = (std::mem::take(&mut start.versions), start.topics.take());
        if versions.behind {
            return self.read_and_cut(versions.boot);
        }
        let from = versions.first().clone();
        let boot = (!versions.kept.is_empty()).then_some(versions.boot);
        let owed = Vec::new();
        let pending = Pending { boot, owed };
        match topics.and_then(|topics| self.reader.recent_news(&topics, &from)) {
            Some(news) => self.pass_on(pending, news),
            None => self.read(pending, from),
        }
    }

    /// No replica was within reach. Once one is, the client is to say hello again.
    fn read_and_cut(&self, version: Bytes) -> State {
        let reader = self.reader.clone();
        let reading = async move {
            reader.page(version).await;
            reader.cut.cancel();
            (Pending::default(), None)
        };
        State::Reading(reading.boxed(), 0)
    }

    /// Passes on what the feed has passed on: no replica need be asked.
    fn pass_on(&self, pending: Pending, (frames, version): (Vec<Bytes>, Bytes)) -> State {
        let too_much = self.progress.borrow().too_much;
        let queue = Arc::clone(&self.reader.queue);
        let reading = async move {
            for frame in frames {
                if !queue.push_read(frame).await {
                    return (pending, None);
                }
            }
            (pending, Some(version))
        };
        State::Reading(reading.boxed(), too_much)
    }

    /// Reads what has changed since `from`; empty = since the version that the client has.
    fn read(&self, mut pending: Pending, from: Bytes) -> State {
        // Before anything is read: what grows too much meanwhile is read after it.
        let too_much = self.progress.borrow().too_much;
        let has = self.reader.queue.hold_facts();
        let reader = self.reader.clone();
        let reading = async move {
            let upto = reader.catch_up(&mut pending, from, &has).await;
            (pending, upto)
        };
        State::Reading(reading.boxed(), too_much)
    }

    fn has_read(&self, pending: Pending, upto: Option<Bytes>) -> State {
        let too_much = match &self.state {
            State::Reading(_, too_much) => *too_much,
            _ => 0,
        };
        let Some(upto) = upto else {
            return State::Over;
        };
        match self.reader.queue.release_facts(upto) {
            true => State::Flowing {
                pending,
                too_much,
                since: Instant::now(),
            },
            false => self.read(pending, Bytes::new()),
        }
    }

    /// Waits until something must be read: soon, if something is owed.
    async fn flow(&mut self) -> State {
        let State::Flowing {
            pending,
            too_much,
            since,
        } = &mut self.state
        else {
            return State::Over;
        };
        let from = match self.begun.take() {
            Some(first) => first,
            None => {
                let (seen, is_owed) = (*too_much, !pending.owed.is_empty());
                let ask_again = tokio::time::sleep_until((*since + ASK_AGAIN_AFTER).into());
                tokio::select! {
                    () = self.reader.queue.facts_lost() => {}
                    told = self.progress.wait_for(|progress| progress.too_much > seen) => {
                        if told.is_err() {
                            return State::Over;
                        }
                    }
                    () = ask_again, if is_owed => {}
                }
                Bytes::new()
            }
        };
        let pending = std::mem::take(pending);
        self.read(pending, from)
    }
}

impl Reader {
    /// What the feed has passed on since a version, if that was not long ago, and up to
    /// which version. Not if the user's channels have changed: then topics begin.
    fn recent_news(&self, topics: &BTreeSet<Topic>, from: &Bytes) -> Option<(Vec<Bytes>, Bytes)> {
        let recent = self.recent.lock();
        let version = recent.version().clone();
        let mut frames = Vec::new();
        for facts in recent.since(recent.step_of(from)?)? {
            let seen = facts.frames.iter();
            for (topic, frame) in seen.filter(|(topic, _)| topics.contains(topic)) {
                let is_own = matches!(topic, Topic::User(_));
                if is_own && kinds(frame).any(|kind| is_membership(&kind)) {
                    return None;
                }
                frames.push(frame.clone());
            }
        }
        if version != *from {
            frames.push(told_up_to(&version));
        }
        Some((frames, version))
    }

    /// Reads what is owed, and what has changed since `from`, of a client that `has` this
    /// version. Returns up to which version; `None` when the session is over.
    async fn catch_up(&self, pending: &mut Pending, from: Bytes, has: &Bytes) -> Option<Bytes> {
        let mut upto = Bytes::new();
        for version in std::mem::take(&mut pending.owed).into_iter().chain([from]) {
            let version = match version.is_empty() {
                true => has.clone(),
                false => version,
            };
            upto = match self.read(version).await {
                Read::UpTo { version, behind } => {
                    if behind {
                        pending.owe(version.clone());
                    }
                    version
                }
                Read::TooMuch => self.start_over(pending).await?,
                Read::Over => return None,
            };
        }
        Some(upto)
    }

    /// The client has just booted: it goes on from there; later it must come again.
    async fn start_over(&self, pending: &mut Pending) -> Option<Bytes> {
        let Some(boot) = pending.boot.take() else {
            self.cut.cancel();
            return None;
        };
        pending.owed.clear();
        let is_told = self.queue.push_read(start_over(boot.clone())).await;
        is_told.then_some(boot)
    }

    async fn read(&self, mut from: Bytes) -> Read {
        loop {
            let page = self.page(from.clone()).await;
            if page.start_over {
                return Read::TooMuch;
            }
            let (more, behind, version) = (page.more, page.behind, page.version);
            for frame in self.frames(page.changes, &from, &version) {
                if !self.queue.push_read(frame).await {
                    return Read::Over;
                }
            }
            if !more {
                return Read::UpTo { version, behind };
            }
            from = version;
        }
    }

    /// What has changed since a version, as soon as a replica says so.
    async fn page(&self, from: Bytes) -> client::MetadataPage {
        loop {
            let sync = client::SyncMetadata {
                version: from.clone(),
            };
            let request = client::Request {
                body: Some(request::Body::SyncMetadata(sync)),
                ..client::Request::default()
            };
            if let Ok(client::Response {
                result: Some(response::Result::Metadata(page)),
                ..
            }) = self.upstream.ask(self.user, request).await
            {
                return page;
            }
            tokio::time::sleep(READ_PAUSE).await;
        }
    }

    /// The frames of a page. Only with the last of them is the client where the page ends.
    fn frames(&self, changes: Vec<client::MetadataPush>, from: &Bytes, upto: &Bytes) -> Vec<Bytes> {
        let mut frames = Vec::with_capacity(changes.len().max(1));
        let last = changes.len();
        for (i, change) in changes.into_iter().enumerate() {
            if let Some(Topic::User(_)) = Topic::from_wire(change.topic.as_ref()) {
                let (facts, known) = (change.facts.clone(), from.clone());
                if self.notices.put(Notice::OwnFacts { facts, known }).is_err() {
                    self.cut.cancel();
                }
            }
            let version = if i + 1 == last { upto } else { from };
            frames.push(encode(client::MetadataPush {
                version: version.clone(),
                ..change
            }));
        }
        if last == 0 && from != upto {
            frames.push(told_up_to(upto));
        }
        frames
    }
}

fn is_membership(fact: &Kind) -> bool {
    matches!(fact, Kind::Joined(_) | Kind::Left(_))
}

/// Nothing but how far the client is.
pub fn told_up_to(version: &Bytes) -> Bytes {
    encode(client::MetadataPush {
        version: version.clone(),
        ..client::MetadataPush::default()
    })
}

fn start_over(version: Bytes) -> Bytes {
    encode(client::MetadataPush {
        version,
        start_over: true,
        ..client::MetadataPush::default()
    })
}

fn encode(push: client::MetadataPush) -> Bytes {
    frame::encode(&client::ServerFrame {
        body: Some(server_frame::Body::Metadata(push)),
    })
}
