//! The channels, with what is unread in them.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Paragraph, Widget};

use super::layout::mark;
use crate::chat::app::App;
use crate::chat::channels::Channel;
use crate::chat::text::{column, one_line, width as cells_of};

/// Larger counts show as this with a plus.
const UNREAD_SHOWN_MAX: u32 = 999;

/// Draws the list; the current channel is always in sight.
pub fn draw(app: &App, frame: &mut Frame<'_>, area: Rect) {
    let border = Block::new()
        .borders(Borders::RIGHT)
        .border_style(app.settings.theme.faint());
    let inner = border.inner(area);
    border.render(area, frame.buffer_mut());
    let order = app.channels.order();
    let current = order.iter().position(|id| Some(*id) == app.current);
    let height = usize::from(inner.height);
    let first = current.map_or(0, |at| (at + 1).saturating_sub(height));
    let shown = app.channels.iter().skip(first).take(height);
    let lines = shown.map(|(id, channel)| {
        let is_current = app.current == Some(id);
        line(app, channel, is_current, usize::from(inner.width))
    });
    Paragraph::new(lines.collect::<Vec<_>>()).render(inner, frame.buffer_mut());
}

fn line(app: &App, channel: &Channel, is_current: bool, width: usize) -> Line<'static> {
    let theme = app.settings.theme;
    let at = if channel.mentions > 0 { "@" } else { "" };
    let count = match channel.unread {
        0 => " ".to_owned(),
        unread if unread > UNREAD_SHOWN_MAX => format!(" {at}{UNREAD_SHOWN_MAX}+ "),
        unread => format!(" {at}{unread} "),
    };
    let here = if is_current { "▸" } else { " " };
    let name = format!(
        "{here}{} {}",
        mark(channel.private),
        one_line(&channel.name)
    );
    let name = column(&name, width.saturating_sub(cells_of(&count)));
    let style = match (is_current, channel.unread > 0) {
        (true, _) => theme.current(),
        (false, true) => theme.strong(),
        (false, false) => theme.faint(),
    };
    let count_style = match is_current {
        true => theme.current(),
        false => theme.alert(),
    };
    Line::from_iter([Span::styled(name, style), Span::styled(count, count_style)])
}
