//! Answering who lacks operations: from the log, those that are missing and no
//! others, in an order in which each comes after those that it follows.

use std::collections::{BTreeMap, VecDeque};

use prost::Message;

use super::actor::Actor;
use super::op::Op;
use super::rows::Rows;
use super::shard::{Shard, damaged};
use super::tables;
use super::version::Version;
use crate::metadata_wire as wire;
use crate::store::{StoreError, record};

/// Operations of one actor that a message carries together.
pub const RUN_OPS_MAX: usize = 4_096;
/// Operations of an actor that are read at a time.
const READ_OPS: usize = 64;

/// The answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Missing {
    /// The log does not go back so far: only rows are to be had.
    Truncated,
    /// Runs of operations, each of one actor.
    Ops {
        /// In their order.
        runs: Vec<(Actor, Vec<wire::Op>)>,
        /// There is more.
        more: bool,
    },
}

/// The operations of one actor, as far as they are read.
struct Reading {
    read: VecDeque<Op>,
    next: u64,
    last: u64,
}

impl Reading {
    fn is_over(&self) -> bool {
        self.read.is_empty() && self.next > self.last
    }

    fn fill(&mut self, rows: &impl Rows, actor: Actor) -> Result<(), StoreError> {
        if !self.read.is_empty() || self.is_over() {
            return Ok(());
        }
        let log = tables::log(actor);
        let (from, to) = (log.clone().u64(self.next), log.u64(self.last).u8(0));
        for (_, bytes) in rows.first(&from, &to, READ_OPS)? {
            let op = record::decode(&bytes)?;
            let op = Op::from_wire(actor, op).map_err(|_| damaged())?;
            self.read.push_back(op);
        }
        let last = self.read.back().ok_or_else(damaged)?.dot.counter;
        self.next = last.max(self.next).saturating_add(1);
        Ok(())
    }
}

impl Shard {
    /// What somebody who has `have` lacks, up to about `bytes_max`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn missing(
        &self,
        rows: &impl Rows,
        have: &Version,
        bytes_max: usize,
    ) -> Result<Missing, StoreError> {
        if !have.has_all(&self.info.truncated) {
            return Ok(Missing::Truncated);
        }
        let lacking = self.info.version.iter().filter_map(|(actor, last)| {
            let next = have.get(actor).checked_add(1)?;
            let read = VecDeque::new();
            (next <= last).then_some((actor, Reading { read, next, last }))
        });
        let mut readings: BTreeMap<Actor, Reading> = lacking.collect();
        let (mut runs, mut bytes) = (Vec::<(Actor, Vec<wire::Op>)>::new(), 0);
        let mut given = have.clone();
        while bytes < bytes_max {
            for (actor, reading) in &mut readings {
                reading.fill(rows, *actor)?;
            }
            let Some(op) = next(&mut readings, &given) else {
                break;
            };
            given.add(&op.dot);
            let (actor, op) = (op.dot.actor, op.to_wire());
            bytes += op.encoded_len();
            match runs.last_mut() {
                Some((of, run)) if *of == actor && run.len() < RUN_OPS_MAX => run.push(op),
                _ => runs.push((actor, vec![op])),
            }
        }
        let more = readings.values().any(|reading| !reading.is_over());
        Ok(Missing::Ops { runs, more })
    }
}

/// The earliest operation that can be applied on top of what was given. What was
/// written again may bear an earlier time than what it follows.
fn next(readings: &mut BTreeMap<Actor, Reading>, given: &Version) -> Option<Op> {
    let heads = readings.iter_mut().filter_map(|(actor, reading)| {
        let head = reading.read.front()?;
        head.is_due(given).then_some((head.time, *actor, reading))
    });
    let (_, _, reading) = heads.min_by_key(|(time, actor, _)| (*time, *actor))?;
    reading.read.pop_front()
}

#[cfg(test)]
mod tests {
    use causeway_protocol::NodeId;

    use super::*;
    use crate::metadata::hybrid::HybridClock;
    use crate::metadata::item::Item;
    use crate::metadata::replica::Replica;
    use crate::metadata::rows::MemoryRows;
    use crate::metadata::shard::Intent;
    use crate::metadata::types::Mark;

    const MANY: u64 = 2 * RUN_OPS_MAX as u64 + 1;

    #[test]
    fn however_small_operations_are_a_run_of_them_is_bounded() {
        let (mut rows, mut clock) = (MemoryRows::default(), HybridClock::default());
        let mut replica = Replica::open(&rows, NodeId(1), 1, 0).unwrap();
        let cursor = Item::ReadCursor {
            user: 1,
            channel: 1,
        };
        for seq in 1..=MANY {
            let raise = Intent::Raise(Mark { seq, messages: seq });
            let written = replica.write(&mut rows, &mut clock, 0, cursor.clone(), raise);
            assert!(written.unwrap().is_some());
        }
        let missing = replica.missing(&rows, &Version::default(), usize::MAX);
        let Missing::Ops { runs, more: false } = missing.unwrap() else {
            panic!("there is no more than that");
        };
        let lengths: Vec<usize> = runs.iter().map(|(_, run)| run.len()).collect();
        assert_eq!(lengths, [RUN_OPS_MAX, RUN_OPS_MAX, 1]);
    }
}
