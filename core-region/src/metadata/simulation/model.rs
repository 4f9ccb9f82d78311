//! The model: what there is to see, by the whole history and who wrote what, knowing of
//! which; without a line of what it judges.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use causeway_protocol::NodeId;

use crate::metadata::actor::Dot;
use crate::metadata::item::Item;
use crate::metadata::op::Op;
use crate::metadata::rows::{MemoryRows, Rows};
use crate::metadata::shard::read_row;
use crate::metadata::tables;
use crate::metadata::types::{Change, Kind, tests};

/// An operation as the model knows it.
#[derive(Debug, Clone)]
pub struct Written {
    pub op: Op,
    pub by: NodeId,
    pub acknowledged: bool,
    /// Where it went under another dot, or that it went nowhere by the rule.
    pub fate: Fate,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    Stands,
    Reissued,
    SetAside,
    /// With a disk, or a crash before it was acknowledged.
    Lost,
}

/// What is there, by who wrote what, knowing of which.
pub fn model(history: &[Written], truth: &HashSet<Dot>) -> BTreeMap<Item, BTreeSet<Vec<u8>>> {
    let mut by_item = BTreeMap::<&Item, Vec<&Written>>::new();
    for written in history.iter().filter(|w| truth.contains(&w.op.dot)) {
        by_item.entry(&written.op.item).or_default().push(written);
    }
    let shown = by_item
        .into_iter()
        .map(|(item, had)| (item.clone(), judge(item.kind(), &had)));
    shown.filter(|(_, shown)| !shown.is_empty()).collect()
}

/// Whether `later` was written knowing of `earlier`, as far as its own words tell.
fn undoes(later: &Written, earlier: &Written) -> bool {
    let dot = &earlier.op.dot;
    match &later.op.change {
        // All that its writer had.
        Change::Join(seen) => seen.has(dot),
        change => {
            let named = change.context();
            named.iter().any(|named| named == dot)
        }
    }
}

fn judge(kind: Kind, had: &[&Written]) -> BTreeSet<Vec<u8>> {
    let value = |written: &Written| match &written.op.change {
        Change::Set(value) | Change::Put(value, _) => Some(value.to_vec()),
        _ => None,
    };
    let stamp = |written: &&&Written| (written.op.time, written.op.dot.actor);
    let last = had.iter().filter(|w| value(w).is_some()).max_by_key(stamp);
    let is_put = |w: &Written| value(w).is_some();
    let stands = |w: &Written| !had.iter().any(|later| undoes(later, w));
    match kind {
        Kind::Register => last.and_then(|w| value(w)).into_iter().collect(),
        Kind::Element | Kind::MultiValue => {
            let standing = had.iter().filter(|w| is_put(w) && stands(w));
            standing.filter_map(|w| value(w)).collect()
        }
        Kind::Mark => {
            let marks = had.iter().filter_map(|w| match w.op.change {
                Change::Raise(mark) => Some(mark.seq),
                _ => None,
            });
            marks
                .max()
                .map(|seq| seq.to_be_bytes().to_vec())
                .into_iter()
                .collect()
        }
        Kind::Membership => {
            let joins = || {
                had.iter()
                    .filter(|w| matches!(w.op.change, Change::Join(_)))
            };
            let leaves = || {
                had.iter()
                    .filter(|w| matches!(w.op.change, Change::Leave(_)))
            };
            let all_over = leaves().all(|leave| joins().any(|join| undoes(join, leave)));
            let stands = joins().any(|join| !leaves().any(|leave| undoes(leave, join)));
            let is_member = all_over && stands;
            is_member.then(|| b"member".to_vec()).into_iter().collect()
        }
    }
}

pub fn shown(rows: &MemoryRows) -> BTreeMap<Item, BTreeSet<Vec<u8>>> {
    let table = tables::rows();
    let stored = rows.first(&table, &table.end(), usize::MAX).unwrap();
    let items = stored
        .iter()
        .map(|(key, _)| Item::from_key(&key[1..]).unwrap());
    let shown = items.map(|item| {
        let row = read_row(rows, &item).unwrap();
        let shown = tests::shown(&row.value);
        (item, shown)
    });
    shown.filter(|(_, shown)| !shown.is_empty()).collect()
}
