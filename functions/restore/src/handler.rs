//! One invocation of `restore`: without the hash of a plan it makes the plan, and with it executes that plan.

use lifeboat_engine::{RestoreRequest, plan_restore, restore};
use lifeboat_model::Act;
use lifeboat_runtime::{Invocation, RuntimeError};
use serde_json::{Value, json};

use crate::request::Request;

/// Calls one verb, and answers with the plan or the report.
pub async fn handle(invocation: Invocation<Request>) -> Result<Value, RuntimeError> {
    let services = &invocation.services;
    let Request { database, backup, site, to, approved, mandate } = invocation.input;
    let database = services.one_database(database)?;
    let to = services.restore_server().await?.with_database(&to);
    let request = RestoreRequest { database, backup, site, to };
    let act = approved.map(|_| Act::Restore);
    let run = services.run(invocation.call, act, &mandate).await;
    match approved {
        None => Ok(json!(plan_restore(&run, &request).await?)),
        Some(approved) => Ok(json!(restore(&run, &request, approved).await?)),
    }
}
