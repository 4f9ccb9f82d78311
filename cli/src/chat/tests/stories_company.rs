//! Who else is there.

use std::time::{Duration, Instant};

use causeway_client::Event;
use causeway_protocol::client;

use super::stage::Stage;
use super::world::{BOB, CAROL, World, channel, user};
use crate::chat::ask::Effect;

const SIX_SECONDS: Duration = Duration::from_secs(6);

fn types(stage: &mut Stage, of: u32) {
    stage.tell(Event::Typing {
        channel: channel(1),
        user: user(of),
        thread: None,
        good_for: SIX_SECONDS,
        at: Instant::now(),
    });
    stage.answer_all();
}

fn presence(stage: &mut Stage, of: u32, online: bool) {
    stage.tell(Event::Presence {
        users: vec![(user(of), online)],
        at: Instant::now(),
    });
}

/// Bob has said something in `general`.
fn stage() -> Stage {
    let mut world = World::default();
    world.log.post(BOB, "good morning");
    Stage::set(world)
}

fn looks(stage: &mut Stage) -> Vec<Effect> {
    std::mem::take(&mut stage.looks)
}

#[test]
fn what_is_on_the_screen_is_told_once() {
    let mut stage = stage();
    let told = [
        Effect::Open(Some(channel(1))),
        Effect::Watch(vec![user(BOB)]),
    ];
    assert_eq!(looks(&mut stage), told);
    let said = stage.world.log.post(CAROL, "hello");
    stage.push_general(said);
    let both = vec![user(BOB), user(CAROL)];
    assert_eq!(looks(&mut stage), [Effect::Watch(both)]);
    stage.control('n');
    let told = [Effect::Open(Some(channel(2))), Effect::Watch(vec![])];
    assert_eq!(looks(&mut stage), told);
}

#[test]
fn writing_a_message_is_told_now_and_then_and_a_command_is_not() {
    let mut stage = stage();
    looks(&mut stage);
    stage.type_text("/who");
    assert_eq!(looks(&mut stage), []);
    stage.control('u');
    stage.type_text("good morning");
    assert_eq!(looks(&mut stage), [Effect::Types(channel(1))]);
    stage.wait(Duration::from_secs(3));
    stage.type_text(", bob");
    assert_eq!(looks(&mut stage), [Effect::Types(channel(1))]);
    stage.disconnect("gone");
    stage.wait(Duration::from_secs(3));
    stage.type_text("!");
    assert_eq!(looks(&mut stage), []);
}

#[test]
fn whoever_types_is_named_until_they_have_posted_or_stopped() {
    let mut stage = stage();
    assert!(!stage.screen().contains("typing"));
    types(&mut stage, BOB);
    assert!(stage.screen().contains("─ bob is typing … ─"));
    types(&mut stage, CAROL);
    assert!(stage.screen().contains("bob and carol are typing …"));
    for other in 10..13 {
        types(&mut stage, other);
    }
    assert!(stage.screen().contains("several people are typing …"));
    stage.wait(SIX_SECONDS / 2);
    types(&mut stage, CAROL);
    stage.wait(SIX_SECONDS / 2);
    assert!(stage.screen().contains("carol is typing …"));
    let said = stage.world.log.post(CAROL, "hello");
    stage.push_general(said);
    assert!(!stage.screen().contains("typing"));
}

#[test]
fn whoever_is_online_has_a_mark() {
    let mut stage = stage();
    assert!(!stage.screen().contains('•'));
    presence(&mut stage, BOB, true);
    assert!(stage.screen().contains("bob         •good morning"));
    presence(&mut stage, BOB, false);
    assert!(!stage.screen().contains('•'));
    presence(&mut stage, BOB, true);
    stage.disconnect("gone");
    assert!(!stage.screen().contains('•'), "nobody knows");
}

#[test]
fn a_closed_channel_is_counted() {
    let mut stage = stage();
    let count = |stage: &mut Stage, last_seq, messages, mentioned: &[u64]| {
        stage.tell(Event::Counter {
            counter: client::Counter {
                channel: channel(2).0,
                last_seq,
                messages,
                mentioned: mentioned.to_vec(),
            },
            at: Instant::now(),
        });
    };
    count(&mut stage, 4, 4, &[]);
    assert!(stage.screen().contains("# tide"));
    assert!(stage.screen().contains(" 4 "));
    count(&mut stage, 4, 4, &[]);
    count(&mut stage, 9, 7, &[8]);
    assert!(
        stage.screen().contains(" @7 "),
        "two entries are no messages"
    );
    // Opened, it is read; what comes then was counted before.
    stage.control('n');
    stage.answer_all();
    assert!(!stage.screen().contains('@'));
    let tide = stage.app.channels.get(channel(2)).expect("it is there");
    assert_eq!((tide.unread, tide.mentions, tide.last_seq.0), (0, 0, 9));
}
