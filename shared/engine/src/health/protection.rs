//! Checks whether the buckets keep what is stored for as long as backups need it.

use futures_util::future::join_all;
use lifeboat_model::{AlertKind, IncidentName, IncidentSubject, Probe, Response, Verdict, Wrong};
use lifeboat_vault::{answers, judge_protection};

use super::sites::SITE_WITHIN;
use crate::deadline::within;
use crate::error::EngineError;
use crate::run::Run;

/// One probe for each site that answers. A site that does not is reported by the probes of its backups.
pub(super) async fn probe_protection(run: &Run) -> Vec<Probe> {
    let probes = run.ports.sites.names().into_iter().map(|site| async move {
        let store = run.ports.sites.get(site).ok()?;
        let asking = async {
            let protection = store.store().protection().await;
            if protection.is_err() {
                answers(&run.ports.sites, site).await?;
            }
            Ok::<_, EngineError>(protection)
        };
        let protection = within(SITE_WITHIN, Box::pin(asking)).await.ok()?;
        if protection.as_ref().is_err_and(|error| error.advice().response == Response::Retry) {
            return None;
        }
        let judged = judge_protection(site, &protection);
        let wrong = (judged.verdict != Verdict::Ok)
            .then(|| Wrong::new(format!("{}: {}", judged.check, judged.seen), judged.hint.unwrap_or_default()));
        let name = IncidentName::new(AlertKind::BucketUnprotected, IncidentSubject::Site(site));
        Some(Probe { name, database: None, elapsed_ms: None, wrong })
    });
    join_all(probes).await.into_iter().flatten().collect()
}
