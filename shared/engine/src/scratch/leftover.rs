//! What is said about scratch databases that are left: the probe of the health check, and the incident.

use jiff::Timestamp;
use lifeboat_model::{AlertKind, Cleared, IncidentName, IncidentSubject, Probe, ScratchEntry, Wrong};
use lifeboat_vault::ScratchRecords;

use crate::error::EngineError;
use crate::incidents;
use crate::run::Run;

/// Databases that a sentence names; the others are counted.
const NAMED: usize = 5;

/// Whether there is a scratch database that nobody is responsible for.
///
/// # Errors
/// Why the record cannot be read.
pub(crate) async fn probe_scratch(run: &Run, now: Timestamp) -> Result<Probe, EngineError> {
    let wrong = wrong(&listed(run, now).await?);
    Ok(Probe { name: name(), database: None, elapsed_ms: None, wrong })
}

/// When the record cannot be read, nobody knows whether restored rows are left.
pub(crate) fn unread_scratch(error: &EngineError) -> Probe {
    let what = format!("the record of scratch databases cannot be read, so rows may be left: {}", error.story());
    Probe { name: name(), database: None, elapsed_ms: None, wrong: Some(Wrong::new(what, error.hint())) }
}

/// Opens or updates the incident while a scratch database is left, and resolves it when none is. `known` is left whether it is on record or
/// not.
///
/// # Errors
/// [`EngineError::Unannounced`] when the alert could not be sent.
pub(crate) async fn report_leftovers(run: &Run, known: Option<&ScratchEntry>) -> Result<(), EngineError> {
    let listed = listed(run, Timestamp::now()).await.inspect_err(|error| {
        tracing::warn!(error = error.story(), "the record of scratch databases cannot be read");
    });
    let is_read = listed.is_ok();
    let mut left = listed.unwrap_or_default();
    if let Some(known) = known.filter(|known| left.iter().all(|entry| entry.name != known.name)) {
        left.push(known.clone());
    }
    let change = match wrong(&left) {
        Some(wrong) => Some(incidents::report(run, &name(), &wrong.into()).await),
        None if is_read => incidents::clear(run, &name(), &Cleared::All).await,
        None => None,
    };
    incidents::send(run, change.as_slice()).await
}

async fn listed(run: &Run, now: Timestamp) -> Result<Vec<ScratchEntry>, EngineError> {
    let listed = ScratchRecords::new(&run.ports.sites)?.list().await?;
    Ok(listed.into_iter().filter(|entry| entry.is_left(now)).collect())
}

fn name() -> IncidentName {
    IncidentName::new(AlertKind::DrillLeftover, IncidentSubject::Repository)
}

fn wrong(left: &[ScratchEntry]) -> Option<Wrong> {
    let first = &left.first()?.name;
    let named: Vec<String> = left.iter().take(NAMED).map(in_words).collect();
    let more = left.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    let hint = format!(
        "run `lifeboat drill --clean` where the scratch server can be reached; if that server no longer exists, run \
         `lifeboat drill --forget {first}`"
    );
    let what = format!("restored rows are left on a scratch server: {}{more}", named.join(", "));
    Some(Wrong::new(what, hint).about(left.iter().map(|entry| entry.name.clone())))
}

fn in_words(entry: &ScratchEntry) -> String {
    let of = entry.database.as_ref().map(|database| format!(" of {database}")).unwrap_or_default();
    let fault = entry.fault.as_ref().map(|fault| format!(" (not dropped: {fault})")).unwrap_or_default();
    format!("{entry}{of}{fault}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_leftover_is_named_with_its_server_and_many_are_counted() {
        let entry = |number: usize| ScratchEntry {
            name: format!("lifeboat_drill_{number:08x}"),
            server: "scratch.example.com:5432".to_owned(),
            system_identifier: None,
            server_started_at: None,
            database: Some("clinic".parse().unwrap()),
            run_id: "run-1".to_owned(),
            created_at: Timestamp::UNIX_EPOCH,
            expires_at: Timestamp::UNIX_EPOCH,
            fault: (number == 0).then(|| "another session uses it".to_owned()),
        };
        assert_eq!(wrong(&[]), None);
        let Wrong { what, hint, .. } = wrong(&[entry(0)]).unwrap();
        assert_eq!(
            what,
            "restored rows are left on a scratch server: `lifeboat_drill_00000000` on `scratch.example.com:5432` of \
             clinic (not dropped: another session uses it)"
        );
        assert!(hint.contains("`lifeboat drill --clean`"), "{hint}");
        assert!(hint.contains("--forget lifeboat_drill_00000000"), "{hint}");
        let many: Vec<ScratchEntry> = (0..8).map(entry).collect();
        let what = wrong(&many).unwrap().what;
        assert!(
            what.ends_with("`lifeboat_drill_00000004` on `scratch.example.com:5432` of clinic, and 3 more"),
            "{what}"
        );
    }
}
