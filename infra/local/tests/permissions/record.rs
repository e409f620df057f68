//! What the requests have shown so far.

use std::collections::BTreeSet;

use crate::caller::Answer;

/// The names of the statements that were exercised, and what was wrong with any.
#[derive(Default)]
pub struct Record {
    pub exercised: BTreeSet<String>,
    pub wrong: Vec<String>,
}

impl Record {
    /// A statement lets the first request through, and nothing lets the second one through.
    pub fn statement(&mut self, name: &str, allowed: Answer, refused: Answer) {
        self.exercised.insert(name.to_owned());
        if (allowed, refused) != (Answer::Allowed, Answer::Denied) {
            self.wrong.push(format!("{name}: {allowed:?} and {refused:?}"));
        }
    }
}
