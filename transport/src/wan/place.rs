//! Places on the globe, and the networks by which they are recognised.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use causeway_protocol::Name;
use serde::{Deserialize, Serialize};

const EARTH_RADIUS_KM: f64 = 6_371.0;
const LIGHT_KM_PER_MS: f64 = 299.792_458;
/// Fibre carries light at two thirds of its speed …
const FIBRE: f64 = 2.0 / 3.0;
/// … along cables 1.4 times as long as the great circle …
const DETOUR: f64 = 1.4;
/// … and the last miles add this to a round trip.
const LAST_MILES_MS: f64 = 1.0;

/// Where something stands: a region, a PoP, or a city with clients.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The name that links refer to.
    pub name: Name,
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
    /// Addresses that belong to this place.
    pub network: Network,
}

impl Place {
    /// Milliseconds of a round trip between two places, from their distance.
    pub fn round_trip_ms(&self, other: &Self) -> f64 {
        2.0 * self.distance_km(other) / (LIGHT_KM_PER_MS * FIBRE) * DETOUR + LAST_MILES_MS
    }

    fn distance_km(&self, other: &Self) -> f64 {
        let (a, b) = (self.latitude.to_radians(), other.latitude.to_radians());
        let half = |degrees: f64| (degrees.to_radians() / 2.0).sin().powi(2);
        let h = half(other.latitude - self.latitude)
            + a.cos() * b.cos() * half(other.longitude - self.longitude);
        2.0 * EARTH_RADIUS_KM * h.sqrt().min(1.0).asin()
    }
}

/// An IPv4 network such as `127.70.1.0/24`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    address: u32,
    bits: u8,
}

impl Network {
    /// Whether `address` is inside.
    pub fn contains(self, address: IpAddr) -> bool {
        let IpAddr::V4(address) = address.to_canonical() else {
            return false;
        };
        (u32::from(address) ^ self.address) & self.mask() == 0
    }

    fn mask(self) -> u32 {
        u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0)
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not an IPv4 network such as 127.70.1.0/24");
        let (address, bits) = text.split_once('/').ok_or_else(wrong)?;
        let address: Ipv4Addr = address.parse().map_err(|_| wrong())?;
        let bits: u8 = bits.parse().map_err(|_| wrong())?;
        if bits > 32 {
            return Err(wrong());
        }
        let network = Self {
            address: address.into(),
            bits,
        };
        if u32::from(address) & !network.mask() != 0 {
            return Err(format!("`{text}` has bits set beyond its prefix"));
        }
        Ok(network)
    }
}

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.address), self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str, latitude: f64, longitude: f64) -> Place {
        Place {
            name: name.parse().unwrap(),
            latitude,
            longitude,
            network: "127.70.1.0/24".parse().unwrap(),
        }
    }

    #[test]
    fn round_trips_follow_the_great_circle() {
        let dublin = place("eu-west", 53.35, -6.26);
        let ashburn = place("us-east", 39.04, -77.49);
        let tokyo = place("ap-northeast", 35.68, 139.69);
        assert_eq!(dublin.round_trip_ms(&dublin), 1.0);
        // 5,450 km and 9,590 km.
        assert!((75.0..80.0).contains(&dublin.round_trip_ms(&ashburn)));
        assert!((132.0..139.0).contains(&dublin.round_trip_ms(&tokyo)));
        assert_eq!(tokyo.round_trip_ms(&dublin), dublin.round_trip_ms(&tokyo));
    }

    #[test]
    fn networks_contain_their_addresses() {
        let network: Network = "127.70.1.0/24".parse().unwrap();
        assert!(network.contains("127.70.1.9".parse().unwrap()));
        assert!(network.contains("::ffff:127.70.1.9".parse().unwrap()));
        assert!(!network.contains("127.70.2.9".parse().unwrap()));
        assert!(!network.contains("::1".parse().unwrap()));
        let all: Network = "0.0.0.0/0".parse().unwrap();
        assert!(all.contains("1.2.3.4".parse().unwrap()));
        assert_eq!(network.to_string(), "127.70.1.0/24");
    }

    #[test]
    fn wrong_networks_are_refused() {
        for text in ["", "1.2.3.4", "1.2.3.4/33", "1.2.3.4/24", "::/0", "x/8"] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }
}
