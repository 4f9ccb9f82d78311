//! What goes wrong in a run, and when: drawn from the seed before it starts.

use std::time::Duration;

use causeway_protocol::backbone::{Drain, DrainScope};
use rand::rngs::SmallRng;
use rand::seq::{IndexedRandom, IteratorRandom};
use rand::{RngExt, SeedableRng};

use crate::atlas;
use crate::clock::Time;
use crate::message::Host;

/// Faults begin after this time, when the world has settled.
const CALM_MS: u64 = 3_000;
/// From then on nothing is broken any more.
pub const HEAL_AT_MS: u64 = 18_000;

/// Hosts, as bits.
pub type Hosts = u32;

pub fn hosts(hosts: impl IntoIterator<Item = Host>) -> Hosts {
    hosts.into_iter().fold(0, |set, host| set | 1 << host.0)
}

#[derive(Debug, Clone)]
pub enum Fault {
    /// The plug is pulled.
    Crash(Host, Duration),
    /// The plugs of many are pulled at once.
    Blackout(Hosts, Duration),
    /// Disks no longer sync, and after a moment all core nodes lose power.
    PowerFailure(Duration, Duration),
    /// As [`Crash`](Self::Crash), of a core node that never comes back.
    Gone(Host),
    /// As [`Crash`](Self::Crash), and the disk is lost: it comes back under
    /// another id.
    Wipe(Host, Duration),
    /// A node is stopped in good order.
    Stop(Host, Duration),
    /// Nothing gets from the first to the second.
    Cut(Hosts, Hosts, Duration),
    /// Nothing gets through between the two.
    Split(Hosts, Hosts, Duration),
    /// The disk takes this long for a sync.
    Stall(Host, Duration),
    /// So many of a thousand messages are lost.
    Loss(u32, Duration),
    /// An operator has something emptied, and opens it again after a while, or
    /// never.
    Drain(Drain, Option<Duration>),
    /// A client looks for the nearest PoP anew.
    Reconnect(Host),
}

/// How messages fare when nothing is broken.
#[derive(Debug, Clone, Copy, Default)]
pub struct Weather {
    pub lost_per_mille: u32,
    pub doubled_per_mille: u32,
    pub late_per_mille: u32,
}

#[derive(Debug, Clone)]
pub struct Plan {
    pub faults: Vec<(Time, Fault)>,
    pub weather: Weather,
    /// Nothing goes wrong but that nodes are drained: nobody may notice.
    pub calm: bool,
}

impl Plan {
    pub fn from_seed(seed: u64) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let weather = Weather {
            lost_per_mille: rng.random_range(0..30),
            doubled_per_mille: rng.random_range(0..30),
            late_per_mille: rng.random_range(0..60),
        };
        let mut plan = Self {
            faults: Vec::new(),
            weather,
            calm: false,
        };
        for _ in 0..rng.random_range(3..9) {
            let at = Time::from_millis(rng.random_range(CALM_MS..HEAL_AT_MS - 1_000));
            let fault = plan.draw(&mut rng);
            plan.faults.push((at, fault));
        }
        plan.add_drains(seed);
        plan
    }

    /// Drains have their own draw: without them a seed's other faults are the
    /// same.
    fn add_drains(&mut self, seed: u64) {
        let mut rng = SmallRng::seed_from_u64(seed.wrapping_mul(0xd1b5_4a32_d192_ed03));
        let (calm, drains) = match rng.random_range(0..100) {
            0..12 => (true, 1),
            12..40 => (false, rng.random_range(1..3)),
            _ => return,
        };
        self.calm = calm;
        if calm {
            self.faults.clear();
            self.weather = Weather::default();
        }
        for _ in 0..drains {
            let latest = if calm {
                CALM_MS + 3_000
            } else {
                HEAL_AT_MS - 3_000
            };
            let at = Time::from_millis(rng.random_range(CALM_MS..latest));
            let open_after = match (rng.random_bool(0.5), calm) {
                (true, true) => Some(EMPTY_WITHIN_MAX),
                (true, false) => Some(between(&mut rng, 500, 10_000)),
                (false, _) => None,
            };
            let drain = draw_drain(&mut rng);
            self.faults.push((at, Fault::Drain(drain, open_after)));
        }
    }

    fn draw(&self, rng: &mut SmallRng) -> Fault {
        let core = Host(rng.random_range(0..atlas::CORES));
        let node = Host(rng.random_range(0..atlas::CORES + atlas::EDGES));
        let site = rng.random_range(0..3);
        match rng.random_range(0..100) {
            0..4 => Fault::Blackout(cores_at(site), between(rng, 500, 9_000)),
            4..8 => Fault::PowerFailure(between(rng, 50, 400), between(rng, 100, 2_000)),
            8..18 => Fault::Crash(core, between(rng, 100, 9_000)),
            18..24 => Fault::Crash(node, between(rng, 100, 3_000)),
            24..32 if !self.has_lost_a_disk() => match rng.random_bool(0.5) {
                true => Fault::Gone(core),
                false => Fault::Wipe(core, between(rng, 500, 8_000)),
            },
            32..42 => Fault::Stop(node, between(rng, 500, 4_000)),
            42..48 => Fault::Split(cores_at(site), !cores_at(site), between(rng, 800, 6_000)),
            48..54 => {
                // Regions cannot talk, PoPs can talk to both.
                let others = hosts(atlas::cores()) & !cores_at(site);
                Fault::Split(cores_at(site), others, between(rng, 1_500, 6_000))
            }
            54..62 => {
                let (from, to) = (sites(site), sites((site + 1) % 3));
                match rng.random_bool(0.5) {
                    true => Fault::Split(from, to, between(rng, 800, 6_000)),
                    false => Fault::Cut(from, to, between(rng, 800, 6_000)),
                }
            }
            62..70 => Fault::Cut(cores_at(site), !cores_at(site), between(rng, 800, 5_000)),
            70..78 => Fault::Stall(core, between(rng, 300, 3_000)),
            78..86 => Fault::Loss(rng.random_range(50..250), between(rng, 500, 4_000)),
            86..92 => {
                let edge = atlas::edges().choose(rng).expect("there are edges");
                Fault::Crash(edge, between(rng, 500, 5_000))
            }
            _ => {
                let clients: Vec<Host> = atlas::clients().collect();
                Fault::Reconnect(*clients.choose(rng).expect("there are clients"))
            }
        }
    }

    /// One disk may be lost for good: a quorum has what it had.
    fn has_lost_a_disk(&self) -> bool {
        let lost = |fault: &Fault| matches!(fault, Fault::Gone(_) | Fault::Wipe(..));
        self.faults.iter().any(|(_, fault)| lost(fault))
    }
}

fn draw_drain(rng: &mut SmallRng) -> Drain {
    let (core, node) = (
        Host(rng.random_range(0..atlas::CORES)),
        Host(rng.random_range(0..atlas::CORES + atlas::EDGES)),
    );
    let site = rng.random_range(0..3);
    let (scope, name) = match rng.random_range(0..4) {
        0 => (DrainScope::Region, atlas::REGIONS[site].to_owned()),
        1 => (DrainScope::Pop, atlas::POPS[site].to_owned()),
        2 => {
            let member = atlas::member(core, causeway_protocol::NodeId(0), 0);
            (
                DrainScope::Zone,
                format!("{}/{}", member.place, member.zone),
            )
        }
        _ => (DrainScope::Node, atlas::node_name(node)),
    };
    Drain {
        scope: scope.into(),
        name,
        permille_per_s: rng.random_range(250..=1_000),
        active: true,
        ..Drain::default()
    }
}

/// By then what is drained is empty, when nothing else is wrong: a round of
/// leaders takes a second, and so does a client's move.
pub fn empty_within(drain: &Drain) -> Duration {
    Duration::from_millis(1_000_000 / u64::from(drain.permille_per_s)) + Duration::from_secs(5)
}

/// As [`empty_within`], of the slowest drain.
const EMPTY_WITHIN_MAX: Duration = Duration::from_secs(10);

fn cores_at(site: usize) -> Hosts {
    hosts(atlas::cores().filter(|host| atlas::site(*host) == site))
}

fn sites(site: usize) -> Hosts {
    hosts(atlas::nodes().filter(|host| atlas::site(*host) == site))
}

fn between(rng: &mut SmallRng, least_ms: u64, most_ms: u64) -> Duration {
    Duration::from_millis(rng.random_range(least_ms..most_ms))
}
