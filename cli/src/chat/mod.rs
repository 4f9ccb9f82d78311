//! `causeway chat`: a client for the terminal.
//!
//! [`app::App`] decides and does nothing else; [`view::draw`] shows it; the
//! shell moves events. Requests are [`ask::Ask`]s; messages go through the client
//! library's outbox, so that the user may type and send with or without a
//! connection.

pub mod app;
pub mod ask;
pub mod calendar;
pub mod channels;
pub mod commands;
mod company;
pub mod input;
pub mod mentions;
pub mod notice;
pub mod outbox;
pub mod people;
pub mod popup;
pub mod recall;
pub mod row;
pub mod scroll;
pub mod status;
pub mod text;
pub mod theme;
pub mod timeline;
pub mod view;

mod answers;
mod events;
mod keys;
mod lines;
mod separators;
mod shell;
mod submit;
mod terminal;
#[cfg(test)]
mod tests;

use causeway_client::{Client, Event};
use tokio::sync::mpsc;

use self::app::{App, Settings};
use self::calendar::Zone;
use self::theme::Theme;

/// Who chats, as far as the title line is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatIdentity {
    /// The user's name.
    pub user: String,
    /// The workspace's name.
    pub workspace: String,
    /// Where the user is; empty when nobody knows.
    pub place: String,
}

/// Shows the chat in the terminal until the user quits.
///
/// Nothing else may write to the terminal meanwhile, a log least of all.
///
/// # Errors
/// There is no terminal, or it goes away.
pub async fn run(
    client: Client,
    events: mpsc::Receiver<Event>,
    me: ChatIdentity,
) -> anyhow::Result<()> {
    let settings = Settings {
        nonce: rand::random(),
        zone: local_zone().await,
        theme: Theme::from_env(),
    };
    let app = App::new(me, settings, shell::now());
    shell::run(client, events, app).await
}

/// The user's time zone. The standard library does not know it; `date` asks the
/// same system that every other program asks.
async fn local_zone() -> Zone {
    let asked = tokio::process::Command::new("date")
        .arg("+%z")
        .output()
        .await;
    let answer = asked.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    answer
        .ok()
        .and_then(|text| Zone::parse(&text))
        .unwrap_or_default()
}
