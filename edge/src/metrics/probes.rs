//! Looks at a few connections each second, in turn: at all of them as time goes by,
//! and never at so many that it would be felt.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use causeway_transport::Transport;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::measures::Measures;

/// Between looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Connections that are looked at each time.
const LOOKED_AT: usize = 64;

/// What a look at a connection shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sample {
    /// Its round trip, where the transport knows it.
    pub round_trip: Option<Duration>,
    /// Frames that wait to be written.
    pub queued: u32,
}

type Look = Arc<dyn Fn() -> Sample + Send + Sync>;

/// The connections that can be looked at; clones share them.
#[derive(Clone, Default)]
pub struct Probes(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    probes: BTreeMap<u64, (Transport, Look)>,
    next: u64,
    /// The last one that was looked at.
    looked_at: u64,
}

/// A connection that can be looked at until this is dropped.
pub struct Probe {
    probes: Probes,
    id: u64,
}

impl Probes {
    /// Adds a connection.
    pub fn add(
        &self,
        transport: Transport,
        look: impl Fn() -> Sample + Send + Sync + 'static,
    ) -> Probe {
        let mut state = self.0.lock();
        state.next += 1;
        let id = state.next;
        state.probes.insert(id, (transport, Arc::new(look)));
        Probe {
            probes: self.clone(),
            id,
        }
    }

    /// The next `count` in turn, and none twice.
    fn turn(&self, count: usize) -> Vec<(Transport, Look)> {
        let mut state = self.0.lock();
        let after = (Bound::Excluded(state.looked_at), Bound::Unbounded);
        let rest = ..=state.looked_at;
        let in_turn = state.probes.range(after).chain(state.probes.range(rest));
        let chosen: Vec<_> = in_turn
            .take(count)
            .map(|(id, probe)| (*id, probe.clone()))
            .collect();
        if let Some((id, _)) = chosen.last() {
            state.looked_at = *id;
        }
        chosen.into_iter().map(|(_, probe)| probe).collect()
    }

    /// Looks around until `stop`.
    pub async fn run(self, measures: Measures, stop: CancellationToken) {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while stop.run_until_cancelled(looks.tick()).await.is_some() {
            for (transport, look) in self.turn(LOOKED_AT) {
                measures.sampled(transport, look());
            }
        }
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.probes.0.lock().probes.remove(&self.id);
    }
}

impl fmt::Debug for Probes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probes").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whose look shows how many frames wait is told by that number.
    #[test]
    fn all_have_their_turn_also_while_some_come_and_go() {
        let probes = Probes::default();
        let add = |queued| {
            let sample = Sample {
                queued,
                ..Sample::default()
            };
            probes.add(Transport::Native, move || sample)
        };
        let mut held: Vec<Probe> = (1..=5).map(add).collect();
        let turn = |count| {
            let turn = probes.turn(count);
            let looks = turn.into_iter().map(|(_, look)| look().queued);
            looks.collect::<Vec<_>>()
        };
        assert_eq!(turn(2), [1, 2]);
        assert_eq!(turn(2), [3, 4]);
        assert_eq!(turn(2), [5, 1]);
        drop(held.remove(1));
        held.push(add(6));
        assert_eq!(turn(2), [3, 4]);
        assert_eq!(turn(9), [5, 6, 1, 3, 4], "none twice");
        held.clear();
        assert!(turn(2).is_empty());
    }
}
