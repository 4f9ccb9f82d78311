//! Read cursors, and what is unread behind them.

use causeway_protocol::{ChannelId, UserId};

use super::world::World;

/// Ann and Bob in a channel, with nothing said.
fn scene() -> (World, UserId, UserId, ChannelId) {
    let mut world = World::new();
    let (ann, bob) = (world.user("ann"), world.user("bob"));
    let general = world.public(ann, "general");
    world.join(bob, general).unwrap();
    (world, ann, bob, general)
}

fn unread(world: &World, user: UserId, channel: ChannelId) -> u32 {
    world.channel(user, channel).unwrap().unread
}

fn read_seq(world: &World, user: UserId, channel: ChannelId) -> u64 {
    world.channel(user, channel).unwrap().read_seq
}

#[test]
fn messages_count_and_other_entries_do_not() {
    let (mut world, ann, bob, general) = scene();
    let first = world.post(ann, general, "one");
    let cid = world.user("cid");
    world.join(cid, general).unwrap();
    world.post(ann, general, "two");
    world.edit(ann, general, first.ts, "uno").unwrap();
    world.leave(cid, general).unwrap();
    assert_eq!(unread(&world, bob, general), 2);

    world.mark_read(bob, general, first.seq).unwrap();
    assert_eq!(unread(&world, bob, general), 1);
    let head = world.channel(bob, general).unwrap().last_seq;
    world.mark_read(bob, general, head).unwrap();
    assert_eq!(unread(&world, bob, general), 0);
}

#[test]
fn what_was_said_before_one_joined_is_not_unread() {
    let (mut world, ann, _, general) = scene();
    world.post(ann, general, "long ago");
    let cid = world.user("cid");
    world.join(cid, general).unwrap();
    assert_eq!(unread(&world, cid, general), 0);
    world.post(ann, general, "welcome");
    assert_eq!(unread(&world, cid, general), 1);

    // Nor what was said while one was away.
    world.leave(cid, general).unwrap();
    world.post(ann, general, "gone?");
    world.join(cid, general).unwrap();
    assert_eq!(unread(&world, cid, general), 0);
}

#[test]
fn the_cursor_never_goes_back() {
    let (mut world, ann, bob, general) = scene();
    let first = world.post(ann, general, "one");
    let second = world.post(ann, general, "two");
    world.mark_read(bob, general, second.seq).unwrap();
    let rows = world.rows();
    for seq in [first.seq, second.seq, 0] {
        world.mark_read(bob, general, seq).unwrap();
    }
    assert_eq!(world.rows(), rows);
    assert_eq!(read_seq(&world, bob, general), second.seq);
}

#[test]
fn the_cursor_stays_within_the_log() {
    let (mut world, ann, bob, general) = scene();
    let first = world.post(ann, general, "one");
    world.mark_read(bob, general, u64::MAX).unwrap();
    assert_eq!(read_seq(&world, bob, general), first.seq);
    // What comes later is unread all the same.
    world.post(ann, general, "two");
    assert_eq!(unread(&world, bob, general), 1);
}

#[test]
fn own_messages_are_read_when_all_before_was() {
    let (mut world, ann, bob, general) = scene();
    let own = world.post(bob, general, "first!");
    assert_eq!(unread(&world, bob, general), 0);
    assert_eq!(read_seq(&world, bob, general), own.seq);

    // Ann's is unread; speaking does not mean that it was read.
    world.post(ann, general, "hello bob");
    world.post(bob, general, "anybody there?");
    assert_eq!(unread(&world, bob, general), 2);
    assert_eq!(read_seq(&world, bob, general), own.seq);

    world.mark_read(bob, general, u64::MAX).unwrap();
    world.post(bob, general, "ah, hello ann");
    assert_eq!(unread(&world, bob, general), 0);
}

#[test]
fn own_messages_are_read_also_when_people_came_and_went_before() {
    let (mut world, _, bob, general) = scene();
    let cid = world.user("cid");
    world.join(cid, general).unwrap();
    world.leave(cid, general).unwrap();
    let own = world.post(bob, general, "where is cid?");
    assert_eq!(read_seq(&world, bob, general), own.seq);
    assert_eq!(unread(&world, bob, general), 0);
}
