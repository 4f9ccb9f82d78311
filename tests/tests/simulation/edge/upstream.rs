//! The way from an edge node to the cells, as the product's `Upstream` goes it:
//! commands to the leader, questions to the nearest replica, to the leader where
//! that one cannot tell.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use causeway_edge::hub::machine::SessionId;
use causeway_gossip::Patience;
use causeway_protocol::client::{self, request, response};
use causeway_protocol::{ApiError, CellId, ErrorCode, Position, Seq, Topic, UserId};
use rand::RngExt;
use rand::seq::IndexedRandom;

use super::Edge;
use crate::atlas;
use crate::caller::Outcome;
use crate::core::push_frame;
use crate::io::Io;
use crate::message::{Body, Call, Connection, Message};

/// A request that no cell has answered by then is refused.
const BUDGET: Duration = Duration::from_secs(5);
/// The same, and how soon that is without a quorum in reach.
const PATIENCE: Patience = Patience {
    reaching_quorum: BUDGET,
    cut_off: Duration::from_millis(1_500),
};

/// What a question or command is for.
#[derive(Clone)]
pub enum Purpose {
    Client(Connection, u64),
    Hello(Connection, u64, client::Hello),
    /// A hole of the hub.
    Fetch(Topic),
    /// Entries that a session has missed.
    Read(SessionId, Topic),
}

/// A request under way.
#[derive(Clone)]
pub struct Asked {
    pub cell: CellId,
    pub user: UserId,
    pub purpose: Purpose,
    /// The question, as long as only replicas were asked.
    question: Option<client::Request>,
}

impl Edge {
    pub(super) fn on_request(
        &mut self,
        connection: Connection,
        id: u64,
        request: client::Request,
        io: &mut Io<'_>,
    ) {
        let position = request.min_position;
        if let Some(request::Body::Hello(hello)) = request.body {
            return self.on_hello(connection, id, hello, position, io);
        }
        let session = self.sessions.values().find(|s| s.connection == connection);
        let Some(user) = session.map(|session| session.user) else {
            return self.refuse(connection, id, ErrorCode::NotAuthed, io);
        };
        self.ask(user, request, Purpose::Client(connection, id), io);
    }

    pub(super) fn ask(
        &mut self,
        user: UserId,
        mut request: client::Request,
        purpose: Purpose,
        io: &mut Io<'_>,
    ) {
        let Some(cell) = self.caller.routes().cell_of(user.workspace()) else {
            if let Purpose::Client(connection, id) | Purpose::Hello(connection, id, _) = purpose {
                self.refuse(connection, id, ErrorCode::Unavailable, io);
            }
            return;
        };
        let seen = self.recent.get(&user).copied().unwrap_or(0);
        request.min_position = request.min_position.max(seen);
        let is_question = matches!(
            request.body,
            Some(request::Body::Boot(_) | request::Body::ReadLog(_))
        );
        let asked = Asked {
            cell,
            user,
            purpose,
            question: is_question.then(|| request.clone()),
        };
        let call = Call::Api {
            cell,
            user,
            request,
            latest: false,
        };
        match is_question {
            true => self.caller.ask_nearest(cell, call, BUDGET, asked, io),
            false => self.caller.ask_leader(cell, call, PATIENCE, asked, io),
        }
    }

    pub(super) fn read_log(
        &mut self,
        cell: CellId,
        user: UserId,
        topic: Topic,
        (from, to): (Seq, Seq),
        purpose: Purpose,
        io: &mut Io<'_>,
    ) {
        debug_assert_eq!(self.caller.routes().cell_of(user.workspace()), Some(cell));
        let read = client::ReadLog {
            topic: Some(topic.to_wire()),
            from_seq: from.0,
            to_seq: to.0,
        };
        let request = client::Request {
            body: Some(request::Body::ReadLog(read)),
            ..client::Request::default()
        };
        self.ask(user, request, purpose, io);
    }

    /// From time to time somebody asks what only a leader may answer, and asks
    /// any replica: one that led a while ago may believe that it still does.
    pub(super) fn probe(&mut self, io: &mut Io<'_>) {
        let now = io.instant();
        if self.probe_at.is_some_and(|at| now < at) {
            return;
        }
        self.probe_at = Some(now + io.between(100, 400));
        let workspace = atlas::workspace(io.rng.random_range(1..=atlas::CELLS));
        let routes = self.caller.routes();
        let Some(cell) = routes.cell_of(workspace) else {
            return;
        };
        let voters = routes
            .cell(cell)
            .map_or(&[][..], |route| &route.replicas[..]);
        let Some(node) = voters.choose(io.rng).map(|replica| replica.node) else {
            return;
        };
        let call = Call::Api {
            cell,
            user: UserId::platform(workspace),
            request: client::Request {
                body: Some(request::Body::Boot(client::Boot {})),
                ..client::Request::default()
            },
            latest: true,
        };
        // Nobody waits for the answer: the oracle judges it where it is given.
        let id = self.caller.call_id();
        io.send(node, Message::Call(id, Rc::new(call)));
    }

    pub(super) fn finish(&mut self, mut asked: Asked, outcome: Outcome, io: &mut Io<'_>) {
        if outcome.is_err()
            && let Some(request) = asked.question.take()
        {
            let (cell, user) = (asked.cell, asked.user);
            let call = Call::Api {
                cell,
                user,
                request,
                latest: true,
            };
            return self.caller.ask_leader(cell, call, PATIENCE, asked, io);
        }
        let response = match outcome {
            Ok(Body::Response(response)) => Ok(*response),
            Ok(Body::Heads(_)) => Err(ErrorCode::InternalError),
            Err(code) => Err(code),
        };
        if let Ok(response) = &response
            && !asked.user.is_platform()
        {
            let seen = self.recent.entry(asked.user).or_default();
            *seen = (*seen).max(response.position);
        }
        match asked.purpose.clone() {
            Purpose::Client(connection, id) => match response {
                Ok(response) => self.respond(connection, id, response, io),
                Err(code) => self.refuse(connection, id, code, io),
            },
            Purpose::Hello(connection, id, hello) => {
                if !self.connections.contains_key(&connection) {
                    return;
                }
                match response {
                    Ok(response) => {
                        if let Some(welcome) = self.welcome(&asked, &hello, response, io) {
                            self.respond(connection, id, welcome, io);
                        }
                    }
                    Err(code) => self.refuse(connection, id, code, io),
                }
            }
            Purpose::Fetch(topic) => {
                let entries = framed(topic, response.ok());
                io.ledger.holes_filled_by_edges += u64::from(!entries.is_empty());
                let entries = entries
                    .into_iter()
                    .map(|(entry, frame)| (Seq(entry.seq), frame));
                self.hub.fetched(topic, entries.collect(), io.instant());
            }
            Purpose::Read(session, topic) => {
                self.on_read(session, topic, framed(topic, response.ok()), io);
            }
        }
    }

    fn respond(
        &self,
        connection: Connection,
        id: u64,
        response: client::Response,
        io: &mut Io<'_>,
    ) {
        if let Some(client) = self.connections.get(&connection) {
            io.send(*client, Message::Response(connection, id, response.into()));
        }
    }

    fn refuse(&self, connection: Connection, id: u64, code: ErrorCode, io: &mut Io<'_>) {
        io.ledger.refused_as_unavailable += u64::from(code == ErrorCode::Unavailable);
        let response = ApiError::from(code).into_response();
        self.respond(connection, id, response, io);
    }
}

/// Entries of the log beside the frames in which they would be pushed.
fn framed(topic: Topic, response: Option<client::Response>) -> Vec<(client::Entry, Bytes)> {
    let Some(client::Response {
        position,
        result: Some(response::Result::Log(page)),
        ..
    }) = response
    else {
        return Vec::new();
    };
    let entries = page.entries.into_iter();
    let framed = entries.map(|entry| {
        let frame = push_frame(topic, Position(position), entry.clone());
        (entry, frame)
    });
    framed.collect()
}
