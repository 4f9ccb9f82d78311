//! Collecting garbage: once every replica that counts has an operation, its place
//! in the log is of no use, and a row that is not there need not be remembered.

use super::actor::{Actor, Dot, dot_from_wire, dot_to_wire};
use super::item::Item;
use super::rows::RowsMut;
use super::shard::{Shard, damaged, read_row};
use super::tables;
use super::types::{Kind, Value};
use super::version::Version;
use crate::metadata_wire as wire;
use crate::store::{StoreError, record};

/// Rows that are no more, and of which those hear who ask what has changed. More
/// are forgotten: whoever was away for longer begins anew.
pub const GONE_MAX: u64 = 1_000;

/// What has been collected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    /// Operations of the log.
    pub ops: usize,
    /// Rows.
    pub rows: usize,
    /// There may be traces to forget.
    pub aged: bool,
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
            collected.aged = self.mark(rows, collected.ops as u64)?;
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
        self.info.rows = self.info.rows.saturating_sub(1);
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
                    let trace = tables::indexed(&dot);
                    if rows.get(&trace)?.is_some() {
                        rows.delete(trace);
                        self.info.traces = self.info.traces.saturating_sub(1);
                    }
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
}
