//! The Lambda side: one invocation in, one answer or one diagnostic out.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use lifeboat_engine::Deadline;
use serde_json::Value;
use tracing::Instrument;

use crate::error::RuntimeError;
use crate::services::{Run, Services};
use crate::trigger::Trigger;

/// One invocation, as a function's handler gets it.
pub struct Invocation {
    /// Its input.
    pub trigger: Trigger,
    /// Its id and deadline.
    pub run: Run,
    /// Clients and settings, made once per process.
    pub services: Arc<Services>,
}

/// Runs `handle` for every invocation of the function `name`, for as long as the process lives.
///
/// Settings are read once, before the first invocation: a function that is wired wrongly says so at its start, and names
/// everything that is missing.
///
/// # Errors
/// Wrong settings, or a Lambda runtime that cannot be reached. A handler's error is the answer to its invocation.
pub async fn serve<H, F>(name: &'static str, handle: H) -> Result<(), lambda_runtime::Error>
where
    H: Fn(Invocation) -> F,
    F: Future<Output = Result<Value, RuntimeError>>,
{
    lifeboat_signals::start_logging(std::env::var("LIFEBOAT_LOG").ok().as_deref());
    let services = Arc::new(Services::from_environment().await.inspect_err(|error| {
        tracing::error!(function = name, error = error.story(), hint = error.hint(), "the function cannot start");
    })?);
    let handle = &handle;
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| {
        let services = Arc::clone(&services);
        async move {
            let run = Run { id: event.context.request_id.clone(), deadline: deadline(&event) };
            let span = tracing::info_span!("invocation", function = name, run_id = %run.id);
            let invocation = Invocation { trigger: Trigger::from(event.payload), run, services };
            let answer = handle(invocation).instrument(span.clone()).await;
            answer.map_err(|error| {
                span.in_scope(|| tracing::error!(error = error.story(), hint = error.hint(), "the invocation failed"));
                Diagnostic::from(error)
            })
        }
    }))
    .await
}

fn deadline(event: &LambdaEvent<Value>) -> Deadline {
    let now = jiff::Timestamp::now().as_millisecond();
    let end = i64::try_from(event.context.deadline).unwrap_or(i64::MAX);
    Deadline::after(Duration::from_millis(u64::try_from(end.saturating_sub(now)).unwrap_or(0)))
}
