//! Threads: one level deep, counted on their root.

use causeway_protocol::client::request::Body as Question;
use causeway_protocol::client::{Message, ReadReplies};
use causeway_protocol::{ChannelId, ErrorCode, UserId};

use super::world::World;

fn texts(messages: &[Message]) -> Vec<&str> {
    messages.iter().map(|m| m.text.as_str()).collect()
}

/// A channel with a message, and somebody who writes.
fn scene() -> (World, UserId, ChannelId, u64) {
    let mut world = World::new();
    let ann = world.user("ann");
    let general = world.public(ann, "general");
    let root = world.post(ann, general, "lunch?").ts;
    (world, ann, general, root)
}

fn counts(world: &World, user: UserId, channel: ChannelId, root: u64) -> (u32, u64) {
    let thread = world.thread(user, channel, root).unwrap();
    (thread[0].reply_count, thread[0].latest_reply_ts)
}

#[test]
fn replies_stand_in_their_thread_and_are_counted_on_the_root() {
    let (mut world, ann, general, root) = scene();
    assert_eq!(counts(&world, ann, general, root), (0, 0));
    let first = world.reply(ann, general, root, "yes").unwrap();
    world.post(ann, general, "something else");
    let second = world.reply(ann, general, root, "at noon").unwrap();
    assert!(first.seq < second.seq);

    let thread = world.thread(ann, general, root).unwrap();
    assert_eq!(texts(&thread), ["lunch?", "yes", "at noon"]);
    assert!(thread[1..].iter().all(|reply| reply.thread_ts == root));
    assert_eq!(counts(&world, ann, general, root), (2, second.ts));
    assert_eq!(world.texts(ann, general), ["lunch?", "something else"]);
}

#[test]
fn there_is_no_thread_in_a_thread_nor_at_nothing() {
    let (mut world, ann, general, root) = scene();
    let random = world.public(ann, "random");
    let reply = world.reply(ann, general, root, "yes").unwrap().ts;
    let rows = world.rows();
    let nowhere = [(general, reply), (general, root + 1), (random, root)];
    for (channel, ts) in nowhere {
        let sent = world.reply(ann, channel, ts, "lost");
        assert_eq!(sent, Err(ErrorCode::ThreadNotFound));
        assert_eq!(
            world.thread(ann, channel, ts),
            Err(ErrorCode::ThreadNotFound)
        );
    }
    assert_eq!(world.rows(), rows);
}

#[test]
fn an_edit_of_the_root_keeps_its_counts() {
    let (mut world, ann, general, root) = scene();
    let reply = world.reply(ann, general, root, "yes").unwrap();
    world.edit(ann, general, root, "dinner?").unwrap();
    assert_eq!(counts(&world, ann, general, root), (1, reply.ts));
    let later = world.reply(ann, general, root, "no").unwrap();
    let thread = world.thread(ann, general, root).unwrap();
    assert_eq!(texts(&thread), ["dinner?", "yes", "no"]);
    assert_eq!(counts(&world, ann, general, root), (2, later.ts));
}

#[test]
fn a_deleted_reply_is_no_longer_counted() {
    let (mut world, ann, general, root) = scene();
    let replies: Vec<u64> = (0..3)
        .map(|n| world.reply(ann, general, root, &n.to_string()).unwrap().ts)
        .collect();
    world.delete(ann, general, replies[1]).unwrap();
    assert_eq!(counts(&world, ann, general, root), (2, replies[2]));
    world.delete(ann, general, replies[2]).unwrap();
    assert_eq!(counts(&world, ann, general, root), (1, replies[0]));
    let thread = world.thread(ann, general, root).unwrap();
    assert_eq!(texts(&thread), ["lunch?", "0"]);
    world.delete(ann, general, replies[0]).unwrap();
    assert_eq!(counts(&world, ann, general, root), (0, 0));

    let next = world.reply(ann, general, root, "anyone?").unwrap();
    assert_eq!(counts(&world, ann, general, root), (1, next.ts));
}

#[test]
fn a_thread_outlives_its_root() {
    let (mut world, ann, general, root) = scene();
    world.reply(ann, general, root, "yes").unwrap();
    world.delete(ann, general, root).unwrap();
    let thread = world.thread(ann, general, root).unwrap();
    assert!(thread[0].deleted);
    assert_eq!(texts(&thread), ["", "yes"]);

    // Those who were talking go on.
    world.reply(ann, general, root, "at noon").unwrap();
    let thread = world.thread(ann, general, root).unwrap();
    assert_eq!(texts(&thread), ["", "yes", "at noon"]);
    assert!(world.texts(ann, general).is_empty());
}

#[test]
fn pages_of_replies_show_each_once_whatever_their_size() {
    let (mut world, ann, general, root) = scene();
    let mut wanted = vec!["lunch?".to_owned()];
    for n in 0..10 {
        let text = format!("reply {n}");
        let ts = world.reply(ann, general, root, &text).unwrap().ts;
        world.post(ann, general, "in between");
        if n % 3 == 0 {
            world.delete(ann, general, ts).unwrap();
        } else {
            wanted.push(text);
        }
    }
    for limit in 1..=8 {
        let mut read = ReadReplies {
            channel: general.0,
            thread_ts: root,
            limit,
            cursor: String::new(),
        };
        let mut seen = Vec::new();
        loop {
            let question = Question::ReadReplies(read.clone());
            let (messages, next) = world.page(ann, question).unwrap();
            assert!(messages.len() <= limit as usize);
            seen.extend(messages.into_iter().map(|m| m.text));
            if next.is_empty() {
                break;
            }
            read.cursor = next;
        }
        assert_eq!(seen, wanted, "{limit} a page");
    }
}
