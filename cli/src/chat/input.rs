//! The line that is being typed.

use std::ops::Range;

use causeway_protocol::limits::{NAME_CHARS_MAX, TEXT_CHARS_MAX};

use super::mentions::may_begin;
use super::text::{clean, graphemes, shown_cells};

/// Characters that the line takes: enough to see that a text is too long, and
/// to shorten it.
pub const INPUT_CHARS_MAX: usize = 2 * TEXT_CHARS_MAX;

/// A text with a cursor between its signs.
#[derive(Debug, Clone, Default)]
pub struct InputLine {
    text: String,
    /// In bytes; always between two signs.
    cursor: usize,
}

/// The text as it stands in a field of some width.
#[derive(Debug, PartialEq, Eq)]
pub struct InputRows {
    /// The bytes of each row.
    pub rows: Vec<Range<usize>>,
    /// The cursor's row.
    pub cursor_row: usize,
    /// The cursor's column, in cells.
    pub cursor_column: usize,
}

impl InputLine {
    /// A line with this text, and the cursor at its end.
    pub fn new(text: &str) -> Self {
        let mut line = Self::default();
        line.insert(text);
        line
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether nothing has been typed.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// The text; the line is empty afterwards.
    pub fn take(&mut self) -> String {
        std::mem::take(self).text
    }

    /// Types or pastes `text`. False when not all of it found room.
    pub fn insert(&mut self, text: &str) -> bool {
        let text = clean(&text.replace("\r\n", "\n").replace('\r', "\n"));
        let room = INPUT_CHARS_MAX.saturating_sub(self.text.chars().count());
        let end = text
            .char_indices()
            .nth(room)
            .map_or(text.len(), |(at, _)| at);
        self.text.insert_str(self.cursor, &text[..end]);
        self.move_to(self.cursor + end);
        end == text.len()
    }

    /// What has been typed behind the `@` of a mention that the cursor is at the end of.
    pub fn mention(&self) -> Option<&str> {
        let before = &self.text[..self.cursor];
        let (before, typed) = before.rsplit_once('@')?;
        let is_name = !typed.contains(char::is_whitespace) && may_begin(before);
        (is_name && typed.chars().count() <= NAME_CHARS_MAX).then_some(typed)
    }

    /// Puts a name in place of what [`mention`](Self::mention) tells. False when not all of
    /// it found room.
    pub fn complete(&mut self, name: &str) -> bool {
        let typed_bytes = self.mention().map_or(0, str::len);
        self.delete(self.cursor - typed_bytes..self.cursor);
        self.insert(&format!("{name} "))
    }

    /// Deletes the sign before the cursor.
    pub fn backspace(&mut self) {
        self.delete(self.before()..self.cursor);
    }

    /// Deletes the sign after the cursor.
    pub fn delete_next(&mut self) {
        self.delete(self.cursor..self.after());
    }

    /// Deletes the word before the cursor.
    pub fn delete_word(&mut self) {
        self.delete(self.word_before()..self.cursor);
    }

    /// Deletes everything before the cursor.
    pub fn delete_to_start(&mut self) {
        self.delete(0..self.cursor);
    }

    /// One sign to the left.
    pub fn left(&mut self) {
        self.cursor = self.before();
    }

    /// One sign to the right.
    pub fn right(&mut self) {
        self.cursor = self.after();
    }

    /// To the beginning of the word.
    pub fn word_left(&mut self) {
        self.move_to(self.word_before());
    }

    /// Behind the end of the word.
    pub fn word_right(&mut self) {
        let rest = &self.text[self.cursor..];
        let word = rest
            .find(|c: char| !c.is_whitespace())
            .unwrap_or(rest.len());
        let end = rest[word..].find(char::is_whitespace);
        self.move_to(self.cursor + end.map_or(rest.len(), |end| word + end));
    }

    /// To the start.
    pub fn home(&mut self) {
        self.cursor = 0;
    }

    /// Behind the end.
    pub fn end(&mut self) {
        self.cursor = self.text.len();
    }

    /// Where each row begins and ends when a row has `cells_max` cells.
    pub fn layout(&self, cells_max: usize) -> InputRows {
        let cells_max = cells_max.max(1);
        let mut rows = Vec::new();
        let (mut start, mut at, mut used) = (0, 0, 0);
        let (mut cursor_row, mut cursor_column) = (0, 0);
        for sign in graphemes(&self.text) {
            let sign_cells = shown_cells(sign);
            if used + sign_cells > cells_max && at > start {
                rows.push(start..at);
                (start, used) = (at, 0);
            }
            if at == self.cursor {
                (cursor_row, cursor_column) = (rows.len(), used);
            }
            used += sign_cells;
            at += sign.len();
            if sign == "\n" {
                rows.push(start..at - 1);
                (start, used) = (at, 0);
            }
        }
        // Behind a full row the cursor stands at the start of the next.
        if used >= cells_max {
            rows.push(start..at);
            (start, used) = (at, 0);
        }
        if self.cursor == at {
            (cursor_row, cursor_column) = (rows.len(), used);
        }
        rows.push(start..at);
        InputRows {
            rows,
            cursor_row,
            cursor_column: cursor_column.min(cells_max - 1),
        }
    }

    fn delete(&mut self, range: Range<usize>) {
        let start = range.start;
        self.text.drain(range);
        // What stood on both sides may have become one sign.
        self.move_to(start);
    }

    /// To `at`, or the next place between two signs.
    fn move_to(&mut self, at: usize) {
        let mut place = 0;
        for sign in graphemes(&self.text) {
            if place >= at {
                break;
            }
            place += sign.len();
        }
        self.cursor = place;
    }

    fn before(&self) -> usize {
        let last = graphemes(&self.text[..self.cursor]).pop();
        self.cursor - last.map_or(0, str::len)
    }

    fn after(&self) -> usize {
        let first = graphemes(&self.text[self.cursor..]).into_iter().next();
        self.cursor + first.map_or(0, str::len)
    }

    fn word_before(&self) -> usize {
        let head = self.text[..self.cursor].trim_end();
        let space = head.char_indices().rfind(|(_, c)| c.is_whitespace());
        space.map_or(0, |(at, c)| at + c.len_utf8())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(text: &str) -> InputLine {
        InputLine::new(text)
    }

    fn cursor(line: &InputLine, cells_max: usize) -> (usize, usize) {
        let rows = line.layout(cells_max);
        (rows.cursor_row, rows.cursor_column)
    }

    #[test]
    fn the_cursor_walks_over_whole_signs() {
        let mut line = typed("a海👩‍👩‍👧e\u{301}");
        // What is joined is drawn one by one, and stays one sign.
        assert_eq!(cursor(&line, 20), (0, 10));
        line.left();
        assert_eq!(cursor(&line, 20), (0, 9));
        line.left();
        assert_eq!(cursor(&line, 20), (0, 3));
        line.left();
        assert_eq!(cursor(&line, 20), (0, 1));
        line.delete_next();
        assert_eq!(line.text(), "a👩‍👩‍👧e\u{301}");
        line.end();
        line.backspace();
        line.backspace();
        assert_eq!(line.text(), "a");
    }

    #[test]
    fn a_mark_that_joins_the_sign_before_takes_the_cursor_along() {
        let mut line = typed("e");
        line.insert("\u{301}");
        line.left();
        assert_eq!(cursor(&line, 20), (0, 0));
        line.insert("x");
        assert_eq!(line.text(), "xe\u{301}");
    }

    #[test]
    fn words_are_walked_over_and_deleted() {
        let mut line = typed("see the 海の道 ");
        line.word_left();
        line.word_left();
        line.insert("_");
        assert_eq!(line.text(), "see _the 海の道 ");
        line.word_right();
        line.delete_word();
        assert_eq!(line.text(), "see  海の道 ");
        line.end();
        line.delete_word();
        assert_eq!(line.text(), "see  ");
        line.delete_to_start();
        assert!(line.is_empty());
    }

    #[test]
    fn long_lines_wrap_and_the_cursor_with_them() {
        let mut line = typed("abcdef");
        assert_eq!(line.layout(4).rows, [0..4, 4..6]);
        assert_eq!(cursor(&line, 4), (1, 2));
        line.insert("gh");
        assert_eq!(cursor(&line, 4), (2, 0));
        // A wide sign does not fit into the last cell of a row.
        let line = typed("abc海");
        assert_eq!(line.layout(4).rows, [0..3, 3..6]);
        assert_eq!(cursor(&line, 4), (1, 2));
        let line = typed("a\n\nb");
        assert_eq!(line.layout(4).rows, [0..1, 2..2, 3..4]);
        assert_eq!(cursor(&line, 4), (2, 1));
    }

    #[test]
    fn a_mention_ends_at_the_cursor_and_is_completed_there() {
        for (text, wanted) in [
            ("see @bo", Some("bo")),
            ("@", Some("")),
            ("(@bo.l", Some("bo.l")),
            ("@bo ", None),
            ("a@bo", None),
            ("<@U04", None),
            ("bo", None),
        ] {
            assert_eq!(typed(text).mention(), wanted, "{text}");
        }
        assert_eq!(typed(&format!("@{}", "b".repeat(81))).mention(), None);
        let mut line = typed("see @bo!");
        line.left();
        assert!(line.complete("bob"));
        assert_eq!(line.text(), "see @bob !");
        assert_eq!(line.mention(), None);
    }

    #[test]
    fn a_paste_is_cleaned_and_bounded() {
        let mut line = InputLine::default();
        assert!(line.insert("a\r\nb\rc\x1b[2J\t"));
        assert_eq!(line.text(), "a\nb\nc[2J    ");
        assert!(!line.insert(&"海".repeat(INPUT_CHARS_MAX)));
        assert_eq!(line.text().chars().count(), INPUT_CHARS_MAX);
    }
}
