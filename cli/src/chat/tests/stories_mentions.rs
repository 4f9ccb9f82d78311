//! Somebody is mentioned.

use causeway_protocol::ErrorCode;
use crossterm::event::KeyCode;

use super::stage::Stage;
use super::world::{BOB, CAROL, World, channel, user};
use crate::chat::ask::Ask;

fn complete(prefix: &str) -> Ask {
    Ask::Complete {
        channel: channel(1),
        prefix: prefix.into(),
    }
}

#[test]
fn a_name_is_completed_and_goes_out_as_an_id() {
    let mut stage = Stage::empty();
    stage.type_text("see @c");
    assert_eq!(stage.asks(), [complete(""), complete("c")]);
    stage.answer(complete("c"), stage.world.answer(&complete("c")));
    assert!(stage.screen().contains("─ Tab: @carol ─"));
    stage.press(KeyCode::Tab);
    assert_eq!(stage.app.input.text(), "see @carol ");
    assert!(!stage.screen().contains("Tab:"));
    stage.enter("and @bob");
    let text = stage.the_message().text;
    assert_eq!(text, format!("see <@{}> and @bob", user(CAROL)));
    assert!(stage.screen().contains("see @carol and @bob"));
}

#[test]
fn what_is_offered_is_for_what_is_typed_now() {
    let mut stage = Stage::empty();
    stage.type_text("@b");
    stage.answer_all();
    assert!(stage.screen().contains("Tab: @bob"));
    stage.type_text("x");
    stage.press(KeyCode::Tab);
    assert_eq!(stage.app.input.text(), "@bx", "nobody is offered");
    stage.press(KeyCode::Backspace);
    stage.answer_all();
    stage.disconnect("a tunnel");
    stage.type_text("o");
    stage.press(KeyCode::Tab);
    assert_eq!(stage.app.input.text(), "@bo", "nobody is asked");
    assert!(!stage.asks().contains(&complete("bo")));
}

#[test]
fn without_an_answer_one_goes_on_typing() {
    let mut stage = Stage::empty();
    stage.type_text("@b");
    stage.fail_all(ErrorCode::Unavailable);
    assert_eq!(stage.notice(), "");
    stage.enter("ob");
    assert_eq!(stage.the_message().text, "@bob");
}

#[test]
fn who_is_mentioned_is_shown_by_name_and_asked_for_if_need_be() {
    let mut world = World::default();
    world.log.post(BOB, &format!("ask <@{}>", user(CAROL)));
    let mut stage = Stage::set(world);
    assert!(stage.screen().contains("ask @carol"));
    let said = stage.world.log.post(CAROL, &format!("<@{}|b>?", user(BOB)));
    stage.push_general(said);
    assert!(stage.screen().contains("@bob?"));
}
