//! How long a restore will take, from rates that were measured.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use lifeboat_model::{DrillReport, Manifest, Phases, RestoreEstimate, RestoreOutcome, Site};
use lifeboat_vault::Repository;

use crate::error::EngineError;

/// Drills that are older say little about the data and the servers of today.
const RECENT: SignedDuration = SignedDuration::from_hours(24 * 90);

/// Reports of drills that are read: the newest ones may have failed.
const MOST_REPORTS: usize = 5;

/// Phases whose time grows with the rows.
const GROWING: [&str; 3] = ["data", "indexes", "prove"];

/// Plaintext bytes a second of each such phase, where no drill says better. Source: docs/performance.md, server and client on two cores.
const TYPICAL: [(&str, f64); 3] = [("data", 80e6), ("indexes", 120e6), ("prove", 120e6)];

/// Seconds that the other phases take together, for some hundred objects.
const REST: Duration = Duration::from_secs(2);

/// Rows of a drill below which its seconds say nothing of more rows.
const ENOUGH_ROWS: u64 = 1000;

/// The time that a restore of this backup takes, from the newest drill of its database that brought all rows back.
pub(super) async fn estimate(repository: &Repository, manifest: &Manifest, site: Site) -> RestoreEstimate {
    let read_bytes = manifest.tables().map(|(_, data)| data.stored_bytes).sum();
    let (seconds, basis) = match newest_drill(repository, manifest, site).await {
        Ok(Some(drill)) => (
            scaled(&drill, manifest.totals.rows),
            format!("the drill of {:.0}, scaled by the number of rows", drill.started_at),
        ),
        Ok(None) => (
            typical(manifest.totals.raw_bytes),
            "typical rates, because no recent drill of this database has measured them".to_owned(),
        ),
        Err(error) => {
            tracing::warn!(error = error.story(), "the reports of drills cannot be read");
            let basis = "typical rates, because the reports of drills cannot be read".to_owned();
            (typical(manifest.totals.raw_bytes), basis)
        }
    };
    RestoreEstimate { seconds, read_bytes, basis }
}

async fn newest_drill(
    repository: &Repository,
    manifest: &Manifest,
    site: Site,
) -> Result<Option<DrillReport>, EngineError> {
    let since = Timestamp::now() - RECENT;
    let keys = repository.drills_since(&manifest.database, site, since).await?;
    for key in keys.iter().take(MOST_REPORTS) {
        // One that is damaged says nothing, and an older one may say enough.
        let Ok(report) = repository.drill_report(key, site).await else { continue };
        let has_rows = matches!(report.outcome, Some(RestoreOutcome::Whole | RestoreOutcome::RowsWhole));
        if has_rows && report.rows >= ENOUGH_ROWS {
            return Ok(Some(report));
        }
    }
    Ok(None)
}

fn scaled(drill: &DrillReport, rows: u64) -> Phases {
    let factor = rows as f64 / drill.rows as f64;
    let mut phases = Phases::default();
    for (name, seconds) in drill.seconds.iter() {
        let seconds = if GROWING.contains(&name) { seconds * factor } else { seconds };
        phases.add(name, Duration::try_from_secs_f64(seconds).unwrap_or_default());
    }
    phases
}

fn typical(raw_bytes: u64) -> Phases {
    let mut phases = Phases::default();
    phases.add("schema", REST);
    for (name, rate) in TYPICAL {
        phases.add(name, Duration::try_from_secs_f64(raw_bytes as f64 / rate).unwrap_or_default());
    }
    phases
}
