//! Operations that were waited for in vain: as long as a cut lasts, not every request
//! should wait for them again.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use causeway_protocol::WorkspaceId;

use super::actor::Dot;

/// After this, it is worth another try.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(5);
/// Operations that are remembered.
const DOTS_MAX: usize = 10_000;

/// What was waited for, and when that was given up.
#[derive(Debug, Default)]
pub struct InVain(HashMap<(WorkspaceId, Dot), Instant>);

impl InVain {
    /// Whether waiting for any of these has just been in vain, and there are some.
    pub fn all(&self, workspace: WorkspaceId, lacking: &[Dot], now: Instant) -> bool {
        let in_vain = |dot: &Dot| {
            let given_up = self.0.get(&(workspace, *dot));
            given_up.is_some_and(|at| now.duration_since(*at) < FORGOTTEN_AFTER)
        };
        !lacking.is_empty() && lacking.iter().all(in_vain)
    }

    /// These did not come.
    pub fn add(&mut self, workspace: WorkspaceId, lacking: Vec<Dot>, now: Instant) {
        if self.0.len() + lacking.len() > DOTS_MAX {
            self.0
                .retain(|_, at| now.duration_since(*at) < FORGOTTEN_AFTER);
        }
        let room = DOTS_MAX.saturating_sub(self.0.len());
        for dot in lacking.into_iter().take(room) {
            self.0.insert((workspace, dot), now);
        }
    }
}

#[cfg(test)]
mod tests {
    use causeway_protocol::NodeId;

    use super::*;
    use crate::metadata::actor::Actor;

    fn dot(counter: u64) -> Dot {
        let actor = Actor {
            node: NodeId(1),
            life: 1,
        };
        Dot::new(actor, counter)
    }

    #[test]
    fn nobody_waits_twice_for_the_same_until_a_while_later() {
        let (here, there, now) = (WorkspaceId(1), WorkspaceId(2), Instant::now());
        let mut in_vain = InVain::default();
        assert!(!in_vain.all(here, &[dot(1)], now));
        in_vain.add(here, vec![dot(1), dot(2)], now);
        assert!(in_vain.all(here, &[dot(1)], now) && in_vain.all(here, &[dot(2), dot(1)], now));
        assert!(!in_vain.all(here, &[dot(1), dot(3)], now), "one may come");
        assert!(!in_vain.all(here, &[], now));
        assert!(!in_vain.all(there, &[dot(1)], now));
        assert!(!in_vain.all(here, &[dot(1)], now + FORGOTTEN_AFTER));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (here, now) = (WorkspaceId(1), Instant::now());
        let mut in_vain = InVain::default();
        let many = |from: u64| (from..from + DOTS_MAX as u64).map(dot).collect::<Vec<_>>();
        in_vain.add(here, many(1), now);
        in_vain.add(here, many(1_000_000), now);
        assert_eq!(in_vain.0.len(), DOTS_MAX);
        in_vain.add(here, vec![dot(7_000_000)], now + FORGOTTEN_AFTER);
        assert_eq!(in_vain.0.len(), 1);
    }
}
