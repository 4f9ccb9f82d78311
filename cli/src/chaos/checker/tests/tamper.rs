//! What a history is broken with.

use crate::chaos::history::{ClientNumber, History, LogEntry, Shown, What};

/// Does something to every replica's log.
pub fn every_log(history: &mut History, with: impl Fn(&mut Vec<LogEntry>)) {
    for replica in &mut history.replicas {
        with(&mut replica.entries);
    }
}

/// Does something to a message, wherever a log shows it.
pub fn every_shown(history: &mut History, ts: u64, with: impl Fn(&mut Shown)) {
    every_log(history, |entries| {
        for entry in entries {
            if let Some(shown) = shown(entry).filter(|shown| shown.ts == ts) {
                with(shown);
            }
        }
    });
}

pub fn shown(entry: &mut LogEntry) -> Option<&mut Shown> {
    match &mut entry.what {
        What::Posted(shown) | What::Edited(shown) => Some(shown),
        _ => None,
    }
}

/// The deliveries of one client, by their places among all.
pub fn stream(history: &History, client: ClientNumber) -> Vec<usize> {
    let all = history.deliveries.iter().enumerate();
    let own = all.filter(|(_, delivery)| delivery.client == client);
    own.map(|(place, _)| place).collect()
}

/// Where a client was given an entry.
pub fn given(history: &History, client: ClientNumber, seq: u64) -> usize {
    let mut own = stream(history, client).into_iter();
    own.find(|place| history.deliveries[*place].entry.seq == seq)
        .unwrap()
}

/// Takes an entry out of a log.
pub fn without(seq: u64) -> impl Fn(&mut Vec<LogEntry>) {
    move |entries| entries.retain(|entry| entry.seq != seq)
}
