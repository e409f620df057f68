//! The Lambda side: one invocation in, one answer or one diagnostic out.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use lambda_runtime::{Context, Diagnostic, LambdaEvent, service_fn};
use lifeboat_engine::{Deadline, refuse};
use lifeboat_model::{Act, DatabaseName, Mandate};
use serde_json::Value;
use tracing::Instrument;

use crate::error::RuntimeError;
use crate::services::{Call, Services};
use crate::settings::Settings;
use crate::trigger::Trigger;

/// The inputs of a function.
pub trait Input: Sized {
    /// Reads the input of an invocation.
    ///
    /// # Errors
    /// [`RuntimeError::Input`] says what is wrong with it, without repeating it.
    fn read(trigger: Trigger, settings: &Settings) -> Result<Self, RuntimeError>;

    /// The one database it is about, if there is one.
    fn database(&self) -> Option<&DatabaseName>;

    /// Who asked, and why, for the ledger.
    fn mandate(&self) -> &Mandate;
}

/// One invocation, as a function's handler gets it.
pub struct Invocation<I> {
    /// Its input, read.
    pub input: I,
    /// Its id and deadline.
    pub call: Call,
    /// Clients and settings, made once per process.
    pub services: Arc<Services>,
}

/// Runs `handle` for every invocation of the function of `act`, for as long as the process lives.
///
/// Settings are read once, before the first invocation: a function that is wired wrongly fails at its start, and names
/// everything that is missing. A failure before the verb begins (an input that cannot be read, an unknown database, an unavailable secret)
/// is announced here; a verb announces its own end.
///
/// # Errors
/// Wrong settings, or a Lambda runtime that cannot be reached. A handler's error is the answer to its invocation.
pub async fn serve<I, H, F>(act: Act, handle: H) -> Result<(), lambda_runtime::Error>
where
    I: Input,
    H: Fn(Invocation<I>) -> F,
    F: Future<Output = Result<Value, RuntimeError>>,
{
    let function = act.as_str();
    let services = start(function).await?;
    let handle = &handle;
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| {
        let services = Arc::clone(&services);
        async move {
            let call = Call { id: event.context.request_id.clone(), deadline: deadline(&event.context) };
            let span = tracing::info_span!("invocation", function, run_id = %call.id);
            let answer = answer(act, handle, event.payload, call, services).instrument(span).await;
            answer.map_err(|error| Diagnostic::from(&*error))
        }
    }))
    .await
}

/// Reads the input, lets the handler do what it asks for, and announces a failure that kept it from beginning.
async fn answer<I, H, F>(
    act: Act,
    handle: &H,
    payload: Value,
    call: Call,
    services: Arc<Services>,
) -> Result<Value, Arc<RuntimeError>>
where
    I: Input,
    H: Fn(Invocation<I>) -> F,
    F: Future<Output = Result<Value, RuntimeError>>,
{
    let unknown = || Mandate { actor: "unknown".to_owned(), reason: "an order that cannot be read".to_owned() };
    let (mut database, mut mandate) = (None, unknown());
    let answer = match I::read(Trigger::read(payload), &services.settings) {
        Ok(input) => {
            (database, mandate) = (input.database().cloned(), input.mandate().clone());
            Box::pin(handle(Invocation { input, call: call.clone(), services: Arc::clone(&services) })).await
        }
        Err(error) => Err(error),
    };
    let error = match answer {
        Ok(answer) => return Ok(answer),
        Err(error) => Arc::new(error),
    };
    tracing::error!(error = error.story(), hint = error.hint(), "the invocation failed");
    if !error.is_announced() {
        let run = services.run(call, Some(act), &mandate).await;
        let is_known = database.as_ref().is_some_and(|name| services.settings.database(name).is_ok());
        let announced = refuse(&run, database.as_ref(), is_known, error.clone(), error.hint()).await;
        if let Err(error) = announced {
            tracing::error!(error = error.story(), hint = error.hint(), "the failure could not be announced");
        }
    }
    Err(error)
}

/// Logging, settings and clients of a process.
///
/// # Errors
/// [`RuntimeError::Settings`].
pub(crate) async fn start(function: &'static str) -> Result<Arc<Services>, RuntimeError> {
    lifeboat_notify::start_logging(std::env::var("LIFEBOAT_LOG").ok().as_deref());
    let services = Services::from_environment().await.inspect_err(|error| {
        tracing::error!(function, error = error.story(), hint = error.hint(), "the function cannot start");
    })?;
    Ok(Arc::new(services))
}

pub(crate) fn deadline(context: &Context) -> Deadline {
    let now = jiff::Timestamp::now().as_millisecond();
    let end = i64::try_from(context.deadline).unwrap_or(i64::MAX);
    Deadline::after(Duration::from_millis(u64::try_from(end.saturating_sub(now)).unwrap_or(0)))
}
