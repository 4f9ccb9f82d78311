//! How a value is stored: what each actor has done to it, and the rest.

use std::collections::BTreeMap;

use crdts::LWWReg;

use super::observed_set::{ObservedSet, Parts};
use super::{Kind, Mark, Membership, MultiValue, Register, Stamp, Value, Written};
use crate::metadata::actor::{Actor, Dot};
use crate::metadata::hybrid::HybridTime;
use crate::metadata_wire as wire;

/// What each actor has done.
pub type Traces = BTreeMap<Actor, wire::Trace>;

impl Value {
    /// Writes itself into `traces`, and returns the rest.
    pub fn to_wire(&self, traces: &mut Traces) -> wire::row::Value {
        match self {
            Self::Register(it) => wire::row::Value::Register(wire::Register {
                stamp: Some(it.0.marker.to_wire()),
                value: it.0.val.clone(),
            }),
            Self::Element(it) | Self::MultiValue(it) => {
                trace_added(traces, &it.0.parts());
                let alive = it.0.parts().alive.into_iter();
                let written = alive.map(|(dot, written)| wire::Written {
                    stamp: Some(written.stamp.to_wire()),
                    counter: dot.counter,
                    value: written.value,
                });
                wire::row::Value::MultiValue(wire::MultiValue {
                    written: written.collect(),
                })
            }
            Self::Mark(it) => wire::row::Value::Mark(wire::Mark {
                seq: it.seq,
                messages: it.messages,
            }),
            Self::Membership(it) => {
                trace_added(traces, &it.joined.parts());
                let left = it.left.parts();
                for (actor, counter) in left.clock {
                    let trace = traces.entry(actor).or_default();
                    let mut alive = left.alive.iter();
                    trace.left = counter;
                    trace.left_alive = alive.any(|(dot, ())| dot.actor == actor);
                }
                wire::row::Value::Membership(wire::Membership {
                    left_time: it.left_time.0,
                })
            }
        }
    }

    /// Reads a value of `kind`; `None` when another kind is stored.
    pub fn from_wire(kind: Kind, traces: &Traces, value: wire::row::Value) -> Option<Self> {
        Some(match (kind, value) {
            (Kind::Register, wire::row::Value::Register(it)) => Self::Register(Register(LWWReg {
                val: it.value,
                marker: Stamp::from_wire(it.stamp.as_ref()),
            })),
            (Kind::Element | Kind::MultiValue, wire::row::Value::MultiValue(it)) => {
                let alive = it.written.into_iter().map(|written| {
                    let stamp = Stamp::from_wire(written.stamp.as_ref());
                    let dot = Dot::new(stamp.actor, written.counter);
                    let value = written.value;
                    (dot, Written { stamp, value })
                });
                let alive = alive.collect();
                let clock = added(traces).clock;
                let set = ObservedSet::from_parts(Parts { clock, alive });
                match kind {
                    Kind::Element => Self::Element(MultiValue(set)),
                    _ => Self::MultiValue(MultiValue(set)),
                }
            }
            (Kind::Mark, wire::row::Value::Mark(it)) => Self::Mark(Mark {
                seq: it.seq,
                messages: it.messages,
            }),
            (Kind::Membership, wire::row::Value::Membership(it)) => Self::Membership(Membership {
                joined: ObservedSet::from_parts(added(traces)),
                left: ObservedSet::from_parts(left(traces)),
                left_time: HybridTime(it.left_time),
            }),
            _ => return None,
        })
    }
}

fn trace_added<M>(traces: &mut Traces, parts: &Parts<M>) {
    for (actor, counter) in &parts.clock {
        let trace = traces.entry(*actor).or_default();
        trace.added = *counter;
        trace.alive = parts.alive.iter().any(|(dot, _)| dot.actor == *actor);
    }
}

fn added(traces: &Traces) -> Parts<()> {
    parts(traces, |trace| (trace.added, trace.alive))
}

fn left(traces: &Traces) -> Parts<()> {
    parts(traces, |trace| (trace.left, trace.left_alive))
}

/// Of a set with one element: each actor's last addition is the only one.
fn parts(traces: &Traces, of: impl Fn(&wire::Trace) -> (u64, bool)) -> Parts<()> {
    let additions = traces.iter().map(|(actor, trace)| (*actor, of(trace)));
    let additions = additions.filter(|(_, (counter, _))| *counter > 0);
    let alive = additions.clone().filter(|(_, (_, is_alive))| *is_alive);
    Parts {
        alive: alive
            .map(|(actor, (n, _))| (Dot::new(actor, n), ()))
            .collect(),
        clock: additions.map(|(actor, (n, _))| (actor, n)).collect(),
    }
}
