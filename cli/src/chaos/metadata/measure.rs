//! What distance and disk alone cost a write, and what a run took beyond that.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use causeway_protocol::Name;
use causeway_transport::wan::WanModel;

use super::cast::{Cast, Part};
use super::item::{Change, Item};
use super::view::Sight;
use super::write::{Outcome, Write};
use crate::chaos::history::{At, ClientNumber};
use crate::ledger::Pair;
use crate::quantiles::{Quantiles, quantiles, quantiles_of_any};

/// Syncs that are measured.
const SYNCS: usize = 64;
/// Bytes that each of them syncs.
const SYNC_BYTES: usize = 256;
/// Two writes of one reaction within this time could be mixed up when it is seen.
const APART: Duration = Duration::from_secs(3);

/// How long a small append to a file in `folder` takes to be synced: the median.
///
/// # Errors
/// The system's.
pub fn sync_time(folder: &Path) -> std::io::Result<Duration> {
    let path = folder.join("sync-time");
    let mut file = File::create(&path)?;
    let mut times = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        file.write_all(&[7; SYNC_BYTES])?;
        let start = Instant::now();
        file.sync_data()?;
        times.push(start.elapsed());
    }
    std::fs::remove_file(path)?;
    times.sort_unstable();
    Ok(times[SYNCS / 2])
}

/// The network between the places of a world.
pub struct Ways<'a> {
    /// As emulated.
    pub model: &'a WanModel,
    /// Who is where.
    pub cast: &'a Cast,
}

impl Ways<'_> {
    /// The longest round trip between regions: nobody hears of anything sooner.
    pub fn longest_round_trip(&self) -> Duration {
        let regions = &self.cast.regions;
        let from = regions.iter();
        let pairs = from.flat_map(|from| regions.iter().map(move |to| (from, to)));
        let round_trips = pairs.map(|(from, to)| self.way(from, to) + self.way(to, from));
        round_trips.max().unwrap_or_default()
    }

    /// From a client's write to its acknowledgement: to its PoP, to the nearest region,
    /// and back.
    pub fn acknowledgement(&self, part: &Part) -> Duration {
        let (pop, region) = (&part.place, &self.cast.regions[part.region]);
        let in_pop = self.way(pop, pop) * 2;
        in_pop + self.way(pop, region) + self.way(region, pop)
    }

    /// From a client's write to another client: to its PoP, to the nearest region, to the
    /// region nearest to the other, to the other's PoP, to the other.
    pub fn delivery(&self, from: &Part, to: &Part) -> Duration {
        let regions = &self.cast.regions;
        let (first, second) = (&regions[from.region], &regions[to.region]);
        let between = match first == second {
            true => Duration::ZERO,
            false => self.way(first, second),
        };
        self.way(&from.place, &from.place)
            + self.way(&from.place, first)
            + between
            + self.way(second, &to.place)
            + self.way(&to.place, &to.place)
    }

    fn way(&self, from: &Name, to: &Name) -> Duration {
        self.model.one_way(from, to).unwrap_or_default()
    }
}

/// How much longer than the floor and one sync the acknowledgements took of writes for
/// which `counts` holds.
pub fn acknowledged_over_floor(
    ways: &Ways<'_>,
    sync: Duration,
    writes: &[Write],
    counts: impl Fn(&Write) -> bool,
) -> Option<Quantiles> {
    let counted = writes.iter().filter(|write| counts(write));
    quantiles_of_any(counted.filter_map(|write| {
        let floor = ways.acknowledgement(&ways.cast.parts[write.client]) + sync;
        Some(signed_ms(write.latency()?, floor))
    }))
}

/// A reaction on its way to a client.
pub struct Seen {
    /// Who reacted.
    pub from: ClientNumber,
    /// Who was told.
    pub to: ClientNumber,
    /// From asking to being told.
    pub latency: Duration,
}

/// When reactions of others were seen, at every client.
pub fn seen(writes: &[Write], sights: &[Vec<Sight>], began: Instant) -> Vec<Seen> {
    let mut of_item = BTreeMap::<&Item, Vec<&Write>>::new();
    for write in writes
        .iter()
        .filter(|write| matches!(write.item, Item::Reaction { .. }))
    {
        of_item.entry(&write.item).or_default().push(write);
    }
    let mut seen = Vec::new();
    for (to, sights) in sights.iter().enumerate() {
        for sight in sights {
            let at = sight.at.saturating_duration_since(began);
            let writes = of_item.get(&sight.item).map_or(&[][..], Vec::as_slice);
            seen.extend(cause(writes, at).map(|write| Seen {
                from: write.client,
                to,
                latency: at - write.began,
            }));
        }
    }
    seen
}

/// The one write that a reaction can be due to that was seen at `at`.
fn cause<'a>(writes: &[&'a Write], at: At) -> Option<&'a Write> {
    let lately = |write: &&&Write| write.began <= at && at - write.began < APART;
    let mut lately = writes.iter().filter(lately);
    let only = lately.next().filter(|_| lately.next().is_none())?;
    let is_done = matches!(only.outcome, Outcome::Acknowledged(_));
    let is_added = matches!(only.change, Change::Add(_));
    (is_done && is_added).then_some(*only)
}

/// How much longer than the floor it took until reactions were seen that were made in one
/// region, in a workspace at home in another, in a third.
pub fn seen_over_floor(ways: &Ways<'_>, seen: &[Seen]) -> Option<Quantiles> {
    let cast = ways.cast;
    let far = seen.iter().filter(|seen| {
        let (from, to) = (&cast.parts[seen.from], &cast.parts[seen.to]);
        let home = &cast.stages[from.stage].home;
        let (made, told) = (&cast.regions[from.region], &cast.regions[to.region]);
        made != home && told != home && made != told
    });
    quantiles_of_any(far.map(|seen| {
        let (from, to) = (&cast.parts[seen.from], &cast.parts[seen.to]);
        signed_ms(seen.latency, ways.delivery(from, to))
    }))
}

/// How long it took, by place.
pub fn pairs(ways: &Ways<'_>, seen: &[Seen]) -> Vec<Pair> {
    let parts = &ways.cast.parts;
    let mut by_place = BTreeMap::<(&Name, &Name), Vec<&Seen>>::new();
    for seen in seen {
        let places = (&parts[seen.from].place, &parts[seen.to].place);
        by_place.entry(places).or_default().push(seen);
    }
    let pairs = by_place.into_iter().map(|((from, to), seen)| {
        let floor = |seen: &&Seen| ways.delivery(&parts[seen.from], &parts[seen.to]);
        let floors = seen
            .iter()
            .map(floor)
            .map(|floor| signed_ms(floor, Duration::ZERO));
        Pair {
            from: from.clone(),
            to: to.clone(),
            deliveries: seen.len(),
            latency_ms: quantiles(seen.iter().map(|s| signed_ms(s.latency, Duration::ZERO))),
            floor_ms: quantiles(floors).p50,
        }
    });
    pairs.collect()
}

/// `time` less `floor`, in milliseconds.
pub fn signed_ms(time: Duration, floor: Duration) -> f64 {
    (time.as_secs_f64() - floor.as_secs_f64()) * 1e3
}

#[cfg(test)]
mod tests {
    use causeway_protocol::{ChannelId, UserId};

    use super::*;

    fn write(began_ms: u64, change: Change) -> Write {
        let began = Duration::from_millis(began_ms);
        Write {
            client: 0,
            user: UserId(1),
            region: 0,
            phase: 1,
            item: Item::Reaction {
                channel: ChannelId(1),
                ts: 5,
                emoji: "tada".into(),
                user: UserId(1),
            },
            change,
            began,
            outcome: Outcome::Acknowledged(began + Duration::from_millis(2)),
        }
    }

    #[test]
    fn a_reaction_that_may_be_due_to_two_writes_measures_nothing() {
        let added = |at| write(at, Change::Add(String::new()));
        let writes = [added(1_000), write(9_000, Change::Remove), added(10_000)];
        let start = Instant::now();
        let sight = |at_ms| Sight {
            item: writes[0].item.clone(),
            at: start + Duration::from_millis(at_ms),
        };
        let sights = vec![vec![sight(1_120), sight(10_120), sight(20_000)]];
        let latencies = seen(&writes, &sights, start).into_iter().map(|s| s.latency);
        let latencies: Vec<Duration> = latencies.collect();
        assert_eq!(latencies, [Duration::from_millis(120)]);
    }

    #[test]
    fn a_sync_takes_some_time_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        assert!(sync_time(folder.path()).unwrap() > Duration::ZERO);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
