//! One direction of the emulated link: which packet is lost, and when each of the
//! others comes out. A decision over packets and `now`.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use causeway_transport::wan::{Fate, LinkConfig, Place, Sender, WanConfig, WanModel};
use clap::ValueEnum;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use serde::Serialize;

/// Packets that are under way; more are dropped, as by a router.
const PACKETS_MAX: usize = 8_192;

/// What the link is like, the same both ways.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conditions {
    /// There and back.
    pub round_trip: Duration,
    /// Of a thousand packets, so many are lost each way.
    pub loss_permille: u32,
    /// Of what is left to chance.
    pub seed: u64,
}

/// An end of the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum End {
    /// Where the edge node is.
    Near,
    /// Where the client is.
    Far,
}

impl End {
    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::Near => Self::Far,
            Self::Far => Self::Near,
        }
    }

    /// Its address.
    pub fn address(self) -> Ipv4Addr {
        match self {
            Self::Near => Ipv4Addr::new(10, 77, 0, 1),
            Self::Far => Ipv4Addr::new(10, 77, 0, 2),
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Near => "near",
            Self::Far => "far",
        }
    }
}

/// What went in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// All packets.
    pub packets: u64,
    /// Those that chance took.
    pub lost: u64,
    /// Those for which there was no room.
    pub overflowed: u64,
}

/// One direction.
pub struct Link {
    model: WanModel,
    sender: Sender,
    to: IpAddr,
    /// In the order in which they come out.
    under_way: VecDeque<(Instant, Box<[u8]>)>,
    counts: Counts,
}

impl Link {
    /// The direction from this end.
    ///
    /// # Errors
    /// Conditions that cannot be.
    pub fn new(from: End, conditions: Conditions) -> anyhow::Result<Self> {
        let rng = SmallRng::seed_from_u64(conditions.seed.wrapping_add(from as u64));
        Ok(Self {
            model: model(conditions)?,
            sender: Sender::new(from.address().into(), rng),
            to: from.other().address().into(),
            under_way: VecDeque::new(),
            counts: Counts::default(),
        })
    }

    /// A packet goes in.
    pub fn take(&mut self, packet: &[u8], now: Instant) {
        self.counts.packets += 1;
        let at = match self.sender.send(&self.model, self.to, now) {
            Fate::Lost => {
                self.counts.lost += 1;
                return;
            }
            Fate::At(at) => at,
            Fate::Direct => now,
        };
        if self.under_way.len() >= PACKETS_MAX {
            self.counts.overflowed += 1;
            return;
        }
        self.under_way.push_back((at, packet.into()));
    }

    /// The next packet that has come out by `now`.
    pub fn due(&mut self, now: Instant) -> Option<Box<[u8]>> {
        if self.deadline()? > now {
            return None;
        }
        self.under_way.pop_front().map(|(_, packet)| packet)
    }

    /// When [`due`](Self::due) has something next; `None` = after a packet.
    pub fn deadline(&self) -> Option<Instant> {
        self.under_way.front().map(|(at, _)| *at)
    }

    /// What has gone in so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }
}

/// The emulated WAN of a world, with two places of one address each.
fn model(conditions: Conditions) -> anyhow::Result<WanModel> {
    let place = |end: End| {
        let network = format!("{}/32", end.address());
        anyhow::Ok(Place {
            name: end.name().parse()?,
            latitude: 0.0,
            longitude: 0.0,
            network: network.parse().map_err(anyhow::Error::msg)?,
        })
    };
    Ok(WanModel::new(WanConfig {
        every_link: LinkConfig {
            one_way_ms: Some(conditions.round_trip.as_secs_f64() * 1e3 / 2.0),
            loss: Some(f64::from(conditions.loss_permille) / 1e3),
            ..LinkConfig::default()
        },
        places: vec![place(End::Near)?, place(End::Far)?],
        ..WanConfig::default()
    })?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE_WAY: Duration = Duration::from_millis(50);

    fn link(loss_permille: u32) -> Link {
        let conditions = Conditions {
            round_trip: 2 * ONE_WAY,
            loss_permille,
            seed: 7,
        };
        Link::new(End::Near, conditions).unwrap()
    }

    #[test]
    fn packets_come_out_in_order_half_a_round_trip_later() {
        let (mut link, now) = (link(0), Instant::now());
        let step = Duration::from_millis(1);
        link.take(b"one", now);
        link.take(b"two", now + step);
        assert_eq!(link.deadline(), Some(now + ONE_WAY));
        assert_eq!(link.due(now + ONE_WAY - step), None);
        assert_eq!(link.due(now + ONE_WAY).as_deref(), Some(&b"one"[..]));
        assert_eq!(link.due(now + ONE_WAY), None);
        assert_eq!(link.due(now + 2 * ONE_WAY).as_deref(), Some(&b"two"[..]));
        assert_eq!(link.deadline(), None);
    }

    #[test]
    fn its_share_is_lost_and_the_same_with_the_same_seed() {
        let lost = || {
            let (mut link, now) = (link(20), Instant::now());
            for _ in 0..10_000 {
                link.take(b"packet", now);
                link.due(now + ONE_WAY);
            }
            link.counts().lost
        };
        assert!((150..250).contains(&lost()), "{}", lost());
        assert_eq!(lost(), lost());
    }

    #[test]
    fn what_is_under_way_has_a_bound() {
        let (mut link, now) = (link(0), Instant::now());
        for _ in 0..PACKETS_MAX + 3 {
            link.take(b"packet", now);
        }
        let counts = link.counts();
        assert_eq!((counts.overflowed, counts.lost), (3, 0));
        let out = std::iter::from_fn(|| link.due(now + ONE_WAY)).count();
        assert_eq!(out, PACKETS_MAX);
    }

    #[test]
    fn a_link_that_cannot_be_is_refused() {
        let conditions = Conditions {
            round_trip: ONE_WAY,
            loss_permille: 1_001,
            seed: 0,
        };
        assert!(Link::new(End::Near, conditions).is_err());
    }
}
