//! Commands on messages: send, edit, delete.

use causeway_protocol::client::{self, entry::Kind, response};
use causeway_protocol::limits::DEDUPLICATION_HOURS;
use causeway_protocol::{ApiError, ChannelId, ErrorCode, Seq, Timestamp, Topic, UserId};

use super::access::{Stop, active_user, open_channel};
use super::machine::{Context, Done, answer};
use super::{tables, topic_log};
use crate::state::{ReadState, Tx};
use crate::state_records::{DedupRecord, Run, RunsRecord};

/// Ids are kept an hour longer than promised: clocks of leaders differ.
const DEDUP_US: u64 = (DEDUPLICATION_HOURS + 1) * 3_600 * 1_000_000;
/// Each send forgets up to this many old ids, so that they never pile up.
const FORGET_PER_SEND: usize = 4;
/// Runs of own messages that are remembered of a user in a channel; of earlier ones that
/// were not marked as read, some may count as unread.
const RUNS_MAX: usize = 8;

/// Posts a message once, however often it is sent.
pub fn send(context: &mut Context<'_, '_>, send: client::SendMessage) -> Done {
    let channel = ChannelId(send.channel);
    active_user(context.tx, context.actor)?;
    // Before the channel: who has left may still ask what became of it.
    if let Some(sent) = sent_before(context, channel, &send.client_msg_id)? {
        return answer(response::Result::Sent(sent));
    }
    open_channel(context.tx, context.actor, channel)?;
    let root = match send.thread_ts {
        0 => None,
        ts => Some(thread_root(context.tx, channel, Timestamp(ts))?),
    };

    let topic = Topic::Channel(channel);
    let actor = context.actor;
    let id = send.client_msg_id.clone();
    let posted = topic_log::append(context.tx, topic, context.now_us, |seq, ts| {
        Kind::Posted(client::Message {
            channel: channel.0,
            seq: seq.0,
            ts: ts.0,
            user: actor.0,
            text: send.text,
            thread_ts: send.thread_ts,
            client_msg_id: send.client_msg_id,
            ..client::Message::default()
        })
    })?;
    let (seq, ts) = (posted.entry.seq, posted.entry.ts);
    let index = tables::message_ts(channel, Timestamp(ts));
    context.tx.put_bytes(index, &seq.to_be_bytes());
    if let Some(root) = root {
        add_reply(context.tx, channel, root, Seq(seq), ts)?;
    }
    read_own(context.tx, channel, actor, &posted.entry)?;
    remember(context, channel, &id, seq, ts)?;
    context.entries.push(posted);
    answer(response::Result::Sent(client::Sent {
        seq,
        ts,
        duplicate: false,
    }))
}

/// Changes the text of one's own message.
pub fn edit(context: &mut Context<'_, '_>, edit: client::EditMessage) -> Done {
    active_user(context.tx, context.actor)?;
    let channel = ChannelId(edit.channel);
    let mut message = find(context, channel, Timestamp(edit.ts))?;
    if message.user != context.actor.0 {
        return Err(ErrorCode::CantUpdateMessage.into());
    }
    let topic = Topic::Channel(channel);
    let (mut seq_of_edit, mut ts_of_edit) = (0, 0);
    let edited = topic_log::append(context.tx, topic, context.now_us, |seq, ts| {
        (seq_of_edit, ts_of_edit) = (seq.0, ts.0);
        message.text = edit.text;
        message.edited_ts = ts.0;
        Kind::Edited(message.clone())
    })?;
    topic_log::rewrite(context.tx, topic, &message)?;
    context.entries.push(edited);
    answer(response::Result::Sent(client::Sent {
        seq: seq_of_edit,
        ts: ts_of_edit,
        duplicate: false,
    }))
}

/// Takes a message back: its author may, and an admin.
pub fn delete(context: &mut Context<'_, '_>, delete: client::DeleteMessage) -> Done {
    let actor = active_user(context.tx, context.actor)?;
    let channel = ChannelId(delete.channel);
    let mut message = find(context, channel, Timestamp(delete.ts))?;
    if message.user != context.actor.0 && !actor.admin {
        return Err(ErrorCode::CantDeleteMessage.into());
    }
    let topic = Topic::Channel(channel);
    message.text.clear();
    message.deleted = true;
    topic_log::rewrite(context.tx, topic, &message)?;
    if message.thread_ts != 0 {
        remove_reply(context.tx, channel, &message)?;
    }
    let by = context.actor.0;
    let deleted = topic_log::append(context.tx, topic, context.now_us, |_, _| {
        Kind::Deleted(client::Deleted {
            seq: message.seq,
            ts: message.ts,
            user: by,
        })
    })?;
    let (seq, ts) = (deleted.entry.seq, deleted.entry.ts);
    context.entries.push(deleted);
    answer(response::Result::Sent(client::Sent {
        seq,
        ts,
        duplicate: false,
    }))
}

/// The result of the first send under this id, if there was one.
fn sent_before(
    context: &Context<'_, '_>,
    channel: ChannelId,
    id: &[u8],
) -> Result<Option<client::Sent>, Stop> {
    if context.skips_dedup {
        return Ok(None);
    }
    let record = dedup(context.tx, context.actor, id, context.now_us)?;
    let Some(record) = record else {
        return Ok(None);
    };
    if record.channel != channel.0 {
        let text = "this client_msg_id was used in another channel";
        return Err(ApiError::new(ErrorCode::InvalidArguments, text).into());
    }
    Ok(Some(client::Sent {
        seq: record.seq,
        ts: record.ts,
        duplicate: true,
    }))
}

/// What is known at `now_us` of a message that the user sent under this id.
pub fn dedup(
    state: &impl ReadState,
    user: UserId,
    id: &[u8],
    now_us: u64,
) -> Result<Option<DedupRecord>, Stop> {
    let record: Option<DedupRecord> = state.record(&tables::dedup(user, id))?;
    Ok(record.filter(|record| record.at_us + DEDUP_US >= now_us))
}

/// Keeps the id for a day, and forgets ids whose day is over.
fn remember(
    context: &mut Context<'_, '_>,
    channel: ChannelId,
    id: &[u8],
    seq: u64,
    ts: u64,
) -> Result<(), Stop> {
    let (tx, actor, at_us) = (&mut *context.tx, context.actor, context.now_us);
    let expired = at_us.saturating_sub(DEDUP_US);
    let (from, to) = (tables::dedup_ages(0), tables::dedup_ages(expired));
    for (key, row) in tx.first_rows(&from, &to, FORGET_PER_SEND)? {
        tx.delete(crate::store::keys::Key::default().bytes(&key));
        tx.delete(crate::store::keys::Key::default().bytes(&row));
    }
    let key = tables::dedup(actor, id);
    // An id that is used anew must not be forgotten when its old day is over.
    if let Some(old) = tx.record::<DedupRecord>(&key)? {
        tx.delete(tables::dedup_age(old.at_us, actor, id));
    }
    let record = DedupRecord {
        seq,
        ts,
        channel: channel.0,
        at_us,
    };
    tx.put_bytes(tables::dedup_age(at_us, actor, id), &key);
    tx.put(key, &record);
    Ok(())
}

/// The message with this `ts`, for somebody who may see the channel.
fn find(
    context: &Context<'_, '_>,
    channel: ChannelId,
    ts: Timestamp,
) -> Result<client::Message, Stop> {
    open_channel(context.tx, context.actor, channel)?;
    let message = message_at(context.tx, channel, ts)?;
    match message.filter(|message| !message.deleted) {
        Some(message) => Ok(message),
        None => Err(ErrorCode::MessageNotFound.into()),
    }
}

/// The message with this `ts`, deleted or not.
pub fn message_at(
    state: &impl ReadState,
    channel: ChannelId,
    ts: Timestamp,
) -> Result<Option<client::Message>, Stop> {
    let index = state.get(&tables::message_ts(channel, ts))?;
    let seq = index.and_then(|bytes| Some(u64::from_be_bytes(bytes.try_into().ok()?)));
    match seq {
        Some(seq) => Ok(topic_log::message(
            state,
            Topic::Channel(channel),
            Seq(seq),
        )?),
        None => Ok(None),
    }
}

/// The message that a thread starts at: one that is itself no reply.
pub fn thread_root(
    state: &impl ReadState,
    channel: ChannelId,
    ts: Timestamp,
) -> Result<client::Message, Stop> {
    let root = message_at(state, channel, ts)?;
    let root = root.filter(|message| message.thread_ts == 0 || message.thread_ts == message.ts);
    Ok(root.ok_or(ErrorCode::ThreadNotFound)?)
}

fn add_reply(
    tx: &mut Tx<'_>,
    channel: ChannelId,
    mut root: client::Message,
    reply: Seq,
    ts: u64,
) -> Result<(), Stop> {
    tx.put_bytes(tables::reply(channel, Seq(root.seq), reply), &[]);
    root.reply_count += 1;
    root.latest_reply_ts = ts;
    topic_log::rewrite(tx, Topic::Channel(channel), &root)?;
    Ok(())
}

/// The thread goes on as if the reply had not been.
fn remove_reply(tx: &mut Tx<'_>, channel: ChannelId, reply: &client::Message) -> Result<(), Stop> {
    let Some(mut root) = message_at(tx, channel, Timestamp(reply.thread_ts))? else {
        return Ok(());
    };
    let topic = Topic::Channel(channel);
    let root_seq = Seq(root.seq);
    tx.delete(tables::reply(channel, root_seq, Seq(reply.seq)));
    let all = tables::replies(channel, root_seq);
    let latest = match tx.last_row(&all, &all.end())? {
        Some((key, _)) => topic_log::message(tx, topic, Seq(tables::last_u64(&key)?))?,
        None => None,
    };
    root.reply_count = root.reply_count.saturating_sub(1);
    root.latest_reply_ts = latest.map_or(0, |latest| latest.ts);
    Ok(topic_log::rewrite(tx, topic, &root)?)
}

/// Whoever had read everything has read the own message, too.
fn read_own(
    tx: &mut Tx<'_>,
    channel: ChannelId,
    user: UserId,
    entry: &client::Entry,
) -> Result<(), Stop> {
    let key = tables::runs(channel, user);
    let mut record: RunsRecord = tx.record(&key)?.unwrap_or_default();
    let before = entry.messages.saturating_sub(1);
    match record
        .runs
        .last_mut()
        .filter(|last| last.messages == before)
    {
        Some(last) => (last.messages, last.seq) = (entry.messages, entry.seq),
        None => record.runs.push(Run {
            before,
            messages: entry.messages,
            seq: entry.seq,
        }),
    }
    if record.runs.len() > RUNS_MAX {
        record.runs.remove(0);
    }
    tx.put(key, &record);
    Ok(())
}
