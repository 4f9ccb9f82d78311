//! Reads: a client sees at least what it has seen, written and been given. What a
//! read shows is the newest message that is neither a reply nor deleted; so each
//! read is held against every state that the log has gone through.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};

use super::Rule;
use super::case::Case;
use super::gather::Reading;
use super::log::Log;
use super::page;
use super::verdict::Findings;
use crate::chaos::history::{At, ClientNumber, What};

/// Which message was the newest, while the log ended where.
struct Newest {
    /// By the message's `seq`: first and last end of the log.
    spans: HashMap<u64, Vec<(u64, u64)>>,
}

impl Newest {
    fn of(log: &Log<'_>) -> Self {
        let mut spans = HashMap::<u64, Vec<(u64, u64)>>::new();
        let mut shown = BTreeSet::new();
        let (mut newest, mut since) = (0, 0);
        for entry in &log.entries {
            match &entry.what {
                What::Posted(message) if message.thread_ts == 0 => {
                    shown.insert(entry.seq);
                }
                What::Deleted { ts } => {
                    let message = log.message(*ts);
                    message.map(|message| shown.remove(&message.seq));
                }
                _ => {}
            }
            let now = shown.last().copied().unwrap_or(0);
            if now != newest {
                spans
                    .entry(newest)
                    .or_default()
                    .push((since, entry.seq - 1));
                (newest, since) = (now, entry.seq);
            }
        }
        spans.entry(newest).or_default().push((since, u64::MAX));
        Self { spans }
    }

    /// The first end of the log, `from` or later, at which a read shows this.
    fn first_end(&self, last_seq: u64, from: u64) -> Option<u64> {
        let spans = self.spans.get(&last_seq)?;
        let span = spans.get(spans.partition_point(|(_, last)| *last < from))?;
        Some(span.0.max(from))
    }
}

/// Up to where a client knows the log, and what from.
#[derive(Default)]
struct Known {
    own: u64,
    read: u64,
    delivered: u64,
}

impl Known {
    fn all(&self) -> [(Rule, u64, &'static str); 3] {
        [
            (Rule::ReadMissedOwn, self.own, "it had written"),
            (Rule::ReadWentBack, self.read, "it had read"),
            (
                Rule::ReadMissedDelivered,
                self.delivered,
                "it had been given",
            ),
        ]
    }
}

pub fn check(case: &Case<'_>, findings: &mut Findings) {
    if case.channel.reads.is_empty() {
        return;
    }
    let newest = Newest::of(&case.log);
    let mut readers = BTreeMap::<ClientNumber, Vec<Reading<'_>>>::new();
    for reading in &case.channel.reads {
        // A page may be empty although there is something.
        if reading.last_seq > 0 {
            readers.entry(reading.client).or_default().push(*reading);
        }
    }
    for (client, mut readings) in readers {
        readings.sort_by_key(|reading| reading.began);
        check_reader(case, &newest, client, &readings, findings);
    }
}

fn check_reader(
    case: &Case<'_>,
    newest: &Newest,
    client: ClientNumber,
    readings: &[Reading<'_>],
    findings: &mut Findings,
) {
    let mut own = own(case, client).into_iter().peekable();
    let mut delivered = delivered(case, client).into_iter().peekable();
    let mut ends = BinaryHeap::new();
    let mut known = Known::default();
    for reading in readings {
        while let Some((_, seq)) = own.next_if(|(at, _)| *at < reading.began) {
            known.own = known.own.max(seq);
        }
        while let Some((_, seq)) = delivered.next_if(|(at, _)| *at < reading.began) {
            known.delivered = known.delivered.max(seq);
        }
        while let Some(Reverse((ended, end))) = ends.peek().copied()
            && ended < reading.began
        {
            ends.pop();
            known.read = known.read.max(end);
        }
        let all = known.all();
        let from = all.iter().map(|(_, from, _)| *from).max().unwrap_or(0);
        page::check(case, reading, from, findings);
        if let Some(end) = newest.first_end(reading.last_seq, from) {
            ends.push(Reverse((reading.ended, end)));
            continue;
        }
        let mut broken = all.iter();
        let broken =
            broken.find(|(_, from, _)| newest.first_end(reading.last_seq, *from).is_none());
        let Some((rule, from, how)) = broken else {
            continue;
        };
        let nowhere = newest.first_end(reading.last_seq, 0).is_none();
        let rule = if nowhere { Rule::Phantom } else { *rule };
        findings.add(rule, || {
            let (channel, seq) = (case.channel.id, reading.last_seq);
            let (began, ended) = (reading.began, reading.ended);
            let read = format!(
                "client {client} in channel {channel}: a read from {began:?} to {ended:?} \
                 showed seq {seq} as the newest message"
            );
            match nowhere {
                true => format!("{read}; the log never had it as such"),
                false => format!("{read}; {how} the log up to seq {from}, where it is not"),
            }
        });
    }
}

/// When the client knew of its own entries, and which.
fn own(case: &Case<'_>, client: ClientNumber) -> Vec<(At, u64)> {
    let own = case.places.iter().filter(|place| place.client == client);
    let mut own: Vec<_> = own.map(|place| (place.ended, place.seq)).collect();
    own.sort_unstable();
    own
}

/// When the client was given entries, and which.
fn delivered(case: &Case<'_>, client: ClientNumber) -> Vec<(At, u64)> {
    let stream = case.channel.streams.get(&client);
    let stream = stream.into_iter().flatten();
    // Others are reported, and no measure.
    let logged = stream.filter(|delivery| case.log.get(delivery.entry.seq).is_some());
    let mut delivered: Vec<_> = logged.map(|d| (d.at, d.entry.seq)).collect();
    delivered.sort_unstable();
    delivered
}
