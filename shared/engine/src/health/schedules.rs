//! Whether the newest backup, verification and drill of each database are as recent as the policy requires, and whether the off-site has
//! every backup.

use jiff::{SignedDuration, Timestamp};
use lifeboat_model::{AlertKind, DatabaseName, IncidentName, Probe, Site, Wrong};

use super::freshness::{Age, SiteBackups, lacks, too_old};
use crate::error::EngineError;
use crate::run::Run;

/// Whether the newest successful run of an act is recent enough.
pub(super) fn freshness(database: &DatabaseName, age: &Age) -> Probe {
    let what = age.act.profile().noun;
    let (since, allowed) = (words(age.age), words(age.limit));
    let wrong = age.is_overdue().then(|| {
        let what = match (&age.gone, age.unread_since, age.unproved, age.last) {
            (Some(id), ..) => format!("backup {id} of {database} is in the ledger, but is missing on the primary"),
            (None, Some(day), ..) => format!(
                "the part of the backups of {database} that was due on {} has not been read; the policy allows {allowed}",
                day.strftime("%Y-%m-%d")
            ),
            (None, None, Some(site), _) => format!(
                "no drill has proved a backup of {database} from {site} in time; the policy allows {allowed} between drills"
            ),
            (None, None, None, Some(_)) => {
                format!("the last successful {what} of {database} was {since} ago; the policy allows {allowed}")
            }
            (None, None, None, None) => {
                format!("no {what} of {database} has succeeded in {since}; the policy allows {allowed}")
            }
        };
        let hint = match (&age.gone, age.unproved) {
            (Some(_), _) => "it was deleted: CloudTrail (output `TrailLogsName` of the site's stack) shows who did it; run \
                             `lifeboat verify` to bring back the off-site's copy"
                .to_owned(),
            (None, Some(site)) => format!(
                "`lifeboat ledger list --action test-restore` shows how its drills ended; then run `lifeboat drill --database \
                 {database} --site {site}`"
            ),
            (None, None) => format!(
                "check that the function's schedule is enabled, read the function's log, and run a {what} yourself"
            ),
        };
        // A hint is the same for each of these.
        let gone = age.gone.iter().map(ToString::to_string);
        Wrong::new(what, hint).about(gone.chain(age.unproved.map(|site| format!("drills from {site}"))))
    });
    of_database(age.overdue_kind, database, wrong)
}

/// Whether any site has a backup of the database that is dated in the future. `None` when none is seen and a site cannot be listed.
pub(super) fn dates(listed: &[SiteBackups], database: &DatabaseName) -> Option<Probe> {
    let misdated = listed.iter().flat_map(|one| one.misdated.iter().map(|backup_id| (one.site, backup_id)));
    let wrong = misdated.clone().next().map(|(site, backup_id)| {
        let error = EngineError::Misdated { backup_id: backup_id.clone(), site };
        let objects = misdated.map(|(site, backup_id)| format!("{backup_id} on {site}"));
        Wrong::new(error.story(), error.hint()).about(objects)
    });
    let is_known = wrong.is_some() || listed.iter().all(|one| one.backups.is_ok());
    is_known.then(|| of_database(AlertKind::BackupMisdated, database, wrong))
}

/// Whether the off-site has every backup that should be there by now.
pub(super) fn lag(
    run: &Run,
    listed: &[SiteBackups],
    offsite: &SiteBackups,
    database: &DatabaseName,
    at: Timestamp,
) -> Probe {
    let limit = run.policy.freshness.offsite;
    let wrong = match (lacks(listed, Site::Offsite, too_old(at, limit)), &offsite.backups) {
        (Some(late), _) if late.is_empty() => None,
        (Some(late), _) => {
            let what = format!(
                "{} backup(s) of {database} are still missing on the off-site after {}",
                late.len(),
                words(limit)
            );
            let hint = "check the off-site bucket, its region and the function's permissions there; the next backup \
                        copies them";
            // By their days: while the off-site is away there is another one each hour.
            let days = late.iter().filter_map(|id| id.began_at());
            let days = days.map(|began| began.strftime("backups of %Y-%m-%d").to_string());
            Some(Wrong::new(what, hint).about(days))
        }
        (None, Err(error)) => {
            let what = format!("the backups on the off-site cannot be listed: {}", error.story());
            Some(Wrong::new(what, error.hint()))
        }
        // The primary is unreachable, which its own incident reports.
        (None, Ok(_)) => None,
    };
    of_database(AlertKind::OffsiteLag, database, wrong)
}

fn of_database(kind: AlertKind, database: &DatabaseName, wrong: Option<Wrong>) -> Probe {
    let name = IncidentName::new(kind, database);
    Probe { name, database: Some(database.clone()), elapsed_ms: None, wrong }
}

/// When the primary cannot be listed, `backup-overdue` opens: nobody knows whether there is a new backup.
pub(super) fn unknown(database: &DatabaseName, error: &EngineError) -> Probe {
    let what = format!("the backups cannot be listed, so it is unknown whether there is a new one: {}", error.story());
    of_database(AlertKind::BackupOverdue, database, Some(Wrong::new(what, error.hint())))
}

/// When no site gives the reports of drills, `drill-overdue` opens: nobody knows whether a restore is proved.
pub(super) fn unread_drills(database: &DatabaseName, error: &EngineError) -> Probe {
    let what =
        format!("the reports under drills/ cannot be read, so it is unknown whether a drill is due: {}", error.story());
    of_database(AlertKind::DrillOverdue, database, Some(Wrong::new(what, error.hint())))
}

/// The duration in the unit that reads best.
fn words(duration: SignedDuration) -> String {
    match duration.as_mins() {
        minutes if minutes < 120 => format!("{minutes} min"),
        minutes if minutes < 48 * 60 => format!("{} h", minutes / 60),
        minutes => format!("{} days", minutes / (24 * 60)),
    }
}
