//! Verifies the parts of the rotation that are due.

use std::time::Instant;

use jiff::Timestamp;
use lifeboat_model::{DatabaseName, Rotation, VerificationReport};

use super::ending::failed;
use super::request::VerifyRequest;
use super::rotation::rotation;
use super::verify;
use crate::error::EngineError;
use crate::run::Run;

/// Verifies the parts of the rotation that are due: the one of today, and then those that were missed, as far as time allows. What is not
/// read now stays due. When nothing is due, a person who asks (`is_asked`) gets the part of today once more.
///
/// # Errors
/// Of the first part that could not be verified.
pub async fn verify_due(
    run: &Run,
    database: &DatabaseName,
    is_asked: bool,
) -> Result<Vec<VerificationReport>, EngineError> {
    let (now, days) = (Timestamp::now(), run.policy.rotation_days);
    let rotation = match rotation(run, database).await {
        Ok(known) => known.unwrap_or_else(|| Rotation::begin(days, now)).over(days, now),
        Err(error) => {
            failed(Some(database), None, &error).announce(run).await?;
            return Err(error);
        }
    };
    let mut due = rotation.due(now);
    if due.is_empty() && is_asked {
        due.push(rotation.today(now));
    }
    let mut reports = Vec::new();
    for scope in due {
        let began = Instant::now();
        reports.push(verify(run, &VerifyRequest { database: database.clone(), scope }).await?);
        // The parts are about equal. One that time would cut short is left for the next run.
        if !run.deadline.leaves(began.elapsed().saturating_mul(2)) {
            break;
        }
    }
    Ok(reports)
}
