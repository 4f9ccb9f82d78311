//! Connecting: the PoPs that need not be avoided are dialled at once, the first
//! to answer is kept.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway_client::Pop;
use causeway_client::lifecycle::Input;
use causeway_protocol::NodeId;
use causeway_protocol::client::{self, request};
use causeway_transport::Closed;

use super::Client;
use super::requests::Waiting;
use crate::atlas;
use crate::io::{Io, Output};
use crate::message::{Connection, Host, Message};
use crate::planted::Planted;

/// A PoP that does not answer by then is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A hello is answered by then.
const HELLO_TIMEOUT: Duration = Duration::from_secs(6);

pub enum Standing {
    /// Before the next try.
    Waiting(Instant),
    Dialling(Dialling),
    /// Hello was said; pushes wait for the welcome.
    Greeting(Greeting),
    Connected(Link),
}

/// PoPs that have been asked, and have not answered.
pub struct Dialling {
    asked: BTreeMap<Connection, Host>,
    pub until: Instant,
    /// There is nobody else to ask after these.
    is_last: bool,
}

/// A PoP that has been told hello.
pub struct Greeting {
    pub link: Link,
    pub until: Instant,
    /// Pushes that came before the welcome.
    pub held: Vec<Bytes>,
}

#[derive(Debug, Clone, Copy)]
pub struct Link {
    pub connection: Connection,
    pub edge: NodeId,
    pub host: Host,
}

impl Dialling {
    /// The link that an answer of one of them makes.
    pub fn answered(&self, edge: NodeId, connection: Connection) -> Option<Link> {
        let host = *self.asked.get(&connection)?;
        Some(Link {
            connection,
            edge,
            host,
        })
    }
}

impl Client {
    pub(super) fn link(&self) -> Option<Link> {
        match &self.standing {
            Standing::Greeting(greeting) => Some(greeting.link),
            Standing::Connected(link) => Some(*link),
            _ => None,
        }
    }

    pub(super) fn has(&self, connection: Connection) -> bool {
        self.link()
            .is_some_and(|link| link.connection == connection)
    }

    pub(super) fn tick_connecting(&mut self, io: &mut Io<'_>) {
        let now = io.instant();
        match &self.standing {
            Standing::Waiting(until) if now >= *until => self.dial(false, io),
            Standing::Dialling(dialling) if now >= dialling.until => match dialling.is_last {
                true => {
                    let nobody = Closed::not_reached("no answer in time");
                    self.disconnected(Input::NotReached(nobody), io);
                }
                false => self.dial(true, io),
            },
            Standing::Greeting(greeting) if now >= greeting.until => {
                let at = atlas::address(greeting.link.host);
                io.outputs.push(Output::Close(greeting.link.connection));
                self.disconnected(Input::unanswered(at, "no welcome in time"), io);
            }
            _ => {}
        }
    }

    /// Asks the PoPs that need not be avoided; or, in the end, the others.
    fn dial(&mut self, the_rest: bool, io: &mut Io<'_>) {
        let pops = atlas::pops();
        let (first, rest) = self.lifecycle.avoid().split(&pops, io.instant());
        let (pops, is_last) = match the_rest || first.is_empty() {
            true => (rest, true),
            false => (first, rest.is_empty()),
        };
        self.standing = Standing::Dialling(self.ask(&pops, is_last, io));
    }

    pub(super) fn ask(&mut self, pops: &[&Pop], is_last: bool, io: &mut Io<'_>) -> Dialling {
        let mut asked = BTreeMap::new();
        for pop in pops {
            let host = atlas::host_at(pop.address);
            self.next_connection += 1;
            let connection = Connection(self.next_connection);
            asked.insert(connection, host);
            io.send_to(host, Message::Dial(connection));
        }
        Dialling {
            asked,
            until: io.instant() + CONNECT_TIMEOUT,
            is_last,
        }
    }

    pub(super) fn on_accepted(&mut self, edge: NodeId, connection: Connection, io: &mut Io<'_>) {
        let link = match &self.standing {
            Standing::Dialling(dialling) => dialling.answered(edge, connection),
            _ => None,
        };
        if let Some(link) = link {
            self.standing = Standing::Greeting(self.greet(link, io));
        } else if !self.on_accepted_elsewhere(edge, connection, io) && !self.has(connection) {
            io.outputs.push(Output::Close(connection));
        }
    }

    /// Says hello, with what the client has by now.
    pub(super) fn greet(&mut self, link: Link, io: &mut Io<'_>) -> Greeting {
        let cursors = match io.has(Planted::ForgottenCursors) {
            true => Vec::new(),
            false => self.inbox.cursors(),
        };
        let hello = client::Hello {
            token: self.user.0.to_string(),
            cursors,
            ..client::Hello::default()
        };
        self.request_on(link, request::Body::Hello(hello), Waiting::Welcome, io);
        Greeting {
            link,
            until: io.instant() + HELLO_TIMEOUT,
            held: Vec::new(),
        }
    }

    /// A PoP has let the client in.
    pub(super) fn welcomed(
        &mut self,
        greeting: Greeting,
        boot: &client::BootData,
        io: &mut Io<'_>,
    ) {
        let Greeting { link, held, .. } = greeting;
        self.lifecycle.on(Input::Welcomed, io.instant());
        if let Some(last) = self.last_edge.replace(link.edge) {
            io.ledger.resumes += 1;
            io.ledger.resumes_at_another_pop += u64::from(last != link.edge);
        }
        self.standing = Standing::Connected(link);
        io.note(link.edge.0, |line| {
            let channels = boot.channels.iter().map(|c| (c.id & 0xffff, c.last_seq));
            let channels: Vec<_> = channels.collect();
            line.push_str(&format!("booted: {channels:?}, user {}", boot.user_seq));
        });
        io.oracle.deliveries.booted(io.host, self.user, boot);
        let channels = boot.channels.iter().map(|channel| channel.id);
        self.talk.booted(channels.map(causeway_protocol::ChannelId));
        let takes = self.inbox.booted(boot);
        self.carry_out(takes, io);
        for frame in held {
            self.on_push(frame, io);
        }
    }

    /// The present connection, or the try to make one, is over.
    pub(super) fn disconnected(&mut self, input: Input, io: &mut Io<'_>) {
        let now = io.instant();
        io.oracle.client_noticed(io.host, "it is not connected");
        self.forget_moves(io);
        self.outbox.disconnected(now);
        self.waiting.clear();
        self.unread.clear();
        self.lifecycle.on(input, now);
        let next = self.lifecycle.try_at();
        self.standing = Standing::Waiting(next.expect("nothing here is refused for good"));
    }

    /// The present connection is of no more use.
    pub(super) fn broken(&self, reason: &str) -> Input {
        let closed = Closed::broken(reason);
        match &self.standing {
            Standing::Connected(link) => Input::Ended {
                at: atlas::address(link.host),
                closed,
            },
            Standing::Greeting(greeting) => Input::Unheard {
                at: atlas::address(greeting.link.host),
                closed,
            },
            Standing::Waiting(_) | Standing::Dialling(_) => Input::NotReached(closed),
        }
    }

    /// Gives the present connection up, as the application may.
    pub fn reconnect(&mut self, io: &mut Io<'_>) {
        if let Some(link) = self.link() {
            let input = match &self.standing {
                Standing::Connected(_) => Input::Reconnect,
                _ => self.broken("asked to reconnect"),
            };
            io.outputs.push(Output::Close(link.connection));
            self.disconnected(input, io);
        }
    }
}
