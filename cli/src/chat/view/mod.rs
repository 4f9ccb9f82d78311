//! The screen: a pure function of the [`App`].

pub mod layout;
mod popups;
mod sidebar;

use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Widget};

use self::layout::Layout;
use super::app::App;
use super::scroll::Scroll;
use super::text::{column, fit, one_line, shown, width as cells_of};
use super::timeline::Load;

/// Hints, from the longest to what fits beside much else.
const KEYS: [&str; 2] = ["^K switch  PgUp older  /help  ^C quit ", "/help "];
const PROMPT: &str = "› ";

/// Text lines of the open popup on a screen of this size.
pub fn popup_lines(app: &App, size: (u16, u16)) -> usize {
    popups::lines(app, size).len()
}

/// Draws everything, and puts the cursor where the next sign will appear.
pub fn draw(app: &App, frame: &mut Frame<'_>) {
    let area = frame.area();
    let layout = Layout::of(app, (area.width, area.height));
    draw_title(app, frame, layout.title);
    if let Some(area) = layout.sidebar {
        sidebar::draw(app, frame, area);
    }
    draw_messages(app, frame, layout.messages);
    draw_notice(app, frame, layout.notice);
    draw_rule(app, frame, layout.rule);
    let cursor = draw_input(app, frame, layout.input);
    draw_status(app, frame, layout.status);
    let cursor = popups::draw(app, frame, area).or(cursor);
    if let Some(cursor) = cursor.filter(|cursor| area.contains(*cursor)) {
        frame.set_cursor_position(cursor);
    }
}

fn draw_title(app: &App, frame: &mut Frame<'_>, area: Rect) {
    let theme = app.settings.theme;
    let me = &app.identity;
    let mut left = format!(" {} · {}", me.workspace, me.user);
    if !me.place.is_empty() {
        left += &format!(" at {}", me.place);
    }
    let right = match app.channel() {
        Some(channel) => {
            let mark = layout::mark(channel.private);
            let members = match channel.members {
                1 => "1 member".to_owned(),
                members => format!("{members} members"),
            };
            format!(" {mark} {} · {members} ", one_line(&channel.name))
        }
        None => String::new(),
    };
    let width = usize::from(area.width);
    let left_cells = width.saturating_sub(cells_of(&right));
    let text = column(&one_line(&left), left_cells) + &fit(&right, width);
    Line::styled(text, theme.current()).render(area, frame.buffer_mut());
}

fn draw_messages(app: &App, frame: &mut Frame<'_>, area: Rect) {
    let (width, height) = (usize::from(area.width), usize::from(area.height));
    let lines = app.visible(width, height);
    let lines: Vec<_> = match lines.is_empty() {
        true => vec![Line::styled(empty_text(app), app.settings.theme.faint())],
        false => lines.into_iter().map(|(_, line)| line).collect(),
    };
    // The newest stands right above the input line.
    let free = area
        .height
        .saturating_sub(u16::try_from(lines.len()).unwrap_or(u16::MAX));
    let below = Rect {
        y: area.y + free,
        height: area.height - free,
        ..area
    };
    Paragraph::new(lines).render(below, frame.buffer_mut());
}

/// What stands in the place of messages where there are none.
fn empty_text(app: &App) -> &'static str {
    match app.channel() {
        None if app.me.is_some() => " You are in no channel: /join NAME or /create NAME",
        None => " Your channels appear with the first connection",
        Some(channel) if channel.timeline.is_loaded() => " Nothing has been said here yet",
        Some(_) => " Loading …",
    }
}

fn draw_notice(app: &App, frame: &mut Frame<'_>, area: Rect) {
    let theme = app.settings.theme;
    let Some(notice) = app.notice.as_ref() else {
        return;
    };
    let (mark, style) = match notice.is_error {
        true => ("!", theme.bad()),
        false => ("·", theme.good()),
    };
    let lines = layout::notice_lines(app, usize::from(area.width));
    let lines = lines.into_iter().enumerate().map(|(at, text)| {
        let mark = if at == 0 { mark } else { " " };
        Line::styled(format!("{mark} {text}"), style)
    });
    Paragraph::new(lines.collect::<Vec<_>>()).render(area, frame.buffer_mut());
}

/// The line between what was said and what is being typed.
fn draw_rule(app: &App, frame: &mut Frame<'_>, area: Rect) {
    let theme = app.settings.theme;
    let channel = app.channel();
    let loading = channel.and_then(|channel| channel.timeline.loading());
    let unread = channel.map_or(0, |channel| channel.unread);
    let (label, style) = match (loading, app.scroll) {
        (Some(Load::Older), _) => (" loading older … ".to_owned(), theme.faint()),
        (_, Scroll::At(_)) if unread > 0 => (format!(" {unread} new below · Esc "), theme.alert()),
        (_, Scroll::At(_)) => (" newer below · Esc ".to_owned(), theme.faint()),
        (_, Scroll::Bottom) => (String::new(), theme.faint()),
    };
    let width = usize::from(area.width);
    let label = fit(&label, width);
    let left = width - cells_of(&label);
    let typing = app.offered_text().or_else(|| app.typing_text());
    let typing = typing.map_or(String::new(), |text| fit(&format!("─ {text} "), left));
    let line = "─".repeat(left - cells_of(&typing));
    let spans = [
        Span::styled(typing, theme.faint()),
        Span::styled(line, theme.faint()),
        Span::styled(label, style),
    ];
    Line::from_iter(spans).render(area, frame.buffer_mut());
}

fn draw_input(app: &App, frame: &mut Frame<'_>, area: Rect) -> Option<Position> {
    let text = app.input.text();
    let rows = app.input.layout(layout::input_cells(area.width));
    let height = usize::from(area.height);
    if height == 0 {
        return None;
    }
    // The cursor's row is always in sight.
    let first = rows.cursor_row.saturating_sub(height - 1);
    let visible = rows.rows.iter().enumerate().skip(first).take(height);
    let lines = visible.map(|(at, row)| {
        let before = if at == 0 { PROMPT } else { "  " };
        Line::from_iter([
            Span::styled(before, app.settings.theme.strong()),
            Span::raw(shown(&text[row.clone()])),
        ])
    });
    Paragraph::new(lines.collect::<Vec<_>>()).render(area, frame.buffer_mut());
    let column = cells_of(PROMPT) + rows.cursor_column;
    let last = usize::from(area.width.saturating_sub(1));
    Some(Position {
        x: area.x + u16::try_from(column.min(last)).unwrap_or(0),
        y: area.y + u16::try_from(rows.cursor_row - first).unwrap_or(0),
    })
}

fn draw_status(app: &App, frame: &mut Frame<'_>, area: Rect) {
    let theme = app.settings.theme;
    let width = usize::from(area.width);
    let link_style = match (app.link.is_up(), app.link.is_stopped()) {
        (true, _) => theme.good(),
        (false, true) => theme.bad(),
        (false, false) => theme.alert(),
    };
    let mut parts = Vec::new();
    if app.outbox.waiting() > 0 {
        parts.push((
            format!("◷ {} waiting ", app.outbox.waiting()),
            theme.alert(),
        ));
    }
    if app.outbox.refused() > 0 {
        parts.push((format!("✗ {} refused ", app.outbox.refused()), theme.bad()));
    }
    let counts: usize = parts.iter().map(|(text, _)| cells_of(text)).sum();
    let link = app.link.text(app.now);
    let link = fit(&format!(" {link}  "), width.saturating_sub(counts));
    let used = cells_of(&link) + counts;
    let mut spans = vec![Span::styled(link, link_style)];
    spans.extend(
        parts
            .into_iter()
            .map(|(text, style)| Span::styled(text, style)),
    );
    let room = width.saturating_sub(used);
    if let Some(keys) = KEYS.iter().find(|keys| cells_of(keys) <= room) {
        spans.push(Span::raw(" ".repeat(room - cells_of(keys))));
        spans.push(Span::styled(*keys, theme.faint()));
    }
    Line::from(spans).render(area, frame.buffer_mut());
}
