//! Checks whether somebody receives the alerts.

use std::collections::BTreeSet;

use jiff::Timestamp;
use lifeboat_model::{
    Alert, AlertKind, AlertRule, AlertState, Channel, DatabaseName, IncidentName, IncidentSubject, Policy, Probe,
    Response, Wrong,
};

use super::freshness::SITE_WITHIN;
use super::request::HealthRequest;
use crate::deadline::within;
use crate::error::EngineError;
use crate::run::Run;

/// Kinds of alerts that a sentence names; the others are counted.
const NAMED: usize = 4;

const HINT: &str = "confirm the subscription by the link in the mail from AWS, or set the stack's parameter `AlertEmail`, `AlertSmsNumber` or \
                    `AlertHttpsUrl` and its severities; see docs/runbooks/alerts-unheard.md";

/// Whether each alert that policy sends to people has a confirmed subscription that lets it through. `None` where this process has no
/// topic, or when the subscriptions cannot be read just now.
pub(super) async fn probe_listeners(run: &Run, request: &HealthRequest) -> Option<Probe> {
    if !run.ports.outbox.reaches_people() {
        return None;
    }
    let asking = async { Ok::<_, EngineError>(run.ports.outbox.unheard(samples(&run.policy, request)).await) };
    let wrong = match within(SITE_WITHIN, Box::pin(asking)).await.ok()? {
        Ok(unheard) => wrong(&unheard),
        Err(error) if error.advice().response == Response::Retry => {
            tracing::warn!(error = lifeboat_model::story(&error), "it is unknown who receives alerts");
            return None;
        }
        Err(error) => Some(Wrong::new(lifeboat_model::story(&error), error.advice().hint)),
    };
    let name = IncidentName::new(AlertKind::AlertsUnheard, IncidentSubject::Repository);
    Some(Probe { name, database: None, elapsed_ms: None, wrong })
}

/// Alerts of each kind as they would be sent: about each database, or about the repository. A kind that policy sends to the dashboard alone is
/// meant for nobody.
fn samples(policy: &Policy, request: &HealthRequest) -> Vec<Alert> {
    let found = AlertKind::ALL.iter().filter(|kind| kind.has_rule() && kind.is_found());
    let rules = found.map(|kind| (*kind, policy.rule(*kind)));
    let told = rules.filter(|(_, rule)| rule.channels.iter().any(|channel| *channel != Channel::Dashboard));
    let each = told.flat_map(|(kind, rule)| match kind.is_about_databases() {
        true => request.databases.iter().map(|database| sample(kind, &rule, Some(database))).collect(),
        false => vec![sample(kind, &rule, None)],
    });
    each.collect()
}

fn sample(kind: AlertKind, rule: &AlertRule, database: Option<&DatabaseName>) -> Alert {
    Alert {
        kind,
        severity: rule.severity,
        state: AlertState::Opened,
        channels: rule.channels.clone(),
        database: database.cloned(),
        incident: None,
        since: Timestamp::UNIX_EPOCH,
        what: String::new(),
        hint: None,
        facts: Vec::new(),
    }
}

fn wrong(unheard: &[Alert]) -> Option<Wrong> {
    let mut named: Vec<(_, AlertKind)> =
        unheard.iter().map(|alert| (std::cmp::Reverse(alert.severity), alert.kind)).collect();
    named.sort();
    named.dedup();
    let kinds: Vec<String> = named.iter().take(NAMED).map(|(_, kind)| format!("`{kind}`")).collect();
    let more = named.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let severities: BTreeSet<_> = unheard.iter().map(|alert| alert.severity).collect();
    let severities: Vec<String> = severities.iter().rev().map(ToString::to_string).collect();
    let what = format!(
        "no confirmed subscription receives alerts of severity {}: {}{more}",
        severities.join(", "),
        kinds.join(", ")
    );
    let kinds = named.iter().map(|(_, kind)| kind.to_string());
    (!unheard.is_empty()).then(|| Wrong::new(what, HINT).about(kinds))
}
