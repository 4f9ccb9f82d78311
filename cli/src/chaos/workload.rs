//! What clients do: a seeded decision over what they have done so far. Knows
//! nothing of connections, clocks or faults.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use causeway_protocol::ChannelId;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use super::history::{Call, ClientNumber};

/// Messages of a client that it may come back to.
const OWN_MAX: usize = 64;
/// Threads of a channel that may be answered.
const THREADS_MAX: usize = 32;

/// A message that its author may edit, delete or send again.
#[derive(Debug, Clone)]
struct Own {
    channel: ChannelId,
    ts: u64,
    id: Bytes,
    text: String,
    thread_ts: u64,
}

/// What a client may act on.
#[derive(Debug, Clone, Default)]
struct Person {
    channels: Vec<ChannelId>,
    /// Public channels that it may join.
    open: Vec<ChannelId>,
    own: Vec<Own>,
    /// The message that it sent last, until that is acknowledged.
    pending: Option<(ChannelId, Call)>,
}

/// The clients' doings, from a seed.
pub struct Workload {
    rng: SmallRng,
    persons: Vec<Person>,
    threads: HashMap<ChannelId, Vec<u64>>,
    /// Ids that have their place; a resend is answered with the same.
    placed: HashSet<Bytes>,
    count: u64,
    /// Keeps the ids of two runs apart.
    run: u64,
}

impl Workload {
    /// For clients with the channels of which they are members, and those that
    /// they may join.
    pub fn new(
        seed: u64,
        run: u64,
        clients: impl IntoIterator<Item = (Vec<ChannelId>, Vec<ChannelId>)>,
    ) -> Self {
        let person = |(channels, open)| Person {
            channels,
            open,
            own: Vec::new(),
            pending: None,
        };
        Self {
            rng: SmallRng::seed_from_u64(seed),
            persons: clients.into_iter().map(person).collect(),
            threads: HashMap::new(),
            placed: HashSet::new(),
            count: 0,
            run,
        }
    }

    /// What happens next: who does what, and where. `None` if nobody can.
    pub fn next(&mut self) -> Option<(ClientNumber, ChannelId, Call)> {
        let client = self.rng.random_range(0..self.persons.len().max(1));
        let dice = self.rng.random_range(0..100);
        let special = match dice {
            0..8 => self.edit(client),
            8..11 => self.delete(client),
            11..15 => self.send_again(client),
            15..20 => self.read(client),
            20..22 => self.join(client),
            _ => None,
        };
        let (channel, call) = match special {
            Some(special) => special,
            None => self.send(client)?,
        };
        Some((client, channel, call))
    }

    /// A message has its place: its author may come back to it.
    pub fn sent(&mut self, client: ClientNumber, channel: ChannelId, call: &Call, ts: u64) {
        let Call::Send {
            id,
            text,
            thread_ts,
        } = call
        else {
            return;
        };
        if !self.placed.insert(id.clone()) {
            return;
        }
        self.persons[client]
            .pending
            .take_if(|(_, sent)| sent == call);
        if *thread_ts == 0 {
            let threads = self.threads.entry(channel).or_default();
            replace_one(threads, THREADS_MAX, ts, &mut self.rng);
        }
        let own = Own {
            channel,
            ts,
            id: id.clone(),
            text: text.clone(),
            thread_ts: *thread_ts,
        };
        replace_one(&mut self.persons[client].own, OWN_MAX, own, &mut self.rng);
    }

    /// A client has joined a channel.
    pub fn joined(&mut self, client: ClientNumber, channel: ChannelId) {
        self.persons[client].channels.push(channel);
    }

    fn send(&mut self, client: ClientNumber) -> Option<(ChannelId, Call)> {
        let channel = *self.persons[client].channels.choose(&mut self.rng)?;
        self.count += 1;
        let answers = self.rng.random_ratio(1, 6);
        let threads = self.threads.get(&channel).filter(|_| answers);
        let thread = threads.and_then(|threads| threads.choose(&mut self.rng));
        let call = Call::Send {
            id: format!("{:x}-{}", self.run, self.count).into(),
            text: format!("message {} of run {:x} 消息", self.count, self.run),
            thread_ts: thread.copied().unwrap_or(0),
        };
        self.persons[client].pending = Some((channel, call.clone()));
        Some((channel, call))
    }

    /// The message is no longer to be acted upon: two changes of one message at
    /// a time would leave open which is the last.
    fn take_own(&mut self, client: ClientNumber) -> Option<Own> {
        let own = &mut self.persons[client].own;
        match own.len() {
            0 => None,
            count => Some(own.swap_remove(self.rng.random_range(0..count))),
        }
    }

    fn edit(&mut self, client: ClientNumber) -> Option<(ChannelId, Call)> {
        let own = self.take_own(client)?;
        self.count += 1;
        let text = format!("edit {} of run {:x} ✏️", self.count, self.run);
        Some((own.channel, Call::Edit { ts: own.ts, text }))
    }

    fn delete(&mut self, client: ClientNumber) -> Option<(ChannelId, Call)> {
        let own = self.take_own(client)?;
        Some((own.channel, Call::Delete { ts: own.ts }))
    }

    /// As somebody does who has lost the answer, or has not had it yet.
    fn send_again(&mut self, client: ClientNumber) -> Option<(ChannelId, Call)> {
        let pending = self.persons[client].pending.clone();
        if let Some(pending) = pending.filter(|_| self.rng.random()) {
            return Some(pending);
        }
        let own = self.take_own(client)?;
        let call = Call::Send {
            id: own.id,
            text: own.text,
            thread_ts: own.thread_ts,
        };
        Some((own.channel, call))
    }

    fn read(&mut self, client: ClientNumber) -> Option<(ChannelId, Call)> {
        let channel = *self.persons[client].channels.choose(&mut self.rng)?;
        Some((channel, Call::Read))
    }

    fn join(&mut self, client: ClientNumber) -> Option<(ChannelId, Call)> {
        let channel = self.persons[client].open.pop()?;
        Some((channel, Call::Join))
    }
}

/// Adds to a list that has a bound, in place of a random one if need be.
fn replace_one<T>(list: &mut Vec<T>, most: usize, item: T, rng: &mut SmallRng) {
    if list.len() >= most {
        list.swap_remove(rng.random_range(0..list.len()));
    }
    list.push(item);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(seed: u64) -> Vec<(ClientNumber, ChannelId, Call)> {
        let channels = [ChannelId(1), ChannelId(2)];
        let persons = (0..5).map(|_| (channels.to_vec(), vec![ChannelId(3)]));
        let mut workload = Workload::new(seed, 9, persons);
        let steps = (0..2_000u64).map(|step| {
            let (client, channel, call) = workload.next().expect("somebody can");
            match &call {
                Call::Join => workload.joined(client, channel),
                call => workload.sent(client, channel, call, step + 1),
            }
            (client, channel, call)
        });
        steps.collect()
    }

    #[test]
    fn a_seed_has_one_story() {
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }

    #[test]
    fn a_message_is_also_sent_again_before_it_is_answered() {
        let persons = [(vec![ChannelId(1)], Vec::new())];
        let mut workload = Workload::new(1, 9, persons);
        let sent: Vec<_> = (0..200).filter_map(|_| workload.next()).collect();
        let again = sent.windows(2).filter(|pair| pair[0] == pair[1]);
        let sends = again.filter(|pair| matches!(pair[0].2, Call::Send { .. }));
        assert!(sends.count() > 0);
    }

    #[test]
    fn everything_happens_and_a_message_is_changed_once() {
        let story = run(3);
        let mut changed = HashSet::new();
        let (mut again, mut replies, mut joins, mut reads) = (0, 0, 0, 0);
        let mut ids = HashSet::new();
        for (_, _, call) in &story {
            match call {
                Call::Send { id, thread_ts, .. } => {
                    again += usize::from(!ids.insert(id.clone()));
                    replies += usize::from(*thread_ts > 0);
                }
                Call::Edit { ts, .. } | Call::Delete { ts } => {
                    assert!(changed.insert(*ts));
                }
                Call::Join => joins += 1,
                Call::Read => reads += 1,
            }
        }
        assert!(again > 20 && replies > 100 && reads > 50 && changed.len() > 100);
        assert_eq!(joins, 5);
    }
}
