//! Messages: sent, placed, refused, edited, deleted, replied to.

use causeway_protocol::limits::TEXT_CHARS_MAX;
use causeway_protocol::{ApiError, ErrorCode, Timestamp, client};
use crossterm::event::{Event as TerminalEvent, KeyCode, KeyModifiers};

use super::stage::Stage;
use super::world::{ADA, BOB, CAROL, user};
use crate::chat::ask::{Ask, Effect, Input};

/// The texts in memory, oldest first.
pub fn texts(stage: &Stage) -> Vec<String> {
    let rows = stage.app.channel().unwrap().timeline.rows().values();
    let messages = rows.filter_map(|row| row.message());
    messages.map(|message| message.text.clone()).collect()
}

fn placed(entry: &client::Entry) -> client::Sent {
    client::Sent {
        seq: entry.seq,
        ts: entry.ts,
        duplicate: false,
    }
}

#[test]
fn a_message_waits_until_it_has_its_place() {
    let mut stage = Stage::empty();
    stage.enter("ahoy");
    let message = stage.the_message();
    assert_eq!(message.text, "ahoy");
    assert_eq!(stage.app.outbox.waiting(), 1);
    assert!(
        stage.screen().contains("◷ ada          ahoy"),
        "{}",
        stage.screen()
    );

    let entry = stage
        .world
        .log
        .post_as(ADA, "ahoy", 0, &message.client_msg_id);
    stage.sent(&message, Ok(placed(&entry)));
    assert_eq!(stage.app.outbox.waiting(), 0);
    assert_eq!(texts(&stage), ["ahoy"]);
    stage.push_general(entry);
    assert_eq!(texts(&stage), ["ahoy"]);
    assert!(!stage.screen().contains('◷'));
}

#[test]
fn the_entry_may_come_before_the_answer() {
    let mut stage = Stage::empty();
    stage.enter("ahoy");
    let message = stage.the_message();
    let entry = stage
        .world
        .log
        .post_as(ADA, "ahoy", 0, &message.client_msg_id);
    stage.push_general(entry.clone());
    assert_eq!(stage.app.outbox.waiting(), 0);
    stage.sent(&message, Ok(placed(&entry)));
    assert_eq!(texts(&stage), ["ahoy"]);
}

#[test]
fn anothers_message_under_the_same_id_settles_nothing() {
    let mut stage = Stage::empty();
    stage.enter("ahoy");
    let message = stage.the_message();
    let entry = stage
        .world
        .log
        .post_as(BOB, "mine", 0, &message.client_msg_id);
    stage.push_general(entry);
    assert_eq!(stage.app.outbox.waiting(), 1);
}

#[test]
fn every_message_has_an_id_of_its_own() {
    let mut stage = Stage::empty();
    stage.enter("same");
    let first = stage.the_message();
    stage.enter("same");
    let second = stage.the_message();
    assert_ne!(first.client_msg_id, second.client_msg_id);
}

#[test]
fn a_refused_message_says_why_until_it_is_dismissed() {
    let mut stage = Stage::empty();
    stage.enter("ahoy");
    let message = stage.the_message();
    let error = ApiError::new(ErrorCode::NotInChannel, "join first");
    stage.sent(&message, Err(error));
    let screen = stage.screen();
    assert!(
        screen.contains("✗ not sent: not_in_channel: join first"),
        "{screen}"
    );
    assert!(screen.contains("✗ 1 refused"));
    // What the client says is dismissed first.
    stage.app.tell("by the way");
    stage.press(KeyCode::Esc);
    assert!(stage.screen().contains('✗'));
    stage.press(KeyCode::Esc);
    assert!(!stage.screen().contains('✗'));
}

#[test]
fn a_message_refused_elsewhere_is_told() {
    let mut stage = Stage::empty();
    stage.enter("ahoy");
    let message = stage.the_message();
    stage.control('n');
    stage.sent(&message, Err(ErrorCode::NotInChannel.into()));
    assert_eq!(
        stage.notice(),
        "a message in #general was not sent: not_in_channel"
    );
}

#[test]
fn what_the_outbox_does_not_take_is_refused() {
    let mut stage = Stage::empty();
    stage.enter("ahoy");
    let client_msg_id = stage.the_message().client_msg_id;
    let reason = "the outbox is full".to_owned();
    stage.handle(Input::NotTaken {
        client_msg_id,
        reason,
    });
    assert_eq!(
        (stage.app.outbox.waiting(), stage.app.outbox.refused()),
        (0, 1)
    );
}

#[test]
fn edits_and_deletions_show_where_the_message_stands() {
    let mut stage = Stage::empty();
    let posted = stage.world.log.post(BOB, "see you at nine");
    stage.push_general(posted.clone());
    let edited = stage.world.log.edit(posted.ts, "see you at ten");
    stage.push_general(edited);
    assert!(stage.screen().contains("see you at ten (edited)"));
    let deleted = stage.world.log.delete(posted.ts);
    stage.push_general(deleted);
    let screen = stage.screen();
    assert!(
        screen.contains("(deleted)") && !screen.contains("ten"),
        "{screen}"
    );
}

#[test]
fn the_last_message_of_ones_own_is_edited_or_deleted() {
    let mut stage = Stage::empty();
    let first = stage.world.log.post(ADA, "first");
    let second = stage.world.log.post(ADA, "second");
    let others = stage.world.log.post(BOB, "third");
    for entry in [&first, &second, &others] {
        stage.push_general(entry.clone());
    }
    stage.take();
    stage.enter("/edit the second");
    let asks = stage.asks();
    let edit = Ask::Edit(client::EditMessage {
        channel: super::world::channel(1).0,
        ts: second.ts,
        text: "the second".into(),
    });
    assert!(asks.contains(&edit), "{asks:?}");

    // With the message marked it is that one.
    for _ in 0..3 {
        stage.key(KeyCode::Up, KeyModifiers::CONTROL);
    }
    stage.enter("/delete");
    let asks = stage.asks();
    let delete = Ask::Delete(client::DeleteMessage {
        channel: super::world::channel(1).0,
        ts: first.ts,
    });
    assert!(asks.contains(&delete), "{asks:?}");
}

#[test]
fn anothers_message_is_neither_edited_nor_deleted() {
    let mut stage = Stage::empty();
    stage.enter("/delete");
    assert!(stage.notice().contains("no message of yours"));
    let entry = stage.world.log.post(BOB, "bob's");
    stage.push_general(entry);
    stage.take();
    stage.key(KeyCode::Up, KeyModifiers::CONTROL);
    stage.press(KeyCode::Enter);
    assert!(stage.notice().contains("not yours"));
    assert!(!stage.asks().iter().any(|ask| matches!(ask, Ask::Delete(_))));
}

#[test]
fn edit_without_a_text_offers_the_present_one() {
    let mut stage = Stage::empty();
    let entry = stage.world.log.post(ADA, "teh tide");
    stage.push_general(entry);
    stage.enter("/edit");
    assert_eq!(stage.app.input.text(), "/edit teh tide");
}

#[test]
fn replies_go_to_the_thread_of_the_last_or_the_marked_message() {
    let mut stage = Stage::empty();
    let root = stage.world.log.post(BOB, "lunch?");
    let reply = stage.world.log.reply(CAROL, "yes", root.ts);
    let other = stage.world.log.post(BOB, "rain");
    for entry in [&root, &reply, &other] {
        stage.push_general(entry.clone());
    }
    stage.take();
    stage.enter("/reply a lot of it");
    let message = stage.the_message();
    assert_eq!(message.thread, Some(Timestamp(other.ts)));
    // Marked is a reply: the thread is the one it stands in.
    stage.key(KeyCode::Up, KeyModifiers::SHIFT);
    stage.key(KeyCode::Up, KeyModifiers::SHIFT);
    stage.enter("/reply me too");
    let message = stage.the_message();
    assert_eq!(message.thread, Some(Timestamp(root.ts)));
}

#[test]
fn replies_are_counted_where_the_thread_starts() {
    let mut stage = Stage::empty();
    let root = stage.world.log.post(BOB, "lunch?");
    stage.push_general(root.clone());
    let reply = stage.world.log.reply(CAROL, "yes", root.ts);
    stage.push_general(reply.clone());
    stage.push_general(reply);
    assert!(
        stage.screen().contains("lunch? ↳ 1 reply"),
        "{}",
        stage.screen()
    );
}

#[test]
fn a_text_that_is_too_long_is_kept_and_not_sent() {
    let mut stage = Stage::empty();
    let text = "海".repeat(TEXT_CHARS_MAX + 1);
    stage.handle(Input::Terminal(TerminalEvent::Paste(text)));
    stage.press(KeyCode::Enter);
    assert_eq!(
        stage.notice(),
        "too long: 40001 characters; a message has up to 40000"
    );
    assert!(
        !stage
            .take()
            .iter()
            .any(|effect| matches!(effect, Effect::Send(_)))
    );
    stage.press(KeyCode::Backspace);
    stage.press(KeyCode::Enter);
    assert_eq!(stage.the_message().text.chars().count(), TEXT_CHARS_MAX);
}

#[test]
fn nothing_is_sent_for_an_empty_line_and_several_lines_are_one_message() {
    let mut stage = Stage::empty();
    stage.enter("   ");
    assert!(stage.take().is_empty());
    stage.app.input.take();
    stage.type_text("one");
    stage.key(KeyCode::Enter, KeyModifiers::ALT);
    stage.enter("two");
    assert_eq!(stage.the_message().text, "one\ntwo");
}

#[test]
fn lines_sent_before_come_back_with_the_arrow() {
    let mut stage = Stage::empty();
    stage.enter("first");
    stage.enter("second");
    stage.press(KeyCode::Up);
    stage.press(KeyCode::Up);
    assert_eq!(stage.app.input.text(), "first");
    stage.press(KeyCode::Down);
    stage.press(KeyCode::Down);
    assert_eq!(stage.app.input.text(), "");
}

#[test]
fn who_is_not_known_is_asked_for_once() {
    let mut stage = Stage::empty();
    for text in ["one", "two"] {
        let entry = stage.world.log.post(CAROL, text);
        stage.push_general(entry);
    }
    let asks = stage.asks();
    let wanted = Ask::User(user(CAROL));
    assert_eq!(asks.iter().filter(|ask| **ask == wanted).count(), 1);
    assert!(stage.screen().contains(&user(CAROL).to_string()[..8]));
    stage.answer(wanted.clone(), stage.world.answer(&wanted));
    assert!(stage.screen().contains("carol"));
}

#[test]
fn who_could_not_be_asked_for_is_asked_for_again() {
    let mut stage = Stage::empty();
    stage.answer_all();
    let entry = stage.world.log.post(CAROL, "hello");
    stage.push_general(entry);
    stage.fail_all(ErrorCode::Unavailable);
    assert!(!stage.asks().contains(&Ask::User(user(CAROL))));
    stage.wait(std::time::Duration::from_secs(3));
    assert!(stage.asks().contains(&Ask::User(user(CAROL))));
}
