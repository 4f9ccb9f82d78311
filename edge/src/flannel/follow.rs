//! Follows what is told of a workspace that is held here: entries of its topic, as a
//! session would, and facts of its metadata.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use causeway_protocol::client::server_frame;
use causeway_protocol::{Seq, Topic};
use tokio_util::sync::CancellationToken;

use super::Flannel;
use super::held::Held;
use crate::hub::Subscriber;
use crate::hub::machine::SessionId;
use crate::pushed;
use crate::session::notice::{Notice, Notices, notices};
use crate::session::queue::PushQueue;

/// Frames that are taken in at a time.
const FRAMES_MAX: usize = 64;
/// Further behind, all is read anew.
const RESUME_MAX: u64 = 1_000;
/// Between tries to read a log that does not answer.
const READ_PAUSE: Duration = Duration::from_millis(200);

/// Follows one workspace.
struct Follower {
    flannel: Flannel,
    held: Arc<Held>,
    session: SessionId,
    topic: Topic,
}

impl Flannel {
    /// Follows until the workspace is given up.
    pub(super) async fn run_follower(self, held: Arc<Held>) {
        static FOLLOWERS: AtomicU64 = AtomicU64::new(1);
        let session = SessionId::follower(FOLLOWERS.fetch_add(1, Ordering::Relaxed));
        let notices = Arc::new(notices());
        let queue = Arc::<PushQueue>::default();
        // Facts are taken from the feed: here they are passed over.
        queue.release_facts(Bytes::new());
        let subscriber = Subscriber {
            queue: Arc::clone(&queue),
            notices: Arc::clone(&notices),
            cut: CancellationToken::new(),
        };
        self.0.hubs.join(session, subscriber);
        let follower = Follower {
            topic: Topic::Workspace(held.workspace),
            flannel: self,
            held,
            session,
        };
        follower.run(queue, notices).await;
    }
}

impl Follower {
    async fn run(self, queue: Arc<PushQueue>, notices: Arc<Notices>) {
        self.attach().await;
        let mut frames = Vec::with_capacity(FRAMES_MAX);
        loop {
            tokio::select! {
                () = self.held.stop.cancelled() => break,
                notice = notices.take() => {
                    if let Notice::Behind { head, .. } = notice {
                        self.behind(head).await;
                    }
                }
                () = self.held.share.added.notified() => self.held.look(|_| ()),
                open = queue.take(&mut frames, FRAMES_MAX) => {
                    if !open {
                        break;
                    }
                    for laned in frames.drain(..) {
                        self.frame(&laned.frame).await;
                    }
                }
            }
        }
        let hubs = &self.flannel.0.hubs;
        hubs.leave(self.session, [self.topic]).await;
    }

    fn cursor(&self) -> Seq {
        self.held.cache.lock().entries.last().unwrap_or_default()
    }

    async fn attach(&self) {
        let (hubs, cell) = (&self.flannel.0.hubs, self.held.cell);
        hubs.attach(self.session, cell, self.topic, self.cursor())
            .await;
    }

    async fn frame(&self, framed: &Bytes) {
        match pushed::body(framed) {
            Some(server_frame::Body::Push(push)) => {
                if let Some(entry) = push.entry {
                    self.held.look(|cache| cache.entry(entry));
                    self.held.reached(push.position);
                }
            }
            Some(server_frame::Body::Missed(_)) => self.attach().await,
            _ => {}
        }
    }

    /// Reads what came since, and goes on after it.
    async fn behind(&self, head: Seq) {
        let cursor = self.cursor();
        if head.0.saturating_sub(cursor.0) > RESUME_MAX {
            self.held.look(|cache| cache.skip_entries(head));
        } else if head > cursor {
            let source = &self.flannel.0.source;
            let entries = source.read_log(self.topic, cursor.next(), head).await;
            if entries.is_empty() {
                tokio::time::sleep(READ_PAUSE).await;
            }
            self.held
                .look(|cache| entries.into_iter().for_each(|entry| cache.entry(entry)));
        }
        self.attach().await;
    }
}
