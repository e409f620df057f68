//! The function `verify`: after a backup its new objects, by schedule a part of all objects, on request anything.

mod request;

use lifeboat_engine::{Verb, VerifyRequest, verify};
use lifeboat_runtime::{Invocation, RuntimeError, serve};
use serde_json::{Value, json};

use request::Request;

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    serve(Verb::Verify, handle).await
}

async fn handle(invocation: Invocation<Request>) -> Result<Value, RuntimeError> {
    let services = &invocation.services;
    let request = invocation.input;
    let databases = services.databases(request.database.as_ref())?;
    let lifeboat = services.lifeboat(invocation.run, &request.mandate).await;
    let mut reports = Vec::new();
    let mut failure = None;
    for database in databases {
        // One database's trouble must not keep the others from being looked at.
        match verify(&lifeboat, &VerifyRequest { database, scope: request.scope.scope(lifeboat.policy.rotation_days) })
            .await
        {
            Ok(report) => reports.push(report),
            Err(error) => failure = Some(error),
        }
    }
    failure.map_or(Ok(json!(reports)), |error| Err(error.into()))
}
