//! Lines that begin with a slash.

use causeway_protocol::client::{self, response::Result as Body};
use causeway_protocol::{ApiError, ErrorCode};
use crossterm::event::KeyCode;

use super::stage::{Stage, a_channel};
use super::world::channel;
use crate::chat::ask::{Ask, Effect};
use crate::chat::popup::Popup;

fn page(channels: Vec<client::Channel>, next_cursor: &str) -> Result<Body, ApiError> {
    Ok(Body::Channels(client::ChannelPage {
        channels,
        next_cursor: next_cursor.into(),
    }))
}

fn find(name: &str, cursor: &str) -> Ask {
    Ask::FindChannel {
        name: name.into(),
        cursor: cursor.into(),
    }
}

#[test]
fn join_looks_the_name_up_page_by_page() {
    let mut stage = Stage::empty();
    stage.enter("/join #kites");
    assert_eq!(stage.asks(), [find("kites", "")]);
    stage.answer(find("kites", ""), page(vec![a_channel(8, "kite")], "next"));
    assert_eq!(stage.asks(), [find("kites", "next")]);
    stage.answer(find("kites", "next"), page(vec![a_channel(9, "kites")], ""));
    assert_eq!(stage.asks(), [Ask::Join(channel(9))]);
    stage.answer(
        Ask::Join(channel(9)),
        Ok(Body::Channel(a_channel(9, "kites"))),
    );
    assert_eq!(stage.app.current, Some(channel(9)));
    assert_eq!(stage.app.input.text(), "");
}

#[test]
fn join_goes_to_a_channel_that_is_joined_already() {
    let mut stage = Stage::empty();
    stage.enter("/join tide");
    assert_eq!(stage.app.current, Some(channel(2)));
}

#[test]
fn a_name_that_nobody_has_ends_the_search() {
    let mut stage = Stage::empty();
    stage.enter("/join nowhere");
    stage.answer(find("nowhere", ""), page(vec![], ""));
    assert_eq!(
        stage.notice(),
        "no channel #nowhere that you may join; /create nowhere makes it"
    );
    // A server whose list has no end is not followed for ever.
    stage.take();
    stage.enter("/join nowhere");
    let mut pages = 0;
    while let Some(ask) = stage.asks().pop() {
        pages += 1;
        stage.answer(ask, page(vec![], "next"));
    }
    assert!((10..30).contains(&pages), "{pages}");
}

#[test]
fn a_created_channel_is_shown() {
    let mut stage = Stage::empty();
    stage.enter("/create kites private");
    let create = Ask::Create {
        name: "kites".into(),
        private: true,
    };
    assert_eq!(stage.asks(), std::slice::from_ref(&create));
    let kites = client::Channel {
        private: true,
        ..a_channel(9, "kites")
    };
    stage.answer(create.clone(), Ok(Body::Channel(kites)));
    assert_eq!(stage.app.current, Some(channel(9)));
    assert!(stage.screen().contains("▸◆ kites"));

    stage.answer(create, Err(ErrorCode::NameTaken.into()));
    assert!(stage.notice().contains("name_taken; /join kites joins it"));
}

#[test]
fn leaving_shows_another_channel() {
    let mut stage = Stage::empty();
    stage.enter("/leave");
    assert_eq!(stage.asks(), [Ask::Leave(channel(1))]);
    stage.answer(Ask::Leave(channel(1)), Err(ErrorCode::Unavailable.into()));
    assert_eq!(stage.notice(), "not left: unavailable");
    stage.answer(Ask::Leave(channel(1)), Ok(Body::Done(client::Done {})));
    assert_eq!(stage.app.current, Some(channel(2)));
    assert_eq!(stage.notice(), "you have left #general");
}

#[test]
fn who_lists_the_members_by_name() {
    let mut stage = Stage::empty();
    stage.enter("/who");
    stage.answer_all();
    let screen = stage.screen();
    assert!(
        screen.contains("2 in #general") && screen.contains("ada, carol"),
        "{screen}"
    );
    stage.press(KeyCode::Esc);
    assert!(stage.app.popup.is_none());
}

#[test]
fn help_lists_the_commands_and_scrolls() {
    let mut stage = Stage::empty();
    stage.enter("/help");
    assert!(stage.screen().contains("Enter sends"));
    for _ in 0..9 {
        stage.press(KeyCode::PageDown);
    }
    assert!(
        stage.screen().contains("◷ on its way"),
        "{}",
        stage.screen()
    );
    stage.press(KeyCode::Enter);
    assert!(stage.app.popup.is_none());
    stage.press(KeyCode::F(1));
    assert!(matches!(stage.app.popup, Some(Popup::Help { .. })));
}

#[test]
fn whoever_writes_while_help_is_open_closes_it_and_loses_no_key() {
    let mut stage = Stage::empty();
    stage.enter("/help");
    stage.enter("/nosuch");
    assert!(stage.app.popup.is_none());
    assert!(
        stage.notice().contains("no command /nosuch"),
        "{}",
        stage.notice()
    );
}

#[test]
fn what_is_not_a_command_is_explained_and_stays_in_the_line() {
    let mut stage = Stage::empty();
    stage.enter("/frobnicate now");
    assert!(
        stage
            .notice()
            .starts_with("no command /frobnicate: /help lists them")
    );
    assert_eq!(stage.app.input.text(), "/frobnicate now");
    stage.control('u');
    stage.enter("/create");
    assert_eq!(stage.notice(), "it is /create NAME [private]");
    stage.control('u');
    stage.take();
    stage.enter("//frobnicate");
    assert_eq!(stage.the_message().text, "/frobnicate");
}

#[test]
fn quit_quits() {
    let mut stage = Stage::empty();
    stage.enter("/quit");
    assert!(stage.take().contains(&Effect::Quit));
}
