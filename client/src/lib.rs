//! The client library: connects to the nearest PoP, stays connected, sends each
//! message once whatever happens, and gives the application each entry of its
//! topics once and in order.
//!
//! The decisions are state machines: the [`lifecycle`] of the session, the [`outbox`], the
//! [`inbox`], and what is [`kept`] over a break. The [`Client`] moves their bytes.

pub mod connection;
pub mod inbox;
pub mod kept;
pub mod lifecycle;
pub mod looking;
mod moving;
mod nearest;
pub mod outbox;
pub mod queries;
mod race;
mod supervisor;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway_protocol::client::{self, request, response};
use causeway_protocol::{ApiError, ChannelId, ErrorCode, Name, Timestamp, Topic, UserId};
use causeway_transport::Transport;
use causeway_transport::tls::Roots;
use quinn::Endpoint;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};

pub use lifecycle::Transition;
pub use nearest::{Avoid, endpoint};
pub use outbox::OutboxFull;

/// Events that wait for the application; then the client reads no more pushes,
/// and the edge drops them: nothing is lost, only late.
const EVENTS_MAX: usize = 4_096;
/// Commands of the application that wait for the client.
const COMMANDS_MAX: usize = 1_024;
/// A request is answered by then, connection or not.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// A PoP as it is offered to clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pop {
    /// Its name.
    pub name: Name,
    /// Where its edge nodes accept QUIC.
    pub address: SocketAddr,
    /// Where they accept HTTPS, and WebSockets over it, if known.
    pub https: Option<SocketAddr>,
    /// The name in their certificate.
    pub server_name: String,
}

/// How to connect.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// The PoPs to choose from.
    pub pops: Vec<Pop>,
    /// Who certifies them.
    pub roots: Roots,
    /// The user's token.
    pub token: String,
    /// Free text for the operator.
    pub client: String,
    /// Where connections start from; see [`endpoint`]. Shared by many clients of
    /// one process, if it has many.
    pub endpoint: Endpoint,
    /// What connections may be made of, in the order in which it is tried; see
    /// [`Transport::ALL`].
    pub transports: Vec<Transport>,
    /// When a silent PoP is given up.
    pub liveness: causeway_transport::endpoint::Liveness,
    /// A planted bug, which the chaos suite must catch: entries come out of order.
    #[doc(hidden)]
    pub out_of_order: bool,
}

/// What the application is told.
#[derive(Debug, Clone)]
pub enum Event {
    /// Connected, also after a break.
    Connected {
        /// To which PoP.
        pop: Name,
        /// The edge node.
        edge: String,
        /// What the connection is made of.
        transport: Transport,
        /// The measured round trip.
        round_trip: Duration,
        /// The user, the workspace, the channels.
        boot: Box<client::BootData>,
        /// How old that may be.
        age: Age,
    },
    /// The session has gone on to another state, or a try to connect has failed: then
    /// it has stayed in its state. The client goes on by itself unless it is closed.
    State(Transition),
    /// An entry of a topic: each once, and in order of `seq` within its topic.
    Entry {
        /// The topic.
        topic: Topic,
        /// The entry.
        entry: Box<client::Entry>,
        /// When it came in.
        at: Instant,
    },
    /// Metadata has changed: each fact as it is now. What comes later is right; the same
    /// may come twice. `start_over`: too much has changed, so read again what is shown.
    Metadata {
        /// The topic and its facts.
        push: Box<client::MetadataPush>,
        /// When it came in.
        at: Instant,
    },
    /// Users whom an entry mentions that comes next, in case they are not known yet. Of
    /// those who are, this may be older than what is known.
    Introduced {
        /// They.
        users: Vec<client::User>,
    },
    /// Somebody writes in a channel that is open.
    Typing {
        /// Where.
        channel: ChannelId,
        /// Who.
        user: UserId,
        /// In which thread, if in any.
        thread: Option<Timestamp>,
        /// For so long, unless it is told again.
        good_for: Duration,
        /// When it came in.
        at: Instant,
    },
    /// Something else happens in a channel that is open.
    Custom {
        /// Where.
        channel: ChannelId,
        /// By whom.
        user: UserId,
        /// What.
        event: client::CustomEvent,
        /// After this it means nothing any more.
        good_for: Duration,
        /// When it came in.
        at: Instant,
    },
    /// How far a big channel is that is closed.
    Counter {
        /// The channel, its last entry, how many messages there are, and which of them
        /// mention the user and have not been told of. Where pushes were dropped, one may be
        /// told of twice.
        counter: client::Counter,
        /// When it came in.
        at: Instant,
    },
    /// How users that are watched are now. After a break of the connection all of them
    /// are told again.
    Presence {
        /// Those of whom there is something to tell, and whether they are online.
        users: Vec<(UserId, bool)>,
        /// When it came in.
        at: Instant,
    },
    /// What became of a message in the outbox.
    Sent {
        /// The id under which it was sent.
        client_msg_id: Bytes,
        /// Its place, or the refusal that no retry can help.
        result: Result<client::Sent, ApiError>,
        /// When the answer came in.
        at: Instant,
    },
    /// The client has stopped for good, as the state that was told before this says:
    /// the token is no longer accepted.
    Stopped(ApiError),
}

/// A message for the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Where it goes.
    pub channel: ChannelId,
    /// Under which id; the same id is never posted twice.
    pub client_msg_id: Bytes,
    /// The text.
    pub text: String,
    /// The thread, if any.
    pub thread: Option<Timestamp>,
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// What was asked for.
    pub result: response::Result,
    /// How old it may be.
    pub age: Age,
}

/// How long ago the replica that answered last knew that it lacked nothing. A
/// replica that can talk to its cell's leader is a fraction of a second old; one
/// in a region that is cut off grows older until the cut heals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Age {
    /// So long ago.
    Known(Duration),
    /// It has not heard of a leader since it started.
    Unknown,
}

impl Age {
    /// Reads `Response.age_ms`.
    pub fn from_wire(age_ms: u32) -> Self {
        match age_ms {
            u32::MAX => Self::Unknown,
            ms => Self::Known(Duration::from_millis(ms.into())),
        }
    }
}

/// A connected user. Dropping it disconnects.
///
/// Whoever awaits [`send`](Self::send) or [`request`](Self::request) must not be
/// the only one who takes events: a client whose events nobody takes stands
/// still.
#[derive(Debug, Clone)]
pub struct Client {
    commands: mpsc::Sender<Command>,
    _stop: Arc<DropGuard>,
}

/// The client has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the client has stopped")]
pub struct Stopped;

pub(crate) enum Command {
    Send(Outgoing, oneshot::Sender<Result<(), OutboxFull>>),
    Request(request::Body, oneshot::Sender<Result<Answer, ApiError>>),
    Open(Vec<ChannelId>, bool),
    Watch(Vec<UserId>),
    Types(ChannelId, Option<Timestamp>),
    Event(client::SendEvent),
    Reconnect,
}

impl Client {
    /// Starts to connect.
    pub fn start(config: ClientConfig) -> (Self, mpsc::Receiver<Event>) {
        let (commands, inputs) = mpsc::channel(COMMANDS_MAX);
        let (events, outputs) = mpsc::channel(EVENTS_MAX);
        let stop = CancellationToken::new();
        tokio::spawn(supervisor::run(config, inputs, events, stop.clone()));
        let client = Self {
            commands,
            _stop: Arc::new(stop.drop_guard()),
        };
        (client, outputs)
    }

    /// Puts a message into the outbox. It is sent when there is a connection, and
    /// again until it is answered; an [`Event::Sent`] tells the end.
    ///
    /// # Errors
    /// [`OutboxFull`].
    pub async fn send(&self, message: Outgoing) -> Result<(), OutboxFull> {
        let (done, taken) = oneshot::channel();
        let sent = self.commands.send(Command::Send(message, done)).await;
        if sent.is_err() {
            return Err(OutboxFull);
        }
        taken.await.unwrap_or(Err(OutboxFull))
    }

    /// Makes a request, once.
    ///
    /// # Errors
    /// The edge's or the cell's refusal; [`ErrorCode::Unavailable`] without a
    /// connection, and when the connection broke before the answer.
    pub async fn request(&self, body: request::Body) -> Result<response::Result, ApiError> {
        self.ask(body).await.map(|answer| answer.result)
    }

    /// Makes a request, once, and tells how old the answer may be.
    ///
    /// # Errors
    /// As for [`request`](Self::request).
    pub async fn ask(&self, body: request::Body) -> Result<Answer, ApiError> {
        let unavailable = |text: &str| ApiError::new(ErrorCode::Unavailable, text);
        let (done, answer) = oneshot::channel();
        let sent = self.commands.send(Command::Request(body, done)).await;
        sent.map_err(|_| unavailable("the client has stopped"))?;
        match tokio::time::timeout(REQUEST_TIMEOUT, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(unavailable("the connection broke")),
            Err(_) => Err(unavailable("no answer in time")),
        }
    }

    /// These channels are on the screen, and no others any more: of them the application
    /// is told who types, and what else happens without being stored. As many as
    /// `OPEN_CHANNELS_MAX`; the others are left out.
    ///
    /// With `counters`, the application is not given the entries of big channels that are
    /// not among them: an [`Event::Counter`] tells how far they are. When one is opened,
    /// its entries come from where it was closed.
    pub async fn open_channels(&self, channels: Vec<ChannelId>, counters: bool) {
        self.command(Command::Open(channels, counters)).await;
    }

    /// These users are on the screen, and no others any more: the application is told
    /// whether they are online. As many as `WATCHED_USERS_MAX`; the others are left out.
    pub async fn watch_presence(&self, users: Vec<UserId>) {
        self.command(Command::Watch(users)).await;
    }

    /// The user is writing. To be called at every key: others are told now and then.
    pub async fn send_typing(&self, channel: ChannelId, thread: Option<Timestamp>) {
        self.command(Command::Types(channel, thread)).await;
    }

    /// Sends an event to those who have its channel open: now, or not at all.
    pub async fn send_event(&self, event: client::SendEvent) {
        self.command(Command::Event(event)).await;
    }

    /// A client that has stopped has nobody to tell.
    async fn command(&self, command: Command) {
        let _ = self.commands.send(command).await;
    }

    /// Gives the present connection up, and looks for the nearest PoP anew.
    pub async fn reconnect(&self) {
        self.command(Command::Reconnect).await;
    }
}
