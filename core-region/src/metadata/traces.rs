//! Traces: which rows operations have touched, so that a client is told what has changed
//! since its version. Those that cost more than they tell are forgotten.

use std::collections::BTreeMap;

use causeway_protocol::NodeId;

use super::actor::Actor;
use super::item::Item;
use super::rows::RowsMut;
use super::shard::{Shard, damaged, indexed_actors, read_row};
use super::tables;
use super::version::Version;
use crate::metadata_wire as wire;
use crate::store::keys::Key;
use crate::store::{StoreError, record};

/// Lives of a node that are over and have left traces in rows. When there are more,
/// who lacks any of their operations cannot be told the difference any more, and
/// begins anew: without that, rows would grow with every start of a node.
const LIVES_TRACED: usize = 16;

/// Traces that are kept where there are fewer rows. When there are more than that, and
/// than rows, those are forgotten that are not among the last operations, of which a third as
/// many are kept at least, and who lacks any of them begins anew: otherwise a row would
/// grow with every replica that changes it.
const TRACES_MIN: u64 = 1_000;

impl Shard {
    /// Traces that are worth keeping.
    fn traces_max(&self) -> u64 {
        self.info.rows.max(TRACES_MIN)
    }

    /// Remembers now and then how far the log has been collected; so many operations were
    /// just now. Returns whether it has.
    pub(super) fn mark(&mut self, rows: &mut impl RowsMut, ops: u64) -> Result<bool, StoreError> {
        self.since_mark += ops;
        if self.since_mark < self.traces_max() / 3 {
            return Ok(false);
        }
        self.since_mark = 0;
        let [last, before] = tables::marks();
        if let Some(mark) = rows.get(&last)? {
            rows.put(before, mark);
        }
        rows.put(last, record::encode(&self.info.truncated.to_wire()));
        Ok(true)
    }

    /// Forgets which rows operations have touched, where nobody can ask for that: up to
    /// `budget` traces. Returns whether there is more.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is written then.
    pub fn forget_traces(
        &mut self,
        rows: &mut impl RowsMut,
        budget: usize,
    ) -> Result<bool, StoreError> {
        let actors = indexed_actors(rows)?;
        self.age(rows, &actors)?;
        let mut left = budget;
        for actor in actors {
            left -= self.untrace(rows, actor, left)?;
            if left == 0 {
                break;
            }
        }
        if left < budget {
            self.info.write(rows);
        }
        Ok(left == 0)
    }

    /// Decides from when on differences can be told.
    fn age(&mut self, rows: &mut impl RowsMut, actors: &[Actor]) -> Result<(), StoreError> {
        let before = self.info.floor.clone();
        for (node, lives) in self.forgotten_lives(actors) {
            if lives > LIVES_TRACED {
                let complete = self.info.version.only_complete(node);
                self.info.floor.merge(&complete);
            }
        }
        let [_, mark] = tables::marks();
        if self.info.traces > self.traces_max()
            && let Some(mark) = rows.get(&mark)?
        {
            let mark: wire::Version = record::decode(&mark)?;
            self.info.floor.merge(&Version::from_wire(Some(&mark)));
        }
        if self.info.floor != before {
            self.info.write(rows);
        }
        Ok(())
    }

    /// Of each node how many lives are forgotten, and are still in the index.
    fn forgotten_lives(&self, actors: &[Actor]) -> BTreeMap<NodeId, usize> {
        let mut lives = BTreeMap::<NodeId, usize>::new();
        for life in actors {
            if self.info.version.get(*life) == u64::MAX {
                *lives.entry(life.node).or_default() += 1;
            }
        }
        lives
    }

    /// Forgets up to `limit` traces of an actor from before differences can be told.
    /// Returns how many.
    fn untrace(
        &mut self,
        rows: &mut impl RowsMut,
        actor: Actor,
        limit: usize,
    ) -> Result<usize, StoreError> {
        let upto = self.info.floor.get(actor);
        let index = tables::index(actor);
        let page = rows.first(&index, &index.clone().u64(upto).u8(0), limit)?;
        for (key, item) in &page {
            let dot = tables::dot_of(key).ok_or_else(damaged)?;
            let item = Item::from_key(item).ok_or_else(damaged)?;
            if rows.get(&tables::row(&item))?.is_some() {
                let mut row = read_row(rows, &item)?;
                row.untrace(&dot);
                rows.put(tables::row(&item), row.encode());
            }
            rows.delete(Key::default().bytes(key));
        }
        self.info.traces = self.info.traces.saturating_sub(page.len() as u64);
        Ok(page.len())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use rand::rngs::SmallRng;
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::metadata::hybrid::HybridClock;
    use crate::metadata::peers::Counted;
    use crate::metadata::pull::Missing;
    use crate::metadata::replica::Replica;
    use crate::metadata::rows::{MemoryRows, Rows};
    use crate::metadata::shard::{Intent, Since, read_items};
    use crate::metadata::types::Value;

    const NODE: NodeId = NodeId(7);
    const NOW_US: u64 = 1_700_000_000_000_000;

    /// A replica that is alone in the world, in one of its lives.
    fn live(rows: &mut MemoryRows, life: u64, topic: &str) -> Replica {
        let counted = Counted {
            nodes: [(NODE, 0)].into(),
            epoch: 1,
            ..Counted::default()
        };
        let mut replica = Replica::open(rows, NODE, life, 0).unwrap();
        let mut clock = HybridClock::after(Default::default());
        let item = Item::ChannelTopic { channel: 1 };
        let topic = Intent::Set(topic.to_owned().into());
        let written = replica.write(rows, &mut clock, NOW_US + life, item, topic);
        assert!(written.unwrap().is_some());
        let version = replica.version().clone();
        replica.synced(&version);
        while replica.collect(rows, &counted, 3).unwrap().more {}
        replica
    }

    #[test]
    fn a_row_does_not_grow_with_the_lives_of_a_node() {
        let mut rows = MemoryRows::default();
        let mut before = Version::default();
        for life in 1..=100 {
            let replica = live(&mut rows, life, &format!("topic {life}"));
            let row = read_row(&rows, &Item::ChannelTopic { channel: 1 }).unwrap();
            assert!(row.touched().count() <= LIVES_TRACED + 2, "in life {life}");
            let index = tables::indexes();
            let traces = rows.first(&index, &index.end(), usize::MAX).unwrap();
            assert_eq!(traces.len(), row.touched().count());
            // Whoever was there a moment ago is told the difference.
            let since = replica.shard().since(&rows, &before, 10).unwrap();
            assert!(matches!(since, Since::Items { .. }), "in life {life}");
            before = replica.version().clone();
        }
    }

    #[test]
    fn who_lacks_a_life_of_which_nothing_is_left_begins_anew() {
        let mut rows = MemoryRows::default();
        let early = live(&mut rows, 1, "first").version().clone();
        for life in 2..=100 {
            live(&mut rows, life, &format!("topic {life}"));
        }
        let replica = Replica::open(&rows, NODE, 101, 0).unwrap();
        let since = replica.shard().since(&rows, &early, 10).unwrap();
        assert!(matches!(since, Since::TooLong));
    }

    /// Three replicas that change the same items, and tell one another.
    struct Three {
        rows: [MemoryRows; 3],
        replicas: [Shard; 3],
        /// What each has had from each other, as far as it has all of that itself.
        told: [[Version; 3]; 3],
        clock: HybridClock,
        rng: SmallRng,
    }

    impl Three {
        const ITEMS: u32 = 700;

        fn new(seed: u64) -> Self {
            Self {
                rows: Default::default(),
                replicas: Default::default(),
                told: Default::default(),
                clock: HybridClock::after(Default::default()),
                rng: SmallRng::seed_from_u64(seed),
            }
        }

        fn actor(at: usize) -> Actor {
            let node = NodeId(at as u64 + 1);
            Actor { node, life: 1 }
        }

        /// One of them changes something.
        fn write(&mut self) {
            let (at, number) = (
                self.rng.random_range(0..3),
                self.rng.random_range(0..Self::ITEMS),
            );
            let (item, intent) = match number % 3 {
                0 => {
                    let topic = Bytes::from(self.rng.random::<u32>().to_string());
                    (Item::ChannelTopic { channel: number }, Intent::Set(topic))
                }
                1 => {
                    let is_there = self.rng.random_bool(0.6);
                    let put = Intent::Put(Bytes::new());
                    let intent = if is_there { put } else { Intent::Remove };
                    (
                        Item::Pin {
                            channel: 1,
                            ts: number.into(),
                        },
                        intent,
                    )
                }
                _ => {
                    let is_member = self.rng.random_bool(0.6);
                    let intent = if is_member {
                        Intent::Join
                    } else {
                        Intent::Leave
                    };
                    (
                        Item::Member {
                            channel: 1,
                            user: number,
                        },
                        intent,
                    )
                }
            };
            let time = self.clock.tick(NOW_US);
            let (replica, rows) = (&mut self.replicas[at], &mut self.rows[at]);
            replica
                .write(rows, Self::actor(at), time, item, intent)
                .unwrap();
        }

        /// One of them tells another what that lacks.
        fn tell(&mut self, from: usize, to: usize) {
            let have = self.replicas[to].version().clone();
            let missing = self.replicas[from].missing(&self.rows[from], &have, usize::MAX);
            let Missing::Ops { runs, .. } = missing.unwrap() else {
                panic!("nothing is collected that somebody lacks");
            };
            for (actor, ops) in runs {
                let (replica, rows) = (&mut self.replicas[to], &mut self.rows[to]);
                replica
                    .receive(rows, actor, ops, &mut self.clock, NOW_US)
                    .unwrap();
            }
            self.told[to][from] = self.replicas[from].version().clone();
        }

        fn collect(&mut self) {
            for at in 0..3 {
                let (replica, rows) = (&mut self.replicas[at], &mut self.rows[at]);
                let others = (0..3).filter(|other| *other != at);
                let told = others.map(|other| &self.told[at][other]);
                let stable = told.fold(replica.version().clone(), |s, told| s.common(told));
                loop {
                    let collected = replica.collect(rows, &stable, 50).unwrap();
                    if !collected.more {
                        break;
                    }
                }
                while replica.forget_traces(rows, 50).unwrap() {}
            }
        }

        fn shown(&self, at: usize, item: &Item) -> Value {
            read_row(&self.rows[at], item).unwrap().value
        }

        /// Everything that is there.
        fn state(&self, at: usize) -> BTreeMap<Item, Value> {
            let all = read_items(&self.rows[at], &Key::default(), None, usize::MAX);
            all.unwrap().into_iter().collect()
        }
    }

    /// What somebody knows who was told everything up to a version.
    struct Client {
        version: Version,
        state: BTreeMap<Item, Value>,
    }

    impl Client {
        fn booted(three: &Three, at: usize) -> Self {
            Self {
                version: three.replicas[at].version().clone(),
                state: three.state(at),
            }
        }

        /// Takes the difference, if there is one to be had. Returns how many items it has.
        fn sync(&mut self, three: &Three, at: usize) -> Option<usize> {
            let mut count = 0;
            loop {
                let since = three.replicas[at].since(&three.rows[at], &self.version, 40);
                let Since::Items { items, upto, more } = since.unwrap() else {
                    return None;
                };
                count += items.len();
                for item in items {
                    let value = three.shown(at, &item);
                    match value.is_there() {
                        true => self.state.insert(item, value),
                        false => self.state.remove(&item),
                    };
                }
                self.version = upto;
                if !more {
                    return Some(count);
                }
            }
        }
    }

    fn seen(state: &BTreeMap<Item, Value>) -> BTreeMap<&Item, String> {
        let shown = state.iter().map(|(item, value)| match value {
            Value::Register(it) => (item, format!("{:?}", it.get())),
            Value::Membership(it) => (item, it.is_member().to_string()),
            value => (item, value.is_there().to_string()),
        });
        shown.collect()
    }

    #[test]
    fn whoever_is_told_the_difference_knows_everything() {
        let (mut told, mut too_long) = (0, 0);
        for seed in 0..12 {
            let mut three = Three::new(seed);
            let mut clients: Vec<Client> = (0..3).map(|at| Client::booted(&three, at)).collect();
            for step in 0..6_000 {
                three.write();
                if step % 5 == 0 {
                    let (from, to) = (three.rng.random_range(0..3), three.rng.random_range(0..3));
                    three.tell(from, to);
                }
                if step % 50 == 0 {
                    three.collect();
                }
                if step % 20 == 0 {
                    let at = three.rng.random_range(0..3);
                    // One of them is away most of the time.
                    let who = match step % 2_000 == 0 {
                        true => 0,
                        false => three.rng.random_range(1..3),
                    };
                    // Whoever has been elsewhere waits until this replica knows as much.
                    let client = &mut clients[who];
                    if !three.replicas[at].version().has_all(&client.version) {
                        continue;
                    }
                    match client.sync(&three, at) {
                        Some(_) => told += 1,
                        None => {
                            too_long += 1;
                            *client = Client::booted(&three, at);
                        }
                    }
                    let state = three.state(at);
                    let (known, there) = (seen(&client.state), seen(&state));
                    let odd = known
                        .iter()
                        .find(|(item, text)| there.get(*item) != Some(text));
                    let lacking = there.iter().find(|(item, _)| !known.contains_key(*item));
                    assert_eq!((odd, lacking), (None, None), "{seed}, {step}");
                }
            }
            for at in [0, 1, 2, 0, 1, 2] {
                three.tell(at, (at + 1) % 3);
            }
            three.collect();
            three.collect();
            let info = three.replicas[0].info();
            let index = tables::indexes();
            let traces = three.rows[0]
                .first(&index, &index.end(), usize::MAX)
                .unwrap();
            let rows = three.rows[0].first(&tables::rows(), &tables::rows().end(), usize::MAX);
            assert_eq!(info.traces, traces.len() as u64, "{seed}");
            assert_eq!(info.rows, rows.unwrap().len() as u64, "{seed}");
            assert!(
                info.traces <= TRACES_MIN.max(info.rows),
                "{seed}: {}",
                info.traces
            );
        }
        assert!(told > 1_000 && too_long > 5, "{told}, {too_long}");
    }

    #[test]
    fn whoever_was_away_for_a_moment_is_told_the_difference() {
        let mut three = Three::new(1);
        let mut clients: Vec<Client> = (0..2).map(|_| Client::booted(&three, 0)).collect();
        let mut begun_anew = 0;
        for step in 0..8_000 {
            three.write();
            if step % 50 == 0 {
                for (from, to) in [(1, 0), (2, 0), (0, 1), (0, 2)] {
                    three.tell(from, to);
                }
                three.collect();
            }
            // Away for so long that much is collected, and marked, meanwhile.
            if step % 250 == 249 {
                let changed = clients[0].sync(&three, 0);
                assert!(
                    changed.is_some_and(|count| count <= 260),
                    "{step}: {changed:?}"
                );
            }
            if step % 2_000 == 1_999 && clients[1].sync(&three, 0).is_none() {
                begun_anew += 1;
                clients[1] = Client::booted(&three, 0);
            }
        }
        assert!(begun_anew > 0, "who lacks more than there is begins anew");
    }
}
