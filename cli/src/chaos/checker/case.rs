//! A channel's case: what was asked for, what was acknowledged where, and the log.

use std::collections::HashSet;
use std::fmt;

use super::gather::{Ack, Channel, Fate};
use super::log::Log;
use crate::chaos::history::{At, ClientNumber, LogEntry, What};

/// What has a place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked<'h> {
    Message(&'h [u8]),
    /// Of the message with this `ts`.
    Edit(u64),
    /// Of the message with this `ts`.
    Deletion(u64),
}

/// The place in the log that something was acknowledged to have.
#[derive(Debug, Clone, Copy)]
pub struct Place<'h> {
    pub seq: u64,
    pub ts: u64,
    pub began: At,
    pub ended: At,
    pub client: ClientNumber,
    pub asked: Asked<'h>,
}

impl Place<'_> {
    /// Whether it is this entry's.
    pub fn is_of(&self, entry: &LogEntry) -> bool {
        let same = match (&self.asked, &entry.what) {
            (Asked::Message(id), What::Posted(shown)) => *id == shown.id,
            (Asked::Edit(ts), What::Edited(shown)) => *ts == shown.ts,
            (Asked::Deletion(ts), What::Deleted { ts: deleted }) => ts == deleted,
            _ => false,
        };
        same && (self.seq, self.ts) == (entry.seq, entry.ts)
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let client = self.client;
        match self.asked {
            Asked::Message(id) => write!(f, "client {client}'s message {}", id.escape_ascii()),
            Asked::Edit(ts) => write!(f, "client {client}'s edit of the message with ts {ts}"),
            Asked::Deletion(ts) => {
                write!(f, "client {client}'s deletion of the message with ts {ts}")
            }
        }
    }
}

/// All there is to judge a channel.
#[derive(Debug)]
pub struct Case<'h> {
    pub channel: Channel<'h>,
    pub log: Log<'h>,
    /// What was acknowledged, by `seq`.
    pub places: Vec<Place<'h>>,
    /// Every `seq` that was given to more than one.
    pub contested: HashSet<u64>,
    /// The `ts` of every acknowledged message.
    pub messages: HashSet<u64>,
    /// Up to here the log may be older than the history.
    pub earlier: u64,
}

impl<'h> Case<'h> {
    pub fn of(channel: Channel<'h>) -> Self {
        let places = places(&channel);
        let pairs = places.windows(2);
        let same = pairs.filter(|pair| pair[0].seq == pair[1].seq);
        let contested = same.map(|pair| pair[0].seq).collect();
        let is_message = |place: &&Place<'_>| matches!(place.asked, Asked::Message(_));
        let messages = places.iter().filter(is_message);
        // Whoever acts has connected before, and was told at least so much.
        let first = channel.members.iter().filter(|member| !member.joined);
        let earlier = first.map(|member| member.from_seq).min();
        Self {
            log: Log::of(&channel.replicas),
            messages: messages.map(|place| place.ts).collect(),
            contested,
            earlier: earlier.unwrap_or(0),
            places,
            channel,
        }
    }

    /// What was acknowledged to be at `seq`.
    pub fn places_at(&self, seq: u64) -> &[Place<'h>] {
        self.places_within(seq, seq)
    }

    /// What was acknowledged to be at `first` to `last`.
    pub fn places_within(&self, first: u64, last: u64) -> &[Place<'h>] {
        let from = self.places.partition_point(|place| place.seq < first);
        let to = self.places.partition_point(|place| place.seq <= last);
        &self.places[from..to.max(from)]
    }

    /// Whether an entry is what an acknowledgement says.
    pub fn is_acknowledged(&self, entry: &LogEntry) -> bool {
        let places = self.places_at(entry.seq);
        places.iter().any(|place| place.is_of(entry))
    }

    /// Whether there is something that only a log could tell.
    pub fn owes_a_log(&self) -> bool {
        let channel = &self.channel;
        !self.places.is_empty() || !channel.members.is_empty() || !channel.streams.is_empty()
    }
}

fn places<'h>(channel: &Channel<'h>) -> Vec<Place<'h>> {
    let place = |client, began, ack: Ack, asked| Place {
        seq: ack.seq,
        ts: ack.ts,
        began,
        ended: ack.at,
        client,
        asked,
    };
    let messages = channel.sends.iter().filter_map(|(id, sent)| {
        let ack = sent.first_ack()?;
        Some(place(sent.client, sent.began, ack, Asked::Message(id)))
    });
    let edits = channel.changes.iter().flat_map(|(ts, changes)| {
        changes.edits.iter().filter_map(|edit| match edit.fate {
            Fate::Acknowledged(ack) => Some(place(edit.client, edit.began, ack, Asked::Edit(*ts))),
            _ => None,
        })
    });
    let deletions = channel.changes.iter().flat_map(|(ts, changes)| {
        let deletions = changes.deletions.iter();
        deletions.filter_map(|deletion| match deletion.fate {
            Fate::Acknowledged(ack) => {
                let asked = Asked::Deletion(*ts);
                Some(place(deletion.client, deletion.began, ack, asked))
            }
            _ => None,
        })
    });
    let mut places: Vec<_> = messages.chain(edits).chain(deletions).collect();
    places.sort_by_key(|place| (place.seq, place.ended));
    places
}
