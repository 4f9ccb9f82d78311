//! Questions about metadata, answered by whichever replica is nearest.

use causeway_protocol::client::{self, request::Body, response::Result as Answer};
use causeway_protocol::limits::PAGE_BYTES_MAX;
use causeway_protocol::{ChannelId, ErrorCode, Timestamp, UserId};
use prost::Message;

use super::MetadataView;
use super::view::Starred;
use crate::cell::access::{Sources, Stop};
use crate::cell::cursor;
use crate::cell::messages::message_at;
use crate::cell::page::PageOf;

/// Answers a question of `user`, who is active; `None` if it is not about metadata.
pub fn answer(sources: Sources<'_>, user: UserId, body: &Body) -> Result<Option<Answer>, Stop> {
    Ok(Some(match body {
        Body::GetReactions(get) => Answer::Reactions(reactions(sources, user, get)?),
        Body::ListPins(list) => {
            let channel = ChannelId(list.channel);
            Answer::Pins(pins(sources, user, channel)?)
        }
        Body::ListStars(list) => Answer::Stars(stars(sources, user, list)?),
        Body::ListEmoji(_) => Answer::Emoji(client::EmojiList {
            emoji: sources.metadata.emoji()?,
        }),
        Body::ListPreferences(_) => Answer::Preferences(client::PreferenceList {
            preferences: sources.metadata.preferences(user)?,
        }),
        _ => return Ok(None),
    }))
}

/// Adds to messages of a channel what belongs to them.
///
/// # Errors
/// [`Stop::Store`].
pub fn decorate(
    metadata: &MetadataView<'_>,
    channel: ChannelId,
    messages: &mut [client::Message],
) -> Result<(), Stop> {
    let all_ts = || messages.iter().map(|message| message.ts);
    let (Some(first), Some(last)) = (all_ts().min(), all_ts().max()) else {
        return Ok(());
    };
    let mut reactions = metadata.reactions(channel, Timestamp(first), Timestamp(last))?;
    let pins = metadata.pins(channel)?;
    for message in messages {
        message.reactions = reactions.remove(&message.ts).unwrap_or_default();
        message.pinned = pins.iter().any(|pin| pin.ts.0 == message.ts);
    }
    Ok(())
}

fn reactions(
    sources: Sources<'_>,
    user: UserId,
    get: &client::GetReactions,
) -> Result<client::ReactionList, Stop> {
    let channel = ChannelId(get.channel);
    sources.visible_channel(user, channel)?;
    let message = message(sources, channel, Timestamp(get.ts))?;
    Ok(client::ReactionList {
        message: Some(message.ok_or(ErrorCode::MessageNotFound)?),
    })
}

/// A message with all that belongs to it, if it has not been deleted.
fn message(
    sources: Sources<'_>,
    channel: ChannelId,
    ts: Timestamp,
) -> Result<Option<client::Message>, Stop> {
    let message = message_at(sources.view, channel, ts)?;
    let Some(mut message) = message.filter(|message| !message.deleted) else {
        return Ok(None);
    };
    decorate(
        sources.metadata,
        channel,
        std::slice::from_mut(&mut message),
    )?;
    Ok(Some(message))
}

fn pins(sources: Sources<'_>, user: UserId, channel: ChannelId) -> Result<client::PinList, Stop> {
    sources.visible_channel(user, channel)?;
    let (mut pins, mut bytes) = (Vec::new(), 0);
    for pin in sources.metadata.pins(channel)? {
        let message = message(sources, channel, pin.ts)?;
        bytes += message.as_ref().map_or(0, Message::encoded_len);
        let left_out = message.is_some() && bytes > PAGE_BYTES_MAX;
        pins.push(client::PinnedMessage {
            channel: channel.0,
            ts: pin.ts.0,
            pinned_by: pin.by.0,
            pinned_ts: pin.at,
            message: message.filter(|_| !left_out),
            left_out,
        });
    }
    Ok(client::PinList { pins })
}

fn stars(
    sources: Sources<'_>,
    user: UserId,
    list: &client::ListStars,
) -> Result<client::StarList, Stop> {
    let after = cursor::read_place(user.workspace(), &list.cursor)?;
    let mut page = PageOf::new(list.limit)?;
    let stars = sources.metadata.stars(user, after, page.limit() + 1)?;
    let there = stars.len();
    let (mut read, mut last) = (0, None);
    for star in stars.into_iter().take(page.limit()) {
        if page.is_full() {
            break;
        }
        (read, last) = (read + 1, Some(star));
        page.extend(starred(sources, user, star)?);
    }
    // Some may have been left out: the next page begins after the last that was read.
    let last = last.filter(|_| read < there);
    let next_cursor = last.map(|last| cursor::write_place(last.channel, last.ts));
    Ok(client::StarList {
        stars: page.rows,
        next_cursor: next_cursor.unwrap_or_default(),
    })
}

/// A star, unless its user no longer sees the channel.
fn starred(
    sources: Sources<'_>,
    user: UserId,
    star: Starred,
) -> Result<Option<client::Starred>, Stop> {
    match sources.visible_channel(user, star.channel) {
        Ok(_) => {}
        Err(Stop::Refused(_)) => return Ok(None),
        Err(error) => return Err(error),
    }
    let message = match star.ts {
        Timestamp(0) => None,
        ts => message(sources, star.channel, ts)?,
    };
    Ok(Some(client::Starred {
        channel: star.channel.0,
        ts: star.ts.0,
        starred_ts: star.at,
        message,
    }))
}
