//! One verb for several databases. It continues after a failure, keeps the reports of the others, and names the databases that failed.

use lifeboat_model::DatabaseName;

use crate::error::EngineError;

/// The results of a verb that ran for one database after the other.
#[derive(Debug)]
pub struct Several<T> {
    reports: Vec<T>,
    failures: Vec<(DatabaseName, EngineError)>,
}

impl<T> Default for Several<T> {
    fn default() -> Self {
        Self { reports: Vec::new(), failures: Vec::new() }
    }
}

impl<T> Several<T> {
    /// Takes the result of one database.
    pub fn push(&mut self, database: DatabaseName, result: Result<T, EngineError>) {
        match result {
            Ok(report) => self.reports.push(report),
            // The verb has announced it.
            Err(error) => self.failures.push((database, error)),
        }
    }

    /// The reports of the databases that succeeded, and the failures of the others as one error.
    pub fn end(self) -> (Vec<T>, Result<(), EngineError>) {
        let total = self.reports.len() + self.failures.len();
        let failed = match (total, self.failures) {
            (_, failures) if failures.is_empty() => Ok(()),
            // A request for one database fails with that database's own error.
            (1, mut failures) => failures.pop().map_or(Ok(()), |(_, error)| Err(error)),
            (total, failures) => Err(EngineError::SomeFailed { total, failures }),
        };
        (self.reports, failed)
    }
}

#[cfg(test)]
mod tests {
    use lifeboat_model::Response;

    use super::*;

    fn several(results: &[(&str, bool)]) -> Several<String> {
        let mut several = Several::default();
        for (name, is_good) in results {
            let result = if *is_good { Ok((*name).to_owned()) } else { Err(EngineError::NoAnswer { seconds: 7 }) };
            several.push(name.parse().unwrap(), result);
        }
        several
    }

    #[test]
    fn good_reports_are_kept_and_each_bad_database_is_named() {
        let (reports, failed) = several(&[("a", true), ("b", false), ("c", true), ("d", false)]).end();
        assert_eq!(reports, ["a", "c"]);
        let story = failed.unwrap_err().story();
        assert!(story.contains("2 of 4") && story.contains("`b`") && story.contains("`d`"), "{story}");
        assert!(!story.contains("`a`") && story.contains("no answer within 7 s"), "{story}");
    }

    #[test]
    fn a_long_list_of_failures_is_cut_and_the_worst_of_them_decides_the_advice() {
        let mut many = several(&[("a", false), ("b", false), ("c", false), ("d", false)]);
        let backup_id = "2026-11-21T20-49-33Z-aaaa".parse().unwrap();
        let damage = EngineError::Inconsistent { backup_id, what: "its totals".to_owned() };
        many.push("e".parse().unwrap(), Err(damage));
        let (_, failed) = many.end();
        let error = failed.unwrap_err();
        assert!(error.story().ends_with("and 2 more"), "{}", error.story());
        assert_eq!(error.advice().response, Response::Page);
    }

    #[test]
    fn one_database_alone_fails_as_it_is_and_all_good_ones_do_not_fail() {
        let (reports, failed) = several(&[("a", false)]).end();
        assert!(reports.is_empty() && matches!(failed, Err(EngineError::NoAnswer { seconds: 7 })));
        for good in [&[("a", true), ("b", true)][..], &[]] {
            let (reports, failed) = several(good).end();
            assert_eq!(reports, good.iter().map(|(name, _)| *name).collect::<Vec<_>>());
            failed.unwrap();
        }
    }
}
