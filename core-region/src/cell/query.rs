//! Questions to a cell's state, answered by whichever replica is nearest.

use causeway_protocol::client::{self, request::Body, response::Result as Answer};
use causeway_protocol::limits::{PAGE_BYTES_MAX, PAGE_ROWS_MAX};
use causeway_protocol::{ChannelId, ErrorCode, Seq, Timestamp, Topic, UserId};
use prost::Message;

use super::access::{self, Sources, Stop, active_user};
use super::cursor::{Cursor, Kind};
use super::flannel::PREFERENCES_BYTES_MAX;
use super::page::PageOf;
use super::tables::last_u64;
use super::{messages, metadata, tables, topic_log, views};
use crate::state::{ReadState, View};
use crate::state_records::UserRecord;
use crate::store::keys::Key;
use crate::store::{StoreError, record};

/// Channels of one user that boot data has.
pub const BOOT_CHANNELS_MAX: usize = 10_000;
/// Bytes of channels that boot data has with what is said of them.
const BOOT_TEXTS_MAX: usize = PAGE_BYTES_MAX;
/// Bytes of a page with all that belongs to its messages.
const DECORATED_BYTES_MAX: usize = 3 * PAGE_BYTES_MAX;
/// How the pages of a history, and of a thread, go on.
const BY_TS: (Kind, fn(&client::Message) -> u64) = (Kind::Ts, |message| message.ts);
const BY_SEQ: (Kind, fn(&client::Message) -> u64) = (Kind::Seq, |message| message.seq);
/// Rows that a page looks at, at the most, for each row it may return.
const SCAN_FACTOR: usize = 20;

/// Answers a question of `user`.
pub fn answer(sources: Sources<'_>, user: UserId, body: &Body) -> Result<Answer, Stop> {
    // The platform fills holes from any log; it asks for nothing else.
    if !(user.is_platform() && matches!(body, Body::ReadLog(_))) {
        active_user(sources.view, user)?;
    }
    match body {
        Body::Boot(_) => Ok(Answer::Boot(boot(sources, user)?)),
        Body::ReadHistory(read) => Ok(Answer::Messages(history(sources, user, read)?)),
        Body::ReadReplies(read) => Ok(Answer::Messages(replies(sources, user, read)?)),
        Body::ReadLog(read) => Ok(Answer::Log(log(sources, user, read)?)),
        Body::ListChannels(list) => Ok(Answer::Channels(channels(sources, user, list)?)),
        Body::ListMembers(list) => Ok(Answer::Members(members(sources, user, list)?)),
        Body::ListUsers(list) => Ok(Answer::Users(users(sources, user, list)?)),
        Body::GetUser(get) => Ok(Answer::User(get_user(sources, user, UserId(get.user))?)),
        Body::GetChannel(get) => {
            let channel = get_channel(sources, user, ChannelId(get.channel))?;
            Ok(Answer::Channel(channel))
        }
        _ => {
            let answer = metadata::answer(sources, user, body)?;
            Ok(answer.ok_or(ErrorCode::UnknownMethod)?)
        }
    }
}

fn boot(sources: Sources<'_>, user: UserId) -> Result<client::BootData, Stop> {
    let view = sources.view;
    let record = active_user(view, user)?;
    let workspace = user.workspace();
    let workspace_record = access::workspace(view, workspace)?;
    // Heads first: what happens meanwhile is then told twice, and not never.
    let user_seq = topic_log::head(view, Topic::User(user))?.seq;
    let workspace_seq = topic_log::head(view, Topic::Workspace(workspace))?.seq;
    let (mut channels, mut bytes) = (Vec::new(), 0);
    for id in channels_of(sources, user, 0, BOOT_CHANNELS_MAX)? {
        let Some(mut channel) = views::read_channel(sources, user, id)? else {
            continue;
        };
        bytes += channel.encoded_len();
        if bytes > BOOT_TEXTS_MAX {
            // Whoever opens it asks for it.
            (channel.topic, channel.purpose) = (None, None);
            channel.other_purposes.clear();
        }
        channels.push(channel);
    }
    Ok(client::BootData {
        self_: Some(views::user(sources, user, &record)?),
        workspace: Some(views::workspace(workspace, &workspace_record)),
        channels,
        user_seq,
        workspace_seq,
        preferences: within_bytes(sources.metadata.preferences(user)?, PREFERENCES_BYTES_MAX),
        ..client::BootData::default()
    })
}

/// As many of the first of these as have so many bytes together.
pub fn within_bytes<T: Message>(mut rows: Vec<T>, most: usize) -> Vec<T> {
    let mut bytes = 0;
    let fits = rows.iter().take_while(|row| {
        bytes += row.encoded_len();
        bytes <= most
    });
    let fitting = fits.count();
    rows.truncate(fitting);
    rows
}

/// The channels of which `user` is a member, after the channel with this id, in the
/// order of their ids: up to `limit`.
///
/// # Errors
/// [`StoreError`].
pub fn channels_of(
    sources: Sources<'_>,
    user: UserId,
    after: u64,
    limit: usize,
) -> Result<Vec<ChannelId>, StoreError> {
    let from = tables::memberships(user).u64(after.saturating_add(1));
    let private = sources.view.scan(&from, &tables::memberships(user).end());
    let private = private.take(limit);
    let private = private.map(|row| Ok::<_, StoreError>(ChannelId(last_u64(&row?.0)?)));
    let mut channels: Vec<ChannelId> = private.collect::<Result<_, _>>()?;
    let after = (after > 0).then_some(ChannelId(after));
    channels.extend(sources.metadata.memberships(user, after, limit)?);
    channels.sort_unstable();
    channels.truncate(limit);
    Ok(channels)
}

fn history(
    sources: Sources<'_>,
    user: UserId,
    read: &client::ReadHistory,
) -> Result<client::MessagePage, Stop> {
    let (view, channel) = (sources.view, ChannelId(read.channel));
    sources.visible_channel(user, channel)?;
    let (mut first, mut end) = bounds(read);
    if let Some(at) = Cursor::read(Kind::Ts, &read.cursor)? {
        if read.oldest_first {
            first = first.max(at.saturating_add(1));
        } else {
            end = end.min(at);
        }
    }
    let from = tables::message_ts(channel, Timestamp(first));
    let to = tables::message_ts(channel, Timestamp(end.max(first)));
    let rows = if read.oldest_first {
        view.scan(&from, &to)
    } else {
        view.scan_back(&from, &to)
    };
    let mut page = PageOf::new(read.limit)?;
    let scan_most = page.limit() * SCAN_FACTOR;
    let mut last_ts = None;
    for (scanned, row) in rows.enumerate() {
        let (key, seq) = row?;
        if page.is_full() || scanned == scan_most {
            return message_page(sources, channel, page.rows, last_ts, BY_TS);
        }
        last_ts = Some(last_u64(&key)?);
        let seq = Seq(last_u64(&seq)?);
        let message = topic_log::message(view, Topic::Channel(channel), seq)?;
        let shown = |m: &client::Message| {
            !m.deleted && (read.with_replies || m.thread_ts == 0 || m.thread_ts == m.ts)
        };
        page.extend(message.filter(shown));
    }
    message_page(sources, channel, page.rows, None, BY_TS)
}

/// The first `ts` that is wanted, and the first that no longer is.
fn bounds(read: &client::ReadHistory) -> (u64, u64) {
    let one = u64::from(read.inclusive);
    let first = match read.oldest_ts {
        0 => 0,
        oldest => oldest.saturating_add(1 - one),
    };
    let end = match read.latest_ts {
        0 => u64::MAX,
        latest => latest.saturating_add(one),
    };
    (first, end)
}

/// Messages with all that belongs to them; if that is too long, the first of them. The
/// page after goes on at `next`, or at the last message that is left.
fn message_page(
    sources: Sources<'_>,
    channel: ChannelId,
    mut messages: Vec<client::Message>,
    next: Option<u64>,
    (kind, place): (Kind, fn(&client::Message) -> u64),
) -> Result<client::MessagePage, Stop> {
    metadata::decorate(sources.metadata, channel, &mut messages)?;
    let mut bytes = 0;
    let fits = messages.iter().take_while(|message| {
        bytes += message.encoded_len();
        bytes <= DECORATED_BYTES_MAX
    });
    // One message alone always fits.
    let fitting = fits.count().max(1);
    let next = match fitting < messages.len() {
        true => Some(place(&messages[fitting - 1])),
        false => next,
    };
    messages.truncate(fitting);
    Ok(client::MessagePage {
        messages,
        next_cursor: next.map(|at| Cursor::write(kind, at)).unwrap_or_default(),
    })
}

fn replies(
    sources: Sources<'_>,
    user: UserId,
    read: &client::ReadReplies,
) -> Result<client::MessagePage, Stop> {
    let (view, channel) = (sources.view, ChannelId(read.channel));
    sources.visible_channel(user, channel)?;
    let root = messages::thread_root(view, channel, Timestamp(read.thread_ts))?;
    let mut page = PageOf::new(read.limit)?;
    let root_seq = Seq(root.seq);
    let after = match Cursor::read(Kind::Seq, &read.cursor)? {
        Some(seq) => seq,
        None => {
            page.extend(Some(root));
            0
        }
    };
    let from = tables::reply(channel, root_seq, Seq(after.saturating_add(1)));
    let to = tables::replies(channel, root_seq).end();
    let mut last = after;
    for row in view.scan(&from, &to) {
        if page.is_full() {
            return message_page(sources, channel, page.rows, Some(last), BY_SEQ);
        }
        last = last_u64(&row?.0)?;
        let message = topic_log::message(view, Topic::Channel(channel), Seq(last))?;
        page.extend(message.filter(|m| !m.deleted));
    }
    message_page(sources, channel, page.rows, None, BY_SEQ)
}

fn log(
    sources: Sources<'_>,
    user: UserId,
    read: &client::ReadLog,
) -> Result<client::LogPage, Stop> {
    let view = sources.view;
    let topic = Topic::from_wire(read.topic.as_ref()).ok_or(ErrorCode::InvalidArguments)?;
    match topic {
        _ if user.is_platform() && topic.workspace() == user.workspace() => {}
        Topic::Channel(channel) => {
            sources.visible_channel(user, channel)?;
        }
        Topic::User(of) if of == user => {}
        Topic::Workspace(of) if of == user.workspace() => {}
        Topic::User(_) | Topic::Workspace(_) => return Err(ErrorCode::ChannelNotFound.into()),
    }
    let head = topic_log::head(view, topic)?;
    let last = match read.to_seq {
        0 => head.seq,
        to => to.min(head.seq),
    };
    let from = tables::entry(topic, Seq(read.from_seq));
    let to = tables::entry(topic, Seq(last.saturating_add(1)));
    let mut page = PageOf::new(PAGE_ROWS_MAX)?;
    if read.from_seq <= last {
        for row in view.scan(&from, &to) {
            if page.is_full() {
                break;
            }
            let entry = record::decode(&row?.1)?;
            page.extend(Some(topic_log::complete(view, topic, entry)?));
        }
    }
    Ok(client::LogPage {
        entries: page.rows,
        last_seq: head.seq,
    })
}

fn channels(
    sources: Sources<'_>,
    user: UserId,
    list: &client::ListChannels,
) -> Result<client::ChannelPage, Stop> {
    let mut page = PageOf::new(list.limit)?;
    let after = Cursor::read(Kind::Id, &list.cursor)?.unwrap_or(0);
    let scan_most = page.limit() * SCAN_FACTOR;
    let ids = match list.mine {
        true => channels_of(sources, user, after, scan_most + 1)?,
        false => all_channels(sources.view, user, after, scan_most + 1)?,
    };
    let mut next_cursor = String::new();
    let mut last = after;
    for (scanned, id) in ids.into_iter().enumerate() {
        if page.is_full() || scanned == scan_most {
            next_cursor = Cursor::write(Kind::Id, last);
            break;
        }
        last = id.0;
        let channel = views::read_channel(sources, user, id)?;
        page.extend(channel.filter(|c| c.is_member || !c.private));
    }
    Ok(client::ChannelPage {
        channels: page.rows,
        next_cursor,
    })
}

/// All channels of the user's workspace, likewise.
fn all_channels(
    view: &View<'_>,
    user: UserId,
    after: u64,
    limit: usize,
) -> Result<Vec<ChannelId>, StoreError> {
    let all = tables::channels(user.workspace());
    let next = tables::channel(ChannelId(after.saturating_add(1)));
    let rows = view.scan(&after_id(&all, after, next), &all.end());
    let ids = rows.take(limit);
    ids.map(|row| Ok(ChannelId(last_u64(&row?.0)?))).collect()
}

fn members(
    sources: Sources<'_>,
    user: UserId,
    list: &client::ListMembers,
) -> Result<client::MemberPage, Stop> {
    let channel = ChannelId(list.channel);
    let is_private = sources.visible_channel(user, channel)?.channel.private;
    let mut page = PageOf::new(list.limit)?;
    let after = Cursor::read(Kind::Id, &list.cursor)?.unwrap_or(0);
    let members = match is_private {
        true => private_members(sources.view, channel, after, page.limit() + 1)?,
        false => {
            let after = (after > 0).then_some(UserId(after));
            let metadata = sources.metadata;
            metadata.members(channel, after, page.limit() + 1)?
        }
    };
    let mut next_cursor = String::new();
    for member in members {
        if page.is_full() {
            let last = page.rows.last().copied().unwrap_or(after);
            next_cursor = Cursor::write(Kind::Id, last);
            break;
        }
        page.rows.push(member.0);
    }
    Ok(client::MemberPage {
        users: page.rows,
        next_cursor,
    })
}

/// Members of a private channel after the user with this id, by id: up to `limit`.
///
/// # Errors
/// [`StoreError`].
pub fn private_members(
    view: &View<'_>,
    channel: ChannelId,
    after: u64,
    limit: usize,
) -> Result<Vec<UserId>, StoreError> {
    let all = tables::members(channel);
    let next = tables::member(channel, UserId(after.saturating_add(1)));
    let rows = view.scan(&after_id(&all, after, next), &all.end());
    let ids = rows.take(limit);
    ids.map(|row| Ok(UserId(last_u64(&row?.0)?))).collect()
}

fn users(
    sources: Sources<'_>,
    user: UserId,
    list: &client::ListUsers,
) -> Result<client::UserPage, Stop> {
    let mut page = PageOf::<client::User>::new(list.limit)?;
    let after = Cursor::read(Kind::Id, &list.cursor)?.unwrap_or(0);
    let all = tables::users(user.workspace());
    let from = after_id(&all, after, tables::user(UserId(after.saturating_add(1))));
    let mut next_cursor = String::new();
    for row in sources.view.scan(&from, &all.end()) {
        let (key, value) = row?;
        if page.is_full() {
            let last = page.rows.last().map_or(after, |user| user.id);
            next_cursor = Cursor::write(Kind::Id, last);
            break;
        }
        let id = UserId(last_u64(&key)?);
        page.extend(Some(views::user(sources, id, &record::decode(&value)?)?));
    }
    Ok(client::UserPage {
        users: page.rows,
        next_cursor,
    })
}

fn get_user(sources: Sources<'_>, user: UserId, wanted: UserId) -> Result<client::User, Stop> {
    let record: Option<UserRecord> = match wanted.workspace() == user.workspace() {
        true => sources.view.record(&tables::user(wanted))?,
        false => None,
    };
    let record = record.ok_or(ErrorCode::UserNotFound)?;
    Ok(views::user(sources, wanted, &record)?)
}

fn get_channel(sources: Sources<'_>, user: UserId, id: ChannelId) -> Result<client::Channel, Stop> {
    sources.visible_channel(user, id)?;
    let channel = views::read_channel(sources, user, id)?;
    Ok(channel.ok_or(ErrorCode::ChannelNotFound)?)
}

/// Where a list goes on; a cursor from elsewhere cannot leave the list.
fn after_id(all: &Key, after: u64, next: Key) -> Key {
    match after {
        0 => all.clone(),
        _ => next.max(all.clone()),
    }
}
