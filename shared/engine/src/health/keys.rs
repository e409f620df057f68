//! Checks whether the keys of the sites can be used.

use std::time::Duration;

use futures_util::future::join_all;
use lifeboat_model::{AlertKind, Diagnosis, IncidentName, IncidentSubject, Probe, Site, Verdict, Wrong};
use lifeboat_vault::{check_keys, check_mac_keys, check_stored_keys};

use super::sites::{SITE_WITHIN, SiteView, site_views};
use crate::deadline::within;
use crate::error::EngineError;
use crate::run::Run;

/// The time limit of each step. It leaves two thirds of the function's time to report whatever does not answer.
pub(super) const LOOK_WITHIN: Duration = Duration::from_secs(20);

/// Whether the key of each site opens what it sealed, now and in the epochs of which backups are stored, and makes MACs. When nothing can be
/// sealed, one probe names the key that failed. The probes of the single keys are left out then, because they could not be checked. So is
/// that of a site whose stored objects could not be tried: what was wrong with its key may still be.
pub(super) async fn probe_keys(run: &Run) -> Vec<Probe> {
    let sites = run.ports.sites.names();
    let asked = async {
        let fresh = check_keys(&*run.ports.keys, &sites);
        Ok::<_, EngineError>(tokio::join!(fresh, check_mac_keys(&run.ports.macs, &sites), check_stored(run, &sites)))
    };
    let (keys, macs, stored) = match within(LOOK_WITHIN, Box::pin(asked)).await {
        Ok(checks) => checks,
        Err(error) => {
            let what = format!("the keys cannot be checked: {}", error.story());
            return vec![probe(None, None, Some(Wrong::new(what, error.hint())))];
        }
    };
    let untried: Vec<Site> = stored.iter().filter(|(_, checks)| checks.is_none()).map(|(site, _)| *site).collect();
    let stored = stored.into_iter().filter_map(|(_, checks)| checks).flatten();
    let checks: Vec<Diagnosis> = keys.into_iter().chain(macs).chain(stored).collect();
    let both = probe_of(None, &checks);
    let can_seal = both.wrong.is_none();
    let each = sites.into_iter().filter(|_| can_seal).map(|site| (site, probe_of(Some(site), &checks)));
    let known = each.filter(|(site, probe)| probe.wrong.is_some() || !untried.contains(site));
    std::iter::once(both).chain(known.map(|(_, probe)| probe)).collect()
}

/// Tries the key of each site on what is stored there; `None` for a site that cannot be read.
async fn check_stored(run: &Run, sites: &[Site]) -> Vec<(Site, Option<Vec<Diagnosis>>)> {
    let checks = site_views(run).await.into_iter().map(|view| async move {
        let SiteView { site, repository } = view;
        let checking = async {
            Ok(match repository {
                Ok(Some(repository)) => Some(check_stored_keys(&repository, site, sites).await?),
                // Before the first backup nothing is stored.
                Ok(None) => Some(Vec::new()),
                // The probes of its backups report it.
                Err(_) => None,
            })
        };
        let checked: Result<_, EngineError> = within(SITE_WITHIN, Box::pin(checking)).await;
        let checked = checked.inspect_err(|error| {
            tracing::warn!(%site, error = error.story(), "the key could not be tried on what is stored there");
        });
        (site, checked.ok().flatten())
    });
    join_all(checks).await
}

/// The probe from the checks of one site, or from those of both.
fn probe_of(site: Option<Site>, checks: &[Diagnosis]) -> Probe {
    let checks = checks.iter().filter(|check| check.site == site);
    let elapsed_ms = checks.clone().filter_map(|check| check.elapsed_ms).reduce(u64::saturating_add);
    let of = |verdict| checks.clone().find(move |check| check.verdict == verdict);
    let failed = of(Verdict::Failed).or_else(|| of(Verdict::Warn));
    let all_failed = checks.clone().filter(|check| check.verdict != Verdict::Ok).map(|check| check.check.clone());
    let wrong = failed.map(|Diagnosis { check, seen, hint, .. }| {
        Wrong::new(format!("{check}: {seen}"), hint.clone().unwrap_or_default()).about(all_failed)
    });
    probe(site, elapsed_ms, wrong)
}

fn probe(site: Option<Site>, elapsed_ms: Option<u64>, wrong: Option<Wrong>) -> Probe {
    let subject = site.map_or(IncidentSubject::Repository, IncidentSubject::Site);
    Probe { name: IncidentName::new(AlertKind::KeyUnusable, subject), database: None, elapsed_ms, wrong }
}
