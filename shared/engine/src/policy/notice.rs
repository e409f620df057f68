//! The alert about a changed policy: by the rules of the policy before it, which the new one cannot silence.

use jiff::Timestamp;
use lifeboat_model::{Alert, AlertKind, AlertState, Policy, PolicyDifference, PolicyDocument, Severity};
use serde::{Deserialize, Serialize};

/// Differences that an alert names, those that weaken first; the others are counted. Together some 3 kB.
const NAMED_DIFFERENCES: usize = 10;

const WEAKER: &str =
    "ask who pushed it whether it is meant so; if not, push the document before it again with `lifeboat policy push`";

/// An alert that must still be sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Notice {
    pub(super) alert: Alert,
    /// The earliest time to send it.
    pub(super) due: Timestamp,
}

impl Notice {
    /// The notice that `after` is in force instead of `before`. `None` when they say the same, or when `before` wants no notices and nothing
    /// is weakened.
    pub(super) fn of(before: &PolicyDocument, after: &PolicyDocument, now: Timestamp) -> Option<Self> {
        let [old, new] = [before, after].map(|document| Policy::from_toml(&document.text).unwrap_or_default());
        let differences = old.differences(&new);
        let weakened = differences.iter().filter(|difference| difference.weakens).count();
        let severity = if weakened > 0 { old.rule(AlertKind::PolicyChanged).severity } else { Severity::Info };
        let effect = if weakened > 0 { "weakens the protection" } else { "is in force" };
        let hint = (weakened > 0).then(|| WEAKER.to_owned());
        Self::new(&old, after, &differences, (severity, effect, hint), now)
    }

    /// The notice of the first policy. Nothing was in force that it could weaken but the default.
    pub(super) fn of_first(document: &PolicyDocument, now: Timestamp) -> Option<Self> {
        let new = Policy::from_toml(&document.text).unwrap_or_default();
        let differences = Policy::default().differences(&new);
        let effect = "is in force, the first instead of the default";
        Self::new(&Policy::default(), document, &differences, (Severity::Info, effect, None), now)
    }

    /// `rules` decide whether, when and on which channels it is sent.
    fn new(
        rules: &Policy,
        document: &PolicyDocument,
        differences: &[PolicyDifference],
        (severity, effect, hint): (Severity, &str, Option<String>),
        now: Timestamp,
    ) -> Option<Self> {
        if differences.is_empty() || (severity == Severity::Info && !rules.alerts.notices) {
            return None;
        }
        let named: Vec<String> = differences.iter().take(NAMED_DIFFERENCES).map(ToString::to_string).collect();
        let more = differences.len().saturating_sub(NAMED_DIFFERENCES);
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        let version = document.version;
        let facts = [
            ("version", Some(version.to_string())),
            ("changed_by", Some(document.modified_by.clone().unwrap_or_else(|| "not known".to_owned()))),
            ("reason", document.reason.clone()),
            ("changes", Some(differences.len().to_string())),
        ];
        let alert = Alert {
            kind: AlertKind::PolicyChanged,
            severity,
            state: AlertState::Notice,
            channels: rules.rule(AlertKind::PolicyChanged).channels,
            database: None,
            incident: None,
            since: document.modified_at,
            what: format!("version {version} of the policy {effect}: {}{more}", named.join("; ")),
            hint,
            facts: facts.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect(),
        };
        Some(Self { alert, due: rules.first_moment(AlertKind::PolicyChanged, now) })
    }
}
