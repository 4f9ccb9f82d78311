//! What edge nodes keep of a workspace: all of its users, channels and emoji, in pages,
//! and what is single users' own, of many of them at a time.

use std::collections::HashMap;
use std::sync::Arc;

use causeway_protocol::backbone::flannel_ask::What;
use causeway_protocol::backbone::{
    FlannelAnswer, FlannelAsk, FlannelChannels, FlannelMembers, FlannelShelves, Shelf, ShelfAsk,
};
use causeway_protocol::client::{self, ChannelHead};
use causeway_protocol::limits::PAGE_BYTES_MAX;
use causeway_protocol::{ApiError, ChannelId, ErrorCode, Position, Topic, UserId, WorkspaceId};
use prost::Message;

use super::access::{self, Sources, Stop, active_user};
use super::query::{BOOT_CHANNELS_MAX, channels_of, private_members, within_bytes};
use super::tables::{self, last_u64};
use super::{Cell, PATIENCE, internal, known, reach, renewed, topic_log, views};
use crate::metadata::version::Version;
use crate::state::ReadState;
use crate::state_records::{ChannelRecord, HeadRecord, MemberRecord};
use crate::store::{StoreError, record};

/// Rows of a page.
const ROWS_MAX: usize = 5_000;
/// Bytes at which a page ends early.
const BYTES_MAX: usize = 2 * PAGE_BYTES_MAX;
/// Members on a page.
const MEMBERS_MAX: usize = 50_000;
/// Channels that are asked for by id.
const SOME_CHANNELS_MAX: usize = 10_000;
/// Users whose own data are asked for together.
const SHELVES_MAX: usize = 4_096;
/// Memberships of them that one answer tells.
const SHELF_CHANNELS_MAX: usize = 40_000;
/// Bytes at which the preferences in boot data end.
pub const PREFERENCES_BYTES_MAX: usize = PAGE_BYTES_MAX / 8;

impl Cell {
    /// Answers an edge node that fills what it keeps of a workspace.
    ///
    /// # Errors
    /// [`ApiError`]; [`ErrorCode::Unavailable`] from a replica that serves nobody.
    pub async fn flannel(self: Arc<Self>, ask: FlannelAsk) -> Result<FlannelAnswer, ApiError> {
        let (metadata, workspace) = (self.metadata()?, WorkspaceId(ask.workspace));
        if !metadata.serves(workspace).map_err(internal)? {
            return Err(renewed());
        }
        let told = known(&[], std::slice::from_ref(&ask.metadata_version))?;
        // An answer that lacks something says so.
        let knowing = metadata.knows(workspace, &told, PATIENCE);
        knowing.await.map_err(internal)?;
        let least = Position(ask.min_position.max(1));
        let position = reach(self.consensus.applied(), least).await?;
        let age_ms = self.consensus.age_ms();
        // Before anything is read: what changes meanwhile is told again.
        let version = self.metadata_version(workspace)?;
        let shared = match version.has_all(&told.version) && !told.version.is_empty() {
            true => ask.metadata_version.clone(),
            false if told.version.is_empty() => version.to_bytes(),
            false => version.common(&told.version).to_bytes(),
        };
        // There is much to read, and others wait for this thread.
        let reading = tokio::task::spawn_blocking(move || {
            let platform = UserId::platform(workspace);
            self.look(platform, |sources| answer(sources, &version, &ask))
        });
        let read = reading.await;
        let read = read.map_err(|e| ApiError::new(ErrorCode::InternalError, e.to_string()))??;
        Ok(FlannelAnswer {
            position: position.0,
            age_ms,
            metadata_version: shared,
            ..read
        })
    }
}

/// Answers from metadata of this version or later.
///
/// # Errors
/// [`Stop`].
pub fn answer(
    sources: Sources<'_>,
    version: &Version,
    ask: &FlannelAsk,
) -> Result<FlannelAnswer, Stop> {
    let workspace = WorkspaceId(ask.workspace);
    let record = access::workspace(sources.view, workspace)?;
    // Heads first: what happens meanwhile is then told twice, and not never.
    let head = topic_log::head(sources.view, Topic::Workspace(workspace))?;
    let answer = match ask.what.as_ref().ok_or(ErrorCode::UnknownMethod)? {
        What::Users(rows) => users(sources, workspace, rows.after)?,
        What::Channels(rows) => channels(sources, workspace, rows.after)?,
        What::Emoji(_) => FlannelAnswer {
            emoji: sources.metadata.emoji()?,
            ..FlannelAnswer::default()
        },
        What::Members(ask) => members(sources, workspace, ask)?,
        What::SomeChannels(ask) => some_channels(sources, workspace, ask)?,
        What::Shelves(ask) => shelves(sources, version, workspace, ask)?,
    };
    Ok(FlannelAnswer {
        workspace: Some(views::workspace(workspace, &record)),
        workspace_seq: head.seq,
        ..answer
    })
}

fn users(sources: Sources<'_>, workspace: WorkspaceId, after: u64) -> Result<FlannelAnswer, Stop> {
    let all = tables::users(workspace);
    let from = tables::user(UserId(after.saturating_add(1))).max(all.clone());
    let (mut users, mut bytes) = (Vec::new(), 0);
    for row in sources.view.scan(&from, &all.end()) {
        let (key, value) = row?;
        let id = UserId(last_u64(&key)?);
        if users.len() >= ROWS_MAX || bytes >= BYTES_MAX {
            let next = users.last().map_or(after, |user: &client::User| user.id);
            return Ok(FlannelAnswer {
                users,
                next,
                ..FlannelAnswer::default()
            });
        }
        let user = views::user(sources, id, &record::decode(&value)?)?;
        bytes += user.encoded_len();
        users.push(user);
    }
    Ok(FlannelAnswer {
        users,
        ..FlannelAnswer::default()
    })
}

fn channels(
    sources: Sources<'_>,
    workspace: WorkspaceId,
    after: u64,
) -> Result<FlannelAnswer, Stop> {
    let all = tables::channels(workspace);
    let from = tables::channel(ChannelId(after.saturating_add(1))).max(all.clone());
    let (mut channels, mut bytes) = (Vec::new(), 0);
    for row in sources.view.scan(&from, &all.end()) {
        let id = ChannelId(last_u64(&row?.0)?);
        if channels.len() >= ROWS_MAX || bytes >= BYTES_MAX {
            let next = channels.last().map_or(after, |c: &client::Channel| c.id);
            return Ok(FlannelAnswer {
                channels,
                next,
                ..FlannelAnswer::default()
            });
        }
        let channel = channel(sources, id)?;
        bytes += channel.as_ref().map_or(0, Message::encoded_len);
        channels.extend(channel);
    }
    Ok(FlannelAnswer {
        channels,
        ..FlannelAnswer::default()
    })
}

/// A channel as everybody sees it, also a private one.
fn channel(sources: Sources<'_>, id: ChannelId) -> Result<Option<client::Channel>, StoreError> {
    let Some(record) = sources.view.record::<ChannelRecord>(&tables::channel(id))? else {
        return Ok(None);
    };
    let head = topic_log::head(sources.view, Topic::Channel(id))?;
    views::channel(sources, id, &record, &head).map(Some)
}

fn some_channels(
    sources: Sources<'_>,
    workspace: WorkspaceId,
    ask: &FlannelChannels,
) -> Result<FlannelAnswer, Stop> {
    let mut channels = Vec::new();
    for id in ask.channels.iter().take(SOME_CHANNELS_MAX) {
        let id = ChannelId(*id);
        if id.workspace() == workspace {
            channels.extend(channel(sources, id)?);
        }
    }
    Ok(FlannelAnswer {
        channels,
        ..FlannelAnswer::default()
    })
}

fn members(
    sources: Sources<'_>,
    workspace: WorkspaceId,
    ask: &FlannelMembers,
) -> Result<FlannelAnswer, Stop> {
    let id = ChannelId(ask.channel);
    let record = match id.workspace() == workspace {
        true => sources.view.record::<ChannelRecord>(&tables::channel(id))?,
        false => None,
    };
    let record = record.ok_or(ErrorCode::ChannelNotFound)?;
    let members = match record.private {
        true => private_members(sources.view, id, ask.after, MEMBERS_MAX)?,
        false => {
            let after = (ask.after > 0).then_some(UserId(ask.after));
            sources.metadata.members(id, after, MEMBERS_MAX)?
        }
    };
    let is_full = members.len() == MEMBERS_MAX;
    let last = members.last().filter(|_| is_full);
    Ok(FlannelAnswer {
        next: last.map_or(0, |last| last.0),
        members: members.into_iter().map(|user| user.0).collect(),
        ..FlannelAnswer::default()
    })
}

fn shelves(
    sources: Sources<'_>,
    version: &Version,
    workspace: WorkspaceId,
    ask: &FlannelShelves,
) -> Result<FlannelAnswer, Stop> {
    let mut heads = Heads::default();
    let (mut shelves, mut rows, mut bytes) = (Vec::new(), 0, 0);
    for ask in ask.users.iter().take(SHELVES_MAX) {
        let shelf = match shelf(sources, version, workspace, ask, &mut heads) {
            Err(Stop::Refused(error)) => Shelf {
                refusal: Some(error.to_wire()),
                ..Shelf::default()
            },
            shelf => shelf?,
        };
        rows += shelf.channels.len();
        bytes += shelf.encoded_len();
        shelves.push(shelf);
        if rows >= SHELF_CHANNELS_MAX || bytes >= BYTES_MAX {
            break;
        }
    }
    Ok(FlannelAnswer {
        shelves,
        ..FlannelAnswer::default()
    })
}

fn shelf(
    sources: Sources<'_>,
    version: &Version,
    workspace: WorkspaceId,
    ask: &ShelfAsk,
    heads: &mut Heads,
) -> Result<Shelf, Stop> {
    let user = UserId(ask.user);
    if user.workspace() != workspace {
        return Err(ErrorCode::UserNotFound.into());
    }
    let record = active_user(sources.view, user)?;
    let knows = known(&ask.wrote, std::slice::from_ref(&ask.metadata_version))?;
    let has_write = knows.wrote.is_none_or(|dot| version.has(&dot));
    let user_seq = topic_log::head(sources.view, Topic::User(user))?.seq;
    let mut channels = Vec::new();
    for id in channels_of(sources, user, 0, BOOT_CHANNELS_MAX)? {
        channels.extend(heads.seen_by(sources, user, id)?);
    }
    let preferences = sources.metadata.preferences(user)?;
    Ok(Shelf {
        self_: Some(views::user(sources, user, &record)?),
        channels,
        preferences: within_bytes(preferences, PREFERENCES_BYTES_MAX),
        user_seq,
        behind: !(has_write && version.has_all(&knows.version)),
        refusal: None,
    })
}

/// Channels of which the heads have been read: many users have them in common.
#[derive(Default)]
struct Heads(HashMap<ChannelId, Option<Head>>);

#[derive(Clone)]
struct Head {
    private: bool,
    members: u32,
    log: HeadRecord,
}

impl Heads {
    /// A channel of `user`; `None` if the log does not know it yet.
    fn seen_by(
        &mut self,
        sources: Sources<'_>,
        user: UserId,
        id: ChannelId,
    ) -> Result<Option<ChannelHead>, StoreError> {
        let Some(head) = self.head(sources, id)? else {
            return Ok(None);
        };
        let joined: Option<MemberRecord> = match head.private {
            true => sources.view.record(&tables::member(id, user))?,
            false => None,
        };
        let read = views::read_mark(sources, user, id, joined.as_ref())?;
        let mut log = head.log.clone();
        if read.seq > log.seq {
            // It has gone on since.
            log = topic_log::head(sources.view, Topic::Channel(id))?;
        }
        let unread = log.messages.saturating_sub(read.messages);
        Ok(Some(ChannelHead {
            channel: id.0,
            last_seq: log.seq,
            last_ts: log.last_message_ts,
            read_seq: read.seq,
            unread: u32::try_from(unread).unwrap_or(u32::MAX),
            members: head.members,
        }))
    }

    fn head(&mut self, sources: Sources<'_>, id: ChannelId) -> Result<Option<&Head>, StoreError> {
        if !self.0.contains_key(&id) {
            let record: Option<ChannelRecord> = sources.view.record(&tables::channel(id))?;
            let head = match record {
                None => None,
                Some(record) => Some(Head {
                    private: record.private,
                    members: match record.private {
                        true => record.members,
                        false => sources.metadata.member_count(id)?,
                    },
                    log: topic_log::head(sources.view, Topic::Channel(id))?,
                }),
            };
            self.0.insert(id, head);
        }
        Ok(self.0.get(&id).and_then(Option::as_ref))
    }
}
