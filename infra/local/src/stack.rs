//! A stack: a template deployed through the CloudFormation API, as AWS would.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use aws_sdk_cloudformation::Client;
use aws_sdk_cloudformation::error::ProvideErrorMetadata;
use aws_sdk_cloudformation::types::{Capability, Parameter};
use tokio::time::sleep;

use crate::template::Parameters;

/// CloudFormation's answer when a stack needs no update. It has no separate error code.
const NOTHING_TO_UPDATE: &str = "No updates are to be performed.";
/// A stack of three functions takes about a second on the emulator.
const DEPLOY_WITHIN: Duration = Duration::from_secs(120);
/// The pause between two checks of the stack's state.
const POLL_EVERY: Duration = Duration::from_millis(100);
/// More outputs than any of our templates has. CloudFormation's limit is 200.
const REASONS_SHOWN: usize = 10;

/// The outputs and resources of a deployed stack.
#[derive(Debug, Clone)]
pub struct Stack {
    /// Its outputs.
    pub outputs: BTreeMap<String, String>,
    /// Physical ids by logical id.
    pub physical_ids: BTreeMap<String, String>,
}

impl Stack {
    /// Creates or updates the stack `name` from the template at `url`, and waits until CloudFormation is done.
    pub async fn deploy(client: &Client, name: &str, url: &str, parameters: &Parameters) -> Result<Self> {
        let parameters: Vec<Parameter> = parameters
            .iter()
            .map(|(key, value)| Parameter::builder().parameter_key(key).parameter_value(value).build())
            .collect();
        let capabilities = vec![Capability::CapabilityNamedIam, Capability::CapabilityAutoExpand];
        if client.describe_stacks().stack_name(name).send().await.is_ok() {
            let update = client.update_stack().stack_name(name).template_url(url);
            let sent = update.set_parameters(Some(parameters)).set_capabilities(Some(capabilities)).send().await;
            if let Err(error) = sent
                && error.message() != Some(NOTHING_TO_UPDATE)
            {
                return Err(error).with_context(|| format!("cannot update the stack `{name}`"));
            }
        } else {
            let create = client.create_stack().stack_name(name).template_url(url);
            create
                .set_parameters(Some(parameters))
                .set_capabilities(Some(capabilities))
                .send()
                .await
                .with_context(|| format!("cannot create the stack `{name}`"))?;
        }
        let outputs = wait(client, name).await?;
        let resources = client
            .describe_stack_resources()
            .stack_name(name)
            .send()
            .await
            .with_context(|| format!("cannot list the resources of the stack `{name}`"))?;
        let physical_ids = resources
            .stack_resources()
            .iter()
            .filter_map(|one| Some((one.logical_resource_id()?.to_owned(), one.physical_resource_id()?.to_owned())))
            .collect();
        Ok(Self { outputs, physical_ids })
    }

    /// An output that the template declares.
    pub fn output(&self, name: &str) -> Result<String> {
        self.outputs.get(name).cloned().with_context(|| format!("the stack has no output `{name}`"))
    }
}

/// Waits for the end of a deployment. Returns the outputs, or why it failed.
async fn wait(client: &Client, name: &str) -> Result<BTreeMap<String, String>> {
    let deadline = Instant::now() + DEPLOY_WITHIN;
    loop {
        let described = client
            .describe_stacks()
            .stack_name(name)
            .send()
            .await
            .with_context(|| format!("cannot look at the stack `{name}`"))?;
        let stack = described.stacks().first().with_context(|| format!("the stack `{name}` is gone"))?;
        let status = stack.stack_status().map(|status| status.as_str().to_owned()).unwrap_or_default();
        match status.as_str() {
            "CREATE_COMPLETE" | "UPDATE_COMPLETE" => {
                let outputs = stack.outputs().iter();
                return Ok(outputs
                    .filter_map(|one| Some((one.output_key()?.to_owned(), one.output_value()?.to_owned())))
                    .collect());
            }
            busy if busy.ends_with("_IN_PROGRESS") => {}
            _ => bail!("the stack `{name}` ended as {status}: {}", reasons(client, name).await),
        }
        if Instant::now() > deadline {
            bail!("the stack `{name}` is still {status} after {} s", DEPLOY_WITHIN.as_secs());
        }
        sleep(POLL_EVERY).await;
    }
}

/// Why resources failed, from the stack's events.
async fn reasons(client: &Client, name: &str) -> String {
    let Ok(events) = client.describe_stack_events().stack_name(name).send().await else {
        return "its events cannot be read".to_owned();
    };
    let failed = events.stack_events().iter().filter_map(|event| {
        let failed = event.resource_status()?.as_str().ends_with("_FAILED");
        failed.then(|| {
            format!("{}: {}", event.logical_resource_id().unwrap_or("?"), event.resource_status_reason().unwrap_or("?"))
        })
    });
    failed.take(REASONS_SHOWN).collect::<Vec<_>>().join("; ")
}
