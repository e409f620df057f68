//! Metrics for CloudWatch, whose alarms speak when the alerts do not: no health check has succeeded, alerts reach nobody, or nobody
//! acknowledges them.

use jiff::{SignedDuration, Timestamp};
use lifeboat_model::{AlertKind, HealthReport, Incident, IncidentState, Severity};
use lifeboat_notify::{MetricsLine, Unit};

/// How long a critical incident may be open until somebody acknowledges it. By the default policy, an alert and a reminder were sent then.
const ANSWERED_WITHIN: SignedDuration = SignedDuration::from_hours(2);

/// The line of a health check. Nothing is said about `incidents` that could not be read, and about alerts whose subscriptions could not be
/// read: a value would tell the alarm that all is well.
pub(super) fn metrics(report: &HealthReport, incidents: Option<&[Incident]>, ended_well: bool) -> MetricsLine {
    let count = |is_so: bool| f64::from(u8::from(is_so));
    let mut line = MetricsLine::new("-").with("health_looked", Unit::Count, count(ended_well));
    if let Some(probe) = report.probes.iter().find(|probe| probe.name.kind == AlertKind::AlertsUnheard) {
        line = line.with("alerts_unheard", Unit::Count, count(probe.wrong.is_some()));
    }
    let Some(incidents) = incidents else { return line };
    let open = incidents.iter().filter(|incident| incident.is_open()).count();
    let unanswered = incidents.iter().filter(|incident| is_unanswered(incident, report.at)).count();
    line.with("incidents_open", Unit::Count, open as f64).with("incidents_unanswered", Unit::Count, unanswered as f64)
}

/// Whether an incident is critical and old, and nobody has acknowledged it.
fn is_unanswered(incident: &Incident, now: Timestamp) -> bool {
    incident.state == IncidentState::Open
        && incident.severity == Severity::Critical
        && now.duration_since(incident.opened_at.unwrap_or(incident.since)) >= ANSWERED_WITHIN
}

#[cfg(test)]
mod tests {
    use lifeboat_model::{IncidentName, IncidentSubject, Probe, Wrong};
    use serde_json::json;

    use super::*;

    fn noon() -> Timestamp {
        "2026-01-01T12:00:00Z".parse().unwrap()
    }

    fn incident(state: &str, severity: &str, since: &str) -> Incident {
        let at = format!("2026-01-01T{since}:00Z");
        serde_json::from_value(json!({
            "name": "backup-failed/clinic", "state": state, "severity": severity, "since": at, "seen_at": noon(),
            "sightings": 1, "what": "", "hint": "", "facts": [], "channels": [], "sent": 1,
        }))
        .unwrap()
    }

    /// The alarms `alerts-unheard` and `critical-unanswered` of the template watch these values.
    #[test]
    fn a_line_counts_what_nobody_hears_and_what_nobody_answers() {
        let report = |wrong: Option<Wrong>| {
            let name = IncidentName::new(AlertKind::AlertsUnheard, IncidentSubject::Repository);
            HealthReport { at: noon(), probes: vec![Probe { name, database: None, elapsed_ms: None, wrong }], sent: 0 }
        };
        let incidents = [
            incident("open", "critical", "10:00"),
            incident("open", "warning", "10:00"),
            incident("acknowledged", "critical", "10:00"),
            incident("resolved", "critical", "10:00"),
        ];
        let line =
            |report: &HealthReport, ended_well| metrics(report, Some(&incidents), ended_well).to_json("f", noon());
        let heard = line(&report(None), true);
        assert_eq!([&heard["alerts_unheard"], &heard["health_looked"]], [0.0, 1.0]);
        assert_eq!([&heard["incidents_open"], &heard["incidents_unanswered"]], [3.0, 1.0]);
        let unheard = line(&report(Some(Wrong::new("nobody", "subscribe"))), false);
        assert_eq!([&unheard["alerts_unheard"], &unheard["health_looked"]], [1.0, 0.0]);
        let unread = metrics(&report(None), None, true).to_json("f", noon());
        assert_eq!(unread.get("incidents_unanswered"), None, "nothing is said of what could not be read");
    }

    #[test]
    fn whether_alerts_are_heard_has_a_value_only_when_it_is_known() {
        let probe = |wrong| json!({"name": "alerts-unheard/repository", "wrong": wrong});
        let value = |probes: serde_json::Value| {
            let report = json!({"at": "2026-01-01T12:00:00Z", "probes": probes, "sent": 0});
            let report: HealthReport = serde_json::from_value(report).unwrap();
            let line = metrics(&report, None, true).to_json("lifeboat-health", report.at);
            assert_eq!(line["health_looked"], 1.0);
            line["alerts_unheard"].as_f64()
        };
        assert_eq!(value(json!([])), None);
        assert_eq!(value(json!([probe(json!(null))])), Some(0.0));
        assert_eq!(value(json!([probe(json!({"what": "nobody", "hint": ""}))])), Some(1.0));
    }

    #[test]
    fn only_an_old_critical_incident_that_nobody_acknowledged_is_unanswered() {
        let now = noon();
        assert!(is_unanswered(&incident("open", "critical", "10:00"), now));
        for (state, severity, since) in [
            ("open", "critical", "10:01"),
            ("open", "warning", "10:00"),
            ("acknowledged", "critical", "10:00"),
            ("resolved", "critical", "10:00"),
        ] {
            assert!(!is_unanswered(&incident(state, severity, since), now), "{state} {severity} {since}");
        }
    }
}
