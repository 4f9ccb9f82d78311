//! Who may change what.

use causeway_protocol::WorkspaceId;
use causeway_protocol::client::{ListPins, Ping, SendMessage};

use super::*;
use crate::cell::metadata::is_change;

/// What members do in a channel; its creator can do all of it, in this order.
fn by_members(channel: ChannelId, ts: u64) -> Vec<Question> {
    vec![
        react(channel, ts, "tada", ADD),
        react(channel, ts, "tada", REMOVE),
        pin(channel, ts, ADD),
        pin(channel, ts, REMOVE),
        set_topic(channel, "lunch"),
        set_purpose(channel, "to eat"),
        set_name(channel, "food"),
        set_archived(channel, true),
        set_archived(channel, false),
        mark_read(channel, 1),
    ]
}

/// How a member changes who is in it, in such an order, too.
fn of_members(channel: ChannelId, other: UserId) -> Vec<Question> {
    vec![invite(channel, other), kick(channel, other), leave(channel)]
}

/// What everybody does who sees it, likewise.
fn by_all(channel: ChannelId, ts: u64) -> Vec<Question> {
    vec![
        star(channel, 0, ADD),
        star(channel, ts, ADD),
        star(channel, ts, REMOVE),
        join(channel),
    ]
}

fn everything(channel: ChannelId, ts: u64, other: UserId) -> Vec<Question> {
    let (members, people) = (by_members(channel, ts), of_members(channel, other));
    [members, people, by_all(channel, ts)].concat()
}

#[test]
fn members_change_their_channel() {
    let Scene {
        mut world,
        ann,
        cid,
        general,
        ts,
        ..
    } = scene();
    for request in [by_members(general, ts), of_members(general, cid)].concat() {
        done(&mut world, ann, &request);
    }
    assert!(!world.channel(ann, general).unwrap().is_member);
}

#[test]
fn who_is_not_in_a_public_channel_stars_it_and_joins() {
    let Scene {
        mut world,
        bob,
        cid,
        general,
        ts,
        ..
    } = scene();
    for request in [by_members(general, ts), of_members(general, bob)].concat() {
        refused(&mut world, cid, vec![(request, ErrorCode::NotInChannel)]);
    }
    for request in by_all(general, ts) {
        done(&mut world, cid, &request);
    }
    assert!(world.channel(cid, general).unwrap().is_member);
}

#[test]
fn nobody_changes_a_channel_that_they_do_not_see() {
    let Scene {
        mut world,
        ann,
        bob,
        cid,
        general,
        ts,
    } = scene();
    let (root, eve) = (world.admin("root"), world.user_in(ABROAD, "eve", true));
    let (secret, theirs) = (world.private(ann, "secret"), world.public(eve, "general"));
    let secret_ts = world.post(ann, secret, "ours").ts;
    let their_ts = world.post(eve, theirs, "theirs").ts;
    // Numbers within a workspace are the same in each.
    assert_eq!(theirs.number(), general.number());
    for (user, channel, ts) in [
        (eve, general, ts),
        (ann, theirs, their_ts),
        (ann, theirs, ts),
        (cid, secret, secret_ts),
        (root, secret, secret_ts),
        (ann, ChannelId::new(HOME, 99), ts),
    ] {
        let all = everything(channel, ts, bob);
        refused(&mut world, user, each(all, ErrorCode::ChannelNotFound));
    }
}

#[test]
fn who_is_no_active_user_changes_nothing() {
    let Scene {
        mut world,
        bob,
        cid,
        general,
        ts,
        ..
    } = scene();
    world.deactivate(bob);
    for (user, code) in [
        (bob, ErrorCode::AccountInactive),
        (UserId::new(HOME, 99), ErrorCode::UserNotFound),
        (UserId::new(WorkspaceId(9), 1), ErrorCode::UserNotFound),
        (UserId::platform(HOME), ErrorCode::UserNotFound),
    ] {
        let all = [everything(general, ts, cid), own()].concat();
        refused(&mut world, user, each(all, code));
    }
}

#[test]
fn who_is_in_a_private_channel_the_log_knows() {
    let Scene {
        mut world,
        ann,
        bob,
        cid,
        ..
    } = scene();
    let secret = world.private(ann, "secret");
    world.invite(ann, secret, bob).unwrap();
    let ts = world.post(bob, secret, "ours").ts;
    let people = of_members(secret, cid);
    refused(&mut world, ann, each(people, ErrorCode::NotLeader));
    in_vain(&mut world, ann, &join(secret));
    // All else is as in a public one.
    for request in by_members(secret, ts) {
        done(&mut world, ann, &request);
    }
    let allowed = set_name(secret, "plans");
    refused(&mut world, bob, vec![(allowed, ErrorCode::NotAllowed)]);
}

#[test]
fn what_changes_no_metadata_is_not_taken_for_it() {
    let Scene {
        mut world,
        ann,
        cid,
        general,
        ts,
        ..
    } = scene();
    for request in [everything(general, ts, cid), own()].concat() {
        assert!(is_change(&request), "{request:?}");
    }
    for request in [
        Question::Ping(Ping {}),
        Question::ListPins(ListPins { channel: general.0 }),
        Question::SendMessage(SendMessage::default()),
    ] {
        assert!(!is_change(&request), "{request:?}");
        refused(&mut world, ann, vec![(request, ErrorCode::UnknownMethod)]);
    }
}
