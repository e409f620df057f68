//! The function `test-restore`: the drill. Restores a backup and proves it equal, by schedule, after an event, on request.

mod request;

use lifeboat_engine::{DrillRequest, DrillTarget, Several, drill};
use lifeboat_model::Act;
use lifeboat_runtime::{Invocation, RuntimeError, serve};
use serde_json::{Value, json};

use request::Request;

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    serve(Act::TestRestore, handle).await
}

async fn handle(invocation: Invocation<Request>) -> Result<Value, RuntimeError> {
    let services = &invocation.services;
    let request = invocation.input;
    let databases = services.databases(request.database.as_ref())?;
    let into = DrillTarget::Scratch(services.scratch().await?);
    let run = services.run(invocation.call, Some(Act::TestRestore), &request.mandate).await;
    let mut drills = Several::default();
    for database in databases {
        let (backup, site, into) = (request.backup.clone(), request.site, into.clone());
        let drilled = DrillRequest { database: database.clone(), backup, site, into };
        drills.push(database, drill(&run, &drilled).await);
    }
    Ok(json!(drills.into_result()?))
}
