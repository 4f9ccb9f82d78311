//! Pages of history: together they show every message once.

use causeway_protocol::client::ReadHistory;
use causeway_protocol::client::request::Body as Question;
use causeway_protocol::limits::{PAGE_BYTES_MAX, PAGE_ROWS_MAX, TEXT_CHARS_MAX};
use causeway_protocol::{ChannelId, ErrorCode, UserId};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::for_all;
use super::world::{Disk, HOME, World};
use crate::cell::cursor::{Cursor, Kind};

/// The `ts` of each message on each page, until there is no next page.
fn pages(world: &World, user: UserId, mut read: ReadHistory) -> Vec<Vec<u64>> {
    let mut pages = Vec::new();
    loop {
        let question = Question::ReadHistory(read.clone());
        let (messages, next) = world.page(user, question).unwrap();
        pages.push(messages.iter().map(|message| message.ts).collect());
        if next.is_empty() {
            return pages;
        }
        assert_ne!(next, read.cursor, "a page that leads back to itself");
        read.cursor = next;
    }
}

fn newest_first(channel: ChannelId, limit: u32) -> ReadHistory {
    ReadHistory {
        channel: channel.0,
        limit,
        ..ReadHistory::default()
    }
}

#[derive(Debug, Clone)]
enum Act {
    Post,
    Reply(Index),
    Delete(Index),
    Edit(Index),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => Just(Act::Post),
        3 => any::<Index>().prop_map(Act::Reply),
        3 => any::<Index>().prop_map(Act::Delete),
        1 => any::<Index>().prop_map(Act::Edit),
    ]
}

/// What the channel should show.
#[derive(Debug, Clone)]
struct Posted {
    ts: u64,
    thread_ts: u64,
    deleted: bool,
}

fn perform(world: &mut World, user: UserId, channel: ChannelId, acts: &[Act]) -> Vec<Posted> {
    let mut posted = Vec::<Posted>::new();
    for act in acts {
        match act {
            Act::Reply(root) if !posted.is_empty() => {
                let root = root.get(&posted);
                let thread_ts = match root.thread_ts {
                    0 => root.ts,
                    of_root => of_root,
                };
                let sent = world.reply(user, channel, thread_ts, "reply").unwrap();
                posted.push(Posted {
                    ts: sent.ts,
                    thread_ts,
                    deleted: false,
                });
            }
            Act::Delete(which) if !posted.is_empty() => {
                let which = which.index(posted.len());
                let deleted = world.delete(user, channel, posted[which].ts);
                assert_eq!(deleted.is_err(), posted[which].deleted);
                posted[which].deleted = true;
            }
            Act::Edit(which) if !posted.is_empty() => {
                let which = which.get(&posted);
                let edited = world.edit(user, channel, which.ts, "edited");
                assert_eq!(edited.is_err(), which.deleted);
            }
            _ => posted.push(Posted {
                ts: world.post(user, channel, "post").ts,
                thread_ts: 0,
                deleted: false,
            }),
        }
    }
    posted
}

/// Any question of history, its bounds at, before or after a message, or open.
fn question() -> impl Strategy<Value = (ReadHistory, [Option<(Index, i8)>; 2])> {
    let bound = || proptest::option::of((any::<Index>(), -1..=1i8));
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    (1..=12u32, flags, bound(), bound()).prop_map(|(limit, flags, oldest, latest)| {
        let read = ReadHistory {
            limit,
            inclusive: flags.0,
            oldest_first: flags.1,
            with_replies: flags.2,
            ..ReadHistory::default()
        };
        (read, [oldest, latest])
    })
}

/// The answer, by the letter of the protocol.
fn expected(posted: &[Posted], read: &ReadHistory) -> Vec<u64> {
    let after = |ts: u64| match (read.oldest_ts, read.inclusive) {
        (0, _) => true,
        (oldest, false) => ts > oldest,
        (oldest, true) => ts >= oldest,
    };
    let before = |ts: u64| match (read.latest_ts, read.inclusive) {
        (0, _) => true,
        (latest, false) => ts < latest,
        (latest, true) => ts <= latest,
    };
    let shown = |p: &&Posted| !p.deleted && (read.with_replies || p.thread_ts == 0);
    let wanted = posted.iter().filter(shown).map(|p| p.ts);
    let mut wanted: Vec<u64> = wanted.filter(|ts| after(*ts) && before(*ts)).collect();
    if !read.oldest_first {
        wanted.reverse();
    }
    wanted
}

#[test]
fn pages_show_every_message_once_whatever_their_size_and_bounds() {
    let disk = Disk::new();
    let inputs = (vec(act(), 1..80), vec(question(), 8));
    for_all(96, &inputs, |(acts, questions)| {
        let mut world = disk.cell();
        world.init(HOME);
        let ann = world.user("ann");
        let general = world.public(ann, "general");
        let posted = perform(&mut world, ann, general, &acts);
        for (mut read, [oldest, latest]) in questions {
            let near = |bound: Option<(Index, i8)>| match bound {
                Some((which, by)) if !posted.is_empty() => {
                    which.get(&posted).ts.saturating_add_signed(by.into())
                }
                _ => 0,
            };
            (read.oldest_ts, read.latest_ts) = (near(oldest), near(latest));
            read.channel = general.0;
            let pages = pages(&world, ann, read.clone());
            assert!(pages.iter().all(|page| page.len() <= read.limit as usize));
            assert_eq!(pages.concat(), expected(&posted, &read), "{read:?}");
        }
    });
}

#[test]
fn messages_that_come_while_one_reads_back_change_nothing() {
    let mut world = World::new();
    let ann = world.user("ann");
    let general = world.public(ann, "general");
    let mut sent: Vec<u64> = (0..6).map(|_| world.post(ann, general, "old").ts).collect();
    let read = newest_first(general, 3);
    let (first, next) = world
        .page(ann, Question::ReadHistory(read.clone()))
        .unwrap();
    world.post(ann, general, "new");
    let read = ReadHistory {
        cursor: next,
        ..read
    };
    let (second, _) = world.page(ann, Question::ReadHistory(read)).unwrap();
    sent.reverse();
    let seen: Vec<u64> = first.iter().chain(&second).map(|m| m.ts).collect();
    assert_eq!(seen, sent);
}

#[test]
fn a_desert_of_deleted_messages_is_crossed_in_bounded_steps() {
    let mut world = World::new();
    let ann = world.user("ann");
    let general = world.public(ann, "general");
    let first = world.post(ann, general, "before").ts;
    for _ in 0..100 {
        let ts = world.post(ann, general, "sand").ts;
        world.delete(ann, general, ts).unwrap();
    }
    let last = world.post(ann, general, "after").ts;
    let pages = pages(&world, ann, newest_first(general, 1));
    assert_eq!(pages.concat(), [last, first]);
    assert!(pages.iter().any(|page| page.is_empty()));
    // A page never looks at much more than it returns.
    assert!(pages.len() >= 5);
}

#[test]
fn long_messages_end_a_page_early() {
    let mut world = World::new();
    let ann = world.user("ann");
    let general = world.public(ann, "general");
    let text = "界".repeat(TEXT_CHARS_MAX);
    let mut sent: Vec<u64> = (0..12)
        .map(|_| world.post(ann, general, &text).ts)
        .collect();
    sent.reverse();
    let pages = pages(&world, ann, newest_first(general, 0));
    assert_eq!(pages.concat(), sent);
    // One more than fits is the most.
    let most = PAGE_BYTES_MAX / text.len() + 1;
    assert!(pages.len() > 1 && pages.iter().all(|page| page.len() <= most));
}

#[test]
fn cursors_and_limits_that_make_no_sense_are_refused() {
    let mut world = World::new();
    let ann = world.user("ann");
    let general = world.public(ann, "general");
    world.post(ann, general, "hello");
    let ask = |limit: u32, cursor: &str| {
        let read = ReadHistory {
            cursor: cursor.into(),
            ..newest_first(general, limit)
        };
        world.page(ann, Question::ReadHistory(read)).map(|_| ())
    };
    assert_eq!(ask(PAGE_ROWS_MAX, ""), Ok(()));
    let too_many = ask(PAGE_ROWS_MAX + 1, "");
    assert_eq!(too_many, Err(ErrorCode::InvalidArguments));
    for cursor in ["x", "t1-", "t1-0x5", "s1-5", "i1-5", "t1-fffffffffffffffff"] {
        assert_eq!(ask(1, cursor), Err(ErrorCode::InvalidCursor), "{cursor}");
    }
    // Well formed, and from nowhere: an answer, no panic.
    for at in [0, 1, u64::MAX] {
        for oldest_first in [false, true] {
            let read = ReadHistory {
                oldest_first,
                cursor: Cursor::write(Kind::Ts, at),
                latest_ts: 5,
                ..newest_first(general, 1)
            };
            world.page(ann, Question::ReadHistory(read)).unwrap();
        }
    }
}
