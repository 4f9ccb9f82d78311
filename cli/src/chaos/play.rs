//! The play: clients do what the workload says at a steady rate, faults come as
//! scheduled, and everything that clients see is written down.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway_client::{Client, Event, Outgoing};
use causeway_core_region::faults::FaultConfig;
use causeway_protocol::client::{self, entry::Kind, fact::Kind as Fact, request, response};
use causeway_protocol::{ApiError, ChannelId, ErrorCode, Name, Timestamp, Topic, UserId};
use tokio::sync::mpsc;

use super::faults::{self, Done};
use super::guard::Guard;
use super::history::{
    At, Call, ClientNumber, Delivery, History, LogEntry, Membership, Operation, Outcome, Shown,
    What,
};
use super::joins::Roster;
use super::progress::Progress;
use super::scenario::{Act, Plan};
use super::stage::Part;
use super::workload::Workload;
use crate::world::World;

/// What clients have seen and the history has not taken in.
const SIGHTS_MAX: usize = 64 * 1024;
/// After the end, what is under way comes in; when nothing has come for this
/// long, nothing more will.
const QUIET: Duration = Duration::from_secs(5);
/// It does not take longer than this in any case.
const END_TIMEOUT: Duration = Duration::from_secs(60);
/// So much of the workload comes after the last fault, which may take its time.
const AFTERWARDS: Duration = Duration::from_secs(2);
/// Operations under way; who is to do more has to wait.
const UNDER_WAY_MAX: usize = 100_000;
/// The workload keeps its rate to this grain.
const GRAIN: Duration = Duration::from_millis(5);

/// What came to be known.
enum Sight {
    Event(ClientNumber, Event),
    Answered(usize, Box<Result<response::Result, ApiError>>, Instant),
    Full(usize),
    FaultDone(anyhow::Result<Done>),
}

/// What a play leaves.
pub struct Played {
    /// What was seen; without the replicas' logs.
    pub history: History,
    /// When connections broke, and whose.
    pub breaks: Vec<(ClientNumber, At)>,
    /// The world with its processes as they are now.
    pub world: World,
    /// When what was done.
    pub acts: Vec<(At, String)>,
    /// When the play began.
    pub began: Instant,
    /// How long clients were given something to do.
    pub length: Duration,
    /// When nobody waited any longer for answers.
    pub ended: At,
    /// What the world should have done when it was told to, and did not.
    pub broken: Vec<String>,
    /// Who is in the channels that clients joined.
    pub rosters: Vec<Roster>,
}

/// What a play is made of.
pub struct Play<'a> {
    /// The world.
    pub world: World,
    /// What leaves it as it was.
    pub guard: &'a Arc<Guard>,
    /// Who takes part.
    pub parts: Vec<Part>,
    /// What they do.
    pub workload: Workload,
    /// What is done to the world.
    pub plan: &'a Plan,
    /// Operations a second.
    pub rate: f64,
    /// When it begins.
    pub began: Instant,
}

/// Plays.
///
/// # Errors
/// A fault that could not be caused.
pub async fn run(play: Play<'_>, progress: &Progress) -> anyhow::Result<Played> {
    let Play {
        began,
        plan,
        mut workload,
        ..
    } = play;
    let (sender, mut sights) = mpsc::channel(SIGHTS_MAX);
    let mut scribe = Scribe::new(began, &play.parts);
    let mut clients = Vec::new();
    for (number, part) in play.parts.into_iter().enumerate() {
        clients.push(part.actor.client);
        tokio::spawn(watch(number, part.actor.events, sender.clone()));
    }
    let mut stagehand = Stagehand {
        guard: Arc::clone(play.guard),
        world: Some(play.world),
        acts: plan.acts.iter().cloned().collect(),
        done: Vec::new(),
        broken: Vec::new(),
        last: Duration::ZERO,
        sights: sender.clone(),
    };
    progress.set_length(plan.length.as_secs());
    progress.reset();
    let mut grain = tokio::time::interval(GRAIN);
    let mut last_sight = began;
    let mut length = plan.length;
    loop {
        let now = began.elapsed();
        progress.set_position(now.as_secs().min(plan.length.as_secs()));
        stagehand.act(now, progress);
        if !stagehand.is_idle() && now < plan.length + END_TIMEOUT {
            length = plan.length.max(now + GRAIN);
        }
        length = length.max(stagehand.last + AFTERWARDS);
        if now < length {
            let due = now.as_secs_f64() * play.rate;
            give(due, &clients, &mut workload, &mut scribe, &sender);
        } else {
            let quiet = last_sight.elapsed() > QUIET && scribe.pending() == 0;
            if stagehand.is_idle() && (quiet || now > length + END_TIMEOUT) {
                break;
            }
            progress.set_message("waiting for quiet");
        }
        tokio::select! {
            Some(sight) = sights.recv() => {
                last_sight = Instant::now();
                let mut next = Some(sight);
                while let Some(sight) = next {
                    match sight {
                        Sight::FaultDone(done) => stagehand.take(done?, began.elapsed()),
                        sight => scribe.take(sight, &mut workload),
                    }
                    next = sights.try_recv().ok();
                }
            }
            _ = grain.tick() => {}
        }
    }
    Ok(Played {
        history: scribe.history,
        breaks: scribe.breaks,
        world: stagehand.world.expect("idle"),
        acts: stagehand.done,
        began,
        length,
        ended: began.elapsed(),
        broken: stagehand.broken,
        rosters: Vec::new(),
    })
}

/// Gives clients something to do until so much has begun.
fn give(
    due: f64,
    clients: &[Client],
    workload: &mut Workload,
    scribe: &mut Scribe,
    sights: &mpsc::Sender<Sight>,
) {
    while (scribe.history.operations.len() as f64) < due && scribe.pending() < UNDER_WAY_MAX {
        let Some((client, channel, call)) = workload.next() else {
            return;
        };
        let index = scribe.begins(client, channel, call.clone());
        carry_out(&clients[client], index, channel, call, sights.clone());
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

/// Has a client do something. Sends are answered by events, the rest here.
fn carry_out(
    client: &Client,
    index: usize,
    channel: ChannelId,
    call: Call,
    sights: mpsc::Sender<Sight>,
) {
    let client = client.clone();
    tokio::spawn(async move {
        let sight = match request(channel, call) {
            Ok(outgoing) => match client.send(outgoing).await {
                Ok(()) => return,
                Err(_) => Sight::Full(index),
            },
            Err(body) => {
                let answer = client.request(*body).await;
                Sight::Answered(index, Box::new(answer), Instant::now())
            }
        };
        // The play is over if nobody listens.
        let _ = sights.send(sight).await;
    });
}

fn request(channel: ChannelId, call: Call) -> Result<Outgoing, Box<request::Body>> {
    let channel_id = channel;
    let channel = channel.0;
    Err(Box::new(match call {
        Call::Send {
            id,
            text,
            thread_ts,
        } => {
            return Ok(Outgoing {
                channel: channel_id,
                client_msg_id: id,
                text,
                thread: (thread_ts > 0).then_some(Timestamp(thread_ts)),
            });
        }
        Call::Edit { ts, text } => {
            request::Body::EditMessage(client::EditMessage { channel, ts, text })
        }
        Call::Delete { ts } => request::Body::DeleteMessage(client::DeleteMessage { channel, ts }),
        Call::Join => request::Body::JoinChannel(client::JoinChannel { channel }),
        Call::Read => request::Body::ReadHistory(client::ReadHistory {
            channel,
            // Replies and deleted messages are passed over.
            limit: 10,
            ..client::ReadHistory::default()
        }),
    }))
}

/// Causes the faults when they are due, one after another.
struct Stagehand {
    guard: Arc<Guard>,
    /// `None` while a fault is being caused.
    world: Option<World>,
    acts: VecDeque<(Duration, Act)>,
    done: Vec<(At, String)>,
    broken: Vec<String>,
    /// When the last act was done.
    last: At,
    sights: mpsc::Sender<Sight>,
}

impl Stagehand {
    fn is_idle(&self) -> bool {
        self.acts.is_empty() && self.world.is_some()
    }

    fn take(&mut self, done: Done, now: At) {
        self.done.extend(done.told.map(|told| (now, told)));
        self.broken.extend(done.broken);
        self.world = Some(done.world);
        self.last = now;
    }

    fn act(&mut self, now: At, progress: &Progress) {
        let due = self.acts.front().is_some_and(|(at, _)| *at <= now);
        if !due {
            return;
        }
        let Some(world) = self.world.take() else {
            return;
        };
        if let Some((_, act)) = self.acts.pop_front() {
            let text = describe(&act);
            progress.set_message(text.clone());
            self.done.push((now, text));
            let (sights, guard) = (self.sights.clone(), Arc::clone(&self.guard));
            self.guard.spawn(async move {
                let done = faults::carry_out(world, act, guard).await;
                // The play is over if nobody listens.
                let _ = sights.send(Sight::FaultDone(done)).await;
            });
        }
    }
}

pub(super) fn describe(act: &Act) -> String {
    match act {
        Act::Kill(node) => format!("{node} is killed"),
        Act::KillAll(nodes) => {
            let nodes: Vec<_> = nodes.iter().map(ToString::to_string).collect();
            format!("{} are killed at once", nodes.join(", "))
        }
        Act::Stop(node) => format!("{node} is stopped"),
        Act::Start(node) => format!("{node} is started"),
        Act::Freeze(node) => format!("{node} is frozen"),
        Act::Thaw(node) => format!("{node} goes on"),
        Act::Cut(cuts) => cut(cuts),
        Act::Heal => "all links are whole".into(),
        Act::Drain(_, name) => format!("{name} is drained"),
        Act::Undrain(_, name) => format!("{name} is open again"),
        Act::Inject(node, fault) => format!("{node}: {}", wrong(fault)),
    }
}

/// Of many cuts, who is at one end of all of them.
fn cut(cuts: &[(Name, Name)]) -> String {
    let Some((first, second)) = cuts.first() else {
        return "nothing is cut".into();
    };
    let at_all = |place: &&Name| cuts.iter().all(|(from, to)| from == *place || to == *place);
    let Some(place) = [first, second].into_iter().find(at_all) else {
        return "regions are cut off from one another".into();
    };
    let heard = cuts.iter().any(|(from, _)| from == place);
    let hears = cuts.iter().any(|(_, to)| to == place);
    match (heard, hears) {
        (true, true) => format!("{place} is cut off"),
        (true, false) => format!("nobody hears {place}"),
        _ => format!("{place} hears nobody"),
    }
}

fn wrong(fault: &FaultConfig) -> String {
    let mut wrong = Vec::new();
    if fault.sync_delay_ms > 0 {
        wrong.push(format!("a sync takes {} ms", fault.sync_delay_ms));
    }
    if fault.disk_full {
        wrong.push("the disk is full".into());
    }
    if fault.clock_offset_ms != 0 {
        wrong.push(format!("the clock is off by {} ms", fault.clock_offset_ms));
    }
    match wrong.is_empty() {
        true => "nothing is wrong".into(),
        false => wrong.join(", "),
    }
}

/// Writes the history.
struct Scribe {
    history: History,
    breaks: Vec<(ClientNumber, At)>,
    began: Instant,
    /// Operations under way by id, for sends.
    sending: HashMap<(ClientNumber, Bytes), VecDeque<usize>>,
    open: usize,
    /// Who is known to be in what.
    members: HashSet<(ClientNumber, ChannelId)>,
}

impl Scribe {
    fn new(began: Instant, parts: &[Part]) -> Self {
        let memberships = parts.iter().enumerate().flat_map(|(client, part)| {
            let heads: HashMap<u64, u64> = (part.actor.boot.channels.iter())
                .map(|channel| (channel.id, channel.last_seq))
                .collect();
            let membership = move |channel: ChannelId| Membership {
                client,
                channel,
                from_seq: heads.get(&channel.0).copied().unwrap_or(0),
                joined: false,
            };
            part.channels.clone().into_iter().map(membership)
        });
        let memberships: Vec<Membership> = memberships.collect();
        Self {
            members: memberships.iter().map(|m| (m.client, m.channel)).collect(),
            history: History {
                memberships,
                ..History::default()
            },
            breaks: Vec::new(),
            began,
            sending: HashMap::new(),
            open: 0,
        }
    }

    /// Operations without an end.
    fn pending(&self) -> usize {
        self.open
    }

    fn begins(&mut self, client: ClientNumber, channel: ChannelId, call: Call) -> usize {
        let index = self.history.operations.len();
        if let Call::Send { id, .. } = &call {
            let waiting = self.sending.entry((client, id.clone())).or_default();
            waiting.push_back(index);
        }
        self.open += 1;
        self.history.operations.push(Operation {
            client,
            channel,
            call,
            began: self.began.elapsed(),
            outcome: Outcome::Unknown,
        });
        index
    }

    fn ends(&mut self, index: usize, outcome: Outcome, workload: &mut Workload) {
        self.open -= 1;
        let operation = &mut self.history.operations[index];
        let (client, channel) = (operation.client, operation.channel);
        match (&operation.call, &outcome) {
            (call @ Call::Send { .. }, Outcome::Acknowledged { ts, .. }) => {
                workload.sent(client, channel, call, *ts);
            }
            (Call::Join, Outcome::Done { .. }) => workload.joined(client, channel),
            _ => {}
        }
        operation.outcome = outcome;
    }

    fn take(&mut self, sight: Sight, workload: &mut Workload) {
        match sight {
            Sight::Event(client, event) => self.event(client, event, workload),
            Sight::Answered(index, answer, at) => {
                let at = at.saturating_duration_since(self.began);
                self.ends(index, outcome(*answer, at), workload);
            }
            Sight::Full(index) => {
                for waiting in self.sending.values_mut() {
                    waiting.retain(|sending| *sending != index);
                }
                let refused = Outcome::Refused {
                    at: self.began.elapsed(),
                    code: "outbox_full".into(),
                };
                self.ends(index, refused, workload);
            }
            // Taken by whoever causes the next one.
            Sight::FaultDone(_) => {}
        }
    }

    fn event(&mut self, client: ClientNumber, event: Event, workload: &mut Workload) {
        match event {
            Event::Entry { topic, entry, at } => {
                if let Topic::Channel(channel) = topic {
                    self.history.deliveries.push(Delivery {
                        client,
                        at: at.saturating_duration_since(self.began),
                        channel,
                        entry: log_entry(*entry),
                    });
                }
            }
            Event::Sent {
                client_msg_id,
                result,
                at,
            } => {
                let waiting = self.sending.get_mut(&(client, client_msg_id));
                let Some(index) = waiting.and_then(VecDeque::pop_front) else {
                    return;
                };
                let at = at.saturating_duration_since(self.began);
                self.ends(
                    index,
                    outcome(result.map(response::Result::Sent), at),
                    workload,
                );
            }
            Event::State(step) if step.to.is_seeking() => {
                self.breaks.push((client, self.began.elapsed()));
            }
            // The client library begins where the first of these says.
            Event::Connected { boot, .. } => {
                for channel in &boot.channels {
                    self.joins(client, channel);
                }
            }
            Event::Metadata { push, .. } => {
                for fact in push.facts {
                    if let Some(Fact::Joined(channel)) = fact.kind {
                        self.joins(client, &channel);
                    }
                }
            }
            Event::State(_)
            | Event::Stopped(_)
            | Event::Typing { .. }
            | Event::Custom { .. }
            | Event::Counter { .. }
            | Event::Presence { .. }
            | Event::Introduced { .. } => {}
        }
    }

    fn joins(&mut self, client: ClientNumber, channel: &client::Channel) {
        let id = ChannelId(channel.id);
        if self.members.insert((client, id)) {
            self.history.memberships.push(Membership {
                client,
                channel: id,
                from_seq: channel.last_seq,
                joined: true,
            });
        }
    }
}

/// What an answer says of the operation.
fn outcome(answer: Result<response::Result, ApiError>, at: At) -> Outcome {
    match answer {
        Ok(response::Result::Sent(sent)) => Outcome::Acknowledged {
            at,
            seq: sent.seq,
            ts: sent.ts,
        },
        Ok(response::Result::Messages(page)) => {
            let seqs = page.messages.iter().map(|message| message.seq);
            Outcome::Seen {
                at,
                last_seq: seqs.max().unwrap_or(0),
                page: page.messages.into_iter().map(shown).collect(),
            }
        }
        Ok(_) => Outcome::Done { at },
        Err(error) => match error.code {
            // An edge that repeats a deletion finds it done.
            code @ (ErrorCode::Unavailable
            | ErrorCode::InternalError
            | ErrorCode::MessageNotFound) => Outcome::Open {
                at,
                code: code.to_string(),
            },
            code => Outcome::Refused {
                at,
                code: code.to_string(),
            },
        },
    }
}

/// An entry as the checker knows it.
pub fn log_entry(entry: client::Entry) -> LogEntry {
    let what = match entry.kind {
        Some(Kind::Posted(message)) => What::Posted(shown(message)),
        Some(Kind::Edited(message)) => What::Edited(shown(message)),
        Some(Kind::Deleted(deleted)) => What::Deleted { ts: deleted.ts },
        _ => What::Other,
    };
    LogEntry {
        seq: entry.seq,
        ts: entry.ts,
        what,
    }
}

fn shown(message: client::Message) -> Shown {
    Shown {
        seq: message.seq,
        ts: message.ts,
        author: UserId(message.user),
        id: message.client_msg_id,
        text: message.text,
        deleted: message.deleted,
        thread_ts: message.thread_ts,
    }
}
