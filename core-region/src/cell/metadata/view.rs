//! A workspace's metadata, for reading, in the words of clients.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use causeway_protocol::client;
use causeway_protocol::limits::{EMOJI_MAX, PINS_MAX, PREFERENCES_MAX, PROFILE_FIELDS_MAX};
use causeway_protocol::limits::{EMOJI_PER_MESSAGE_MAX, PAGE_ROWS_MAX, REACTORS_SHOWN_MAX};
use causeway_protocol::{ChannelId, Timestamp, UserId, WorkspaceId};

use super::values;
use crate::metadata::item::{self, Item};
use crate::metadata::shard::{read_items, read_row};
use crate::metadata::types::{Mark, Stamp, Value, Written};
use crate::metadata::{derived, rows::Rows};
use crate::store::StoreError;
use crate::store::keys::Key;
use crate::store::table::Table;

/// Different reactions on a page of messages: of more than these, nobody is named.
const NAMED_PER_PAGE_MAX: usize = 5_000;
/// Channels with one name that are told of each other.
const NAMESAKES_MAX: usize = 8;
/// Fields of a profile: in each region, up to the limit may be added at the same time.
const PROFILE_ROWS_MAX: usize = 8 * PROFILE_FIELDS_MAX;

/// The metadata of one workspace, as this replica has it.
pub struct MetadataView<'a> {
    workspace: WorkspaceId,
    rows: Table<'a>,
}

/// A channel's own metadata.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ChannelFacts {
    /// The name that it was given after its creation.
    pub name: Option<String>,
    /// Its topic.
    pub topic: Option<client::Said>,
    /// Its purpose; the latest comes first, then those that were set at the same time.
    pub purposes: Vec<client::Said>,
    /// Whether it is archived.
    pub archived: bool,
}

/// A pin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pinned {
    /// The message.
    pub ts: Timestamp,
    /// By whom.
    pub by: UserId,
    /// When, in microseconds since 1970.
    pub at: u64,
}

/// A star.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Starred {
    /// The channel.
    pub channel: ChannelId,
    /// The message; 0 = the channel itself.
    pub ts: Timestamp,
    /// When, in microseconds since 1970.
    pub at: u64,
}

/// What messages of a page have been given, by `ts`.
pub type Reactions = BTreeMap<u64, Vec<client::Reaction>>;

impl<'a> MetadataView<'a> {
    /// The metadata of `workspace` in these rows.
    pub fn new(workspace: WorkspaceId, rows: Table<'a>) -> Self {
        Self { workspace, rows }
    }

    /// The workspace.
    pub fn workspace(&self) -> WorkspaceId {
        self.workspace
    }

    /// The rows.
    pub fn rows(&self) -> &impl Rows {
        &self.rows
    }

    fn value(&self, item: &Item) -> Result<Value, StoreError> {
        Ok(read_row(&self.rows, item)?.value)
    }

    fn register(&self, item: &Item) -> Result<Option<(Bytes, Stamp)>, StoreError> {
        Ok(match self.value(item)? {
            Value::Register(it) => it.get().map(|(value, stamp)| (value.clone(), stamp)),
            _ => None,
        })
    }

    /// What was written at the same time, the latest first.
    fn written(&self, item: &Item) -> Result<Vec<Written>, StoreError> {
        Ok(match self.value(item)? {
            Value::MultiValue(it) | Value::Element(it) => {
                it.values().into_iter().cloned().collect()
            }
            _ => Vec::new(),
        })
    }

    /// Whether there is such an element.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn has(&self, item: &Item) -> Result<bool, StoreError> {
        Ok(self.value(item)?.is_there())
    }

    /// How many there are whose keys begin with `prefix`, counted up to `limit`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn count(&self, prefix: &Key, limit: usize) -> Result<usize, StoreError> {
        Ok(read_items(&self.rows, prefix, None, limit)?.len())
    }

    /// A channel's own metadata.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn channel(&self, channel: ChannelId) -> Result<ChannelFacts, StoreError> {
        let (workspace, channel) = (self.workspace, channel.number());
        let name = self.register(&Item::ChannelName { channel })?;
        let topic = self.register(&Item::ChannelTopic { channel })?;
        let purposes = self.written(&Item::ChannelPurpose { channel })?;
        let said = |w: &Written| values::read_said(workspace, &w.value, w.stamp);
        Ok(ChannelFacts {
            name: name.map(|(name, _)| values::text(&name)),
            topic: topic.map(|(said, stamp)| values::read_said(workspace, &said, stamp)),
            purposes: purposes.iter().map(said).collect(),
            archived: self.is_archived(channel)?,
        })
    }

    fn is_archived(&self, channel: u32) -> Result<bool, StoreError> {
        let archived = self.register(&Item::ChannelArchived { channel })?;
        Ok(archived.is_some_and(|(flag, _)| values::read_flag(&flag)))
    }

    /// Whether the user is a member of the public channel.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn is_member(&self, channel: ChannelId, user: UserId) -> Result<bool, StoreError> {
        let (channel, user) = (channel.number(), user.number());
        self.has(&Item::Member { channel, user })
    }

    /// How many members the public channel has.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn member_count(&self, channel: ChannelId) -> Result<u32, StoreError> {
        derived::member_count(&self.rows, channel.number())
    }

    /// Members of the public channel after `after`, by id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn members(
        &self,
        channel: ChannelId,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Vec<UserId>, StoreError> {
        let channel = channel.number();
        let after = after.map(|user| Item::Member {
            channel,
            user: user.number(),
        });
        let members = item::members(channel);
        let members = read_items(&self.rows, &members, after.as_ref(), limit)?;
        let members = members.into_iter().filter_map(|(item, _)| match item {
            Item::Member { user, .. } => Some(UserId::new(self.workspace, user)),
            _ => None,
        });
        Ok(members.collect())
    }

    /// Public channels of which the user is a member, after `after`, by id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn memberships(
        &self,
        user: UserId,
        after: Option<ChannelId>,
        limit: usize,
    ) -> Result<Vec<ChannelId>, StoreError> {
        let after = after.map(ChannelId::number);
        let channels = derived::memberships(&self.rows, user.number(), after, limit)?;
        let channels = channels.into_iter();
        Ok(channels
            .map(|n| ChannelId::new(self.workspace, n))
            .collect())
    }

    /// How far the user has marked the channel as read.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn read_cursor(&self, channel: ChannelId, user: UserId) -> Result<Mark, StoreError> {
        let (channel, user) = (channel.number(), user.number());
        Ok(match self.value(&Item::ReadCursor { user, channel })? {
            Value::Mark(mark) => mark,
            _ => Mark::default(),
        })
    }

    /// The fields that a user's profile has had, empty or not.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn profile_fields(&self, user: UserId) -> Result<BTreeSet<String>, StoreError> {
        let prefix = item::profile(user.number());
        let fields = read_items(&self.rows, &prefix, None, PROFILE_ROWS_MAX)?;
        let fields = fields.into_iter().filter_map(|(item, _)| match item {
            Item::ProfileField { field, .. } => Some(field),
            _ => None,
        });
        Ok(fields.collect())
    }

    /// A user's profile.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn profile(&self, user: UserId) -> Result<client::Profile, StoreError> {
        let id = user.0;
        let user = user.number();
        let fields = read_items(&self.rows, &item::profile(user), None, PROFILE_ROWS_MAX)?;
        let fields = fields.into_iter().filter_map(|(item, value)| {
            let (Item::ProfileField { field, .. }, Value::Register(value)) = (item, value) else {
                return None;
            };
            let text = values::text(value.get()?.0);
            (!text.is_empty()).then_some((field, text))
        });
        let statuses = self.written(&Item::Status { user })?;
        let mut statuses = statuses.iter().map(values::read_status);
        let away = self.register(&Item::Away { user })?;
        let until = self.register(&Item::DoNotDisturb { user })?;
        Ok(client::Profile {
            user: id,
            fields: fields.collect(),
            status: statuses.next(),
            other_statuses: statuses.collect(),
            away: away.is_some_and(|(flag, _)| values::read_flag(&flag)),
            do_not_disturb_until_s: until.map_or(0, |(until, _)| values::read_until(&until)),
        })
    }

    /// The reactions to the messages of a channel from `first` up to `last`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn reactions(
        &self,
        channel: ChannelId,
        first: Timestamp,
        last: Timestamp,
    ) -> Result<Reactions, StoreError> {
        let channel = channel.number();
        let limit = match first == last {
            true => EMOJI_PER_MESSAGE_MAX,
            false => EMOJI_PER_MESSAGE_MAX * PAGE_ROWS_MAX as usize,
        };
        let counts = derived::reaction_counts(&self.rows, channel, (first.0, last.0), limit)?;
        let mut reactions = Reactions::new();
        for (n, (ts, emoji, count)) in counts.into_iter().enumerate() {
            let users = match n < NAMED_PER_PAGE_MAX {
                true => self.reactors(channel, ts, &emoji)?,
                false => Vec::new(),
            };
            let of_message = reactions.entry(ts).or_default();
            of_message.push(client::Reaction {
                emoji,
                users,
                count,
            });
        }
        Ok(reactions)
    }

    /// The first users who have reacted with this emoji.
    fn reactors(&self, channel: u32, ts: u64, emoji: &str) -> Result<Vec<u64>, StoreError> {
        let alike = item::reactions(channel, ts).bytes(emoji.as_bytes()).u8(0);
        let users = read_items(&self.rows, &alike, None, REACTORS_SHOWN_MAX)?;
        let users = users.into_iter().filter_map(|(item, _)| match item {
            Item::Reaction { user, .. } => Some(UserId::new(self.workspace, user).0),
            _ => None,
        });
        Ok(users.collect())
    }

    /// Whether a message takes this emoji: one that it has, or another if there is room.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn takes_emoji(
        &self,
        channel: ChannelId,
        ts: Timestamp,
        emoji: &str,
    ) -> Result<bool, StoreError> {
        let (channel, at) = (channel.number(), (ts.0, ts.0));
        let counts = derived::reaction_counts(&self.rows, channel, at, EMOJI_PER_MESSAGE_MAX)?;
        let has_it = counts.iter().any(|(_, known, _)| known == emoji);
        Ok(has_it || counts.len() < EMOJI_PER_MESSAGE_MAX)
    }

    /// A channel's pins, in the order of their messages.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn pins(&self, channel: ChannelId) -> Result<Vec<Pinned>, StoreError> {
        let pins = read_items(
            &self.rows,
            &item::pins(channel.number()),
            None,
            PINS_MAX * 2,
        )?;
        let pins = pins.into_iter().filter_map(|(item, value)| {
            let (Item::Pin { ts, .. }, Value::Element(pin)) = (item, value) else {
                return None;
            };
            let pin = pin.latest()?;
            Some(Pinned {
                ts: Timestamp(ts),
                by: values::read_by_user(self.workspace, &pin.value),
                at: pin.stamp.time.us(),
            })
        });
        Ok(pins.collect())
    }

    /// A user's stars, by channel and message, after `after`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn stars(
        &self,
        user: UserId,
        after: Option<(ChannelId, Timestamp)>,
        limit: usize,
    ) -> Result<Vec<Starred>, StoreError> {
        let user = user.number();
        let after = after.map(|(channel, ts)| Item::Star {
            user,
            channel: channel.number(),
            ts: ts.0,
        });
        let stars = read_items(&self.rows, &item::stars(user), after.as_ref(), limit)?;
        let stars = stars.into_iter().filter_map(|(item, value)| {
            let (Item::Star { channel, ts, .. }, Value::Element(star)) = (item, value) else {
                return None;
            };
            Some(Starred {
                channel: ChannelId::new(self.workspace, channel),
                ts: Timestamp(ts),
                at: star.latest()?.stamp.time.us(),
            })
        });
        Ok(stars.collect())
    }

    /// The workspace's emoji, by name.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn emoji(&self) -> Result<Vec<client::Emoji>, StoreError> {
        let emoji = read_items(&self.rows, &item::emoji(), None, EMOJI_MAX)?;
        let emoji = emoji.into_iter().filter_map(|(item, value)| match item {
            Item::Emoji { name } => Some(client::Emoji {
                name,
                url: values::read_url(&value),
            }),
            _ => None,
        });
        Ok(emoji.collect())
    }

    /// A user's preferences, by name.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn preferences(&self, user: UserId) -> Result<Vec<client::Preference>, StoreError> {
        let prefix = item::preferences(user.number());
        let preferences = read_items(&self.rows, &prefix, None, PREFERENCES_MAX)?;
        let preferences = preferences.into_iter().filter_map(|(item, value)| {
            let (Item::Preference { name, .. }, Value::Register(value)) = (item, value) else {
                return None;
            };
            let value = values::text(value.get()?.0);
            Some(client::Preference { name, value })
        });
        Ok(preferences.collect())
    }

    /// Channels that have been given this name after their creation.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn all_renamed_to(&self, name: &str) -> Result<Vec<ChannelId>, StoreError> {
        derived::named(&self.rows, self.workspace, name, NAMESAKES_MAX)
    }

    /// The name that a channel had before it was given its present one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn former_name(&self, channel: ChannelId) -> Result<Option<String>, StoreError> {
        derived::former_name(&self.rows, channel.number())
    }

    /// The channel that was the first to be given this name after its creation, of
    /// those that have it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn renamed_to(&self, name: &str) -> Result<Option<ChannelId>, StoreError> {
        derived::first_named(&self.rows, self.workspace, name)
    }
}
