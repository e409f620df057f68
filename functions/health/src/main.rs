//! The function `health`: checks schedules, sites and keys, puts a changed policy in force, and sends owed messages.

mod request;

use lifeboat_engine::{HealthRequest, check_health};
use lifeboat_model::Act;
use lifeboat_runtime::{Invocation, RuntimeError, serve};
use serde_json::{Value, json};

use request::Request;

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    serve(Act::Health, handle).await
}

async fn handle(invocation: Invocation<Request>) -> Result<Value, RuntimeError> {
    let services = &invocation.services;
    let policy = services.policy_versions().await;
    let policy = policy.as_ref().map(Result::as_ref);
    let in_place = policy.and_then(Result::ok).map(|versions| &versions.in_place);
    let mandate = &invocation.input.mandate;
    let run = services.run_under(invocation.call, Some(Act::Health), mandate, in_place).await;
    let request = HealthRequest { databases: services.databases(None)?, drills: services.settings.drills };
    Ok(json!(check_health(&run, &request, policy).await?))
}
