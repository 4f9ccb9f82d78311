//! Boot data from what is kept: who the user is, their preferences and channels, and of
//! a returning client's only what it does not have.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use bytes::Bytes;
use causeway_protocol::Topic;
use causeway_protocol::client::{self, BootData, Channel, ChannelHead};
use causeway_protocol::limits::PAGE_BYTES_MAX;
use prost::Message;

use super::cache::{Cache, Part};
use super::shelf::Shelf;

/// What was read less than so long ago is as good as read now.
const JUST_READ_MS: u32 = 1_000;

/// Boot data, and as of when.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Booted {
    /// All of them.
    pub boot: BootData,
    /// Of the cell's log.
    pub position: u64,
    /// How old they may be, in milliseconds.
    pub age_ms: u32,
    /// They lack something that the client knows.
    pub behind: bool,
    /// They were read some time ago.
    pub kept: bool,
}

/// What is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lacking {
    /// The workspace's channels.
    Channels,
    /// Some of them, which are new.
    These(Vec<u64>),
}

/// The boot data of a user. Channels that nobody knows are left out, if `known_only`.
///
/// # Errors
/// [`Lacking`].
pub fn boot(cache: &Cache, shelf: &Shelf, known_only: bool) -> Result<Booted, Lacking> {
    let (channels, workspace) = match (cache.channels(), &cache.workspace) {
        (Some(channels), Some(workspace)) => (channels, workspace),
        _ => return Err(Lacking::Channels),
    };
    let own = shelf.own();
    let unknown = own.channels.iter().map(|head| head.channel);
    let unknown: Vec<u64> = unknown.filter(|id| channels.get(*id).is_none()).collect();
    if !unknown.is_empty() && !known_only {
        return Err(Lacking::These(unknown));
    }
    let (mut shown, mut bytes) = (Vec::with_capacity(own.channels.len()), 0);
    for head in &own.channels {
        let Some(channel) = channels.get(head.channel) else {
            continue;
        };
        let mut channel = seen(channel, head);
        bytes += channel.encoded_len();
        if bytes > PAGE_BYTES_MAX {
            // Whoever opens it asks for it.
            (channel.topic, channel.purpose) = (None, None);
            channel.other_purposes.clear();
        }
        shown.push(channel);
    }
    Ok(Booted {
        boot: BootData {
            self_: own.self_.clone(),
            workspace: Some(workspace.clone()),
            channels: shown,
            user_seq: own.user_seq,
            workspace_seq: cache.entries.last().map_or(0, |seq| seq.0),
            metadata_version: version(cache, shelf),
            preferences: own.preferences.clone(),
            ..BootData::default()
        },
        position: shelf.filled.position,
        ..Booted::default()
    })
}

/// What is certainly in all of it: what lacks something of the feed's says what it has.
fn version(cache: &Cache, shelf: &Shelf) -> Bytes {
    let channels = cache.filled(Part::Channels);
    let parts = channels.into_iter().chain([&shelf.filled]);
    let lacking = parts.filter(|filled| filled.only.is_some());
    let oldest = lacking.min_by_key(|filled| filled.at);
    let only = oldest.and_then(|filled| filled.only.clone());
    only.unwrap_or_else(|| cache.version().clone())
}

fn seen(channel: &Channel, head: &ChannelHead) -> Channel {
    Channel {
        last_seq: head.last_seq,
        last_ts: head.last_ts,
        // Who is in a public channel is told as it changes.
        members: match channel.private {
            true => head.members,
            false => channel.members,
        },
        is_member: true,
        read_seq: head.read_seq,
        unread: head.unread,
        ..channel.clone()
    }
}

/// How old data are that a replica told when they were `age_ms` old, and that have been
/// kept since, for `kept_ms`. As long as the PoP is in touch, what has come since is on
/// its way to whoever is told them.
pub fn age_ms(age_ms: u32, kept_ms: u32, in_touch: bool) -> u32 {
    match in_touch {
        true => age_ms,
        false => age_ms.saturating_add(kept_ms),
    }
}

impl Booted {
    /// The age of what was taken from a shelf.
    #[must_use]
    pub fn aged(self, shelf: &Shelf, in_touch: bool, now: Instant) -> Self {
        let filled = &shelf.filled;
        let kept_ms = filled.kept_ms(now);
        Self {
            age_ms: age_ms(filled.age_ms, kept_ms, in_touch),
            kept: kept_ms > JUST_READ_MS,
            ..self
        }
    }
}

/// What a client does not have that has kept its boot data and has these cursors. It is
/// not told that anything is gone by data that are `behind` what it knows.
pub fn difference(boot: BootData, cursors: &[client::Cursor], behind: bool) -> BootData {
    let known = cursors.iter();
    let known = known.filter_map(|c| match Topic::from_wire(c.topic.as_ref())? {
        Topic::Channel(channel) => Some((channel.0, c.seq)),
        Topic::User(_) | Topic::Workspace(_) => None,
    });
    let known: BTreeMap<u64, u64> = known.collect();
    let present: BTreeSet<u64> = boot.channels.iter().map(|channel| channel.id).collect();
    let (mut new, mut heads) = (Vec::new(), Vec::new());
    for channel in boot.channels {
        match known.get(&channel.id) {
            None => new.push(channel),
            Some(cursor) if channel.last_seq > *cursor || channel.unread > 0 => {
                heads.push(head(&channel));
            }
            Some(_) => {}
        }
    }
    let gone = known.keys().filter(|id| !behind && !present.contains(id));
    BootData {
        channels: new,
        heads,
        gone: gone.copied().collect(),
        difference: true,
        user_seq: boot.user_seq,
        workspace_seq: boot.workspace_seq,
        metadata_version: boot.metadata_version,
        ..BootData::default()
    }
}

fn head(channel: &Channel) -> ChannelHead {
    ChannelHead {
        channel: channel.id,
        last_seq: channel.last_seq,
        last_ts: channel.last_ts,
        read_seq: channel.read_seq,
        unread: channel.unread,
        members: channel.members,
    }
}
