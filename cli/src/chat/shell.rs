//! The shell around the [`App`]: hands it what happens, and does what it says.
//! It never waits for a request or a message: those have tasks of their own.

use std::time::{Instant, SystemTime};

use anyhow::Context;
use causeway_client::{Age, Client, Event, Outgoing};
use causeway_protocol::{ApiError, ErrorCode, Timestamp};
use crossterm::event::EventStream;
use futures::StreamExt;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Duration, Interval, MissedTickBehavior};

use super::app::App;
use super::ask::{Answer, Ask, Effect, Input};
use super::outbox::PENDING_MAX;
use super::terminal::Screen;

/// Clocks on the screen and pauses of the app move by this.
const TICK: Duration = Duration::from_millis(250);
/// Inputs taken in between two pictures, at the most.
const BATCH_MAX: usize = 256;
/// Requests under way; more are refused at once.
const REQUESTS_MAX: usize = 64;
/// Words about what is on the screen that wait for the client library.
const LOOKS_MAX: usize = 256;
/// Answers that wait for the app.
const ANSWERS_MAX: usize = 256;

/// The time of day, as the app knows it.
pub fn now() -> Timestamp {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let micros = since_1970.map_or(0, |time| time.as_micros());
    Timestamp(u64::try_from(micros).unwrap_or(u64::MAX))
}

/// Runs the app until the user quits.
///
/// # Errors
/// The terminal cannot be used, or a task has panicked.
pub async fn run(
    client: Client,
    events: mpsc::Receiver<Event>,
    mut app: App,
) -> anyhow::Result<()> {
    let mut screen = Screen::open().context("`causeway chat` needs a terminal")?;
    let (width, height) = screen.size()?;
    let resized = crossterm::event::Event::Resize(width, height);
    app.handle(now(), Input::Terminal(resized));
    let mut shell = Shell::new(client, events)?;
    loop {
        screen.draw(&app)?;
        let mut next = Some(shell.next().await?);
        let mut taken = 0;
        while let Some(input) = next {
            for effect in app.handle(now(), input) {
                match effect {
                    Effect::Quit => return Ok(()),
                    Effect::Redraw => screen.clear()?,
                    effect => shell.carry_out(effect),
                }
            }
            taken += 1;
            next = match taken < BATCH_MAX {
                true => shell.ready(),
                false => None,
            };
        }
        if screen.is_lost() {
            anyhow::bail!("a task has panicked; its message stands above");
        }
    }
}

struct Shell {
    client: Client,
    events: mpsc::Receiver<Event>,
    is_client_gone: bool,
    keys: EventStream,
    ticks: Interval,
    signals: [Signal; 3],
    answers: mpsc::Receiver<Input>,
    answer: mpsc::Sender<Input>,
    outgoing: mpsc::Sender<Outgoing>,
    looks: mpsc::Sender<Effect>,
    /// Ends with the shell.
    tasks: JoinSet<()>,
}

impl Shell {
    fn new(client: Client, events: mpsc::Receiver<Event>) -> anyhow::Result<Self> {
        let (answer, answers) = mpsc::channel(ANSWERS_MAX);
        let (outgoing, messages) = mpsc::channel(PENDING_MAX);
        let mut tasks = JoinSet::new();
        tasks.spawn(send_all(client.clone(), messages, answer.clone()));
        let (looks, looked) = mpsc::channel(LOOKS_MAX);
        tasks.spawn(look_all(client.clone(), looked));
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self {
            client,
            events,
            is_client_gone: false,
            keys: EventStream::new(),
            ticks,
            signals: [
                signal(SignalKind::terminate())?,
                signal(SignalKind::hangup())?,
                signal(SignalKind::interrupt())?,
            ],
            answers,
            answer,
            outgoing,
            looks,
            tasks,
        })
    }

    /// Waits for what happens next.
    async fn next(&mut self) -> anyhow::Result<Input> {
        while let Some(ended) = self.tasks.try_join_next() {
            ended.context("a task has panicked")?;
        }
        let [terminate, hang_up, interrupt] = &mut self.signals;
        loop {
            tokio::select! {
                key = self.keys.next() => {
                    let key = key.context("the terminal has been closed")?;
                    return Ok(Input::Terminal(key.context("the terminal cannot be read")?));
                }
                Some(input) = self.answers.recv() => return Ok(input),
                event = self.events.recv(), if !self.is_client_gone => {
                    self.is_client_gone = event.is_none();
                    return Ok(event.map_or(Input::ClientGone, Input::Client));
                }
                Some(()) = terminate.recv() => anyhow::bail!("ended by a signal"),
                Some(()) = hang_up.recv() => anyhow::bail!("the terminal has been closed"),
                Some(()) = interrupt.recv() => anyhow::bail!("ended by a signal"),
                Some(ended) = self.tasks.join_next() => ended.context("a task has panicked")?,
                _ = self.ticks.tick() => return Ok(Input::Tick),
            }
        }
    }

    /// What has happened already: one picture is enough for all of it.
    fn ready(&mut self) -> Option<Input> {
        let answer = self.answers.try_recv().ok();
        answer.or_else(|| self.events.try_recv().ok().map(Input::Client))
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Send(message) => {
                if let Err(unsent) = self.outgoing.try_send(message) {
                    let client_msg_id = unsent.into_inner().client_msg_id;
                    let reason = "too many messages wait".to_owned();
                    self.tasks.spawn(hand_in(
                        self.answer.clone(),
                        Input::NotTaken {
                            client_msg_id,
                            reason,
                        },
                    ));
                }
            }
            Effect::Ask(ask) if self.tasks.len() > REQUESTS_MAX => {
                let text = "too many requests are under way";
                let result = Err(ApiError::new(ErrorCode::Ratelimited, text));
                let took = Duration::ZERO;
                let answer = Box::new(Answer {
                    ask,
                    result,
                    age: Age::Known(Duration::ZERO),
                    took,
                });
                let input = Input::Answer(answer);
                self.tasks.spawn(hand_in(self.answer.clone(), input));
            }
            Effect::Ask(ask) => {
                let (client, answer) = (self.client.clone(), self.answer.clone());
                self.tasks.spawn(make_request(client, ask, answer));
            }
            Effect::Reconnect => {
                let client = self.client.clone();
                self.tasks.spawn(async move { client.reconnect().await });
            }
            Effect::Open(_) | Effect::Watch(_) | Effect::Types(_) => {
                // The library is that far behind only when all else has stopped, too.
                let _ = self.looks.try_send(effect);
            }
            // The loop does these itself: they concern the screen.
            Effect::Quit | Effect::Redraw => {}
        }
    }
}

async fn make_request(client: Client, ask: Ask, answer: mpsc::Sender<Input>) {
    let start = Instant::now();
    let answered = client.ask(ask.body()).await;
    let took = start.elapsed();
    let (result, age) = match answered {
        Ok(answered) => (Ok(answered.result), answered.age),
        Err(error) => (Err(error), Age::Known(Duration::ZERO)),
    };
    let done = Box::new(Answer {
        ask,
        result,
        age,
        took,
    });
    hand_in(answer, Input::Answer(done)).await;
}

/// Puts messages into the client library's outbox, one after the other: their
/// order is the order in which they were written.
async fn send_all(
    client: Client,
    mut messages: mpsc::Receiver<Outgoing>,
    answer: mpsc::Sender<Input>,
) {
    while let Some(message) = messages.recv().await {
        let client_msg_id = message.client_msg_id.clone();
        if let Err(full) = client.send(message).await {
            let reason = full.to_string();
            let input = Input::NotTaken {
                client_msg_id,
                reason,
            };
            hand_in(answer.clone(), input).await;
        }
    }
}

/// Tells what is on the screen, in order.
async fn look_all(client: Client, mut looks: mpsc::Receiver<Effect>) {
    while let Some(effect) = looks.recv().await {
        match effect {
            Effect::Open(channel) => {
                let open = channel.into_iter().collect();
                client.open_channels(open, true).await;
            }
            Effect::Watch(users) => client.watch_presence(users).await,
            Effect::Types(channel) => client.send_typing(channel, None).await,
            _ => {}
        }
    }
}

/// Without the app nobody wants answers.
async fn hand_in(answer: mpsc::Sender<Input>, input: Input) {
    let _ = answer.send(input).await;
}
