//! The propagation floor: what light and distance alone cost a message.

use std::time::Duration;

use causeway_protocol::Name;
use causeway_transport::wan::WanModel;

/// The network between the places of a world, and the home of a workspace.
pub struct Floor<'a> {
    /// The emulated network; without one, the floor is zero.
    pub wan: Option<&'a WanModel>,
    /// All regions with a replica.
    pub regions: &'a [Name],
    /// The region of the leader.
    pub home: &'a Name,
}

impl Floor<'_> {
    /// From a client at `from` to a client at `to`: client to PoP, PoP to home,
    /// the quorum's round trip, home to PoP, PoP to client.
    pub fn delivery(&self, from: &Name, to: &Name) -> Duration {
        self.way(from, from)
            + self.way(from, self.home)
            + self.quorum()
            + self.way(self.home, to)
            + self.way(to, to)
    }

    /// From a client's send to its acknowledgement.
    pub fn acknowledgement(&self, from: &Name) -> Duration {
        let there = self.way(from, from) + self.way(from, self.home);
        let back = self.way(self.home, from) + self.way(from, from);
        there + self.quorum() + back
    }

    /// The round trip to the voters that complete a majority.
    fn quorum(&self) -> Duration {
        let others = self.regions.iter().filter(|region| *region != self.home);
        let mut round_trips: Vec<Duration> = others
            .map(|other| self.way(self.home, other) + self.way(other, self.home))
            .collect();
        round_trips.sort();
        let others_needed = self.regions.len() / 2;
        match others_needed {
            0 => Duration::ZERO,
            needed => round_trips.get(needed - 1).copied().unwrap_or_default(),
        }
    }

    fn way(&self, from: &Name, to: &Name) -> Duration {
        let way = self.wan.and_then(|wan| wan.one_way(from, to));
        way.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::atlas;

    #[test]
    fn the_floor_adds_up_every_way_and_the_nearest_quorum() {
        let sites = atlas::REGIONS.iter().chain(&atlas::POPS).enumerate();
        let places = sites.map(|(i, site)| {
            format!(
                "[[place]]\nname = \"{}\"\nlatitude = {:?}\nlongitude = {:?}\nnetwork = \"127.{}.1.0/24\"\n",
                site.name,
                site.latitude,
                site.longitude,
                64 + i
            )
        });
        let config = toml::from_str(&places.collect::<String>()).unwrap();
        let wan = WanModel::new(config).unwrap();
        let name = |text: &str| text.parse::<Name>().unwrap();
        let regions: Vec<Name> = atlas::REGIONS.iter().map(|s| name(s.name)).collect();
        let floor = Floor {
            wan: Some(&wan),
            regions: &regions,
            home: &name("us-east"),
        };
        let ms = |d: Duration| d.as_secs_f64() * 1e3;
        let way = |a: &str, b: &str| ms(wan.one_way(&name(a), &name(b)).unwrap());
        let expected = 0.5
            + way("gru", "us-east")
            + 2.0 * way("us-east", "eu-west")
            + way("us-east", "nrt")
            + 0.5;
        let found = ms(floor.delivery(&name("gru"), &name("nrt")));
        assert!((found - expected).abs() < 0.01, "{found} {expected}");
        let acknowledged = ms(floor.acknowledgement(&name("nyc")));
        let expected = 1.0 + 2.0 * way("nyc", "us-east") + 2.0 * way("us-east", "eu-west");
        assert!((acknowledged - expected).abs() < 0.01);
        let without = Floor { wan: None, ..floor };
        assert_eq!(without.delivery(&name("gru"), &name("nrt")), Duration::ZERO);
    }
}
