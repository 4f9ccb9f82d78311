//! Queries that the PoP answers from what it keeps: users, channels, members, emoji.

use std::collections::BTreeSet;
use std::ops::Bound;

use causeway_protocol::client::{self, Channel, User, request::Body, response::Result as Answer};
use causeway_protocol::limits::{
    COMPLETIONS_DEFAULT, COMPLETIONS_MAX, GET_USERS_MAX, NAME_CHARS_MAX, PAGE_BYTES_MAX,
    PAGE_ROWS_DEFAULT, PAGE_ROWS_MAX,
};
use causeway_protocol::{ApiError, ChannelId, ErrorCode};
use prost::Message;

use super::cache::{Cache, Part};
use super::cursor::{after_id, after_word, id_cursor, word_cursor};
use super::index::folded;
use super::shelf::Shelf;
use super::users::{Users, first_word};

/// Words that a page looks at, at the most.
const SCAN_MAX: usize = 4_000;
/// A channel with more members is not searched member by member.
const FEW_MEMBERS: usize = 1_000;

/// Whether the PoP answers this.
pub fn is_ours(body: &Body) -> bool {
    !parts(body).is_empty()
}

/// What is looked at for an answer, but for members.
pub fn parts(body: &Body) -> &'static [Part] {
    match body {
        Body::GetUsers(_) | Body::FindUsers(_) => &[Part::Users],
        Body::FindChannels(_) => &[Part::Channels],
        Body::FindMembers(_) | Body::CompleteMention(_) => &[Part::Users, Part::Channels],
        Body::FindEmoji(_) => &[Part::Emoji],
        _ => &[],
    }
}

/// The channel that is asked about.
pub fn channel(body: &Body) -> Option<ChannelId> {
    match body {
        Body::FindMembers(find) => Some(ChannelId(find.channel)),
        Body::CompleteMention(complete) if complete.channel != 0 => {
            Some(ChannelId(complete.channel))
        }
        _ => None,
    }
}

/// Whether it must be known which channels are the caller's: a public one is everybody's.
pub fn asks_for_own(cache: &Cache, body: &Body) -> bool {
    let is_public = |channel: ChannelId| {
        let known = cache.channels().and_then(|all| all.get(channel.0));
        known.is_some_and(|channel| !channel.private)
    };
    match channel(body) {
        Some(channel) => !is_public(channel),
        None => matches!(body, Body::FindChannels(_)),
    }
}

/// Whether the caller may see the channel that is asked about.
///
/// # Errors
/// [`ErrorCode::ChannelNotFound`].
pub fn admit(cache: &Cache, shelf: Option<&Shelf>, body: &Body) -> Result<(), ApiError> {
    let Some(channel) = channel(body) else {
        return Ok(());
    };
    let is_own = shelf.is_some_and(|shelf| shelf.channel(channel.0).is_some());
    match is_own || !asks_for_own(cache, body) {
        true => Ok(()),
        false => Err(ErrorCode::ChannelNotFound.into()),
    }
}

/// Answers; `None` if something is not there that should be looked at.
///
/// # Errors
/// [`ErrorCode::InvalidArguments`], [`ErrorCode::InvalidCursor`].
pub fn answer(
    cache: &Cache,
    shelf: Option<&Shelf>,
    body: &Body,
) -> Result<Option<Answer>, ApiError> {
    let (users, channels) = (cache.users(), cache.channels());
    Ok(match body {
        Body::GetUsers(get) => match users {
            Some(users) => Some(Answer::Users(get_users(users, get)?)),
            None => None,
        },
        Body::FindUsers(find) => match users {
            Some(users) => Some(Answer::Users(find_users(users, find)?)),
            None => None,
        },
        Body::FindChannels(find) => match (channels, shelf) {
            (Some(_), Some(shelf)) => Some(Answer::Channels(find_channels(cache, shelf, find)?)),
            _ => None,
        },
        Body::FindMembers(find) => match (users, cache.members(ChannelId(find.channel))) {
            (Some(users), Some(members)) => {
                Some(Answer::Users(find_members(users, members, find)?))
            }
            _ => None,
        },
        Body::CompleteMention(complete) => match users {
            Some(users) => {
                let members = cache.members(ChannelId(complete.channel));
                Some(Answer::Users(complete_mention(users, members, complete)?))
            }
            None => None,
        },
        Body::FindEmoji(find) => match cache.emoji() {
            Some(_) => Some(Answer::EmojiPage(find_emoji(cache, find)?)),
            None => None,
        },
        _ => None,
    })
}

/// Rows of a page under construction.
struct Page<T> {
    rows: Vec<T>,
    bytes: usize,
    limit: usize,
}

impl<T: Message> Page<T> {
    fn new(limit: u32, default: u32, most: u32) -> Result<Self, ApiError> {
        let limit = match limit {
            0 => default,
            limit if limit <= most => limit,
            _ => return Err(invalid(format!("limit is at most {most}"))),
        };
        Ok(Self {
            rows: Vec::new(),
            bytes: 0,
            limit: limit as usize,
        })
    }

    fn of_list(limit: u32) -> Result<Self, ApiError> {
        Self::new(limit, PAGE_ROWS_DEFAULT, PAGE_ROWS_MAX)
    }

    fn add(&mut self, row: T) {
        self.bytes += row.encoded_len();
        self.rows.push(row);
    }

    fn is_full(&self) -> bool {
        self.rows.len() >= self.limit || self.bytes >= PAGE_BYTES_MAX
    }
}

fn invalid(text: String) -> ApiError {
    ApiError::new(ErrorCode::InvalidArguments, text)
}

fn prefix(text: &str) -> Result<String, ApiError> {
    match text.chars().count() <= NAME_CHARS_MAX {
        true => Ok(folded(text)),
        false => Err(invalid(format!(
            "a prefix has up to {NAME_CHARS_MAX} characters"
        ))),
    }
}

fn get_users(users: &Users, get: &client::GetUsers) -> Result<client::UserPage, ApiError> {
    if get.users.len() > GET_USERS_MAX {
        return Err(invalid(format!("up to {GET_USERS_MAX} users at a time")));
    }
    let mut page = Page::new(0, PAGE_ROWS_MAX, PAGE_ROWS_MAX)?;
    let read = after_id(&get.cursor)?.unwrap_or(0);
    let first = usize::try_from(read).unwrap_or(usize::MAX);
    let mut next_cursor = String::new();
    for (n, id) in get.users.iter().enumerate().skip(first) {
        if page.is_full() {
            next_cursor = id_cursor(n as u64);
            break;
        }
        if let Some(user) = users.get(*id) {
            page.add(user.clone());
        }
    }
    Ok(client::UserPage {
        users: page.rows,
        next_cursor,
    })
}

fn find_users(users: &Users, find: &client::FindUsers) -> Result<client::UserPage, ApiError> {
    let prefix = prefix(&find.prefix)?;
    let mut page = Page::of_list(find.limit)?;
    let after = after_word(&find.cursor)?;
    let after = after.as_ref().map(|(word, id)| (&**word, *id));
    let (mut next_cursor, mut last) = (String::new(), None);
    for (scanned, (word, id, user)) in users.find(&prefix, after).enumerate() {
        if page.is_full() || scanned == SCAN_MAX {
            next_cursor = last.map_or_else(String::new, |(word, id)| word_cursor(word, id));
            break;
        }
        last = Some((word, id));
        if let Some(user) = user {
            page.add(user.clone());
        }
    }
    Ok(client::UserPage {
        users: page.rows,
        next_cursor,
    })
}

/// Public channels, and private ones of the caller's, by name.
fn find_channels(
    cache: &Cache,
    shelf: &Shelf,
    find: &client::FindChannels,
) -> Result<client::ChannelPage, ApiError> {
    let prefix = prefix(&find.prefix)?;
    let mut page = Page::of_list(find.limit)?;
    let after = after_word(&find.cursor)?;
    let after = after.as_ref().map(|(word, id)| (&**word, *id));
    let Some(channels) = cache.channels() else {
        return Ok(client::ChannelPage::default());
    };
    let own = shelf.own().channels.iter();
    let own = own.filter_map(|head| channels.get(head.channel));
    let private = own.filter(|channel| channel.private);
    let private = private.map(|channel| (folded(&channel.name), channel));
    let private = private.filter(|(name, channel)| {
        name.starts_with(&prefix) && after.is_none_or(|after| (&**name, channel.id) > after)
    });
    let public = channels.find(&prefix, after).take(page.limit + 1);
    let public = public.map(|(name, channel)| (name.to_owned(), channel));
    let mut found: Vec<(String, &Channel)> = private.chain(public).collect();
    found.sort_unstable_by(|(a, ac), (b, bc)| (a, ac.id).cmp(&(b, bc.id)));
    let (mut next_cursor, mut last) = (String::new(), None);
    for (name, channel) in &found {
        if page.is_full() {
            next_cursor = last.map_or_else(String::new, |(name, id)| word_cursor(name, id));
            break;
        }
        last = Some((name, channel.id));
        page.add(listed(channel, shelf));
    }
    Ok(client::ChannelPage {
        channels: page.rows,
        next_cursor,
    })
}

/// As lists show it: without what changes with every message.
fn listed(channel: &Channel, shelf: &Shelf) -> Channel {
    Channel {
        last_seq: 0,
        last_ts: 0,
        is_member: shelf.channel(channel.id).is_some(),
        ..channel.clone()
    }
}

fn find_members(
    users: &Users,
    members: &BTreeSet<u64>,
    find: &client::FindMembers,
) -> Result<client::UserPage, ApiError> {
    let mut page = Page::of_list(find.limit)?;
    let after = after_id(&find.cursor)?;
    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    let (mut next_cursor, mut last) = (String::new(), 0);
    for id in members.range((from, Bound::Unbounded)) {
        if page.is_full() {
            next_cursor = id_cursor(last);
            break;
        }
        last = *id;
        let unknown = || User {
            id: *id,
            ..User::default()
        };
        page.add(users.get(*id).cloned().unwrap_or_else(unknown));
    }
    Ok(client::UserPage {
        users: page.rows,
        next_cursor,
    })
}

/// Members of the channel come first, then others, each by the word that fits.
fn complete_mention(
    users: &Users,
    members: Option<&BTreeSet<u64>>,
    complete: &client::CompleteMention,
) -> Result<client::UserPage, ApiError> {
    let prefix = prefix(&complete.prefix)?;
    let mut page = Page::new(complete.limit, COMPLETIONS_DEFAULT, COMPLETIONS_MAX)?;
    let is_member = |id: u64| members.is_some_and(|members| members.contains(&id));
    let found = users.find(&prefix, None).take(SCAN_MAX);
    let found = found.filter_map(|(_, _, user)| user);
    let found: Vec<&User> = found.filter(|user| !user.deactivated).collect();
    let mut first: Vec<&User> = match members {
        // There may be more words than are looked at.
        Some(members) if members.len() <= FEW_MEMBERS => {
            let members = members.iter().filter_map(|id| users.get(*id));
            let members = members.filter(|user| !user.deactivated);
            let fitting = members.filter_map(|user| Some((first_word(user, &prefix)?, user)));
            let mut fitting: Vec<_> = fitting.collect();
            fitting.sort_unstable_by(|(a, au), (b, bu)| (a, au.id).cmp(&(b, bu.id)));
            fitting.into_iter().map(|(_, user)| user).collect()
        }
        _ => found.iter().copied().filter(|u| is_member(u.id)).collect(),
    };
    first.extend(found.into_iter().filter(|user| !is_member(user.id)));
    for user in first {
        if page.is_full() {
            break;
        }
        page.add(user.clone());
    }
    Ok(client::UserPage {
        users: page.rows,
        next_cursor: String::new(),
    })
}

fn find_emoji(cache: &Cache, find: &client::FindEmoji) -> Result<client::EmojiPage, ApiError> {
    let mut page = Page::of_list(find.limit)?;
    let after = after_word(&find.cursor)?.map(|(name, _)| name);
    let from = match &after {
        Some(name) if **name >= *find.prefix => Bound::Excluded(&**name),
        _ => Bound::Included(&*find.prefix),
    };
    let (mut next_cursor, mut last) = (String::new(), "");
    let emoji = cache.emoji().into_iter();
    let emoji = emoji.flat_map(|all| all.range::<str, _>((from, Bound::Unbounded)));
    for (name, url) in emoji.take_while(|(name, _)| name.starts_with(&find.prefix)) {
        if page.is_full() {
            next_cursor = word_cursor(last, 0);
            break;
        }
        last = name;
        page.add(client::Emoji {
            name: name.clone(),
            url: url.clone(),
        });
    }
    Ok(client::EmojiPage {
        emoji: page.rows,
        next_cursor,
    })
}
