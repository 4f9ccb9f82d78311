//! The scenarios: what is done to the world while metadata is written. A pure decision
//! over the world's layout and a seed.

use std::time::Duration;

use causeway_core_region::faults::FaultConfig;
use causeway_protocol::Name;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use super::judge::Why;
use super::model::Phase;
use super::write::{PhaseNumber, RegionNumber};
use crate::chaos::scenario::{Act, Layout};

/// What is written first, undisturbed, and known everywhere before anything happens.
pub const CALM: Duration = Duration::from_secs(8);
/// How long a killed core is away.
const AWAY: Duration = Duration::from_secs(3);
/// The clock of a core is wrong by so much.
const HOUR_MS: i64 = 3_600_000;

/// Phases are numbered from the time before the run on.
pub const CALM_PHASE: PhaseNumber = 1;
/// In which the regions are cut off from one another, if they are.
pub const MAIN_PHASE: PhaseNumber = 2;

/// A named schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// Nothing happens.
    None,
    /// All regions are cut off from one another.
    Split,
    /// The same, and each core is killed once, and started again.
    Kill,
    /// The same, and one core comes back with an empty disk.
    Wipe,
    /// A core dies with what only it has, is declared gone, and comes back.
    Forget,
    /// The clock of one core is an hour ahead while the regions are cut off.
    Clock,
}

impl Scenario {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "metadata-none",
            Self::Split => "metadata-split",
            Self::Kill => "metadata-kill",
            Self::Wipe => "metadata-wipe",
            Self::Forget => "metadata-forget",
            Self::Clock => "metadata-clock",
        }
    }

    /// Seconds of the main phase, if nothing else is asked for.
    pub fn default_seconds(self) -> u64 {
        match self {
            Self::Split => 60,
            _ => 30,
        }
    }
}

/// Something that is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// To the world, as the suite of messages does it.
    World(Act),
    /// The disk of a core that is dead is emptied.
    Wipe(Name),
    /// A core is declared gone.
    Forget(Name),
    /// It counts again.
    Count(Name),
}

/// Something that is done, and when after the beginning of its phase.
pub type Due = (Duration, Deed);

/// A phase in which clients write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Done before anybody writes.
    pub first: Vec<Deed>,
    /// Done meanwhile, in order.
    pub deeds: Vec<Due>,
    /// How long clients write.
    pub length: Duration,
    /// Whether replicas can talk to one another.
    pub connected: bool,
}

/// A schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The phases after the calm.
    pub parts: Vec<Part>,
    /// Done when nobody writes any more; then all replicas are to become equal.
    pub last: Vec<Deed>,
    /// The core whose disk, clock or standing is at fault, and its region.
    pub struck: Option<(Name, RegionNumber)>,
    /// What that excuses, of writes in its region in the main phase.
    pub excuse: Option<Why>,
    /// How long clients write after the calm.
    pub length: Duration,
}

impl Plan {
    /// The phases of the run, as the model counts them.
    pub fn phases(&self) -> Vec<Phase> {
        let before = [true, true].map(|connected| Phase {
            connected,
            settled: true,
        });
        let parts = self.parts.iter().enumerate().map(|(n, part)| Phase {
            connected: part.connected,
            settled: n == 0,
        });
        before.into_iter().chain(parts).collect()
    }

    /// Whether it takes a world into which faults can be injected.
    pub fn injects(&self) -> bool {
        let parts = self.parts.iter();
        let mut deeds = parts.flat_map(|part| {
            let meanwhile = part.deeds.iter().map(|(_, deed)| deed);
            part.first.iter().chain(meanwhile)
        });
        deeds.any(|deed| matches!(deed, Deed::World(Act::Inject(..))))
    }
}

/// The schedule of `scenario`, with a main phase of `length`; `near` tells the region
/// that each PoP is nearest to.
pub fn plan(
    scenario: Scenario,
    seed: u64,
    layout: &Layout,
    near: &[(Name, RegionNumber)],
    length: Duration,
) -> Plan {
    let mut rng = SmallRng::seed_from_u64(seed);
    let numbers: Vec<RegionNumber> = (0..layout.regions.len()).collect();
    let region = *numbers.choose(&mut rng).expect("a world has regions");
    let core = layout.regions[region].1.choose(&mut rng).cloned();
    let struck = core.map(|core| (core, region));
    let cut = Deed::World(Act::Cut(cuts(layout, near)));
    let heal = Deed::World(Act::Heal);
    let split = Part {
        first: vec![cut],
        deeds: Vec::new(),
        length,
        connected: false,
    };
    let whole = Plan {
        parts: vec![split],
        last: vec![heal.clone()],
        struck: None,
        excuse: None,
        length,
    };
    let Some((core, _)) = struck.clone().filter(|_| scenario.strikes_one()) else {
        return match scenario {
            Scenario::None => undisturbed(whole),
            Scenario::Kill => with_kills(whole, layout, &mut rng),
            _ => whole,
        };
    };
    let mut plan = Plan { struck, ..whole };
    let (kill, start) = (Act::Kill(core.clone()), Act::Start(core.clone()));
    let (kill, start) = (Deed::World(kill), Deed::World(start));
    let main = &mut plan.parts[0];
    match scenario {
        Scenario::Wipe => {
            let (third, wipe) = (length / 3, Deed::Wipe(core));
            main.deeds = vec![(third, kill), (third, wipe), (third, start)];
            plan.excuse = Some(Why::DiskWiped);
        }
        Scenario::Forget => {
            main.length = length / 3;
            main.deeds = vec![(length / 3, kill)];
            plan.parts.push(Part {
                first: vec![heal, Deed::Forget(core.clone())],
                deeds: Vec::new(),
                length: length - length / 3,
                connected: true,
            });
            plan.last = vec![start, Deed::Count(core)];
            plan.excuse = Some(Why::NotCounted);
        }
        _ => {
            // A process keeps its time when the system's clock jumps, and has nobody to ask
            // while it is cut off: only one that starts then believes what it is told.
            let wrong = |clock_offset_ms| {
                let fault = FaultConfig {
                    clock_offset_ms,
                    ..FaultConfig::default()
                };
                Deed::World(Act::Inject(core.clone(), fault))
            };
            main.first.push(wrong(HOUR_MS));
            main.deeds = vec![(length / 4, kill), (length / 4, start)];
            plan.last.insert(0, wrong(0));
            plan.excuse = Some(Why::WrongClock);
        }
    }
    plan
}

impl Scenario {
    fn strikes_one(self) -> bool {
        matches!(self, Self::Wipe | Self::Forget | Self::Clock)
    }
}

fn undisturbed(mut plan: Plan) -> Plan {
    plan.parts[0].first.clear();
    plan.parts[0].connected = true;
    plan.last.clear();
    plan
}

/// One core after another, in an order of its own, and none while another is away; the
/// last has time to come back.
fn with_kills(mut plan: Plan, layout: &Layout, rng: &mut SmallRng) -> Plan {
    let regions = layout.regions.iter();
    let mut cores: Vec<Name> = regions.flat_map(|(_, cores)| cores.clone()).collect();
    for n in (1..cores.len()).rev() {
        cores.swap(n, rng.random_range(0..=n));
    }
    let turns = u32::try_from(cores.len())
        .unwrap_or(u32::MAX)
        .saturating_add(2);
    let turn = plan.length / turns;
    let away = AWAY.min(turn / 2);
    let times = std::iter::successors(Some(turn), |at| Some(*at + turn));
    for (core, at) in cores.into_iter().zip(times) {
        let deeds = &mut plan.parts[0].deeds;
        deeds.push((at, Deed::World(Act::Kill(core.clone()))));
        deeds.push((at + away, Deed::World(Act::Start(core))));
    }
    plan
}

/// Regions cannot talk to one another; a PoP can talk to the region that is nearest to
/// it, and to nobody else.
fn cuts(layout: &Layout, near: &[(Name, RegionNumber)]) -> Vec<(Name, Name)> {
    let regions = layout.regions.iter().enumerate();
    let regions = regions.map(|(n, (region, _))| (region, n));
    let pops = near.iter().map(|(pop, region)| (pop, *region));
    let places: Vec<(&Name, RegionNumber)> = regions.chain(pops).collect();
    let is_pop = |place: &Name| near.iter().any(|(pop, _)| pop == place);
    let mut cuts = Vec::new();
    for (from, from_region) in &places {
        for (to, to_region) in &places {
            let is_allowed = from_region == to_region && !(is_pop(from) && is_pop(to));
            if from != to && !is_allowed {
                cuts.push(((*from).clone(), (*to).clone()));
            }
        }
    }
    cuts
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn layout() -> Layout {
        let region = |r: &str| (name(r), vec![name(&format!("{r}-1"))]);
        Layout {
            regions: ["us", "eu", "ap"].map(region).into(),
            pops: ["nyc", "gru", "fra"].map(region).into(),
            takes_faults: true,
        }
    }

    fn near() -> Vec<(Name, RegionNumber)> {
        vec![(name("nyc"), 0), (name("gru"), 0), (name("fra"), 1)]
    }

    const ALL: [Scenario; 6] = [
        Scenario::None,
        Scenario::Split,
        Scenario::Kill,
        Scenario::Wipe,
        Scenario::Forget,
        Scenario::Clock,
    ];

    fn plan_of(scenario: Scenario, seed: u64) -> Plan {
        plan(scenario, seed, &layout(), &near(), Duration::from_secs(30))
    }

    #[test]
    fn a_pop_reaches_its_own_region_and_nobody_else() {
        let cuts: BTreeSet<(Name, Name)> = cuts(&layout(), &near()).into_iter().collect();
        let is_cut = |a: &str, b: &str| {
            let there = cuts.contains(&(name(a), name(b)));
            assert_eq!(there, cuts.contains(&(name(b), name(a))));
            there
        };
        assert!(!is_cut("nyc", "us") && !is_cut("gru", "us") && !is_cut("fra", "eu"));
        for (a, b) in [("nyc", "gru"), ("nyc", "eu"), ("us", "eu"), ("fra", "ap")] {
            assert!(is_cut(a, b), "{a} {b}");
        }
    }

    /// In order: all deeds of a run.
    fn deeds(plan: &Plan) -> Vec<Deed> {
        let mut deeds = Vec::new();
        for part in &plan.parts {
            deeds.extend(part.first.clone());
            deeds.extend(part.deeds.iter().map(|(_, deed)| deed.clone()));
        }
        deeds.extend(plan.last.clone());
        deeds
    }

    #[test]
    fn everything_is_well_at_the_end() {
        for scenario in ALL {
            for seed in 0..50 {
                let plan = plan_of(scenario, seed);
                let (mut down, mut gone) = (BTreeSet::new(), BTreeSet::new());
                let (mut cut, mut wrong) = (false, false);
                for deed in deeds(&plan) {
                    match deed {
                        Deed::World(Act::Cut(_)) => cut = true,
                        Deed::World(Act::Heal) => cut = false,
                        Deed::World(Act::Kill(core)) => assert!(down.insert(core)),
                        Deed::World(Act::Start(core)) => assert!(down.remove(&core)),
                        Deed::World(Act::Inject(_, fault)) => {
                            wrong = fault != FaultConfig::default();
                        }
                        Deed::World(act) => panic!("{act:?}"),
                        Deed::Wipe(core) => assert!(down.contains(&core)),
                        Deed::Forget(core) => assert!(gone.insert(core)),
                        Deed::Count(core) => assert!(gone.remove(&core)),
                    }
                }
                assert!(down.is_empty() && gone.is_empty() && !cut && !wrong);
                for part in &plan.parts {
                    assert!(part.deeds.is_sorted_by_key(|(at, _)| *at));
                    assert!(part.deeds.iter().all(|(at, _)| *at <= part.length));
                }
            }
        }
    }

    #[test]
    fn a_seed_has_one_schedule() {
        assert_eq!(plan_of(Scenario::Kill, 3), plan_of(Scenario::Kill, 3));
        let orders: BTreeSet<String> = (0..20)
            .map(|seed| format!("{:?}", plan_of(Scenario::Kill, seed).parts))
            .collect();
        assert!(orders.len() > 1);
    }

    #[test]
    fn only_what_was_cut_off_is_told_of_as_such() {
        let connected = |scenario| {
            let phases = plan_of(scenario, 1).phases().into_iter();
            phases.map(|phase| phase.connected).collect::<Vec<_>>()
        };
        assert_eq!(connected(Scenario::None), [true, true, true]);
        assert_eq!(connected(Scenario::Split), [true, true, false]);
        assert_eq!(connected(Scenario::Forget), [true, true, false, true]);
    }
}
