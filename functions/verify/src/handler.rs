//! One invocation of `verify`: a tick requests verifications, and a request verifies one database.

use lifeboat_engine::{Requestable, VerifyRequest, request_each, verify, verify_due};
use lifeboat_model::Act;
use lifeboat_runtime::{Invocation, RuntimeError};
use serde_json::{Value, json};

use crate::request::{Request, Wanted};

/// Calls one verb, and answers with its reports.
pub async fn handle(invocation: Invocation<Request>) -> Result<Value, RuntimeError> {
    let services = &invocation.services;
    match invocation.input {
        Request::Tick { at, mandate } => {
            let databases = services.databases(None)?;
            let run = services.run(invocation.call, Some(Act::Verify), &mandate).await;
            request_each(&run, Requestable::Verification, &databases, at).await?;
            Ok(json!({"requested": databases}))
        }
        Request::Verify { database, wanted, mandate } => {
            let database = services.one_database(database)?;
            let run = services.run(invocation.call, Some(Act::Verify), &mandate).await;
            let reports = match wanted {
                Wanted::Scope(scope) => vec![verify(&run, &VerifyRequest { database, scope }).await?],
                Wanted::Due { is_asked } => verify_due(&run, &database, is_asked).await?,
            };
            Ok(json!(reports))
        }
    }
}
