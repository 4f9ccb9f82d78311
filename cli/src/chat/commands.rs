//! What Enter does: sends the line, or carries out the command in it.

use causeway_protocol::client;
use causeway_protocol::limits::TEXT_CHARS_MAX;
use causeway_protocol::{ChannelId, Timestamp, UserId};

use super::app::App;
use super::ask::{Ask, Effect};
use super::input::InputLine;
use super::popup::Popup;
use super::row::{Row, thread_of};
use super::scroll::Key;

/// What `/help` shows.
pub const HELP: &[&str] = &[
    "Enter sends; Alt+Enter begins a new line",
    "Up, Down: lines typed before",
    "Alt+Up, Alt+Down or Ctrl+P, Ctrl+N: other channel",
    "Ctrl+K: go to a channel by the beginning of its name",
    "PageUp, PageDown, wheel: scroll; at the top, older messages load",
    "Ctrl+Up, Ctrl+Down (or with Shift): mark a message",
    "Shift and the mouse: select text, as the terminal does it",
    "Esc: close, unmark, back to the newest, dismiss refused messages",
    "Ctrl+R: reconnect to the nearest PoP; Ctrl+L: draw everything anew",
    "Ctrl+C: quit",
    "",
    "/join NAME              join a public channel, or go to it",
    "/create NAME [private]  create a channel",
    "/leave                  leave this channel",
    "/reply TEXT             reply to the marked or the last message",
    "/edit [TEXT]            change your marked or last message",
    "/delete                 delete your marked or last message",
    "/who                    members of this channel",
    "/quit",
    "//TEXT                  send a line that begins with a slash",
    "",
    "# public channel   ◆ private channel",
    "◷ on its way   ✗ refused   ↳ in a thread",
];

/// Pages of channels in which a name is looked for.
const FIND_PAGES_MAX: usize = 20;

/// A line that was entered.
#[derive(Debug, PartialEq, Eq)]
enum Line<'a> {
    Text(&'a str),
    Join(&'a str),
    Create(&'a str, bool),
    Leave,
    Edit(&'a str),
    Delete,
    Reply(&'a str),
    Who,
    Help,
    Quit,
    /// A command that lacks something, and how it is meant.
    Usage(&'static str),
    /// No such command.
    Unknown(&'a str),
}

fn parse(line: &str) -> Line<'_> {
    let Some(command) = line.strip_prefix('/') else {
        return Line::Text(line);
    };
    if command.starts_with('/') {
        return Line::Text(command);
    }
    let (name, rest) = command
        .split_once(char::is_whitespace)
        .unwrap_or((command, ""));
    let rest = rest.trim();
    let mut words = rest.split_whitespace();
    let first = words.next().map(|name| name.trim_start_matches('#'));
    match (name, first.filter(|name| !name.is_empty())) {
        ("join", Some(channel)) => Line::Join(channel),
        ("join", None) => Line::Usage("/join NAME"),
        ("create", Some(channel)) => match (words.next(), words.next()) {
            (None, _) => Line::Create(channel, false),
            (Some("private"), None) => Line::Create(channel, true),
            _ => Line::Usage("/create NAME, or /create NAME private"),
        },
        ("create", None) => Line::Usage("/create NAME [private]"),
        ("leave", _) => Line::Leave,
        ("edit", _) => Line::Edit(rest),
        ("delete", _) => Line::Delete,
        ("reply", _) if rest.is_empty() => Line::Usage("/reply TEXT"),
        ("reply", _) => Line::Reply(rest),
        ("who", _) => Line::Who,
        ("help", _) => Line::Help,
        ("quit", _) => Line::Quit,
        _ => Line::Unknown(name),
    }
}

impl App {
    /// Enter: what cannot be carried out stays in the input line.
    pub(super) fn submit(&mut self) {
        let line = self.input.text().trim_end().to_owned();
        if line.trim().is_empty() {
            return;
        }
        self.notice = None;
        if self.carry_out(&line) {
            self.recall.add(&line);
            // `/edit` puts the text to be changed into the line.
            if self.input.text().trim_end() == line {
                self.input = InputLine::default();
            }
        }
    }

    fn carry_out(&mut self, line: &str) -> bool {
        match parse(line) {
            Line::Text(text) => self.send(text, None),
            Line::Join(name) => self.join(name),
            Line::Create(name, private) => {
                self.joining = true;
                let name = name.to_owned();
                self.ask(Ask::Create { name, private });
                true
            }
            Line::Leave => self.with_channel(Ask::Leave),
            Line::Edit(text) => self.edit(text),
            Line::Delete => self.delete(),
            Line::Reply(text) => self.reply(text),
            Line::Who => self.with_channel(Ask::Members),
            Line::Help => {
                self.popup = Some(Popup::Help { offset: 0 });
                true
            }
            Line::Quit => {
                self.quit();
                true
            }
            Line::Usage(usage) => self.refuse(format!("it is {usage}")),
            Line::Unknown(name) => self.refuse(format!(
                "no command /{name}: /help lists them; // sends a line that begins with a slash"
            )),
        }
    }

    fn refuse(&mut self, why: impl Into<String>) -> bool {
        self.complain(why);
        false
    }

    fn send(&mut self, text: &str, thread: Option<Timestamp>) -> bool {
        let Some(id) = self.current else {
            return self.refuse("you are in no channel: /join NAME or /create NAME");
        };
        if self.link.is_stopped() {
            return self.refuse("the client has stopped: nothing can be sent any more");
        }
        if let Some(why) = too_long(text) {
            return self.refuse(why);
        }
        let text = text.to_owned();
        let Some(message) = self.outbox.write(id, text, thread, self.now) else {
            return self.refuse("too many messages wait: Esc dismisses refused ones");
        };
        self.effect(Effect::Send(message));
        self.selected = None;
        self.divider = None;
        self.jump_to_bottom();
        true
    }

    fn join(&mut self, name: &str) -> bool {
        if let Some(id) = self.channels.named(name) {
            self.show(id);
        } else {
            self.joining = true;
            self.find_pages_left = FIND_PAGES_MAX;
            let (name, cursor) = (name.to_owned(), String::new());
            self.ask(Ask::FindChannel { name, cursor });
        }
        true
    }

    fn with_channel(&mut self, ask: impl FnOnce(ChannelId) -> Ask) -> bool {
        match self.current {
            Some(id) => {
                self.ask(ask(id));
                true
            }
            None => self.refuse("you are in no channel"),
        }
    }

    fn edit(&mut self, text: &str) -> bool {
        let Some(message) = self.own_message() else {
            return false;
        };
        if text.is_empty() {
            self.input = InputLine::new(&format!("/edit {}", message.text));
            return true;
        }
        if let Some(why) = too_long(text) {
            return self.refuse(why);
        }
        self.ask(Ask::Edit(client::EditMessage {
            channel: message.channel,
            ts: message.ts,
            text: text.to_owned(),
        }));
        self.selected = None;
        true
    }

    fn delete(&mut self) -> bool {
        let Some(message) = self.own_message() else {
            return false;
        };
        self.ask(Ask::Delete(client::DeleteMessage {
            channel: message.channel,
            ts: message.ts,
        }));
        self.selected = None;
        true
    }

    fn reply(&mut self, text: &str) -> bool {
        let to = match self.marked_message() {
            Some(message) => Some(message),
            None => self.last_message(|_| true),
        };
        match to {
            Some(message) => {
                let thread = thread_of(&message).unwrap_or(Timestamp(message.ts));
                self.send(text, Some(thread))
            }
            None => self.refuse("there is no message to reply to"),
        }
    }

    /// The marked message, or the last of one's own; complains without one.
    fn own_message(&mut self) -> Option<client::Message> {
        let me = self.me;
        let own = |message: &client::Message| me == Some(UserId(message.user));
        let found = match self.marked_message() {
            Some(message) if own(&message) && !message.deleted => Some(message),
            Some(_) => {
                self.complain("the marked message is not yours, or is deleted; Esc unmarks it");
                return None;
            }
            None => self.last_message(own),
        };
        if found.is_none() {
            self.complain("no message of yours is in sight");
        }
        found
    }

    fn marked_message(&self) -> Option<client::Message> {
        let Key::Row(seq) = self.selected? else {
            return None;
        };
        self.row(seq)?.message().cloned()
    }

    fn last_message(&self, fits: impl Fn(&client::Message) -> bool) -> Option<client::Message> {
        let rows = self.channel()?.timeline.rows().values();
        let mut messages = rows.rev().filter_map(Row::message);
        messages
            .find(|message| !message.deleted && fits(message))
            .cloned()
    }
}

/// Why a text cannot be sent, if it cannot.
fn too_long(text: &str) -> Option<String> {
    let chars = text.chars().count();
    (chars > TEXT_CHARS_MAX)
        .then(|| format!("too long: {chars} characters; a message has up to {TEXT_CHARS_MAX}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_texts_or_commands() {
        assert_eq!(parse("hello / there"), Line::Text("hello / there"));
        assert_eq!(parse("//etc/hosts"), Line::Text("/etc/hosts"));
        assert_eq!(parse("/join #tide"), Line::Join("tide"));
        assert_eq!(parse("/create tide"), Line::Create("tide", false));
        assert_eq!(parse("/create tide private"), Line::Create("tide", true));
        assert_eq!(parse("/edit  now\nthen "), Line::Edit("now\nthen"));
        assert_eq!(parse("/reply so be it"), Line::Reply("so be it"));
        assert_eq!(parse("/who"), Line::Who);
    }

    #[test]
    fn commands_that_lack_something_say_how_they_are_meant() {
        for line in [
            "/join",
            "/join #",
            "/create",
            "/create a b",
            "/reply ",
            "/create a private b",
        ] {
            assert!(matches!(parse(line), Line::Usage(_)), "{line}");
        }
        assert_eq!(parse("/frobnicate now"), Line::Unknown("frobnicate"));
        assert_eq!(parse("/"), Line::Unknown(""));
    }
}
