//! Standard output: for results and for people. Logs go to standard error.

/// Prints a text and ends the line.
#[allow(clippy::print_stdout)]
pub fn say(text: &str) {
    println!("{text}");
}
