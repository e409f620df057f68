//! Progress on a terminal.

use indicatif::{ProgressBar as Bar, ProgressStyle};
use lifeboat_engine::Progress;

/// One line that names the step and, where the work is known, how much of it is done.
pub struct ProgressBar {
    bar: Bar,
}

impl ProgressBar {
    /// Draws on standard error, so that standard output stays clean for pipes.
    pub fn new() -> Self {
        Self { bar: Bar::new_spinner() }
    }
}

impl Progress for ProgressBar {
    fn step(&self, name: &str, total: Option<u64>) {
        let style = match total {
            Some(_) => ProgressStyle::with_template("{msg:14} [{bar:40}] {pos}/{len} {elapsed}, {eta} left"),
            None => ProgressStyle::with_template("{msg:14} {spinner} {elapsed}"),
        };
        if let Ok(style) = style {
            self.bar.set_style(style.progress_chars("=> "));
        }
        self.bar.set_length(total.unwrap_or(0));
        self.bar.set_position(0);
        self.bar.set_message(name.to_owned());
        self.bar.tick();
    }

    fn advance(&self, amount: u64) {
        self.bar.inc(amount);
    }
}

impl Drop for ProgressBar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
