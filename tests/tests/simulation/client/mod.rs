//! A client: a thin shell around the product's lifecycle, inbox and outbox, as the client
//! library's supervisor is, and an application that talks.

mod connecting;
mod moving;
mod requests;
mod talk;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use causeway_client::inbox::{Inbox, Seen, Take};
use causeway_client::lifecycle::Lifecycle;
use causeway_client::outbox::Outbox;
use causeway_protocol::client::{self, request, server_frame};
use causeway_protocol::{NodeId, Topic, UserId, frame};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use self::connecting::{Link, Standing};
use self::moving::{Leaving, Moving};
use self::requests::Waiting;
use self::talk::Talk;
use crate::atlas;
use crate::io::Io;
use crate::message::{Connection, Message};
use crate::planted::Planted;

pub struct Client {
    user: UserId,
    inbox: Inbox,
    outbox: Outbox,
    standing: Standing,
    moving: Option<Moving>,
    leaving: Vec<Leaving>,
    lifecycle: Lifecycle,
    next_connection: u64,
    next_request: u64,
    /// By the connection on which it was asked.
    waiting: BTreeMap<u64, (Connection, Waiting)>,
    /// Logs to ask again, as they could not be read.
    unread: Vec<(Instant, Topic)>,
    last_edge: Option<NodeId>,
    talk: Talk,
}

impl Client {
    pub fn start(io: &mut Io<'_>) -> Self {
        let mut rng = SmallRng::seed_from_u64(io.rng.random());
        let tries = SmallRng::from_rng(&mut rng);
        let lifecycle = Lifecycle::new(atlas::pops(), tries, io.instant());
        Self {
            user: atlas::user(io.host),
            inbox: Inbox::default(),
            outbox: Outbox::new(SmallRng::from_rng(&mut rng)),
            standing: Standing::Waiting(io.instant()),
            moving: None,
            leaving: Vec::new(),
            lifecycle,
            next_connection: (io.host.0 as u64) << 32,
            next_request: 0,
            waiting: BTreeMap::new(),
            unread: Vec::new(),
            last_edge: None,
            talk: Talk::default(),
        }
    }

    pub fn user(&self) -> UserId {
        self.user
    }

    /// Whether it is connected and everything it sent is settled.
    pub fn is_settled(&self) -> bool {
        matches!(self.standing, Standing::Connected(_)) && self.outbox.is_empty()
    }

    pub fn on_message(&mut self, from: NodeId, message: Message, io: &mut Io<'_>) {
        match message {
            Message::Accepted(connection) => self.on_accepted(from, connection, io),
            Message::Response(connection, id, response) => {
                self.on_response(connection, id, client::Response::clone(&response), io);
            }
            Message::Push(connection, frame) if self.keep(connection, &frame) => {}
            Message::Push(connection, frame) if self.has(connection) => self.on_push(frame, io),
            _ => {}
        }
        self.send_due(io);
    }

    /// The connection has ended.
    pub fn on_closed(&mut self, connection: Connection, io: &mut Io<'_>) {
        if self.has(connection) {
            io.ledger.connections_lost += 1;
            self.disconnected(self.broken("the connection broke"), io);
        } else {
            self.on_closed_elsewhere(connection, io);
        }
    }

    pub fn tick(&mut self, talks: bool, io: &mut Io<'_>) {
        self.tick_connecting(io);
        self.tick_moving(io);
        let now = io.instant();
        let due: Vec<_> = self.unread.extract_if(.., |(at, _)| *at <= now).collect();
        for (_, topic) in due {
            let takes = self.inbox.log(topic, None);
            self.carry_out(takes, io);
        }
        if talks {
            self.talk(io);
        }
        self.send_due(io);
    }

    fn on_push(&mut self, framed: Bytes, io: &mut Io<'_>) {
        if let Standing::Greeting(greeting) = &mut self.standing {
            greeting.held.push(framed);
            return;
        }
        let body = framed.slice(frame::HEADER_BYTES..);
        let decoded = frame::decode::<client::ServerFrame>(body);
        let takes = match decoded.ok().and_then(|frame| frame.body) {
            Some(server_frame::Body::Push(push)) if io.has(Planted::PushesPastInbox) => {
                self.inbox.saw(Seen {
                    position: push.position,
                    ..Seen::default()
                });
                match (Topic::from_wire(push.topic.as_ref()), push.entry) {
                    (Some(topic), Some(entry)) => vec![Take::Deliver(topic, entry)],
                    _ => Vec::new(),
                }
            }
            Some(frame @ (server_frame::Body::Push(_) | server_frame::Body::Missed(_))) => {
                self.inbox.frame(frame)
            }
            Some(server_frame::Body::GoAway(away)) => return self.go_away(&away, io),
            Some(
                server_frame::Body::Answer(_)
                | server_frame::Body::Metadata(_)
                | server_frame::Body::Event(_)
                | server_frame::Body::Counters(_)
                | server_frame::Body::Presences(_)
                | server_frame::Body::Introduced(_),
            )
            | None => Vec::new(),
        };
        self.carry_out(takes, io);
    }

    fn carry_out(&mut self, takes: Vec<Take>, io: &mut Io<'_>) {
        for take in takes {
            match take {
                Take::Deliver(topic, entry) => {
                    io.ledger.delivered += 1;
                    io.note(entry.seq, |line| {
                        line.push_str(&format!("shows {topic} {}", entry.seq));
                    });
                    self.talk.heard(topic, &entry);
                    io.oracle.deliveries.delivered(io.host, topic, &entry);
                }
                Take::Tell(_) | Take::Count(_) => {}
                Take::Read { topic, from, to } => {
                    let read = client::ReadLog {
                        topic: Some(topic.to_wire()),
                        from_seq: from.0,
                        to_seq: to.0,
                    };
                    self.request(request::Body::ReadLog(read), Waiting::Read(topic), io);
                }
            }
        }
    }

    fn request(&mut self, body: request::Body, waiting: Waiting, io: &mut Io<'_>) {
        if let Some(link) = self.link() {
            self.request_on(link, body, waiting, io);
        }
    }

    fn request_on(&mut self, link: Link, body: request::Body, waiting: Waiting, io: &mut Io<'_>) {
        let request = client::Request {
            min_position: self.inbox.seen().position,
            body: Some(body),
            ..client::Request::default()
        };
        let connection = link.connection;
        self.next_request += 1;
        self.waiting
            .insert(self.next_request, (connection, waiting));
        io.send(
            link.edge,
            Message::Request(connection, self.next_request, Rc::new(request)),
        );
    }

    fn send_due(&mut self, io: &mut Io<'_>) {
        if !matches!(self.standing, Standing::Connected(_)) {
            return;
        }
        for message in self.outbox.due(io.instant()) {
            let send = client::SendMessage {
                channel: message.channel.0,
                client_msg_id: message.client_msg_id.clone(),
                text: message.text.clone(),
                thread_ts: 0,
            };
            self.request(request::Body::SendMessage(send), Waiting::Sent(message), io);
        }
    }
}
