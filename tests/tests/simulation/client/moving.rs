//! From one PoP to another, as the product's `Moving` goes: the old connection is
//! left when the next has let the client in.

use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway_client::lifecycle::Input;
use causeway_protocol::NodeId;
use causeway_protocol::client;

use super::Client;
use super::connecting::{Dialling, Greeting, Link};
use crate::atlas;
use crate::io::{Io, Output};
use crate::message::Connection;
use crate::planted::Planted;

/// What is under way on a connection that is left is waited for so long.
const LINGER: Duration = Duration::from_secs(5);

pub enum Moving {
    Dialling(Dialling),
    Greeting {
        next: Greeting,
        /// What came on the old connection since hello was said.
        kept: Vec<Bytes>,
    },
}

/// A connection that was left, while requests are under way on it.
pub struct Leaving {
    link: Link,
    until: Instant,
}

impl Client {
    /// The edge node wants to be left.
    pub(super) fn go_away(&mut self, away: &client::GoAway, io: &mut Io<'_>) {
        let Some(link) = self.link() else {
            return;
        };
        let (now, pops) = (io.instant(), atlas::pops());
        let go_away = Input::GoAway {
            at: atlas::address(link.host),
            code: away.code.clone(),
            open: away.pops.clone(),
        };
        self.lifecycle.on(go_away, now);
        if io.has(Planted::LeavesFirst) {
            return self.reconnect(io);
        }
        if self.moving.is_none() {
            let (first, _) = self.lifecycle.avoid().split(&pops, now);
            self.moving = Some(Moving::Dialling(self.ask(&first, true, io)));
        }
    }

    /// Takes in a PoP that the client may move to. Returns whether this is one.
    pub(super) fn on_accepted_elsewhere(
        &mut self,
        edge: NodeId,
        connection: Connection,
        io: &mut Io<'_>,
    ) -> bool {
        match &self.moving {
            Some(Moving::Dialling(dialling)) => {
                let Some(link) = dialling.answered(edge, connection) else {
                    return self.is_left(connection);
                };
                let (next, kept) = (self.greet(link, io), Vec::new());
                self.moving = Some(Moving::Greeting { next, kept });
                true
            }
            Some(Moving::Greeting { next, .. }) if next.link.connection == connection => true,
            _ => self.is_left(connection),
        }
    }

    fn is_left(&self, connection: Connection) -> bool {
        let mut leaving = self.leaving.iter();
        leaving.any(|leaving| leaving.link.connection == connection)
    }

    /// Keeps a push for later if it comes amid the hello of a move.
    pub(super) fn keep(&mut self, connection: Connection, frame: &Bytes) -> bool {
        let is_old = self.has(connection);
        match &mut self.moving {
            Some(Moving::Greeting { kept, .. }) if is_old => kept.push(frame.clone()),
            Some(Moving::Greeting { next, .. }) if next.link.connection == connection => {
                next.held.push(frame.clone());
            }
            _ => return false,
        }
        true
    }

    /// The answer to a hello. Returns whether it was that of a move.
    pub(super) fn on_welcome_elsewhere(
        &mut self,
        connection: Connection,
        boot: Option<&client::BootData>,
        io: &mut Io<'_>,
    ) -> bool {
        let is_this = matches!(&self.moving, Some(Moving::Greeting { next, .. })
            if next.link.connection == connection);
        let Some(boot) = boot.filter(|_| is_this) else {
            if is_this {
                self.stay(io);
            }
            return is_this;
        };
        let Some(Moving::Greeting { next, .. }) = self.moving.take() else {
            return true;
        };
        io.ledger.clients_moved += 1;
        let until = io.instant() + LINGER;
        self.leaving
            .extend(self.link().map(|link| Leaving { link, until }));
        self.welcomed(next, boot, io);
        true
    }

    /// Nowhere else to go.
    fn stay(&mut self, io: &mut Io<'_>) {
        if let Some(Moving::Greeting { next, kept }) = self.moving.take() {
            io.outputs.push(Output::Close(next.link.connection));
            self.waiting
                .retain(|_, (connection, _)| *connection != next.link.connection);
            for frame in kept {
                self.on_push(frame, io);
            }
        }
    }

    pub(super) fn tick_moving(&mut self, io: &mut Io<'_>) {
        let now = io.instant();
        let over = self.moving.as_ref().is_some_and(|moving| match moving {
            Moving::Dialling(dialling) => now >= dialling.until,
            Moving::Greeting { next, .. } => now >= next.until,
        });
        if over {
            self.stay(io);
        }
        let waiting = &self.waiting;
        let is_done = |leaving: &mut Leaving| {
            let of_it = leaving.link.connection;
            now >= leaving.until || waiting.values().all(|(connection, _)| *connection != of_it)
        };
        let done: Vec<Leaving> = self.leaving.extract_if(.., is_done).collect();
        for leaving in done {
            io.outputs.push(Output::Close(leaving.link.connection));
            self.fail_requests(leaving.link.connection, io);
        }
    }

    /// A connection other than the present one has ended.
    pub(super) fn on_closed_elsewhere(&mut self, connection: Connection, io: &mut Io<'_>) {
        let is_next = matches!(&self.moving, Some(Moving::Greeting { next, .. })
            if next.link.connection == connection);
        if is_next {
            self.stay(io);
        } else if self.is_left(connection) {
            self.leaving.retain(|l| l.link.connection != connection);
            self.fail_requests(connection, io);
        }
    }

    pub(super) fn forget_moves(&mut self, io: &mut Io<'_>) {
        if let Some(Moving::Greeting { next, .. }) = self.moving.take() {
            io.outputs.push(Output::Close(next.link.connection));
        }
        for leaving in self.leaving.drain(..) {
            io.outputs.push(Output::Close(leaving.link.connection));
        }
    }
}
