//! What holds whatever happens, in whatever order.

use std::time::{Duration, Instant};

use causeway_client::Event;
use causeway_protocol::client::{self, entry::Kind, response::Result as Body};
use causeway_protocol::{ApiError, ErrorCode, Topic};
use crossterm::event::{
    Event as TerminalEvent, KeyCode, KeyEvent, KeyModifiers, MouseEvent, MouseEventKind,
};
use proptest::collection::vec;
use proptest::prelude::*;

use super::stage::{Stage, a_channel};
use super::world::{ADA, BOB, World, channel, user};
use crate::chat::ask::{Effect, Input};
use crate::chat::outbox::PENDING_MAX;
use crate::chat::timeline::ROWS_MAX;

/// Something that may happen to the app.
#[derive(Debug, Clone)]
enum Happening {
    Key(KeyEvent),
    Terminal(TerminalEvent),
    Entry(Topic, Box<client::Entry>),
    Boot(Vec<client::Channel>),
    Disconnected(String),
    Stopped,
    /// One of the requests under way is answered: as asked, or not.
    Answered(usize, Answered),
    /// One of the messages on their way has its place, or none.
    Sent(usize, bool, u64),
    Waited(Duration),
}

#[derive(Debug, Clone)]
enum Answered {
    Well,
    Refused(ErrorCode),
    Odd,
}

fn a_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{0,12}",
        "[a 海👋\u{301}\u{200d}\u{202e}\n\t\x1b]{0,80}",
        "/(join|create|leave|edit|delete|reply|who|help|zzz) ?[a-z#海]{0,5}( private)?",
    ]
}

fn a_key() -> impl Strategy<Value = KeyEvent> {
    use KeyCode::*;
    let codes = vec![
        Enter,
        Esc,
        Up,
        Down,
        Left,
        Right,
        Home,
        End,
        PageUp,
        PageDown,
        Backspace,
        Delete,
        Tab,
        F(1),
        F(5),
        Insert,
    ];
    let letters = "abcdefhjknpruw".chars().map(Char).collect::<Vec<_>>();
    let plain = prop::sample::select(codes);
    let letter = prop::sample::select(letters);
    let modifiers = prop::bits::u8::between(0, 3).prop_map(KeyModifiers::from_bits_truncate);
    let code = prop_oneof![4 => plain, 2 => letter, 2 => any::<char>().prop_map(Char)];
    (code, modifiers).prop_map(|(code, modifiers)| KeyEvent::new(code, modifiers))
}

fn a_number() -> impl Strategy<Value = u64> {
    prop_oneof![6 => 0..40u64, 1 => any::<u64>(), 1 => Just(u64::MAX)]
}

fn a_message() -> impl Strategy<Value = client::Message> {
    let numbers = (a_number(), a_number(), a_number(), a_number(), a_number());
    (numbers, a_text(), any::<bool>(), 0..3u32).prop_map(|(numbers, text, deleted, replies)| {
        client::Message {
            channel: channel(1).0,
            seq: numbers.0,
            ts: numbers.1,
            user: numbers.2,
            thread_ts: numbers.3,
            edited_ts: numbers.4,
            text,
            deleted,
            reply_count: replies,
            ..client::Message::default()
        }
    })
}

fn a_channel_of_ours() -> impl Strategy<Value = client::Channel> {
    (
        1..5u32,
        "[a-z海]{1,9}",
        a_number(),
        a_number(),
        any::<u32>(),
    )
        .prop_map(
            |(number, name, last_seq, read_seq, unread)| client::Channel {
                last_seq,
                read_seq,
                unread,
                members: unread,
                ..a_channel(number, &name)
            },
        )
}

fn a_kind() -> impl Strategy<Value = Kind> {
    let number = || (1..5u32).prop_map(|n| channel(n).0);
    prop_oneof![
        6 => a_message().prop_map(Kind::Posted),
        2 => a_message().prop_map(Kind::Edited),
        2 => (a_number(), a_number(), a_number())
            .prop_map(|(seq, ts, user)| Kind::Deleted(client::Deleted { seq, ts, user })),
        1 => a_number().prop_map(Kind::MemberJoined),
        1 => a_number().prop_map(Kind::MemberLeft),
        1 => a_channel_of_ours().prop_map(Kind::ChannelJoined),
        1 => number().prop_map(Kind::ChannelLeft),
        1 => a_channel_of_ours().prop_map(Kind::ChannelCreated),
    ]
}

fn an_entry() -> impl Strategy<Value = Happening> {
    let topic = prop_oneof![
        4 => (1..4u32).prop_map(|n| Topic::Channel(channel(n))),
        1 => Just(Topic::User(user(ADA))),
        1 => Just(Topic::Workspace(super::world::workspace())),
    ];
    (topic, a_number(), a_number(), prop::option::of(a_kind())).prop_map(
        |(topic, seq, ts, kind)| {
            let entry = client::Entry {
                seq,
                ts,
                messages: 0,
                kind,
            };
            Happening::Entry(topic, Box::new(entry))
        },
    )
}

fn a_happening() -> impl Strategy<Value = Happening> {
    let answered = prop_oneof![
        4 => Just(Answered::Well),
        1 => prop::sample::select(ErrorCode::ALL.to_vec()).prop_map(Answered::Refused),
        1 => Just(Answered::Odd),
    ];
    let size = || prop_oneof![4 => 0..100u16, 1 => 100..400u16];
    let wheel = prop_oneof![
        Just(MouseEventKind::ScrollUp),
        Just(MouseEventKind::ScrollDown)
    ];
    prop_oneof![
        12 => a_key().prop_map(Happening::Key),
        3 => a_text().prop_map(|text| Happening::Terminal(TerminalEvent::Paste(text))),
        2 => wheel.prop_map(|kind| Happening::Terminal(TerminalEvent::Mouse(MouseEvent {
            kind,
            column: 0,
            row: 0,
            modifiers: KeyModifiers::NONE,
        }))),
        2 => (size(), size()).prop_map(|(w, h)| Happening::Terminal(TerminalEvent::Resize(w, h))),
        8 => an_entry(),
        2 => vec(a_channel_of_ours(), 0..5).prop_map(Happening::Boot),
        1 => a_text().prop_map(Happening::Disconnected),
        8 => (any::<usize>(), answered).prop_map(|(n, how)| Happening::Answered(n, how)),
        3 => (any::<usize>(), any::<bool>(), a_number())
            .prop_map(|(n, placed, seq)| Happening::Sent(n, placed, seq)),
        2 => (0..5_000u64).prop_map(|ms| Happening::Waited(Duration::from_millis(ms))),
        1 => Just(Happening::Stopped).prop_filter("rarely", |_| true),
    ]
}

/// A page of what nobody has asked for.
fn odd_page() -> Body {
    Body::Messages(client::MessagePage {
        messages: vec![client::Message {
            seq: u64::MAX,
            ts: u64::MAX,
            user: u64::MAX,
            ..client::Message::default()
        }],
        next_cursor: "more".into(),
    })
}

fn happen(stage: &mut Stage, happening: Happening) {
    match happening {
        Happening::Key(key) => stage.handle(Input::Terminal(TerminalEvent::Key(key))),
        Happening::Terminal(event) => stage.handle(Input::Terminal(event)),
        Happening::Entry(topic, entry) => stage.push(topic, *entry),
        Happening::Boot(channels) => stage.connect_to(channels),
        Happening::Disconnected(reason) => stage.disconnect(&reason),
        Happening::Stopped => stage.tell(Event::Stopped(ErrorCode::TokenExpired.into())),
        Happening::Waited(time) => stage.wait(time),
        Happening::Answered(which, how) => {
            let asks = stage
                .effects
                .iter()
                .enumerate()
                .filter_map(|(at, effect)| match effect {
                    Effect::Ask(ask) => Some((at, ask.clone())),
                    _ => None,
                });
            let asks: Vec<_> = asks.collect();
            let Some((at, ask)) = asks.get(which % asks.len().max(1)).cloned() else {
                return;
            };
            stage.effects.remove(at);
            let result = match how {
                Answered::Well => stage.world.answer(&ask),
                Answered::Refused(code) => Err(ApiError::new(code, "why\n\x1b[2J")),
                Answered::Odd => Ok(odd_page()),
            };
            stage.answer(ask, result);
        }
        Happening::Sent(which, placed, seq) => {
            let sent = stage.effects.iter().filter_map(|effect| match effect {
                Effect::Send(message) => Some(message.clone()),
                _ => None,
            });
            let sent: Vec<_> = sent.collect();
            let Some(message) = sent.get(which % sent.len().max(1)) else {
                return;
            };
            let place = client::Sent {
                seq,
                ts: seq,
                duplicate: false,
            };
            let refusal = ApiError::from(ErrorCode::NotInChannel);
            let at = Instant::now();
            stage.tell(Event::Sent {
                client_msg_id: message.client_msg_id.clone(),
                result: if placed { Ok(place) } else { Err(refusal) },
                at,
            });
        }
    }
}

/// How many cases; a failing one is printed, not stored.
pub fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn check(stage: &Stage) {
    let (width, height) = stage.app.size;
    if width > 0 && height > 0 {
        let (buffer, cursor) = stage.draw();
        assert!(cursor.x < width && cursor.y < height, "{cursor:?}");
        let steers = |cell: &ratatui::buffer::Cell| cell.symbol().contains(char::is_control);
        assert!(!buffer.content.iter().any(steers));
    }
    for (_, channel) in stage.app.channels.iter() {
        assert!(channel.timeline.rows().len() <= ROWS_MAX);
        assert!(channel.read_seq <= channel.last_seq.max(channel.marked_seq));
    }
    assert!(stage.app.outbox.waiting() + stage.app.outbox.refused() <= PENDING_MAX);
}

proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn nothing_panics_and_the_cursor_stays_inside(happenings in vec(a_happening(), 1..60)) {
        let mut world = World::default();
        for n in 0..30 {
            world.log.post(BOB, &format!("message {n}"));
        }
        let mut stage = Stage::set(world);
        for happening in happenings {
            happen(&mut stage, happening);
            check(&stage);
        }
    }
}
