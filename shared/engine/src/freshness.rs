//! How old the newest of each thing is that has to happen regularly, and what each site has of the backups.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use lifeboat_model::{AlertKind, BACKUP, BackupId, DatabaseName, History, Outcome, Site, VERIFY};
use lifeboat_vault::{Repository, VaultError};

use crate::deadline::within;
use crate::error::EngineError;
use crate::expected::HealthRequest;
use crate::lifeboat::Lifeboat;

/// How long each site is waited for, alone: one that hangs must not keep the other from being seen.
pub(crate) const SITE_WITHIN: Duration = Duration::from_secs(8);

/// Backups that are looked for: who lacks older ones has been told long ago.
const LATEST: SignedDuration = SignedDuration::from_hours(31 * 24);

/// The repository through one site alone; `None` before the first backup.
pub(crate) struct SiteView {
    pub(crate) site: Site,
    pub(crate) repository: Result<Option<Repository>, Arc<EngineError>>,
}

/// Each site by itself.
pub(crate) async fn site_views(lifeboat: &Lifeboat) -> Vec<SiteView> {
    let opened = lifeboat.sites.names().into_iter().map(|site| async move {
        let opening = async {
            match lifeboat.repository_on(site).await {
                Ok(repository) => Ok(Some(repository)),
                Err(EngineError::Vault(VaultError::NoRepository)) => Ok(None),
                Err(error) => Err(error),
            }
        };
        SiteView { site, repository: within(SITE_WITHIN, Box::pin(opening)).await.map_err(Arc::new) }
    });
    join_all(opened).await
}

/// The first site's repository that can be read; `None` before the first backup.
///
/// # Errors
/// Why the first site cannot be read, when none can.
pub(crate) fn readable(views: &[SiteView]) -> Result<Option<&Repository>, Arc<EngineError>> {
    let found = views.iter().find_map(|view| view.repository.as_ref().ok().and_then(Option::as_ref));
    match (found, views.iter().find_map(|view| view.repository.as_ref().err().cloned())) {
        (Some(repository), _) => Ok(Some(repository)),
        (None, Some(error)) => Err(error),
        (None, None) => Ok(None),
    }
}

/// The newest backups of a database on one site, oldest first.
pub(crate) struct Listed {
    pub(crate) site: Site,
    pub(crate) backups: Result<BTreeSet<BackupId>, Arc<EngineError>>,
}

/// What each site has of a database, asked at the same time.
pub(crate) async fn listed(views: &[SiteView], database: &DatabaseName, at: Timestamp) -> Vec<Listed> {
    let since = BackupId::new(too_old(at, LATEST), 0);
    let since = &since;
    let listed = views.iter().map(|SiteView { site, repository }| async move {
        let repository = match repository {
            Ok(Some(repository)) => repository,
            Ok(None) => return Listed { site: *site, backups: Ok(BTreeSet::new()) },
            Err(error) => return Listed { site: *site, backups: Err(Arc::clone(error)) },
        };
        let listing = async { Ok(repository.manifests_from(database, *site, Some(since)).await?) };
        let backups = within(SITE_WITHIN, Box::pin(listing)).await.map_err(Arc::new);
        Listed { site: *site, backups: backups.map(|backups| backups.into_iter().collect()) }
    });
    join_all(listed).await
}

/// Backups that the other site has, and this one should have had by now; `None` when either could not be asked.
pub(crate) fn lacks(listed: &[Listed], site: Site, due: Timestamp) -> Option<u64> {
    let mine = listed.iter().find(|one| one.site == site)?.backups.as_ref().ok()?;
    let others = listed.iter().filter(|one| one.site != site).map(|one| one.backups.as_ref().ok());
    let others: Vec<&BTreeSet<BackupId>> = others.collect::<Option<_>>()?;
    let lacking = others.into_iter().flatten().filter(|id| !mine.contains(id));
    Some(lacking.filter(|id| id.began_at().is_some_and(|began| began < due)).count() as u64)
}

/// How old the newest of something is.
#[derive(Debug, Clone)]
pub(crate) struct Age {
    /// What it is called when it is too old.
    pub(crate) overdue: AlertKind,
    /// `backup`, `verification`, `drill`.
    pub(crate) what: &'static str,
    /// When it last went well.
    pub(crate) last: Option<Timestamp>,
    /// Since then, or since it is waited for.
    pub(crate) age: SignedDuration,
    /// What policy allows.
    pub(crate) limit: SignedDuration,
    /// A backup that is on record and that its site does not list any more.
    pub(crate) gone: Option<BackupId>,
}

impl Age {
    pub(crate) fn is_overdue(&self) -> bool {
        self.age > self.limit || self.gone.is_some()
    }
}

/// How old the newest of each thing is, for one database. Of backups, what is stored is asked besides what is on record: a run may die
/// between the two, and somebody may have deleted what was stored.
///
/// # Errors
/// Why the first site could not be asked for its backups.
pub(crate) fn ages(
    lifeboat: &Lifeboat,
    listed: &[Listed],
    history: &History,
    database: &DatabaseName,
    request: &HealthRequest,
    at: Timestamp,
) -> Result<Vec<Age>, Arc<EngineError>> {
    let limits = lifeboat.policy.freshness;
    let age = |overdue, what, action, stored: Option<Timestamp>, limit| {
        let last = stored.or_else(|| history.last(database, action));
        let since = last.or_else(|| history.awaited(database, action)).unwrap_or(at);
        Age { overdue, what, last, age: at.duration_since(since), limit, gone: None }
    };
    let none = BTreeSet::new();
    let here = match listed.first().map(|first| &first.backups) {
        Some(Ok(here)) => here,
        Some(Err(error)) => return Err(Arc::clone(error)),
        None => &none,
    };
    let began = here.last().and_then(BackupId::began_at);
    let is_looked_for = |id: &BackupId| id.began_at().is_some_and(|began| began > too_old(at, LATEST));
    let gone = recorded(history, database).find(|id| !here.contains(id) && is_looked_for(id));
    let ages = request.actions().map(|action| match action {
        BACKUP => Age { gone: gone.clone(), ..age(AlertKind::BackupOverdue, "backup", action, began, limits.backup) },
        VERIFY => age(AlertKind::VerificationOverdue, "verification", action, None, limits.verification),
        _ => age(AlertKind::DrillOverdue, "drill", action, None, limits.drill),
    });
    Ok(ages.collect())
}

/// The backups that are on record, newest first.
fn recorded(history: &History, database: &DatabaseName) -> impl Iterator<Item = BackupId> {
    let completed = history.runs(database, BACKUP).rev().filter(|run| run.outcome == Outcome::Completed);
    completed.filter_map(|run| run.subject.parse().ok())
}

/// What began before this moment is older than `limit`.
pub(crate) fn too_old(at: Timestamp, limit: SignedDuration) -> Timestamp {
    at.checked_sub(limit).unwrap_or(Timestamp::UNIX_EPOCH)
}
