//! The ages of the newest backup, verification and drill, and the backups on each site.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use lifeboat_model::{Act, AlertKind, BackupId, DatabaseName, History, Outcome, Response, Rotation, Site};

use super::proofs::{Proofs, proofs};
use super::request::HealthRequest;
use super::sites::{SITE_WITHIN, SiteView};
use crate::deadline::within;
use crate::error::EngineError;
use crate::run::Run;
use crate::verify::rotation;

/// Older backups are not listed. A site that lacks one was reported long ago.
const LATEST: SignedDuration = SignedDuration::from_hours(31 * 24);

/// The newest backups of a database on one site, oldest first.
pub(crate) struct SiteBackups {
    pub(crate) site: Site,
    pub(crate) backups: Result<BTreeSet<BackupId>, Arc<EngineError>>,
    /// Backups dated in the future. They count as absent.
    pub(crate) misdated: BTreeSet<BackupId>,
}

/// What the repository says of one database.
pub(crate) struct Observed {
    /// Its newest backups on each site.
    pub(crate) listed: Vec<SiteBackups>,
    /// The progress of its verifications; absent before the first one.
    rotation: Result<Option<Rotation>, EngineError>,
    /// Its drills that proved a backup, of those that are not far too old.
    proofs: Result<Proofs, Arc<EngineError>>,
}

impl Observed {
    /// Why the reports of its drills cannot be read, where that will not pass by itself.
    pub(super) fn unread_drills(&self) -> Option<&EngineError> {
        let error = self.proofs.as_ref().err().map(Arc::as_ref)?;
        (error.advice().response != Response::Retry).then_some(error)
    }
}

/// Looks at the backups of a database on each site, at the progress of its verifications, and at its drills, all at the same time.
pub(crate) async fn observe(
    run: &Run,
    views: &[SiteView],
    request: &HealthRequest,
    database: &DatabaseName,
    at: Timestamp,
) -> Observed {
    let progress = within(SITE_WITHIN, Box::pin(rotation(run, database)));
    let drilled = async {
        if request.drills {
            proofs(views, database, drills_ago(run, turns(run) + 1, at), at).await
        } else {
            Ok(Proofs::new())
        }
    };
    let (listed, rotation, proofs) = tokio::join!(listed(views, database, at), progress, drilled);
    if let Err(error) = &rotation {
        tracing::warn!(%database, error = error.story(), "the progress of the verifications cannot be read");
    }
    if let Err(error) = &proofs {
        tracing::warn!(%database, error = error.story(), "the reports of the drills cannot be read");
    }
    Observed { listed, rotation, proofs }
}

async fn listed(views: &[SiteView], database: &DatabaseName, at: Timestamp) -> Vec<SiteBackups> {
    let (since, first_misdated) = (BackupId::lowest_at(too_old(at, LATEST)), BackupId::first_misdated(at));
    let (since, first_misdated) = (&since, &first_misdated);
    let none = BTreeSet::new;
    let listed = views.iter().map(|SiteView { site, repository }| async move {
        let repository = match repository {
            Ok(Some(repository)) => repository,
            Ok(None) => return SiteBackups { site: *site, backups: Ok(none()), misdated: none() },
            Err(error) => return SiteBackups { site: *site, backups: Err(Arc::clone(error)), misdated: none() },
        };
        let listing = async { Ok(repository.manifests_from(database, *site, Some(since)).await?) };
        let listed = within(SITE_WITHIN, Box::pin(listing)).await.map_err(Arc::new);
        let mut listed = listed.map(BTreeSet::from_iter);
        let misdated = listed.as_mut().map_or_else(|_| none(), |backups| backups.split_off(first_misdated));
        SiteBackups { site: *site, backups: listed, misdated }
    });
    join_all(listed).await
}

/// The backups of the other site that are missing here although they are due; `None` when either site could not be listed.
pub(crate) fn lacks(listed: &[SiteBackups], site: Site, due: Timestamp) -> Option<Vec<&BackupId>> {
    let mine = listed.iter().find(|one| one.site == site)?.backups.as_ref().ok()?;
    let others = listed.iter().filter(|one| one.site != site).map(|one| one.backups.as_ref().ok());
    let others: Vec<&BTreeSet<BackupId>> = others.collect::<Option<_>>()?;
    let lacking = others.into_iter().flatten().filter(|id| !mine.contains(id));
    Some(lacking.filter(|id| id.began_at().is_some_and(|began| began < due)).collect())
}

/// The age of the last successful run of an act.
#[derive(Debug, Clone)]
pub(crate) struct Age {
    /// The act, which has a schedule.
    pub(crate) act: Act,
    /// The kind of incident when it is overdue.
    pub(crate) overdue_kind: AlertKind,
    /// When it last succeeded.
    pub(crate) last: Option<Timestamp>,
    /// The time since then, or since the act is expected.
    pub(crate) age: SignedDuration,
    /// The highest age that the policy allows.
    pub(crate) limit: SignedDuration,
    /// A backup in the ledger that its site no longer lists.
    pub(crate) gone: Option<BackupId>,
    /// The day on which a part of the rotation was due that was not read since.
    pub(crate) unread_since: Option<Timestamp>,
    /// The site from which no drill has proved a backup for twice the limit: with two sites, each has every other drill.
    pub(crate) unproved: Option<Site>,
}

impl Age {
    pub(crate) fn is_overdue(&self) -> bool {
        self.age > self.limit || self.gone.is_some() || self.unproved.is_some()
    }
}

/// The age of the last successful run of each scheduled act, for one database. Each function may append to the ledger, so what counts is what
/// only the function of the act leaves: the backup, the progress of the verifications, the report of the drill. The ledger also names backups
/// that were deleted.
///
/// # Errors
/// Why the backups on the first site could not be listed.
pub(crate) fn ages(
    run: &Run,
    observed: &Observed,
    history: &History,
    database: &DatabaseName,
    request: &HealthRequest,
    at: Timestamp,
) -> Result<Vec<Age>, Arc<EngineError>> {
    let Observed { listed, rotation, proofs } = observed;
    let none = BTreeSet::new();
    let here = match listed.first().map(|first| &first.backups) {
        Some(Ok(here)) => here,
        Some(Err(error)) => return Err(Arc::clone(error)),
        None => &none,
    };
    let newest = here.last().and_then(BackupId::began_at);
    let is_looked_for = |id: &BackupId| id.began_at().is_some_and(|began| began > too_old(at, LATEST));
    let gone = recorded(history, database).find(|id| !here.contains(id) && is_looked_for(id));
    let ages = request.scheduled_acts().filter_map(|(act, overdue_kind)| {
        let limit = run.policy.freshness.limit(act)?;
        let awaited = history.awaited(database, act).unwrap_or(at);
        let recorded = || history.last(database, act);
        let age = |last: Option<Timestamp>, since: Timestamp| {
            let age = at.duration_since(since);
            Age { act, overdue_kind, last, age, limit, gone: None, unread_since: None, unproved: None }
        };
        Some(match act {
            Act::Verify => {
                // Without the progress, whether a part was missed is not known, and so neither is whether a verification is overdue.
                let rotation = rotation.as_ref().ok()?.as_ref();
                let last = rotation.and_then(|_| recorded());
                // A part that was missed is not made up for by the parts that were read after it.
                let unread_since = rotation.and_then(|rotation| rotation.due_since(at));
                let since = last.unwrap_or(awaited);
                Age { unread_since, ..age(last, unread_since.map_or(since, |unread| unread.min(since))) }
            }
            Act::TestRestore => {
                let proofs = proofs.as_ref().ok()?;
                let last = proofs.values().max().copied();
                let since = last.unwrap_or_else(|| awaited.max(drills_ago(run, turns(run) + 1, at)));
                Age { unproved: unproved(run, proofs, history, database, at), ..age(last, since) }
            }
            _ => {
                let last = newest.or_else(recorded);
                Age { gone: gone.clone(), ..age(last, last.unwrap_or(awaited)) }
            }
        })
    });
    Ok(ages.collect())
}

/// The site from which no drill has proved a backup in time.
fn unproved(run: &Run, proofs: &Proofs, history: &History, database: &DatabaseName, at: Timestamp) -> Option<Site> {
    let allowed = drills_ago(run, turns(run), at);
    let since = |site: &Site| proofs.get(site).copied().or_else(|| history.drill_awaited(database, *site));
    run.ports.sites.names().into_iter().find(|site| since(site).is_some_and(|since| since < allowed))
}

/// Drills until each site had its turn.
fn turns(run: &Run) -> i32 {
    i32::try_from(run.ports.sites.names().len()).unwrap_or(1)
}

/// When the first of so many drills may have been, if each was as late as the policy allows.
fn drills_ago(run: &Run, drills: i32, at: Timestamp) -> Timestamp {
    too_old(at, run.policy.freshness.drill.saturating_mul(drills))
}

/// The backups in the ledger, newest first.
fn recorded(history: &History, database: &DatabaseName) -> impl Iterator<Item = BackupId> {
    let completed = history.runs(database, Act::Backup).rev().filter(|run| run.outcome == Outcome::Completed);
    completed.filter_map(|run| run.subject.parse().ok())
}

/// A backup that began before this moment is older than `limit`.
pub(crate) fn too_old(at: Timestamp, limit: SignedDuration) -> Timestamp {
    at.checked_sub(limit).unwrap_or(Timestamp::UNIX_EPOCH)
}
