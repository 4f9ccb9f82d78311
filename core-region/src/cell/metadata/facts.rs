//! What changes of metadata are told as: each fact as it is now, to those who see it.

use std::collections::{BTreeMap, BTreeSet};

use causeway_protocol::client::{self, fact::Kind};
use causeway_protocol::{ChannelId, Topic, UserId};

use super::values;
use crate::cell::access::{Sources, Stop};
use crate::cell::{tables, topic_log, views};
use crate::metadata::item::Item;
use crate::metadata::shard::read_row;
use crate::metadata::types::Value;
use crate::state::ReadState;
use crate::store::StoreError;

/// Facts by topic.
pub type Facts = BTreeMap<Topic, Vec<client::Fact>>;

/// The facts in which these items have a part.
///
/// # Errors
/// [`StoreError`].
pub fn facts<'a>(
    sources: Sources<'_>,
    items: impl IntoIterator<Item = &'a Item>,
) -> Result<Facts, StoreError> {
    let mut subjects = BTreeSet::new();
    for item in items {
        subjects.insert(Subject::of(item));
        subjects.extend(namesakes(sources, item)?);
    }
    let mut facts = Facts::new();
    for subject in subjects {
        for (topic, kind) in subject.facts(sources)? {
            let fact = client::Fact { kind: Some(kind) };
            facts.entry(topic).or_default().push(fact);
        }
    }
    Ok(facts)
}

/// A channel's new name, and the one that it gave up, may change how others are shown
/// that have these, too.
fn namesakes(sources: Sources<'_>, item: &Item) -> Result<Vec<Subject>, StoreError> {
    let Item::ChannelName { channel } = item else {
        return Ok(Vec::new());
    };
    let id = ChannelId::new(sources.metadata.workspace(), *channel);
    let metadata = sources.metadata;
    let (name, former) = (metadata.channel(id)?.name, metadata.former_name(id)?);
    let mut subjects = Vec::new();
    for name in name.into_iter().chain(former) {
        let namesakes = metadata.all_renamed_to(&name)?.into_iter();
        subjects.extend(namesakes.map(|id| Subject::Channel(id.number())));
    }
    Ok(subjects)
}

/// Whether `user` is told of a topic.
///
/// # Errors
/// [`Stop::Store`].
pub fn is_told(sources: Sources<'_>, user: UserId, topic: Topic) -> Result<bool, Stop> {
    Ok(match topic {
        Topic::User(of) => of == user,
        Topic::Workspace(of) => of == user.workspace(),
        Topic::Channel(channel) => match sources.visible_channel(user, channel) {
            Ok(access) => access.is_member,
            Err(Stop::Refused(_)) => false,
            Err(error) => return Err(error),
        },
    })
}

/// What facts are about: some items have one in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    Item(Item),
    Channel(u32),
    Profile(u32),
}

impl Subject {
    fn of(item: &Item) -> Self {
        match item {
            Item::ChannelName { channel }
            | Item::ChannelTopic { channel }
            | Item::ChannelPurpose { channel }
            | Item::ChannelArchived { channel } => Self::Channel(*channel),
            Item::ProfileField { user, .. }
            | Item::Status { user }
            | Item::Away { user }
            | Item::DoNotDisturb { user } => Self::Profile(*user),
            item => Self::Item(item.clone()),
        }
    }

    fn facts(self, sources: Sources<'_>) -> Result<Vec<(Topic, Kind)>, StoreError> {
        let workspace = sources.metadata.workspace();
        let (id_of, user_of) = (
            |channel| ChannelId::new(workspace, channel),
            |user| UserId::new(workspace, user),
        );
        let value = |item: &Item| -> Result<Value, StoreError> {
            Ok(read_row(sources.metadata.rows(), item)?.value)
        };
        let fact = match self {
            Self::Channel(channel) => {
                let channel = id_of(channel);
                let fact = Kind::Channel(seen_by_all(sources, channel)?);
                (Topic::Channel(channel), fact)
            }
            Self::Profile(user) => {
                let profile = sources.metadata.profile(user_of(user))?;
                (Topic::Workspace(workspace), Kind::Profile(profile))
            }
            Self::Item(item) => match &item {
                Item::Reaction {
                    channel,
                    ts,
                    emoji,
                    user,
                } => {
                    let channel = id_of(*channel);
                    let fact = Kind::Reaction(client::ReactionFact {
                        channel: channel.0,
                        ts: *ts,
                        emoji: emoji.clone(),
                        user: user_of(*user).0,
                        removed: !value(&item)?.is_there(),
                    });
                    (Topic::Channel(channel), fact)
                }
                Item::Pin { channel, ts } => {
                    let channel = id_of(*channel);
                    let by = match value(&item)? {
                        Value::Element(pin) => pin
                            .latest()
                            .map(|pin| values::read_by_user(workspace, &pin.value)),
                        _ => None,
                    };
                    let fact = Kind::Pin(client::PinFact {
                        channel: channel.0,
                        ts: *ts,
                        user: by.map_or(0, |by| by.0),
                        removed: by.is_none(),
                    });
                    (Topic::Channel(channel), fact)
                }
                Item::Member { channel, user } => {
                    let (channel, user) = (id_of(*channel), user_of(*user));
                    return membership(sources, channel, user, value(&item)?.is_there());
                }
                Item::Star { user, channel, ts } => {
                    let fact = Kind::Star(client::StarFact {
                        channel: id_of(*channel).0,
                        ts: *ts,
                        removed: !value(&item)?.is_there(),
                    });
                    (Topic::User(user_of(*user)), fact)
                }
                Item::Preference { user, name } => {
                    let fact = Kind::Preference(client::Preference {
                        name: name.clone(),
                        value: match value(&item)? {
                            Value::Register(it) => {
                                it.get().map_or_else(String::new, |it| values::text(it.0))
                            }
                            _ => String::new(),
                        },
                    });
                    (Topic::User(user_of(*user)), fact)
                }
                Item::ReadCursor { user, channel } => {
                    let (channel, user) = (id_of(*channel), user_of(*user));
                    let cursor = sources.metadata.read_cursor(channel, user)?;
                    let fact = Kind::ReadCursor(client::ReadCursor {
                        channel: channel.0,
                        seq: cursor.seq,
                    });
                    (Topic::User(user), fact)
                }
                Item::Emoji { name } => {
                    let emoji = value(&item)?;
                    let fact = Kind::Emoji(client::EmojiFact {
                        name: name.clone(),
                        url: values::read_url(&emoji),
                        removed: !emoji.is_there(),
                    });
                    (Topic::Workspace(workspace), fact)
                }
                // These have a subject of their own.
                _ => return Ok(Vec::new()),
            },
        };
        Ok(vec![fact])
    }
}

fn membership(
    sources: Sources<'_>,
    channel: ChannelId,
    user: UserId,
    is_member: bool,
) -> Result<Vec<(Topic, Kind)>, StoreError> {
    let member = Kind::Member(client::MemberFact {
        channel: channel.0,
        user: user.0,
        left: !is_member,
    });
    let own = match is_member {
        false => Kind::Left(channel.0),
        true => {
            let joined = views::read_channel(sources, user, channel)?;
            // Of a channel that the log here does not know yet, all is to be read.
            Kind::Joined(joined.unwrap_or_else(|| client::Channel {
                id: channel.0,
                is_member: true,
                ..client::Channel::default()
            }))
        }
    };
    Ok(vec![
        (Topic::Channel(channel), member),
        (Topic::User(user), own),
    ])
}

fn seen_by_all(sources: Sources<'_>, id: ChannelId) -> Result<client::Channel, StoreError> {
    let record = sources.view.record(&tables::channel(id))?;
    let head = topic_log::head(sources.view, Topic::Channel(id))?;
    views::channel(sources, id, &record.unwrap_or_default(), &head)
}
