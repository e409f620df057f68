//! Measures the phases of a run.

use std::time::Instant;

use lifeboat_model::Phases;

use crate::progress::Progress;

/// Ends one phase and begins the next, and reports both as progress.
pub(crate) struct Stopwatch<'a> {
    phases: Phases,
    current: Option<(&'static str, Instant)>,
    progress: &'a dyn Progress,
}

impl<'a> Stopwatch<'a> {
    pub(crate) fn new(progress: &'a dyn Progress) -> Self {
        Self { phases: Phases::default(), current: None, progress }
    }

    /// Begins the phase `name`. `total` is the amount of its work, if known.
    pub(crate) fn begin(&mut self, name: &'static str, total: Option<u64>) {
        self.end();
        tracing::debug!(step = name, "step begins");
        self.progress.step(name, total);
        self.current = Some((name, Instant::now()));
    }

    /// The phases so far, the current one included.
    pub(crate) fn phases(&mut self) -> Phases {
        self.end();
        self.phases.clone()
    }

    fn end(&mut self) {
        if let Some((name, began)) = self.current.take() {
            self.phases.add(name, began.elapsed());
        }
    }
}
