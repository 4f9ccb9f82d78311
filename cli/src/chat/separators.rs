//! What an item of the message pane has to do with the one before it: another
//! day, another author, another thread.

use causeway_protocol::{Seq, Timestamp, UserId};
use ratatui::text::Line;

use super::app::App;
use super::mentions::named;
use super::row::{Row, thread_of};
use super::scroll::Key;
use super::text::{fit, one_line, width as cells_of};

/// Messages that follow within this time are not told apart by the name again.
const GROUP_US: u64 = 5 * 60 * 1_000_000;
/// Cells of a separator before its label.
const RULE_BEFORE: usize = 6;

/// Who said something, when, and in which thread.
#[derive(Debug, Clone, Copy)]
pub(super) struct Said {
    /// Nobody known before the first connection.
    pub user: Option<UserId>,
    pub ts: Timestamp,
    pub thread: Option<Timestamp>,
}

impl App {
    /// What stands between an item and the one before: a new day, and where the
    /// unread messages begin.
    pub(super) fn separators(&self, key: Key, ts: Timestamp, width: usize) -> Vec<Line<'static>> {
        let (theme, zone) = (self.settings.theme, self.settings.zone);
        let before = self.item_before(key);
        let mut lines = Vec::new();
        let day_before = before
            .and_then(|key| self.time_of(key))
            .map(|ts| zone.day(ts));
        if day_before != Some(zone.day(ts)) {
            let name = zone.day_name(ts, self.now);
            lines.push(Line::styled(rule(&name, width), theme.faint()));
        }
        if let (Some(read), Key::Row(seq)) = (self.divider, key)
            && seq > read
            && self.is_first_unread(before, read)
        {
            lines.push(Line::styled(rule("new", width), theme.alert()));
        }
        lines
    }

    fn is_first_unread(&self, before: Option<Key>, read: Seq) -> bool {
        match before {
            Some(before) => before <= Key::Row(read),
            None => self.channel().is_some_and(|c| !c.timeline.has_older()),
        }
    }

    /// Whether what is said goes on where its author's last message ended.
    pub(super) fn follows(&self, key: Key, said: Said) -> bool {
        let before = self.said_before(key);
        before.is_some_and(|before| {
            let near = said.ts.0.abs_diff(before.ts.0) <= GROUP_US;
            near && before.user == said.user && before.thread == said.thread
        })
    }

    /// Whether the item before belongs to the thread, so that nobody need be told.
    pub(super) fn thread_is_above(&self, key: Key, thread: Timestamp) -> bool {
        let before = self.said_before(key);
        before.is_some_and(|before| before.ts == thread || before.thread == Some(thread))
    }

    fn said_before(&self, key: Key) -> Option<Said> {
        match self.item_before(key)? {
            Key::Row(seq) => {
                let message = self.row(seq)?.message()?;
                Some(Said {
                    user: Some(UserId(message.user)),
                    ts: Timestamp(message.ts),
                    thread: thread_of(message),
                })
            }
            Key::Pending(number) => {
                let pending = self.pending(number)?;
                Some(Said {
                    user: self.me,
                    ts: pending.written,
                    thread: pending.message.thread,
                })
            }
        }
    }

    fn time_of(&self, key: Key) -> Option<Timestamp> {
        match key {
            Key::Row(seq) => self.row(seq).map(Row::ts),
            Key::Pending(number) => self.pending(number).map(|pending| pending.written),
        }
    }

    /// The message that a thread starts at, in a line.
    pub(super) fn thread_title(&self, thread: Timestamp) -> String {
        let timeline = self.channel().map(|channel| &channel.timeline);
        match timeline.and_then(|timeline| timeline.message_at(thread)) {
            Some(root) => {
                let name = self.people.name(UserId(root.user));
                let text = match root.deleted {
                    true => "(deleted)".into(),
                    false => named(&root.text, &self.people),
                };
                one_line(&format!("┌ {name}: {text}"))
            }
            None => {
                let zone = self.settings.zone;
                let (day, time) = (zone.day(thread), zone.time_of_day(thread));
                format!("┌ a thread of {day}, {time}")
            }
        }
    }
}
/// A line across the pane with a label in it.
fn rule(label: &str, width: usize) -> String {
    let label = fit(&format!(" {label} "), width.saturating_sub(2));
    let free = width.saturating_sub(cells_of(&label));
    let left = free.min(RULE_BEFORE);
    format!("{}{label}{}", "─".repeat(left), "─".repeat(free - left))
}
