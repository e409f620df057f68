//! The policy's place: a parameter of Systems Manager.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_ssm::Client;
use aws_sdk_ssm::primitives::DateTime;
use aws_sdk_ssm::types::{ParameterHistory, ParameterTier};
use jiff::Timestamp;
use lifeboat_model::{LONGEST_REASON, PolicyDocument, PolicyVersions, recordable};

use crate::error::AwsError;

/// How long a function waits for its policy.
const ANSWER_WITHIN: Duration = Duration::from_secs(6);

/// Pages of a parameter's history that are read, at most: it has a hundred versions in all, and fifty go into a page.
const PAGES_LIMIT: usize = 20;

/// The parameter that holds the policy.
pub struct PolicyParameter {
    client: Client,
    name: String,
}

impl PolicyParameter {
    /// The parameter of this name.
    pub fn new(config: &SdkConfig, name: &str) -> Self {
        Self { client: Client::new(config), name: name.to_owned() }
    }

    /// The document, without who put it there and why.
    ///
    /// # Errors
    /// [`AwsError`].
    pub async fn get(&self) -> Result<PolicyDocument, AwsError> {
        let answer = self.client.get_parameter().name(&self.name).send().await;
        let answer = answer.map_err(AwsError::service)?;
        let parameter = answer.parameter().ok_or(AwsError::Absent("parameter"))?;
        Ok(PolicyDocument {
            text: parameter.value().unwrap_or_default().to_owned(),
            version: parameter.version(),
            modified_at: moment(parameter.last_modified_date()),
            modified_by: None,
            reason: None,
        })
    }

    /// The document, with all versions that the parameter still has and who put each there and why. A document whose
    /// history is unavailable can be in force all the same.
    ///
    /// # Errors
    /// [`AwsError`], for the document itself.
    pub async fn versions(&self) -> Result<PolicyVersions, AwsError> {
        let in_place = in_time(self.get()).await?;
        let history = match in_time(self.history()).await {
            // Somebody may have put another one there in between; and one that was just put there may not be among them yet.
            Ok(mut history) => {
                history.retain(|one| one.version <= in_place.version);
                history.last().is_some_and(|last| last.version == in_place.version).then_some(history)
            }
            Err(error) => {
                tracing::warn!(%error, "AWS does not say who changed the policy");
                None
            }
        };
        Ok(PolicyVersions { in_place, history })
    }

    async fn history(&self) -> Result<Vec<PolicyDocument>, AwsError> {
        let mut pages = self.client.get_parameter_history().name(&self.name).into_paginator().send();
        let mut history: Vec<ParameterHistory> = Vec::new();
        for _ in 0..PAGES_LIMIT {
            match pages.next().await {
                Some(page) => {
                    history.extend(page.map_err(AwsError::service)?.parameters.unwrap_or_default());
                }
                None => return Ok(documents(history)),
            }
        }
        Err(AwsError::TooManyPages { limit: PAGES_LIMIT })
    }

    /// Puts a document in the place of the one that is there. The reason goes with it, as the parameter's description: whoever takes it
    /// into force puts it on record.
    ///
    /// # Errors
    /// [`AwsError`].
    pub async fn put(&self, text: &str, reason: &str) -> Result<(), AwsError> {
        let request = self.client.put_parameter().name(&self.name).value(text).description(reason).overwrite(true);
        let sent = request.tier(ParameterTier::IntelligentTiering).send().await;
        sent.map(drop).map_err(AwsError::service)
    }

    /// The same as [`PolicyParameter::get`], within a few seconds: the last good policy is at hand.
    ///
    /// # Errors
    /// [`AwsError`].
    pub async fn get_in_time(&self) -> Result<PolicyDocument, AwsError> {
        in_time(self.get()).await
    }
}

/// Waits for an answer, and not for long.
async fn in_time<T>(asked: impl Future<Output = Result<T, AwsError>>) -> Result<T, AwsError> {
    let late = |_| Err(AwsError::TimedOut { seconds: ANSWER_WITHIN.as_secs() });
    tokio::time::timeout(ANSWER_WITHIN, Box::pin(asked)).await.unwrap_or_else(late)
}

fn documents(mut history: Vec<ParameterHistory>) -> Vec<PolicyDocument> {
    history.sort_by_key(ParameterHistory::version);
    let mut said_before = None;
    let mut documents = Vec::with_capacity(history.len());
    for one in &history {
        let said = one.description().unwrap_or_default();
        // A description that was there before is of somebody else's change, or of none.
        let is_of_this = said_before.is_some_and(|before| before != said);
        documents.push(PolicyDocument {
            text: one.value().unwrap_or_default().to_owned(),
            version: one.version(),
            modified_at: moment(one.last_modified_date()),
            modified_by: one.last_modified_user().map(str::to_owned),
            reason: if is_of_this { recordable_reason(said) } else { None },
        });
        said_before = Some(said);
    }
    documents
}

/// A description is a person's words, and not checked yet.
fn recordable_reason(said: &str) -> Option<String> {
    match recordable("reason", said, LONGEST_REASON) {
        _ if said.is_empty() => None,
        Ok(reason) => Some(reason.to_owned()),
        Err(_) => Some("stated, and not fit to be put on record".to_owned()),
    }
}

fn moment(at: Option<&DateTime>) -> Timestamp {
    at.and_then(|at| Timestamp::from_second(at.secs()).ok()).unwrap_or(Timestamp::UNIX_EPOCH)
}
