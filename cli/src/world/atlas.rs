//! Places of the development world, and where they are on the globe.

/// A place: its name, degrees north, degrees east.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Site {
    /// The name.
    pub name: &'static str,
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
}

const fn site(name: &'static str, latitude: f64, longitude: f64) -> Site {
    Site {
        name,
        latitude,
        longitude,
    }
}

/// Regions: Ashburn, Dublin, Tokyo.
pub const REGIONS: [Site; 3] = [
    site("us-east", 39.04, -77.49),
    site("eu-west", 53.35, -6.26),
    site("ap-northeast", 35.68, 139.69),
];

/// PoPs: New York, Frankfurt, Narita, São Paulo.
pub const POPS: [Site; 4] = [
    site("nyc", 40.71, -74.01),
    site("fra", 50.11, 8.68),
    site("nrt", 35.77, 140.39),
    site("gru", -23.43, -46.47),
];
