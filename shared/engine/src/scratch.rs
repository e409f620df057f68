//! `clean`: drops the scratch databases that drills left behind. Each is on record from before it exists until its drop is confirmed.

mod leftover;
mod record;

use jiff::Timestamp;
use lifeboat_model::{Act, CleanupReport, Fact, Facts, Outcome};
use lifeboat_postgres::{ConnectionSettings, ScratchServer};
use lifeboat_vault::ScratchRecords;

use crate::error::EngineError;
use crate::run::Run;

use record::note_fault;

pub(crate) use leftover::{probe_scratch, report_leftovers, unread_scratch};
pub(crate) use record::{SCRATCH_PREFIX, ScratchRecord, sweep};

/// Drops what killed drills left on the scratch server, takes off the record what is gone from it, and resolves or updates the incident. A
/// running drill keeps its database. Idempotent.
///
/// # Errors
/// `server`'s own, where its connection is unavailable; why the server or the record cannot be used. The record keeps the reason.
pub async fn clean_scratch(
    run: &Run,
    server: Result<ConnectionSettings, EngineError>,
) -> Result<CleanupReport, EngineError> {
    clean(run, server).await.result
}

/// The same at the request of a health check, which repeats it with each check. A server that cannot be cleaned is no error once what is left
/// there has the reason on record: the incident names it, and the report has it.
///
/// # Errors
/// As [`clean_scratch`], where the reason is not on record.
pub async fn clean_scratch_on_request(
    run: &Run,
    server: Result<ConnectionSettings, EngineError>,
) -> Result<CleanupReport, EngineError> {
    let cleaning = clean(run, server).await;
    if !cleaning.is_fault_on_record {
        return cleaning.result;
    }
    let left = ScratchRecords::new(&run.ports.sites)?.list().await?;
    Ok(CleanupReport { left, ..CleanupReport::default() })
}

struct Cleaning {
    result: Result<CleanupReport, EngineError>,
    /// Whether the incident names why the server could not be cleaned.
    is_fault_on_record: bool,
}

async fn clean(run: &Run, server: Result<ConnectionSettings, EngineError>) -> Cleaning {
    let address = server.as_ref().ok().map(ConnectionSettings::address);
    let cleaning = async {
        let server = ScratchServer::new(server?);
        let identity = server.identity().await?;
        sweep(run, &server, &identity).await
    };
    let cleaned = run.deadline.bound(Box::pin(cleaning)).await;
    let (recorded, is_noted) = match &cleaned {
        Ok(report) => (record(run, address.as_deref().unwrap_or_default(), report).await, false),
        Err(error) => {
            let (story, hint) = (error.story(), error.hint());
            tracing::error!(error = story, hint, "the scratch server could not be cleaned");
            (Ok(()), note_fault(run, &story).await)
        }
    };
    let reported = report_leftovers(run, None).await;
    let is_fault_on_record = is_noted && reported.is_ok();
    let result = cleaned.and_then(|report| recorded.and(reported).map(|()| report));
    Cleaning { result, is_fault_on_record }
}

/// Takes a scratch database off the record because a person states that it is gone, with its server. The ledger says so first: when it cannot
/// be written, the database stays on record.
///
/// # Errors
/// [`EngineError::NoScratch`]; [`EngineError::ScratchInUse`] while its drill runs; why the record or the ledger cannot be written.
pub async fn forget_scratch(run: &Run, name: &str) -> Result<CleanupReport, EngineError> {
    let records = ScratchRecords::new(&run.ports.sites)?;
    let (forgotten, left): (Vec<_>, Vec<_>) = records.list().await?.into_iter().partition(|entry| entry.name == name);
    let server = match forgotten.first() {
        None => return Err(EngineError::NoScratch { name: name.to_owned() }),
        Some(entry) if !entry.is_left(Timestamp::now()) => {
            return Err(EngineError::ScratchInUse { name: name.to_owned() });
        }
        Some(entry) => &entry.server,
    };
    let report = CleanupReport { dropped: Vec::new(), gone: vec![name.to_owned()], left };
    record(run, server, &report).await?;
    records.remove(&report.gone).await?;
    report_leftovers(run, None).await?;
    Ok(report)
}

/// Records what a cleanup removes. One that found nothing has no entry: health checks may ask for many.
async fn record(run: &Run, server: &str, report: &CleanupReport) -> Result<(), EngineError> {
    if report.dropped.is_empty() && report.gone.is_empty() {
        return Ok(());
    }
    let names = |names: &[String]| (!names.is_empty()).then(|| names.join(" "));
    let facts =
        Facts::new().with_some(Fact::Dropped, names(&report.dropped)).with_some(Fact::Gone, names(&report.gone));
    run.record(run.act_of(Act::Clean, server, Outcome::Completed, facts)).await
}
