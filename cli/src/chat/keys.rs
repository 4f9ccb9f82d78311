//! What keys, the mouse and pastes do.

use crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseEventKind};

use super::app::App;
use super::ask::Effect;
use super::input::InputLine;
use super::popup::Popup;
use super::scroll::Scroll;

/// Lines that one step of the wheel moves.
const WHEEL_LINES: usize = 3;

impl App {
    pub(super) fn on_terminal(&mut self, event: Event) {
        match event {
            Event::Key(key) if key.kind != KeyEventKind::Release => self.on_key(key),
            Event::Paste(text) => self.paste(&text),
            Event::Mouse(mouse) if self.popup.is_none() => match mouse.kind {
                MouseEventKind::ScrollUp => self.scroll_up(WHEEL_LINES),
                MouseEventKind::ScrollDown => self.scroll_down(WHEEL_LINES),
                _ => {}
            },
            Event::Resize(width, height) => self.size = (width, height),
            _ => {}
        }
    }

    fn on_key(&mut self, key: KeyEvent) {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        if control && key.code == KeyCode::Char('c') {
            self.quit();
            return;
        }
        self.quit_asked = false;
        if self.on_popup_key(key) {
            return;
        }
        let alt = key.modifiers.contains(KeyModifiers::ALT);
        match (control, alt) {
            (true, false) => self.on_control_key(key),
            (false, true) => self.on_alt_key(key),
            // Both is how some terminals tell of the third level of a keyboard.
            (false, false) | (true, true) => self.on_plain_key(key),
        }
    }

    /// Ends, but not before the user knows of messages that would be lost.
    pub(super) fn quit(&mut self) {
        let waiting = self.outbox.waiting();
        if waiting > 0 && !self.quit_asked {
            self.quit_asked = true;
            let text = match waiting {
                1 => "a message is not sent yet; Ctrl+C again gives it up".to_owned(),
                n => format!("{n} messages are not sent yet; Ctrl+C again gives them up"),
            };
            self.complain(text);
        } else {
            self.effect(Effect::Quit);
        }
    }

    fn on_control_key(&mut self, key: KeyEvent) {
        match key.code {
            KeyCode::Char('p') => self.step_channel(-1),
            KeyCode::Char('n') => self.step_channel(1),
            KeyCode::Char('k') => self.popup = Some(Popup::switcher()),
            KeyCode::Char('r') => self.reconnect(),
            KeyCode::Char('l') => self.effect(Effect::Redraw),
            KeyCode::Up => self.select(true),
            KeyCode::Down => self.select(false),
            KeyCode::End => self.jump_to_bottom(),
            KeyCode::Left => self.input.word_left(),
            KeyCode::Right => self.input.word_right(),
            KeyCode::Char('a') => self.input.home(),
            KeyCode::Char('e') => self.input.end(),
            KeyCode::Char('u') => self.change(InputLine::delete_to_start),
            KeyCode::Char('w' | 'h') | KeyCode::Backspace => self.change(InputLine::delete_word),
            KeyCode::Char('d') => self.change(InputLine::delete_next),
            KeyCode::Char('j') => self.paste("\n"),
            _ => {}
        }
    }

    fn on_alt_key(&mut self, key: KeyEvent) {
        match key.code {
            KeyCode::Up => self.step_channel(-1),
            KeyCode::Down => self.step_channel(1),
            KeyCode::Enter => self.paste("\n"),
            KeyCode::Left | KeyCode::Char('b') => self.input.word_left(),
            KeyCode::Right | KeyCode::Char('f') => self.input.word_right(),
            KeyCode::Backspace => self.change(InputLine::delete_word),
            _ => {}
        }
    }

    fn on_plain_key(&mut self, key: KeyEvent) {
        let shift = key.modifiers.contains(KeyModifiers::SHIFT);
        match key.code {
            KeyCode::Enter if shift => self.paste("\n"),
            KeyCode::Enter => self.submit(),
            KeyCode::Esc => self.cancel(),
            KeyCode::F(1) => self.popup = Some(Popup::Help { offset: 0 }),
            KeyCode::PageUp => self.scroll_up(self.page_lines()),
            KeyCode::PageDown => self.scroll_down(self.page_lines()),
            KeyCode::Up if shift => self.select(true),
            KeyCode::Down if shift => self.select(false),
            KeyCode::Up => {
                if let Some(line) = self.recall.older(&self.input) {
                    self.input = line;
                }
            }
            KeyCode::Down => {
                if let Some(line) = self.recall.newer() {
                    self.input = line;
                }
            }
            KeyCode::Tab => self.complete(),
            KeyCode::Left => self.input.left(),
            KeyCode::Right => self.input.right(),
            KeyCode::Home => self.input.home(),
            KeyCode::End if self.input.is_empty() => self.jump_to_bottom(),
            KeyCode::End => self.input.end(),
            KeyCode::Backspace => self.change(InputLine::backspace),
            KeyCode::Delete => self.change(InputLine::delete_next),
            KeyCode::Char(c) => self.paste(c.encode_utf8(&mut [0; 4])),
            _ => {}
        }
    }

    /// One line stays, so that the eye finds its place again.
    fn page_lines(&self) -> usize {
        let (_, height) = self.pane();
        height.saturating_sub(1).max(1)
    }

    fn change(&mut self, change: impl FnOnce(&mut InputLine)) {
        self.recall.forget_place();
        change(&mut self.input);
        self.has_typed();
    }

    fn paste(&mut self, text: &str) {
        if let Some(Popup::Switcher { query, marked }) = &mut self.popup {
            *marked = 0;
            query.insert(&super::text::one_line(text));
            return;
        }
        self.recall.forget_place();
        if !self.input.insert(text) {
            self.complain("the line is full: the rest was not taken");
        }
        self.has_typed();
    }

    fn step_channel(&mut self, steps: isize) {
        if let Some(next) = self.channels.neighbour(self.current, steps) {
            self.show(next);
        }
    }

    fn reconnect(&mut self) {
        if self.link.is_stopped() {
            self.complain("the client has stopped: quit and start it again");
        } else {
            self.effect(Effect::Reconnect);
            self.tell("looking for the nearest PoP");
        }
    }

    /// Takes back one step, the innermost first.
    fn cancel(&mut self) {
        let had_notice = self.notice.take().is_some();
        if self.selected.take().is_some() {
            return;
        }
        if self.scroll != Scroll::Bottom {
            self.jump_to_bottom();
        } else if let Some(id) = self.current.filter(|_| !had_notice) {
            self.outbox.drop_refused(id);
        }
    }
}
