//! Standard output: for results and for people. Logs go to standard error.

use std::io::Write;

/// Prints a text and ends the line. Whoever reads may have gone: that is no
/// reason to stop a world.
pub fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// Prints a line to standard error, for people who wait.
#[allow(clippy::print_stderr)]
pub fn note(text: &str) {
    eprintln!("{text}");
}
