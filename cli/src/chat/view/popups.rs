//! What lies over the screen.

use causeway_protocol::UserId;
use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph, Widget};

use super::layout::mark;
use crate::chat::app::App;
use crate::chat::commands::HELP;
use crate::chat::popup::Popup;
use crate::chat::text::{column, one_line, wrap};

const WIDTH_MAX: u16 = 70;
/// Cells that stay free at each side, where there is room.
const MARGIN: u16 = 2;
const SWITCHER_ROWS_MAX: u16 = 10;

/// Draws the popup, if one is open. Returns its cursor, if it has one.
pub fn draw(app: &App, frame: &mut Frame<'_>, screen: Rect) -> Option<Position> {
    match app.popup.as_ref()? {
        Popup::Switcher { .. } => draw_switcher(app, frame, screen),
        Popup::Help { offset } => {
            draw_text(app, frame, screen, " Help ".into(), *offset);
            None
        }
        Popup::Who {
            channel,
            users,
            more,
            offset,
        } => {
            let (count, more) = (users.len(), if *more { " or more" } else { "" });
            let title = format!(" {count}{more} in #{} ", one_line(channel));
            draw_text(app, frame, screen, title, *offset);
            None
        }
    }
}

/// Text lines of the open popup on a screen of this size.
pub fn lines(app: &App, (width, height): (u16, u16)) -> Vec<String> {
    let area = inner(area(Rect::new(0, 0, width, height), height));
    let cells = usize::from(area.width);
    match &app.popup {
        Some(Popup::Help { .. }) => HELP.iter().flat_map(|line| wrap(line, cells)).collect(),
        Some(Popup::Who { users, .. }) => {
            let name = |user: &UserId| {
                let mark = if app.company.is_online(*user) {
                    " •"
                } else {
                    ""
                };
                app.people.name(*user) + mark
            };
            let mut names: Vec<_> = users.iter().map(name).collect();
            names.sort();
            wrap(&one_line(&names.join(", ")), cells)
        }
        _ => Vec::new(),
    }
}

fn draw_text(app: &App, frame: &mut Frame<'_>, screen: Rect, title: String, offset: usize) {
    let lines = lines(app, (screen.width, screen.height));
    let rows = u16::try_from(lines.len()).unwrap_or(u16::MAX);
    let inner = open(frame, area(screen, rows.saturating_add(2)), title);
    // The last line stays at the bottom.
    let last_offset = lines.len().saturating_sub(usize::from(inner.height));
    let shown = lines.into_iter().skip(offset.min(last_offset));
    let shown: Vec<_> = shown.map(Line::raw).collect();
    Paragraph::new(shown).render(inner, frame.buffer_mut());
}

fn draw_switcher(app: &App, frame: &mut Frame<'_>, screen: Rect) -> Option<Position> {
    let Some(Popup::Switcher { query, marked }) = &app.popup else {
        return None;
    };
    let theme = app.settings.theme;
    let offered = app.offered();
    let rows = u16::try_from(offered.len().max(1)).unwrap_or(u16::MAX);
    // Two rows for the frame, one for what is being typed.
    let area = area(screen, rows.min(SWITCHER_ROWS_MAX) + 3);
    let inner = open(frame, area, " Go to channel ".into());
    if inner.is_empty() {
        return None;
    }
    let cells = usize::from(inner.width);
    // One row: the end that is being typed is what matters.
    let rows = query.layout(cells);
    let row = rows.rows.get(rows.cursor_row).cloned().unwrap_or_default();
    let mut lines = vec![Line::raw(one_line(&query.text()[row]))];
    let height = usize::from(inner.height).saturating_sub(1);
    let first = (marked + 1).saturating_sub(height);
    if offered.is_empty() {
        let text = "no channel of yours begins like this; /join finds others";
        lines.push(Line::styled(text, theme.faint()));
    }
    for (at, id) in offered.into_iter().enumerate().skip(first).take(height) {
        let Some(channel) = app.channels.get(id) else {
            continue;
        };
        let here = if at == *marked { "▸" } else { " " };
        let unread = match channel.unread {
            0 => String::new(),
            unread => format!("  {unread} new"),
        };
        let text = format!(
            "{here}{} {}{unread}",
            mark(channel.private),
            one_line(&channel.name)
        );
        let style = if at == *marked {
            theme.current()
        } else {
            theme.strong()
        };
        lines.push(Line::from(Span::styled(column(&text, cells), style)));
    }
    Paragraph::new(lines).render(inner, frame.buffer_mut());
    let column = u16::try_from(rows.cursor_column).unwrap_or(0);
    let x = inner.x + column.min(inner.width - 1);
    Some(Position { x, y: inner.y })
}

/// Clears the place and draws the frame. Returns what is inside.
fn open(frame: &mut Frame<'_>, area: Rect, title: String) -> Rect {
    Clear.render(area, frame.buffer_mut());
    Block::bordered()
        .title(title)
        .render(area, frame.buffer_mut());
    inner(area)
}

/// In the middle of the screen, as high as wanted or as there is room.
fn area(screen: Rect, rows: u16) -> Rect {
    let width = screen.width.saturating_sub(2 * MARGIN).min(WIDTH_MAX);
    let height = screen.height.saturating_sub(MARGIN).min(rows);
    Rect {
        x: screen.x + (screen.width - width) / 2,
        y: screen.y + (screen.height - height) / 2,
        width,
        height,
    }
}

fn inner(area: Rect) -> Rect {
    Block::bordered().inner(area)
}
