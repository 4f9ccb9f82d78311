//! The ledger: what was sent, acknowledged and delivered, and what of it went
//! wrong. Knows nothing of how clients work; it believes only what they saw.

mod floor;

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway_protocol::{ChannelId, Name};
use serde::Serialize;

pub use self::floor::Floor;
use crate::quantiles::{Quantiles, quantiles};

/// A client, by its number.
pub type ClientNumber = usize;

/// A message under way or done.
#[derive(Debug, Clone)]
struct Sent {
    channel: ChannelId,
    sender: ClientNumber,
    at: Instant,
    outcome: Option<Outcome>,
}

#[derive(Debug, Clone, PartialEq)]
enum Outcome {
    Acknowledged {
        seq: u64,
        at: Instant,
        /// It had been posted before this replay.
        earlier: bool,
    },
    Refused,
}

#[derive(Debug, Clone)]
struct Delivery {
    seq: u64,
    id: Bytes,
    at: Instant,
}

/// Everything that clients saw.
#[derive(Debug, Default)]
pub struct Ledger {
    sent: HashMap<Bytes, Sent>,
    deliveries: HashMap<(ClientNumber, ChannelId), Vec<Delivery>>,
    delivered: u64,
    disconnects: u64,
}

/// Who was there, and how far apart.
pub struct Scene<'a> {
    /// The place of each client.
    pub places: &'a [Name],
    /// The clients that are members of each channel.
    pub members: &'a HashMap<ChannelId, Vec<ClientNumber>>,
    /// What distance alone costs the messages of a channel.
    pub floor: &'a dyn Fn(ChannelId) -> Floor<'a>,
}

/// Deliveries from one place to another.
#[derive(Debug, Clone, Serialize)]
pub struct Pair {
    /// The sender's PoP.
    pub from: Name,
    /// The receiver's PoP.
    pub to: Name,
    /// How many.
    pub deliveries: usize,
    /// From sending to delivery.
    pub latency_ms: Quantiles,
    /// What distance alone costs; the median, where homes differ.
    pub floor_ms: f64,
}

/// The ledger, added up. Field names are a contract.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Messages given to clients to send.
    pub sent: u64,
    /// Of these: acknowledged.
    pub acknowledged: u64,
    /// Of these: known from an earlier replay, so that nothing was posted.
    pub already_there: u64,
    /// Deliveries to clients.
    pub deliveries: u64,
    /// Deliveries that an acknowledged message owes and that did not come.
    pub lost: u64,
    /// Deliveries that came more than once, under one `seq` or two.
    pub duplicated: u64,
    /// Deliveries that came after a later one of their channel.
    pub out_of_order: u64,
    /// Messages that were refused for good.
    pub refused: u64,
    /// Messages without any answer, and deliveries of what was never sent.
    pub errors: u64,
    /// Connections that broke; clients connect again.
    pub disconnects: u64,
    /// Time from sending to delivery, less the floor.
    pub added_ms: Quantiles,
    /// The longest wait for an acknowledgement in each channel, less the floor.
    pub pause_ms: Quantiles,
    /// By place of sender and receiver.
    pub pairs: Vec<Pair>,
}

impl Report {
    /// Whether every message arrived once and in order.
    pub fn is_clean(&self) -> bool {
        self.lost == 0 && self.duplicated == 0 && self.out_of_order == 0
    }
}

impl Ledger {
    /// A message was given to a client.
    pub fn sent(&mut self, id: Bytes, channel: ChannelId, sender: ClientNumber, at: Instant) {
        let sent = Sent {
            channel,
            sender,
            at,
            outcome: None,
        };
        self.sent.insert(id, sent);
    }

    /// It was acknowledged; `earlier` = an earlier replay has posted it.
    pub fn acknowledged(&mut self, id: &Bytes, seq: u64, earlier: bool, at: Instant) {
        if let Some(sent) = self.sent.get_mut(id) {
            sent.outcome = Some(Outcome::Acknowledged { seq, at, earlier });
        }
    }

    /// It was refused for good.
    pub fn refused(&mut self, id: &Bytes) {
        if let Some(sent) = self.sent.get_mut(id) {
            sent.outcome = Some(Outcome::Refused);
        }
    }

    /// A client was given a message.
    pub fn delivered(
        &mut self,
        client: ClientNumber,
        channel: ChannelId,
        seq: u64,
        id: Bytes,
        at: Instant,
    ) {
        self.delivered += 1;
        let deliveries = self.deliveries.entry((client, channel)).or_default();
        deliveries.push(Delivery { seq, id, at });
    }

    /// A connection broke.
    pub fn disconnected(&mut self) {
        self.disconnects += 1;
    }

    /// Deliveries so far.
    pub fn deliveries(&self) -> u64 {
        self.delivered
    }

    /// Deliveries that acknowledged messages owe to the members of their
    /// channels.
    pub fn owed(&self, members: &HashMap<ChannelId, Vec<ClientNumber>>) -> u64 {
        let members = |sent: &Sent| members.get(&sent.channel).map_or(0, Vec::len) as u64;
        self.posted().map(|(_, sent, _)| members(sent)).sum()
    }

    /// Messages that this replay posted, and where.
    fn posted(&self) -> impl Iterator<Item = (&Bytes, &Sent, u64)> {
        self.sent
            .iter()
            .filter_map(|(id, sent)| match sent.outcome {
                Some(Outcome::Acknowledged {
                    seq,
                    earlier: false,
                    ..
                }) => Some((id, sent, seq)),
                _ => None,
            })
    }

    /// Adds everything up.
    pub fn report(&self, scene: &Scene<'_>) -> Report {
        let count = |wanted: &dyn Fn(&Sent) -> bool| {
            self.sent.values().filter(|sent| wanted(sent)).count() as u64
        };
        let acknowledged = |sent: &Sent| matches!(sent.outcome, Some(Outcome::Acknowledged { .. }));
        let already = |sent: &Sent| matches!(sent.outcome, Some(Outcome::Acknowledged { earlier, .. }) if earlier);
        let mut pairs = BTreeMap::<(Name, Name), Vec<(Duration, Duration)>>::new();
        let mut added = Vec::new();
        self.each_delivery(scene, |sent, client, delivery| {
            let (from, to) = (&scene.places[sent.sender], &scene.places[client]);
            let latency = delivery.at.saturating_duration_since(sent.at);
            let floor = (scene.floor)(sent.channel).delivery(from, to);
            added.push(signed_ms(latency, floor));
            pairs
                .entry((from.clone(), to.clone()))
                .or_default()
                .push((latency, floor));
        });
        let pairs = pairs.into_iter().map(|((from, to), times)| {
            let quantiles_of = |part: fn(&(Duration, Duration)) -> Duration| {
                quantiles(times.iter().map(|t| signed_ms(part(t), Duration::ZERO)))
            };
            Pair {
                deliveries: times.len(),
                latency_ms: quantiles_of(|(latency, _)| *latency),
                floor_ms: quantiles_of(|(_, floor)| *floor).p50,
                from,
                to,
            }
        });
        let pairs = pairs.collect();
        Report {
            sent: self.sent.len() as u64,
            acknowledged: count(&acknowledged),
            already_there: count(&already),
            deliveries: self.delivered,
            lost: self.lost(scene),
            duplicated: self.duplicated(),
            out_of_order: self.out_of_order(),
            refused: count(&|sent| sent.outcome == Some(Outcome::Refused)),
            errors: count(&|sent| sent.outcome.is_none()) + self.unheard_of(),
            disconnects: self.disconnects,
            added_ms: quantiles(added.into_iter()),
            pause_ms: self.pauses(scene),
            pairs,
        }
    }

    /// The first delivery of each message to each client, beside its sending.
    fn each_delivery(
        &self,
        scene: &Scene<'_>,
        mut with: impl FnMut(&Sent, ClientNumber, &Delivery),
    ) {
        for ((client, channel), deliveries) in &self.deliveries {
            let member = scene.members.get(channel);
            if !member.is_some_and(|members| members.contains(client)) {
                continue;
            }
            for delivery in deliveries {
                if let Some(sent) = self.sent.get(&delivery.id) {
                    with(sent, *client, delivery);
                }
            }
        }
    }

    fn lost(&self, scene: &Scene<'_>) -> u64 {
        let mut lost = 0;
        for (id, sent, seq) in self.posted() {
            for client in scene.members.get(&sent.channel).into_iter().flatten() {
                let deliveries = self.deliveries.get(&(*client, sent.channel));
                let came = deliveries.is_some_and(|deliveries| {
                    // Seqs are in order, unless something else is counted as wrong.
                    let found = deliveries.binary_search_by_key(&seq, |d| d.seq);
                    match found {
                        Ok(place) => deliveries[place].id == *id,
                        Err(_) => deliveries.iter().any(|d| d.seq == seq && d.id == *id),
                    }
                });
                lost += u64::from(!came);
            }
        }
        lost
    }

    fn duplicated(&self) -> u64 {
        let mut duplicated = 0;
        for deliveries in self.deliveries.values() {
            let mut ids: Vec<&Bytes> = deliveries.iter().map(|d| &d.id).collect();
            ids.sort();
            duplicated += ids.windows(2).filter(|pair| pair[0] == pair[1]).count() as u64;
        }
        duplicated
    }

    fn out_of_order(&self) -> u64 {
        let wrong = |deliveries: &Vec<Delivery>| {
            let pairs = deliveries.windows(2);
            pairs.filter(|pair| pair[1].seq <= pair[0].seq).count() as u64
        };
        self.deliveries.values().map(wrong).sum()
    }

    /// Deliveries of what nobody sent, or what was refused.
    fn unheard_of(&self) -> u64 {
        let strange = |delivery: &&Delivery| {
            let sent = self.sent.get(&delivery.id);
            sent.is_none_or(|sent| sent.outcome == Some(Outcome::Refused))
        };
        let deliveries = self.deliveries.values().flatten();
        deliveries.filter(strange).count() as u64
    }

    fn pauses(&self, scene: &Scene<'_>) -> Quantiles {
        let mut longest = HashMap::<ChannelId, f64>::new();
        for sent in self.sent.values() {
            let Some(Outcome::Acknowledged { at, .. }) = sent.outcome else {
                continue;
            };
            let from = &scene.places[sent.sender];
            let waited = at.saturating_duration_since(sent.at);
            let pause = signed_ms(waited, (scene.floor)(sent.channel).acknowledgement(from));
            let known = longest.entry(sent.channel).or_insert(pause);
            *known = known.max(pause);
        }
        quantiles(longest.into_values())
    }
}

/// `time` less `floor`, in milliseconds.
fn signed_ms(time: Duration, floor: Duration) -> f64 {
    (time.as_secs_f64() - floor.as_secs_f64()) * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANNEL: ChannelId = ChannelId(7);

    struct Case {
        ledger: Ledger,
        start: Instant,
    }

    impl Case {
        /// Three messages, acknowledged as seq 1 to 3.
        fn new() -> Self {
            let mut case = Self {
                ledger: Ledger::default(),
                start: Instant::now(),
            };
            for seq in 1..=3 {
                let at = case.at(seq);
                case.ledger.sent(id(seq), CHANNEL, 0, at);
                case.ledger.acknowledged(&id(seq), seq, false, at + ms(5));
            }
            case
        }

        fn at(&self, seq: u64) -> Instant {
            self.start + ms(seq * 100)
        }

        fn deliver(&mut self, client: ClientNumber, seqs: &[u64]) {
            for seq in seqs {
                let at = self.at(*seq) + ms(10);
                self.ledger.delivered(client, CHANNEL, *seq, id(*seq), at);
            }
        }

        fn report(&self) -> Report {
            let here: Name = "nyc".parse().unwrap();
            let places = [here.clone(), here.clone()];
            let members = HashMap::from([(CHANNEL, vec![0, 1])]);
            self.ledger.report(&Scene {
                places: &places,
                members: &members,
                floor: &|_| Floor {
                    wan: None,
                    regions: &[],
                    home: &here,
                },
            })
        }
    }

    fn id(n: u64) -> Bytes {
        Bytes::copy_from_slice(&n.to_be_bytes())
    }

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn a_clean_run_is_clean() {
        let mut case = Case::new();
        case.deliver(0, &[1, 2, 3]);
        case.deliver(1, &[1, 2, 3]);
        let report = case.report();
        assert!(report.is_clean());
        assert_eq!(
            (report.sent, report.acknowledged, report.deliveries),
            (3, 3, 6)
        );
        assert_eq!(report.added_ms.p50, 10.0);
        assert_eq!(report.pause_ms.max, 5.0);
        assert_eq!(report.pairs[0].deliveries, 6);
    }

    #[test]
    fn each_planted_fault_is_found() {
        let mut lost = Case::new();
        lost.deliver(0, &[1, 2, 3]);
        lost.deliver(1, &[1, 3]);
        assert_eq!(lost.report().lost, 1);

        let mut twice = Case::new();
        twice.deliver(0, &[1, 2, 3]);
        twice.deliver(1, &[1, 2, 2, 3]);
        let report = twice.report();
        assert_eq!((report.duplicated, report.lost), (1, 0));

        let mut swapped = Case::new();
        swapped.deliver(0, &[1, 2, 3]);
        swapped.deliver(1, &[2, 1, 3]);
        let report = swapped.report();
        assert_eq!((report.out_of_order, report.lost), (1, 0));

        let mut posted_twice = Case::new();
        posted_twice.deliver(0, &[1, 2, 3]);
        posted_twice.deliver(1, &[1, 2, 3]);
        let at = posted_twice.at(9);
        posted_twice.ledger.delivered(1, CHANNEL, 9, id(1), at);
        assert_eq!(posted_twice.report().duplicated, 1);

        let mut other = Case::new();
        other.deliver(0, &[1, 2, 3]);
        other.deliver(1, &[1, 2]);
        let at = other.at(3);
        other.ledger.delivered(1, CHANNEL, 3, id(77), at);
        let report = other.report();
        assert_eq!((report.lost, report.errors), (1, 1));
    }

    #[test]
    fn what_was_there_already_owes_nothing() {
        let mut case = Case::new();
        case.deliver(0, &[1, 2, 3]);
        case.deliver(1, &[1, 2, 3]);
        let at = case.at(4);
        case.ledger.sent(id(4), CHANNEL, 0, at);
        case.ledger.acknowledged(&id(4), 2, true, at);
        let report = case.report();
        assert!(report.is_clean());
        assert_eq!((report.acknowledged, report.already_there), (4, 1));
    }

    #[test]
    fn what_is_never_answered_is_an_error_and_what_is_refused_is_refused() {
        let mut case = Case::new();
        let at = case.at(4);
        case.ledger.sent(id(4), CHANNEL, 0, at);
        case.ledger.sent(id(5), CHANNEL, 0, at);
        case.ledger.refused(&id(5));
        let report = case.report();
        assert_eq!((report.errors, report.refused), (1, 1));
    }
}
