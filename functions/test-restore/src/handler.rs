//! One invocation of `test-restore`: a tick requests drills, and a request drills one database or cleans the scratch server.

use std::sync::Arc;

use lifeboat_engine::{
    DrillRequest, EngineError, Requestable, clean_scratch_on_request, drill, drill_in_turn, request_each,
};
use lifeboat_model::Act;
use lifeboat_runtime::{Invocation, RuntimeError};
use serde_json::{Value, json};

use crate::request::{Request, Wanted};

/// Calls one verb, and answers with its report.
pub async fn handle(invocation: Invocation<Request>) -> Result<Value, RuntimeError> {
    let services = &invocation.services;
    match invocation.input {
        Request::Tick { at, mandate } => {
            let databases = services.databases(None)?;
            let run = services.run(invocation.call, Some(Act::TestRestore), &mandate).await;
            request_each(&run, Requestable::Drill, &databases, at).await?;
            Ok(json!({"requested": databases}))
        }
        Request::Clean { mandate } => {
            let server = services.scratch().await;
            let server = server.map_err(|error| EngineError::NotBegun { hint: error.hint(), source: Arc::new(error) });
            let run = services.run(invocation.call, Some(Act::Clean), &mandate).await;
            Ok(json!(clean_scratch_on_request(&run, server).await?))
        }
        Request::Drill { database, wanted, mandate } => {
            let database = services.one_database(database)?;
            let scratch = services.scratch().await?;
            let run = services.run(invocation.call, Some(Act::TestRestore), &mandate).await;
            let report = match wanted {
                Wanted::Turn => drill_in_turn(&run, &database, scratch).await?,
                Wanted::Backup { backup, site } => {
                    drill(&run, &DrillRequest { database, backup, site, scratch }).await?
                }
            };
            Ok(json!([report]))
        }
    }
}
