//! What holds for any commands in any order.

use std::collections::BTreeMap;

use causeway_protocol::backbone::{EnsureChannel, EnsureUser, InitWorkspace};
use causeway_protocol::client::{self, Entry, entry::Kind};
use causeway_protocol::{ChannelId, Seq, Timestamp, Topic, UserId, WorkspaceId};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::for_all;
use super::world::{ABROAD, Disk, HOME, HOUR_US, World};
use crate::cell::{messages, tables, topic_log};
use crate::consensus::{Machine, Outcome};
use crate::state::ReadState;
use crate::state_records::{ChannelRecord, PlaceCells, command::Body};
use crate::store::keys::Key;

/// A command whose message, if it names one, is chosen when it is its turn.
#[derive(Debug, Clone)]
enum Act {
    Send { id: u8, thread: Option<Index> },
    Edit(Index),
    Delete(Index),
    Other(Body),
    Garbage(Vec<u8>),
}

#[derive(Debug, Clone)]
struct Step {
    actor: UserId,
    channel: ChannelId,
    /// What the clock has done since the step before.
    passed_us: i64,
    act: Act,
}

/// Few of each, so that commands meet; some do not exist, or only later.
fn workspace() -> impl Strategy<Value = WorkspaceId> {
    prop_oneof![9 => Just(HOME), 2 => Just(ABROAD), 1 => Just(WorkspaceId(3))]
}

fn user() -> impl Strategy<Value = UserId> {
    let anybody = (workspace(), 1..6u32).prop_map(|(w, n)| UserId::new(w, n));
    prop_oneof![3 => (1..3u32).prop_map(|n| UserId::new(HOME, n)), 2 => anybody]
}

fn channel() -> impl Strategy<Value = ChannelId> {
    let any = (workspace(), 1..5u32).prop_map(|(w, n)| ChannelId::new(w, n));
    prop_oneof![2 => Just(ChannelId::new(HOME, 1)), 3 => any]
}

fn name() -> impl Strategy<Value = String> {
    (0..6u8).prop_map(|n| format!("name-{n}"))
}

fn by_people() -> impl Strategy<Value = Body> {
    let create = (name(), any::<bool>());
    prop_oneof![
        create.prop_map(|(name, private)| {
            Body::CreateChannel(client::CreateChannel { name, private })
        }),
        channel().prop_map(|c| Body::LeaveChannel(client::LeaveChannel { channel: c.0 })),
        (channel(), user()).prop_map(|(channel, user)| {
            let (channel, user) = (channel.0, user.0);
            Body::InviteMember(client::InviteMember { channel, user })
        }),
        (channel(), user()).prop_map(|(channel, user)| {
            let (channel, user) = (channel.0, user.0);
            Body::KickMember(client::KickMember { channel, user })
        }),
    ]
}

fn by_the_platform() -> impl Strategy<Value = Body> {
    let user_of = (workspace(), name(), any::<bool>());
    let channel_of = (workspace(), name(), any::<bool>(), vec(user(), 0..4));
    prop_oneof![
        workspace().prop_map(|w| Body::InitWorkspace(InitWorkspace {
            workspace: w.0,
            name: w.to_string(),
            home_region: "eu-west".into(),
        })),
        user_of.prop_map(|(workspace, name, admin)| Body::EnsureUser(EnsureUser {
            workspace: workspace.0,
            real_name: name.clone(),
            name,
            admin,
        })),
        channel_of.prop_map(|(workspace, name, private, members)| {
            Body::EnsureChannel(EnsureChannel {
                workspace: workspace.0,
                name,
                private,
                members: members.iter().map(|user| user.0).collect(),
            })
        }),
        // It belongs into the directory.
        Just(Body::PlaceCells(PlaceCells::default())),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    let thread = proptest::option::weighted(0.4, any::<Index>());
    prop_oneof![
        16 => (0..20u8, thread).prop_map(|(id, thread)| Act::Send { id, thread }),
        3 => any::<Index>().prop_map(Act::Edit),
        3 => any::<Index>().prop_map(Act::Delete),
        8 => by_people().prop_map(Act::Other),
        2 => by_the_platform().prop_map(Act::Other),
        1 => vec(any::<u8>(), 0..20).prop_map(Act::Garbage),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let hours = |n: i64| n * i64::try_from(HOUR_US).unwrap();
    let passed_us = prop_oneof![
        6 => 0..1_000_000i64,
        1 => -hours(2)..0,
        1 => 0..hours(12),
    ];
    let parts = (user(), channel(), passed_us, act());
    parts.prop_map(|(actor, channel, passed_us, act)| Step {
        actor,
        channel,
        passed_us,
        act,
    })
}

/// Some people, channels and memberships, so that not all is refused. One user
/// has been deactivated.
fn scene(disk: &Disk) -> World {
    let mut world = disk.cell();
    world.init(HOME);
    world.init(ABROAD);
    let (ann, bob) = (world.user("ann"), world.user("bob"));
    let (cid, root) = (world.user("cid"), world.admin("root"));
    let eve = world.user_in(ABROAD, "eve", false);
    let general = world.public(ann, "general");
    let secret = world.private(bob, "secret");
    world.public(eve, "general");
    for user in [bob, cid, root] {
        world.join(user, general).unwrap();
    }
    world.invite(bob, secret, root).unwrap();
    world.deactivate(cid);
    world
}

/// The step as a command; it names a message among those that are known.
fn command(world: &mut World, step: &Step, known: &[(ChannelId, u64)]) -> Vec<u8> {
    world.now_us = world.now_us.saturating_add_signed(step.passed_us);
    let message = |which: &Index| match known {
        [] => (step.channel, 1),
        known => *which.get(known),
    };
    let body = match &step.act {
        Act::Send { id, thread } => {
            let root = thread.as_ref().map(message);
            let (channel, thread_ts) = root.unwrap_or((step.channel, 0));
            Body::SendMessage(client::SendMessage {
                channel: channel.0,
                client_msg_id: vec![*id].into(),
                text: format!("text of {id}"),
                thread_ts,
            })
        }
        Act::Edit(which) => {
            let (channel, ts) = message(which);
            Body::EditMessage(client::EditMessage {
                channel: channel.0,
                ts,
                text: "edited".into(),
            })
        }
        Act::Delete(which) => {
            let (channel, ts) = message(which);
            let channel = channel.0;
            Body::DeleteMessage(client::DeleteMessage { channel, ts })
        }
        Act::Other(body) => body.clone(),
        Act::Garbage(bytes) => return bytes.clone(),
    };
    world.command(step.actor, body)
}

/// Carries the steps out, one command a write; returns the commands as the log
/// would carry them, with what each led to.
fn carry_out(world: &mut World, steps: &[Step]) -> Vec<(Vec<u8>, Outcome)> {
    let (mut known, mut log) = (Vec::new(), Vec::new());
    for step in steps {
        let command = command(world, step, &known);
        let published = world.published.len();
        let outcome = world.apply(&command);
        for entry in &world.published[published..] {
            if let Some(Kind::Posted(message)) = &entry.entry.kind {
                known.push((ChannelId(message.channel), message.ts));
            }
        }
        log.push((command, outcome));
    }
    log
}

#[test]
fn a_refusal_changes_nothing() {
    let disk = Disk::new();
    for_all(64, &vec(step(), 1..60), |steps| {
        let mut world = scene(&disk);
        let log = carry_out(&mut world, &steps);
        // Once more, on a cell where each state is looked at.
        let mut world = scene(&disk);
        let mut rows = world.rows();
        for ((command, _), step) in log.iter().zip(&steps) {
            let published = world.published.len();
            let outcome = world.apply(command);
            let now = world.rows();
            if matches!(outcome, Outcome::Refused(_)) {
                assert_eq!(now, rows, "{step:?} {outcome:?}");
                assert_eq!(world.published.len(), published, "{step:?}");
            }
            rows = now;
        }
    });
}

/// The entries of a topic as they are stored, without holes.
fn stored_log(world: &World, topic: Topic) -> Vec<Entry> {
    let view = world.state.view();
    let entry = |seq| view.record(&tables::entry(topic, Seq(seq))).unwrap();
    (1..).map_while(entry).collect()
}

/// Checks one channel's tables against its log.
fn check_channel(world: &World, channel: ChannelId) {
    let (view, topic) = (world.state.view(), Topic::Channel(channel));
    let Some(record) = view
        .record::<ChannelRecord>(&tables::channel(channel))
        .unwrap()
    else {
        return;
    };
    let count = |key: Key| view.scan(&key, &key.end()).count();
    assert_eq!(count(tables::members(channel)), record.members as usize);

    let log = stored_log(world, topic);
    let head = topic_log::head(&view, topic).unwrap();
    assert_eq!(head.seq, log.len() as u64);
    assert!(log.windows(2).all(|pair| pair[0].ts < pair[1].ts));
    let (mut live, mut latest) = (BTreeMap::<u64, u32>::new(), BTreeMap::new());
    let messages = || {
        log.iter().filter_map(|entry| match &entry.kind {
            Some(Kind::Posted(message)) => Some(message),
            _ => None,
        })
    };
    assert_eq!(head.messages, messages().count() as u64);
    for message in messages() {
        let found = messages::message_at(&view, channel, Timestamp(message.ts));
        assert_eq!(found.unwrap().as_ref(), Some(message));
        assert_eq!(message.deleted, message.text.is_empty());
        if message.thread_ts != 0 && !message.deleted {
            *live.entry(message.thread_ts).or_default() += 1;
            latest.insert(message.thread_ts, message.ts);
        }
    }
    for message in messages() {
        let replies = live.remove(&message.ts).unwrap_or_default();
        assert_eq!(message.reply_count, replies);
        assert_eq!(
            message.latest_reply_ts,
            latest.remove(&message.ts).unwrap_or_default()
        );
        let indexed = count(tables::replies(channel, Seq(message.seq)));
        assert_eq!(indexed, replies as usize);
    }
    assert!(live.is_empty(), "replies to nothing: {live:?}");
}

#[test]
fn the_tables_agree_with_one_another() {
    let disk = Disk::new();
    for_all(64, &vec(step(), 1..120), |steps| {
        let mut world = scene(&disk);
        carry_out(&mut world, &steps);
        for workspace in [HOME, ABROAD, WorkspaceId(3)] {
            (1..12).for_each(|n| check_channel(&world, ChannelId::new(workspace, n)));
        }
        // Each membership from both sides, each id with its age.
        assert_eq!(world.rows_of_table(6), world.rows_of_table(7));
        assert_eq!(world.rows_of_table(12), world.rows_of_table(13));
    });
}

#[test]
fn the_same_commands_lead_to_the_same_state_however_they_are_gathered() {
    let disk = Disk::new();
    let inputs = (vec(step(), 1..120), vec(1..20usize, 1..10));
    for_all(64, &inputs, |(steps, batches)| {
        let mut one_by_one = scene(&disk);
        let log = carry_out(&mut one_by_one, &steps);

        let gathered = scene(&disk);
        let (mut outcomes, mut entries) = (Vec::new(), gathered.published.clone());
        let (mut rest, mut sizes) = (log.as_slice(), batches.iter().cycle());
        while !rest.is_empty() {
            let size = sizes.next().map_or(1, |size| *size).min(rest.len());
            let mut tx = gathered.state.tx();
            for (command, _) in &rest[..size] {
                let command = command.clone().into();
                let applied = gathered.machine.apply(&mut tx, command).unwrap();
                outcomes.push(applied.outcome);
                entries.extend(applied.entries);
            }
            tx.into_batch().write().unwrap();
            rest = &rest[size..];
        }
        assert_eq!(gathered.rows(), one_by_one.rows());
        assert_eq!(entries, one_by_one.published);
        let alike = log.iter().zip(&outcomes).all(|((_, one), two)| one == two);
        assert!(alike, "outcomes differ");
    });
}

#[test]
fn two_disks_with_the_same_log_hold_the_same_bytes() {
    let (here, there) = (Disk::new(), Disk::new());
    for_all(32, &vec(step(), 1..120), |steps| {
        let mut first = scene(&here);
        let log = carry_out(&mut first, &steps);
        let mut second = scene(&there);
        for (command, outcome) in &log {
            assert_eq!(&second.apply(command), outcome);
        }
        assert_eq!(second.rows(), first.rows());
        assert_eq!(second.published, first.published);
    });
}
