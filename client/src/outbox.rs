//! Messages on their way out: each channel's in order, one at a time, under
//! their ids until they are answered. A state machine over inputs and `now`.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway_protocol::client;
use causeway_protocol::{ApiError, ChannelId};
use rand::RngExt;
use rand::rngs::SmallRng;
use thiserror::Error;

use crate::Outgoing;

/// Messages that wait, in all channels.
const MESSAGES_MAX: usize = 10_000;
/// The first pause after a failed try; it doubles with each.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// The longest pause.
pub(crate) const PAUSE_MAX: Duration = Duration::from_secs(3);

/// The outbox takes no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the outbox is full: {MESSAGES_MAX} messages wait")]
pub struct OutboxFull;

/// What became of a message.
#[derive(Debug, Clone, PartialEq)]
pub struct Settled {
    /// Its id.
    pub client_msg_id: Bytes,
    /// Its place, or why it will never have one.
    pub result: Result<client::Sent, ApiError>,
}

#[derive(Debug)]
struct Queue {
    waiting: VecDeque<Outgoing>,
    /// The first message is with the edge.
    in_flight: bool,
    /// It is not tried again before.
    try_at: Instant,
    tries: u32,
}

/// The messages that wait.
#[derive(Debug)]
pub struct Outbox {
    channels: BTreeMap<ChannelId, Queue>,
    messages: usize,
    rng: SmallRng,
}

impl Outbox {
    /// An empty outbox; `rng` spreads retries.
    pub fn new(rng: SmallRng) -> Self {
        Self {
            channels: BTreeMap::new(),
            messages: 0,
            rng,
        }
    }

    /// Adds a message, after those of its channel.
    ///
    /// # Errors
    /// [`OutboxFull`].
    pub fn push(&mut self, message: Outgoing, now: Instant) -> Result<(), OutboxFull> {
        if self.messages >= MESSAGES_MAX {
            return Err(OutboxFull);
        }
        self.messages += 1;
        let queue = self.channels.entry(message.channel).or_insert(Queue {
            waiting: VecDeque::new(),
            in_flight: false,
            try_at: now,
            tries: 0,
        });
        queue.waiting.push_back(message);
        Ok(())
    }

    /// Messages to send now; each counts as under way until it is answered.
    pub fn due(&mut self, now: Instant) -> Vec<Outgoing> {
        let ready = |queue: &&mut Queue| !queue.in_flight && queue.try_at <= now;
        let due = self
            .channels
            .values_mut()
            .filter(ready)
            .filter_map(|queue| {
                let message = queue.waiting.front()?.clone();
                queue.in_flight = true;
                Some(message)
            });
        due.collect()
    }

    /// When [`due`](Self::due) has something next; `None` = after an answer.
    pub fn deadline(&self) -> Option<Instant> {
        let idle = self.channels.values().filter(|queue| !queue.in_flight);
        idle.map(|queue| queue.try_at).min()
    }

    /// The answer to a message under way. Returns its end, if this is it.
    pub fn answered(
        &mut self,
        channel: ChannelId,
        client_msg_id: &[u8],
        result: Result<client::Sent, ApiError>,
        now: Instant,
    ) -> Option<Settled> {
        let queue = self.channels.get_mut(&channel)?;
        let first = queue.waiting.front()?;
        if first.client_msg_id != client_msg_id {
            // An answer from before a reconnection: the message is settled.
            return None;
        }
        queue.in_flight = false;
        match &result {
            Err(error) if error.code.is_retryable() => {
                let pause = pause(queue.tries, &mut self.rng);
                let asked = Duration::from_millis(error.retry_after_ms.into());
                queue.tries += 1;
                queue.try_at = now + pause.max(asked);
                None
            }
            _ => {
                let client_msg_id = first.client_msg_id.clone();
                queue.waiting.pop_front();
                queue.tries = 0;
                queue.try_at = now;
                if queue.waiting.is_empty() {
                    self.channels.remove(&channel);
                }
                self.messages -= 1;
                Some(Settled {
                    client_msg_id,
                    result,
                })
            }
        }
    }

    /// The connection is gone: what was under way goes out again with the next.
    pub fn disconnected(&mut self, now: Instant) {
        for queue in self.channels.values_mut() {
            queue.in_flight = false;
            queue.try_at = now;
            queue.tries = 0;
        }
    }

    /// How many messages wait.
    pub fn len(&self) -> usize {
        self.messages
    }

    /// Whether none does.
    pub fn is_empty(&self) -> bool {
        self.messages == 0
    }
}

/// How long to wait after so many failed tries: doubles with each, and is spread by half, so that many clients do not
/// come back together.
pub fn pause(tries: u32, rng: &mut SmallRng) -> Duration {
    spread(PAUSE_MIN.saturating_mul(1 << tries.min(10)), rng)
}

/// How long to wait after so many that more make no difference.
pub fn longest_pause(rng: &mut SmallRng) -> Duration {
    spread(PAUSE_MAX, rng)
}

fn spread(longest: Duration, rng: &mut SmallRng) -> Duration {
    longest.min(PAUSE_MAX).mul_f64(rng.random_range(0.5..1.0))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use causeway_protocol::ErrorCode;
    use rand::SeedableRng;

    use super::*;

    fn message(channel: u64, n: u64) -> Outgoing {
        Outgoing {
            channel: ChannelId(channel),
            client_msg_id: Bytes::copy_from_slice(&n.to_be_bytes()),
            text: n.to_string(),
            thread: None,
        }
    }

    /// A server that deduplicates, and a connection that breaks at will.
    struct Server {
        log: Vec<(ChannelId, Bytes)>,
        known: BTreeSet<Bytes>,
    }

    impl Server {
        fn take(&mut self, message: &Outgoing) -> client::Sent {
            let duplicate = !self.known.insert(message.client_msg_id.clone());
            if !duplicate {
                self.log
                    .push((message.channel, message.client_msg_id.clone()));
            }
            client::Sent {
                seq: self.log.len() as u64,
                ts: 0,
                duplicate,
            }
        }
    }

    /// Whatever is lost, late or refused for now: every message is posted once,
    /// in its channel's order, and settled once.
    #[test]
    fn every_message_is_posted_once_and_in_order() {
        for seed in 0..1_000 {
            let mut rng = SmallRng::seed_from_u64(seed);
            let mut outbox = Outbox::new(SmallRng::seed_from_u64(seed));
            let mut server = Server {
                log: Vec::new(),
                known: BTreeSet::new(),
            };
            let mut now = Instant::now();
            let (mut sent, mut settled) = (Vec::new(), Vec::new());
            let mut late: Vec<(Outgoing, Result<client::Sent, ApiError>)> = Vec::new();
            for step in 0..2_000 {
                now += Duration::from_millis(10);
                if sent.len() < 60 && rng.random_bool(0.2) {
                    let message = message(rng.random_range(1..4), step);
                    outbox.push(message.clone(), now).unwrap();
                    sent.push(message);
                }
                if step < 1_000 && rng.random_bool(0.02) {
                    // The connection breaks; answers on their way are lost, or
                    // come in all the same.
                    outbox.disconnected(now);
                    late.retain(|_| rng.random_bool(0.5));
                }
                for message in outbox.due(now) {
                    if step < 1_000 && rng.random_bool(0.3) {
                        let error = Err(ErrorCode::Unavailable.into());
                        if rng.random_bool(0.5) {
                            server.take(&message);
                        }
                        late.push((message, error));
                    } else {
                        let answer = server.take(&message);
                        late.push((message, Ok(answer)));
                    }
                }
                if !late.is_empty() && rng.random_bool(0.7) {
                    let (message, result) = late.remove(rng.random_range(0..late.len()));
                    let id = &message.client_msg_id;
                    settled.extend(outbox.answered(message.channel, id, result, now));
                }
            }
            assert!(outbox.is_empty(), "seed {seed}");
            assert_eq!(settled.len(), sent.len(), "seed {seed}");
            for channel in 1..4 {
                let of = |c: &ChannelId| c.0 == channel;
                let wanted: Vec<_> = sent.iter().filter(|m| of(&m.channel)).collect();
                let wanted: Vec<_> = wanted.iter().map(|m| &m.client_msg_id).collect();
                let posted = server.log.iter().filter(|(c, _)| of(c));
                let posted: Vec<_> = posted.map(|(_, id)| id).collect();
                assert_eq!(posted, wanted, "seed {seed}");
            }
        }
    }

    #[test]
    fn a_refusal_for_good_settles_and_the_next_goes_on() {
        let now = Instant::now();
        let mut outbox = Outbox::new(SmallRng::seed_from_u64(1));
        outbox.push(message(1, 1), now).unwrap();
        outbox.push(message(1, 2), now).unwrap();
        let first = outbox.due(now).remove(0);
        assert!(outbox.due(now).is_empty());
        let refused = Err(ErrorCode::MsgTooLong.into());
        let settled = outbox.answered(first.channel, &first.client_msg_id, refused, now);
        assert!(settled.unwrap().result.is_err());
        assert_eq!(outbox.due(now)[0].text, "2");
    }

    #[test]
    fn the_server_decides_how_long_to_wait_at_least() {
        let now = Instant::now();
        let mut outbox = Outbox::new(SmallRng::seed_from_u64(1));
        outbox.push(message(1, 1), now).unwrap();
        let first = outbox.due(now).remove(0);
        let mut error = ApiError::from(ErrorCode::Ratelimited);
        error.retry_after_ms = 7_000;
        outbox.answered(first.channel, &first.client_msg_id, Err(error), now);
        assert!(outbox.deadline().unwrap() >= now + Duration::from_secs(7));
        assert!(outbox.due(now + Duration::from_secs(6)).is_empty());
    }

    #[test]
    fn the_outbox_has_a_bound() {
        let now = Instant::now();
        let mut outbox = Outbox::new(SmallRng::seed_from_u64(1));
        for n in 0..MESSAGES_MAX as u64 {
            outbox.push(message(1, n), now).unwrap();
        }
        assert_eq!(outbox.push(message(1, 0), now), Err(OutboxFull));
    }
}
