//! A light session: a QUIC connection and the client library's inbox, which knows
//! where it is in each topic. It has neither outbox nor supervisor, so that one
//! process can hold ten thousand.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use causeway_client::inbox::{Inbox, Take};
use causeway_protocol::client::{self, entry::Kind, request, response};
use causeway_protocol::limits::SERVER_FRAME_BYTES_MAX;
use causeway_protocol::{ChannelId, Seq, Topic};
use causeway_transport::stream::FrameReader;
use parking_lot::Mutex;
use quinn::{Connection, Endpoint, RecvStream, VarInt};
use tokio::sync::watch;

use super::ledger::Ledger;
use crate::bench::swarm::{self, Greeting};

/// Between tries to read a log that does not answer.
const READ_PAUSE: Duration = Duration::from_millis(200);

/// A session, connected or not.
pub struct Session {
    token: String,
    state: Mutex<State>,
    is_live: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    inbox: Inbox,
    ledger: Ledger,
    /// Where each channel's log ended when the session was let in.
    heads: Vec<(Topic, Seq)>,
    connection: Option<Connection>,
}

impl Session {
    /// Of the user with this token.
    pub fn new(token: &str) -> Arc<Self> {
        Arc::new(Self {
            token: token.to_owned(),
            state: Mutex::default(),
            is_live: watch::Sender::new(false),
        })
    }

    /// Says hello at a node, as a new session, or where it was when it was cut.
    ///
    /// # Errors
    /// It is not let in.
    pub async fn connect(
        self: &Arc<Self>,
        endpoint: &Endpoint,
        config: quinn::ClientConfig,
        address: SocketAddr,
    ) -> anyhow::Result<()> {
        let hello = self.hello();
        let Greeting {
            connection,
            welcome,
        } = swarm::greet(endpoint, config, address, hello).await?;
        let boot = welcome.boot.unwrap_or_default();
        let takes = {
            let mut state = self.state.lock();
            let takes = state.inbox.booted(&boot);
            let heads = boot.channels.iter();
            let heads = heads.map(|c| (Topic::Channel(ChannelId(c.id)), Seq(c.last_seq)));
            state.heads = heads.collect();
            state.connection = Some(connection.clone());
            state.carry_out(takes)
        };
        self.look();
        self.read_missing(&connection, takes);
        tokio::spawn(read_pushes(Arc::clone(self), connection));
        Ok(())
    }

    /// Waits until it has all that there was when it was let in.
    pub async fn live(&self) {
        // The other end is this session's own.
        let _ = self.is_live.subscribe().wait_for(|is_live| *is_live).await;
    }

    /// Loses its connection.
    pub fn cut(&self) {
        let connection = self.state.lock().connection.take();
        if let Some(connection) = connection {
            connection.close(VarInt::from_u32(0), b"cut");
        }
        self.is_live.send_replace(false);
    }

    /// Whether it has been given the last of all that was posted.
    pub fn is_complete(&self, posted: &BTreeMap<ChannelId, u64>) -> bool {
        self.state.lock().ledger.is_complete(posted)
    }

    /// Messages that were lost and duplicated.
    pub fn faults(&self, posted: &BTreeMap<ChannelId, u64>) -> (u64, u64) {
        let state = self.state.lock();
        (state.ledger.lost(posted), state.ledger.duplicated())
    }

    fn hello(&self) -> client::Hello {
        let state = self.state.lock();
        client::Hello {
            token: self.token.clone(),
            client: "causeway-bench".into(),
            cursors: state.inbox.cursors(),
            metadata_version: state.inbox.version(),
            ..client::Hello::default()
        }
    }

    fn take_in(&self, frame: client::ServerFrame) -> Vec<Hole> {
        let holes = {
            let mut state = self.state.lock();
            let takes = frame
                .body
                .map_or_else(Vec::new, |body| state.inbox.frame(body));
            state.carry_out(takes)
        };
        self.look();
        holes
    }

    /// Tells whoever waits for it to be live.
    fn look(&self) {
        self.is_live.send_if_modified(|is_live| {
            let becomes = !*is_live && self.state.lock().has_caught_up();
            *is_live |= becomes;
            becomes
        });
    }

    fn read_missing(self: &Arc<Self>, connection: &Connection, holes: Vec<Hole>) {
        for hole in holes {
            tokio::spawn(read_log(Arc::clone(self), connection.clone(), hole));
        }
    }
}

/// Entries that are to be read from the log.
struct Hole {
    topic: Topic,
    from: Seq,
    to: Seq,
}

impl State {
    /// Notes what the application is given. Returns what is to be read.
    fn carry_out(&mut self, takes: Vec<Take>) -> Vec<Hole> {
        let mut holes = Vec::new();
        for take in takes {
            match take {
                Take::Deliver(Topic::Channel(channel), entry) => {
                    if let Some(Kind::Posted(message)) = entry.kind
                        && let Ok(number) = message.text.parse()
                    {
                        self.ledger.take(channel, number);
                    }
                }
                Take::Read { topic, from, to } => holes.push(Hole { topic, from, to }),
                Take::Deliver(..) | Take::Tell(_) | Take::Count(_) => {}
            }
        }
        holes
    }

    fn has_caught_up(&self) -> bool {
        let cursors = self.inbox.cursors();
        let cursors: BTreeMap<Topic, Seq> = (cursors.iter())
            .filter_map(|c| Some((Topic::from_wire(c.topic.as_ref())?, Seq(c.seq))))
            .collect();
        let is_there = |(topic, head): &(Topic, Seq)| cursors.get(topic) >= Some(head);
        self.connection.is_some() && self.heads.iter().all(is_there)
    }
}

async fn read_pushes(session: Arc<Session>, connection: Connection) {
    while let Ok(stream) = connection.accept_uni().await {
        tokio::spawn(read_stream(
            Arc::clone(&session),
            connection.clone(),
            stream,
        ));
    }
}

async fn read_stream(session: Arc<Session>, connection: Connection, stream: RecvStream) {
    let mut reader = FrameReader::new(stream, SERVER_FRAME_BYTES_MAX);
    while let Ok(Some(frame)) = reader.message().await {
        let holes = session.take_in(frame);
        session.read_missing(&connection, holes);
    }
}

async fn read_log(session: Arc<Session>, connection: Connection, hole: Hole) {
    let mut holes = vec![hole];
    while let Some(hole) = holes.pop() {
        let read = client::ReadLog {
            topic: Some(hole.topic.to_wire()),
            from_seq: hole.from.0,
            to_seq: hole.to.0,
        };
        let entries = match swarm::ask(&connection, request::Body::ReadLog(read)).await {
            Ok(response::Result::Log(page)) => Some(page.entries),
            // A connection that breaks is followed by another, which fills the hole.
            _ if connection.close_reason().is_some() => return,
            _ => {
                tokio::time::sleep(READ_PAUSE).await;
                None
            }
        };
        let mut state = session.state.lock();
        let takes = state.inbox.log(hole.topic, entries);
        holes.extend(state.carry_out(takes));
        drop(state);
        session.look();
    }
}
