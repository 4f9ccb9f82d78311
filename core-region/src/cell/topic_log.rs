//! Topics' logs: appending gives `seq` and `ts`.

use causeway_protocol::client::{self, entry::Kind};
use causeway_protocol::{Seq, Timestamp, Topic};

use super::tables;
use crate::consensus::TopicEntry;
use crate::state::{ReadState, Tx};
use crate::state_records::HeadRecord;
use crate::store::StoreError;

/// The end of a topic's log.
///
/// # Errors
/// [`StoreError`].
pub fn head(state: &impl ReadState, topic: Topic) -> Result<HeadRecord, StoreError> {
    Ok(state.record(&tables::head(topic))?.unwrap_or_default())
}

/// Appends an entry: the next `seq`, and a `ts` that is later than the last one
/// and not before `now_us`. `kind` is told both.
///
/// # Errors
/// [`StoreError`].
pub fn append(
    tx: &mut Tx<'_>,
    topic: Topic,
    now_us: u64,
    kind: impl FnOnce(Seq, Timestamp) -> Kind,
) -> Result<TopicEntry, StoreError> {
    let mut head = head(tx, topic)?;
    head.seq += 1;
    head.ts = now_us.max(head.ts + 1);
    let kind = kind(Seq(head.seq), Timestamp(head.ts));
    if matches!(kind, Kind::Posted(_)) {
        head.messages += 1;
        head.last_message_ts = head.ts;
    }
    let entry = client::Entry {
        seq: head.seq,
        ts: head.ts,
        messages: head.messages,
        kind: Some(kind),
    };
    tx.put(tables::entry(topic, Seq(head.seq)), &stored(&entry));
    tx.put(tables::head(topic), &head);
    Ok(TopicEntry { topic, entry })
}

/// What is kept of an entry. An edit keeps no text of its own: whoever reads it
/// later gets the message as it is then, and a deleted text is gone everywhere.
fn stored(entry: &client::Entry) -> client::Entry {
    match &entry.kind {
        Some(Kind::Edited(message)) => client::Entry {
            kind: Some(Kind::Edited(client::Message {
                channel: message.channel,
                seq: message.seq,
                ts: message.ts,
                ..client::Message::default()
            })),
            ..entry.clone()
        },
        _ => entry.clone(),
    }
}

/// Reads an entry as clients see it.
///
/// # Errors
/// [`StoreError`].
pub fn read(
    state: &impl ReadState,
    topic: Topic,
    seq: Seq,
) -> Result<Option<client::Entry>, StoreError> {
    let entry = state.record(&tables::entry(topic, seq))?;
    entry.map(|entry| complete(state, topic, entry)).transpose()
}

/// Puts the message, as it is now, into the entry of its edit.
///
/// # Errors
/// [`StoreError`].
pub fn complete(
    state: &impl ReadState,
    topic: Topic,
    mut entry: client::Entry,
) -> Result<client::Entry, StoreError> {
    if let Some(Kind::Edited(edited)) = &mut entry.kind
        && let Some(message) = message(state, topic, Seq(edited.seq))?
    {
        *edited = message;
    }
    Ok(entry)
}

/// The message that was posted at `seq`, as it is now.
///
/// # Errors
/// [`StoreError`].
pub fn message(
    state: &impl ReadState,
    topic: Topic,
    seq: Seq,
) -> Result<Option<client::Message>, StoreError> {
    let entry: Option<client::Entry> = state.record(&tables::entry(topic, seq))?;
    Ok(entry.and_then(|entry| match entry.kind {
        Some(Kind::Posted(message)) => Some(message),
        _ => None,
    }))
}

/// Changes the message that was posted at its `seq`, in place.
///
/// # Errors
/// [`StoreError`].
pub fn rewrite(tx: &mut Tx<'_>, topic: Topic, message: &client::Message) -> Result<(), StoreError> {
    let key = tables::entry(topic, Seq(message.seq));
    if let Some(mut entry) = tx.record::<client::Entry>(&key)? {
        entry.kind = Some(Kind::Posted(message.clone()));
        tx.put(key, &entry);
    }
    Ok(())
}
