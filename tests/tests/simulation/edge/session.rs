//! Sessions, as the product's `Session` runs them: around `Topics` and the queue
//! of pushes.

use std::sync::Arc;
use std::time::Duration;

use causeway_edge::hub::machine::SessionId;
use causeway_edge::session::queue::PushQueue;
use causeway_edge::session::topics::{Step, Topics};
use causeway_protocol::client::{self, request, response};
use causeway_protocol::{CellId, Seq, Topic, UserId};
use futures::FutureExt;

use super::upstream::{Asked, Purpose};
use super::{Edge, EmptyRead};
use crate::io::{Io, Output};
use crate::message::{Connection, Message};

/// Between tries to read a log that does not answer.
const READ_PAUSE: Duration = Duration::from_millis(200);
/// Frames that are written at a time.
const FRAMES: usize = 64;

pub struct Session {
    pub connection: Connection,
    pub user: UserId,
    pub cell: CellId,
    pub topics: Topics,
    queue: Arc<PushQueue>,
}

impl Session {
    pub fn queue(&self) -> &PushQueue {
        &self.queue
    }
}

impl Edge {
    /// The boot data of a client that said hello is there.
    pub(super) fn welcome(
        &mut self,
        asked: &Asked,
        hello: &client::Hello,
        booted: client::Response,
        io: &mut Io<'_>,
    ) -> Option<client::Response> {
        let Some(response::Result::Boot(boot)) = booted.result else {
            return Some(booted);
        };
        let Purpose::Hello(connection, ..) = asked.purpose else {
            return None;
        };
        let (topics, first) = Topics::start(asked.user, &boot, &hello.cursors);
        self.next_session += 1;
        let id = SessionId(self.next_session);
        let session = Session {
            connection,
            user: asked.user,
            cell: asked.cell,
            topics,
            queue: Arc::default(),
        };
        self.sessions.insert(id, session);
        self.take(id, first, io);
        Some(client::Response {
            position: booted.position,
            age_ms: booted.age_ms,
            result: Some(response::Result::Welcome(client::Welcome {
                session_id: id.0,
                boot: Some(boot),
                ..client::Welcome::default()
            })),
            ..client::Response::default()
        })
    }

    pub(super) fn end_session(&mut self, id: SessionId, io: &mut Io<'_>) {
        if let Some(session) = self.sessions.remove(&id) {
            for topic in session.topics.all() {
                self.hub.detach(id, topic, io.instant());
            }
        }
    }

    /// Cuts a client off: it comes back, and boots anew.
    pub(super) fn cut(&mut self, id: SessionId, io: &mut Io<'_>) {
        if let Some(session) = self.sessions.get(&id) {
            io.outputs.push(Output::Close(session.connection));
        }
    }

    pub(super) fn take(&mut self, id: SessionId, steps: Vec<Step>, io: &mut Io<'_>) {
        let now = io.instant();
        for step in steps {
            let Some(session) = self.sessions.get(&id) else {
                return;
            };
            let (user, cell) = (session.user, session.cell);
            io.note(id.0, |line| line.push_str(&format!("{user}: {step:?}")));
            match step {
                Step::Begin(topic, cursor) | Step::Attach(topic, cursor) => {
                    self.hub.attach(id, cell, topic, cursor, &self.places, now);
                }
                Step::Detach(topic) => self.hub.detach(id, topic, now),
                Step::Missed(topic, head) => session.queue.missed(topic, head),
                Step::StartOver => self.cut(id, io),
                // Nobody here says what is on the screen.
                Step::Open(_) | Step::Close(_) | Step::Count(_) => {}
                Step::Read { topic, from, to } => {
                    io.ledger.resumes_with_reading += 1;
                    let purpose = Purpose::Read(id, topic);
                    self.read_log(cell, user, topic, (from, to), purpose, io);
                }
            }
        }
    }

    /// Entries that a session had missed were read: they are pushed.
    pub(super) fn on_read(
        &mut self,
        id: SessionId,
        topic: Topic,
        framed: Vec<(client::Entry, bytes::Bytes)>,
        io: &mut Io<'_>,
    ) {
        if framed.is_empty() {
            let at = io.instant() + READ_PAUSE;
            self.empty_reads.push(EmptyRead {
                at,
                session: id,
                topic,
            });
            return;
        }
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let mut entries = Vec::new();
        for (entry, frame) in framed {
            session.queue.push(topic, &[(Seq(entry.seq), frame)]);
            entries.push(entry);
        }
        let steps = session.topics.read(topic, &entries);
        self.take(id, steps, io);
    }

    pub(super) fn report_empty_reads(&mut self, io: &mut Io<'_>) {
        let now = io.instant();
        let due: Vec<_> = self
            .empty_reads
            .extract_if(.., |read| read.at <= now)
            .collect();
        for read in due {
            if let Some(session) = self.sessions.get_mut(&read.session) {
                let steps = session.topics.read(read.topic, &[]);
                self.take(read.session, steps, io);
            }
        }
    }

    /// Writes what the queues hold.
    pub(super) fn flush(&mut self, io: &mut Io<'_>) {
        for session in self.sessions.values() {
            let Some(client) = self.connections.get(&session.connection) else {
                continue;
            };
            let mut frames = Vec::new();
            while let Some(true) = session.queue.take(&mut frames, FRAMES).now_or_never() {
                for laned in frames.drain(..) {
                    let push = Message::Push(session.connection, laned.frame);
                    io.send(*client, push);
                }
            }
        }
    }

    /// A client's first request.
    pub(super) fn on_hello(
        &mut self,
        connection: Connection,
        id: u64,
        hello: client::Hello,
        min_position: u64,
        io: &mut Io<'_>,
    ) {
        let user = UserId(
            hello
                .token
                .parse()
                .expect("the simulation's tokens are numbers"),
        );
        let boot = client::Request {
            min_position,
            body: Some(request::Body::Boot(client::Boot {})),
            ..client::Request::default()
        };
        let purpose = Purpose::Hello(connection, id, hello);
        self.ask(user, boot, purpose, io);
    }
}
