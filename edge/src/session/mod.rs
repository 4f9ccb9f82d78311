//! Sessions: what an edge node knows of a connected client while it is
//! connected. Nothing of it lasts; the client brings its cursors along.

pub mod attend;
mod beginning;
pub mod caller;
pub mod facts;
pub mod lane;
pub mod notice;
pub mod queue;
#[cfg(test)]
mod tests;
pub mod topics;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use causeway_protocol::client::{self, request, response, server_frame};
use causeway_protocol::limits::HELLO_CURSORS_MAX;
use causeway_protocol::token::Verifier;
use causeway_protocol::{ApiError, CellId, ErrorCode, Name, Seq, UserId};
use tokio_util::sync::CancellationToken;

use self::beginning::Beginning;
use self::caller::{Answer, Asked, Caller, Wish};
use self::facts::{Reader, Telling, Versions};
use self::notice::{Notice, Notices, notices};
use self::queue::PushQueue;
use self::topics::{Step, Topics};
use crate::events::audience::Listener;
use crate::events::draft::Draft;
use crate::events::{Events, presences};
use crate::feeds::{Feeds, Share};
use crate::flannel::boot::{Booted, difference};
use crate::flannel::{Demand, Flannel, queries};
use crate::gate::Gate;
use crate::hub::machine::SessionId;
use crate::hub::{Hubs, Subscriber, read_log};
use crate::limits::{Limits, Quota};
use crate::metrics::{Kind, Measures, Probes};
use crate::pushed;
use crate::refusals::Refusals;
use crate::upstream::{Ask, Upstream};

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
    /// What is kept of workspaces.
    pub flannel: Flannel,
    /// What is not stored.
    pub events: Events,
    /// This edge node.
    pub edge: Name,
    /// Its PoP.
    pub pop: Name,
    /// Counts what was refused, by code.
    pub refusals: Arc<Refusals>,
    /// What users may ask.
    pub limits: Limits,
    /// How long things take.
    pub measures: Measures,
    /// Looks at connections.
    pub probes: Probes,
}

/// A session that has been let in.
pub struct Session {
    shared: Arc<Sessions>,
    id: SessionId,
    caller: Arc<Caller>,
    cell: CellId,
    topics: Topics,
    beginning: Beginning,
    versions: Versions,
    feed: Share,
    queue: Arc<PushQueue>,
    notices: Arc<Notices>,
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
        let quota = self.limits.hello(user)?;
        self.flannel.admit().await?;
        let cell = self.upstream.cell_of(user.workspace()).await?;
        let has = hello.metadata_version;
        // Not less than what the client has seen at another PoP.
        let demand = Demand {
            position: min_position,
            wrote,
            version: has.clone(),
        };
        // Before anything is read: what changes meanwhile waits.
        let feed = self.feeds.join(user.workspace(), cell, &self.upstream);
        let booted = self.flannel.boot(user, cell, demand).await?;
        let Booted {
            boot, behind, kept, ..
        } = booted;
        let (topics, first) = Topics::start(user, &boot, &hello.cursors);
        let beginning = Beginning::new(&boot, kept, first);
        let boot = match hello.keeps_boot && !has.is_empty() {
            true => difference(boot, &hello.cursors, behind),
            false => boot,
        };
        let versions = Versions {
            kept: has,
            boot: boot.metadata_version.clone(),
            behind,
        };
        let session = self.join((user, quota), cell, feed, versions, (topics, beginning));
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
        (user, quota): (UserId, Quota),
        cell: CellId,
        feed: Share,
        versions: Versions,
        (topics, beginning): (Topics, Beginning),
    ) -> Session {
        static SESSIONS: AtomicU64 = AtomicU64::new(1);
        let id = SessionId(SESSIONS.fetch_add(1, Ordering::Relaxed));
        let notices = Arc::new(notices());
        let (queue, cut) = (Arc::<PushQueue>::default(), CancellationToken::new());
        let caller = Caller::new(user, quota, Arc::clone(&notices), cut.clone());
        self.hubs.join(
            id,
            Subscriber {
                queue: Arc::clone(&queue),
                notices: Arc::clone(&notices),
                cut: cut.clone(),
            },
        );
        Session {
            shared: Arc::clone(self),
            id,
            caller: Arc::new(caller),
            cell,
            topics,
            beginning,
            versions,
            feed,
            queue,
            notices,
            cut,
        }
    }

    /// Answers a request of a session; every refusal is counted.
    pub async fn answer(&self, caller: &Caller, request: client::Request) -> client::Response {
        let body = request.body.as_ref();
        if let Err(error) = caller.may_ask(&self.limits, body) {
            return self.refuse(error);
        }
        let (kind, began) = (Kind::of(body), Instant::now());
        let response = self.carry_out(caller, request).await;
        self.measures.answered(kind, began.elapsed());
        response
    }

    async fn carry_out(&self, caller: &Caller, request: client::Request) -> client::Response {
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
            Some(request::Body::Boot(_)) => {
                return self.counted(self.boot(caller.user(), request).await);
            }
            Some(body) if queries::is_ours(&body) => {
                return self.counted(self.query(caller.user(), &body).await);
            }
            body => {
                let request = client::Request { body, ..request };
                let answered = self.upstream.ask(caller.user(), request).await;
                return self.counted(answered);
            }
        };
        self.counted(here.map(|result| client::Response {
            result: Some(result),
            ..client::Response::default()
        }))
    }

    async fn boot(
        &self,
        user: UserId,
        request: client::Request,
    ) -> Result<client::Response, ApiError> {
        let cell = self.upstream.cell_of(user.workspace()).await?;
        let demand = Demand {
            position: request.min_position,
            wrote: request.wrote,
            version: Bytes::new(),
        };
        Ok(self.flannel.boot(user, cell, demand).await?.into_response())
    }

    async fn query(
        &self,
        user: UserId,
        body: &request::Body,
    ) -> Result<client::Response, ApiError> {
        let cell = self.upstream.cell_of(user.workspace()).await?;
        self.flannel.query(user, cell, body).await
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

    /// The answer to what is no request; it counts like one.
    pub fn refuse_of(&self, caller: &Caller, error: ApiError) -> client::Response {
        let may = caller.may_ask(&self.limits, None);
        self.refuse(may.err().unwrap_or(error))
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
    pub async fn run(mut self: Box<Self>, gone: CancellationToken) {
        // The first steps: from there, all is read anyway.
        for step in self.beginning.first() {
            self.take(step).await;
        }
        let reader = Reader {
            upstream: self.shared.upstream.clone(),
            user: self.caller.user(),
            queue: self.queue(),
            notices: Arc::clone(&self.notices),
            cut: self.cut(),
            recent: Arc::clone(&self.feed.recent),
        };
        let versions = std::mem::take(&mut self.versions);
        let mut telling = Telling::new(reader, self.feed.progress.clone(), versions);
        loop {
            if self.beginning.is_over() {
                telling.all_have_begun(self.topics.all().collect());
            }
            let notice = tokio::select! {
                () = gone.cancelled() => break,
                notice = self.notices.take() => notice,
                () = telling.step() => continue,
            };
            let (steps, known) = self.on_notice(notice);
            for step in steps {
                if matches!(step, Step::Begin(..)) {
                    telling.begin(known.clone());
                }
                self.take(step).await;
            }
        }
        self.queue.close();
        self.shared.hubs.leave(self.id, self.topics.all()).await;
    }

    /// What is to be done, and what the client knew of metadata before it heard of it.
    fn on_notice(&mut self, notice: Notice) -> (Vec<Step>, Bytes) {
        match notice {
            Notice::Behind { topic, head } => (self.topics.behind(topic, head), Bytes::new()),
            Notice::OwnAttached => (self.beginning.go_on(&self.topics), Bytes::new()),
            Notice::UserFrame { frame, known } => (self.user_frame(&frame), known),
            Notice::Read { topic, entries } => {
                (self.topics.read(topic, &entries), self.queue.version())
            }
            Notice::OwnFacts { facts, known } => (self.topics.user_facts(&facts), known),
            Notice::Asked(asked) => (self.on_asked(*asked), Bytes::new()),
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
        match pushed::body(framed) {
            Some(server_frame::Body::Push(client::Push {
                entry: Some(entry),
                position,
                ..
            })) => {
                self.shared.upstream.saw(self.caller.user(), position);
                self.topics.user_entry(&entry)
            }
            Some(server_frame::Body::Metadata(push)) => self.topics.user_facts(&push.facts),
            _ => Vec::new(),
        }
    }

    async fn take(&self, step: Step) {
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
            Step::Missed(topic, head) => {
                self.queue.missed(topic, head);
                hubs.count(|c| &c.missed);
            }
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
                let (user, notices) = (self.caller.user(), Arc::clone(&self.notices));
                let cut = self.cut();
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
                    if notices.put(Notice::Read { topic, entries }).is_err() {
                        cut.cancel();
                    }
                });
            }
        }
    }
}

impl Drop for Session {
    /// Whatever ends it, and also if it never ran: nothing of it stays.
    fn drop(&mut self) {
        self.notices.close();
        self.shared.events.leave(self.id, self.topics.opened());
        self.shared.hubs.forget(self.id);
    }
}

/// Seconds since 1970.
fn now_s() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    since_epoch.map_or(0, |d| d.as_secs())
}
