//! An alert that would reach nobody is found before it is needed.

use std::sync::Arc;

use lifeboat_engine::{HealthRequest, check_health};
use lifeboat_model::{AlertKind, AlertRule, Channel, IncidentState, Policy, Severity};
use lifeboat_vault::Incidents;

use crate::bench::{Bench, database};

const UNHEARD: &str = "alerts-unheard/repository";

/// Looks once while alerts of these severities have no subscriber, and returns what is said about it and where its incident stands.
async fn look(bench: &Bench, policy: &Arc<Policy>, deaf_to: &[Severity]) -> (Option<String>, Option<IncidentState>) {
    let mut process = bench.process();
    process.run.policy = Arc::clone(policy);
    process.outbox.deafen(deaf_to);
    let request = HealthRequest { databases: vec![database()], drills: false };
    let report = check_health(&process.again(), &request, None).await.unwrap();
    let mut probes = report.probes.into_iter();
    let probe = probes.find(|probe| probe.name.kind == AlertKind::AlertsUnheard).unwrap();
    let incident = Incidents::new(&bench.stores.sites()).get(&UNHEARD.parse().unwrap()).await.unwrap();
    (probe.wrong.map(|wrong| wrong.what), incident.map(|incident| incident.state))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alerts_without_a_subscriber_are_an_incident_at_the_second_look_until_somebody_gets_them() {
    let bench = Bench::with("unheard", "CREATE TABLE t (a int)");
    bench.back_up().await;
    let policy = Arc::default();
    assert_eq!(look(&bench, &policy, &[Severity::Info]).await, (None, None), "no rule has this severity");
    let (what, state) = look(&bench, &policy, &[Severity::Critical, Severity::Warning]).await;
    let expected = "no confirmed subscription receives alerts of severity critical, warning: `backup-failed`, `backup-overdue`, \
                    `verification-finding`, `drill-failed` and 11 more";
    assert_eq!(what.as_deref(), Some(expected));
    assert_ne!(state, Some(IncidentState::Open), "a new stack waits for its subscribers");
    let (_, state) = look(&bench, &policy, &[Severity::Critical]).await;
    assert_eq!(state, Some(IncidentState::Open));
    assert_eq!(look(&bench, &policy, &[]).await, (None, Some(IncidentState::Resolved)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_policy_sends_to_the_dashboard_alone_needs_no_subscriber() {
    let bench = Bench::with("dashboard-alone", "CREATE TABLE t (a int)");
    bench.back_up().await;
    let mut policy = Policy::default();
    for kind in AlertKind::ALL.iter().copied() {
        let rule = policy.rule(kind);
        let channels = vec![Channel::Dashboard];
        let rule = if rule.severity == Severity::Warning { AlertRule { channels, ..rule } } else { rule };
        policy.alerts.rules.insert(kind, rule);
    }
    assert_eq!(look(&bench, &Arc::new(policy), &[Severity::Warning]).await, (None, None));
}
