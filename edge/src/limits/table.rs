//! How much each of many has used, in a table that does not grow beyond its size,
//! however many there are. Where a full one needs room, of a few entries the one
//! with the least debt is forgotten: that gives away the least.

use std::collections::HashMap;
use std::hash::Hash;

use governor::Quota;
use governor::nanos::Nanos;
use governor::state::StateStore;
use parking_lot::Mutex;

/// Entries that are looked at for idle ones whenever one is added.
const TIDIED: usize = 2;
/// Entries of which one makes room.
const CANDIDATES: usize = 8;

/// A governor's states by key, at most `entries_max` of them.
#[derive(Debug)]
pub struct BoundedTable<K> {
    entries_max: usize,
    /// In this time the largest debt is paid.
    paid_in_ns: u64,
    state: Mutex<State<K>>,
}

#[derive(Debug)]
struct State<K> {
    places: HashMap<K, usize>,
    /// Keys, and when each has paid its debt.
    entries: Vec<(K, Nanos)>,
    /// The next entry that is looked at.
    hand: usize,
}

impl<K: Hash + Eq + Clone> BoundedTable<K> {
    /// An empty table of states that keep to `quota`.
    pub fn new(entries_max: usize, quota: Quota) -> Self {
        let paid_in = quota.burst_size_replenished_in().as_nanos();
        Self {
            entries_max: entries_max.max(1),
            paid_in_ns: u64::try_from(paid_in).unwrap_or(u64::MAX),
            state: Mutex::new(State {
                places: HashMap::new(),
                entries: Vec::new(),
                hand: 0,
            }),
        }
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.state.lock().entries.len()
    }
}

impl<K: Hash + Eq + Clone> StateStore for BoundedTable<K> {
    type Key = K;

    fn measure_and_replace<T, F, E>(&self, key: &K, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut state = self.state.lock();
        if let Some(&place) = state.places.get(key) {
            let entry = &mut state.entries[place].1;
            let (outcome, next) = decide(Some(*entry))?;
            *entry = next;
            return Ok(outcome);
        }
        let (outcome, next) = decide(None)?;
        // A new entry owes at most one burst: whoever has paid before that is idle.
        let idle = Nanos::new(next.as_u64().saturating_sub(self.paid_in_ns));
        state.tidy(idle);
        if state.entries.len() >= self.entries_max {
            state.make_room();
        }
        state.add(key.clone(), next);
        Ok(outcome)
    }
}

impl<K: Hash + Eq + Clone> State<K> {
    fn add(&mut self, key: K, paid_at: Nanos) {
        self.places.insert(key.clone(), self.entries.len());
        self.entries.push((key, paid_at));
    }

    fn tidy(&mut self, idle: Nanos) {
        for _ in 0..TIDIED {
            match self.advance() {
                Some(place) if self.entries[place].1 <= idle => self.remove(place),
                _ => {}
            }
        }
    }

    fn make_room(&mut self) {
        let candidates: Vec<usize> = (0..CANDIDATES).filter_map(|_| self.advance()).collect();
        let least = candidates
            .into_iter()
            .min_by_key(|place| self.entries[*place].1);
        if let Some(place) = least {
            self.remove(place);
        }
    }

    /// The entry at the hand, which moves on.
    fn advance(&mut self) -> Option<usize> {
        if self.hand >= self.entries.len() {
            self.hand = 0;
        }
        let place = self.hand;
        self.hand += 1;
        (place < self.entries.len()).then_some(place)
    }

    fn remove(&mut self, place: usize) {
        let (key, _) = self.entries.swap_remove(place);
        self.places.remove(&key);
        if let Some((moved, _)) = self.entries.get(place)
            && let Some(at) = self.places.get_mut(moved)
        {
            *at = place;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    /// In these tests an entry's debt is paid a second after it was made.
    const PAID_IN_NS: u64 = 1_000_000_000;

    fn table(entries_max: usize) -> BoundedTable<u64> {
        BoundedTable::new(entries_max, Quota::per_second(NonZeroU32::MIN))
    }

    /// Adds to an entry's debt, and tells what it was.
    fn owe(table: &BoundedTable<u64>, key: u64, paid_at_ns: u64) -> Option<u64> {
        let answer = table.measure_and_replace(&key, |was| {
            Ok::<_, ()>((was.map(Nanos::as_u64), Nanos::new(paid_at_ns)))
        });
        answer.unwrap()
    }

    #[test]
    fn a_million_keys_take_no_more_room_than_the_table_has() {
        let table = table(1_000);
        for key in 0..1_000_000 {
            owe(&table, key, PAID_IN_NS + key);
            assert!(table.len() <= 1_000);
        }
        let state = table.state.lock();
        assert_eq!(state.places.len(), state.entries.len());
        assert!(state.entries.capacity() <= 2_000);
        for (place, (key, _)) in state.entries.iter().enumerate() {
            assert_eq!(state.places[key], place);
        }
    }

    #[test]
    fn who_owes_much_is_not_forgotten_for_the_sake_of_those_who_owe_little() {
        let table = table(100);
        let much = 1_000 * PAID_IN_NS;
        owe(&table, u64::MAX, much);
        for key in 0..100_000 {
            owe(&table, key, PAID_IN_NS + key);
        }
        assert_eq!(owe(&table, u64::MAX, much), Some(much));
    }

    #[test]
    fn those_who_have_paid_go_when_others_come() {
        let table = table(1_000);
        for key in 0..500 {
            owe(&table, key, PAID_IN_NS);
        }
        for key in 500..1_000 {
            owe(&table, key, 10 * PAID_IN_NS);
        }
        assert_eq!(table.len(), 500);
    }

    #[test]
    fn a_refusal_leaves_no_trace() {
        let table = table(10);
        let refused = table.measure_and_replace(&1, |_| Err::<((), Nanos), _>("no"));
        assert_eq!(refused, Err("no"));
        assert_eq!(table.len(), 0);
        owe(&table, 1, 7);
        let refused = table.measure_and_replace(&1, |_| Err::<((), Nanos), _>("no"));
        assert_eq!(refused, Err("no"));
        assert_eq!(owe(&table, 1, 8), Some(7));
    }
}
