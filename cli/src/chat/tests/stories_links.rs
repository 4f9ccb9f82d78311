//! Connections that come and go.

use std::time::Duration;

use causeway_client::Event;
use causeway_protocol::{ApiError, ErrorCode};
use crossterm::event::{KeyCode, KeyModifiers};

use super::stage::Stage;
use super::stories_messages::texts;
use super::world::{BOB, World};
use crate::chat::ask::{Ask, Effect, Input};

fn status(stage: &Stage) -> String {
    stage.app.link.text(stage.now)
}

#[test]
fn the_status_line_tells_of_the_connection() {
    let mut stage = Stage::offline();
    stage.wait(Duration::from_secs(2));
    assert_eq!(status(&stage), "◌ connecting … 2 s");
    stage.connect_to(stage.two_channels());
    assert_eq!(
        status(&stage),
        "● connected to PoP lisbon, round trip 12 ms"
    );
    stage.disconnect("timed out");
    stage.wait(Duration::from_secs(5));
    // Another try has failed: the time counts from the first.
    stage.disconnect("nyc: no answer within 3s");
    stage.wait(Duration::from_secs(2));
    assert_eq!(
        status(&stage),
        "◌ reconnecting … 7 s: nyc: no answer within 3s"
    );
    assert!(stage.screen().contains("reconnecting … 7 s"));
}

#[test]
fn the_round_trip_is_measured_while_connected() {
    let mut stage = Stage::empty();
    stage.wait(Duration::from_secs(11));
    let asks = stage.asks();
    assert!(asks.contains(&Ask::Ping));
    stage.answer(Ask::Ping, stage.world.answer(&Ask::Ping));
    assert_eq!(
        status(&stage),
        "● connected to PoP lisbon, round trip 20 ms"
    );
    stage.wait(Duration::from_secs(1));
    assert!(!stage.asks().contains(&Ask::Ping));
}

#[test]
fn without_a_connection_one_goes_on_typing() {
    let mut stage = Stage::empty();
    stage.disconnect("the region is gone");
    stage.enter("still here");
    let message = stage.the_message();
    assert!(stage.screen().contains("◷ 1 waiting"), "{}", stage.screen());
    stage.wait(Duration::from_secs(60));
    assert!(
        stage.take().is_empty(),
        "no request is made without a connection"
    );

    stage.connect_to(stage.two_channels());
    let entry = stage
        .world
        .log
        .post_as(super::world::ADA, "still here", 0, &message.client_msg_id);
    stage.push_general(entry);
    assert_eq!(texts(&stage), ["still here"]);
    assert_eq!(stage.app.outbox.waiting(), 0);
}

#[test]
fn before_the_first_connection_there_is_nothing_to_write_into() {
    let mut stage = Stage::offline();
    stage.enter("too early");
    assert!(stage.notice().contains("no channel"));
    assert_eq!(stage.app.input.text(), "too early");
}

#[test]
fn after_a_break_entries_go_on_where_they_stopped() {
    let mut world = World::default();
    world.log.post(BOB, "one");
    let mut stage = Stage::set(world);
    stage.disconnect("timed out");
    let two = stage.world.log.post(BOB, "two");
    stage.connect_to(stage.two_channels());
    stage.push_general(two);
    assert_eq!(texts(&stage), ["one", "two"]);
}

#[test]
fn reconnecting_can_be_asked_for() {
    let mut stage = Stage::empty();
    stage.control('r');
    assert!(stage.take().contains(&Effect::Reconnect));
    stage.control('l');
    assert_eq!(stage.take(), [Effect::Redraw]);
}

#[test]
fn a_client_that_has_stopped_says_so_and_sends_nothing() {
    let mut stage = Stage::empty();
    let error = ApiError::new(ErrorCode::TokenExpired, "sign in again");
    stage.tell(Event::Stopped(error));
    stage.handle(Input::ClientGone);
    assert_eq!(status(&stage), "✗ stopped: token_expired: sign in again");
    stage.enter("hello?");
    assert!(stage.notice().contains("has stopped"));
    stage.control('r');
    assert!(stage.take().is_empty());
}

#[test]
fn quitting_with_messages_on_their_way_takes_two_steps() {
    let mut stage = Stage::empty();
    stage.disconnect("timed out");
    stage.enter("important");
    stage.take();
    stage.control('c');
    assert!(stage.notice().contains("not sent yet"));
    assert!(stage.take().is_empty());
    // Another key in between: it was not meant.
    stage.key(KeyCode::Char('x'), KeyModifiers::NONE);
    stage.control('c');
    assert!(stage.take().is_empty());
    stage.control('c');
    assert_eq!(stage.take(), [Effect::Quit]);
}
