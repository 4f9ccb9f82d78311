//! Changes of metadata: who may make them, what they lead to, and what is refused.

mod channels;
mod marks;
mod people;
mod rights;

use bytes::Bytes;
use causeway_protocol::client;
use causeway_protocol::client::request::Body as Question;
use causeway_protocol::client::set_channel::Field;
use causeway_protocol::{ChannelId, ErrorCode, UserId};

use super::world::{ABROAD, HOME, World};
use crate::metadata::item::Item;
use crate::metadata::shard::Intent;

/// What `remove` says in a request.
const ADD: bool = false;
const REMOVE: bool = true;

/// Ann has made a channel and said something, Bob is in it, Cid is not.
struct Scene {
    world: World,
    ann: UserId,
    bob: UserId,
    cid: UserId,
    general: ChannelId,
    ts: u64,
}

fn scene() -> Scene {
    let mut world = World::new();
    let (ann, bob, cid) = (world.user("ann"), world.user("bob"), world.user("cid"));
    let general = world.public(ann, "general");
    world.join(bob, general).unwrap();
    let ts = world.post(ann, general, "hello").ts;
    Scene {
        world,
        ann,
        bob,
        cid,
        general,
        ts,
    }
}

// ---- what happens ----

/// Each request is refused with its code, and changes nothing anywhere.
#[track_caller]
fn refused(world: &mut World, user: UserId, requests: Vec<(Question, ErrorCode)>) {
    let rows = [HOME, ABROAD].map(|workspace| world.metadata_rows(workspace));
    for (request, code) in requests {
        assert_eq!(
            world.change(user, &request),
            Err(code),
            "{user} {request:?}"
        );
    }
    let after = [HOME, ABROAD].map(|workspace| world.metadata_rows(workspace));
    assert_eq!(after, rows);
}

/// All with the same code.
fn each(
    requests: impl IntoIterator<Item = Question>,
    code: ErrorCode,
) -> Vec<(Question, ErrorCode)> {
    let requests = requests.into_iter();
    requests.map(|request| (request, code)).collect()
}

/// The request is carried out, and changes something.
#[track_caller]
fn done(world: &mut World, user: UserId, request: &Question) {
    let rows = world.metadata_rows(user.workspace());
    assert_eq!(world.change(user, request), Ok(()), "{user} {request:?}");
    assert_ne!(world.metadata_rows(user.workspace()), rows, "{request:?}");
}

/// The request is granted, and changes nothing.
#[track_caller]
fn in_vain(world: &mut World, user: UserId, request: &Question) {
    let rows = world.metadata_rows(user.workspace());
    assert_eq!(world.change(user, request), Ok(()), "{user} {request:?}");
    assert_eq!(world.metadata_rows(user.workspace()), rows, "{request:?}");
}

/// Writes many items at home, up to a limit.
fn fill(world: &mut World, items: impl Iterator<Item = Item>, intent: &Intent) {
    let wishes = items.map(|item| (item, intent.clone()));
    world.write(HOME, wishes.collect());
}

/// An element without a note is to be there.
fn there() -> Intent {
    Intent::Put(Bytes::new())
}

// ---- requests ----

fn react(channel: ChannelId, ts: u64, emoji: &str, remove: bool) -> Question {
    Question::React(client::React {
        channel: channel.0,
        ts,
        emoji: emoji.into(),
        remove,
    })
}

fn pin(channel: ChannelId, ts: u64, remove: bool) -> Question {
    Question::Pin(client::Pin {
        channel: channel.0,
        ts,
        remove,
    })
}

fn star(channel: ChannelId, ts: u64, remove: bool) -> Question {
    Question::Star(client::Star {
        channel: channel.0,
        ts,
        remove,
    })
}

fn set(channel: ChannelId, field: Field) -> Question {
    let (channel, field) = (channel.0, Some(field));
    Question::SetChannel(client::SetChannel { channel, field })
}

fn set_name(channel: ChannelId, name: &str) -> Question {
    set(channel, Field::Name(name.into()))
}

fn set_topic(channel: ChannelId, text: &str) -> Question {
    set(channel, Field::Topic(text.into()))
}

fn set_purpose(channel: ChannelId, text: &str) -> Question {
    set(channel, Field::Purpose(text.into()))
}

fn set_archived(channel: ChannelId, archived: bool) -> Question {
    set(channel, Field::Archived(archived))
}

fn join(channel: ChannelId) -> Question {
    Question::JoinChannel(client::JoinChannel { channel: channel.0 })
}

fn leave(channel: ChannelId) -> Question {
    Question::LeaveChannel(client::LeaveChannel { channel: channel.0 })
}

fn invite(channel: ChannelId, user: UserId) -> Question {
    let (channel, user) = (channel.0, user.0);
    Question::InviteMember(client::InviteMember { channel, user })
}

fn kick(channel: ChannelId, user: UserId) -> Question {
    let (channel, user) = (channel.0, user.0);
    Question::KickMember(client::KickMember { channel, user })
}

fn mark_read(channel: ChannelId, seq: u64) -> Question {
    let channel = channel.0;
    Question::MarkRead(client::MarkRead { channel, seq })
}

fn set_profile(fields: &[(&str, &str)]) -> Question {
    let fields = fields.iter();
    let fields = fields.map(|(field, text)| ((*field).to_owned(), (*text).to_owned()));
    Question::SetProfile(client::SetProfile {
        fields: fields.collect(),
    })
}

fn set_status(text: &str, emoji: &str, expires_at_s: u64) -> Question {
    Question::SetStatus(client::SetStatus {
        text: text.into(),
        emoji: emoji.into(),
        expires_at_s,
    })
}

fn set_preference(name: &str, value: &str) -> Question {
    Question::SetPreference(client::SetPreference {
        name: name.into(),
        value: value.into(),
    })
}

fn set_away(away: bool) -> Question {
    Question::SetAway(client::SetAway { away })
}

fn set_do_not_disturb(until_s: u64) -> Question {
    Question::SetDoNotDisturb(client::SetDoNotDisturb { until_s })
}

fn set_emoji(name: &str, url: &str, remove: bool) -> Question {
    Question::SetEmoji(client::SetEmoji {
        name: name.into(),
        url: url.into(),
        remove,
    })
}

/// What users change of themselves and of their workspace.
fn own() -> Vec<Question> {
    vec![
        set_profile(&[("title", "cook")]),
        set_status("at lunch", "ramen", 2_000_000_000),
        set_preference("theme", "dark"),
        set_away(true),
        set_do_not_disturb(2_000_000_000),
        set_emoji("parrot", "https://a.example/parrot", ADD),
    ]
}
