//! A mark that only moves forward: how far a user has read a channel.

/// The mark: the highest `seq`, and how many messages there are up to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Mark {
    /// The entry.
    pub seq: u64,
    /// Messages up to it.
    pub messages: u64,
}

impl Mark {
    /// Moves forward, or stays.
    pub fn raise(&mut self, to: Self) {
        *self = to.max(*self);
    }
}
