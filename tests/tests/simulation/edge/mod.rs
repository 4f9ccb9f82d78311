//! An edge node: thin shells around the product's hub, sessions and routes.

mod drain;
mod fan_out;
mod session;
mod upstream;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use causeway_edge::drain::Departures;
use causeway_edge::hub::machine::{Hub, SessionId};
use causeway_edge::hub::places::Places;
use causeway_protocol::{CellId, NodeId, Topic, UserId, client};

use self::fan_out::Subscribing;
use self::session::Session;
use self::upstream::Asked;
use crate::caller::Caller;
use crate::follower::Follower;
use crate::io::Io;
use crate::membership::Gossip;
use crate::message::{Answer, CallId, Connection, LinkChange, Message};

/// A read of the log that came back empty, and is reported a little later.
struct EmptyRead {
    at: Instant,
    session: SessionId,
    topic: Topic,
}

pub struct Edge {
    me: NodeId,
    gossip: Gossip,
    caller: Caller<Asked>,
    follower: Follower,
    hub: Hub,
    places: Places,
    /// The routes by which `places` were made.
    placed_at: u64,
    connections: BTreeMap<Connection, NodeId>,
    sessions: BTreeMap<SessionId, Session>,
    next_session: u64,
    subscribing: BTreeMap<CallId, Subscribing>,
    empty_reads: Vec<EmptyRead>,
    recent: BTreeMap<UserId, u64>,
    probe_at: Option<Instant>,
    departures: Departures,
    drain_at: Option<Instant>,
}

impl Edge {
    pub fn start(me: NodeId, io: &mut Io<'_>) -> Self {
        let gossip = Gossip::start(me, io);
        let caller = Caller::new(me);
        Self {
            me,
            places: Places::new(Arc::clone(caller.routes()), gossip.membership()),
            gossip,
            caller,
            follower: Follower::default(),
            hub: Hub::default(),
            placed_at: 0,
            connections: BTreeMap::new(),
            sessions: BTreeMap::new(),
            next_session: me.0 << 16,
            subscribing: BTreeMap::new(),
            empty_reads: Vec::new(),
            recent: BTreeMap::new(),
            probe_at: None,
            departures: Departures::default(),
            drain_at: None,
        }
    }

    pub fn node(&self) -> NodeId {
        self.me
    }

    pub fn caller(&self) -> &Caller<Asked> {
        &self.caller
    }

    pub fn gossip(&self) -> &Gossip {
        &self.gossip
    }

    pub fn places(&self) -> &Places {
        &self.places
    }

    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// The topics of its sessions, and their cells.
    pub fn topics(&self) -> Vec<(CellId, Topic)> {
        let sessions = self.sessions.values();
        let mut topics: Vec<_> = sessions
            .flat_map(|session| session.topics.all().map(|topic| (session.cell, topic)))
            .collect();
        topics.sort();
        topics.dedup();
        topics
    }

    pub fn on_message(&mut self, from: NodeId, message: Message, io: &mut Io<'_>) {
        match message {
            Message::Gossip(bytes) => {
                let changed = self.gossip.receive(&bytes, io);
                self.follow_places(changed, io);
            }
            Message::Hints(hints) => {
                self.caller.hint(&hints);
            }
            Message::Publish(publish) => {
                let now = io.instant();
                self.hub
                    .publish(publish.topic, publish.seq, publish.frame, now);
            }
            Message::Answer(id, answer) => self.on_answer(id, &answer, io),
            Message::Dial(connection) => {
                self.connections.insert(connection, from);
                io.send(from, Message::Accepted(connection));
            }
            Message::Request(connection, id, request) => {
                self.on_request(connection, id, client::Request::clone(&request), io);
            }
            _ => {}
        }
        self.go_on(io);
    }

    pub fn on_link(&mut self, change: LinkChange, io: &mut Io<'_>) {
        self.caller.link(change);
        let changed = self.gossip.link(change, io);
        self.follow_places(changed, io);
        // Coming and going alike void the subscriptions there.
        self.hub
            .server_lost(change.peer, &self.places, io.instant());
        self.go_on(io);
    }

    /// A client's connection is over.
    pub fn on_closed(&mut self, connection: Connection, io: &mut Io<'_>) {
        self.connections.remove(&connection);
        let of_it = |session: &Session| session.connection == connection;
        let ids: Vec<SessionId> = self
            .sessions
            .iter()
            .filter(|(_, s)| of_it(s))
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            self.end_session(id, io);
        }
        self.go_on(io);
    }

    pub fn tick(&mut self, io: &mut Io<'_>) {
        let changed = self.gossip.tick(io);
        self.follow_places(changed, io);
        let version = self.caller.routes().version();
        let members = self.gossip.membership();
        self.follower
            .poll(self.me, version, &mut self.caller, members, io);
        self.hub.tick(&self.places, io.instant());
        self.expire_subscriptions(io);
        self.report_empty_reads(io);
        self.probe(io);
        self.drain(io);
        self.go_on(io);
    }

    pub fn leave(&mut self, io: &mut Io<'_>) {
        self.gossip.leave(io);
    }

    fn on_answer(&mut self, id: CallId, answer: &Answer, io: &mut Io<'_>) {
        match answer {
            Answer::Directory(directory) => {
                if self.follower.answered(id) {
                    self.caller
                        .update(|routes| routes.apply_directory(directory));
                }
            }
            Answer::Heads(heads) => self.on_heads(id, heads, io),
            Answer::Routed(..) => {
                if let Some((asked, outcome)) = self.caller.answered(id, answer, io) {
                    self.finish(asked, outcome, io);
                }
            }
        }
    }

    /// Topics follow their channel servers when routes or members change.
    fn follow_places(&mut self, members_changed: bool, io: &mut Io<'_>) {
        let changes = self.caller.changes();
        if !members_changed && changes == self.placed_at {
            return;
        }
        self.placed_at = changes;
        self.places = Places::new(Arc::clone(self.caller.routes()), self.gossip.membership());
        self.hub.routes_changed(&self.places, io.instant());
    }

    /// Does whatever a step has made possible.
    fn go_on(&mut self, io: &mut Io<'_>) {
        for (asked, outcome) in self.caller.poll(io) {
            self.finish(asked, outcome, io);
        }
        self.follow_places(false, io);
        self.carry_out(io);
        self.flush(io);
    }
}
