//! One invocation of `backup`: a tick asks for backups, a request is carried out.

use lifeboat_engine::{BackupRequest, backup, request_backups};
use lifeboat_runtime::{Invocation, RuntimeError};
use serde_json::{Value, json};

use crate::request::Request;

/// Calls one verb, and answers with what a person would want to see in the console.
pub async fn handle(invocation: Invocation<Request>) -> Result<Value, RuntimeError> {
    let services = &invocation.services;
    match invocation.input {
        Request::Tick { at, mandate } => {
            let databases: Vec<_> = services.settings.databases.iter().map(|database| database.name.clone()).collect();
            let lifeboat = services.lifeboat(invocation.run, &mandate).await;
            request_backups(&lifeboat, &databases, at).await?;
            Ok(json!({"requested": databases}))
        }
        Request::Backup { database, requested_at, mandate } => {
            let source = services.source(&database).await?;
            let lifeboat = services.lifeboat(invocation.run, &mandate).await;
            match backup(&lifeboat, &BackupRequest { database, source, requested_at }).await {
                // A request that was delivered twice: nothing is wrong, and Lambda need not try again.
                Err(error) if error.is_underway() && requested_at.is_some() => Ok(json!({"underway": error.story()})),
                Err(error) => Err(error.into()),
                Ok(backup) => {
                    Ok(json!({"backup_id": backup.backup_id, "totals": backup.totals, "seconds": backup.seconds}))
                }
            }
        }
    }
}
