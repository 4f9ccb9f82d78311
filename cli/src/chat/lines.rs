//! Items of the message pane as lines: when, who, and what, with the text
//! indented behind the name.

use causeway_protocol::{Timestamp, UserId, client};
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::app::App;
use super::mentions::named;
use super::outbox::Pending;
use super::row::{Row, thread_of};
use super::scroll::Key;
use super::separators::Said;
use super::text::{column, fit, one_line, shown, width as cells_of, wrap};

const TIME_CELLS: usize = 5;
/// Cells for names in a wide pane, and in a narrow one.
const NAME_CELLS: (usize, usize) = (12, 7);
/// From this width on a pane is wide.
const WIDE_CELLS: usize = 52;

/// Something said, arrived or not.
struct Speech<'a> {
    said: Said,
    /// Stands where the time of day is.
    mark: Span<'static>,
    text: &'a str,
    style: Style,
    /// What stands behind the text.
    tail: Vec<Span<'static>>,
}

impl App {
    /// The lines of an item; at least one.
    pub(super) fn lines(&self, key: Key, width: usize) -> Vec<Line<'static>> {
        self.item_lines(key, width, false)
    }

    /// As many lines, with the author's name also where it is left out otherwise.
    pub(super) fn named_lines(&self, key: Key, width: usize) -> Vec<Line<'static>> {
        self.item_lines(key, width, true)
    }

    fn item_lines(&self, key: Key, width: usize, named: bool) -> Vec<Line<'static>> {
        let mut lines = match key {
            Key::Row(seq) => match self.row(seq) {
                Some(Row::Message(message)) => {
                    self.speech_lines(key, self.message_speech(message), width, named)
                }
                Some(row) => self.coming_and_going(key, row, width),
                None => Vec::new(),
            },
            Key::Pending(number) => match self.pending(number) {
                Some(pending) => self.speech_lines(key, self.pending_speech(pending), width, named),
                None => Vec::new(),
            },
        };
        if lines.is_empty() {
            lines.push(Line::default());
        }
        lines
    }

    /// The messages on their way that stand below the timeline.
    pub(super) fn shown_pending(&self) -> impl DoubleEndedIterator<Item = &Pending> {
        let timeline = self.channel().map(|channel| &channel.timeline);
        let at_end = timeline.is_some_and(|timeline| timeline.is_live() || !timeline.is_loaded());
        let current = self.current.filter(|_| at_end);
        current.into_iter().flat_map(|id| self.outbox.of(id))
    }

    pub(super) fn pending(&self, number: u64) -> Option<&Pending> {
        self.shown_pending()
            .find(|pending| pending.number == number)
    }

    fn message_speech<'a>(&self, message: &'a client::Message) -> Speech<'a> {
        let theme = self.settings.theme;
        let ts = Timestamp(message.ts);
        let mut tail = Vec::new();
        if message.edited_ts > 0 && !message.deleted {
            tail.push(Span::styled(" (edited)", theme.faint()));
        }
        if message.reply_count > 0 {
            let replies = if message.reply_count == 1 {
                "reply"
            } else {
                "replies"
            };
            let text = format!(" ↳ {} {replies}", message.reply_count);
            tail.push(Span::styled(text, theme.thread()));
        }
        let (text, style) = match message.deleted {
            true => ("(deleted)", theme.faint()),
            false => (message.text.as_str(), Style::new()),
        };
        let time = self.settings.zone.time_of_day(ts);
        Speech {
            said: Said {
                user: Some(UserId(message.user)),
                ts,
                thread: thread_of(message),
            },
            mark: Span::styled(time, theme.faint()),
            text,
            style,
            tail,
        }
    }

    fn pending_speech<'a>(&self, pending: &'a Pending) -> Speech<'a> {
        let theme = self.settings.theme;
        let (mark, style, tail) = match &pending.refused {
            None => ("    ◷", theme.faint(), Vec::new()),
            Some(reason) => {
                let text = format!(" ✗ not sent: {}", one_line(reason));
                ("    ✗", theme.bad(), vec![Span::styled(text, theme.bad())])
            }
        };
        Speech {
            said: Said {
                user: self.me,
                ts: pending.written,
                thread: pending.message.thread,
            },
            mark: Span::styled(mark, style),
            text: &pending.message.text,
            style,
            tail,
        }
    }

    fn coming_and_going(&self, key: Key, row: &Row, width: usize) -> Vec<Line<'static>> {
        let style = self.settings.theme.faint();
        let name = one_line(&self.people.name(row.user()));
        let text = match row {
            Row::Left(..) => format!("← {name} has left"),
            _ => format!("→ {name} has joined"),
        };
        let mut lines = self.separators(key, row.ts(), width);
        let time = self.settings.zone.time_of_day(row.ts());
        let (indent, text_cells) = columns(width);
        let head = column(&format!(" {time}"), indent);
        lines.push(Line::styled(head + &fit(&text, text_cells), style));
        lines
    }

    fn speech_lines(
        &self,
        key: Key,
        speech: Speech<'_>,
        width: usize,
        named: bool,
    ) -> Vec<Line<'static>> {
        let theme = self.settings.theme;
        let (indent, text_cells) = columns(width);
        let mut lines = self.separators(key, speech.said.ts, width);
        let follows = !named && lines.is_empty() && self.follows(key, speech.said);
        if let Some(thread) = speech.said.thread
            && !self.thread_is_above(key, thread)
        {
            let text = fit(&self.thread_title(thread), text_cells);
            lines.push(Line::styled(" ".repeat(indent) + &text, theme.thread()));
        }
        let name = match speech.said.user {
            Some(user) if !follows => one_line(&self.people.name(user)),
            None if !follows => self.identity.user.clone(),
            _ => String::new(),
        };
        let gutter = if self.selected == Some(key) {
            "▌"
        } else {
            " "
        };
        let name_cells = indent - TIME_CELLS - 3;
        let mut head = vec![
            Span::styled(gutter, theme.alert()),
            speech.mark.clone(),
            Span::raw(" "),
            Span::styled(
                column(&name, name_cells),
                speech
                    .said
                    .user
                    .map_or(theme.strong(), |user| theme.author(user)),
            ),
            self.presence_mark(speech.said.user.filter(|_| !follows)),
        ];
        for text in self.text_lines(&speech, text_cells) {
            let mut line = std::mem::replace(
                &mut head,
                vec![
                    Span::styled(gutter, theme.alert()),
                    Span::raw(" ".repeat(indent - 1)),
                ],
            );
            line.extend(text);
            lines.push(Line::from(line));
        }
        lines
    }

    /// Stands behind the name of whoever is online.
    fn presence_mark(&self, user: Option<UserId>) -> Span<'static> {
        match user {
            Some(user) if self.company.is_online(user) => {
                Span::styled("•", self.settings.theme.good())
            }
            _ => Span::raw(" "),
        }
    }

    /// The text in lines; replies stand a little to the right.
    fn text_lines(&self, speech: &Speech<'_>, cells: usize) -> Vec<Vec<Span<'static>>> {
        let theme = self.settings.theme;
        let (first, others) = match speech.said.thread {
            Some(_) => ("↳ ", "  "),
            None => ("", ""),
        };
        let cells = cells.saturating_sub(first.chars().count()).max(1);
        let mut lines = Vec::new();
        let mut used = 0;
        for text in wrap(&shown(&named(speech.text, &self.people)), cells) {
            let before = if lines.is_empty() { first } else { others };
            used = cells_of(&text);
            lines.push(vec![
                Span::styled(before, theme.thread()),
                Span::styled(text, speech.style),
            ]);
        }
        for tail in &speech.tail {
            let text = tail.content.as_ref();
            let room = used + cells_of(text) <= cells;
            match lines.last_mut().filter(|_| room) {
                Some(line) => {
                    used += cells_of(text);
                    line.push(tail.clone());
                }
                None => {
                    for text in wrap(text.trim_start(), cells) {
                        used = cells_of(&text);
                        lines.push(vec![Span::raw(others), Span::styled(text, tail.style)]);
                    }
                }
            }
        }
        lines
    }
}

/// Where the text begins, and how many cells a line of it has. One cell at the
/// right stays empty.
fn columns(width: usize) -> (usize, usize) {
    let name_cells = match width >= WIDE_CELLS {
        true => NAME_CELLS.0,
        false => NAME_CELLS.1,
    };
    let indent = TIME_CELLS + name_cells + 3;
    (indent, width.saturating_sub(indent + 1).max(1))
}
