//! A replica that cannot go on from what it has takes all rows of another: one that
//! is new, one that was forgotten and is back, one whose disk was set back, or
//! whose clock was so far ahead that nobody takes its operations.
//!
//! What it had and the other has not goes on as it was, if it has counted all the while.
//! Otherwise what it wrote itself, or somebody who counts no more, is written again, by a new
//! life: with the time it had, but after all that has been learnt. One thing this must not
//! do is undo what happened meanwhile: a join that may be older than a departure is set
//! aside.

use std::collections::HashMap;

use super::actor::{Actor, Dot, dot_from_wire};
use super::derived;
use super::hybrid::{HybridClock, HybridTime};
use super::info::Info;
use super::item::Item;
use super::observed::Observed;
use super::op::Op;
use super::peers::Counted;
use super::row::Row;
use super::rows::{KeyValue, RowsMut};
use super::shard::{Shard, damaged, read_row};
use super::tables;
use super::types::{Change, Value};
use super::version::Version;
use crate::metadata_wire as wire;
use crate::store::keys::Key;
use crate::store::{StoreError, record};

/// Operations that are read at a time.
const READ_OPS: usize = 1_000;

/// What an operation was, and what it is now.
type Renamed = HashMap<(Actor, u64), Dot>;

/// The life in which a replica goes on.
#[derive(Debug, Clone, Copy)]
pub struct Life<'a> {
    /// Its name.
    pub actor: Actor,
    /// The replica did not count for a while.
    pub was_away: bool,
    /// Who counts now.
    pub counted: &'a Counted,
}

impl Life<'_> {
    /// Whether the operation's writer counts: others may have it, or get it yet, and twice
    /// is not what was written.
    fn counts(&self, op: &Op) -> bool {
        self.counted.nodes.contains_key(&op.dot.actor.node)
    }
}

/// A replica on its way into another life.
struct GoingOn<'a> {
    life: &'a Life<'a>,
    clock: &'a mut HybridClock,
    now_us: u64,
    renamed: Renamed,
    /// The time that was given last.
    last: HybridTime,
    reissued: Reissued,
}

impl GoingOn<'_> {
    /// The time that an operation bears when it is written again. Operations of two writers
    /// may bear the same: of one they must not.
    fn time_of(&mut self, op: &Op, is_late: bool) -> HybridTime {
        let time = match is_late {
            true => self.clock.tick(self.now_us),
            false => op.time,
        };
        self.last = time.max(self.last.next());
        self.clock.pass(self.last);
        self.last
    }
}

/// What became of what only this replica had.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reissued {
    /// Operations that go on as they were.
    pub kept: Vec<Dot>,
    /// Those that were written again, as they are now, each beside what it was.
    pub ops: Vec<(Dot, Op)>,
    /// Operations that would have undone what happened meanwhile.
    pub set_aside: Vec<Dot>,
}

impl Shard {
    /// Begins: everything goes but the log.
    pub fn begin_resync(&mut self, rows: &mut impl RowsMut) {
        rows.clear(tables::rows(), tables::indexes().end());
        rows.clear(tables::all_gone(), tables::all_gone().end());
        let (from, to) = derived::bounds();
        rows.clear(from, to);
        for mark in tables::marks() {
            rows.delete(mark);
        }
        self.early.clear();
        // It may have begun before, and not come to an end.
        let mut before = std::mem::take(&mut self.info.before);
        before.merge(&self.info.version);
        self.info = Info {
            resyncing: true,
            before,
            ..Info::default()
        };
        self.info.write(rows);
    }

    /// Takes rows of the other replica: those of items, those that are gone, and
    /// its log.
    ///
    /// # Errors
    /// [`StoreError`], also for rows of another table.
    pub fn take_rows(
        &mut self,
        rows: &mut impl RowsMut,
        taken: Vec<KeyValue>,
    ) -> Result<(), StoreError> {
        for (key, value) in taken {
            let key = Key::default().bytes(&key);
            if let Some(item) = key.strip_prefix(&tables::rows()[..]) {
                let item = Item::from_key(item).ok_or_else(damaged)?;
                let row = Row::decode(item.kind(), &value)?;
                self.info.rows += 1;
                for dot in row.touched() {
                    rows.put(tables::indexed(&dot), item.key().to_vec());
                    self.info.traces += 1;
                }
                let before = Value::new(item.kind());
                derived::follow(rows, &item, &before, &row.value)?;
            } else if key.starts_with(&tables::all_gone()) {
                let gone: wire::Gone = record::decode(&value)?;
                for dot in gone.dots.iter().filter_map(dot_from_wire) {
                    rows.put(tables::indexed(&dot), gone.item.to_vec());
                    self.info.traces += 1;
                }
            } else if !key.starts_with(&tables::logs()) {
                return Err(damaged());
            }
            rows.put(key, value);
        }
        Ok(())
    }

    /// Ends: goes on from where the other replica was, in a new life, with what only this
    /// one had.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is written then.
    pub fn end_resync(
        &mut self,
        rows: &mut impl RowsMut,
        theirs: &wire::ShardInfo,
        life: &Life<'_>,
        clock: &mut HybridClock,
        now_us: u64,
    ) -> Result<Reissued, StoreError> {
        let before = std::mem::take(&mut self.info.before);
        self.info = Info {
            resyncing: false,
            before: Version::default(),
            rows: self.info.rows,
            traces: self.info.traces,
            ..Info::from_wire(theirs)
        };
        let mut orphans = self.take_orphans(rows, &before)?;
        orphans.sort_by_key(|op| (op.time, op.dot.actor));
        let mut going_on = GoingOn {
            life,
            clock,
            now_us,
            renamed: Renamed::new(),
            last: HybridTime::default(),
            reissued: Reissued::default(),
        };
        for op in orphans {
            self.go_on_with(rows, op, &mut going_on)?;
        }
        self.info.write(rows);
        Ok(going_on.reissued)
    }

    /// Decides what becomes of an operation that only this replica had.
    fn go_on_with(
        &mut self,
        rows: &mut impl RowsMut,
        op: Op,
        going_on: &mut GoingOn<'_>,
    ) -> Result<(), StoreError> {
        let life = going_on.life;
        let is_late = op.time.too_far_ahead(going_on.now_us).is_some();
        if !life.was_away && !is_late && self.is_next(&op) && life.counts(&op) {
            let row = read_row(rows, &op.item)?;
            self.apply(rows, row, &op)?;
            going_on.reissued.kept.push(op.dot);
            return Ok(());
        }
        if op.dot.actor.node != life.actor.node && life.counts(&op) {
            // Its writer has it, with all that it follows, or has given it another name.
            return Ok(());
        }
        let (dot, again) = (op.dot, self.again(rows, op, &going_on.renamed)?);
        let Some((row, op)) = again else {
            going_on.reissued.set_aside.push(dot);
            return Ok(());
        };
        let time = going_on.time_of(&op, is_late);
        let op = self.own(life.actor, time, op.item, op.change);
        self.apply(rows, row, &op)?;
        going_on.renamed.insert((dot.actor, dot.counter), op.dot);
        going_on.reissued.ops.push((dot, op));
        Ok(())
    }

    fn is_next(&self, op: &Op) -> bool {
        let version = &self.info.version;
        let next = version.get(op.dot.actor).checked_add(1);
        next == Some(op.dot.counter) && op.is_due(version)
    }

    /// Takes the operations that are not in the version out of the log, and what
    /// is of no use there any more.
    fn take_orphans(
        &self,
        rows: &mut impl RowsMut,
        before: &Version,
    ) -> Result<Vec<Op>, StoreError> {
        let (mut from, end) = (tables::logs(), tables::logs().end());
        let mut orphans = Vec::new();
        loop {
            let page = rows.first(&from, &end, READ_OPS)?;
            for (key, bytes) in &page {
                let dot = tables::dot_of(key).ok_or_else(damaged)?;
                if self.info.version.may_lack(&dot, before) {
                    let op: wire::Op = record::decode(bytes)?;
                    orphans.push(Op::from_wire(dot.actor, op).map_err(|_| damaged())?);
                } else if self.info.version.has(&dot) && !self.info.truncated.has(&dot) {
                    continue;
                }
                rows.delete(tables::op(&dot));
            }
            match page.last() {
                Some((key, _)) if page.len() == READ_OPS => from = Key::default().bytes(key).u8(0),
                _ => return Ok(orphans),
            }
        }
    }

    /// What an operation is when it is written again, on the row as it is now;
    /// `None` if it would undo what happened meanwhile.
    fn again(
        &self,
        rows: &impl RowsMut,
        old: Op,
        renamed: &Renamed,
    ) -> Result<Option<(Row, Op)>, StoreError> {
        let row = read_row(rows, &old.item)?;
        let now = |dot: Dot| *renamed.get(&(dot.actor, dot.counter)).unwrap_or(&dot);
        // What nobody has any more, nobody must wait for.
        let is_had = |dot: &Dot| self.info.version.has(dot);
        let observed = |observed: Observed| observed.iter().map(now).filter(is_had).collect();
        let change = match old.change {
            Change::Remove(old) => Change::Remove(observed(old)),
            Change::Put(value, old) => Change::Put(value, observed(old)),
            Change::Leave(old) => Change::Leave(observed(old)),
            Change::Join(seen) => {
                let Value::Membership(membership) = &row.value else {
                    return Err(damaged());
                };
                let is_known = |dot: &Dot| seen.has(dot) || renamed.values().any(|d| d == dot);
                let unknown = membership.departures().iter().any(|dot| !is_known(&dot));
                if unknown || old.time <= self.info.left_until {
                    return Ok(None);
                }
                Change::Join(self.info.version.clone())
            }
            change => change,
        };
        Ok(Some((row, Op { change, ..old })))
    }
}
