//! A replica of one shard's metadata: takes operations, its own and others', each
//! once and after those that it follows, and keeps rows, log and indexes in step.
//! The decisions; a transaction and a clock are handed in.

use bytes::Bytes;
use thiserror::Error;

use super::actor::{Actor, Dot};
use super::derived;
use super::early::Early;
use super::hybrid::{HybridClock, HybridTime, TooFarAhead};
use super::info::Info;
use super::item::Item;
use super::op::{Invalid, Op};
use super::row::Row;
use super::rows::{Rows, RowsMut};
use super::tables;
use super::types::{Change, Mark, Value};
use super::version::Version;
use crate::metadata_wire as wire;
use crate::store::keys::Key;
use crate::store::{StoreError, record};

/// What a writer wants; the replica knows what that means for the row as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Intent {
    /// The register is to have this value.
    Set(Bytes),
    /// The same, and whoever writes at the same time is kept beside it; or the
    /// element is to be there, with this note.
    Put(Bytes),
    /// The element is not to be there.
    Remove,
    /// The mark is to be here at least.
    Raise(Mark),
    /// The user is to be a member.
    Join,
    /// The user is not to be one.
    Leave,
}

/// Why operations of a peer were not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Refusal {
    /// Their writer's clock.
    #[error(transparent)]
    Clock(#[from] TooFarAhead),
    /// No replica writes such.
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

/// What came of operations of a peer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Received {
    /// What they have changed, in order.
    pub items: Vec<Item>,
    /// Why the rest was not taken.
    pub refused: Option<Refusal>,
}

/// What has changed since a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Since {
    /// More than can be told: whoever asked begins anew.
    TooLong,
    /// These, each as it is now.
    Items {
        /// In no order.
        items: Vec<Item>,
        /// Whoever has taken them in has this version.
        upto: Version,
        /// Ask again, with that version.
        more: bool,
    },
}

/// The replica.
#[derive(Debug, Clone, Default)]
pub struct Shard {
    pub(super) info: Info,
    pub(super) early: Early,
    /// Operations collected since it was last marked how far.
    pub(super) since_mark: u64,
}

impl Shard {
    /// As the rows tell.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(rows: &impl Rows) -> Result<Self, StoreError> {
        let mut info = Info::read(rows)?;
        if info.rows == 0 && info.traces == 0 && !info.version.is_empty() {
            // Nothing is there any more, or they have yet to be counted.
            info.rows = count(rows, &tables::rows())?;
            info.traces = count(rows, &tables::indexes())?;
        }
        Ok(Self {
            info,
            early: Early::default(),
            since_mark: 0,
        })
    }

    /// All operations that it has.
    pub fn version(&self) -> &Version {
        &self.info.version
    }

    /// The latest time among the operations in the log that are not in `than`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn latest_since(&self, rows: &impl Rows, than: &Version) -> Result<HybridTime, StoreError> {
        let mut latest = HybridTime::default();
        for (actor, last) in self.info.version.iter() {
            let last = Dot::new(actor, last);
            if !than.has(&last)
                && let Some(bytes) = rows.get(&tables::op(&last))?
            {
                // Those of one actor are in order.
                let op: wire::Op = record::decode(&bytes)?;
                latest = latest.max(HybridTime(op.time));
            }
        }
        Ok(latest)
    }

    /// Later than this is whatever is written here.
    pub fn latest(&self) -> HybridTime {
        self.info.latest
    }

    /// What it knows of the shard as a whole.
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// Operations that wait, and those there was no room for.
    pub fn early(&self) -> (usize, u64) {
        self.early.counts()
    }

    /// Does what a writer wants; `None` when it is so already.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is written then.
    pub fn write(
        &mut self,
        rows: &mut impl RowsMut,
        actor: Actor,
        time: HybridTime,
        item: Item,
        intent: Intent,
    ) -> Result<Option<Op>, StoreError> {
        let row = read_row(rows, &item)?;
        let Some(change) = self.change(&row, intent) else {
            return Ok(None);
        };
        let op = self.own(actor, time, item, change);
        self.apply(rows, row, &op)?;
        self.info.write(rows);
        Ok(Some(op))
    }

    /// The next operation of this replica.
    pub(super) fn own(&self, actor: Actor, time: HybridTime, item: Item, change: Change) -> Op {
        Op {
            dot: Dot::new(actor, self.info.version.get(actor) + 1),
            time,
            item,
            change,
        }
    }

    fn change(&self, row: &Row, intent: Intent) -> Option<Change> {
        match (&row.value, intent) {
            (Value::Element(element), Intent::Remove) => {
                let is_there = element.latest().is_some();
                is_there.then(|| Change::Remove(element.observed()))
            }
            (Value::Register(register), Intent::Set(value)) => {
                let is_new = register.get().is_none_or(|(present, _)| *present != value);
                is_new.then_some(Change::Set(value))
            }
            (Value::Element(register) | Value::MultiValue(register), Intent::Put(value)) => {
                // Whoever writes again what is shown settles what else there is.
                let present = register.values();
                let is_new = present.len() != 1 || present[0].value != value;
                is_new.then(|| Change::Put(value, register.observed()))
            }
            (Value::Mark(mark), Intent::Raise(to)) => (to > *mark).then_some(Change::Raise(to)),
            (Value::Membership(membership), Intent::Join) => {
                let seen = self.info.version.clone();
                (!membership.is_member()).then_some(Change::Join(seen))
            }
            (Value::Membership(membership), Intent::Leave) => {
                let is_member = membership.is_member();
                is_member.then(|| Change::Leave(membership.observed()))
            }
            _ => None,
        }
    }

    /// Takes operations of a peer: some may be known, some may come early.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is written then.
    pub fn receive(
        &mut self,
        rows: &mut impl RowsMut,
        actor: Actor,
        ops: Vec<wire::Op>,
        clock: &mut HybridClock,
        now_us: u64,
    ) -> Result<Received, StoreError> {
        let mut received = Received::default();
        for op in ops {
            if op.counter <= self.info.version.get(actor) {
                continue;
            }
            let op = match Op::from_wire(actor, op) {
                Ok(op) => op,
                Err(invalid) => {
                    received.refused = Some(invalid.into());
                    break;
                }
            };
            if let Err(ahead) = clock.observe(op.time, now_us) {
                received.refused = Some(ahead.into());
                break;
            }
            let is_next = op.dot.counter == self.info.version.get(actor).saturating_add(1);
            if !is_next || !op.is_due(&self.info.version) {
                self.early.add(op);
                continue;
            }
            self.take(rows, op, &mut received)?;
            while let Some(op) = self.early.take_due(&self.info.version) {
                self.take(rows, op, &mut received)?;
            }
        }
        if !received.items.is_empty() {
            self.info.write(rows);
        }
        Ok(received)
    }

    fn take(
        &mut self,
        rows: &mut impl RowsMut,
        op: Op,
        received: &mut Received,
    ) -> Result<(), StoreError> {
        let row = read_row(rows, &op.item)?;
        self.apply(rows, row, &op)?;
        received.items.push(op.item);
        Ok(())
    }

    /// Applies an operation whose turn it is. The caller writes the info.
    pub(super) fn apply(
        &mut self,
        rows: &mut impl RowsMut,
        mut row: Row,
        op: &Op,
    ) -> Result<(), StoreError> {
        let before = row.value.clone();
        self.info.rows += u64::from(row.is_new());
        match row.apply(op.dot, op.time, &op.change) {
            Some(replaced) => rows.delete(tables::indexed(&replaced)),
            None => self.info.traces += 1,
        }
        derived::follow(rows, &op.item, &before, &row.value)?;
        rows.put(tables::row(&op.item), row.encode());
        rows.put(tables::indexed(&op.dot), op.item.key().to_vec());
        rows.put(tables::op(&op.dot), record::encode(&op.to_wire()));
        self.info.version.add(&op.dot);
        self.info.latest = self.info.latest.max(op.time);
        Ok(())
    }

    /// What has changed since `have`, in pages of about `limit` items.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn since(
        &self,
        rows: &impl Rows,
        have: &Version,
        limit: usize,
    ) -> Result<Since, StoreError> {
        if !have.has_all(&self.info.floor) {
            return Ok(Since::TooLong);
        }
        let (mut items, mut upto) = (Vec::new(), have.clone());
        for actor in indexed_actors(rows)? {
            let of_actor = tables::index(actor);
            let Some(next) = have.get(actor).checked_add(1) else {
                continue;
            };
            let left = limit.saturating_sub(items.len());
            let unknown = of_actor.clone().u64(next);
            let page = rows.first(&unknown, &of_actor.end(), left + 1)?;
            for (key, item) in page.iter().take(left) {
                items.push(Item::from_key(item).ok_or_else(damaged)?);
                upto.add(&tables::dot_of(key).ok_or_else(damaged)?);
            }
            if page.len() > left {
                return Ok(Since::Items {
                    items,
                    upto,
                    more: true,
                });
            }
        }
        upto.merge(&self.info.version);
        Ok(Since::Items {
            items,
            upto,
            more: false,
        })
    }
}

fn count(rows: &impl Rows, table: &Key) -> Result<u64, StoreError> {
    const AT_ONCE: usize = 1_000;
    let (mut from, end) = (table.clone(), table.end());
    let mut count = 0;
    loop {
        let page = rows.first(&from, &end, AT_ONCE)?;
        count += page.len() as u64;
        match page.last() {
            Some((key, _)) if page.len() == AT_ONCE => from = Key::default().bytes(key).u8(0),
            _ => return Ok(count),
        }
    }
}

/// Whose operations touched rows last: the actors in the index.
///
/// # Errors
/// [`StoreError`].
pub fn indexed_actors(rows: &impl Rows) -> Result<Vec<Actor>, StoreError> {
    let (mut from, end) = (tables::indexes(), tables::indexes().end());
    let mut actors = Vec::new();
    while let Some((key, _)) = rows.first(&from, &end, 1)?.pop() {
        let actor = tables::dot_of(&key).ok_or_else(damaged)?.actor;
        from = tables::index(actor).end();
        actors.push(actor);
    }
    Ok(actors)
}

/// The row of an item, as it is.
///
/// # Errors
/// [`StoreError`].
pub fn read_row(rows: &impl Rows, item: &Item) -> Result<Row, StoreError> {
    match rows.get(&tables::row(item))? {
        Some(bytes) => Row::decode(item.kind(), &bytes),
        None => Ok(Row::new(item.kind())),
    }
}

/// The items that are there among those whose keys begin with `prefix`, after `after`:
/// up to `limit`.
///
/// # Errors
/// [`StoreError`].
pub fn read_items(
    rows: &impl Rows,
    prefix: &Key,
    after: Option<&Item>,
    limit: usize,
) -> Result<Vec<(Item, Value)>, StoreError> {
    let all = tables::rows().bytes(prefix);
    let mut from = match after {
        Some(after) => tables::row(after).u8(0).max(all.clone()),
        None => all.clone(),
    };
    let mut items = Vec::new();
    while items.len() < limit {
        let wanted = limit - items.len();
        let page = rows.first(&from, &all.end(), wanted)?;
        let Some((last, _)) = page.last() else {
            break;
        };
        from = Key::default().bytes(last).u8(0);
        let is_last = page.len() < wanted;
        for (key, bytes) in page {
            let item = key.get(1..).and_then(Item::from_key).ok_or_else(damaged)?;
            let value = Row::decode(item.kind(), &bytes)?.value;
            if value.is_there() {
                items.push((item, value));
            }
        }
        if is_last {
            break;
        }
    }
    Ok(items)
}

pub(super) fn damaged() -> StoreError {
    StoreError::Record("a key of metadata".into())
}
