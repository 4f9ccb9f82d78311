//! What a session may ask, and its place among those of its user.

use super::meter::Meter;
use super::users::Seat;

/// A session's share; dropping it gives it back.
#[derive(Debug)]
pub struct Quota {
    pub(super) meter: Meter,
    _seat: Seat,
}

impl Quota {
    pub(super) fn new(meter: Meter, seat: Seat) -> Self {
        Self { meter, _seat: seat }
    }

    /// Whether it was refused far too often.
    pub fn has_flooded(&self) -> bool {
        self.meter.has_flooded()
    }
}
