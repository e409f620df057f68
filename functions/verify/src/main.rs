//! The function `verify`: after a backup its new objects, by schedule a part of all objects, on request anything.

mod request;

use lifeboat_engine::{Several, VerifyRequest, verify};
use lifeboat_model::Act;
use lifeboat_runtime::{Invocation, RuntimeError, serve};
use serde_json::{Value, json};

use request::Request;

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    serve(Act::Verify, handle).await
}

async fn handle(invocation: Invocation<Request>) -> Result<Value, RuntimeError> {
    let services = &invocation.services;
    let request = invocation.input;
    let databases = services.databases(request.database.as_ref())?;
    let run = services.run(invocation.call, Some(Act::Verify), &request.mandate).await;
    let mut verifications = Several::default();
    for database in databases {
        let scope = request.scope.scope(run.policy.rotation_days);
        let verified = VerifyRequest { database: database.clone(), scope };
        verifications.push(database, verify(&run, &verified).await);
    }
    Ok(json!(verifications.into_result()?))
}
