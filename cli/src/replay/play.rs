//! The play itself: each channel's messages in order of time, each sent once the
//! one before is acknowledged, and an account of everything that clients see.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use causeway_client::{Client, Event, Outgoing};
use causeway_protocol::client::entry::Kind;
use causeway_protocol::{ChannelId, Topic};
use indicatif::ProgressBar;
use tokio::sync::mpsc;

use super::export::{Export, ExportMessage};
use super::stage::Stage;
use crate::ledger::{ClientNumber, Ledger};

/// What clients have seen and the ledger has not taken in.
const SIGHTS_MAX: usize = 64 * 1024;
/// When nothing at all happens for this long, the play is over.
const QUIET: Duration = Duration::from_secs(30);
/// A failover takes seconds; a play that makes no progress for this long has
/// failed.
const TICK: Duration = Duration::from_millis(100);

/// What a client saw.
enum Sight {
    Event(ClientNumber, Event),
    /// The outbox would not take a message.
    Full(Bytes),
}

/// One channel's part of the play.
struct Part<'a> {
    channel: ChannelId,
    name: &'a str,
    messages: std::slice::Iter<'a, ExportMessage>,
    /// Under way.
    current: Option<Bytes>,
    /// Not before, when the play has a tempo.
    next_at: Option<Instant>,
}

/// Plays everything; `speed` = how many times as fast as it once happened,
/// `None` = as fast as acknowledgements allow.
pub async fn run(
    export: &Export,
    stage: Stage,
    speed: Option<f64>,
    progress: &ProgressBar,
) -> (Ledger, HashMap<ChannelId, Vec<ClientNumber>>) {
    let (sender, mut sights) = mpsc::channel(SIGHTS_MAX);
    let mut clients = Vec::new();
    for (number, actor) in stage.actors.into_iter().enumerate() {
        clients.push(actor.client);
        tokio::spawn(watch(number, actor.events, sender.clone()));
    }
    let mut play = Play {
        ledger: Ledger::default(),
        clients,
        by_user: stage.by_user,
        by_id: HashMap::new(),
        parts: parts(export, &stage.channels),
        tempo: speed.map(|speed| Tempo::new(export, speed)),
        sights: sender,
        started_us: now_us(),
    };
    progress.set_length(export.messages() as u64);
    let mut last_sight = Instant::now();
    let mut ticks = tokio::time::interval(TICK);
    loop {
        play.send_next();
        if play.is_over(&stage.members) || last_sight.elapsed() > QUIET {
            return (play.ledger, stage.members);
        }
        tokio::select! {
            Some(sight) = sights.recv() => {
                last_sight = Instant::now();
                play.take(sight, progress);
                while let Ok(sight) = sights.try_recv() {
                    play.take(sight, progress);
                }
            }
            _ = ticks.tick() => {
                if play.waits_for_its_time() {
                    last_sight = Instant::now();
                }
            }
        }
    }
}

async fn watch(
    number: ClientNumber,
    mut events: mpsc::Receiver<Event>,
    sights: mpsc::Sender<Sight>,
) {
    while let Some(event) = events.recv().await {
        if sights.send(Sight::Event(number, event)).await.is_err() {
            return;
        }
    }
}

fn parts<'a>(export: &'a Export, channels: &[ChannelId]) -> Vec<Part<'a>> {
    let parts = export.channels.iter().zip(channels);
    let parts = parts.map(|(channel, id)| Part {
        channel: *id,
        name: &channel.name,
        messages: channel.messages.iter(),
        current: None,
        next_at: None,
    });
    parts.collect()
}

/// When messages are due, if not as fast as possible.
struct Tempo {
    start: Instant,
    first_us: u64,
    speed: f64,
}

impl Tempo {
    fn new(export: &Export, speed: f64) -> Self {
        let firsts = export.channels.iter().filter_map(|c| c.messages.first());
        Self {
            start: Instant::now(),
            first_us: firsts.map(|m| m.ts.0).min().unwrap_or(0),
            speed,
        }
    }

    fn due(&self, message: &ExportMessage) -> Instant {
        let then = Duration::from_micros(message.ts.0.saturating_sub(self.first_us));
        self.start + then.div_f64(self.speed)
    }
}

struct Play<'a> {
    ledger: Ledger,
    clients: Vec<Client>,
    by_user: HashMap<String, ClientNumber>,
    /// The part that waits for each message under way.
    by_id: HashMap<Bytes, usize>,
    parts: Vec<Part<'a>>,
    tempo: Option<Tempo>,
    sights: mpsc::Sender<Sight>,
    /// Microseconds since 1970.
    started_us: u64,
}

impl Play<'_> {
    fn send_next(&mut self) {
        let now = Instant::now();
        for index in 0..self.parts.len() {
            let part = &mut self.parts[index];
            if part.current.is_some() {
                continue;
            }
            let Some(message) = part.messages.as_slice().first() else {
                part.next_at = None;
                continue;
            };
            part.next_at = self.tempo.as_ref().map(|tempo| tempo.due(message));
            if part.next_at.is_some_and(|at| now < at) {
                continue;
            }
            part.messages.next();
            let id = message_id(part.name, message);
            part.current = Some(id.clone());
            let channel = part.channel;
            self.by_id.insert(id.clone(), index);
            self.send(channel, id, message);
        }
    }

    fn send(&mut self, channel: ChannelId, id: Bytes, message: &ExportMessage) {
        let sender = self.by_user.get(&message.user).copied().unwrap_or(0);
        let outgoing = Outgoing {
            channel,
            client_msg_id: id.clone(),
            text: message.text.clone(),
            thread: None,
        };
        self.ledger
            .sent(id.clone(), channel, sender, Instant::now());
        let (client, sights) = (self.clients[sender].clone(), self.sights.clone());
        tokio::spawn(async move {
            if client.send(outgoing).await.is_err() {
                // The play is over if nobody listens.
                let _ = sights.send(Sight::Full(id)).await;
            }
        });
    }

    fn take(&mut self, sight: Sight, progress: &ProgressBar) {
        match sight {
            Sight::Event(client, Event::Entry { topic, entry, at }) => {
                if let (Topic::Channel(channel), Some(Kind::Posted(message))) = (topic, entry.kind)
                {
                    let id = message.client_msg_id;
                    self.ledger.delivered(client, channel, entry.seq, id, at);
                }
            }
            Sight::Event(
                _,
                Event::Sent {
                    client_msg_id,
                    result,
                    at,
                },
            ) => {
                match result {
                    Ok(sent) => {
                        // A resend of this play finds its own first try.
                        let earlier = sent.duplicate && sent.ts < self.started_us;
                        let ledger = &mut self.ledger;
                        ledger.acknowledged(&client_msg_id, sent.seq, earlier, at);
                    }
                    Err(_) => self.ledger.refused(&client_msg_id),
                }
                self.settled(&client_msg_id, progress);
            }
            Sight::Event(_, Event::State(step)) if step.to.is_seeking() => {
                self.ledger.disconnected();
                progress.set_message(format!("a client lost its PoP: {}", step.reason));
            }
            Sight::Event(_, Event::Connected { .. }) => progress.set_message(""),
            Sight::Event(
                _,
                Event::State(_)
                | Event::Metadata { .. }
                | Event::Typing { .. }
                | Event::Custom { .. }
                | Event::Counter { .. }
                | Event::Presence { .. }
                | Event::Introduced { .. },
            ) => {}
            Sight::Event(_, Event::Stopped(error)) => progress.set_message(error.to_string()),
            Sight::Full(id) => {
                self.ledger.refused(&id);
                self.settled(&id, progress);
            }
        }
    }

    fn settled(&mut self, id: &Bytes, progress: &ProgressBar) {
        if let Some(index) = self.by_id.remove(id) {
            self.parts[index].current = None;
            progress.inc(1);
        }
    }

    /// All is sent, answered, and delivered.
    fn is_over(&self, members: &HashMap<ChannelId, Vec<ClientNumber>>) -> bool {
        let done = |part: &Part<'_>| part.current.is_none() && part.messages.len() == 0;
        self.parts.iter().all(done) && self.ledger.deliveries() >= self.ledger.owed(members)
    }

    /// Nothing is under way, only because its time has not come.
    fn waits_for_its_time(&self) -> bool {
        self.by_id.is_empty() && self.parts.iter().any(|part| part.next_at.is_some())
    }
}

fn now_us() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    since_epoch.map_or(0, |d| u64::try_from(d.as_micros()).unwrap_or(u64::MAX))
}

/// The same for the same message in every replay, so that a second replay posts
/// nothing.
fn message_id(channel: &str, message: &ExportMessage) -> Bytes {
    let key = format!("{channel}/{}/{}", message.ts, message.user);
    let hash = xxhash_rust::xxh3::xxh3_128(key.as_bytes());
    Bytes::copy_from_slice(&hash.to_be_bytes())
}
