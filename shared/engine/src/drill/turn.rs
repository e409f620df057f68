//! What a scheduled drill restores: each site in turn, mostly its newest backup, and now and then an older one.

use lifeboat_model::{Act, DatabaseName, DrillReport, History, Site};
use lifeboat_postgres::ConnectionSettings;

use super::drill;
use super::request::{BackupChoice, DrillRequest};
use crate::deadline::within;
use crate::error::EngineError;
use crate::health::{SITE_WITHIN, look_at_history, readable, site_views};
use crate::run::Run;

/// One of so many scheduled drills restores a random backup: with weekly drills, one a month.
const RANDOM_ONE_OF: u32 = 4;

/// Drills a database as its schedule does: from the site whose last drill is the oldest.
///
/// # Errors
/// As [`drill`].
pub async fn drill_in_turn(
    run: &Run,
    database: &DatabaseName,
    scratch: ConnectionSettings,
) -> Result<DrillReport, EngineError> {
    let sites = run.ports.sites.names();
    let history = history(run).await;
    let site = next_site(&sites, &history, database);
    drill(run, &DrillRequest { database: database.clone(), backup: next_backup(), site, scratch }).await
}

/// Mostly the newest backup, and now and then a random one.
fn next_backup() -> BackupChoice {
    if fastrand::u32(..RANDOM_ONE_OF) == 0 { BackupChoice::Random } else { BackupChoice::Newest }
}

/// The history, as far as it can be read. Without it the drill still proves a backup.
async fn history(run: &Run) -> History {
    let views = site_views(run).await;
    let reading = Box::pin(look_at_history(run, readable(&views).ok().flatten()));
    within(SITE_WITHIN, reading).await.unwrap_or_else(|error| {
        tracing::warn!(error = error.story(), "which site was drilled last is not known");
        History::default()
    })
}

/// The site whose last drill is the oldest, whatever came of it: a site that is down must not take the turns of the other one. The primary
/// before the first.
fn next_site(sites: &[Site], history: &History, database: &DatabaseName) -> Site {
    let last = |site: Site| history.runs(database, Act::TestRestore).rev().find(|run| run.site == Some(site));
    sites.iter().copied().min_by_key(|site| last(*site).map(|run| run.at)).unwrap_or(Site::Primary)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::Timestamp;
    use lifeboat_model::{Fact, Facts, LedgerEntry, Outcome};

    use super::*;

    #[test]
    fn about_one_drill_in_four_restores_a_random_backup_and_the_others_the_newest() {
        let drills: Vec<BackupChoice> = (0..1000).map(|_| next_backup()).collect();
        let random = drills.iter().filter(|backup| **backup == BackupChoice::Random).count();
        // It is off by seven standard deviations once in some hundred thousand million runs.
        assert!((155..=345).contains(&random), "{random} of 1,000");
        assert!(drills.iter().all(|backup| matches!(backup, BackupChoice::Random | BackupChoice::Newest)));
    }

    #[test]
    fn each_site_has_its_turn_also_while_the_drills_of_one_fail() {
        let database: DatabaseName = "clinic".parse().unwrap();
        let mut history = History::default();
        let both = [Site::Primary, Site::Offsite];
        let mut number = 0;
        let mut drilled = |history: &mut History, site: Site, outcome| {
            number += 1;
            let detail: BTreeMap<_, _> =
                Facts::new().with(Fact::Database, "clinic").with(Fact::Site, site).into_detail();
            let at = Timestamp::from_second(number).unwrap();
            let (actor, reason, subject) = (String::new(), String::new(), "clinic".to_owned());
            let (action, number) = (Act::TestRestore.to_string(), number as u64);
            let entry =
                LedgerEntry { format: 1, number, previous: None, at, actor, reason, action, subject, outcome, detail };
            history.fold(&entry, at);
        };
        assert_eq!(next_site(&both, &history, &database), Site::Primary);
        drilled(&mut history, Site::Primary, Outcome::Completed);
        assert_eq!(next_site(&both, &history, &database), Site::Offsite);
        drilled(&mut history, Site::Offsite, Outcome::Failed);
        assert_eq!(next_site(&both, &history, &database), Site::Primary);
        drilled(&mut history, Site::Primary, Outcome::Completed);
        assert_eq!(next_site(&both, &history, &database), Site::Offsite);
        assert_eq!(next_site(&[Site::Offsite], &history, &database), Site::Offsite);
    }
}
