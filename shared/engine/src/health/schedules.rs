//! Whether each database has a backup, a verification and a drill in the time that policy allows, and the off-site its copies.

use jiff::{SignedDuration, Timestamp};
use lifeboat_model::{AlertKind, DatabaseName, IncidentName, Probe, Site, Wrong};

use super::freshness::{Age, SiteBackups, lacks, too_old};
use crate::error::EngineError;
use crate::run::Run;

/// Whether the newest of something is young enough.
pub(super) fn freshness(database: &DatabaseName, age: &Age) -> Probe {
    let what = age.act.profile().noun;
    let (since, allowed) = (words(age.age), words(age.limit));
    let wrong = age.is_overdue().then(|| Wrong {
        what: match (&age.gone, age.last) {
            (Some(id), _) => {
                format!("backup {id} of {database} is on record, and is missing on the primary")
            }
            (None, Some(_)) => format!("the last good {what} of {database} is {since} ago, policy allows {allowed}"),
            (None, None) => format!("there is no good {what} of {database} after {since}, policy allows {allowed}"),
        },
        hint: match &age.gone {
            Some(_) => "somebody deleted it: CloudTrail and the bucket's older versions say who and when; `lifeboat verify` restores \
                        what the off-site has"
                .to_owned(),
            None => format!(
                "check that the schedule of the function is enabled and read its log, then run a {what} by hand"
            ),
        },
    });
    of_database(age.overdue(), database, wrong)
}

/// Whether the off-site has every backup that is due there.
pub(super) fn lag(
    run: &Run,
    listed: &[SiteBackups],
    offsite: &SiteBackups,
    database: &DatabaseName,
    at: Timestamp,
) -> Probe {
    let limit = run.policy.freshness.offsite;
    let wrong = match (lacks(listed, Site::Offsite, too_old(at, limit)), &offsite.backups) {
        (Some(0), _) => None,
        (Some(late), _) => Some(Wrong {
            what: format!("{late} backup(s) of {database} are not on the off-site after {}", words(limit)),
            hint: "check the off-site's bucket, its region and the function's rights there; the next backup copies \
                   them"
                .to_owned(),
        }),
        (None, Err(error)) => {
            Some(Wrong { what: format!("what the off-site has is not known: {}", error.story()), hint: error.hint() })
        }
        // The primary cannot be asked, and that is reported.
        (None, Ok(_)) => None,
    };
    of_database(AlertKind::OffsiteLag, database, wrong)
}

fn of_database(kind: AlertKind, database: &DatabaseName, wrong: Option<Wrong>) -> Probe {
    let name = IncidentName::new(kind, database);
    Probe { name, database: Some(database.clone()), elapsed_ms: None, wrong }
}

/// When the first site cannot be asked, a backup counts as not seen.
pub(super) fn unknown(database: &DatabaseName, error: &EngineError) -> Probe {
    let what = format!("whether there is a new backup is not known: {}", error.story());
    of_database(AlertKind::BackupOverdue, database, Some(Wrong { what, hint: error.hint() }))
}

/// In the unit that a person would choose.
fn words(duration: SignedDuration) -> String {
    match duration.as_mins() {
        minutes if minutes < 120 => format!("{minutes} min"),
        minutes if minutes < 48 * 60 => format!("{} h", minutes / 60),
        minutes => format!("{} days", minutes / (24 * 60)),
    }
}
