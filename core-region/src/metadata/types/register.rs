//! A register of which the last write wins: a channel's name or topic, a field of
//! a profile, a preference.

use bytes::Bytes;
use crdts::LWWReg;

use super::stamp::Stamp;

/// The register. One that was never written is before all writes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Register(pub(super) LWWReg<Bytes, Stamp>);

impl Register {
    /// Writes, unless something later is there.
    pub fn set(&mut self, value: Bytes, stamp: Stamp) {
        self.0.update(value, stamp);
    }

    /// Takes another replica's state in.
    pub fn merge(&mut self, other: Self) {
        self.0.update(other.0.val, other.0.marker);
    }

    /// What was written last, and when; `None` if nothing ever was.
    pub fn get(&self) -> Option<(&Bytes, Stamp)> {
        let written = self.0.marker != Stamp::default();
        written.then_some((&self.0.val, self.0.marker))
    }
}
