//! One invocation of `backup`: a tick requests backups, and a request takes one.

use lifeboat_engine::{Asked, BackupRequest, Requestable, backup, request_again, request_each};
use lifeboat_model::Act;
use lifeboat_runtime::{Invocation, RuntimeError};
use serde_json::{Value, json};

use crate::request::Request;

/// Calls one verb, and answers with the data that a person wants to see in the console.
pub async fn handle(invocation: Invocation<Request>) -> Result<Value, RuntimeError> {
    let services = &invocation.services;
    match invocation.input {
        Request::Tick { at, mandate } => {
            let databases = services.databases(None)?;
            let run = services.run(invocation.call, Some(Act::Backup), &mandate).await;
            request_each(&run, Requestable::Backup, &databases, at).await?;
            Ok(json!({"requested": databases}))
        }
        Request::Backup { database, asked, mandate } => {
            let source = services.source(&database).await?;
            let run = services.run(invocation.call, Some(Act::Backup), &mandate).await;
            let request = BackupRequest { database, source, asked };
            match backup(&run, &request).await {
                // A request that was delivered twice is not a failure, so Lambda must not retry it.
                Err(error) if request.is_underway(&error) => Ok(json!({"underway": error.story()})),
                // Other databases of its server had their turns. A new invocation waits for the next one.
                Err(error) if request.is_postponed(&error, &run.policy) => {
                    let Asked::Since(requested_at) = asked else { return Err(error.into()) };
                    request_again(&run, &request.database, requested_at).await?;
                    Ok(json!({"busy": error.story(), "requested": true}))
                }
                Err(error) => Err(error.into()),
                Ok(backup) => {
                    Ok(json!({"backup_id": backup.backup_id, "totals": backup.totals, "seconds": backup.seconds}))
                }
            }
        }
    }
}
