//! What the emulated network does to a datagram: a pure decision over the
//! configured places and links, a random number and `now`.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use causeway_protocol::Name;
use rand::RngExt;
use rand::rngs::SmallRng;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::place::Place;

/// The emulated network, as written in `wan.toml`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WanConfig {
    /// Seed of loss, jitter and reordering.
    #[serde(default)]
    pub seed: u64,
    /// Applies to every pair of places, unless a link says otherwise.
    #[serde(default, skip_serializing_if = "LinkConfig::is_default")]
    pub every_link: LinkConfig,
    /// Places; an address outside all of them is reached without emulation.
    #[serde(default, rename = "place")]
    pub places: Vec<Place>,
    /// Ways that differ, by sending and then by receiving place: each direction
    /// by itself. Absent values are those of `every_link`.
    #[serde(default, rename = "link", skip_serializing_if = "BTreeMap::is_empty")]
    pub links: BTreeMap<Name, BTreeMap<Name, LinkConfig>>,
}

/// The qualities of a link that can be set; absent = the default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkConfig {
    /// Replaces half of the round trip that follows from the distance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub one_way_ms: Option<f64>,
    /// Each datagram takes up to this much longer. Order is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jitter_ms: Option<f64>,
    /// Share of datagrams that vanish, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
    /// Share of datagrams that are overtaken by later ones, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reorder: Option<f64>,
    /// Nothing arrives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cut: Option<bool>,
}

impl LinkConfig {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// `self` where it says something, `other` elsewhere.
    pub fn or(self, other: Self) -> Self {
        Self {
            one_way_ms: self.one_way_ms.or(other.one_way_ms),
            jitter_ms: self.jitter_ms.or(other.jitter_ms),
            loss: self.loss.or(other.loss),
            reorder: self.reorder.or(other.reorder),
            cut: self.cut.or(other.cut),
        }
    }

    fn check(&self) -> Result<(), WanError> {
        let ms = |value: Option<f64>| value.is_none_or(|v| (0.0..=60_000.0).contains(&v));
        let share = |value: Option<f64>| value.is_none_or(|v| (0.0..=1.0).contains(&v));
        if !ms(self.one_way_ms) || !ms(self.jitter_ms) {
            return Err(WanError::Delay);
        }
        if !share(self.loss) || !share(self.reorder) {
            return Err(WanError::Share);
        }
        Ok(())
    }
}

/// A network that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WanError {
    /// A link names a place that is not listed.
    #[error("a link names the place `{0}`, which is not among the places")]
    UnknownPlace(Name),
    /// Two places have one name.
    #[error("the place `{0}` is listed twice")]
    DoublePlace(Name),
    /// Delays out of range.
    #[error("one_way_ms and jitter_ms are between 0 and 60000")]
    Delay,
    /// Shares out of range.
    #[error("loss and reorder are shares between 0 and 1")]
    Share,
}

/// A link with every value known.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Link {
    delay: Duration,
    jitter: Duration,
    loss: f64,
    reorder: f64,
    cut: bool,
}

/// What becomes of one datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// No emulation between these addresses: send it now.
    Direct,
    /// It arrives at this time.
    At(Instant),
    /// It never arrives.
    Lost,
}

/// The emulated network, checked and ready to decide.
#[derive(Debug, Clone)]
pub struct WanModel {
    config: WanConfig,
    /// By index of the sender's place, then of the receiver's.
    links: Vec<Vec<Link>>,
}

impl WanModel {
    /// Works out every link.
    ///
    /// # Errors
    /// A [`WanError`] says which value cannot be.
    pub fn new(config: WanConfig) -> Result<Self, WanError> {
        let mut index = HashMap::new();
        for (i, place) in config.places.iter().enumerate() {
            if index.insert(place.name.clone(), i).is_some() {
                return Err(WanError::DoublePlace(place.name.clone()));
            }
        }
        config.every_link.check()?;
        let mut special = HashMap::new();
        let find = |name: &Name| {
            let unknown = || WanError::UnknownPlace(name.clone());
            index.get(name).copied().ok_or_else(unknown)
        };
        for (from, links) in &config.links {
            for (to, link) in links {
                link.check()?;
                special.insert((find(from)?, find(to)?), link.or(config.every_link));
            }
        }
        let link = |from: usize, to: usize| {
            let set = special.get(&(from, to)).unwrap_or(&config.every_link);
            let one_way_ms = set
                .one_way_ms
                .unwrap_or_else(|| config.places[from].round_trip_ms(&config.places[to]) / 2.0);
            Link {
                delay: Duration::from_secs_f64(one_way_ms / 1e3),
                jitter: Duration::from_secs_f64(set.jitter_ms.unwrap_or(0.0) / 1e3),
                loss: set.loss.unwrap_or(0.0),
                reorder: set.reorder.unwrap_or(0.0),
                cut: set.cut.unwrap_or(false),
            }
        };
        let places = config.places.len();
        let links = (0..places)
            .map(|from| (0..places).map(|to| link(from, to)).collect())
            .collect();
        Ok(Self { config, links })
    }

    /// What the model was made of.
    pub fn config(&self) -> &WanConfig {
        &self.config
    }

    /// The place to which `address` belongs.
    pub fn place_of(&self, address: IpAddr) -> Option<&Place> {
        Some(&self.config.places[self.index_of(address)?])
    }

    /// One way from place to place; `None` when one of them is not listed.
    pub fn one_way(&self, from: &Name, to: &Name) -> Option<Duration> {
        let index = |name| self.config.places.iter().position(|p| &p.name == name);
        Some(self.links[index(from)?][index(to)?].delay)
    }

    fn index_of(&self, address: IpAddr) -> Option<usize> {
        let inside = |place: &Place| place.network.contains(address);
        self.config.places.iter().position(inside)
    }
}

/// The emulated network as one sender sees it: remembers what keeps order.
#[derive(Debug)]
pub struct Sender {
    local: IpAddr,
    rng: SmallRng,
    /// Latest arrival by receiving place, so that jitter does not reorder.
    latest: HashMap<usize, Instant>,
}

impl Sender {
    /// Sends from `local`; `rng` decides on loss, jitter and reordering.
    pub fn new(local: IpAddr, rng: SmallRng) -> Self {
        Self {
            local,
            rng,
            latest: HashMap::new(),
        }
    }

    /// Whether a datagram to `remote` may be lost or overtaken, so that each has
    /// to be decided on by itself.
    pub fn is_lossy(&self, model: &WanModel, remote: IpAddr) -> bool {
        self.link(model, remote)
            .is_some_and(|(_, link)| link.loss > 0.0 || link.reorder > 0.0)
    }

    /// Decides on a datagram to `remote`.
    pub fn send(&mut self, model: &WanModel, remote: IpAddr, now: Instant) -> Fate {
        let Some((to, link)) = self.link(model, remote) else {
            return Fate::Direct;
        };
        if link.cut || (link.loss > 0.0 && self.rng.random_bool(link.loss)) {
            return Fate::Lost;
        }
        let jitter = link.jitter.mul_f64(self.rng.random::<f64>());
        let earliest = now + link.delay + jitter;
        if link.reorder > 0.0 && self.rng.random_bool(link.reorder) {
            // Late by up to a quarter of the way, and without holding others up.
            let late = (link.delay / 4).max(Duration::from_millis(1));
            return Fate::At(earliest + late.mul_f64(self.rng.random::<f64>()));
        }
        let latest = self.latest.entry(to).or_insert(earliest);
        *latest = earliest.max(*latest);
        Fate::At(*latest)
    }

    fn link(&self, model: &WanModel, remote: IpAddr) -> Option<(usize, Link)> {
        let from = model.index_of(self.local)?;
        let to = model.index_of(remote)?;
        Some((to, model.links[from][to]))
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    const US: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 70, 1, 1));
    const EU: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 71, 1, 1));
    const ELSEWHERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn model(links: &str) -> Result<WanModel, WanError> {
        let text = format!(
            r#"
            {links}
            [[place]]
            name = "us-east"
            latitude = 39.04
            longitude = -77.49
            network = "127.70.1.0/24"
            [[place]]
            name = "eu-west"
            latitude = 53.35
            longitude = -6.26
            network = "127.71.1.0/24"
            "#
        );
        WanModel::new(toml::from_str(&text).unwrap())
    }

    fn sender(local: IpAddr) -> Sender {
        Sender::new(local, SmallRng::seed_from_u64(1))
    }

    fn delay(fate: Fate, now: Instant) -> Duration {
        match fate {
            Fate::At(at) => at - now,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn distance_delays_and_unknown_addresses_are_direct() {
        let (model, now) = (model("").unwrap(), Instant::now());
        let one_way = delay(sender(US).send(&model, EU, now), now);
        assert!((37..41).contains(&one_way.as_millis()), "{one_way:?}");
        assert_eq!(
            delay(sender(US).send(&model, US, now), now).as_micros(),
            500
        );
        assert_eq!(sender(ELSEWHERE).send(&model, EU, now), Fate::Direct);
        assert_eq!(sender(US).send(&model, ELSEWHERE, now), Fate::Direct);
    }

    #[test]
    fn a_cut_has_a_direction() {
        let link = "[link.us-east.eu-west]\ncut = true\n";
        let (model, now) = (model(link).unwrap(), Instant::now());
        assert_eq!(sender(US).send(&model, EU, now), Fate::Lost);
        assert!(matches!(sender(EU).send(&model, US, now), Fate::At(_)));
    }

    #[test]
    fn jitter_keeps_order_and_reordering_does_not() {
        let arrivals = |links| {
            let (model, now) = (model(links).unwrap(), Instant::now());
            let mut sender = sender(US);
            let step = Duration::from_micros(100);
            (0..200)
                .map(|i| delay(sender.send(&model, EU, now + step * i), now))
                .collect::<Vec<_>>()
        };
        assert!(arrivals("every_link = { jitter_ms = 5.0 }").is_sorted());
        assert!(!arrivals("every_link = { reorder = 0.1 }").is_sorted());
    }

    #[test]
    fn loss_loses_its_share_and_a_link_overrides_the_rest() {
        let lost = |links| {
            let (model, now) = (model(links).unwrap(), Instant::now());
            let mut sender = sender(US);
            (0..1000)
                .filter(|_| sender.send(&model, EU, now) == Fate::Lost)
                .count()
        };
        assert!((70..130).contains(&lost("every_link = { loss = 0.1 }")));
        let quiet = "every_link = { loss = 0.5 }\n[link.us-east.eu-west]\nloss = 0.0\n";
        assert_eq!(lost(quiet), 0);
    }

    #[test]
    fn impossible_networks_are_refused() {
        let unknown = "[link.us-east.mars]\n";
        assert!(matches!(model(unknown), Err(WanError::UnknownPlace(_))));
        assert_eq!(
            model("every_link = { loss = 1.5 }").unwrap_err(),
            WanError::Share
        );
        assert_eq!(
            model("every_link = { jitter_ms = -1.0 }").unwrap_err(),
            WanError::Delay
        );
    }

    #[test]
    fn the_configuration_round_trips() {
        let link = "[link.us-east.eu-west]\ncut = true\n";
        let model = model(link).unwrap();
        let text = toml::to_string(model.config()).unwrap();
        assert_eq!(&toml::from_str::<WanConfig>(&text).unwrap(), model.config());
    }
}
