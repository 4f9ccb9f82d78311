//! Keeps a client connected: connects, serves the connection until it breaks,
//! and connects again.

use std::time::{Duration, Instant};

use causeway_protocol::client::{self, request, response, server_frame};
use causeway_protocol::session::State;
use causeway_protocol::{ApiError, ErrorCode, Name, Topic};
use causeway_transport::Transport;
use prost::Message as _;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::connection::{Connection, answer, request, result};
use crate::inbox::{Inbox, Seen, Take};
use crate::kept::Kept;
use crate::lifecycle::{Input, Lifecycle};
use crate::looking::{self, Looking};
use crate::moving::{Moved, Moving, Welcomed, greet};
use crate::nearest::{self, Arrived};
use crate::outbox::Outbox;
use crate::{ClientConfig, Command, Event, Outgoing, Pop};

/// Frames that wait between the connection and the inbox.
const FRAMES_MAX: usize = 1_024;
/// What is under way on a connection that is left is answered by then.
const LINGER: Duration = Duration::from_secs(5);
/// What is on the screen is said again after this, if it was not taken.
const LOOK_PAUSE: Duration = Duration::from_secs(1);
/// Between tries to read a log that does not answer.
const READ_PAUSE: Duration = Duration::from_millis(200);

/// What comes back from requests under way.
enum Done {
    Sent(Box<(Outgoing, Result<client::Response, ApiError>)>),
    Read(Topic, Option<Vec<client::Entry>>, Seen),
    Saw(Seen),
    Looked(u64, Result<client::Presences, ApiError>),
}

pub(crate) async fn run(
    config: ClientConfig,
    mut commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<Event>,
    stop: CancellationToken,
) {
    let mut session = Supervisor {
        inbox: match config.out_of_order {
            false => Inbox::default(),
            true => Inbox::out_of_order(),
        },
        kept: Kept::default(),
        outbox: Outbox::new(rand::make_rng()),
        looking: Looking::default(),
        lifecycle: Lifecycle::new(config.pops.clone(), rand::make_rng(), Instant::now()),
        events,
    };
    while let Some(at) = session.lifecycle.try_at() {
        let input = tokio::select! {
            () = stop.cancelled() => Input::LetGo,
            input = session.attempt(&config, at, &mut commands) => input,
        };
        match input {
            Input::LetGo => session.let_go(),
            input => session.fails(input).await,
        }
    }
}

/// A connection that has been let in.
struct Link {
    pop: Pop,
    connection: Connection,
    /// Requests that await their answers.
    requests: TaskTracker,
    /// What the inbox wants first.
    takes: Vec<Take>,
}

impl Link {
    /// The next connection brings all boot data.
    fn start_over(&self) {
        self.connection.close();
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.connection.close();
    }
}

/// Closes a connection once what is under way on it is answered.
fn leave(link: Link) {
    tokio::spawn(async move {
        link.requests.close();
        // Whoever is not answered by then asks again.
        let _ = tokio::time::timeout(LINGER, link.requests.wait()).await;
    });
}

struct Supervisor {
    inbox: Inbox,
    kept: Kept,
    outbox: Outbox,
    looking: Looking,
    lifecycle: Lifecycle,
    events: mpsc::Sender<Event>,
}

impl Supervisor {
    async fn tell(&self, event: Event) {
        // An application that has dropped its events wants none.
        let _ = self.events.send(event).await;
    }

    /// The session goes on to its next state, and the application is told.
    async fn goes_on(&mut self, input: Input) {
        if let Some(transition) = self.lifecycle.on(input, Instant::now()) {
            tracing::debug!(
                from = %transition.from,
                to = %transition.to,
                code = transition.code(),
                reason = transition.reason,
                "the session goes on"
            );
            self.tell(Event::State(transition)).await;
        }
    }

    /// A try to connect, or the connection that came of it, is over.
    async fn fails(&mut self, input: Input) {
        let refusal = match &input {
            Input::Refused { error, .. } => Some(error.clone()),
            _ => None,
        };
        self.goes_on(input).await;
        if let (State::Closed, Some(error)) = (self.lifecycle.state(), refusal) {
            self.tell(Event::Stopped(error)).await;
        }
    }

    /// The application may take no more events: this one waits for nobody.
    fn let_go(&mut self) {
        if let Some(transition) = self.lifecycle.on(Input::LetGo, Instant::now()) {
            let _ = self.events.try_send(Event::State(transition));
        }
    }

    /// From a try to connect to the end of what comes of it.
    async fn attempt(
        &mut self,
        config: &ClientConfig,
        at: Instant,
        commands: &mut mpsc::Receiver<Command>,
    ) -> Input {
        if !self.wait(at, commands).await {
            return Input::LetGo;
        }
        match self.connect(config).await {
            Ok(link) => {
                let input = self.serve(config, link, commands).await;
                self.outbox.disconnected(Instant::now());
                input
            }
            Err(input) => input,
        }
    }

    async fn connect(&mut self, config: &ClientConfig) -> Result<Link, Input> {
        let connecting = nearest::connect(config, self.lifecycle.avoid(), false);
        let arrived = connecting.await.map_err(Input::NotReached)?;
        let hello = self.hello(config);
        let welcomed = greet(&arrived, self.inbox.seen(), hello).await?;
        Ok(self.settle(arrived, welcomed).await)
    }

    fn hello(&self, config: &ClientConfig) -> client::Hello {
        client::Hello {
            token: config.token.clone(),
            client: config.client.clone(),
            cursors: self.inbox.cursors(),
            metadata_version: self.inbox.version(),
            keeps_boot: self.kept.is_there(),
            ..client::Hello::default()
        }
    }

    /// A PoP has let the client in.
    async fn settle(&mut self, arrived: Arrived, welcomed: Welcomed) -> Link {
        self.goes_on(Input::Welcomed).await;
        self.inbox.saw(welcomed.seen.clone());
        let name = arrived.pop.name.clone();
        let (transport, round_trip) = (arrived.connection.transport(), arrived.round_trip);
        let takes = self.welcome(name, transport, round_trip, welcomed).await;
        Link {
            pop: arrived.pop,
            connection: arrived.connection,
            requests: TaskTracker::new(),
            takes,
        }
    }

    async fn welcome(
        &mut self,
        pop: Name,
        transport: Transport,
        round_trip: Duration,
        Welcomed { welcome, age, .. }: Welcomed,
    ) -> Vec<Take> {
        let boot = self.kept.booted(welcome.boot.unwrap_or_default());
        let takes = self.inbox.booted(&boot);
        self.tell(Event::Connected {
            pop,
            edge: welcome.edge,
            transport,
            round_trip,
            age,
            boot: Box::new(boot),
        })
        .await;
        takes
    }

    /// Serves a connection until it breaks. One that is to be left is served
    /// until the next is there: then that one is served.
    async fn serve(
        &mut self,
        config: &ClientConfig,
        mut link: Link,
        commands: &mut mpsc::Receiver<Command>,
    ) -> Input {
        let (finished, mut done) = mpsc::channel::<Done>(FRAMES_MAX);
        let mut frames = self.open(&mut link, &finished).await;
        let mut moving = Moving::default();
        loop {
            self.send_due(&link, &finished);
            self.look_due(&link, &finished);
            let deadline = self.outbox.deadline();
            tokio::select! {
                closed = link.connection.closed() => {
                    return Input::Ended { at: link.pop.address, closed };
                }
                // Between hello and welcome nothing is taken in here: what the
                // client has then is what it has told.
                Some(frame) = frames.recv(), if !moving.has_said_hello() => match frame {
                    server_frame::Body::GoAway(away) => {
                        let at = link.pop.address;
                        let (code, open) = (away.code, away.pops);
                        self.goes_on(Input::GoAway { at, code, open }).await;
                        moving.begin(config, self.lifecycle.avoid());
                    }
                    frame => self.on_frame(frame, &link, &finished).await,
                },
                step = moving.step() => match step {
                    Moved::Arrived(arrived) => {
                        let hello = self.hello(config);
                        moving.say_hello(arrived, self.inbox.seen(), hello);
                    }
                    Moved::Welcomed(arrived, welcomed) => {
                        let next = self.settle(*arrived, *welcomed).await;
                        leave(std::mem::replace(&mut link, next));
                        frames = self.open(&mut link, &finished).await;
                    }
                    Moved::Unwelcome(unwelcome) => {
                        self.goes_on(unwelcome).await;
                        moving.begin(config, self.lifecycle.avoid());
                    }
                    Moved::Failed(closed) => tracing::debug!(%closed, "nowhere else to go"),
                },
                Some(done) = done.recv() => self.on_done(done, &link, &finished).await,
                command = commands.recv() => match command {
                    None => return Input::LetGo,
                    Some(Command::Reconnect) => return Input::Reconnect,
                    Some(command) => self.on_command(command, Some(&link), &finished),
                },
                () = until(deadline) => {}
            }
        }
    }

    /// Begins to take in what a connection brings.
    async fn open(
        &mut self,
        link: &mut Link,
        done: &mpsc::Sender<Done>,
    ) -> mpsc::Receiver<server_frame::Body> {
        let (sender, frames) = mpsc::channel(FRAMES_MAX);
        tokio::spawn(link.connection.clone().read_pushes(sender));
        let takes = std::mem::take(&mut link.takes);
        self.carry_out(takes, link, done).await;
        self.looking.connected();
        frames
    }

    /// Waits until the next try to connect; the outbox takes messages meanwhile.
    async fn wait(&mut self, at: Instant, commands: &mut mpsc::Receiver<Command>) -> bool {
        let (finished, _) = mpsc::channel(1);
        let sleep = tokio::time::sleep_until(at.into());
        tokio::pin!(sleep);
        loop {
            tokio::select! {
                () = &mut sleep => return true,
                command = commands.recv() => match command {
                    None => return false,
                    Some(command) => self.on_command(command, None, &finished),
                },
            }
        }
    }

    fn on_command(&mut self, command: Command, link: Option<&Link>, done: &mpsc::Sender<Done>) {
        match command {
            Command::Send(message, taken) => {
                // Whoever sent may not care.
                let _ = taken.send(self.outbox.push(message, Instant::now()));
            }
            Command::Request(body, reply) => match link {
                Some(link) => {
                    let (connection, done) = (link.connection.clone(), done.clone());
                    let seen = self.inbox.seen();
                    link.requests.spawn(async move {
                        let response = request(&connection, seen, body).await;
                        if let Ok(response) = &response {
                            let _ = done.send(Done::Saw(Seen::of(response))).await;
                        }
                        let _ = reply.send(response.and_then(answer));
                    });
                }
                None => {
                    let error = ApiError::new(ErrorCode::Unavailable, "not connected");
                    let _ = reply.send(Err(error));
                }
            },
            Command::Open(channels, counters) => self.looking.open(channels, counters),
            Command::Watch(users) => self.looking.watch(users),
            Command::Types(channel, thread) => {
                if let Some(event) = self.looking.types(channel, thread, Instant::now()) {
                    self.send_event(event, link);
                }
            }
            Command::Event(event) => self.send_event(event, link),
            Command::Reconnect => {}
        }
    }

    /// Says what is on the screen, if there is anything to say.
    fn look_due(&mut self, link: &Link, done: &mpsc::Sender<Done>) {
        let Some((number, body)) = self.looking.next(&mut self.inbox) else {
            return;
        };
        let (connection, done) = (link.connection.clone(), done.clone());
        let seen = self.inbox.seen();
        link.requests.spawn(async move {
            let looked = match request(&connection, seen, body).await.and_then(result) {
                Ok(response::Result::Presences(presences)) => Ok(presences),
                Err(error) if error.code.is_retryable() => {
                    tokio::time::sleep(LOOK_PAUSE).await;
                    Err(error)
                }
                _ => Ok(client::Presences::default()),
            };
            let _ = done.send(Done::Looked(number, looked)).await;
        });
    }

    /// Sends what is worth nothing later, now or not at all: as a datagram, or as a request
    /// if it is too long for one. Whether it was taken does not matter.
    fn send_event(&self, event: client::SendEvent, link: Option<&Link>) {
        let Some(link) = link else {
            return;
        };
        let (connection, seen) = (link.connection.clone(), self.inbox.seen());
        let body = request::Body::SendEvent(event);
        link.requests.spawn(async move {
            let alone = client::Request {
                body: Some(body.clone()),
                ..client::Request::default()
            };
            if !connection.send_event(alone.encode_to_vec().into()).await {
                drop(request(&connection, seen, body).await);
            }
        });
    }

    /// Sends what the outbox wants sent.
    fn send_due(&mut self, link: &Link, done: &mpsc::Sender<Done>) {
        for message in self.outbox.due(Instant::now()) {
            let (connection, done) = (link.connection.clone(), done.clone());
            let seen = self.inbox.seen();
            link.requests.spawn(async move {
                let body = request::Body::SendMessage(client::SendMessage {
                    channel: message.channel.0,
                    client_msg_id: message.client_msg_id.clone(),
                    text: message.text.clone(),
                    thread_ts: message.thread.map_or(0, |ts| ts.0),
                });
                let response = request(&connection, seen, body).await;
                // After a break nobody listens: the message goes out again.
                let _ = done.send(Done::Sent(Box::new((message, response)))).await;
            });
        }
    }

    async fn on_frame(
        &mut self,
        frame: server_frame::Body,
        link: &Link,
        done: &mpsc::Sender<Done>,
    ) {
        let takes = match frame {
            server_frame::Body::Event(event) => {
                return self.tell_any(looking::event(event, Instant::now())).await;
            }
            server_frame::Body::Presences(presences) => {
                let told = looking::presence(&presences, Instant::now());
                return self.tell_any(told).await;
            }
            server_frame::Body::Introduced(introduced) => {
                let users = introduced.users;
                return self.tell(Event::Introduced { users }).await;
            }
            other => self.inbox.frame(other),
        };
        self.carry_out(takes, link, done).await;
    }

    async fn on_done(&mut self, finished: Done, link: &Link, done: &mpsc::Sender<Done>) {
        match finished {
            Done::Sent(sent) => self.on_sent(sent.0, sent.1).await,
            Done::Read(topic, entries, seen) => {
                self.inbox.saw(seen);
                let takes = self.inbox.log(topic, entries);
                self.carry_out(takes, link, done).await;
            }
            Done::Saw(seen) => self.inbox.saw(seen),
            Done::Looked(number, looked) => {
                self.looking.said(number, looked.is_ok());
                if let Ok(presences) = looked {
                    let told = looking::presence(&presences, Instant::now());
                    self.tell_any(told).await;
                }
            }
        }
    }

    async fn tell_any(&self, event: Option<Event>) {
        if let Some(event) = event {
            self.tell(event).await;
        }
    }

    async fn on_sent(&mut self, message: Outgoing, response: Result<client::Response, ApiError>) {
        let at = Instant::now();
        let answer = response.and_then(|response| {
            self.inbox.saw(Seen::of(&response));
            match result(response)? {
                response::Result::Sent(sent) => Ok(sent),
                _ => Err(ErrorCode::InternalError.into()),
            }
        });
        let id = &message.client_msg_id;
        let settled = self.outbox.answered(message.channel, id, answer, at);
        if let Some(settled) = settled {
            self.tell(Event::Sent {
                client_msg_id: settled.client_msg_id,
                result: settled.result,
                at,
            })
            .await;
        }
    }

    async fn carry_out(&mut self, takes: Vec<Take>, link: &Link, done: &mpsc::Sender<Done>) {
        let at = Instant::now();
        for take in takes {
            match take {
                Take::Deliver(topic, entry) => {
                    self.kept.entry(topic, &entry);
                    let entry = Box::new(entry);
                    self.tell(Event::Entry { topic, entry, at }).await;
                }
                Take::Tell(push) => {
                    match push.start_over {
                        // What was not told with the welcome is to be told now.
                        true if self.kept.start_over() => link.start_over(),
                        true => {}
                        false => self.kept.facts(&push),
                    }
                    self.tell(Event::Metadata {
                        push: Box::new(push),
                        at,
                    })
                    .await
                }
                Take::Count(counter) => self.tell(Event::Counter { counter, at }).await,
                Take::Read { topic, from, to } => {
                    let (connection, done) = (link.connection.clone(), done.clone());
                    let seen = self.inbox.seen();
                    link.requests.spawn(async move {
                        let body = request::Body::ReadLog(client::ReadLog {
                            topic: Some(topic.to_wire()),
                            from_seq: from.0,
                            to_seq: to.0,
                        });
                        let response = request(&connection, seen, body).await;
                        let saw = response.as_ref().map_or_else(|_| Seen::default(), Seen::of);
                        let entries = match response.and_then(result) {
                            Ok(response::Result::Log(page)) => Some(page.entries),
                            _ => {
                                tokio::time::sleep(READ_PAUSE).await;
                                None
                            }
                        };
                        let _ = done.send(Done::Read(topic, entries, saw)).await;
                    });
                }
            }
        }
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
