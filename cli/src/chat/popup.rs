//! What may lie over the screen: help, the members of a channel, the switcher.

use causeway_protocol::{ChannelId, UserId};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::app::App;
use super::input::InputLine;

/// Lines that a page key moves.
const PAGE_LINES: usize = 10;

/// One of them.
#[derive(Debug)]
pub enum Popup {
    /// The keys and commands.
    Help {
        /// Lines scrolled away at the top.
        offset: usize,
    },
    /// Who is in a channel.
    Who {
        /// The channel's name.
        channel: String,
        /// The members.
        users: Vec<UserId>,
        /// Whether there are more than the list has.
        more: bool,
        /// Lines scrolled away at the top.
        offset: usize,
    },
    /// Goes to a channel by the beginning of its name.
    Switcher {
        /// What has been typed.
        query: InputLine,
        /// The marked one of the channels that fit.
        marked: usize,
    },
}

impl Popup {
    /// An empty switcher.
    pub fn switcher() -> Self {
        Self::Switcher {
            query: InputLine::default(),
            marked: 0,
        }
    }
}

impl App {
    /// The channels that the switcher offers.
    pub(super) fn offered(&self) -> Vec<ChannelId> {
        match &self.popup {
            Some(Popup::Switcher { query, .. }) => self.channels.with_prefix(query.text()),
            _ => Vec::new(),
        }
    }

    /// A key while a popup is open. False when the popup has no use for it.
    pub(super) fn on_popup_key(&mut self, key: KeyEvent) -> bool {
        let offered = self.offered();
        match (&mut self.popup, key.code) {
            (None, _) => return false,
            (Some(_), KeyCode::Esc) => self.popup = None,
            (Some(Popup::Switcher { marked, .. }), KeyCode::Enter) => {
                let chosen = offered.get(*marked).copied();
                self.popup = None;
                if let Some(id) = chosen {
                    self.show(id);
                }
            }
            (Some(Popup::Switcher { query, marked }), _) => {
                on_switcher_key(query, marked, offered.len(), key);
            }
            (Some(Popup::Help { offset } | Popup::Who { offset, .. }), code) => match code {
                KeyCode::Up => *offset = offset.saturating_sub(1),
                KeyCode::Down => *offset = offset.saturating_add(1),
                KeyCode::PageUp => *offset = offset.saturating_sub(PAGE_LINES),
                KeyCode::PageDown => *offset = offset.saturating_add(PAGE_LINES),
                // Whoever begins to write has read enough.
                KeyCode::Char(_) => {
                    self.popup = None;
                    return false;
                }
                _ => self.popup = None,
            },
        }
        self.bound_offset();
        true
    }

    /// Scrolling ends with the last line.
    fn bound_offset(&mut self) {
        let lines = super::view::popup_lines(self, self.size);
        if let Some(Popup::Help { offset } | Popup::Who { offset, .. }) = &mut self.popup {
            *offset = (*offset).min(lines.saturating_sub(1));
        }
    }
}

fn on_switcher_key(query: &mut InputLine, marked: &mut usize, offered: usize, key: KeyEvent) {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    let last = offered.saturating_sub(1);
    match key.code {
        KeyCode::Up => *marked = marked.saturating_sub(1),
        KeyCode::Char('p') if control => *marked = marked.saturating_sub(1),
        KeyCode::Down | KeyCode::Tab => *marked = (*marked + 1).min(last),
        KeyCode::Char('n' | 'k') if control => *marked = (*marked + 1).min(last),
        KeyCode::Char('u') if control => {
            query.delete_to_start();
            *marked = 0;
        }
        KeyCode::Char(c) if !control => {
            query.insert(c.encode_utf8(&mut [0; 4]));
            *marked = 0;
        }
        KeyCode::Backspace => {
            query.backspace();
            *marked = 0;
        }
        KeyCode::Left => query.left(),
        KeyCode::Right => query.right(),
        _ => {}
    }
}
