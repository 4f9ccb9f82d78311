//! Who may come in: a decision about each connection before it has cost more than its
//! first packet.
//!
//! A handshake costs a signature, and an address that has not been proven may be
//! anybody's. So an address is let in at once as long as all is calm; where many
//! handshakes are under way, or it has many, it is sent a Retry, which costs nothing and
//! proves it; and whoever is over a limit with a proven address is refused. What is not
//! proven counts for itself: nobody uses up what another's address may have.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU32;

use super::REMEMBERED_MAX;
use super::config::LimitsConfig;
use super::network::Network;
use super::rate::Keyed;

/// Of the handshakes that may be under way, addresses need not be proven for so many:
/// one in
const CALM_SHARE: u32 = 4;

/// What becomes of a connection that somebody opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Its handshake begins.
    Accept,
    /// Its address is to be proven first.
    Retry,
    /// It is not taken.
    Refuse(Reason),
}

/// Why a connection is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// There are as many connections as there may be.
    Connections,
    /// There are as many handshakes under way as there may be.
    Handshakes,
    /// Its address has as many connections as it may have.
    AddressConnections,
    /// Its address has as many handshakes under way as it may have.
    AddressHandshakes,
    /// Its address has opened too many lately.
    AddressRate,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Connections,
        Self::Handshakes,
        Self::AddressConnections,
        Self::AddressHandshakes,
        Self::AddressRate,
    ];

    /// Its name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Handshakes => "handshakes",
            Self::AddressConnections => "address_connections",
            Self::AddressHandshakes => "address_handshakes",
            Self::AddressRate => "address_rate",
        }
    }
}

/// How far a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Its handshake is under way.
    Handshake,
    /// It is there.
    Open,
}

/// What is there, in all or of one address.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Connections.
    pub open: u32,
    /// Handshakes under way.
    pub handshakes: u32,
}

impl Count {
    fn of(&mut self, stage: Stage) -> &mut u32 {
        match stage {
            Stage::Handshake => &mut self.handshakes,
            Stage::Open => &mut self.open,
        }
    }

    fn all(self) -> u32 {
        self.open.saturating_add(self.handshakes)
    }
}

/// How many connections there may be.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    connections: u32,
    handshakes: u32,
    connections_per_address: u32,
    handshakes_per_address: u32,
}

/// The connections of one listener, as far as it matters who is let in.
#[derive(Debug)]
pub struct Admission {
    bounds: Bounds,
    all: Count,
    /// Of those that are there: not more entries than connections.
    by_address: HashMap<Network, Count>,
    /// Connections that addresses have opened before and after they were proven.
    unproven: Keyed<Network>,
    proven: Keyed<Network>,
}

impl Admission {
    /// Up to `connections` at a time; the rest is as configured.
    pub fn new(connections: u32, config: &LimitsConfig) -> Self {
        let opened = || Keyed::new(config.new_connections_per_address, 1, REMEMBERED_MAX);
        Self {
            bounds: Bounds {
                connections,
                handshakes: config.handshakes,
                connections_per_address: config.connections_per_address,
                handshakes_per_address: config.handshakes_per_address,
            },
            all: Count::default(),
            by_address: HashMap::new(),
            unproven: opened(),
            proven: opened(),
        }
    }

    /// What is there.
    pub fn count(&self) -> Count {
        self.all
    }

    /// Somebody opens a connection. One that is accepted counts from now on.
    pub fn arrives(&mut self, address: IpAddr, proven: bool) -> Decision {
        let network = Network::from(address);
        let decision = self.decide(network, proven);
        if decision == Decision::Accept {
            self.all.handshakes += 1;
            self.by_address.entry(network).or_default().handshakes += 1;
        }
        decision
    }

    /// A handshake is done.
    pub fn established(&mut self, address: IpAddr) {
        self.leaves(address, Stage::Handshake);
        self.all.open += 1;
        self.by_address.entry(address.into()).or_default().open += 1;
    }

    /// A connection is over, or a handshake has failed.
    pub fn leaves(&mut self, address: IpAddr, stage: Stage) {
        let network = Network::from(address);
        let all = self.all.of(stage);
        *all = all.saturating_sub(1);
        if let Some(count) = self.by_address.get_mut(&network) {
            let of_address = count.of(stage);
            *of_address = of_address.saturating_sub(1);
            if *count == Count::default() {
                self.by_address.remove(&network);
            }
        }
    }

    fn decide(&self, network: Network, proven: bool) -> Decision {
        let (bounds, all) = (&self.bounds, self.all);
        if all.all() >= bounds.connections {
            return Decision::Refuse(Reason::Connections);
        }
        if all.handshakes >= bounds.handshakes {
            return Decision::Refuse(Reason::Handshakes);
        }
        let here = self.by_address.get(&network).copied().unwrap_or_default();
        let calm = all.handshakes < bounds.handshakes.div_ceil(CALM_SHARE)
            && here.handshakes < bounds.handshakes_per_address.div_ceil(CALM_SHARE);
        let too_many = self.too_many(here);
        if !proven {
            let one = NonZeroU32::MIN;
            let at_once = calm && too_many.is_none() && self.unproven.take(&network, one).is_ok();
            return match at_once {
                true => Decision::Accept,
                false => Decision::Retry,
            };
        }
        match too_many.or_else(|| self.too_often(network)) {
            Some(reason) => Decision::Refuse(reason),
            None => Decision::Accept,
        }
    }

    fn too_many(&self, here: Count) -> Option<Reason> {
        if here.all() >= self.bounds.connections_per_address {
            return Some(Reason::AddressConnections);
        }
        let handshakes = here.handshakes >= self.bounds.handshakes_per_address;
        handshakes.then_some(Reason::AddressHandshakes)
    }

    fn too_often(&self, network: Network) -> Option<Reason> {
        let opened = self.proven.take(&network, NonZeroU32::MIN);
        opened.is_err().then_some(Reason::AddressRate)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};
    use std::time::Duration;

    use rand::rngs::SmallRng;
    use rand::{RngExt, SeedableRng};
    use tokio::time::advance;

    use super::*;
    use crate::limits::Rate;

    const ANN: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const BEN: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

    fn config() -> LimitsConfig {
        LimitsConfig {
            handshakes: 8,
            connections_per_address: 5,
            handshakes_per_address: 4,
            new_connections_per_address: Rate::new(1, 10),
            ..LimitsConfig::default()
        }
    }

    fn admission() -> Admission {
        Admission::new(20, &config())
    }

    /// So many come in from an address, and are there.
    fn open(admission: &mut Admission, address: IpAddr, count: usize) {
        for _ in 0..count {
            assert_eq!(admission.arrives(address, true), Decision::Accept);
            admission.established(address);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_alone_comes_in_at_once() {
        let mut admission = admission();
        assert_eq!(admission.arrives(ANN, false), Decision::Accept);
        admission.established(ANN);
        assert_eq!(
            admission.count(),
            Count {
                open: 1,
                handshakes: 0
            }
        );
        admission.leaves(ANN, Stage::Open);
        assert_eq!(admission.count(), Count::default());
        assert!(admission.by_address.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn where_many_handshakes_are_under_way_addresses_are_proven_first() {
        let mut admission = admission();
        for host in 1..=2 {
            let address = Ipv4Addr::new(198, 51, 100, host).into();
            assert_eq!(admission.arrives(address, false), Decision::Accept);
        }
        assert_eq!(admission.arrives(ANN, false), Decision::Retry);
        assert_eq!(admission.arrives(ANN, true), Decision::Accept);
        for host in 3..=7 {
            let address = Ipv4Addr::new(198, 51, 100, host).into();
            assert_eq!(admission.arrives(address, true), Decision::Accept);
        }
        let full = Decision::Refuse(Reason::Handshakes);
        assert_eq!(admission.arrives(BEN, true), full);
        assert_eq!(admission.arrives(BEN, false), full);
        admission.leaves(ANN, Stage::Handshake);
        assert_eq!(admission.arrives(BEN, true), Decision::Accept);
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_with_many_handshakes_is_proven_and_then_refused() {
        let mut admission = admission();
        assert_eq!(admission.arrives(ANN, false), Decision::Accept);
        assert_eq!(admission.arrives(ANN, false), Decision::Retry);
        for _ in 0..3 {
            assert_eq!(admission.arrives(ANN, true), Decision::Accept);
        }
        let refused = Decision::Refuse(Reason::AddressHandshakes);
        assert_eq!(admission.arrives(ANN, true), refused);
        assert_eq!(admission.arrives(ANN, false), Decision::Retry);
    }

    #[tokio::test(start_paused = true)]
    async fn above_the_limit_nobody_comes_in_until_somebody_leaves() {
        let mut admission = admission();
        for host in 1..=4 {
            open(&mut admission, Ipv4Addr::new(198, 51, 100, host).into(), 5);
        }
        let full = Decision::Refuse(Reason::Connections);
        assert_eq!(admission.arrives(ANN, false), full);
        assert_eq!(admission.arrives(ANN, true), full);
        admission.leaves(Ipv4Addr::new(198, 51, 100, 2).into(), Stage::Open);
        assert_eq!(admission.arrives(ANN, false), Decision::Accept);
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_has_so_many_connections_and_others_are_unharmed() {
        let mut admission = admission();
        open(&mut admission, ANN, 5);
        let refused = Decision::Refuse(Reason::AddressConnections);
        assert_eq!(admission.arrives(ANN, true), refused);
        assert_eq!(admission.arrives(ANN, false), Decision::Retry);
        assert_eq!(admission.arrives(BEN, false), Decision::Accept);
    }

    #[tokio::test(start_paused = true)]
    async fn who_claims_an_address_takes_nothing_from_its_owner() {
        let mut admission = admission();
        for _ in 0..10 {
            assert_eq!(admission.arrives(ANN, false), Decision::Accept);
            admission.leaves(ANN, Stage::Handshake);
        }
        assert_eq!(admission.arrives(ANN, false), Decision::Retry);
        for _ in 0..10 {
            assert_eq!(admission.arrives(ANN, true), Decision::Accept);
            admission.leaves(ANN, Stage::Handshake);
        }
        let refused = Decision::Refuse(Reason::AddressRate);
        assert_eq!(admission.arrives(ANN, true), refused);
        advance(Duration::from_secs(1)).await;
        assert_eq!(admission.arrives(ANN, true), Decision::Accept);
    }

    /// Whoever has a /64 is one, and a million others leave no trace.
    #[tokio::test(start_paused = true)]
    async fn a_million_addresses_take_no_room() {
        let mut admission = admission();
        for site in 0..1_000_000u128 {
            let address = Ipv6Addr::from_bits(0x2001_0db8 << 96 | site << 64 | site);
            assert_eq!(admission.arrives(address.into(), false), Decision::Accept);
            admission.leaves(address.into(), Stage::Handshake);
        }
        assert!(admission.by_address.is_empty());
        assert_eq!(admission.unproven.remembered(), REMEMBERED_MAX);
        assert_eq!(admission.proven.remembered(), 0);
    }

    /// Whatever comes and goes, no bound is passed, and the books are right.
    #[tokio::test(start_paused = true)]
    async fn no_bound_is_ever_passed() {
        for seed in 0..200 {
            let mut rng = SmallRng::seed_from_u64(seed);
            let mut admission = admission();
            let mut there: Vec<(IpAddr, Stage)> = Vec::new();
            for _ in 0..500 {
                let address = Ipv4Addr::new(198, 51, 100, rng.random_range(0..8)).into();
                match rng.random_range(0..4) {
                    0 | 1 => {
                        if admission.arrives(address, rng.random()) == Decision::Accept {
                            there.push((address, Stage::Handshake));
                        }
                    }
                    2 if !there.is_empty() => {
                        let place = rng.random_range(0..there.len());
                        if there[place].1 == Stage::Handshake {
                            admission.established(there[place].0);
                            there[place].1 = Stage::Open;
                        }
                    }
                    _ if !there.is_empty() => {
                        let (address, stage) = there.swap_remove(rng.random_range(0..there.len()));
                        admission.leaves(address, stage);
                    }
                    _ => advance(Duration::from_secs(1)).await,
                }
                check(&admission, &there, seed);
            }
        }
    }

    fn check(admission: &Admission, there: &[(IpAddr, Stage)], seed: u64) {
        let count = |of: &dyn Fn(&(IpAddr, Stage)) -> bool| there.iter().filter(|c| of(c)).count();
        let handshakes = count(&|c| c.1 == Stage::Handshake);
        assert_eq!(admission.all.handshakes as usize, handshakes, "seed {seed}");
        assert_eq!(admission.all.all() as usize, there.len(), "seed {seed}");
        assert!(there.len() <= 20 && handshakes <= 8, "seed {seed}");
        for (address, _) in there {
            assert!(count(&|c| c.0 == *address) <= 5, "seed {seed}");
        }
    }
}
