//! Which faults come when: a pure decision over the world's layout and a seed.

use std::time::Duration;

use causeway_core_region::faults::FaultConfig;
use causeway_protocol::Name;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use super::{Act, CALM, Faulty, Layout, Plan, Scenario};
use crate::drain::What;

/// Between the nodes of a rolling restart.
const ROLL_EVERY: Duration = Duration::from_secs(8);
/// How long a node of a rolling restart is away.
const ROLL_AWAY: Duration = Duration::from_secs(2);
/// Between two waves of a storm.
const WAVE_EVERY: Duration = Duration::from_secs(5);
/// A fault that is shorter may be over before an election has ended.
const NOTICED_AFTER: Duration = Duration::from_secs(4);
const HOUR_MS: i64 = 3_600_000;
/// Before a power failure all disks hang for so long: what is acknowledged then
/// is on none. A sync that has begun does not end before.
const HANG_FOR: Duration = Duration::from_millis(900);
const HANGING_SYNC_MS: u64 = 5_000;

struct Planner {
    rng: SmallRng,
    layout: Layout,
    plan: Plan,
}

/// The schedule of `scenario`: the calm, half as long at the most, then faults for
/// `duration`, healed two thirds into it.
pub fn plan(scenario: Scenario, seed: u64, layout: &Layout, duration: Duration) -> Plan {
    let calm = CALM.min(duration / 2);
    let mut planner = Planner {
        rng: SmallRng::seed_from_u64(seed),
        layout: layout.clone(),
        plan: Plan {
            acts: Vec::new(),
            region: None,
            takes_leaders: false,
            pop: None,
            gone: Vec::new(),
            faulty: None,
            length: calm + duration,
            calm,
        },
    };
    planner.schedule(scenario, calm, duration * 2 / 3);
    planner.plan.acts.sort_by_key(|(at, _)| *at);
    planner.plan
}

impl Planner {
    /// From `at`, healed `away` later.
    fn schedule(&mut self, scenario: Scenario, at: Duration, away: Duration) {
        let back = at + away;
        match scenario {
            Scenario::None => {}
            Scenario::KillNode => {
                if let Some(node) = self.strikes_node(away) {
                    self.kill(at, Some(back), &[node]);
                }
            }
            Scenario::FreezeNode => {
                if let Some(node) = self.strikes_node(away) {
                    self.act(at, Act::Freeze(node.clone()));
                    self.act(back, Act::Thaw(node));
                }
            }
            Scenario::KillRegion => {
                let (region, nodes) = self.region();
                self.strikes_leaders(region, away);
                self.kill(at, Some(back), &nodes);
            }
            Scenario::KillRegionForever => {
                let (region, nodes) = self.region();
                self.strikes_leaders(region, away);
                self.kill(at, None, &nodes);
            }
            Scenario::PartitionRegion => {
                let (region, nodes) = self.region();
                let cuts = both(&self.cuts_from(&region));
                self.isolate(&region, &nodes, at, back);
                self.strikes_leaders(region, away);
                self.cut(at, back, cuts);
            }
            Scenario::PartitionOneWay => {
                let (region, _) = self.region();
                let mut cuts = self.cuts_from(&region);
                if self.rng.random() {
                    cuts = cuts.into_iter().map(|(from, to)| (to, from)).collect();
                }
                self.strikes_leaders(region, away);
                self.cut(at, back, cuts);
            }
            Scenario::PartitionSplit => {
                let cuts = self.cuts_between_regions();
                self.cut(at, back, cuts);
            }
            Scenario::Flap => self.flap(at, back),
            Scenario::KillPop => {
                if let Some((pop, nodes)) = self.layout.pops.choose(&mut self.rng).cloned() {
                    self.plan.pop = Some(pop);
                    self.kill(at, Some(back), &nodes);
                }
            }
            Scenario::DrainRegion => {
                let (region, _) = self.region();
                self.strikes(region.clone());
                self.plan.pop = Some(region.clone());
                self.drain(at, back, What::Region, region);
            }
            Scenario::DrainPop => {
                if let Some((pop, _)) = self.layout.pops.choose(&mut self.rng).cloned() {
                    self.plan.pop = Some(pop.clone());
                    self.drain(at, back, What::Pop, pop);
                }
            }
            Scenario::RollingRestart => self.roll(at),
            Scenario::DiskStall => {
                let sync_delay_ms = self.rng.random_range(2_000..4_000);
                let fault = FaultConfig {
                    sync_delay_ms,
                    ..FaultConfig::default()
                };
                self.inject(at, back, fault);
            }
            Scenario::DiskFull => {
                let fault = FaultConfig {
                    disk_full: true,
                    ..FaultConfig::default()
                };
                self.inject(at, back, fault);
            }
            Scenario::ClockJump => {
                let clock_offset_ms = match self.rng.random() {
                    true => HOUR_MS,
                    false => -HOUR_MS,
                };
                let fault = FaultConfig {
                    clock_offset_ms,
                    ..FaultConfig::default()
                };
                self.inject(at, back, fault);
            }
            Scenario::Storm => self.storm(at, back),
            Scenario::PowerFailure => self.power_failure(at, back),
            Scenario::Mixed => self.mix(at, away),
        }
    }

    fn region(&mut self) -> (Name, Vec<Name>) {
        let region = self.layout.regions.choose(&mut self.rng);
        region.cloned().expect("a world has regions")
    }

    fn strikes(&mut self, region: Name) {
        self.plan.region.get_or_insert(region);
    }

    /// All that could lead in the region is out for so long.
    fn strikes_leaders(&mut self, region: Name, away: Duration) {
        self.plan.takes_leaders = away >= NOTICED_AFTER;
        self.strikes(region);
    }

    /// One core node is out for so long.
    fn strikes_node(&mut self, away: Duration) -> Option<Name> {
        let (region, nodes) = self.region();
        match nodes.len() {
            1 => self.strikes_leaders(region, away),
            // Another node of the region may lead on.
            _ => self.strikes(region),
        }
        nodes.choose(&mut self.rng).cloned()
    }

    /// The first core node of the region is cut off, and watched.
    fn isolate(&mut self, region: &Name, nodes: &[Name], at: Duration, back: Duration) {
        let Some(node) = nodes.first().cloned() else {
            return;
        };
        self.plan.faulty.get_or_insert(Faulty {
            node,
            region: region.clone(),
            from: at,
            to: back,
        });
    }

    fn act(&mut self, at: Duration, act: Act) {
        self.plan.acts.push((at, act));
    }

    fn kill(&mut self, at: Duration, back: Option<Duration>, nodes: &[Name]) {
        for node in nodes {
            self.act(at, Act::Kill(node.clone()));
            match back {
                Some(back) => self.act(back, Act::Start(node.clone())),
                None => self.plan.gone.push(node.clone()),
            }
        }
    }

    /// One core node is at fault.
    fn inject(&mut self, at: Duration, back: Duration, fault: FaultConfig) {
        let (region, nodes) = self.region();
        let Some(node) = nodes.choose(&mut self.rng).cloned() else {
            return;
        };
        self.strikes(region.clone());
        self.plan.faulty.get_or_insert(Faulty {
            node: node.clone(),
            region,
            from: at,
            to: back,
        });
        self.act(at, Act::Inject(node.clone(), fault));
        self.act(back, Act::Inject(node, FaultConfig::default()));
    }

    /// The edge nodes of a PoP are gone for no longer than it takes to start them:
    /// in turns killed, so that clients notice by themselves, and stopped, so that
    /// they are told.
    fn storm(&mut self, at: Duration, end: Duration) {
        let Some((pop, nodes)) = self.layout.pops.choose(&mut self.rng).cloned() else {
            return;
        };
        self.plan.pop = Some(pop);
        let waves = std::iter::successors(Some(at), |at| Some(*at + WAVE_EVERY));
        for (n, at) in waves.take_while(|at| *at < end).enumerate() {
            for node in &nodes {
                let node = node.clone();
                self.act(
                    at,
                    match n % 2 {
                        0 => Act::Kill(node),
                        _ => Act::Stop(node),
                    },
                );
            }
            for node in &nodes {
                self.act(at, Act::Start(node.clone()));
            }
        }
    }

    /// What has not been synced is in no page cache: it is lost with the processes.
    fn power_failure(&mut self, at: Duration, back: Duration) {
        let regions = self.layout.regions.clone();
        let nodes: Vec<Name> = regions.into_iter().flat_map(|(_, nodes)| nodes).collect();
        let hanging = FaultConfig {
            sync_delay_ms: HANGING_SYNC_MS,
            ..FaultConfig::default()
        };
        for node in &nodes {
            self.act(at, Act::Inject(node.clone(), hanging));
        }
        let strike = at + HANG_FOR.min((back - at) / 2);
        self.act(strike, Act::KillAll(nodes.clone()));
        for node in nodes {
            self.act(strike, Act::Inject(node.clone(), FaultConfig::default()));
            self.act(back, Act::Start(node));
        }
    }

    fn cut(&mut self, at: Duration, back: Duration, cuts: Vec<(Name, Name)>) {
        self.act(at, Act::Cut(cuts));
        self.act(back, Act::Heal);
    }

    fn drain(&mut self, at: Duration, back: Duration, what: What, name: Name) {
        self.act(at, Act::Drain(what, name.clone()));
        self.act(back, Act::Undrain(what, name));
    }

    fn cuts_from(&self, region: &Name) -> Vec<(Name, Name)> {
        let places = self.layout.regions.iter().chain(&self.layout.pops);
        let others = places.map(|(place, _)| place).filter(|p| *p != region);
        others.map(|p| (region.clone(), p.clone())).collect()
    }

    fn cuts_between_regions(&self) -> Vec<(Name, Name)> {
        let regions = || self.layout.regions.iter().map(|(region, _)| region);
        let pairs = regions().flat_map(|a| regions().map(move |b| (a.clone(), b.clone())));
        pairs.filter(|(a, b)| a != b).collect()
    }

    fn flap(&mut self, mut at: Duration, end: Duration) {
        let (region, _) = self.region();
        let cuts = both(&self.cuts_from(&region));
        self.strikes(region);
        while at < end {
            let cut = Duration::from_millis(self.rng.random_range(300..3_000));
            let whole = Duration::from_millis(self.rng.random_range(300..3_000));
            self.cut(at, (at + cut).min(end), cuts.clone());
            at += cut + whole;
        }
    }

    fn roll(&mut self, mut at: Duration) {
        let places = self.layout.regions.iter().chain(&self.layout.pops);
        let nodes: Vec<Name> = places.flat_map(|(_, nodes)| nodes.clone()).collect();
        for node in nodes {
            self.act(at, Act::Stop(node.clone()));
            self.act(at + ROLL_AWAY, Act::Start(node));
            at += ROLL_EVERY;
        }
        self.plan.length = self.plan.length.max(at);
    }

    fn mix(&mut self, mut at: Duration, away: Duration) {
        const FAULTS: [Scenario; 12] = [
            Scenario::KillNode,
            Scenario::FreezeNode,
            Scenario::KillRegion,
            Scenario::PartitionRegion,
            Scenario::PartitionOneWay,
            Scenario::PartitionSplit,
            Scenario::Flap,
            Scenario::KillPop,
            Scenario::Storm,
            // From here on, faults must be injected.
            Scenario::DiskStall,
            Scenario::DiskFull,
            Scenario::ClockJump,
        ];
        let faults = match self.layout.takes_faults {
            true => &FAULTS[..],
            false => &FAULTS[..9],
        };
        let end = at + away;
        while at < end {
            let fault = *faults.choose(&mut self.rng).expect("not empty");
            let lasts = Duration::from_millis(self.rng.random_range(2_000..8_000));
            self.schedule(fault, at, lasts);
            // A node that came back has time to find its place.
            at += lasts + Duration::from_millis(self.rng.random_range(1_500..6_000));
        }
        // What is measured is one fault, not their sum.
        self.plan.takes_leaders = false;
        self.plan.region = None;
        self.plan.pop = None;
        self.plan.faulty = None;
        self.plan.length = self.plan.length.max(at);
    }
}

fn both(cuts: &[(Name, Name)]) -> Vec<(Name, Name)> {
    let back = cuts.iter().map(|(from, to)| (to.clone(), from.clone()));
    cuts.iter().cloned().chain(back).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn name(text: &str) -> Name {
        text.parse().expect("a name")
    }

    fn layout() -> Layout {
        let region = |r: &str| (name(r), vec![name(&format!("{r}-1"))]);
        Layout {
            regions: ["us", "eu", "ap"].map(region).into(),
            pops: ["nyc", "fra"].map(region).into(),
            takes_faults: true,
        }
    }

    const ALL: [Scenario; 19] = [
        Scenario::None,
        Scenario::KillNode,
        Scenario::FreezeNode,
        Scenario::KillRegion,
        Scenario::KillRegionForever,
        Scenario::PartitionRegion,
        Scenario::PartitionOneWay,
        Scenario::PartitionSplit,
        Scenario::Flap,
        Scenario::KillPop,
        Scenario::DrainRegion,
        Scenario::DrainPop,
        Scenario::RollingRestart,
        Scenario::DiskStall,
        Scenario::DiskFull,
        Scenario::ClockJump,
        Scenario::Storm,
        Scenario::PowerFailure,
        Scenario::Mixed,
    ];

    /// Nodes that are down and whether something is broken, after all acts.
    fn end(plan: &Plan) -> (HashSet<Name>, bool) {
        let (mut down, mut cut, mut drained) = (HashSet::new(), false, 0);
        let mut faulty = HashSet::new();
        for (_, act) in &plan.acts {
            match act {
                Act::Kill(node) | Act::Stop(node) | Act::Freeze(node) => {
                    assert!(down.insert(node.clone()))
                }
                Act::KillAll(nodes) => down.extend(nodes.clone()),
                Act::Start(node) | Act::Thaw(node) => assert!(down.remove(node)),
                Act::Cut(_) => cut = true,
                Act::Heal => cut = false,
                Act::Drain(..) => drained += 1,
                Act::Undrain(..) => drained -= 1,
                Act::Inject(node, fault) => match *fault == FaultConfig::default() {
                    true => drop(faulty.remove(node)),
                    false => drop(faulty.insert(node.clone())),
                },
            }
        }
        assert_eq!(drained, 0);
        (down, cut || !faulty.is_empty())
    }

    #[test]
    fn everything_is_healed_but_what_is_gone_for_ever() {
        for scenario in ALL {
            for seed in 0..200 {
                let plan = plan(scenario, seed, &layout(), Duration::from_secs(30));
                let (down, cut) = end(&plan);
                assert_eq!(down, plan.gone.iter().cloned().collect(), "{scenario:?}");
                assert!(!cut);
                assert!(
                    plan.acts
                        .iter()
                        .all(|(at, _)| *at >= plan.calm && *at <= plan.length)
                );
            }
        }
    }

    #[test]
    fn nothing_is_injected_where_nothing_can_be() {
        let layout = Layout {
            takes_faults: false,
            ..layout()
        };
        for seed in 0..200 {
            let plan = plan(Scenario::Mixed, seed, &layout, Duration::from_secs(60));
            assert!(!plan.injects());
        }
    }

    #[test]
    fn a_seed_has_one_schedule() {
        let plan = |seed| plan(Scenario::Mixed, seed, &layout(), Duration::from_secs(60));
        assert_eq!(plan(3), plan(3));
        assert_ne!(plan(3), plan(4));
    }
}
