//! Which part of the screen is for what.

use ratatui::layout::Rect;

use crate::chat::app::App;
use crate::chat::text::{width as cells_of, wrap};

/// Below this width the whole screen is for the messages.
const SIDEBAR_FROM_CELLS: u16 = 60;
/// Cells of the sidebar, with the line at its right.
const SIDEBAR_CELLS: (usize, usize) = (16, 28);
/// Cells of the sidebar around a channel's name: mark, count and space.
const SIDEBAR_EXTRA_CELLS: usize = 9;
/// Rows of the input line and of a notice, at the most.
const INPUT_ROWS_MAX: u16 = 6;
const NOTICE_ROWS_MAX: usize = 3;

/// The parts. Some are empty on a small screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Who and where.
    pub title: Rect,
    /// The channels.
    pub sidebar: Option<Rect>,
    /// The messages.
    pub messages: Rect,
    /// What the client has to say.
    pub notice: Rect,
    /// The line above the input.
    pub rule: Rect,
    /// What is being typed.
    pub input: Rect,
    /// The connection, and the keys.
    pub status: Rect,
}

impl Layout {
    /// The parts of a screen of this size. When rows are few, the input comes
    /// first, then the status line, then the rest.
    pub fn of(app: &App, (width, height): (u16, u16)) -> Self {
        let mut left = height;
        let mut take = |wanted: u16| {
            let rows = wanted.min(left);
            left -= rows;
            rows
        };
        let input_rows = app.input.layout(input_cells(width)).rows.len();
        let input_rows = u16::try_from(input_rows).unwrap_or(u16::MAX);
        let input = take(input_rows.min(INPUT_ROWS_MAX).min((height / 3).max(1)));
        let status = take(1);
        let title = take(u16::from(height > 5));
        let rule = take(u16::from(height > 4));
        let notice = notice_lines(app, usize::from(width)).len();
        let notice = take(u16::try_from(notice).unwrap_or(0).min(height / 3));
        let messages = left;

        let mut y = 0;
        let mut row = |rows: u16| {
            let area = Rect::new(0, y, width, rows);
            y += rows;
            area
        };
        let (title, middle) = (row(title), row(messages));
        let (notice, rule, input, status) = (row(notice), row(rule), row(input), row(status));
        let (sidebar, messages) = split(app, middle);
        Self {
            title,
            sidebar,
            messages,
            notice,
            rule,
            input,
            status,
        }
    }
}

fn split(app: &App, middle: Rect) -> (Option<Rect>, Rect) {
    if middle.width < SIDEBAR_FROM_CELLS {
        return (None, middle);
    }
    let names = app
        .channels
        .iter()
        .map(|(_, channel)| cells_of(&channel.name));
    let wanted = names.max().unwrap_or(0) + SIDEBAR_EXTRA_CELLS;
    let width = wanted.clamp(SIDEBAR_CELLS.0, SIDEBAR_CELLS.1);
    let width = u16::try_from(width).unwrap_or(0).min(middle.width);
    let sidebar = Rect { width, ..middle };
    let messages = Rect {
        x: middle.x + width,
        width: middle.width - width,
        ..middle
    };
    (Some(sidebar), messages)
}

/// Cells for text in a row of the input line: two are for the prompt.
pub fn input_cells(width: u16) -> usize {
    usize::from(width).saturating_sub(2).max(1)
}

/// The notice in lines; the first two cells are for its mark.
pub fn notice_lines(app: &App, width: usize) -> Vec<String> {
    let Some(notice) = &app.notice else {
        return Vec::new();
    };
    let mut lines = wrap(&notice.text, width.saturating_sub(3));
    lines.truncate(NOTICE_ROWS_MAX);
    lines
}

/// What stands before a channel's name.
pub fn mark(private: bool) -> char {
    if private { '◆' } else { '#' }
}
