//! Progress of a bench, for people who wait.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A line that says what is going on.
pub fn spinner(message: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} [{elapsed}] {msg}");
    let bar = ProgressBar::new_spinner().with_style(style.expect("a template"));
    bar.enable_steady_tick(Duration::from_millis(100));
    bar.set_message(message);
    bar
}

/// Counts steps of `all` on the line: call it after each.
pub fn steps(bar: &ProgressBar, what: &'static str, all: usize) -> impl Fn() + use<> {
    let bar = bar.clone();
    bar.set_position(0);
    move || {
        bar.inc(1);
        bar.set_message(format!("{what}: {} of {all}", bar.position()));
    }
}
