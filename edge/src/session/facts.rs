//! What keeps a session's client told of metadata. Facts flow from the feed through the
//! queue; whatever may have changed before they did is read from a replica first: at
//! the start, when a topic begins, and when facts were lost.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use causeway_protocol::client::{self, request, response, server_frame};
use causeway_protocol::{Topic, UserId, frame};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::queue::PushQueue;
use crate::feeds::Progress;
use crate::upstream::{Ask, Upstream};

/// Between tries to read what does not answer.
const READ_PAUSE: Duration = Duration::from_millis(200);
/// A client that is told nothing is told now and then that it lacks nothing: so that,
/// when it comes back, the difference is small.
const TELL_VERSION_EVERY: Duration = Duration::from_secs(30);
/// What the replica had not, and the client or the edge was told of, is asked for again
/// after this: it comes, or it is lost.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(5);
/// Versions from which is read again.
const OWED_MAX: usize = 4;

/// What a session's client is told of metadata, and by whom.
pub struct Telling {
    /// The way to the replicas.
    pub upstream: Upstream,
    /// Who is told.
    pub user: UserId,
    /// On the way to the client.
    pub queue: Arc<PushQueue>,
    /// How far the feed is.
    pub progress: watch::Receiver<Progress>,
    /// Topics have begun: what the client knew before it could have heard of them.
    pub begun: mpsc::Receiver<Bytes>,
    /// Facts that were read of the user's own topic, and what was known before.
    pub own: mpsc::Sender<(Vec<client::Fact>, Bytes)>,
    /// Cuts the session off.
    pub cut: CancellationToken,
}

/// Versions of metadata at the beginning of a session.
#[derive(Debug, Clone, Default)]
pub struct Versions {
    /// What the client has kept; empty = nothing.
    pub kept: Bytes,
    /// Of what it was given when it was let in.
    pub boot: Bytes,
}

/// What is still to be read, and from where.
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
    /// Tells until the session is over.
    pub async fn run(mut self, versions: Versions) {
        // Before the feed is live, what changes after the reading would be lost.
        if self
            .progress
            .wait_for(|progress| progress.live)
            .await
            .is_err()
        {
            return;
        }
        self.progress.mark_unchanged();
        let (mut from, boot) = match versions.kept.is_empty() {
            true => (versions.boot, None),
            false => (versions.kept, Some(versions.boot)),
        };
        let owed = Vec::new();
        let mut pending = Pending { boot, owed };
        loop {
            // Before anything is read: what grows too much meanwhile is read after it.
            let too_much = self.progress.borrow().too_much;
            let has = self.queue.hold_facts();
            let Some(upto) = self.catch_up(&mut pending, from, &has).await else {
                return;
            };
            from = match self.queue.release_facts(upto) {
                true => match self.next_from(too_much, !pending.owed.is_empty()).await {
                    Some(next) => next,
                    None => return,
                },
                false => Bytes::new(),
            };
        }
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

    /// Waits until something must be read: soon, if something is `owed`. Returns from which
    /// version: empty = the one that the client has; `None` when the session is over.
    async fn next_from(&mut self, too_much: u64, owed: bool) -> Option<Bytes> {
        let ask_again = tokio::time::sleep(ASK_AGAIN_AFTER);
        tokio::pin!(ask_again);
        loop {
            tokio::select! {
                begun = self.begun.recv() => {
                    let first = begun?;
                    // One reading serves all that have begun: the first knew the least.
                    while self.begun.try_recv().is_ok() {}
                    return Some(first);
                }
                () = self.queue.facts_lost() => return Some(Bytes::new()),
                told = self.progress.wait_for(|progress| progress.too_much > too_much) => {
                    return told.ok().map(|_| Bytes::new());
                }
                () = &mut ask_again, if owed => return Some(Bytes::new()),
                () = tokio::time::sleep(TELL_VERSION_EVERY) => {}
            }
            // All that this client sees up to there is in the queue.
            let version = self.progress.borrow().version.clone();
            self.queue.push_version(told_up_to(&version), version);
        }
    }

    async fn read(&self, mut from: Bytes) -> Read {
        loop {
            let page = self.page(from.clone()).await;
            if page.start_over {
                return Read::TooMuch;
            }
            let (more, behind, version) = (page.more, page.behind, page.version);
            for frame in frames(page.changes, &from, &version, &self.own).await {
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
}

/// The frames of a page. Only with the last of them is the client where the page ends.
async fn frames(
    changes: Vec<client::MetadataPush>,
    from: &Bytes,
    upto: &Bytes,
    own: &mpsc::Sender<(Vec<client::Fact>, Bytes)>,
) -> Vec<Bytes> {
    let mut frames = Vec::with_capacity(changes.len().max(1));
    let last = changes.len();
    for (i, change) in changes.into_iter().enumerate() {
        if let Some(Topic::User(_)) = Topic::from_wire(change.topic.as_ref()) {
            // Fails only when the session is over.
            let _ = own.send((change.facts.clone(), from.clone())).await;
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

/// Nothing but how far the client is.
fn told_up_to(version: &Bytes) -> Bytes {
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
