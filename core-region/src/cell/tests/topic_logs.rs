//! Reading a topic's log: this is how holes are filled, so nothing may be missing.

use causeway_protocol::client::entry::Kind;
use causeway_protocol::client::request::Body as Question;
use causeway_protocol::client::{LogPage, ReadLog};
use causeway_protocol::limits::{PAGE_ROWS_MAX, TEXT_CHARS_MAX};
use causeway_protocol::{ChannelId, ErrorCode, Topic, UserId};

use super::world::{HOME, World};

/// Ann and a channel whose log has `entries` entries.
fn scene(entries: u64) -> (World, UserId, ChannelId) {
    let mut world = World::new();
    let ann = world.user("ann");
    let general = world.public(ann, "general");
    for n in 1..=entries {
        world.post(ann, general, &n.to_string());
    }
    (world, ann, general)
}

fn seqs(page: &LogPage) -> Vec<u64> {
    page.entries.iter().map(|entry| entry.seq).collect()
}

#[test]
fn a_range_is_inclusive_and_ends_with_the_log() {
    let (world, ann, general) = scene(10);
    let topic = Topic::Channel(general);
    let read = |from, to| world.read_log(ann, topic, from, to).unwrap();
    for (from, to, wanted) in [
        (1, 3, vec![1, 2, 3]),
        (4, 4, vec![4]),
        (8, 0, vec![8, 9, 10]),
        (9, 99, vec![9, 10]),
        (0, 2, vec![1, 2]),
        (5, 4, vec![]),
        (11, 0, vec![]),
        (11, 20, vec![]),
        (u64::MAX, u64::MAX, vec![]),
    ] {
        let page = read(from, to);
        assert_eq!(seqs(&page), wanted, "{from}..={to}");
        assert_eq!(page.last_seq, 10);
    }
    assert_eq!(seqs(&read(0, u64::MAX)).len(), 10);
}

#[test]
fn a_topic_without_entries_has_an_empty_log() {
    let mut world = World::new();
    let ann = world.user("ann");
    let page = world.read_log(ann, Topic::User(ann), 1, 0).unwrap();
    assert_eq!(page, LogPage::default());
    let nowhere = Question::ReadLog(ReadLog::default());
    assert_eq!(world.ask(ann, nowhere), Err(ErrorCode::InvalidArguments));
}

#[test]
fn a_long_log_is_read_in_pages_up_to_its_last_seq() {
    let entries = u64::from(PAGE_ROWS_MAX) * 2 + 10;
    let (world, ann, general) = scene(entries);
    let mut read = Vec::new();
    loop {
        let from = read.last().map_or(1, |last| last + 1);
        let page = world.read_log(ann, Topic::Channel(general), from, 0);
        let page = page.unwrap();
        assert!(page.entries.len() <= PAGE_ROWS_MAX as usize);
        assert_eq!(page.last_seq, entries);
        read.extend(seqs(&page));
        if read.last() == Some(&page.last_seq) {
            break;
        }
    }
    assert_eq!(read, (1..=entries).collect::<Vec<_>>());
}

#[test]
fn long_texts_end_a_page_early_also_when_they_came_by_an_edit() {
    let (mut world, ann, general) = scene(2);
    let ts = world.history(ann, general).unwrap()[0].ts;
    let text = "x".repeat(TEXT_CHARS_MAX);
    for _ in 0..60 {
        world.edit(ann, general, ts, &text).unwrap();
    }
    let page = world.read_log(ann, Topic::Channel(general), 1, 0).unwrap();
    assert!((20..40).contains(&page.entries.len()));
    assert_eq!(seqs(&page)[..3], [1, 2, 3]);
    assert_eq!(page.last_seq, 62);
}

#[test]
fn a_log_keeps_the_place_of_what_was_deleted() {
    let (mut world, ann, general) = scene(4);
    let ts = world.history(ann, general).unwrap()[0].ts;
    world.edit(ann, general, ts, "two").unwrap();
    world.delete(ann, general, ts).unwrap();
    let page = world.read_log(ann, Topic::Channel(general), 1, 0).unwrap();
    assert_eq!(seqs(&page), [1, 2, 3, 4, 5, 6]);
    // The message, and the edit that speaks of it.
    for place in [0, 4] {
        match &page.entries[place].kind {
            Some(Kind::Posted(m) | Kind::Edited(m)) => {
                assert_eq!((m.seq, m.text.as_str(), m.deleted), (1, "", true));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn the_log_of_a_channel_one_may_see_is_open() {
    let (mut world, _, general) = scene(3);
    let bob = world.user("bob");
    assert_eq!(world.log(bob, Topic::Channel(general)).len(), 3);
    assert_eq!(world.log(bob, Topic::Workspace(HOME)).len(), 3);
}
