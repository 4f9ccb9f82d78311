//! Sessions: what an edge node knows of a connected client while it is
//! connected. Nothing of it lasts; the client brings its cursors along.

pub mod caller;
pub mod facts;
pub mod native;
pub mod queue;
#[cfg(test)]
mod tests;
pub mod topics;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use causeway_protocol::client::{self, request, response, server_frame};
use causeway_protocol::limits::HELLO_CURSORS_MAX;
use causeway_protocol::token::Verifier;
use causeway_protocol::{ApiError, CellId, ErrorCode, Name, Seq, Topic, UserId, frame};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use self::caller::{Answer, Asked, Asks, Caller, Wish};
use self::facts::{Telling, Versions};
use self::queue::PushQueue;
use self::topics::{Step, Topics};
use crate::events::audience::Listener;
use crate::events::draft::Draft;
use crate::events::{Events, presences};
use crate::feeds::{Feeds, Share};
use crate::gate::Gate;
use crate::hub::machine::SessionId;
use crate::hub::{Hubs, Notice, Subscriber, read_log};
use crate::refusals::Refusals;
use crate::upstream::{Ask, Upstream};

/// Notices that wait for a session.
const NOTICES_MAX: usize = 8 * 1024;
/// Between tries to read a log that does not answer.
const READ_PAUSE: Duration = Duration::from_millis(200);

/// What all sessions of an edge node share.
pub struct Sessions {
    /// The way to the cells.
    pub upstream: Upstream,
    /// Verifies tokens.
    pub verifier: Verifier,
    /// Delivers pushes.
    pub hubs: Hubs,
    /// Whether clients are taken.
    pub gate: Gate,
    /// Tell of metadata.
    pub feeds: Feeds,
    /// What is not stored.
    pub events: Events,
    /// This edge node.
    pub edge: Name,
    /// Its PoP.
    pub pop: Name,
    /// Counts what was refused, by code.
    pub refusals: Arc<Refusals>,
}

/// A session that has been let in.
pub struct Session {
    shared: Arc<Sessions>,
    id: SessionId,
    caller: Arc<Caller>,
    asks: Asks,
    cell: CellId,
    topics: Topics,
    first: Vec<Step>,
    versions: Versions,
    feed: Share,
    queue: Arc<PushQueue>,
    notices: mpsc::Receiver<Notice>,
    cut: CancellationToken,
}

impl Sessions {
    /// Lets a client in that says hello, and boots it.
    ///
    /// # Errors
    /// [`ApiError`]: a token that is not valid, a user who may not, a cell out
    /// of reach.
    pub async fn welcome(
        self: &Arc<Self>,
        hello: client::Hello,
        min_position: u64,
        wrote: Bytes,
    ) -> Result<(Session, client::Response), ApiError> {
        if hello.cursors.len() > HELLO_CURSORS_MAX {
            let text = format!("a hello has up to {HELLO_CURSORS_MAX} cursors");
            return Err(ApiError::new(ErrorCode::InvalidArguments, text));
        }
        let claims = self.verifier.verify(&hello.token, now_s());
        let user = claims
            .map_err(|e| ApiError::new(e.code(), e.to_string()))?
            .user;
        let cell = self.upstream.cell_of(user.workspace()).await?;
        // Not older than what the client has seen at another PoP.
        let boot = client::Request {
            min_position,
            wrote,
            body: Some(request::Body::Boot(client::Boot {})),
        };
        let kept = hello.metadata_version;
        // Before anything is read: what changes meanwhile waits.
        let feed = self.feeds.join(user.workspace(), cell, &self.upstream);
        let booted = self.upstream.ask_since(user, boot, &kept).await?;
        let boot = match booted.result {
            Some(response::Result::Boot(boot)) => boot,
            Some(response::Result::Error(error)) => return Err(ApiError::from_wire(error)),
            _ => return Err(ErrorCode::InternalError.into()),
        };
        let (topics, first) = Topics::start(user, &boot, &hello.cursors);
        let versions = Versions {
            kept,
            boot: boot.metadata_version.clone(),
        };
        let session = self.join(user, cell, feed, versions, (topics, first));
        let welcome = client::Welcome {
            session_id: session.id.0,
            edge: self.edge.to_string(),
            pop: self.pop.to_string(),
            boot: Some(boot),
        };
        let response = client::Response {
            position: booted.position,
            age_ms: booted.age_ms,
            result: Some(response::Result::Welcome(welcome)),
            ..client::Response::default()
        };
        Ok((session, response))
    }

    fn join(
        self: &Arc<Self>,
        user: UserId,
        cell: CellId,
        feed: Share,
        versions: Versions,
        (topics, first): (Topics, Vec<Step>),
    ) -> Session {
        static SESSIONS: AtomicU64 = AtomicU64::new(1);
        let id = SessionId(SESSIONS.fetch_add(1, Ordering::Relaxed));
        let (sender, notices) = mpsc::channel(NOTICES_MAX);
        let (queue, cut) = (Arc::<PushQueue>::default(), CancellationToken::new());
        let (caller, asks) = Caller::new(user);
        self.hubs.join(
            id,
            Subscriber {
                queue: Arc::clone(&queue),
                notices: sender,
                cut: cut.clone(),
            },
        );
        Session {
            shared: Arc::clone(self),
            id,
            caller: Arc::new(caller),
            asks,
            cell,
            topics,
            first,
            versions,
            feed,
            queue,
            notices,
            cut,
        }
    }

    /// Answers a request of a session; every refusal is counted.
    pub async fn answer(&self, caller: &Caller, request: client::Request) -> client::Response {
        let here = match request.body {
            Some(request::Body::Ping(_)) => Ok(response::Result::Pong(client::Pong {})),
            Some(request::Body::Hello(_)) => Err(ApiError::new(
                ErrorCode::InvalidArguments,
                "this connection has said hello already",
            )),
            Some(request::Body::SendEvent(send)) => {
                caller.send_event(send, self.events.counters()).await
            }
            Some(request::Body::OpenChannels(open)) => caller.open_channels(open).await,
            Some(request::Body::WatchPresence(watch)) => caller.watch_presence(watch).await,
            _ => {
                let answered = self.upstream.ask(caller.user(), request).await;
                return self.counted(answered);
            }
        };
        self.counted(here.map(|result| client::Response {
            result: Some(result),
            ..client::Response::default()
        }))
    }

    fn counted(&self, answered: Result<client::Response, ApiError>) -> client::Response {
        let response = answered.unwrap_or_else(ApiError::into_response);
        if let Some(response::Result::Error(error)) = &response.result {
            self.refusals.count(&error.code);
        }
        response
    }

    /// Takes in what a session's client sends without waiting for an answer.
    pub fn datagram(&self, caller: &Caller, bytes: Bytes) {
        caller.datagram(bytes, self.events.counters());
    }

    /// The answer to a hello that is not let in.
    pub fn turn_away(&self, hello: &client::Hello) -> Option<client::Response> {
        let refusal = self.gate.refusal(hello)?;
        self.refusals.count(&refusal.code);
        Some(client::Response {
            result: Some(response::Result::Error(refusal)),
            ..client::Response::default()
        })
    }

    /// The answer to what is no request.
    pub fn refuse(&self, error: ApiError) -> client::Response {
        self.refusals.count(error.code.as_str());
        error.into_response()
    }
}

impl Session {
    /// Whose requests are its own.
    pub fn caller(&self) -> Arc<Caller> {
        Arc::clone(&self.caller)
    }

    /// Its pushes.
    pub fn queue(&self) -> Arc<PushQueue> {
        Arc::clone(&self.queue)
    }

    /// Ends when the session must be cut off.
    pub fn cut(&self) -> CancellationToken {
        self.cut.clone()
    }

    /// Keeps the session's topics attached until `gone`, then takes it out.
    pub async fn run(mut self, gone: CancellationToken) {
        let (reads_done, mut done) = mpsc::channel::<(Topic, Vec<client::Entry>)>(NOTICES_MAX);
        let (begun, has_begun) = mpsc::channel(NOTICES_MAX);
        let (own, mut own_facts) = mpsc::channel(NOTICES_MAX);
        // The first steps: from there, all is read anyway.
        for step in std::mem::take(&mut self.first) {
            self.take(step, &reads_done).await;
        }
        let telling = Telling {
            upstream: self.shared.upstream.clone(),
            user: self.caller.user(),
            queue: self.queue(),
            progress: self.feed.progress.clone(),
            begun: has_begun,
            own,
            cut: self.cut(),
        };
        let telling = tokio::spawn(telling.run(std::mem::take(&mut self.versions)));
        loop {
            let (steps, known) = tokio::select! {
                () = gone.cancelled() => break,
                Some(notice) = self.notices.recv() => self.on_notice(notice),
                Some((topic, entries)) = done.recv() => {
                    (self.topics.read(topic, &entries), self.queue.version())
                }
                Some((facts, known)) = own_facts.recv() => (self.topics.user_facts(&facts), known),
                Some(asked) = self.asks.recv() => (self.on_asked(*asked), Bytes::new()),
            };
            for step in steps {
                let begins = matches!(step, Step::Begin(..));
                self.take(step, &reads_done).await;
                if begins && begun.try_send(known.clone()).is_err() {
                    self.cut.cancel();
                }
            }
        }
        telling.abort();
        self.queue.close();
        self.shared.hubs.leave(self.id, self.topics.all()).await;
    }

    /// What is to be done, and what the client knew of metadata before it heard of it.
    fn on_notice(&mut self, notice: Notice) -> (Vec<Step>, Bytes) {
        match notice {
            Notice::Behind { topic, head } => (self.topics.behind(topic, head), Bytes::new()),
            Notice::Attached(_) => (Vec::new(), Bytes::new()),
            Notice::UserFrame { frame, known } => (self.user_frame(&frame), known),
        }
    }

    fn on_asked(&mut self, asked: Asked) -> Vec<Step> {
        let done = Ok(response::Result::Done(client::Done {}));
        let (answer, steps) = match asked.wish {
            Wish::Send(draft) => (self.send_event(draft), Vec::new()),
            Wish::Show(topics, counts) => (done, self.topics.show(&topics, counts)),
            Wish::Watch(users) => {
                let known = self.shared.events.watch(self.id, self.cell, users);
                let known = response::Result::Presences(presences(&known));
                (Ok(known), Vec::new())
            }
        };
        // Whoever asked may be gone.
        let _ = asked.done.send(answer);
        steps
    }

    fn send_event(&self, draft: Draft) -> Answer {
        let (events, topic) = (&self.shared.events, draft.topic());
        if !self.topics.has(topic) {
            events.counters().add(|c| &c.invalid);
            return Err(ErrorCode::NotInChannel.into());
        }
        events.send(self.cell, topic, &draft.relay(self.caller.user()));
        Ok(response::Result::Done(client::Done {}))
    }

    fn user_frame(&mut self, framed: &Bytes) -> Vec<Step> {
        let body = framed.slice(frame::HEADER_BYTES..);
        let decoded = frame::decode::<client::ServerFrame>(body);
        match decoded.ok().and_then(|frame| frame.body) {
            Some(server_frame::Body::Push(client::Push {
                entry: Some(entry), ..
            })) => self.topics.user_entry(&entry),
            Some(server_frame::Body::Metadata(push)) => self.topics.user_facts(&push.facts),
            _ => Vec::new(),
        }
    }

    async fn take(&self, step: Step, done: &mpsc::Sender<(Topic, Vec<client::Entry>)>) {
        let hubs = &self.shared.hubs;
        match step {
            Step::Begin(topic, cursor) | Step::Attach(topic, cursor) => {
                hubs.attach(self.id, self.cell, topic, cursor).await;
            }
            Step::Count(topic) => {
                let user = self.caller.user();
                hubs.count_for(self.id, user, self.cell, topic).await;
            }
            Step::Detach(topic) => hubs.detach(self.id, topic).await,
            Step::Missed(topic, head) => self.queue.missed(topic, head),
            Step::Open(topic) => {
                let listener = Listener {
                    user: self.caller.user(),
                    queue: self.queue(),
                };
                self.shared.events.open(self.id, self.cell, topic, listener);
            }
            Step::Close(topic) => self.shared.events.close(self.id, topic),
            Step::StartOver => self.cut.cancel(),
            Step::Read { topic, from, to } => {
                let (upstream, queue) = (self.shared.upstream.clone(), self.queue());
                let (user, done) = (self.caller.user(), done.clone());
                tokio::spawn(async move {
                    let framed = read_log(&upstream, user, topic, from, to).await;
                    if framed.is_empty() {
                        tokio::time::sleep(READ_PAUSE).await;
                    }
                    let mut entries = Vec::with_capacity(framed.len());
                    for (entry, frame) in framed {
                        queue.push(topic, &[(Seq(entry.seq), frame)]);
                        entries.push(entry);
                    }
                    // Fails only when the session is over.
                    let _ = done.send((topic, entries)).await;
                });
            }
        }
    }
}

impl Drop for Session {
    /// Whatever ends it, and also if it never ran: nothing of it stays.
    fn drop(&mut self) {
        self.shared.events.leave(self.id, self.topics.opened());
        self.shared.hubs.forget(self.id);
    }
}

/// Seconds since 1970.
fn now_s() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    since_epoch.map_or(0, |d| d.as_secs())
}
