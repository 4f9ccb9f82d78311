//! History: pages of older messages, once each, in bounded memory.

use causeway_protocol::client;
use causeway_protocol::{ErrorCode, Seq};
use crossterm::event::{KeyCode, MouseEvent, MouseEventKind};

use super::stage::Stage;
use super::stories_messages::texts;
use super::world::{BOB, CAROL, World};
use crate::chat::ask::{Ask, Input};
use crate::chat::timeline::ROWS_MAX;

fn a_world_with(messages: usize) -> World {
    let mut world = World::default();
    for n in 0..messages {
        world.log.post(BOB, &format!("message {n}"));
    }
    world
}

fn expected(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| format!("message {n}")).collect()
}

fn reads(asks: &[Ask]) -> Vec<&client::ReadHistory> {
    let reads = asks.iter().filter_map(|ask| match ask {
        Ask::History { read, .. } => Some(read),
        _ => None,
    });
    reads.collect()
}

#[test]
fn a_channel_opens_with_its_newest_messages() {
    let stage = Stage::set(a_world_with(150));
    assert_eq!(texts(&stage), expected(50..150));
    assert!(stage.screen().contains("message 149"));
}

#[test]
fn page_up_at_the_top_loads_what_is_older_once() {
    let mut stage = Stage::set(a_world_with(250));
    for _ in 0..30 {
        stage.press(KeyCode::PageUp);
        stage.answer_all();
    }
    assert_eq!(texts(&stage), expected(0..250));
    assert!(stage.screen().contains("message 0"));
    stage.press(KeyCode::PageUp);
    assert!(reads(&stage.asks()).is_empty());
}

#[test]
fn without_a_connection_older_messages_wait_for_one() {
    let mut stage = Stage::set(a_world_with(250));
    stage.disconnect("timed out");
    for _ in 0..30 {
        stage.press(KeyCode::PageUp);
    }
    assert!(stage.take().is_empty());
    assert!(stage.notice().contains("when there is a connection"));
    stage.connect_to(stage.two_channels());
    stage.press(KeyCode::PageUp);
    stage.answer_all();
    assert_eq!(texts(&stage), expected(50..250));
}

#[test]
fn threads_are_part_of_the_history() {
    let mut world = World::default();
    let root = world.log.post(BOB, "root");
    world.log.reply(CAROL, "reply", root.ts);
    let mut stage = Stage::offline();
    stage.world = world;
    stage.connect_to(stage.two_channels());
    let asks = stage.asks();
    assert!(reads(&asks)[0].with_replies);
    for ask in asks {
        let answer = stage.world.answer(&ask);
        stage.answer(ask, answer);
    }
    assert!(
        stage.screen().contains("root ↳ 1 reply"),
        "{}",
        stage.screen()
    );
    assert!(stage.screen().contains("↳ reply"));
}

#[test]
fn the_wheel_scrolls_and_nothing_jumps_when_something_comes_in() {
    let mut stage = Stage::set(a_world_with(100));
    for _ in 0..3 {
        stage.handle(Input::Terminal(crossterm::event::Event::Mouse(
            MouseEvent {
                kind: MouseEventKind::ScrollUp,
                column: 5,
                row: 5,
                modifiers: crossterm::event::KeyModifiers::NONE,
            },
        )));
    }
    let pane = |stage: &Stage| {
        let (width, height) = stage.app.pane();
        let lines = stage.app.visible(width, height);
        lines.into_iter().map(|(key, _)| key).collect::<Vec<_>>()
    };
    let before = pane(&stage);
    let entry = stage.world.log.post(BOB, "below");
    stage.push_general(entry);
    assert_eq!(pane(&stage), before);
    stage.press(KeyCode::PageDown);
    assert!(stage.screen().contains("below"));
}

#[test]
fn what_comes_in_while_the_first_page_is_under_way_is_not_lost() {
    let mut stage = Stage::offline();
    stage.world = a_world_with(10);
    let first_ts = *stage.world.log.messages.keys().next().unwrap();
    stage.connect_to(stage.two_channels());
    let asks = stage.asks();
    let pages: Vec<_> = asks.iter().map(|ask| stage.world.answer(ask)).collect();
    // All of this happens between the reading and the answer.
    let posted = stage.world.log.post(BOB, "message 10");
    let edited = stage.world.log.edit(first_ts, "message zero");
    let second_ts = *stage.world.log.messages.keys().nth(1).unwrap();
    let deleted = stage.world.log.delete(second_ts);
    for entry in [posted, edited, deleted] {
        stage.push_general(entry);
    }
    for (ask, page) in asks.into_iter().zip(pages) {
        stage.answer(ask, page);
    }
    let mut wanted = expected(0..11);
    wanted[0] = "message zero".into();
    wanted[1] = String::new();
    assert_eq!(texts(&stage), wanted);
}

#[test]
fn a_page_that_cannot_be_read_is_asked_for_again() {
    let mut stage = Stage::offline();
    stage.world = a_world_with(10);
    stage.connect_to(stage.two_channels());
    stage.fail_all(ErrorCode::Unavailable);
    assert!(stage.notice().contains("could not be loaded"));
    assert!(reads(&stage.asks()).is_empty());
    stage.wait(std::time::Duration::from_secs(3));
    stage.answer_all();
    assert_eq!(texts(&stage), expected(0..10));
}

#[test]
fn memory_is_bounded_and_what_was_cut_off_is_read_again() {
    let total = ROWS_MAX + 700;
    let mut stage = Stage::set(a_world_with(total));
    stage.resize(100, 52);
    let rows = |stage: &Stage| stage.app.channel().unwrap().timeline.rows().len();
    while !texts(&stage).contains(&"message 0".to_owned()) {
        stage.press(KeyCode::PageUp);
        stage.answer_all();
        assert!(rows(&stage) <= ROWS_MAX);
    }
    assert_eq!(texts(&stage), expected(0..ROWS_MAX));
    // The newest are no longer in memory, and what comes in is only counted.
    let entry = stage.world.log.post(BOB, &format!("message {total}"));
    stage.push_general(entry);
    assert_eq!(texts(&stage), expected(0..ROWS_MAX));
    assert_eq!(stage.app.channel().unwrap().unread, 1);

    for _ in 0..100 {
        stage.press(KeyCode::PageDown);
        stage.answer_all();
        assert!(rows(&stage) <= ROWS_MAX);
    }
    assert_eq!(texts(&stage), expected(total + 1 - ROWS_MAX..total + 1));
    assert_eq!(stage.app.channel().unwrap().unread, 0);
}

#[test]
fn escape_goes_straight_back_to_the_newest() {
    let mut stage = Stage::set(a_world_with(ROWS_MAX + 300));
    stage.resize(100, 52);
    while !texts(&stage).contains(&"message 0".to_owned()) {
        stage.press(KeyCode::PageUp);
        stage.answer_all();
    }
    stage.press(KeyCode::Esc);
    stage.answer_all();
    assert!(
        stage
            .screen()
            .contains(&format!("message {}", ROWS_MAX + 299))
    );
}

#[test]
fn a_stream_of_messages_pushes_old_ones_out() {
    let mut stage = Stage::empty();
    for n in 0..ROWS_MAX + 100 {
        let entry = stage.world.log.post(BOB, &format!("message {n}"));
        stage.push_general(entry);
    }
    stage.answer_all();
    assert_eq!(texts(&stage), expected(100..ROWS_MAX + 100));
    let first = stage.app.channel().unwrap().timeline.rows().keys().next();
    assert_eq!(first, Some(&Seq(101)));
}

#[test]
fn long_texts_push_others_out_before_there_are_many() {
    let mut stage = Stage::empty();
    let text = "x".repeat(40_000);
    for _ in 0..600 {
        let entry = stage.world.log.post(BOB, &text);
        stage.push_general(entry);
    }
    let rows = stage.app.channel().unwrap().timeline.rows().len();
    assert!((150..250).contains(&rows), "{rows}");
}

#[test]
fn few_messages_of_the_longest_kind_are_enough() {
    let mut world = World::default();
    for _ in 0..100 {
        world.log.post(BOB, &"👋".repeat(40_000));
    }
    // Were more asked for than there is room for, this would never end.
    let mut stage = Stage::set(world);
    let rows = stage.app.channel().unwrap().timeline.rows().len();
    assert!((20..60).contains(&rows), "{rows}");
    stage.press(KeyCode::PageUp);
    stage.answer_all();
}

#[test]
fn where_the_unread_messages_begin_is_marked() {
    let mut world = a_world_with(10);
    world.log.post(BOB, "after");
    let mut stage = Stage::offline();
    stage.world = world;
    let mut channels = stage.two_channels();
    channels[0].read_seq = 8;
    channels[0].unread = 3;
    stage.connect_to(channels);
    stage.answer_all();
    let screen = stage.screen();
    let (above, below) = screen.split_once(" new ").expect(&screen);
    assert!(
        above.contains("message 7") && below.contains("message 8"),
        "{screen}"
    );
}

#[test]
fn the_mark_also_stands_above_the_first_message_of_all() {
    let mut stage = Stage::offline();
    stage.world = a_world_with(3);
    let mut channels = stage.two_channels();
    channels[0].read_seq = 0;
    channels[0].unread = 3;
    stage.connect_to(channels);
    stage.answer_all();
    let screen = stage.screen();
    let (above, below) = screen.split_once(" new ").expect(&screen);
    assert!(
        !above.contains("message") && below.contains("message 0"),
        "{screen}"
    );
}

#[test]
fn the_first_message_on_the_screen_has_its_authors_name() {
    let mut stage = Stage::set(a_world_with(100));
    stage.press(KeyCode::PageUp);
    let screen = stage.screen();
    let names: Vec<_> = screen.lines().map(|line| line.contains(" bob ")).collect();
    assert!(names[1] && !names[2], "{screen}");
}
