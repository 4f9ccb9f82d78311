//! How far a run is: a bar on a terminal, lines elsewhere, nothing for programs.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use parking_lot::Mutex;

use crate::output::note;

/// Between two drawings of the bar.
const DRAW_EVERY: Duration = Duration::from_millis(200);
/// As long as nobody knows how much there is to do, a bar would look full.
const WITHOUT_BAR: &str = "{elapsed_precise} {wide_msg}";
const WITH_BAR: &str = "{elapsed_precise} {bar:30} {pos}/{len} {wide_msg}";

/// How far a run is.
pub struct Progress {
    bar: ProgressBar,
    /// What was told last, where each is a line of its own.
    told: Option<Mutex<String>>,
}

impl Progress {
    /// Of a run whose output is for programs, or for people.
    pub fn new(for_programs: bool) -> Self {
        let bar = ProgressBar::new(0);
        if for_programs {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        let is_seen = std::io::stderr().is_terminal();
        let progress = Self {
            bar,
            told: (!for_programs && !is_seen).then(Mutex::default),
        };
        progress.set_style(WITHOUT_BAR);
        progress.bar.enable_steady_tick(DRAW_EVERY);
        progress
    }

    /// What is being done.
    pub fn set_message(&self, message: impl Into<String>) {
        let message = message.into();
        if let Some(told) = &self.told {
            let mut told = told.lock();
            if *told != message {
                note(&message);
                told.clone_from(&message);
            }
        }
        self.bar.set_message(message);
    }

    /// How much there is to do.
    pub fn set_length(&self, length: u64) {
        self.set_style(WITH_BAR);
        self.bar.set_length(length);
    }

    /// How much is done.
    pub fn set_position(&self, position: u64) {
        self.bar.set_position(position);
    }

    /// More is done.
    pub fn inc(&self, more: u64) {
        self.bar.inc(more);
    }

    /// Something else begins.
    pub fn reset(&self) {
        self.bar.reset();
    }

    /// All is done.
    pub fn finish_and_clear(&self) {
        self.bar.finish_and_clear();
    }

    fn set_style(&self, template: &'static str) {
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style);
        }
    }
}
