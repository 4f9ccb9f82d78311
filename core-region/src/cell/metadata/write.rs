//! What users want changed: whether they may, and what it means for which item.

use causeway_protocol::client::{self, request::Body, set_channel::Field};
use causeway_protocol::limits::{
    EMOJI_MAX, PINS_MAX, PREFERENCES_MAX, PROFILE_FIELDS_MAX, STARS_MAX,
};
use causeway_protocol::{ApiError, ChannelId, ErrorCode, Seq, Timestamp, Topic, UserId};

use super::MetadataView;
use super::values;
use crate::cell::access::{Sources, Stop, active_user};
use crate::cell::{messages, tables, topic_log};
use crate::metadata::item::{self, Item};
use crate::metadata::shard::Intent;
use crate::metadata::types::Mark;
use crate::state::{ReadState, View};
use crate::state_records::ChannelRecord;
use crate::state_records::command::Body as Command;

/// What is wanted of one item.
pub type Wish = (Item, Intent);

type Wishes = Result<Vec<Wish>, Stop>;

/// Whether a request is to change metadata. Some change the log instead, if they are
/// about a private channel.
pub fn is_change(body: &Body) -> bool {
    matches!(
        body,
        Body::React(_)
            | Body::Pin(_)
            | Body::Star(_)
            | Body::SetChannel(_)
            | Body::SetProfile(_)
            | Body::SetStatus(_)
            | Body::SetPreference(_)
            | Body::SetAway(_)
            | Body::SetDoNotDisturb(_)
            | Body::SetEmoji(_)
            | Body::JoinChannel(_)
            | Body::LeaveChannel(_)
            | Body::InviteMember(_)
            | Body::KickMember(_)
            | Body::MarkRead(_)
    )
}

/// What a request means, if the user may.
///
/// # Errors
/// [`Stop`]; [`ErrorCode::NotLeader`] if the log is to be changed instead.
pub fn wishes(sources: Sources<'_>, user: UserId, body: &Body) -> Wishes {
    let writer = Writer {
        sources,
        view: sources.view,
        metadata: sources.metadata,
        user,
    };
    match body {
        Body::React(react) => writer.react(react),
        Body::Pin(pin) => writer.pin(pin),
        Body::Star(star) => writer.star(star),
        Body::SetChannel(set) => writer.set_channel(set),
        Body::SetProfile(set) => writer.set_profile(set),
        Body::SetStatus(set) => writer.set_status(set),
        Body::SetPreference(set) => writer.set_preference(set),
        Body::SetAway(set) => writer.set_away(set.away),
        Body::SetDoNotDisturb(set) => writer.set_do_not_disturb(set.until_s),
        Body::SetEmoji(set) => writer.set_emoji(set),
        Body::JoinChannel(join) => writer.join(ChannelId(join.channel)),
        Body::LeaveChannel(leave) => writer.leave(ChannelId(leave.channel)),
        Body::InviteMember(invite) => writer.invite(ChannelId(invite.channel), UserId(invite.user)),
        Body::KickMember(kick) => writer.kick(ChannelId(kick.channel), UserId(kick.user)),
        Body::MarkRead(mark) => writer.mark_read(ChannelId(mark.channel), Seq(mark.seq)),
        _ => Err(ErrorCode::UnknownMethod.into()),
    }
}

/// Makes users members of a public channel.
///
/// # Errors
/// [`Stop`].
pub fn memberships(sources: Sources<'_>, channel: ChannelId, users: &[UserId]) -> Wishes {
    let mut wishes = Vec::new();
    for user in users {
        wishes.extend(member(sources, channel, *user)?);
    }
    Ok(wishes)
}

/// Refuses commands that metadata forbids.
///
/// # Errors
/// [`Stop`].
pub fn admit(
    sources: Sources<'_>,
    user: UserId,
    command: &Command,
    now_us: u64,
) -> Result<(), Stop> {
    active_user(sources.view, user)?;
    match command {
        Command::SendMessage(send) => {
            let channel = ChannelId(send.channel);
            let id = &send.client_msg_id;
            // Who has left may still ask what became of a message.
            if messages::dedup(sources.view, user, id, now_us)?.is_some() {
                return Ok(());
            }
            sources.visible_channel(user, channel)?.member()?;
            match sources.metadata.channel(channel)?.archived {
                true => Err(ErrorCode::IsArchived.into()),
                false => Ok(()),
            }
        }
        Command::EditMessage(client::EditMessage { channel, .. })
        | Command::DeleteMessage(client::DeleteMessage { channel, .. }) => {
            let channel = sources.visible_channel(user, ChannelId(*channel))?;
            channel.member().map(|_| ())
        }
        Command::CreateChannel(create) => match sources.metadata.renamed_to(&create.name)? {
            Some(_) => Err(ErrorCode::NameTaken.into()),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

/// The channel that must be the sender's for a command to be admitted.
pub fn concerns(command: &Command) -> Option<ChannelId> {
    match command {
        Command::SendMessage(client::SendMessage { channel, .. })
        | Command::EditMessage(client::EditMessage { channel, .. })
        | Command::DeleteMessage(client::DeleteMessage { channel, .. }) => {
            Some(ChannelId(*channel))
        }
        _ => None,
    }
}

struct Writer<'a> {
    sources: Sources<'a>,
    view: &'a View<'a>,
    metadata: &'a MetadataView<'a>,
    user: UserId,
}

impl Writer<'_> {
    fn react(&self, react: &client::React) -> Wishes {
        let (channel, ts) = (ChannelId(react.channel), Timestamp(react.ts));
        self.open_channel(channel)?;
        self.message(channel, ts)?;
        let item = Item::Reaction {
            channel: channel.number(),
            ts: ts.0,
            emoji: react.emoji.clone(),
            user: self.user.number(),
        };
        match (react.remove, self.metadata.has(&item)?) {
            (true, false) => Err(ErrorCode::NoReaction.into()),
            (true, true) => Ok(vec![(item, Intent::Remove)]),
            (false, true) => Err(ErrorCode::AlreadyReacted.into()),
            (false, false) => {
                if !self.metadata.takes_emoji(channel, ts, &react.emoji)? {
                    return Err(ErrorCode::TooManyEmoji.into());
                }
                Ok(vec![(item, Intent::Put(Default::default()))])
            }
        }
    }

    fn pin(&self, pin: &client::Pin) -> Wishes {
        let (channel, ts) = (ChannelId(pin.channel), Timestamp(pin.ts));
        self.open_channel(channel)?;
        let item = Item::Pin {
            channel: channel.number(),
            ts: ts.0,
        };
        match (pin.remove, self.metadata.has(&item)?) {
            (true, false) => Err(ErrorCode::NoPin.into()),
            (true, true) => Ok(vec![(item, Intent::Remove)]),
            (false, true) => Err(ErrorCode::AlreadyPinned.into()),
            (false, false) => {
                self.message(channel, ts)?;
                let all = item::pins(channel.number());
                if self.metadata.count(&all, PINS_MAX)? >= PINS_MAX {
                    return Err(ErrorCode::TooManyPins.into());
                }
                Ok(vec![(item, Intent::Put(values::by_user(self.user)))])
            }
        }
    }

    fn star(&self, star: &client::Star) -> Wishes {
        active_user(self.view, self.user)?;
        let (channel, ts) = (ChannelId(star.channel), Timestamp(star.ts));
        let item = Item::Star {
            user: self.user.number(),
            channel: channel.number(),
            ts: ts.0,
        };
        let has_it = channel.workspace() == self.user.workspace() && self.metadata.has(&item)?;
        // It can be taken off what the user does not see any more.
        if !(star.remove && has_it) {
            self.sources.visible_channel(self.user, channel)?;
        }
        match (star.remove, has_it) {
            (true, false) => Err(ErrorCode::NotStarred.into()),
            (true, true) => Ok(vec![(item, Intent::Remove)]),
            (false, true) => Err(ErrorCode::AlreadyStarred.into()),
            (false, false) => {
                if ts > Timestamp(0) {
                    self.message(channel, ts)?;
                }
                let all = item::stars(self.user.number());
                self.room_for(&all, STARS_MAX, "stars")?;
                Ok(vec![(item, Intent::Put(Default::default()))])
            }
        }
    }

    fn set_channel(&self, set: &client::SetChannel) -> Wishes {
        let actor = active_user(self.view, self.user)?;
        let id = ChannelId(set.channel);
        let record = self.sources.visible_channel(self.user, id)?.member()?;
        let channel = id.number();
        let is_archived = self.metadata.channel(id)?.archived;
        let field = set.field.as_ref();
        let field = field.ok_or_else(|| ApiError::from(ErrorCode::InvalidArguments))?;
        if is_archived && !matches!(field, Field::Archived(_)) {
            return Err(ErrorCode::IsArchived.into());
        }
        let wish = match field {
            Field::Topic(text) => {
                let said = values::said(text.clone(), self.user);
                (Item::ChannelTopic { channel }, Intent::Set(said))
            }
            Field::Purpose(text) => {
                let said = values::said(text.clone(), self.user);
                (Item::ChannelPurpose { channel }, Intent::Put(said))
            }
            Field::Archived(true) if is_archived => {
                return Err(ErrorCode::AlreadyArchived.into());
            }
            Field::Archived(false) if !is_archived => return Err(ErrorCode::NotArchived.into()),
            Field::Archived(archived) => {
                let flag = values::flag(*archived);
                (Item::ChannelArchived { channel }, Intent::Set(flag))
            }
            Field::Name(name) => {
                if record.creator != self.user.0 && !actor.admin {
                    let text = "only its creator or an admin renames a channel";
                    return Err(ApiError::new(ErrorCode::NotAllowed, text).into());
                }
                self.is_free(id, name)?;
                let name = Intent::Set(name.clone().into());
                (Item::ChannelName { channel }, name)
            }
        };
        Ok(vec![wish])
    }

    /// Whether no other channel has the name, as far as this replica knows.
    fn is_free(&self, channel: ChannelId, name: &str) -> Result<(), Stop> {
        let renamed = self.metadata.renamed_to(name)?;
        let index = tables::channel_name(channel.workspace(), name);
        let created = self.view.get(&index)?;
        let created =
            created.and_then(|id| Some(ChannelId(u64::from_be_bytes(id.try_into().ok()?))));
        match renamed.or(created) {
            Some(other) if other != channel => Err(ErrorCode::NameTaken.into()),
            _ => Ok(()),
        }
    }

    fn set_profile(&self, set: &client::SetProfile) -> Wishes {
        active_user(self.view, self.user)?;
        let user = self.user.number();
        let present = self.metadata.profile_fields(self.user)?;
        let new = |field: &&String| !present.contains(*field);
        let new = set.fields.keys().filter(new).count();
        // Regions that were alone may have added more together.
        if new > 0 && present.len() + new > PROFILE_FIELDS_MAX {
            return Err(too_many("fields"));
        }
        let fields = set.fields.iter().map(|(field, text)| {
            let field = field.clone();
            let text = Intent::Set(text.clone().into());
            (Item::ProfileField { user, field }, text)
        });
        Ok(fields.collect())
    }

    fn set_status(&self, set: &client::SetStatus) -> Wishes {
        active_user(self.view, self.user)?;
        let user = self.user.number();
        let status = Intent::Put(values::status(set.clone()));
        Ok(vec![(Item::Status { user }, status)])
    }

    fn set_preference(&self, set: &client::SetPreference) -> Wishes {
        active_user(self.view, self.user)?;
        let user = self.user.number();
        let name = set.name.clone();
        let item = Item::Preference { user, name };
        if !self.metadata.has(&item)? {
            self.room_for(&item::preferences(user), PREFERENCES_MAX, "preferences")?;
        }
        Ok(vec![(item, Intent::Set(set.value.clone().into()))])
    }

    fn set_away(&self, away: bool) -> Wishes {
        active_user(self.view, self.user)?;
        let user = self.user.number();
        let away = Intent::Set(values::flag(away));
        Ok(vec![(Item::Away { user }, away)])
    }

    fn set_do_not_disturb(&self, until_s: u64) -> Wishes {
        active_user(self.view, self.user)?;
        let user = self.user.number();
        let until = Intent::Set(values::until(until_s));
        Ok(vec![(Item::DoNotDisturb { user }, until)])
    }

    fn set_emoji(&self, set: &client::SetEmoji) -> Wishes {
        active_user(self.view, self.user)?;
        let name = set.name.clone();
        let item = Item::Emoji { name };
        match (set.remove, self.metadata.has(&item)?) {
            (true, false) => Err(ErrorCode::EmojiNotFound.into()),
            (true, true) => Ok(vec![(item, Intent::Remove)]),
            (false, is_there) => {
                if !is_there {
                    self.room_for(&item::emoji(), EMOJI_MAX, "emoji")?;
                }
                let note = values::emoji(set.url.clone(), self.user);
                Ok(vec![(item, Intent::Put(note))])
            }
        }
    }

    fn join(&self, channel: ChannelId) -> Wishes {
        active_user(self.view, self.user)?;
        let record = self.sources.visible_channel(self.user, channel)?.channel;
        if record.private {
            // A member already.
            return Ok(Vec::new());
        }
        if self.metadata.channel(channel)?.archived {
            return Err(ErrorCode::IsArchived.into());
        }
        member(self.sources, channel, self.user)
    }

    fn leave(&self, channel: ChannelId) -> Wishes {
        self.public_channel(channel)?;
        Ok(vec![(membership(channel, self.user), Intent::Leave)])
    }

    fn invite(&self, channel: ChannelId, user: UserId) -> Wishes {
        self.public_channel(channel)?;
        if user.workspace() != channel.workspace() {
            return Err(ErrorCode::UserNotFound.into());
        }
        active_user(self.view, user)?;
        if self.metadata.channel(channel)?.archived {
            return Err(ErrorCode::IsArchived.into());
        }
        member(self.sources, channel, user)
    }

    fn kick(&self, channel: ChannelId, user: UserId) -> Wishes {
        self.public_channel(channel)?;
        let is_here = user.workspace() == channel.workspace();
        if !is_here || !self.metadata.is_member(channel, user)? {
            return Err(ErrorCode::NotInChannel.into());
        }
        Ok(vec![(membership(channel, user), Intent::Leave)])
    }

    /// A public channel that the user is a member of. Who is a member of a private one,
    /// the log knows.
    fn public_channel(&self, channel: ChannelId) -> Result<(), Stop> {
        active_user(self.view, self.user)?;
        let record = self.sources.visible_channel(self.user, channel)?.member()?;
        match record.private {
            true => Err(ErrorCode::NotLeader.into()),
            false => Ok(()),
        }
    }

    fn mark_read(&self, channel: ChannelId, seq: Seq) -> Wishes {
        active_user(self.view, self.user)?;
        self.sources.visible_channel(self.user, channel)?.member()?;
        let topic = Topic::Channel(channel);
        let head = topic_log::head(self.view, topic)?;
        let seq = seq.0.min(head.seq);
        let entry = topic_log::read(self.view, topic, Seq(seq))?;
        let read = Mark {
            seq,
            messages: entry.map_or(0, |entry| entry.messages),
        };
        Ok(vec![(cursor(channel, self.user), Intent::Raise(read))])
    }

    /// A channel that the user is a member of, and that is not archived.
    fn open_channel(&self, channel: ChannelId) -> Result<ChannelRecord, Stop> {
        active_user(self.view, self.user)?;
        let record = self.sources.visible_channel(self.user, channel)?.member()?;
        if self.metadata.channel(channel)?.archived {
            return Err(ErrorCode::IsArchived.into());
        }
        Ok(record)
    }

    fn message(&self, channel: ChannelId, ts: Timestamp) -> Result<client::Message, Stop> {
        let message = messages::message_at(self.view, channel, ts)?;
        let message = message.filter(|message| !message.deleted);
        Ok(message.ok_or(ErrorCode::MessageNotFound)?)
    }

    fn room_for(
        &self,
        prefix: &crate::store::keys::Key,
        most: usize,
        what: &str,
    ) -> Result<(), Stop> {
        match self.metadata.count(prefix, most)? < most {
            true => Ok(()),
            false => Err(too_many(what)),
        }
    }
}

/// Makes a user a member. What was there before is not unread.
fn member(sources: Sources<'_>, channel: ChannelId, user: UserId) -> Wishes {
    if sources.metadata.is_member(channel, user)? {
        return Ok(Vec::new());
    }
    let head = topic_log::head(sources.view, Topic::Channel(channel))?;
    let read = Mark {
        seq: head.seq,
        messages: head.messages,
    };
    let join = (membership(channel, user), Intent::Join);
    Ok(vec![join, (cursor(channel, user), Intent::Raise(read))])
}

fn membership(channel: ChannelId, user: UserId) -> Item {
    Item::Member {
        channel: channel.number(),
        user: user.number(),
    }
}

fn cursor(channel: ChannelId, user: UserId) -> Item {
    Item::ReadCursor {
        user: user.number(),
        channel: channel.number(),
    }
}

fn too_many(what: &str) -> Stop {
    ApiError::new(ErrorCode::TooMany, format!("there are too many {what}")).into()
}
