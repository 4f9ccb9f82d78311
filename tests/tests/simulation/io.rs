//! What a host may do in one step: read its clocks, send, sync its disk, and
//! tell the oracle, which sees everything, what it did.

use std::time::{Duration, Instant};

use causeway_protocol::{CellId, NodeId};
use rand::RngExt;
use rand::rngs::SmallRng;

use crate::clock::{Clock, Time};
use crate::ledger::Ledger;
use crate::message::{Connection, Host, Message};
use crate::oracle::Oracle;
use crate::planted::Planted;
use crate::trace::Trace;

/// What a step asks of the world.
pub enum Output {
    Send(NodeId, Message),
    /// To whatever runs at this address.
    SendTo(Host, Message),
    /// Sync the disk, and say so under this number.
    Sync(CellId, u64),
    Close(Connection),
}

pub struct Io<'a> {
    pub now: Time,
    pub host: Host,
    pub clock: Clock,
    pub rng: &'a mut SmallRng,
    pub oracle: &'a mut Oracle,
    pub ledger: &'a mut Ledger,
    pub trace: &'a mut Trace,
    pub planted: Option<Planted>,
    pub outputs: Vec<Output>,
}

impl Io<'_> {
    pub fn instant(&self) -> Instant {
        self.clock.instant(self.now)
    }

    pub fn wall_us(&self) -> u64 {
        self.clock.wall_us(self.now)
    }

    pub fn send(&mut self, to: NodeId, message: Message) {
        self.outputs.push(Output::Send(to, message));
    }

    pub fn send_to(&mut self, to: Host, message: Message) {
        self.outputs.push(Output::SendTo(to, message));
    }

    pub fn between(&mut self, least_ms: u64, most_ms: u64) -> Duration {
        Duration::from_millis(self.rng.random_range(least_ms..=most_ms))
    }

    pub fn has(&self, planted: Planted) -> bool {
        self.planted == Some(planted)
    }

    pub fn note(&mut self, key: u64, detail: impl FnOnce(&mut String)) {
        self.trace.note(self.now, self.host, key, detail);
    }
}
