//! What was used last stays: things of known size, and which of them go first when they
//! take more than they may.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// Sizes and last uses.
#[derive(Debug)]
pub struct Lru<K> {
    things: HashMap<K, Thing>,
    by_use: BTreeMap<u64, K>,
    uses: u64,
    bytes: usize,
}

#[derive(Debug, Clone, Copy)]
struct Thing {
    used: u64,
    bytes: usize,
}

impl<K> Default for Lru<K> {
    fn default() -> Self {
        Self {
            things: HashMap::new(),
            by_use: BTreeMap::new(),
            uses: 0,
            bytes: 0,
        }
    }
}

impl<K: Clone + Eq + Hash> Lru<K> {
    /// It is used now, and takes so many bytes.
    pub fn put(&mut self, key: K, bytes: usize) {
        self.remove(&key);
        self.uses += 1;
        self.bytes += bytes;
        let used = self.uses;
        self.by_use.insert(used, key.clone());
        self.things.insert(key, Thing { used, bytes });
    }

    /// It is used now, if it is there.
    pub fn touch(&mut self, key: &K) {
        if let Some(thing) = self.things.get(key).copied() {
            self.put(key.clone(), thing.bytes);
        }
    }

    /// It is gone.
    pub fn remove(&mut self, key: &K) {
        if let Some(thing) = self.things.remove(key) {
            self.by_use.remove(&thing.used);
            self.bytes -= thing.bytes;
        }
    }

    /// Takes those out that were not used for longest, until the rest fits; what was
    /// used last stays in any case.
    pub fn make_fit(&mut self, most: usize) -> Vec<K> {
        let mut gone = Vec::new();
        while self.bytes > most && self.things.len() > 1 {
            let Some((_, key)) = self.by_use.first_key_value() else {
                break;
            };
            let key = key.clone();
            self.remove(&key);
            gone.push(key);
        }
        gone
    }

    /// Bytes of all.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.things.len()
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.things.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::SmallRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let mut lru = Lru::default();
        for key in 1..=4 {
            lru.put(key, 10);
        }
        lru.touch(&1);
        lru.touch(&9);
        assert_eq!(lru.make_fit(20), [2, 3]);
        assert_eq!((lru.bytes(), lru.len()), (20, 2));
        lru.put(1, 50);
        assert_eq!(lru.make_fit(20), [4], "the last stays, however large");
        assert_eq!(lru.bytes(), 50);
    }

    /// Against a list that is searched.
    #[test]
    fn it_agrees_with_a_list() {
        for seed in 0..200 {
            let mut rng = SmallRng::seed_from_u64(seed);
            let (mut lru, mut list) = (Lru::default(), Vec::<(u8, usize)>::new());
            for _ in 0..200 {
                let key = rng.random_range(0..12);
                let at = list.iter().position(|(k, _)| *k == key);
                match rng.random_range(0..4) {
                    0 | 1 => {
                        let bytes = rng.random_range(0..30);
                        at.map(|at| list.remove(at));
                        list.push((key, bytes));
                        lru.put(key, bytes);
                    }
                    2 => {
                        if let Some(at) = at {
                            let thing = list.remove(at);
                            list.push(thing);
                        }
                        lru.touch(&key);
                    }
                    _ => {
                        at.map(|at| list.remove(at));
                        lru.remove(&key);
                    }
                }
                let mut gone = Vec::new();
                while list.iter().map(|(_, b)| b).sum::<usize>() > 100 && list.len() > 1 {
                    gone.push(list.remove(0).0);
                }
                assert_eq!(lru.make_fit(100), gone, "seed {seed}");
                let bytes: usize = list.iter().map(|(_, bytes)| bytes).sum();
                assert_eq!((lru.len(), lru.bytes()), (list.len(), bytes), "seed {seed}");
            }
        }
    }
}
