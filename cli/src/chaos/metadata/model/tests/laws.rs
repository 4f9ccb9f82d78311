//! Replicas that do what the rules say, on a clock of their own, in three regions that
//! are whole, then alone: whatever they come to, the model allows; and what they do not
//! come to it forbids, if times leave nothing open.

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use super::*;

const REGIONS: usize = 3;

/// What happened to one item, and who knew of what.
struct World {
    rng: SmallRng,
    item: Item,
    now: u64,
    done: Vec<Done>,
}

struct Done {
    written: Written,
    at: u64,
    /// What the replica that took it knew, by number.
    knew: Vec<usize>,
}

impl World {
    fn new(seed: u64, item: Item) -> Self {
        Self {
            rng: SmallRng::seed_from_u64(seed),
            item,
            now: 1_000,
            done: Vec::new(),
        }
    }

    /// What a replica knows by now: in the calm, what is older than a while.
    fn known(&self, region: RegionNumber, phase: PhaseNumber) -> Vec<usize> {
        let knows = |done: &Done| {
            let is_own = done.written.region == Some(region);
            let has_come = phase == CALM && done.at + 80 <= self.now;
            is_own || has_come || done.written.phase < phase
        };
        let numbers = 0..self.done.len();
        numbers.filter(|n| knows(&self.done[*n])).collect()
    }

    /// A write takes up to 60 ms to get there and as long to be answered, if `slow`.
    fn write(&mut self, phase: PhaseNumber, slow: bool) {
        self.now += self.rng.random_range(1..60);
        let region = self.rng.random_range(0..REGIONS);
        let knew = self.known(region, phase);
        let text = format!("{}", self.done.len());
        let changes = match self.item {
            Item::Member { .. } => vec![Change::Join, Change::Leave],
            Item::Pin { .. } => vec![add(&text), Change::Remove],
            _ => vec![set(&text)],
        };
        let change = changes.choose(&mut self.rng).unwrap().clone();
        let is_there = is_there(&self.done, &knew);
        let takes = match change {
            Change::Join | Change::Add(_) => !is_there,
            Change::Leave | Change::Remove => is_there,
            _ => true,
        };
        if !takes {
            return;
        }
        let mut way = || {
            if slow {
                self.rng.random_range(0..60)
            } else {
                0
            }
        };
        let (there, back) = (way(), way());
        let times = (self.now.saturating_sub(there), self.now + back);
        let mut written = wrote((region, phase), times, &self.item, change);
        if slow && self.rng.random_ratio(1, 10) {
            written = unanswered(written);
        }
        let at = self.now;
        self.done.push(Done { written, at, knew });
        // Of two that come to a replica, one is first.
        self.now += 1;
    }

    fn run(&mut self, slow: bool) {
        for phase in [CALM, SPLIT] {
            for _ in 0..6 {
                self.write(phase, slow);
            }
            // All are answered, and everybody knows of everything.
            self.now += 1_000;
        }
    }

    fn shown(&self) -> Vec<String> {
        let all: Vec<usize> = (0..self.done.len()).collect();
        match self.item {
            Item::Member { .. } => match is_there(&self.done, &all) {
                true => texts(&["x"]),
                false => Vec::new(),
            },
            Item::Pin { .. } => latest(&self.done, &left(&self.done, &all)),
            Item::Topic(_) => latest(&self.done, &all),
            _ => {
                let mut kept = left(&self.done, &all);
                kept.sort_unstable_by_key(|n| std::cmp::Reverse(self.done[*n].at));
                let texts = kept.iter().filter_map(|n| self.done[*n].written.text());
                texts.map(str::to_owned).collect()
            }
        }
    }

    fn rules(&self, shown: &[String]) -> Vec<Rule> {
        let writes: Vec<Written> = self.done.iter().map(|done| done.written.clone()).collect();
        let shown: Vec<&str> = shown.iter().map(String::as_str).collect();
        broken(&writes, &self.item, &shown)
    }
}

/// Additions, of those known, that nobody has undone or replaced.
fn left(done: &[Done], known: &[usize]) -> Vec<usize> {
    let is_text = |n: &usize| done[*n].written.text().is_some();
    let is_undone = |n: &usize| {
        known.iter().any(|other| {
            let ends = !matches!(done[*other].written.change, Change::Join);
            ends && done[*other].knew.contains(n)
        })
    };
    let known = known.iter().copied();
    known.filter(|n| is_text(n) && !is_undone(n)).collect()
}

fn latest(done: &[Done], of: &[usize]) -> Vec<String> {
    let latest = of.iter().max_by_key(|n| done[**n].at);
    let text = latest.and_then(|n| done[*n].written.text());
    text.map(str::to_owned).into_iter().collect()
}

fn is_there(done: &[Done], known: &[usize]) -> bool {
    let of = |change: Change| {
        let known = known.iter().copied();
        known.filter(move |n| done[*n].written.change == change)
    };
    let known_to_any = |n: usize, change| of(change).any(|other| done[other].knew.contains(&n));
    let is_out = of(Change::Leave).any(|d| !known_to_any(d, Change::Join));
    let is_in = of(Change::Join).any(|j| !known_to_any(j, Change::Leave));
    !left(done, known).is_empty() || (is_in && !is_out)
}

fn items() -> [Item; 4] {
    [
        Item::Pin {
            channel: channel(1),
            ts: 5,
        },
        Item::Member {
            channel: channel(1),
            user: user(1),
        },
        Item::Topic(channel(1)),
        Item::Purpose(channel(1)),
    ]
}

#[test]
fn what_the_rules_lead_to_is_allowed() {
    for item in items() {
        for seed in 0..2_000 {
            for slow in [true, false] {
                let mut world = World::new(seed, item.clone());
                world.run(slow);
                let shown = world.shown();
                assert_eq!(world.rules(&shown), [], "seed {seed}, {item:?}");
            }
        }
    }
}

#[test]
fn what_they_do_not_lead_to_is_not() {
    for item in items() {
        let (mut tried, mut caught) = (0, 0);
        for seed in 0..2_000 {
            let mut world = World::new(seed, item.clone());
            world.run(false);
            let shown = world.shown();
            for other in others(&world, &shown) {
                tried += 1;
                caught += usize::from(!world.rules(&other).is_empty());
            }
        }
        // Clocks a few milliseconds apart, and what arrives in the calm, stay open.
        assert!(caught * 100 > tried * 95, "{caught} of {tried}, {item:?}");
    }
}

/// What could be shown instead.
fn others(world: &World, shown: &[String]) -> Vec<Vec<String>> {
    let mut others = vec![Vec::new()];
    match &world.item {
        Item::Member { .. } => others.push(texts(&["x"])),
        item => {
            for text in world.done.iter().filter_map(|done| done.written.text()) {
                others.push(texts(&[text]));
                if matches!(item, Item::Purpose(_)) {
                    others.push([shown, &texts(&[text])].concat());
                }
            }
        }
    }
    others.retain(|other| other != shown);
    others
}
