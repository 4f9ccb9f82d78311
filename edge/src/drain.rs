//! Emptying this edge node: its clients are told to go elsewhere, a few at a
//! time and in no order, so that nobody sees an error and no other PoP a rush.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway_gossip::{Drains, Membership, Role};
use causeway_protocol::client::{self, server_frame};
use causeway_protocol::{ErrorCode, Name, NodeId, frame};
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use tokio_util::sync::CancellationToken;

use crate::gate::{Closed, Gate, Reach};
use crate::hub::Hubs;
use crate::hub::machine::SessionId;

/// Between looks at who is to go next.
pub const TICK: Duration = Duration::from_millis(200);
/// A client that was told goes within this, or is told again.
const GO_WITHIN: Duration = Duration::from_secs(10);
/// A node that stops has its clients leave at this rate, in a thousand a second.
const STOP_PERMILLE: u32 = 500;
/// It waits for them this long.
const STOP_TIMEOUT: Duration = Duration::from_secs(4);
/// What `Departures` reckons a session as.
const SESSION: u64 = 1_000_000;
/// PoPs that a client is told of.
const POPS_MAX: usize = 16;

/// Whose turn it is to go: a pure decision.
#[derive(Debug, Default)]
pub struct Departures {
    /// Sessions when it began: the rate is of these.
    total: usize,
    /// What is due to go, in millionths of a session.
    owed: u64,
    last: Option<Instant>,
    told: HashMap<SessionId, Instant>,
}

impl Departures {
    /// The sessions that are told to go at `now`, of those that are `here`.
    pub fn due(
        &mut self,
        here: &[SessionId],
        permille: u32,
        now: Instant,
        rng: &mut SmallRng,
    ) -> Vec<SessionId> {
        self.total = self.total.max(here.len());
        let since = self.last.replace(now).map_or(TICK, |last| now - last);
        let since_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        let per_ms = self.total as u64 * u64::from(permille);
        self.owed = self.owed.saturating_add(per_ms.saturating_mul(since_ms));
        self.told
            .retain(|_, at| now.duration_since(*at) < GO_WITHIN);
        let untold = here.iter().filter(|id| !self.told.contains_key(id));
        let untold: Vec<SessionId> = untold.copied().collect();
        let whole = usize::try_from(self.owed / SESSION).unwrap_or(usize::MAX);
        let count = whole.min(untold.len());
        // What was owed while nobody was left to go is not made up for later.
        self.owed = (self.owed - count as u64 * SESSION).min(SESSION.max(per_ms * 1_000));
        let due: Vec<SessionId> = untold.sample(rng, count).copied().collect();
        self.told.extend(due.iter().map(|id| (*id, now)));
        due
    }
}

/// What it takes to empty this node.
pub struct Drain {
    /// Its sessions.
    pub hubs: Hubs,
    /// Whether it takes clients.
    pub gate: Gate,
    /// Whether it reaches core nodes.
    pub reach: Reach,
}

impl Drain {
    /// Empties the node while its gate is closed, until `stop`; then in any case,
    /// and waits for the clients to go.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut departures = Departures::default();
        let mut rng: SmallRng = rand::make_rng();
        let mut ticks = tokio::time::interval(TICK);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            self.gate.look(&mut self.reach, Instant::now());
            match self.gate.closed() {
                Some(closed) => self.send_away(&mut departures, closed, &mut rng),
                None => departures = Departures::default(),
            }
        }
        let deadline = Instant::now() + STOP_TIMEOUT;
        let stopping = Closed::Draining(STOP_PERMILLE);
        while self.hubs.sessions() > 0 && Instant::now() < deadline {
            self.send_away(&mut departures, stopping, &mut rng);
            ticks.tick().await;
        }
    }

    fn send_away(&self, departures: &mut Departures, closed: Closed, rng: &mut SmallRng) {
        let here = self.hubs.ids();
        let due = departures.due(&here, closed.permille(), Instant::now(), rng);
        if due.is_empty() {
            return;
        }
        let frame = go_away(closed.code(), &self.gate.elsewhere());
        for session in due {
            if let Some(subscriber) = self.hubs.subscriber(session) {
                subscriber.queue.go_away(frame.clone());
            }
        }
    }
}

/// Where the clients of `me` can go: PoPs with another node that is not being
/// drained.
pub fn open_pops(membership: &Membership, drains: &Drains, me: NodeId) -> BTreeSet<Name> {
    let open = membership.iter().filter(|member| {
        let open = member.role == Role::Edge && drains.of(member).is_none();
        open && member.node != me
    });
    open.map(|member| member.place.clone())
        .take(POPS_MAX)
        .collect()
}

/// The frame that asks a client to go to one of these.
pub fn go_away(code: ErrorCode, pops: &BTreeSet<Name>) -> Bytes {
    let within_ms = u32::try_from(GO_WITHIN.as_millis()).unwrap_or(u32::MAX);
    frame::encode(&client::ServerFrame {
        body: Some(server_frame::Body::GoAway(client::GoAway {
            code: code.as_str().into(),
            within_ms,
            pops: pops.iter().map(Name::to_string).collect(),
        })),
    })
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn sessions(count: u64) -> Vec<SessionId> {
        (1..=count).map(SessionId).collect()
    }

    /// How many are told in each second when all who are told go.
    fn seconds(count: u64, permille: u32) -> Vec<usize> {
        let mut rng = SmallRng::seed_from_u64(7);
        let mut departures = Departures::default();
        let (start, mut here) = (Instant::now(), sessions(count));
        let mut told = Vec::new();
        for tick in 0..100u32 {
            let now = start + TICK * tick;
            let due = departures.due(&here, permille, now, &mut rng);
            here.retain(|session| !due.contains(session));
            if tick.is_multiple_of(5) {
                told.push(0);
            }
            *told.last_mut().unwrap() += due.len();
        }
        while told.last() == Some(&0) {
            told.pop();
        }
        told
    }

    #[test]
    fn a_tenth_a_second_is_gone_after_ten() {
        let told = seconds(1_000, 100);
        assert_eq!(told.len(), 10);
        assert!(told.iter().all(|n| (95..=105).contains(n)), "{told:?}");
    }

    #[test]
    fn few_go_one_by_one() {
        let told = seconds(3, 100);
        assert_eq!(told.iter().sum::<usize>(), 3);
        assert!(told.iter().all(|n| *n <= 1), "{told:?}");
    }

    #[test]
    fn who_does_not_go_is_told_again() {
        let mut rng = SmallRng::seed_from_u64(7);
        let mut departures = Departures::default();
        let (start, here) = (Instant::now(), sessions(10));
        let mut told = 0;
        for tick in 0..50 {
            told += departures
                .due(&here, 1_000, start + TICK * tick, &mut rng)
                .len();
        }
        assert_eq!(told, 10);
        let later = start + TICK * 50 + GO_WITHIN;
        assert!(!departures.due(&here, 1_000, later, &mut rng).is_empty());
    }
}
