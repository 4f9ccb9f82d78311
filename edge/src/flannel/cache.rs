//! What this PoP keeps of one workspace: users, channels, emoji, members, and what is
//! single users' own. Filled from a replica, and since then kept by what is told of the
//! workspace: facts of its metadata, entries of its topic. It does no IO.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway_protocol::client::{self, entry::Kind as EntryKind, fact::Kind};
use causeway_protocol::{ChannelId, Seq, UserId};

use super::channels::Channels;
use super::entries::Entries;
use super::shelf::{self, Filled, Shelf};
use super::users::Users;
use crate::feeds::recent::{Facts, RecentFacts};

/// What is kept is read again now and then: counts of members may have drifted.
const REFRESH_AFTER: Duration = Duration::from_secs(3_600);
/// What lacks something that clients were told of is read again soon.
const COMPLETE_AFTER: Duration = Duration::from_secs(10);
/// Nobody tells who is in a private channel: it is read again after this.
const PRIVATE_MEMBERS_GOOD_FOR: Duration = Duration::from_secs(5);
/// What a member costs.
const MEMBER_BYTES: usize = 16;
/// What an emoji costs beside its texts.
const EMOJI_BYTES: usize = 80;

/// What can be filled by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// Users with their profiles.
    Users,
    /// Channels, private ones too.
    Channels,
    /// Emoji.
    Emoji,
    /// The members of a channel.
    Members(ChannelId),
}

/// A part as it was read.
#[derive(Debug)]
pub enum Rows {
    /// See [`Part::Users`].
    Users(Users),
    /// See [`Part::Channels`].
    Channels(Channels),
    /// By name.
    Emoji(BTreeMap<String, String>),
    /// Of this channel.
    Members(ChannelId, BTreeSet<u64>),
}

impl Rows {
    fn part(&self) -> Part {
        match self {
            Self::Users(_) => Part::Users,
            Self::Channels(_) => Part::Channels,
            Self::Emoji(_) => Part::Emoji,
            Self::Members(channel, _) => Part::Members(*channel),
        }
    }

    fn fact(&mut self, fact: &Kind) {
        match (self, fact) {
            (Self::Users(users), fact) => users.fact(fact),
            (Self::Channels(channels), fact) => channels.fact(fact),
            (Self::Emoji(emoji), Kind::Emoji(told)) if told.removed => {
                emoji.remove(&told.name);
            }
            (Self::Emoji(emoji), Kind::Emoji(told)) => {
                emoji.insert(told.name.clone(), told.url.clone());
            }
            (Self::Members(channel, members), Kind::Member(told)) if told.channel == channel.0 => {
                match told.left {
                    true => members.remove(&told.user),
                    false => members.insert(told.user),
                };
            }
            _ => {}
        }
    }

    fn entry(&mut self, entry: &client::Entry) {
        match (self, &entry.kind) {
            (Self::Users(users), Some(EntryKind::UserAdded(user))) => users.added(user),
            (Self::Channels(channels), Some(EntryKind::ChannelCreated(channel))) => {
                channels.created(channel);
            }
            _ => {}
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Users(users) => users.bytes(),
            Self::Channels(channels) => channels.bytes(),
            Self::Emoji(emoji) => {
                let texts = emoji.iter().map(|(name, url)| name.len() + url.len());
                texts.map(|texts| texts + EMOJI_BYTES).sum()
            }
            Self::Members(_, members) => members.len() * MEMBER_BYTES,
        }
    }
}

/// Where the reading of a part began.
#[derive(Debug, Clone)]
pub struct Begun {
    /// With all facts up to this step of the feed.
    pub step: u64,
    /// With all entries of the workspace's topic up to here.
    pub seq: Seq,
    /// As of when.
    pub filled: Filled,
}

/// More has been told since it was begun than is remembered: it is to be read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLate;

/// The workspace.
#[derive(Debug, Default)]
pub struct Cache {
    /// Itself.
    pub workspace: Option<client::Workspace>,
    parts: BTreeMap<Part, (Rows, Filled)>,
    shelves: HashMap<UserId, Shelf>,
    /// Entries of its topic.
    pub entries: Entries,
    /// Facts up to here are in everything; `None` = the feed has yet to begin.
    step: Option<u64>,
    version: Bytes,
}

impl Cache {
    /// Takes in what the feed has passed on. Returns false if that was too much: then
    /// nothing is left, and all is to be filled anew.
    pub fn catch_up(&mut self, recent: &RecentFacts) -> bool {
        if recent.version().is_empty() {
            return true;
        }
        let mut kept = true;
        if let Some(step) = self.step {
            match recent.since(step) {
                Some(news) => news.for_each(|facts| self.facts(facts)),
                None => {
                    self.parts.clear();
                    self.shelves.clear();
                    kept = false;
                }
            }
        }
        self.step = Some(recent.step());
        self.version = recent.version().clone();
        kept
    }

    fn facts(&mut self, facts: &Facts) {
        for (topic, fact) in facts.decoded() {
            for part in parts_of(&fact).into_iter().flatten() {
                if let Some((rows, _)) = self.parts.get_mut(&part) {
                    rows.fact(&fact);
                }
            }
            let owner = shelf::owner(topic, &fact);
            if let Some(owner) = owner
                && let Some(shelf) = self.shelves.get_mut(&owner)
                && !shelf.fact(&fact)
            {
                self.shelves.remove(&owner);
            }
            if let Kind::Member(member) = &fact {
                self.count(ChannelId(member.channel));
            }
        }
    }

    /// The next entry of the workspace's topic.
    pub fn entry(&mut self, entry: client::Entry) {
        for part in [Part::Users, Part::Channels] {
            if let Some((rows, _)) = self.parts.get_mut(&part) {
                rows.entry(&entry);
            }
        }
        self.entries.add(entry);
    }

    /// Entries of the workspace's topic up to `head` are not known: what they tell of is
    /// to be filled anew.
    pub fn skip_entries(&mut self, head: Seq) {
        self.parts.remove(&Part::Users);
        self.parts.remove(&Part::Channels);
        self.entries = Entries::default();
        self.entries.begin(head);
    }

    /// A part has been read, from when it was `begun`.
    ///
    /// # Errors
    /// [`TooLate`].
    pub fn install(
        &mut self,
        mut rows: Rows,
        begun: Begun,
        recent: &RecentFacts,
    ) -> Result<(), TooLate> {
        self.catch_up(recent);
        self.entries.begin(begun.seq);
        let entries = self.entries.since(begun.seq).ok_or(TooLate)?;
        entries.for_each(|entry| rows.entry(entry));
        let facts = recent.since(begun.step).ok_or(TooLate)?;
        for (_, fact) in facts.flat_map(Facts::decoded) {
            rows.fact(&fact);
        }
        let part = rows.part();
        self.parts.insert(part, (rows, begun.filled));
        if let Part::Members(channel) = part {
            self.count(channel);
        }
        Ok(())
    }

    /// Channels have been read that were not known yet, with all facts up to `step`.
    ///
    /// # Errors
    /// [`TooLate`].
    pub fn add_channels(
        &mut self,
        channels: Vec<client::Channel>,
        step: u64,
        recent: &RecentFacts,
    ) -> Result<(), TooLate> {
        self.catch_up(recent);
        let facts = recent.since(step).ok_or(TooLate)?;
        if let Some((Rows::Channels(known), _)) = self.parts.get_mut(&Part::Channels) {
            channels
                .into_iter()
                .for_each(|channel| known.put_counted(channel));
            facts
                .flat_map(Facts::decoded)
                .for_each(|(_, fact)| known.fact(&fact));
        }
        Ok(())
    }

    /// A user's own data have been read, with all facts up to `step`.
    ///
    /// # Errors
    /// [`TooLate`].
    pub fn put_shelf(
        &mut self,
        user: UserId,
        mut shelf: Shelf,
        step: u64,
        recent: &RecentFacts,
    ) -> Result<&Shelf, TooLate> {
        self.catch_up(recent);
        let facts = recent.since(step).ok_or(TooLate)?;
        for (topic, fact) in facts.flat_map(Facts::decoded) {
            if shelf::owner(topic, &fact) == Some(user) && !shelf.fact(&fact) {
                return Err(TooLate);
            }
        }
        Ok(self.shelves.entry(user).insert_entry(shelf).into_mut())
    }

    fn count(&mut self, channel: ChannelId) {
        let Some((Rows::Members(_, members), _)) = self.parts.get(&Part::Members(channel)) else {
            return;
        };
        let members = members.len();
        if let Some((Rows::Channels(channels), _)) = self.parts.get_mut(&Part::Channels) {
            channels.counted(channel.0, members);
        }
    }

    /// When a part was filled; `None` if it is not there.
    pub fn filled(&self, part: Part) -> Option<&Filled> {
        self.parts.get(&part).map(|(_, filled)| filled)
    }

    /// Whether a part should be read, and whether it is of use until then.
    pub fn need(&self, part: Part, now: Instant) -> Need {
        let Some(filled) = self.filled(part) else {
            return Need::Now;
        };
        let age = now.saturating_duration_since(filled.at);
        match part {
            Part::Members(channel) if self.is_private(channel) => {
                if age < PRIVATE_MEMBERS_GOOD_FOR {
                    return Need::Nothing;
                }
                Need::Better
            }
            _ if filled.only.is_some() && age >= COMPLETE_AFTER => Need::Sometime,
            _ if age >= REFRESH_AFTER => Need::Sometime,
            _ => Need::Nothing,
        }
    }

    fn is_private(&self, channel: ChannelId) -> bool {
        let channel = self.channels().and_then(|channels| channels.get(channel.0));
        channel.is_none_or(|channel| channel.private)
    }

    /// Users, if they are there.
    pub fn users(&self) -> Option<&Users> {
        match self.parts.get(&Part::Users) {
            Some((Rows::Users(users), _)) => Some(users),
            _ => None,
        }
    }

    /// Channels, likewise.
    pub fn channels(&self) -> Option<&Channels> {
        match self.parts.get(&Part::Channels) {
            Some((Rows::Channels(channels), _)) => Some(channels),
            _ => None,
        }
    }

    /// Emoji, likewise: by name, where the picture is.
    pub fn emoji(&self) -> Option<&BTreeMap<String, String>> {
        match self.parts.get(&Part::Emoji) {
            Some((Rows::Emoji(emoji), _)) => Some(emoji),
            _ => None,
        }
    }

    /// A channel's members, likewise.
    pub fn members(&self, channel: ChannelId) -> Option<&BTreeSet<u64>> {
        match self.parts.get(&Part::Members(channel)) {
            Some((Rows::Members(_, members), _)) => Some(members),
            _ => None,
        }
    }

    /// What is a user's own, likewise.
    pub fn shelf(&self, user: UserId) -> Option<&Shelf> {
        self.shelves.get(&user)
    }

    /// It goes, as there is no room.
    pub fn forget_shelf(&mut self, user: UserId) {
        self.shelves.remove(&user);
    }

    /// It goes, as there is no room.
    pub fn forget(&mut self, part: Part) {
        self.parts.remove(&part);
    }

    /// Channels whose members are there.
    pub fn member_lists(&self) -> Vec<ChannelId> {
        let parts = self.parts.keys();
        let lists = parts.filter_map(|part| match part {
            Part::Members(channel) => Some(*channel),
            _ => None,
        });
        lists.collect()
    }

    /// Users whose own data are there.
    pub fn shelf_owners(&self) -> Vec<UserId> {
        self.shelves.keys().copied().collect()
    }

    /// Whoever has all that was told has this; empty = nobody tells yet.
    pub fn version(&self) -> &Bytes {
        &self.version
    }

    /// What the parts take in memory, about, without the members.
    pub fn bytes(&self) -> usize {
        let parts = self.parts.iter();
        let parts = parts.filter(|(part, _)| !matches!(part, Part::Members(_)));
        parts.map(|(_, (rows, _))| rows.bytes()).sum()
    }

    /// What a part takes.
    pub fn part_bytes(&self, part: Part) -> usize {
        self.parts.get(&part).map_or(0, |(rows, _)| rows.bytes())
    }
}

/// Whether something should be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// No.
    Nothing,
    /// Yes; what is there does until then.
    Sometime,
    /// Yes; what is there does only if nothing better can be had.
    Better,
    /// Yes; there is nothing.
    Now,
}

/// What a fact changes.
fn parts_of(fact: &Kind) -> [Option<Part>; 2] {
    match fact {
        Kind::Profile(_) => [Some(Part::Users), None],
        Kind::Emoji(_) => [Some(Part::Emoji), None],
        Kind::Channel(_) | Kind::Joined(_) => [Some(Part::Channels), None],
        Kind::Member(member) => {
            let members = Part::Members(ChannelId(member.channel));
            [Some(members), Some(Part::Channels)]
        }
        _ => [None, None],
    }
}
