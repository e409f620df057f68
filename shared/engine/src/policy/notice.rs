//! The alert about a changed policy: by the rules of the policy before it, which the new one cannot silence.

use jiff::Timestamp;
use lifeboat_model::{
    Alert, AlertKind, AlertRule, AlertState, Channel, Policy, PolicyDifference, PolicyDocument, Severity,
};
use serde::{Deserialize, Serialize};

/// Differences that an alert names; the others are counted. Those that weaken are all named: a policy has some 120 keys, and leaves out at most
/// 100 relations. Together they have some 25 kB.
const NAMED_DIFFERENCES: usize = 10;

const WEAKER: &str =
    "ask the author whether the change was intended; if not, push the previous document with `lifeboat policy push`";

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
        let [old, new] = [before, after].map(|document| Policy::from_kept(&document.text).unwrap_or_default());
        let differences = old.differences(&new);
        Self::new(&old, after, &differences, ["weakens the protection", "is in force"], now)
    }

    /// The notice of the first policy. Nothing was in force that it could weaken but the default.
    pub(super) fn of_first(document: &PolicyDocument, now: Timestamp) -> Option<Self> {
        let new = Policy::from_kept(&document.text).unwrap_or_default();
        let differences = Policy::default().differences(&new);
        let effects =
            ["is weaker than the default, which was in force", "is in force, the first instead of the default"];
        Self::new(&Policy::default(), document, &differences, effects, now)
    }

    /// `rules` decide on which channels it is sent, and whether and when unless something is weakened: rules that were muted before would
    /// hide the next change. `effects` are the words for that, and for other changes.
    fn new(
        rules: &Policy,
        document: &PolicyDocument,
        differences: &[PolicyDifference],
        [weaker, otherwise]: [&str; 2],
        now: Timestamp,
    ) -> Option<Self> {
        let weakens = differences.iter().any(|difference| difference.weakens);
        if differences.is_empty() || (!weakens && !rules.alerts.notices) {
            return None;
        }
        let mut channels = rules.rule(AlertKind::PolicyChanged).channels;
        if weakens && channels == [Channel::Dashboard] {
            channels = AlertRule::of(AlertKind::PolicyChanged).channels;
        }
        let (severity, effect, due) = match weakens {
            true => (Severity::Critical, weaker, now),
            false => (Severity::Info, otherwise, rules.first_moment(AlertKind::PolicyChanged, now)),
        };
        // Nobody hides a muted alert or a table that is left out behind many other changes.
        let (weakening, others): (Vec<_>, Vec<_>) = differences.iter().partition(|difference| difference.weakens);
        let room = NAMED_DIFFERENCES.saturating_sub(weakening.len());
        let named: Vec<String> = weakening.iter().chain(others.iter().take(room)).map(ToString::to_string).collect();
        let more = others.len().saturating_sub(room);
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
            channels,
            database: None,
            incident: None,
            since: document.modified_at,
            what: format!("version {version} of the policy {effect}: {}{more}", named.join("; ")),
            hint: weakens.then(|| WEAKER.to_owned()),
            facts: facts.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect(),
        };
        Some(Self { alert, due })
    }
}
