//! A row: the value of one item, and who has touched it last.

use std::collections::BTreeMap;

use super::actor::{Actor, Dot};
use super::hybrid::HybridTime;
use super::types::{Change, Kind, Value};
use super::version::Version;
use crate::metadata_wire as wire;
use crate::store::{StoreError, record};

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What it says.
    pub value: Value,
    /// The last operation of each actor on it, but for those that nobody can ask for.
    touched: BTreeMap<Actor, u64>,
}

impl Row {
    /// Before the first operation.
    pub fn new(kind: Kind) -> Self {
        Self {
            value: Value::new(kind),
            touched: BTreeMap::new(),
        }
    }

    /// Whether nothing is stored of it.
    pub fn is_new(&self) -> bool {
        self.touched.is_empty() && self.value == Value::new(self.value.kind())
    }

    /// Applies an operation; returns the one of the same actor that was the last
    /// before: whoever lacks that lacks this one, too.
    pub fn apply(&mut self, dot: Dot, time: HybridTime, change: &Change) -> Option<Dot> {
        self.value.apply(dot, time, change);
        let before = self.touched.insert(dot.actor, dot.counter);
        before.map(|counter| Dot::new(dot.actor, counter))
    }

    /// The last operation of each actor on it.
    pub fn touched(&self) -> impl Iterator<Item = Dot> + '_ {
        let touched = self.touched.iter();
        touched.map(|(actor, counter)| Dot::new(*actor, *counter))
    }

    /// Forgets that this was the last operation of its actor, if it was.
    pub fn untrace(&mut self, dot: &Dot) {
        if self.touched.get(&dot.actor) == Some(&dot.counter) {
            self.touched.remove(&dot.actor);
        }
    }

    /// Whether all operations on it are among those.
    pub fn is_within(&self, stable: &Version) -> bool {
        self.touched().all(|dot| stable.has(&dot))
    }

    /// As stored.
    pub fn encode(&self) -> Vec<u8> {
        let mut traces = BTreeMap::<Actor, wire::Trace>::new();
        for (actor, counter) in &self.touched {
            traces.entry(*actor).or_default().touched = *counter;
        }
        let value = self.value.to_wire(&mut traces);
        let traces = traces.into_iter().map(|(actor, trace)| wire::Trace {
            actor: Some(actor.to_wire()),
            ..trace
        });
        record::encode(&wire::Row {
            traces: traces.collect(),
            value: Some(value),
        })
    }

    /// Reads a row of `kind`.
    ///
    /// # Errors
    /// [`StoreError::Record`] for damage.
    pub fn decode(kind: Kind, bytes: &[u8]) -> Result<Self, StoreError> {
        let row: wire::Row = record::decode(bytes)?;
        let traces = row.traces.into_iter();
        let traces =
            traces.filter_map(|trace| Some((Actor::from_wire(trace.actor.as_ref())?, trace)));
        let traces = traces.collect();
        let value = row
            .value
            .and_then(|value| Value::from_wire(kind, &traces, value));
        let value = value.ok_or_else(|| StoreError::Record("a row of another kind".into()))?;
        let touched = traces.iter().filter(|(_, trace)| trace.touched > 0);
        let touched = touched.map(|(actor, trace)| (*actor, trace.touched));
        Ok(Self {
            value,
            touched: touched.collect(),
        })
    }
}
