//! What Enter does: sends the line, or carries out the command in it.

use causeway_protocol::client;
use causeway_protocol::limits::TEXT_CHARS_MAX;
use causeway_protocol::{ChannelId, Timestamp, UserId};

use super::app::App;
use super::ask::{Ask, Effect};
use super::commands::{Line, parse};
use super::input::InputLine;
use super::popup::Popup;
use super::row::{Row, thread_of};
use super::scroll::Key;

/// Pages of channels in which a name is looked for.
const FIND_PAGES_MAX: usize = 20;

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
        let text = self.completion.spelled(text);
        if let Some(why) = too_long(&text) {
            return self.refuse(why);
        }
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
        let text = self.completion.spelled(text);
        if let Some(why) = too_long(&text) {
            return self.refuse(why);
        }
        self.ask(Ask::Edit(client::EditMessage {
            channel: message.channel,
            ts: message.ts,
            text,
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
