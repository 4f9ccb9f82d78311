//! Connecting: every PoP is dialled at once, the first to answer is kept.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway_client::outbox::pause;
use causeway_protocol::NodeId;
use causeway_protocol::client::{self, request};

use super::Client;
use super::requests::Waiting;
use crate::atlas;
use crate::io::{Io, Output};
use crate::message::{Connection, Message};
use crate::planted::Planted;

/// A PoP that does not answer by then is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A hello is answered by then.
const HELLO_TIMEOUT: Duration = Duration::from_secs(6);

pub enum Standing {
    /// Before the next try.
    Waiting(Instant),
    Dialling(BTreeSet<Connection>, Instant),
    /// Hello was said; pushes wait for the welcome.
    Greeting {
        connection: Connection,
        edge: NodeId,
        until: Instant,
        held: Vec<Bytes>,
    },
    Connected(Link),
}

#[derive(Debug, Clone, Copy)]
pub struct Link {
    pub connection: Connection,
    pub edge: NodeId,
}

impl Client {
    pub(super) fn connection(&self) -> Option<(Connection, NodeId)> {
        match &self.standing {
            Standing::Greeting {
                connection, edge, ..
            } => Some((*connection, *edge)),
            Standing::Connected(link) => Some((link.connection, link.edge)),
            _ => None,
        }
    }

    pub(super) fn has(&self, connection: Connection) -> bool {
        self.connection()
            .is_some_and(|(mine, _)| mine == connection)
    }

    pub(super) fn tick_connecting(&mut self, io: &mut Io<'_>) {
        let now = io.instant();
        match &self.standing {
            Standing::Waiting(until) if now >= *until => self.dial(io),
            Standing::Dialling(_, until) if now >= *until => self.disconnected(io),
            Standing::Greeting {
                connection, until, ..
            } if now >= *until => {
                io.outputs.push(Output::Close(*connection));
                self.disconnected(io);
            }
            _ => {}
        }
    }

    fn dial(&mut self, io: &mut Io<'_>) {
        let mut dialled = BTreeSet::new();
        for edge in atlas::edges() {
            self.next_connection += 1;
            let connection = Connection(self.next_connection);
            dialled.insert(connection);
            io.send_to(edge, Message::Dial(connection));
        }
        self.standing = Standing::Dialling(dialled, io.instant() + CONNECT_TIMEOUT);
    }

    pub(super) fn on_accepted(&mut self, edge: NodeId, connection: Connection, io: &mut Io<'_>) {
        let wanted = match &self.standing {
            Standing::Dialling(dialled, _) => dialled.contains(&connection),
            _ => false,
        };
        if !wanted {
            if !self.has(connection) {
                io.outputs.push(Output::Close(connection));
            }
            return;
        }
        let cursors = match io.has(Planted::ForgottenCursors) {
            true => Vec::new(),
            false => self.inbox.cursors(),
        };
        self.standing = Standing::Greeting {
            connection,
            edge,
            until: io.instant() + HELLO_TIMEOUT,
            held: Vec::new(),
        };
        let hello = client::Hello {
            token: self.user.0.to_string(),
            client: String::new(),
            cursors,
        };
        self.request(request::Body::Hello(hello), Waiting::Welcome, io);
    }

    pub(super) fn welcomed(&mut self, boot: &client::BootData, io: &mut Io<'_>) {
        let Some((connection, edge)) = self.connection() else {
            return;
        };
        self.tries = 0;
        if let Some(last) = self.last_edge.replace(edge) {
            io.ledger.resumes += 1;
            io.ledger.resumes_at_another_pop += u64::from(last != edge);
        }
        let link = Standing::Connected(Link { connection, edge });
        let before = std::mem::replace(&mut self.standing, link);
        io.note(edge.0, |line| {
            let channels = boot.channels.iter().map(|c| (c.id & 0xffff, c.last_seq));
            let channels: Vec<_> = channels.collect();
            line.push_str(&format!("booted: {channels:?}, user {}", boot.user_seq));
        });
        io.oracle.deliveries.booted(io.host, self.user, boot);
        let channels = boot.channels.iter().map(|channel| channel.id);
        self.talk.booted(channels.map(causeway_protocol::ChannelId));
        let takes = self.inbox.booted(boot);
        self.carry_out(takes, io);
        if let Standing::Greeting { held, .. } = before {
            for frame in held {
                self.on_push(frame, io);
            }
        }
    }

    /// The present connection, or the try to make one, is over.
    pub(super) fn disconnected(&mut self, io: &mut Io<'_>) {
        let now = io.instant();
        self.outbox.disconnected(now);
        self.waiting.clear();
        self.unread.clear();
        // The first try after a break is made at once; then tries are spread.
        let wait = match self.tries {
            0 => Duration::ZERO,
            tries => pause(tries, &mut self.rng),
        };
        self.tries += 1;
        self.standing = Standing::Waiting(now + wait);
    }

    /// Gives the present connection up, as the application may.
    pub fn reconnect(&mut self, io: &mut Io<'_>) {
        if let Some((connection, _)) = self.connection() {
            io.outputs.push(Output::Close(connection));
            self.disconnected(io);
        }
    }
}
