//! What happened, in order: a hash always, the text only when asked for, as a
//! failing seed can be run again.

use std::collections::VecDeque;
use std::fmt::Write;

use crate::clock::Time;
use crate::message::Host;

/// Lines that are kept.
const LINES_MAX: usize = 100_000;

#[derive(Debug, Default)]
pub struct Trace {
    hash: u64,
    lines: Option<VecDeque<String>>,
}

impl Trace {
    pub fn with_text(text: bool) -> Self {
        Self {
            hash: 0,
            lines: text.then(VecDeque::new),
        }
    }

    /// Notes that something happened; `detail` is written only when somebody
    /// will read it.
    pub fn note(&mut self, at: Time, host: Host, key: u64, detail: impl FnOnce(&mut String)) {
        for part in [at.micros, host.0 as u64, key] {
            self.hash = (self.hash.rotate_left(5) ^ part).wrapping_mul(0x517c_c1b7_2722_0a95);
        }
        if let Some(lines) = &mut self.lines {
            let mut line = String::new();
            let (seconds, micros) = (at.micros / 1_000_000, at.micros % 1_000_000);
            // Writing to a string cannot fail.
            let _ = write!(line, "{seconds:3}.{micros:06} host {:2} ", host.0);
            detail(&mut line);
            if lines.len() == LINES_MAX {
                lines.pop_front();
            }
            lines.push_back(line);
        }
    }

    pub fn hash(&self) -> u64 {
        self.hash
    }

    pub fn into_lines(self) -> Vec<String> {
        self.lines.unwrap_or_default().into()
    }
}
