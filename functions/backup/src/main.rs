//! The function `backup`: a schedule's tick becomes one request per database; a request becomes a backup.

mod request;

use lifeboat_engine::{BackupRequest, backup, give_up_backup, request_backups};
use lifeboat_runtime::{Invocation, RuntimeError, serve};
use serde_json::{Value, json};

use request::Request;

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    serve("backup", handle).await
}

async fn handle(invocation: Invocation) -> Result<Value, RuntimeError> {
    let services = &invocation.services;
    match Request::try_from(invocation.trigger)? {
        Request::Tick { at } => {
            let databases: Vec<_> = services.settings.databases.iter().map(|database| database.name.clone()).collect();
            let lifeboat = services.lifeboat(invocation.run, "schedule");
            request_backups(&lifeboat, &databases, at).await?;
            Ok(json!({"requested": databases}))
        }
        Request::Backup { database, requested_at, actor } => {
            services.settings.database(&database)?;
            let lifeboat = services.lifeboat(invocation.run, &actor);
            let manifest = match services.source(&database).await {
                Ok(source) => backup(&lifeboat, &BackupRequest { database, source, requested_at }).await?,
                Err(error) => give_up_backup(&lifeboat, &database, error.into_engine()).await?,
            };
            Ok(json!({"backup_id": manifest.backup_id, "totals": manifest.totals, "seconds": manifest.seconds}))
        }
    }
}
