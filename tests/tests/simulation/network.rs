//! The network: every message is delayed; some are lost, doubled or late; cuts
//! let none through.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::SmallRng;

use crate::atlas;
use crate::ledger::Ledger;
use crate::message::{Host, Message};
use crate::plan::{Hosts, Weather};

struct Cut {
    id: u64,
    from: Hosts,
    to: Hosts,
}

pub struct Network {
    weather: Weather,
    lost_per_mille: u32,
    cuts: Vec<Cut>,
    next_cut: u64,
}

impl Network {
    pub fn new(weather: Weather) -> Self {
        Self {
            weather,
            lost_per_mille: weather.lost_per_mille,
            cuts: Vec::new(),
            next_cut: 0,
        }
    }

    /// Lets nothing through from one set of hosts to another.
    pub fn cut(&mut self, from: Hosts, to: Hosts) -> u64 {
        self.next_cut += 1;
        self.cuts.push(Cut {
            id: self.next_cut,
            from,
            to,
        });
        self.next_cut
    }

    pub fn mend(&mut self, id: u64) {
        self.cuts.retain(|cut| cut.id != id);
    }

    /// Loses so many of a thousand messages; `None` = as the weather has it.
    pub fn lose(&mut self, per_mille: Option<u32>) {
        self.lost_per_mille = per_mille.unwrap_or(self.weather.lost_per_mille);
    }

    /// From now on nothing is lost, doubled or late.
    pub fn heal(&mut self) {
        self.cuts.clear();
        self.weather = Weather {
            lost_per_mille: 0,
            doubled_per_mille: 0,
            late_per_mille: 0,
        };
        self.lost_per_mille = 0;
    }

    pub fn is_cut(&self, from: Host, to: Host) -> bool {
        let blocks = |cut: &Cut| cut.from & 1 << from.0 != 0 && cut.to & 1 << to.0 != 0;
        from != to && self.cuts.iter().any(blocks)
    }

    /// After which times the message arrives: once, not at all, or twice.
    pub fn arrivals(
        &self,
        from: Host,
        to: Host,
        message: &Message,
        rng: &mut SmallRng,
        ledger: &mut Ledger,
    ) -> Vec<Duration> {
        if from == to {
            return vec![Duration::ZERO];
        }
        if self.is_cut(from, to) {
            ledger.messages_lost += 1;
            return Vec::new();
        }
        let mut chance = |per_mille| rng.random_range(0..1_000) < per_mille;
        let lost = chance(self.lost_per_mille);
        let doubled = chance(self.weather.doubled_per_mille);
        let late = chance(self.weather.late_per_mille);
        if lost && !message.is_on_a_stream() {
            ledger.messages_lost += 1;
            return Vec::new();
        }
        ledger.messages_doubled += u64::from(doubled);
        // What a stream carries comes late when a packet was lost.
        let late = late || lost;
        ledger.messages_late += u64::from(late);
        let copies = 1 + usize::from(doubled);
        (0..copies)
            .map(|_| {
                let jitter_us = rng.random_range(0..4_000);
                let late_us = match late {
                    true => rng.random_range(0..700_000),
                    false => 0,
                };
                atlas::delay(from, to) + Duration::from_micros(jitter_us + late_us)
            })
            .collect()
    }
}
