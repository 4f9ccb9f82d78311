//! Lines typed before.

use std::collections::VecDeque;

use super::input::InputLine;

/// Lines that are remembered.
const RECALL_MAX: usize = 200;

/// Lines typed before, as up and down walk through them.
#[derive(Debug, Default)]
pub struct Recall {
    lines: VecDeque<String>,
    /// The line shown, counted from the newest; `None` = the one being typed.
    shown: Option<usize>,
    typed: String,
}

impl Recall {
    /// Remembers a line that was sent.
    pub fn add(&mut self, line: &str) {
        self.shown = None;
        if self.lines.front().is_some_and(|last| last == line) {
            return;
        }
        self.lines.push_front(line.to_owned());
        self.lines.truncate(RECALL_MAX);
    }

    /// An older line; `typed` is kept for the way back.
    pub fn older(&mut self, typed: &InputLine) -> Option<InputLine> {
        let next = self.shown.map_or(0, |shown| shown + 1);
        let line = self.lines.get(next)?;
        if self.shown.is_none() {
            self.typed = typed.text().to_owned();
        }
        self.shown = Some(next);
        Some(InputLine::new(line))
    }

    /// A newer line, at last the one that was being typed.
    pub fn newer(&mut self) -> Option<InputLine> {
        let shown = self.shown?;
        self.shown = shown.checked_sub(1);
        let line = match self.shown {
            Some(newer) => self.lines.get(newer)?,
            None => &self.typed,
        };
        Some(InputLine::new(line))
    }

    /// The shown line has been changed: it is the one being typed now.
    pub fn forget_place(&mut self) {
        self.shown = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(text: &str) -> InputLine {
        InputLine::new(text)
    }

    #[test]
    fn earlier_lines_come_back_and_the_typed_one_after_them() {
        let mut recall = Recall::default();
        assert!(recall.older(&typed("x")).is_none());
        recall.add("first");
        recall.add("second");
        recall.add("second");
        let shown = |line: Option<InputLine>| line.map(|line| line.text().to_owned());
        assert_eq!(shown(recall.older(&typed("draft"))).unwrap(), "second");
        assert_eq!(shown(recall.older(&typed("second"))).unwrap(), "first");
        assert_eq!(shown(recall.older(&typed("first"))), None);
        assert_eq!(shown(recall.newer()).unwrap(), "second");
        assert_eq!(shown(recall.newer()).unwrap(), "draft");
        assert_eq!(shown(recall.newer()), None);
    }
}
