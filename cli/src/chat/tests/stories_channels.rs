//! Channels: what is unread, which one is shown, which ones there are.

use std::time::Duration;

use causeway_protocol::client::{self, entry::Kind};
use causeway_protocol::{ChannelId, ErrorCode, Seq};
use crossterm::event::{KeyCode, KeyModifiers};

use super::stage::{Stage, a_channel};
use super::world::{ADA, BOB, World, channel};
use crate::chat::ask::{Ask, Effect};

const SECOND: Duration = Duration::from_secs(1);

fn unread(stage: &Stage, number: u32) -> u32 {
    stage.app.channels.get(channel(number)).unwrap().unread
}

fn marks(asks: &[Ask]) -> Vec<(ChannelId, Seq)> {
    let marks = asks.iter().filter_map(|ask| match ask {
        Ask::MarkRead(channel, seq) => Some((*channel, *seq)),
        _ => None,
    });
    marks.collect()
}

/// Shows the other channel, so that what is said in `general` is not seen.
fn looking_away(world: World) -> Stage {
    let mut stage = Stage::set(world);
    stage.control('n');
    stage.answer_all();
    assert_eq!(stage.app.current, Some(channel(2)));
    stage
}

#[test]
fn what_is_said_elsewhere_is_unread_until_it_is_looked_at() {
    let mut stage = looking_away(World::default());
    for text in ["one", "two"] {
        let entry = stage.world.log.post(BOB, text);
        stage.push_general(entry);
    }
    let join = stage.world.log.join(BOB);
    stage.push_general(join);
    assert_eq!(unread(&stage, 1), 2);
    assert!(marks(&stage.asks()).is_empty());

    stage.control('p');
    assert_eq!(unread(&stage, 1), 0);
    assert_eq!(marks(&stage.asks()), [(channel(1), Seq(3))]);
}

#[test]
fn reading_is_told_once_a_second_at_the_most() {
    let mut stage = Stage::empty();
    let mut told = Vec::new();
    for n in 0..30 {
        let entry = stage.world.log.post(BOB, &n.to_string());
        stage.push_general(entry);
        for ask in stage.asks() {
            told.extend(marks(std::slice::from_ref(&ask)));
            let answer = stage.world.answer(&ask);
            stage.answer(ask, answer);
        }
        stage.wait(Duration::from_millis(100));
    }
    stage.wait(SECOND);
    told.extend(marks(&stage.asks()));
    assert!((3..=5).contains(&told.len()), "{told:?}");
    assert_eq!(told.last(), Some(&(channel(1), Seq(30))));
}

#[test]
fn reading_that_could_not_be_told_is_told_later() {
    let mut stage = Stage::empty();
    let entry = stage.world.log.post(BOB, "hello");
    stage.push_general(entry);
    stage.fail_all(ErrorCode::Unavailable);
    stage.disconnect("timed out");
    stage.wait(2 * SECOND);
    assert!(stage.take().is_empty());
    // The server still counts the message as unread; the user has seen it.
    let general = client::Channel {
        last_seq: 1,
        unread: 1,
        ..a_channel(1, "general")
    };
    stage.connect_to(vec![general]);
    assert_eq!(unread(&stage, 1), 0);
    assert_eq!(marks(&stage.asks()), [(channel(1), Seq(1))]);
}

#[test]
fn ones_own_messages_are_not_unread() {
    let mut stage = looking_away(World::default());
    let entry = stage.world.log.post(ADA, "from my telephone");
    stage.push_general(entry);
    assert_eq!(unread(&stage, 1), 0);
    let entry = stage.world.log.post(BOB, "hello");
    stage.push_general(entry);
    // As the server counts: after another's unread message, one's own is, too.
    let entry = stage.world.log.post(ADA, "hello");
    stage.push_general(entry);
    assert_eq!(unread(&stage, 1), 2);
}

#[test]
fn what_was_missed_is_counted_once() {
    let mut stage = looking_away(World::default());
    let first = stage.world.log.post(BOB, "one");
    stage.push_general(first);
    stage.disconnect("timed out");
    let second = stage.world.log.post(BOB, "two");
    let third = stage.world.log.post(BOB, "three");
    let general = client::Channel {
        last_seq: 3,
        unread: 3,
        ..a_channel(1, "general")
    };
    stage.connect_to(vec![general, a_channel(2, "tide")]);
    // What the start-up data has counted comes in as entries afterwards.
    stage.push_general(second);
    stage.push_general(third);
    assert_eq!(unread(&stage, 1), 3);
    let fourth = stage.world.log.post(BOB, "four");
    stage.push_general(fourth);
    assert_eq!(unread(&stage, 1), 4);
}

#[test]
fn scrolled_back_nothing_below_is_read() {
    let mut world = World::default();
    for n in 0..80 {
        world.log.post(BOB, &format!("message {n}"));
    }
    let mut stage = Stage::set(world);
    stage.press(KeyCode::PageUp);
    let entry = stage.world.log.post(BOB, "below");
    stage.push_general(entry);
    assert_eq!(unread(&stage, 1), 1);
    assert!(stage.screen().contains("1 new below"));
    stage.press(KeyCode::Esc);
    assert_eq!(unread(&stage, 1), 0);
    assert!(stage.screen().contains("below"));
}

#[test]
fn channels_stand_in_the_order_of_their_names_and_keys_go_round() {
    let mut stage = Stage::empty();
    let names = ["zebra", "Anchor", "general", "tide"];
    let channels = names.iter().zip(1..).map(|(name, n)| a_channel(n, name));
    stage.connect_to(channels.collect());
    let order: Vec<_> = stage
        .app
        .channels
        .iter()
        .map(|(_, c)| c.name.clone())
        .collect();
    assert_eq!(order, ["Anchor", "general", "tide", "zebra"]);
    stage.app.show(channel(1));
    stage.key(KeyCode::Down, KeyModifiers::ALT);
    assert_eq!(stage.app.current, Some(channel(2)));
    stage.key(KeyCode::Up, KeyModifiers::ALT);
    assert_eq!(stage.app.current, Some(channel(1)));
}

#[test]
fn the_switcher_goes_by_the_beginning_of_a_name() {
    let mut stage = Stage::empty();
    let names = ["general", "tide", "Timber", "tin"];
    let channels = names.iter().zip(1..).map(|(name, n)| a_channel(n, name));
    stage.connect_to(channels.collect());
    stage.control('k');
    stage.type_text("ti");
    assert_eq!(stage.app.offered(), [channel(2), channel(3), channel(4)]);
    stage.press(KeyCode::Down);
    stage.press(KeyCode::Enter);
    assert_eq!(stage.app.current, Some(channel(3)));
    assert!(stage.app.popup.is_none());

    stage.control('k');
    stage.type_text("nowhere");
    stage.press(KeyCode::Enter);
    assert_eq!(stage.app.current, Some(channel(3)));
    stage.control('k');
    stage.press(KeyCode::Esc);
    assert!(stage.app.popup.is_none());
}

#[test]
fn each_channel_keeps_what_was_being_typed_in_it() {
    let mut stage = Stage::empty();
    stage.type_text("half a thou");
    stage.control('n');
    assert_eq!(stage.app.input.text(), "");
    stage.type_text("other");
    stage.control('n');
    assert_eq!(stage.app.input.text(), "half a thou");
}

#[test]
fn channels_come_and_go_with_the_users_own_topic() {
    let mut stage = Stage::empty();
    stage.push_user(1, Kind::ChannelJoined(a_channel(3, "harbour-watch")));
    assert!(stage.app.channels.get(channel(3)).is_some());
    assert!(stage.notice().contains("#harbour-watch"));
    stage.type_text("typing");
    stage.push_user(2, Kind::ChannelLeft(channel(1).0));
    assert_eq!(stage.app.current, Some(channel(3)));
    assert_eq!(stage.app.input.text(), "typing");
    stage.push_user(3, Kind::ChannelLeft(channel(3).0));
    stage.push_user(4, Kind::ChannelLeft(channel(2).0));
    assert_eq!(stage.app.current, None);
    assert!(stage.screen().contains("You are in no channel"));
}

#[test]
fn entries_that_the_start_up_data_contains_change_nothing() {
    let mut stage = Stage::empty();
    stage.disconnect("timed out");
    // Left and joined again meanwhile: the start-up data has the end of it.
    stage.boot(client::BootData {
        channels: vec![a_channel(1, "general")],
        user_seq: 2,
        ..client::BootData::default()
    });
    stage.push_user(1, Kind::ChannelLeft(channel(1).0));
    assert!(stage.app.channels.get(channel(1)).is_some());
    stage.push_user(3, Kind::ChannelLeft(channel(1).0));
    assert!(stage.app.channels.get(channel(1)).is_none());
}

#[test]
fn a_new_channel_is_announced_with_the_way_into_it() {
    let mut stage = Stage::empty();
    let created = client::Channel {
        creator: super::world::user(BOB).0,
        ..a_channel(9, "kites")
    };
    let entry = client::Entry {
        seq: 1,
        kind: Some(Kind::ChannelCreated(created)),
        ..client::Entry::default()
    };
    let topic = causeway_protocol::Topic::Workspace(super::world::workspace());
    stage.push(topic, entry);
    assert_eq!(stage.notice(), "#kites is new; /join kites to join it");
    assert!(!stage.take().contains(&Effect::Quit));
}
