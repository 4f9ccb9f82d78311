//! What a session has been given: each message of each channel once and in order, or
//! not. It believes the texts alone, which count the messages of a channel from 0.

use std::collections::BTreeMap;

use causeway_protocol::ChannelId;

/// Of one session.
#[derive(Debug, Default)]
pub struct Ledger {
    /// The number that comes next.
    next: BTreeMap<ChannelId, u64>,
    skipped: u64,
    duplicated: u64,
}

impl Ledger {
    /// A message has been given to the application.
    pub fn take(&mut self, channel: ChannelId, number: u64) {
        let next = self.next.entry(channel).or_default();
        if number < *next {
            self.duplicated += 1;
            return;
        }
        self.skipped += number - *next;
        *next = number + 1;
    }

    /// Whether it has been given the last of all that was posted.
    pub fn is_complete(&self, posted: &BTreeMap<ChannelId, u64>) -> bool {
        posted
            .iter()
            .all(|(channel, count)| self.has(channel) >= *count)
    }

    /// Messages that were not given when it was their turn.
    pub fn lost(&self, posted: &BTreeMap<ChannelId, u64>) -> u64 {
        let behind = posted.iter();
        let behind = behind.map(|(channel, count)| count.saturating_sub(self.has(channel)));
        self.skipped + behind.sum::<u64>()
    }

    /// Messages that were given after their turn.
    pub fn duplicated(&self) -> u64 {
        self.duplicated
    }

    fn has(&self, channel: &ChannelId) -> u64 {
        self.next.get(channel).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: ChannelId = ChannelId(1);
    const TWO: ChannelId = ChannelId(2);

    fn given(numbers: &[(ChannelId, u64)]) -> Ledger {
        let mut ledger = Ledger::default();
        for (channel, number) in numbers {
            ledger.take(*channel, *number);
        }
        ledger
    }

    fn told(ledger: &Ledger) -> (u64, u64) {
        let posted = BTreeMap::from([(ONE, 3), (TWO, 1)]);
        (ledger.lost(&posted), ledger.duplicated())
    }

    #[test]
    fn each_once_and_in_order_is_complete() {
        let ledger = given(&[(ONE, 0), (TWO, 0), (ONE, 1), (ONE, 2)]);
        assert!(ledger.is_complete(&BTreeMap::from([(ONE, 3), (TWO, 1)])));
        assert_eq!(told(&ledger), (0, 0));
    }

    #[test]
    fn whatever_is_wrong_is_counted() {
        assert_eq!(told(&given(&[])), (4, 0));
        // In the middle, and at the end of the other channel.
        assert_eq!(told(&given(&[(ONE, 0), (ONE, 2)])), (2, 0));
        let again = given(&[(ONE, 0), (ONE, 1), (ONE, 1), (ONE, 2), (TWO, 0)]);
        assert_eq!(told(&again), (0, 1));
        // What comes too late was missing when it was its turn.
        let late = given(&[(ONE, 1), (ONE, 0), (ONE, 2), (TWO, 0)]);
        assert_eq!(told(&late), (1, 1));
    }
}
