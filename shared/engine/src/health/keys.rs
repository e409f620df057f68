//! Checks whether the keys of the sites can be used.

use std::time::Duration;

use futures_util::future::join_all;
use lifeboat_model::{AlertKind, Diagnosis, IncidentName, IncidentSubject, Probe, Site, Verdict, Wrong};
use lifeboat_vault::{check_keys, check_mac_keys, check_stored_keys};

use super::freshness::{SITE_WITHIN, SiteView, site_views};
use crate::deadline::within;
use crate::error::EngineError;
use crate::run::Run;

/// The time limit of each step. It leaves two thirds of the function's time to report whatever does not answer.
pub(super) const LOOK_WITHIN: Duration = Duration::from_secs(20);

/// Whether the key of each site opens what it sealed, now and in the epochs of which backups are stored, and makes MACs. When nothing can be
/// sealed, one probe names the key that failed. The probes of the single keys are left out then, because they could not be checked.
pub(super) async fn probe_keys(run: &Run) -> Vec<Probe> {
    let sites = run.ports.sites.names();
    let asked = async {
        let fresh = check_keys(&*run.ports.keys, &sites);
        let (keys, macs, stored) =
            tokio::join!(fresh, check_mac_keys(&run.ports.macs, &sites), check_stored(run, &sites));
        Ok::<_, EngineError>([keys, macs, stored].concat())
    };
    let checks = match within(LOOK_WITHIN, Box::pin(asked)).await {
        Ok(checks) => checks,
        Err(error) => {
            let what = format!("the keys cannot be checked: {}", error.story());
            return vec![probe(None, None, Some(Wrong { what, hint: error.hint() }))];
        }
    };
    let both = probe_of(None, &checks);
    let can_seal = both.wrong.is_none();
    let each = sites.into_iter().filter(|_| can_seal).map(|site| probe_of(Some(site), &checks));
    std::iter::once(both).chain(each).collect()
}

/// Tries the key of each site on what is stored there. A site that cannot be read is left out: the probes of its backups report it.
async fn check_stored(run: &Run, sites: &[Site]) -> Vec<Diagnosis> {
    let checks = site_views(run).await.into_iter().map(|view| async move {
        let SiteView { site, repository: Ok(Some(repository)) } = view else { return Vec::new() };
        let checking = async { Ok::<_, EngineError>(check_stored_keys(&repository, site, sites).await) };
        within(SITE_WITHIN, Box::pin(checking)).await.unwrap_or_default()
    });
    join_all(checks).await.concat()
}

/// The probe from the checks of one site, or from those of both.
fn probe_of(site: Option<Site>, checks: &[Diagnosis]) -> Probe {
    let checks = checks.iter().filter(|check| check.site == site);
    let elapsed_ms = checks.clone().filter_map(|check| check.elapsed_ms).reduce(u64::saturating_add);
    let of = |verdict| checks.clone().find(move |check| check.verdict == verdict);
    let failed = of(Verdict::Failed).or_else(|| of(Verdict::Warn));
    let wrong = failed.map(|Diagnosis { check, seen, hint, .. }| Wrong {
        what: format!("{check}: {seen}"),
        hint: hint.clone().unwrap_or_default(),
    });
    probe(site, elapsed_ms, wrong)
}

fn probe(site: Option<Site>, elapsed_ms: Option<u64>, wrong: Option<Wrong>) -> Probe {
    let subject = site.map_or(IncidentSubject::Repository, IncidentSubject::Site);
    Probe { name: IncidentName::new(AlertKind::KeyUnusable, subject), database: None, elapsed_ms, wrong }
}
