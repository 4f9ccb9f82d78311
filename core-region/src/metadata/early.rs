//! Operations that came before those that they follow: they wait, within bounds.
//! What is dropped is had again by comparing versions.

use std::collections::BTreeMap;

use super::actor::Actor;
use super::op::Op;
use super::version::Version;

/// Operations of one actor that may wait.
const WAITING_MAX: usize = 4_096;
/// Actors of which some may wait.
const ACTORS_MAX: usize = 64;

/// What waits, by actor and number.
#[derive(Debug, Clone, Default)]
pub struct Early {
    waiting: BTreeMap<Actor, BTreeMap<u64, Op>>,
    dropped: u64,
    /// Nothing has come or gone since the last look.
    idle: bool,
}

impl Early {
    /// Lets an operation wait.
    pub fn add(&mut self, op: Op) {
        let actor = op.dot.actor;
        self.idle = false;
        if self.waiting.len() >= ACTORS_MAX && !self.waiting.contains_key(&actor) {
            self.dropped += 1;
            return;
        }
        let waiting = self.waiting.entry(actor).or_default();
        waiting.insert(op.dot.counter, op);
        if waiting.len() > WAITING_MAX {
            // The last: those before it are of use sooner.
            waiting.pop_last();
            self.dropped += 1;
        }
    }

    /// An operation that need not wait any longer.
    pub fn take_due(&mut self, version: &Version) -> Option<Op> {
        let mut due = None;
        self.waiting.retain(|actor, waiting| {
            let have = version.get(*actor);
            while let Some(first) = waiting.first_entry() {
                let is_next = Some(*first.key()) == have.checked_add(1);
                if due.is_none() && is_next && first.get().is_due(version) {
                    self.idle = false;
                    due = Some(first.remove());
                    break;
                }
                if *first.key() > have {
                    break;
                }
                first.remove();
            }
            !waiting.is_empty()
        });
        due
    }

    /// Forgets what waits if nothing has come or gone since the last call: what it
    /// waits for may have been lost with its writer. Otherwise it is had again.
    pub fn expire(&mut self) {
        if std::mem::replace(&mut self.idle, true) {
            self.clear();
        }
    }

    /// Forgets what waits.
    pub fn clear(&mut self) {
        self.waiting.clear();
    }

    /// How many wait, and how many there was no room for.
    pub fn counts(&self) -> (usize, u64) {
        let waiting = self.waiting.values().map(BTreeMap::len).sum();
        (waiting, self.dropped)
    }
}
