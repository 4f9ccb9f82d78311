//! Where the reader is. Places are named by messages and not by line numbers, so
//! that what comes in above or below moves nothing on the screen.

use std::ops::Bound;

use causeway_protocol::Seq;
use ratatui::text::Line;

use super::app::App;
use super::row::Row;
use super::timeline::Load;
use super::view::layout::Layout;

/// An item of the message pane: a row of the timeline, or a message on its way.
/// Those on their way stand below all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// The row with this `seq`.
    Row(Seq),
    /// The pending message with this number.
    Pending(u64),
}

impl Key {
    /// The place in the channel's log, for what has one.
    pub fn seq(self) -> Option<Seq> {
        match self {
            Self::Row(seq) => Some(seq),
            Self::Pending(_) => None,
        }
    }
}

/// A line of the message pane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The item.
    pub key: Key,
    /// The lines of the item that lie below this one.
    pub below: usize,
}

/// What the lowest line of the message pane is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scroll {
    /// The newest.
    Bottom,
    /// This one.
    At(Place),
}

impl App {
    /// The lines to show, each with the item that it belongs to.
    pub(super) fn visible(&self, width: usize, height: usize) -> Vec<(Key, Line<'static>)> {
        let mut lines: Vec<(Key, Line<'static>)> = Vec::new();
        let Some(lowest) = self.lowest(width) else {
            return lines;
        };
        let mut next = Some(lowest.key);
        let mut hidden = lowest.below;
        while let Some(key) = next.filter(|_| lines.len() < height) {
            let item = self.lines(key, width);
            let shown = item.into_iter().rev().skip(std::mem::take(&mut hidden));
            lines.extend(shown.map(|line| (key, line)));
            next = self.item_before(key);
        }
        let is_cut = lines.len() > height;
        lines.truncate(height);
        lines.reverse();
        if let Some(first) = lines.first().map(|(key, _)| *key).filter(|_| !is_cut) {
            // Whose words they are cannot be read off what is not on the screen.
            let named = self.named_lines(first, width);
            let of_first = lines.iter_mut().take_while(|(key, _)| *key == first);
            for ((_, line), named) in of_first.zip(named) {
                *line = named;
            }
        }
        lines
    }

    /// Scrolls up; at the top older messages are loaded.
    pub(super) fn scroll_up(&mut self, lines: usize) {
        let (width, height) = self.pane();
        let Some(lowest) = self.lowest(width) else {
            return;
        };
        let (place, _) = self.climb(lowest, lines, width);
        self.rest_at(place, width, height);
        let (_, above) = self.climb(place, height, width);
        let has_older = self.channel().is_some_and(|c| c.timeline.has_older());
        if above < height && has_older {
            self.load_for_reader(Load::Older);
        }
    }

    /// Scrolls down; at the end of what is in memory newer messages are loaded.
    pub(super) fn scroll_down(&mut self, lines: usize) {
        let (width, height) = self.pane();
        if self.scroll == Scroll::Bottom {
            return;
        }
        let Some(lowest) = self.lowest(width) else {
            return;
        };
        let (place, moved) = self.descend(lowest, lines, width);
        self.rest_at(place, width, height);
        if moved < lines && self.scroll != Scroll::Bottom {
            self.load_for_reader(Load::Newer);
        }
    }

    fn load_for_reader(&mut self, load: Load) {
        match self.link.is_up() {
            true => self.load(load),
            false => self.tell("other messages are loaded when there is a connection"),
        }
    }

    /// Marks the message above or below the marked one, and brings it to sight.
    pub(super) fn select(&mut self, up: bool) {
        let (width, height) = self.pane();
        let from = self.selected.filter(|key| self.exists(*key));
        let next = match (from, up) {
            (Some(key), true) => self.item_before(key),
            (Some(key), false) => self.item_after(key),
            (None, _) => self.lowest(width).map(|place| place.key),
        };
        let is_message = |key: &Key| match key {
            Key::Row(seq) => self.row(*seq).is_some_and(|row| row.message().is_some()),
            Key::Pending(_) => false,
        };
        let step = |key: &Key| match up || from.is_none() {
            true => self.item_before(*key),
            false => self.item_after(*key),
        };
        let mut candidates = std::iter::successors(next, step);
        let Some(key) = candidates.find(is_message) else {
            if up {
                self.scroll_up(height);
            }
            return;
        };
        self.selected = Some(key);
        self.bring_to_sight(key, width, height);
    }

    fn bring_to_sight(&mut self, key: Key, width: usize, height: usize) {
        let Some(lowest) = self.lowest(width) else {
            return;
        };
        let visible = self.visible(width, height);
        let first = visible.first().map(|(key, _)| *key);
        if key > lowest.key || (key == lowest.key && lowest.below > 0) {
            self.rest_at(Place { key, below: 0 }, width, height);
        } else if first.is_none_or(|first| key <= first) {
            let below = self.lines(key, width).len().saturating_sub(1);
            let (place, _) = self.descend(Place { key, below }, height.saturating_sub(1), width);
            self.rest_at(place, width, height);
        }
    }

    /// The width and height of the message pane.
    pub(super) fn pane(&self) -> (usize, usize) {
        let pane = Layout::of(self, self.size).messages;
        (usize::from(pane.width), usize::from(pane.height).max(1))
    }

    /// Makes `place` the lowest line, but leaves no empty space above the first.
    fn rest_at(&mut self, place: Place, width: usize, height: usize) {
        let (top, above) = self.climb(place, height - 1, width);
        let place = match above < height - 1 {
            true => self.descend(top, height - 1, width).0,
            false => place,
        };
        let is_live = self.channel().is_some_and(|c| c.timeline.is_live());
        let is_last = place.below == 0 && self.item_after(place.key).is_none();
        self.scroll = match is_live && is_last {
            true => Scroll::Bottom,
            false => Scroll::At(place),
        };
    }

    /// The lowest line shown; `None` without messages.
    fn lowest(&self, width: usize) -> Option<Place> {
        let last = || {
            Some(Place {
                key: self.last_item()?,
                below: 0,
            })
        };
        let Scroll::At(place) = self.scroll else {
            return last();
        };
        if self.exists(place.key) {
            let lines = self.lines(place.key, width).len();
            let below = place.below.min(lines.saturating_sub(1));
            return Some(Place { below, ..place });
        }
        // The item is gone: cut off, or it has its place in the log by now.
        match self.item_before(place.key) {
            Some(key) => Some(Place { key, below: 0 }),
            None => last(),
        }
    }

    /// Goes up by so many lines. Returns how many there were.
    fn climb(&self, from: Place, lines: usize, width: usize) -> (Place, usize) {
        let mut place = from;
        let mut left = lines;
        loop {
            let item = self.lines(place.key, width).len();
            let above = item.saturating_sub(place.below + 1);
            if left <= above {
                place.below += left;
                return (place, lines);
            }
            match self.item_before(place.key) {
                Some(key) => {
                    left -= above + 1;
                    place = Place { key, below: 0 };
                }
                None => {
                    place.below += above;
                    return (place, lines - left + above);
                }
            }
        }
    }

    /// Goes down by so many lines. Returns how many there were.
    fn descend(&self, from: Place, lines: usize, width: usize) -> (Place, usize) {
        let mut place = from;
        let mut left = lines;
        loop {
            if left <= place.below {
                place.below -= left;
                return (place, lines);
            }
            match self.item_after(place.key) {
                Some(key) => {
                    left -= place.below + 1;
                    let below = self.lines(key, width).len().saturating_sub(1);
                    place = Place { key, below };
                }
                None => {
                    let moved = lines - left + place.below;
                    return (Place { below: 0, ..place }, moved);
                }
            }
        }
    }

    pub(super) fn row(&self, seq: Seq) -> Option<&Row> {
        self.channel()?.timeline.rows().get(&seq)
    }

    fn exists(&self, key: Key) -> bool {
        match key {
            Key::Row(seq) => self.row(seq).is_some(),
            Key::Pending(number) => self.pending(number).is_some(),
        }
    }

    fn last_item(&self) -> Option<Key> {
        self.item_before(Key::Pending(u64::MAX))
    }

    pub(super) fn item_before(&self, key: Key) -> Option<Key> {
        let rows = self.channel()?.timeline.rows();
        let before = match key {
            Key::Row(seq) => rows.range(..seq).next_back(),
            Key::Pending(number) => {
                let mut shown = self.shown_pending().rev();
                if let Some(pending) = shown.find(|pending| pending.number < number) {
                    return Some(Key::Pending(pending.number));
                }
                rows.last_key_value()
            }
        };
        before.map(|(seq, _)| Key::Row(*seq))
    }

    fn item_after(&self, key: Key) -> Option<Key> {
        let number = match key {
            Key::Row(seq) => {
                let rows = self.channel()?.timeline.rows();
                let after = (Bound::Excluded(seq), Bound::Unbounded);
                if let Some((next, _)) = rows.range(after).next() {
                    return Some(Key::Row(*next));
                }
                0
            }
            Key::Pending(number) => number,
        };
        let mut shown = self.shown_pending();
        let next = shown.find(|pending| pending.number > number)?;
        Some(Key::Pending(next.number))
    }
}
