//! Checks whether somebody receives the alerts.

use std::collections::BTreeSet;

use jiff::Timestamp;
use lifeboat_model::{
    Alert, AlertKind, AlertRule, AlertState, Channel, DatabaseName, IncidentName, IncidentSubject, Policy, Probe,
    Response, Severity, Wrong,
};

use super::request::HealthRequest;
use super::sites::SITE_WITHIN;
use crate::deadline::within;
use crate::error::EngineError;
use crate::run::Run;

/// Kinds of alerts that a sentence names; the others are counted.
const NAMED: usize = 4;

/// The name of CloudWatch's alarms among the objects of the incident. The others are kinds of alerts.
const ALARMS: &str = "cloudwatch-alarms";

const HINT: &str = "confirm each subscription by the link in its mail from AWS, one for the alerts and one for the alarms, or set the stack's \
                    parameter `AlertEmail`, `AlertSmsNumber` or `AlertHttpsUrl` and its severities; see docs/runbooks/alerts-unheard.md";

/// Whether each alert that policy sends to people has a confirmed subscription that lets it through, and CloudWatch's alarms have one. `None`
/// where this process has no topic, or when the subscriptions cannot be read just now.
pub(super) async fn probe_listeners(run: &Run, request: &HealthRequest) -> Option<Probe> {
    if !run.ports.outbox.reaches_people() {
        return None;
    }
    let outbox = &run.ports.outbox;
    let asking = async {
        let alerts = outbox.unheard(samples(&run.policy, request));
        Ok(tokio::try_join!(alerts, outbox.alarms_are_unheard()))
    };
    let asked: Result<_, EngineError> = within(SITE_WITHIN, Box::pin(asking)).await;
    let answer = asked
        .map_err(|error| (error.story(), error.advice()))
        .and_then(|answer| answer.map_err(|error| (lifeboat_model::story(&error), error.advice())));
    let wrong = match answer {
        Ok((alerts, alarms)) => wrong(&alerts, alarms),
        Err((error, advice)) if advice.response == Response::Retry => {
            tracing::warn!(error, "it is unknown who receives alerts");
            return None;
        }
        Err((error, advice)) => Some(Wrong::new(error, advice.hint)),
    };
    let name = IncidentName::new(AlertKind::AlertsUnheard, IncidentSubject::Repository);
    Some(Probe { name, database: None, elapsed_ms: None, wrong })
}

/// Alerts of each kind as they would be sent: about each database, or about the repository. A kind that policy sends to the dashboard alone is
/// meant for nobody.
fn samples(policy: &Policy, request: &HealthRequest) -> Vec<Alert> {
    let found = AlertKind::ALL.iter().filter(|kind| kind.has_rule() && kind.is_found());
    let rules = found.map(|kind| (*kind, sent_by(policy, *kind)));
    let told = rules.filter(|(_, rule)| rule.channels.iter().any(|channel| *channel != Channel::Dashboard));
    let each = told.flat_map(|(kind, rule)| match kind.is_about_databases() {
        true => request.databases.iter().map(|database| sample(kind, &rule, Some(database))).collect(),
        false => vec![sample(kind, &rule, None)],
    });
    each.collect()
}

/// The rule by which alerts of a kind are sent. A change that weakens the protection is always critical, and the dashboard alone is no channel
/// for it.
fn sent_by(policy: &Policy, kind: AlertKind) -> AlertRule {
    let rule = policy.rule(kind);
    if kind != AlertKind::PolicyChanged {
        return rule;
    }
    let channels =
        if rule.channels == [Channel::Dashboard] { AlertRule::of(kind).channels } else { rule.channels.clone() };
    AlertRule { severity: Severity::Critical, channels, ..rule }
}

fn sample(kind: AlertKind, rule: &AlertRule, database: Option<&DatabaseName>) -> Alert {
    Alert {
        kind,
        severity: rule.severity,
        state: if kind.is_notice() { AlertState::Notice } else { AlertState::Opened },
        channels: rule.channels.clone(),
        database: database.cloned(),
        incident: None,
        since: Timestamp::UNIX_EPOCH,
        what: String::new(),
        hint: None,
        facts: Vec::new(),
    }
}

fn wrong(unheard: &[Alert], alarms_are_unheard: bool) -> Option<Wrong> {
    let mut named: Vec<(_, AlertKind)> =
        unheard.iter().map(|alert| (std::cmp::Reverse(alert.severity), alert.kind)).collect();
    named.sort();
    named.dedup();
    let alerts = (!named.is_empty()).then(|| {
        let kinds: Vec<String> = named.iter().take(NAMED).map(|(_, kind)| format!("`{kind}`")).collect();
        let more = named.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let severities: BTreeSet<_> = unheard.iter().map(|alert| alert.severity).collect();
        let severities: Vec<String> = severities.iter().rev().map(ToString::to_string).collect();
        format!("alerts of severity {}: {}{more}", severities.join(", "), kinds.join(", "))
    });
    let alarms = alarms_are_unheard.then(|| "the CloudWatch alarms about Lifeboat itself".to_owned());
    let what: Vec<String> = alerts.into_iter().chain(alarms).collect();
    let objects = named.iter().map(|(_, kind)| kind.to_string()).chain(alarms_are_unheard.then(|| ALARMS.to_owned()));
    let what = (!what.is_empty()).then(|| format!("no confirmed subscription receives {}", what.join("; or ")))?;
    Some(Wrong::new(what, HINT).about(objects))
}
