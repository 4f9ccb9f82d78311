//! Questions to a cell's state, answered by whichever replica is nearest.

use causeway_protocol::client::{self, request::Body, response::Result as Answer};
use causeway_protocol::limits::{PAGE_BYTES_MAX, PAGE_ROWS_DEFAULT, PAGE_ROWS_MAX};
use causeway_protocol::{ApiError, ChannelId, ErrorCode, Seq, Timestamp, Topic, UserId};
use prost::Message;

use super::access::{self, Stop, active_user, visible_channel};
use super::cursor::{Cursor, Kind};
use super::tables::last_u64;
use super::{messages, tables, topic_log, views};
use crate::state::{ReadState, View};
use crate::state_records::{ChannelRecord, MemberRecord, UserRecord};
use crate::store::keys::Key;
use crate::store::{StoreError, record};

/// Rows that a page looks at, at the most, for each row it may return.
const SCAN_FACTOR: usize = 20;

/// Answers a question of `user`.
pub fn answer(view: &View<'_>, user: UserId, body: Body) -> Result<Answer, Stop> {
    // The platform fills holes from any log; it asks for nothing else.
    if !(user.is_platform() && matches!(body, Body::ReadLog(_))) {
        active_user(view, user)?;
    }
    match body {
        Body::Boot(_) => Ok(Answer::Boot(boot(view, user)?)),
        Body::ReadHistory(read) => Ok(Answer::Messages(history(view, user, &read)?)),
        Body::ReadReplies(read) => Ok(Answer::Messages(replies(view, user, &read)?)),
        Body::ReadLog(read) => Ok(Answer::Log(log(view, user, &read)?)),
        Body::ListChannels(list) => Ok(Answer::Channels(channels(view, user, &list)?)),
        Body::ListMembers(list) => Ok(Answer::Members(members(view, user, &list)?)),
        Body::ListUsers(list) => Ok(Answer::Users(users(view, user, &list)?)),
        Body::GetUser(get) => Ok(Answer::User(get_user(view, user, UserId(get.user))?)),
        Body::GetChannel(get) => {
            let channel = get_channel(view, user, ChannelId(get.channel))?;
            Ok(Answer::Channel(channel))
        }
        _ => Err(ErrorCode::UnknownMethod.into()),
    }
}

fn boot(view: &View<'_>, user: UserId) -> Result<client::BootData, Stop> {
    let record = active_user(view, user)?;
    let workspace = user.workspace();
    let workspace_record = access::workspace(view, workspace)?;
    // Heads first: what happens meanwhile is then told twice, and not never.
    let user_seq = topic_log::head(view, Topic::User(user))?.seq;
    let workspace_seq = topic_log::head(view, Topic::Workspace(workspace))?.seq;
    let mut channels = Vec::new();
    for id in channels_of(view, user, Seq(0).0) {
        channels.extend(views::read_channel(view, user, id?)?);
    }
    Ok(client::BootData {
        self_: Some(views::user(user, &record)),
        workspace: Some(views::workspace(workspace, &workspace_record)),
        channels,
        user_seq,
        workspace_seq,
    })
}

/// The channels of which `user` is a member, after channel number `after`.
fn channels_of<'a>(
    view: &'a View<'_>,
    user: UserId,
    after: u64,
) -> impl Iterator<Item = Result<ChannelId, StoreError>> + 'a {
    let from = tables::memberships(user).u64(after);
    let rows = view.scan(&from, &tables::memberships(user).end());
    rows.map(|row| Ok(ChannelId(last_u64(&row?.0)?)))
}

fn history(
    view: &View<'_>,
    user: UserId,
    read: &client::ReadHistory,
) -> Result<client::MessagePage, Stop> {
    let channel = ChannelId(read.channel);
    visible_channel(view, user, channel)?;
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
    let scan_most = page.limit * SCAN_FACTOR;
    let mut last_ts = None;
    for (scanned, row) in rows.enumerate() {
        let (key, seq) = row?;
        if page.is_full() || scanned == scan_most {
            return Ok(message_page(page.rows, last_ts));
        }
        last_ts = Some(last_u64(&key)?);
        let seq = Seq(last_u64(&seq)?);
        let message = topic_log::message(view, Topic::Channel(channel), seq)?;
        let shown = |m: &client::Message| {
            !m.deleted && (read.with_replies || m.thread_ts == 0 || m.thread_ts == m.ts)
        };
        page.extend(message.filter(shown));
    }
    Ok(message_page(page.rows, None))
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

fn message_page(messages: Vec<client::Message>, next: Option<u64>) -> client::MessagePage {
    client::MessagePage {
        messages,
        next_cursor: next
            .map(|at| Cursor::write(Kind::Ts, at))
            .unwrap_or_default(),
    }
}

fn replies(
    view: &View<'_>,
    user: UserId,
    read: &client::ReadReplies,
) -> Result<client::MessagePage, Stop> {
    let channel = ChannelId(read.channel);
    visible_channel(view, user, channel)?;
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
            let next_cursor = Cursor::write(Kind::Seq, last);
            return Ok(client::MessagePage {
                messages: page.rows,
                next_cursor,
            });
        }
        last = last_u64(&row?.0)?;
        let message = topic_log::message(view, Topic::Channel(channel), Seq(last))?;
        page.extend(message.filter(|m| !m.deleted));
    }
    Ok(message_page(page.rows, None))
}

fn log(view: &View<'_>, user: UserId, read: &client::ReadLog) -> Result<client::LogPage, Stop> {
    let topic = Topic::from_wire(read.topic.as_ref()).ok_or(ErrorCode::InvalidArguments)?;
    match topic {
        _ if user.is_platform() && topic.workspace() == user.workspace() => {}
        Topic::Channel(channel) => {
            visible_channel(view, user, channel)?;
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
    view: &View<'_>,
    user: UserId,
    list: &client::ListChannels,
) -> Result<client::ChannelPage, Stop> {
    let mut page = PageOf::new(list.limit)?;
    let after = Cursor::read(Kind::Id, &list.cursor)?.unwrap_or(0);
    let ids: Box<dyn Iterator<Item = Result<ChannelId, StoreError>>> = if list.mine {
        Box::new(channels_of(view, user, after.saturating_add(1)))
    } else {
        let all = tables::channels(user.workspace());
        let from = after_id(
            &all,
            after,
            tables::channel(ChannelId(after.saturating_add(1))),
        );
        let rows = view.scan(&from, &all.end());
        Box::new(rows.map(|row| Ok(ChannelId(last_u64(&row?.0)?))))
    };
    let mut next_cursor = String::new();
    let mut last = after;
    let scan_most = page.limit * SCAN_FACTOR;
    for (scanned, id) in ids.enumerate() {
        let id = id?;
        if page.is_full() || scanned == scan_most {
            next_cursor = Cursor::write(Kind::Id, last);
            break;
        }
        last = id.0;
        let channel = views::read_channel(view, user, id)?;
        page.extend(channel.filter(|c| c.is_member || !c.private));
    }
    Ok(client::ChannelPage {
        channels: page.rows,
        next_cursor,
    })
}

fn members(
    view: &View<'_>,
    user: UserId,
    list: &client::ListMembers,
) -> Result<client::MemberPage, Stop> {
    let channel = ChannelId(list.channel);
    visible_channel(view, user, channel)?;
    let mut page = PageOf::new(list.limit)?;
    let after = Cursor::read(Kind::Id, &list.cursor)?.unwrap_or(0);
    let all = tables::members(channel);
    let from = after_id(
        &all,
        after,
        tables::member(channel, UserId(after.saturating_add(1))),
    );
    let mut next_cursor = String::new();
    for row in view.scan(&from, &all.end()) {
        if page.is_full() {
            let last = page.rows.last().copied().unwrap_or(after);
            next_cursor = Cursor::write(Kind::Id, last);
            break;
        }
        page.rows.push(last_u64(&row?.0)?);
    }
    Ok(client::MemberPage {
        users: page.rows,
        next_cursor,
    })
}

fn users(
    view: &View<'_>,
    user: UserId,
    list: &client::ListUsers,
) -> Result<client::UserPage, Stop> {
    let mut page = PageOf::<client::User>::new(list.limit)?;
    let after = Cursor::read(Kind::Id, &list.cursor)?.unwrap_or(0);
    let all = tables::users(user.workspace());
    let from = after_id(&all, after, tables::user(UserId(after.saturating_add(1))));
    let mut next_cursor = String::new();
    for row in view.scan(&from, &all.end()) {
        let (key, value) = row?;
        if page.is_full() {
            let last = page.rows.last().map_or(after, |user| user.id);
            next_cursor = Cursor::write(Kind::Id, last);
            break;
        }
        let id = UserId(last_u64(&key)?);
        page.extend(Some(views::user(id, &record::decode(&value)?)));
    }
    Ok(client::UserPage {
        users: page.rows,
        next_cursor,
    })
}

fn get_user(view: &View<'_>, user: UserId, wanted: UserId) -> Result<client::User, Stop> {
    let record: Option<UserRecord> = match wanted.workspace() == user.workspace() {
        true => view.record(&tables::user(wanted))?,
        false => None,
    };
    let record = record.ok_or(ErrorCode::UserNotFound)?;
    Ok(views::user(wanted, &record))
}

fn get_channel(view: &View<'_>, user: UserId, id: ChannelId) -> Result<client::Channel, Stop> {
    let access = visible_channel(view, user, id)?;
    let (record, member): (ChannelRecord, Option<MemberRecord>) = (access.channel, access.member);
    let head = topic_log::head(view, Topic::Channel(id))?;
    Ok(views::channel(id, &record, &head, member.as_ref()))
}

/// Where a list goes on; a cursor from elsewhere cannot leave the list.
fn after_id(all: &Key, after: u64, next: Key) -> Key {
    match after {
        0 => all.clone(),
        _ => next.max(all.clone()),
    }
}

/// A page under construction, bounded in rows and bytes.
struct PageOf<T> {
    rows: Vec<T>,
    limit: usize,
    bytes: usize,
}

impl<T: Message> PageOf<T> {
    fn extend(&mut self, row: Option<T>) {
        if let Some(row) = row {
            self.bytes += row.encoded_len();
            self.rows.push(row);
        }
    }
}

impl<T> PageOf<T> {
    /// `limit` as asked for: 0 = the default.
    fn new(limit: u32) -> Result<Self, ApiError> {
        let limit = match limit {
            0 => PAGE_ROWS_DEFAULT,
            1..=PAGE_ROWS_MAX => limit,
            _ => {
                let text = format!("limit is at most {PAGE_ROWS_MAX}");
                return Err(ApiError::new(ErrorCode::InvalidArguments, text));
            }
        };
        Ok(Self {
            rows: Vec::new(),
            limit: limit as usize,
            bytes: 0,
        })
    }

    fn is_full(&self) -> bool {
        self.rows.len() >= self.limit || self.bytes >= PAGE_BYTES_MAX
    }
}
