//! The function `test-restore`: the drill. Restores a backup and proves it equal, by schedule, after an event, on request.

mod request;

use lifeboat_engine::{DrillRequest, DrillTarget, Verb, drill};
use lifeboat_runtime::{Invocation, RuntimeError, serve};
use serde_json::{Value, json};

use request::Request;

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    serve(Verb::TestRestore, handle).await
}

async fn handle(invocation: Invocation<Request>) -> Result<Value, RuntimeError> {
    let services = &invocation.services;
    let request = invocation.input;
    let databases = services.databases(request.database.as_ref())?;
    let into = DrillTarget::Scratch(services.scratch().await?);
    let lifeboat = services.lifeboat(invocation.run, &request.mandate).await;
    let mut reports = Vec::new();
    let mut failure = None;
    for database in databases {
        let drilled = DrillRequest { database, backup: request.backup.clone(), site: request.site, into: into.clone() };
        // One database's trouble must not keep the others from being drilled.
        match drill(&lifeboat, &drilled).await {
            Ok(report) => reports.push(report),
            Err(error) => failure = Some(error),
        }
    }
    failure.map_or(Ok(json!(reports)), |error| Err(error.into()))
}
