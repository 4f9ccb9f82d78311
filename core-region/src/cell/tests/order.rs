//! Every topic's log counts 1, 2, 3 … and its time goes forward, whatever clocks do.

use std::collections::BTreeMap;
use std::sync::Arc;

use causeway_protocol::client::entry::Kind;
use causeway_protocol::{CellId, ChannelId, Position, Topic, UserId};
use parking_lot::Mutex;

use super::world::{ABROAD, HOME, HOUR_US, SECOND_US, World};
use crate::cell::machine::{CellMachine, Publish};
use crate::consensus::{Machine, TopicEntry};

/// A little of everything that appends to a log; Ann, and the channel of it all.
fn busy_day(world: &mut World) -> (UserId, ChannelId) {
    let (ann, bob) = (world.user("ann"), world.user("bob"));
    let eve = world.user_in(ABROAD, "eve", false);
    let general = world.public(ann, "general");
    let elsewhere = world.public(eve, "general");
    let secret = world.private(ann, "secret");
    world.join(bob, general).unwrap();
    world.invite(ann, secret, bob).unwrap();
    let hello = world.post(ann, general, "hello");
    world.post(eve, elsewhere, "bonjour");
    world.post(bob, secret, "psst");
    world.reply(bob, general, hello.ts, "hi").unwrap();
    let typo = world.post(ann, general, "helo again");
    world.edit(ann, general, typo.ts, "hello again").unwrap();
    world.delete(ann, general, hello.ts).unwrap();
    world.leave(bob, general).unwrap();
    world.post(ann, general, "gone?");
    (ann, general)
}

fn by_topic(entries: &[TopicEntry]) -> BTreeMap<Topic, Vec<&TopicEntry>> {
    let mut topics = BTreeMap::<Topic, Vec<&TopicEntry>>::new();
    for entry in entries {
        topics.entry(entry.topic).or_default().push(entry);
    }
    topics
}

#[test]
fn each_topic_counts_from_one_without_holes() {
    let mut world = World::new();
    busy_day(&mut world);
    let topics = by_topic(&world.published);
    // Three channels, the two users of the private one, and two workspaces.
    assert_eq!(topics.len(), 7);
    for (topic, entries) in topics {
        let seqs: Vec<u64> = entries.iter().map(|e| e.entry.seq).collect();
        let count = entries.len() as u64;
        assert_eq!(seqs, (1..=count).collect::<Vec<_>>(), "{topic}");
        let mut messages = 0;
        for entry in entries {
            messages += u64::from(matches!(entry.entry.kind, Some(Kind::Posted(_))));
            assert_eq!(entry.entry.messages, messages, "{topic}");
        }
    }
}

#[test]
fn time_goes_forward_when_the_clock_goes_back() {
    let mut world = World::new();
    let ann = world.user("ann");
    let general = world.public(ann, "general");
    let first = world.post(ann, general, "at noon");

    // The next leader's clock is an hour behind.
    world.now_us -= HOUR_US;
    let second = world.post(ann, general, "after noon");
    assert_eq!(second.ts, first.ts + 1);
    let edit = world.edit(ann, general, second.ts, "a bit after noon");
    assert_eq!(edit.unwrap().ts, first.ts + 2);
    let delete = world.delete(ann, general, first.ts).unwrap();
    assert_eq!(delete.ts, first.ts + 3);

    // Once it has caught up, its own time counts again.
    world.now_us += HOUR_US + SECOND_US;
    let third = world.post(ann, general, "a second later");
    assert_eq!(third.ts, world.now_us);
}

#[test]
fn commands_of_the_same_microsecond_have_different_times() {
    let mut world = World::new();
    let ann = world.user("ann");
    let general = world.public(ann, "general");
    let mut sent = Vec::new();
    for n in 0..5 {
        sent.push(world.post(ann, general, &n.to_string()).ts);
        world.now_us -= 1_000;
    }
    let first = sent[0];
    assert_eq!(sent, [first, first + 1, first + 2, first + 3, first + 4]);
}

#[test]
fn what_is_published_is_what_the_log_says() {
    let mut world = World::new();
    let (ann, general) = busy_day(&mut world);
    for topic in [
        Topic::Channel(general),
        Topic::User(ann),
        Topic::Workspace(HOME),
    ] {
        let published = world.published.iter().filter(|e| e.topic == topic);
        let published: Vec<_> = published.map(|e| (e.entry.seq, e.entry.ts)).collect();
        let log = world.log(ann, topic);
        let log: Vec<_> = log.iter().map(|entry| (entry.seq, entry.ts)).collect();
        assert_eq!(published, log);
    }
}

/// Notes what it is given.
#[derive(Default)]
struct Notes(Mutex<Vec<(CellId, Position, usize)>>);

impl Publish for Notes {
    fn publish(&self, cell: CellId, position: Position, entries: Vec<TopicEntry>) {
        self.0.lock().push((cell, position, entries.len()));
    }
}

#[test]
fn only_the_leader_publishes() {
    let mut world = World::new();
    busy_day(&mut world);
    let entries = world.published;
    let notes = Arc::new(Notes::default());
    let machine = CellMachine::new(CellId(7), Arc::clone(&notes) as Arc<dyn Publish>);
    machine.reached(Position(1), false, entries.clone());
    machine.reached(Position(2), true, Vec::new());
    machine.reached(Position(3), true, entries[..2].to_vec());
    assert_eq!(*notes.0.lock(), [(CellId(7), Position(3), 2)]);
}
