//! What the screen looks like: whole pictures, as text.

use causeway_protocol::client;
use causeway_protocol::{ApiError, ErrorCode};
use crossterm::event::{KeyCode, KeyModifiers};
use ratatui::style::Color;

use super::stage::{Stage, a_channel};
use super::world::{ADA, BOB, CAROL, World};
use crate::chat::theme::Theme;

/// A morning in `general`; in `tide` something is unread.
fn a_morning() -> World {
    let mut world = World::default();
    let log = &mut world.log;
    let root = log.post(BOB, "Good morning! The 海の道 ferry is late again: it left Lisbon at nine and nobody knows when it comes.");
    log.post(BOB, "I go by bus.");
    log.join(CAROL);
    log.reply(CAROL, "By bus? In this weather?", root.ts);
    let typo = log.post(ADA, "See you at nein");
    log.edit(typo.ts, "See you at nine");
    log.post(CAROL, "👩‍👩‍👧 are with me");
    world
}

fn channels(stage: &Stage) -> Vec<client::Channel> {
    let mut channels = stage.two_channels();
    channels[1].last_seq = 12;
    channels[1].unread = 12;
    let mut council = a_channel(3, "council");
    council.private = true;
    channels.push(council);
    channels
}

fn set(width: u16, height: u16) -> Stage {
    let mut stage = Stage::offline();
    stage.resize(width, height);
    stage.world = a_morning();
    let channels = channels(&stage);
    stage.connect_to(channels);
    stage.answer_all();
    stage
}

#[track_caller]
fn shows(stage: &Stage, picture: &str) {
    let screen = stage.screen();
    let picture = picture.trim_matches('\n');
    assert_eq!(screen, picture, "the screen is:\n{screen}\n");
}

#[test]
fn a_morning_in_general() {
    let mut stage = set(88, 20);
    let join = stage.world.log.join(BOB);
    stage.push_general(join);
    stage.enter("Who has the key to the boat house?");
    let refused = stage.the_message();
    stage.sent(
        &refused,
        Err(ApiError::new(ErrorCode::MsgTooLong, "shorter, please")),
    );
    stage.enter("/reply not me");
    stage.type_text("and 海");
    shows(
        &stage,
        r#"
 harbor · ada at lisbon                                           # general · 4 members
 ◆ council     │
▸# general     │
 # tide     12 │────── today, Tue 14 May 2024 ──────────────────────────────────────────
               │ 10:01 bob          Good morning! The 海の道 ferry is late again: it
               │                    left Lisbon at nine and nobody knows when it comes.
               │                    ↳ 1 reply
               │ 10:02              I go by bus.
               │                    ┌ bob: Good morning! The 海の道 ferry is late agai…
               │ 10:04 carol        ↳ By bus? In this weather?
               │ 10:05 ada          See you at nine (edited)
               │ 10:07 carol        👩👩👧 are with me
               │ 10:08              → bob has joined
               │     ✗ ada          Who has the key to the boat house?
               │                    ✗ not sent: msg_too_long: shorter, please
               │                    ┌ carol: 👩👩👧 are with me
               │     ◷ ada          ↳ not me
────────────────────────────────────────────────────────────────────────────────────────
› and 海
 ● connected to PoP lisbon, round trip 12 ms  ◷ 1 waiting ✗ 1 refused             /help
"#,
    );
}

#[test]
fn a_region_goes_away_while_one_reads_old_messages() {
    let mut stage = set(72, 12);
    stage.press(KeyCode::PageUp);
    stage.disconnect("lisbon: timed out");
    stage.wait(std::time::Duration::from_secs(9));
    shows(
        &stage,
        r#"
 harbor · ada at lisbon                           # general · 3 members
 ◆ council     │────── today, Tue 14 May 2024 ──────────────────────────
▸# general     │ 10:01 bob          Good morning! The 海の道 ferry is
 # tide     12 │                    late again: it left Lisbon at nine
               │                    and nobody knows when it comes.
               │                    ↳ 1 reply
               │ 10:02              I go by bus.
               │                    ┌ bob: Good morning! The 海の道 fe…
               │ 10:04 carol        ↳ By bus? In this weather?
───────────────────────────────────────────────────── newer below · Esc
›
 ◌ reconnecting … 9 s: lisbon: timed out                          /help
"#,
    );
}

#[test]
fn a_narrow_terminal_and_a_marked_message() {
    let mut stage = set(40, 14);
    stage.key(KeyCode::Up, KeyModifiers::CONTROL);
    stage.key(KeyCode::Up, KeyModifiers::CONTROL);
    stage.enter("/frobnicate");
    shows(
        &stage,
        r#"
 harbor · ada at… # general · 3 members
               comes. ↳ 1 reply
 10:02         I go by bus.
               ┌ bob: Good morning! Th…
 10:04 carol   ↳ By bus? In this
                 weather?
▌10:05 ada     See you at nine (edited)
 10:07 carol   👩👩👧 are with me
! no command /frobnicate: /help lists
  them; // sends a line that begins
  with a slash
────────────────────────────────────────
› /frobnicate
 ● connected to PoP lisbon, round trip …
"#,
    );
}

#[test]
fn the_switcher_lies_over_the_screen() {
    let mut stage = set(72, 18);
    stage.control('k');
    stage.press(KeyCode::Down);
    shows(
        &stage,
        r#"
 harbor · ada at lisbon                           # general · 3 members
 ◆ council     │
▸# general     │
 # tide     12 │
               │
               │────── today, Tue 14 May 2024 ──────────────────────────
  ┌ Go to channel ───────────────────────────────────────────────────┐
  │                                                                  │
  │ ◆ council                                                        │
  │▸# general                                                        │
  │ # tide  12 new                                                   │
  └──────────────────────────────────────────────────────────────────┘…
               │ 10:04 carol        ↳ By bus? In this weather?
               │ 10:05 ada          See you at nine (edited)
               │ 10:07 carol        👩👩👧 are with me
────────────────────────────────────────────────────────────────────────
›
 ● connected to PoP lisbon, round trip 12 ms                      /help
"#,
    );
}

#[test]
fn help_lies_over_the_screen() {
    let mut stage = set(72, 28);
    stage.enter("/help");
    shows(
        &stage,
        r#"
 harbor · ada at lisbon                           # general · 3 members
 ◆┌ Help ────────────────────────────────────────────────────────────┐
▸#│Enter sends; Alt+Enter begins a new line                          │
 #│Up, Down: lines typed before; Tab: completes a name after @       │
  │Alt+Up, Alt+Down or Ctrl+P, Ctrl+N: other channel                 │
  │Ctrl+K: go to a channel by the beginning of its name              │
  │PageUp, PageDown, wheel: scroll; at the top, older messages load  │
  │Ctrl+Up, Ctrl+Down (or with Shift): mark a message                │
  │Shift and the mouse: select text, as the terminal does it         │
  │Esc: close, unmark, back to the newest, dismiss refused messages  │
  │Ctrl+R: reconnect to the nearest PoP; Ctrl+L: draw everything anew│
  │Ctrl+C: quit                                                      │
  │                                                                  │
  │/join NAME              join a public channel, or go to it        │
  │/create NAME [private]  create a channel                          │
  │/leave                  leave this channel                        │──
  │/reply TEXT             reply to the marked or the last message   │
  │/edit [TEXT]            change your marked or last message        │
  │/delete                 delete your marked or last message        │
  │/who                    members of this channel                   │
  │/quit                                                             │
  │//TEXT                  send a line that begins with a slash      │…
  │                                                                  │
  │# public channel   ◆ private channel                              │
  │◷ on its way   ✗ refused   ↳ in a thread                          │
──└──────────────────────────────────────────────────────────────────┘──
›
 ● connected to PoP lisbon, round trip 12 ms                      /help
"#,
    );
}

#[test]
fn nothing_yet() {
    let mut stage = Stage::offline();
    stage.resize(72, 8);
    shows(
        &stage,
        r#"
 harbor · ada at lisbon
               │
               │
               │
               │ Your channels appear with the first connection
────────────────────────────────────────────────────────────────────────
›
 ◌ connecting … 0 s               ^K switch  PgUp older  /help  ^C quit
"#,
    );
}

/// The colours on the screen.
fn colours(stage: &Stage) -> usize {
    let (buffer, _) = stage.draw();
    let coloured = buffer.content.iter().filter(|cell| {
        [cell.fg, cell.bg]
            .iter()
            .any(|colour| *colour != Color::Reset)
    });
    coloured.count()
}

#[test]
fn without_colours_there_are_none() {
    let mut stage = set(88, 20);
    stage.enter("on its way");
    assert_eq!(colours(&stage), 0);
    stage.app.settings.theme = Theme::new(true);
    assert!(colours(&stage) > 0);
}

#[test]
fn the_cursor_stands_behind_wide_signs() {
    let mut stage = set(72, 12);
    stage.type_text("a海👋");
    let (_, cursor) = stage.draw();
    assert_eq!((cursor.x, cursor.y), (2 + 1 + 2 + 2, 10));
    stage.press(KeyCode::Left);
    let (_, cursor) = stage.draw();
    assert_eq!((cursor.x, cursor.y), (5, 10));
}
