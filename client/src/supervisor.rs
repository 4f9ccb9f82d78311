//! Keeps a client connected: connects, serves the connection until it breaks,
//! and connects again.

use std::time::{Duration, Instant};

use causeway_protocol::client::{self, request, response, server_frame};
use causeway_protocol::{ApiError, ErrorCode, Name, Topic};
use quinn::{Connection, VarInt};
use rand::rngs::SmallRng;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::connection::{read_pushes, request, result};
use crate::inbox::{Inbox, Take};
use crate::outbox::{Outbox, pause};
use crate::{ClientConfig, Command, Event, Outgoing, nearest};

/// A hello is answered by then.
const HELLO_TIMEOUT: Duration = Duration::from_secs(6);
/// Frames that wait between the connection and the inbox.
const FRAMES_MAX: usize = 1_024;
/// Between tries to read a log that does not answer.
const READ_PAUSE: Duration = Duration::from_millis(200);

/// Why a connection's life is over.
enum End {
    /// Connect again.
    Broken(String),
    /// The application has let go.
    Dropped,
    /// No retry can help.
    Refused(ApiError),
}

/// What comes back from requests under way.
enum Done {
    Sent(Box<(Outgoing, Result<client::Response, ApiError>)>),
    Read(Topic, Option<Vec<client::Entry>>, u64),
    Saw(u64),
}

pub(crate) async fn run(
    config: ClientConfig,
    mut commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<Event>,
    stop: CancellationToken,
) {
    let mut rng: SmallRng = rand::make_rng();
    let mut state = State {
        inbox: match config.out_of_order {
            false => Inbox::default(),
            true => Inbox::out_of_order(),
        },
        outbox: Outbox::new(rand::make_rng()),
        events,
    };
    let mut tries = 0;
    loop {
        let connecting = state.connect(&config);
        let connected = tokio::select! {
            () = stop.cancelled() => return,
            connected = connecting => connected,
        };
        let end = match connected {
            Ok(link) => {
                tries = 0;
                let connection = link.connection.clone();
                let end = tokio::select! {
                    () = stop.cancelled() => End::Dropped,
                    end = state.serve(link, &mut commands) => end,
                };
                connection.close(VarInt::from_u32(0), b"good-bye");
                state.outbox.disconnected(Instant::now());
                end
            }
            Err(end) => end,
        };
        match end {
            End::Dropped => return,
            End::Refused(error) => {
                state.tell(Event::Stopped(error)).await;
                return;
            }
            End::Broken(reason) => {
                tracing::debug!(reason, "not connected");
                state.tell(Event::Disconnected { reason }).await;
            }
        }
        // The first try after a break is made at once; then tries are spread.
        if tries > 0 {
            let wait = pause(tries, &mut rng);
            if !state.wait(wait, &mut commands, &stop).await {
                return;
            }
        }
        tries += 1;
    }
}

/// A connection that has been let in.
struct Link {
    connection: Connection,
    /// What the inbox wants first.
    takes: Vec<Take>,
}

struct State {
    inbox: Inbox,
    outbox: Outbox,
    events: mpsc::Sender<Event>,
}

impl State {
    async fn tell(&self, event: Event) {
        // An application that has dropped its events wants none.
        let _ = self.events.send(event).await;
    }

    async fn connect(&mut self, config: &ClientConfig) -> Result<Link, End> {
        let broken = |reason: String| End::Broken(reason);
        let quinn = nearest::quinn_config(config).map_err(|e| broken(e.to_string()))?;
        let (pop, connection, round_trip) =
            nearest::connect(config, &quinn).await.map_err(broken)?;
        let hello = request::Body::Hello(client::Hello {
            token: config.token.clone(),
            client: config.client.clone(),
            cursors: self.inbox.cursors(),
        });
        let greeting = request(&connection, self.inbox.position(), hello);
        let response = match tokio::time::timeout(HELLO_TIMEOUT, greeting).await {
            Ok(response) => response.map_err(|e| broken(e.message))?,
            Err(_) => return Err(broken("the hello was not answered".into())),
        };
        self.inbox.saw(response.position);
        match result(response) {
            Ok(response::Result::Welcome(welcome)) => {
                let takes = self.welcome(pop.name, round_trip, welcome).await;
                Ok(Link { connection, takes })
            }
            Ok(_) => Err(broken("the hello was answered with something else".into())),
            Err(error) if error.code.is_retryable() => Err(broken(error.to_string())),
            Err(error) => Err(End::Refused(error)),
        }
    }

    async fn welcome(
        &mut self,
        pop: Name,
        round_trip: Duration,
        welcome: client::Welcome,
    ) -> Vec<Take> {
        let boot = welcome.boot.unwrap_or_default();
        let takes = self.inbox.booted(&boot);
        self.tell(Event::Connected {
            pop,
            edge: welcome.edge,
            round_trip,
            boot: Box::new(boot),
        })
        .await;
        takes
    }

    async fn serve(&mut self, mut link: Link, commands: &mut mpsc::Receiver<Command>) -> End {
        let (sender, mut frames) = mpsc::channel(FRAMES_MAX);
        tokio::spawn(read_pushes(link.connection.clone(), sender));
        let (finished, mut done) = mpsc::channel::<Done>(FRAMES_MAX);
        let takes = std::mem::take(&mut link.takes);
        self.carry_out(takes, &link, &finished).await;
        loop {
            self.send_due(&link, &finished);
            let deadline = self.outbox.deadline();
            tokio::select! {
                reason = link.connection.closed() => return End::Broken(reason.to_string()),
                Some(frame) = frames.recv() => {
                    if let Some(end) = self.on_frame(frame, &link, &finished).await {
                        return end;
                    }
                }
                Some(done) = done.recv() => self.on_done(done, &link, &finished).await,
                command = commands.recv() => match command {
                    None => return End::Dropped,
                    Some(Command::Reconnect) => return End::Broken("asked to reconnect".into()),
                    Some(command) => self.on_command(command, Some(&link), &finished),
                },
                () = until(deadline) => {}
            }
        }
    }

    /// Waits before the next try to connect; the outbox takes messages meanwhile.
    async fn wait(
        &mut self,
        time: Duration,
        commands: &mut mpsc::Receiver<Command>,
        stop: &CancellationToken,
    ) -> bool {
        let (finished, _) = mpsc::channel(1);
        let sleep = tokio::time::sleep(time);
        tokio::pin!(sleep);
        loop {
            tokio::select! {
                () = stop.cancelled() => return false,
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
            Command::Request(body, answer) => match link {
                Some(link) => {
                    let (connection, done) = (link.connection.clone(), done.clone());
                    let position = self.inbox.position();
                    tokio::spawn(async move {
                        let response = request(&connection, position, body).await;
                        if let Ok(response) = &response {
                            let _ = done.send(Done::Saw(response.position)).await;
                        }
                        let _ = answer.send(response.and_then(result));
                    });
                }
                None => {
                    let error = ApiError::new(ErrorCode::Unavailable, "not connected");
                    let _ = answer.send(Err(error));
                }
            },
            Command::Reconnect => {}
        }
    }

    /// Sends what the outbox wants sent.
    fn send_due(&mut self, link: &Link, done: &mpsc::Sender<Done>) {
        for message in self.outbox.due(Instant::now()) {
            let (connection, done) = (link.connection.clone(), done.clone());
            let position = self.inbox.position();
            tokio::spawn(async move {
                let body = request::Body::SendMessage(client::SendMessage {
                    channel: message.channel.0,
                    client_msg_id: message.client_msg_id.clone(),
                    text: message.text.clone(),
                    thread_ts: message.thread.map_or(0, |ts| ts.0),
                });
                let response = request(&connection, position, body).await;
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
    ) -> Option<End> {
        let takes = match frame {
            server_frame::Body::Push(push) => {
                let topic = Topic::from_wire(push.topic.as_ref());
                match (topic, push.entry) {
                    (Some(topic), Some(entry)) => self.inbox.push(topic, entry, push.position),
                    _ => Vec::new(),
                }
            }
            server_frame::Body::Missed(missed) => {
                let mut takes = Vec::new();
                for head in missed.heads {
                    if let Some(topic) = Topic::from_wire(head.topic.as_ref()) {
                        takes.extend(self.inbox.missed(topic, causeway_protocol::Seq(head.seq)));
                    }
                }
                takes
            }
            server_frame::Body::GoAway(away) => return Some(End::Broken(away.code)),
        };
        self.carry_out(takes, link, done).await;
        None
    }

    async fn on_done(&mut self, finished: Done, link: &Link, done: &mpsc::Sender<Done>) {
        match finished {
            Done::Sent(sent) => self.on_sent(sent.0, sent.1).await,
            Done::Read(topic, entries, position) => {
                self.inbox.saw(position);
                let takes = self.inbox.log(topic, entries);
                self.carry_out(takes, link, done).await;
            }
            Done::Saw(position) => self.inbox.saw(position),
        }
    }

    async fn on_sent(&mut self, message: Outgoing, response: Result<client::Response, ApiError>) {
        let at = Instant::now();
        let answer = response.and_then(|response| {
            self.inbox.saw(response.position);
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
                    let entry = Box::new(entry);
                    self.tell(Event::Entry { topic, entry, at }).await;
                }
                Take::Read { topic, from, to } => {
                    let (connection, done) = (link.connection.clone(), done.clone());
                    let position = self.inbox.position();
                    tokio::spawn(async move {
                        let body = request::Body::ReadLog(client::ReadLog {
                            topic: Some(topic.to_wire()),
                            from_seq: from.0,
                            to_seq: to.0,
                        });
                        let response = request(&connection, position, body).await;
                        let saw = response.as_ref().map_or(0, |r| r.position);
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
