//! Collecting garbage: once every replica that counts has an operation, its place
//! in the log is of no use, and a row that is not there need not be remembered.

use std::collections::BTreeMap;

use causeway_protocol::NodeId;

use super::actor::{Actor, Dot, dot_from_wire, dot_to_wire};
use super::item::Item;
use super::rows::{Rows, RowsMut};
use super::shard::{Shard, damaged, indexed_actors, read_row};
use super::tables;
use super::types::{Kind, Value};
use super::version::Version;
use crate::metadata_wire as wire;
use crate::store::keys::Key;
use crate::store::{StoreError, record};

/// Rows that are no more, and of which those hear who ask what has changed. More
/// are forgotten: whoever was away for longer begins anew.
pub const GONE_MAX: u64 = 1_000;

/// Lives of a node that are over and have left traces in rows. When there are more,
/// who lacks any of their operations cannot be told the difference any more, and
/// begins anew: without that, rows would grow with every start of a node.
const LIVES_TRACED: usize = 16;

/// What has been collected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    /// Operations of the log.
    pub ops: usize,
    /// Rows.
    pub rows: usize,
    /// There was more than the budget allowed.
    pub more: bool,
}

impl Shard {
    /// Collects what is settled, up to about `budget` operations.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is written then.
    pub fn collect(
        &mut self,
        rows: &mut impl RowsMut,
        stable: &Version,
        budget: usize,
    ) -> Result<Collected, StoreError> {
        let mut collected = Collected::default();
        let settled: Vec<(Actor, u64)> = stable.iter().collect();
        for (actor, upto) in settled {
            let Some(next) = self.info.truncated.get(actor).checked_add(1) else {
                continue;
            };
            if next > upto {
                continue;
            }
            let left = budget - collected.ops;
            let (from, to) = (
                tables::log(actor).u64(next),
                tables::log(actor).u64(upto).u8(0),
            );
            let page = rows.first(&from, &to, left + 1)?;
            for (key, op) in page.iter().take(left) {
                let dot = tables::dot_of(key).ok_or_else(damaged)?;
                let op: wire::Op = record::decode(op)?;
                let item = Item::from_key(&op.item).ok_or_else(damaged)?;
                collected.rows += usize::from(self.settle(rows, &item, stable)?);
                rows.delete(tables::op(&dot));
                self.info.truncated.add(&dot);
                collected.ops += 1;
            }
            if page.len() > left {
                collected.more = true;
                break;
            }
        }
        if collected.ops > 0 {
            self.trim_gone(rows)?;
            self.info.write(rows);
        }
        Ok(collected)
    }

    /// Forgets what is settled of a row, and the row if nothing is left of it.
    fn settle(
        &mut self,
        rows: &mut impl RowsMut,
        item: &Item,
        stable: &Version,
    ) -> Result<bool, StoreError> {
        let key = tables::row(item);
        let forgets = !matches!(item.kind(), Kind::Register | Kind::Mark);
        if !forgets || rows.get(&key)?.is_none() {
            return Ok(false);
        }
        let row = read_row(rows, item)?;
        if row.value.is_there() || !row.is_within(stable) {
            let mut settled = row.clone();
            // A membership's joins and departures are only weighed together.
            if !matches!(settled.value, Value::Membership(_)) || row.is_within(stable) {
                settled.value.settle(stable);
            }
            if settled != row {
                rows.put(key, settled.encode());
            }
            return Ok(false);
        }
        if let Value::Membership(membership) = &row.value {
            let left = membership.left_time();
            self.info.left_until = left.max(self.info.left_until);
        }
        rows.delete(key);
        let gone = wire::Gone {
            item: item.key().to_vec().into(),
            dots: row.touched().map(|dot| dot_to_wire(&dot)).collect(),
        };
        rows.put(tables::gone(self.info.gone.end), record::encode(&gone));
        self.info.gone.end += 1;
        Ok(true)
    }

    /// Forgets rows that are no more, the oldest first: those that are there again, of
    /// which their present row tells, and those that are too many.
    fn trim_gone(&mut self, rows: &mut impl RowsMut) -> Result<(), StoreError> {
        while self.info.gone.start < self.info.gone.end {
            let key = tables::gone(self.info.gone.start);
            if let Some(bytes) = rows.get(&key)? {
                let gone: wire::Gone = record::decode(&bytes)?;
                let item = Item::from_key(&gone.item).ok_or_else(damaged)?;
                let is_back = rows.get(&tables::row(&item))?.is_some();
                let too_many = self.info.gone.end - self.info.gone.start > GONE_MAX;
                if !is_back && !too_many {
                    break;
                }
                for dot in gone.dots.iter().filter_map(dot_from_wire) {
                    rows.delete(tables::indexed(&dot));
                    if !is_back {
                        self.raise_floor(dot);
                    }
                }
                rows.delete(key);
            }
            self.info.gone.start += 1;
        }
        Ok(())
    }

    /// Differences from before the operation cannot be told any more.
    fn raise_floor(&mut self, dot: Dot) {
        match self.info.version.get(dot.actor) {
            // As much of it as there is a number for.
            u64::MAX => self
                .info
                .floor
                .merge(&self.info.version.only_complete(dot.actor.node)),
            _ => self.info.floor.add(&dot),
        }
    }

    /// Forgets the numbers of lives that are over and of which every replica has all.
    pub fn forget_lives(&mut self, rows: &mut impl RowsMut, over: &[Actor]) {
        for life in over {
            let all = self.info.version.get(*life);
            if self.info.truncated.get(*life) < all {
                continue;
            }
            let (node, next) = (life.node, life.life + 1);
            let floor = self.info.floor.get(*life);
            self.info.version.complete_before(node, next);
            self.info.truncated.complete_before(node, next);
            if floor > 0 {
                self.info
                    .floor
                    .merge(&self.info.version.only_complete(node));
            }
        }
        if !over.is_empty() {
            self.info.write(rows);
        }
    }

    /// Forgets which rows were touched by lives that are over, where nobody can ask for
    /// that: up to `budget` traces. Returns whether there is more.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is written then.
    pub fn forget_traces(
        &mut self,
        rows: &mut impl RowsMut,
        budget: usize,
    ) -> Result<bool, StoreError> {
        let mut left = budget;
        for (node, lives) in self.traced(rows)? {
            if lives.len() > LIVES_TRACED {
                let complete = self.info.version.only_complete(node);
                self.info.floor.merge(&complete);
                self.info.write(rows);
            }
            let untold = |life: &Actor| self.info.floor.get(*life) == u64::MAX;
            for life in lives.into_iter().filter(untold) {
                left -= untrace(rows, life, left)?;
                if left == 0 {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Of each node the lives that are forgotten, and are still in the index.
    fn traced(&self, rows: &impl Rows) -> Result<BTreeMap<NodeId, Vec<Actor>>, StoreError> {
        let mut traced = BTreeMap::<NodeId, Vec<Actor>>::new();
        for life in indexed_actors(rows)? {
            if self.info.version.get(life) == u64::MAX {
                traced.entry(life.node).or_default().push(life);
            }
        }
        Ok(traced)
    }
}

/// Forgets up to `limit` traces of a life. Returns how many.
fn untrace(rows: &mut impl RowsMut, life: Actor, limit: usize) -> Result<usize, StoreError> {
    let index = tables::index(life);
    let page = rows.first(&index, &index.end(), limit)?;
    for (key, item) in &page {
        let item = Item::from_key(item).ok_or_else(damaged)?;
        if rows.get(&tables::row(&item))?.is_some() {
            let mut row = read_row(rows, &item)?;
            row.untrace(life);
            rows.put(tables::row(&item), row.encode());
        }
        rows.delete(Key::default().bytes(key));
    }
    Ok(page.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::hybrid::HybridClock;
    use crate::metadata::peers::Counted;
    use crate::metadata::replica::Replica;
    use crate::metadata::rows::MemoryRows;
    use crate::metadata::shard::{Intent, Since};

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
}
