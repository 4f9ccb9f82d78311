//! Faults that can be planted into any history that has what they need.

use std::time::Duration;

use super::builder::{CHANNEL, author};
use super::tamper::{every_log, every_shown, shown, stream};
use crate::chaos::history::{
    At, Call, ClientNumber, History, LogEntry, Operation, Outcome, Shown, What,
};

/// Plants a fault somewhere; `None` if there is no place for it.
pub type Plant = fn(&mut History, usize) -> Option<()>;

pub const FAULTS: [(&str, Plant); 15] = [
    ("a lost message", lost),
    ("an entry that one replica lacks", lost_on_one),
    ("a message stored again", stored_again),
    ("another text", another_text),
    ("another place", another_place),
    ("an operation against time", against_time),
    ("a delivery that is missing", undelivered),
    ("a delivery that comes again", delivered_again),
    ("deliveries in disorder", swapped),
    ("a delivery from somebody else", by_another),
    ("a delivery of another text", garbled),
    ("a refused message", refused),
    ("a message that nobody has sent", unsent),
    ("a replica that differs", differing),
    ("a read of the past", stale),
];

const LATE: At = Duration::from_secs(3_600);

fn pick<T>(items: impl IntoIterator<Item = T>, n: usize) -> Option<T> {
    let mut items: Vec<_> = items.into_iter().collect();
    let place = n.checked_rem(items.len())?;
    Some(items.swap_remove(place))
}

/// A message that the logs have.
fn message(history: &History, n: usize, which: impl Fn(&Shown) -> bool) -> Option<Shown> {
    let posted = |entry: &LogEntry| match &entry.what {
        What::Posted(shown) => Some(shown.clone()),
        _ => None,
    };
    let messages = history.replicas[0].entries.iter().filter_map(posted);
    pick(messages.filter(|shown| which(shown)), n)
}

fn is_sent_as(call: &Call, message: &Shown) -> bool {
    matches!(call, Call::Send { id, .. } if *id == message.id)
}

fn lost(history: &mut History, n: usize) -> Option<()> {
    let is_acknowledged = |shown: &Shown| {
        let operations = history.operations.iter();
        let mut sends = operations.filter(|o| is_sent_as(&o.call, shown));
        sends.any(|o| matches!(o.outcome, Outcome::Acknowledged { .. }))
    };
    let lost = message(history, n, is_acknowledged)?;
    every_log(history, |entries| entries.retain(|e| e.seq != lost.seq));
    Some(())
}

fn lost_on_one(history: &mut History, n: usize) -> Option<()> {
    let entries = &mut history.replicas[n % 3].entries;
    entries.remove(n % entries.len());
    Some(())
}

fn stored_again(history: &mut History, n: usize) -> Option<()> {
    let again = message(history, n, |_| true)?;
    every_log(history, |entries| {
        let mut last = entries.last().expect("there are messages").clone();
        (last.seq, last.ts) = (last.seq + 1, last.ts + 1);
        let again = Shown {
            seq: last.seq,
            ts: last.ts,
            ..again.clone()
        };
        last.what = What::Posted(again);
        entries.push(last);
    });
    Some(())
}

fn another_text(history: &mut History, n: usize) -> Option<()> {
    let message = message(history, n, |_| true)?;
    every_shown(history, message.ts, |shown| shown.text.push('!'));
    Some(())
}

fn another_place(history: &mut History, n: usize) -> Option<()> {
    let outcomes = history.operations.iter_mut().map(|o| &mut o.outcome);
    let seqs = outcomes.filter_map(|outcome| match outcome {
        Outcome::Acknowledged { seq, .. } => Some(seq),
        _ => None,
    });
    *pick(seqs, n)? += 1;
    Some(())
}

fn against_time(history: &mut History, _: usize) -> Option<()> {
    let acknowledged = history.operations.iter().filter_map(|o| match o.outcome {
        Outcome::Acknowledged { seq, .. } => Some(seq),
        _ => None,
    });
    let (least, most) = (acknowledged.clone().min()?, acknowledged.max()?);
    if least == most {
        return None;
    }
    for operation in &mut history.operations {
        match &mut operation.outcome {
            Outcome::Acknowledged { at, seq, .. } if *seq == least => {
                (operation.began, *at) = (LATE, LATE);
            }
            // It might have been this one that stored it.
            Outcome::Unknown => operation.began = LATE,
            _ => {}
        }
    }
    Some(())
}

/// A delivery to a member, by its place.
fn delivery(history: &History, n: usize) -> Option<usize> {
    let all = history.deliveries.iter().enumerate();
    let member = |client: ClientNumber| history.memberships.iter().any(|m| m.client == client);
    let places = all.filter(|(_, delivery)| member(delivery.client));
    pick(places.map(|(place, _)| place), n)
}

fn undelivered(history: &mut History, n: usize) -> Option<()> {
    let place = delivery(history, n)?;
    history.deliveries.remove(place);
    Some(())
}

fn delivered_again(history: &mut History, n: usize) -> Option<()> {
    let again = history.deliveries[delivery(history, n)?].clone();
    history.deliveries.push(again);
    Some(())
}

fn swapped(history: &mut History, n: usize) -> Option<()> {
    let stream = stream(history, 0);
    let pair = pick(stream.windows(2), n)?;
    history.deliveries.swap(pair[0], pair[1]);
    Some(())
}

fn delivered_message(history: &mut History, n: usize) -> Option<&mut Shown> {
    let deliveries = history.deliveries.iter_mut();
    pick(deliveries.filter_map(|d| shown(&mut d.entry)), n)
}

fn by_another(history: &mut History, n: usize) -> Option<()> {
    delivered_message(history, n)?.author = author(77);
    Some(())
}

fn garbled(history: &mut History, n: usize) -> Option<()> {
    delivered_message(history, n)?.text.push('!');
    Some(())
}

fn refused(history: &mut History, n: usize) -> Option<()> {
    let message = message(history, n, |_| true)?;
    let operations = history.operations.iter_mut();
    for operation in operations.filter(|o| is_sent_as(&o.call, &message)) {
        let code = "not_in_channel".into();
        operation.outcome = Outcome::Refused { at: LATE, code };
    }
    Some(())
}

fn unsent(history: &mut History, n: usize) -> Option<()> {
    let message = message(history, n, |_| true)?;
    history
        .operations
        .retain(|o| !is_sent_as(&o.call, &message));
    Some(())
}

fn differing(history: &mut History, n: usize) -> Option<()> {
    let entries = &mut history.replicas[n % 3].entries;
    pick(entries.iter_mut(), n)?.ts += 1;
    Some(())
}

/// A member that has been given everything reads something older.
fn stale(history: &mut History, n: usize) -> Option<()> {
    let newest = |shown: &Shown| !shown.deleted && shown.thread_ts == 0;
    let all = history.replicas[0].entries.iter();
    let newest = all.filter_map(|entry| match &entry.what {
        What::Posted(shown) if newest(shown) => Some(entry.seq),
        _ => None,
    });
    let newest = newest.max().unwrap_or(0);
    let past = message(history, n, |shown| shown.seq != newest)?;
    history.operations.push(Operation {
        client: 0,
        channel: CHANNEL,
        call: Call::Read,
        began: LATE,
        outcome: Outcome::Seen {
            at: LATE,
            last_seq: past.seq,
            page: vec![past],
        },
    });
    Some(())
}
