//! An alert that would reach nobody is found before it is needed.

use std::sync::Arc;

use async_trait::async_trait;
use lifeboat_engine::{HealthRequest, check_health, look_at_health};
use lifeboat_model::{Alert, AlertKind, AlertRule, Channel, Event, IncidentState, Policy, Severity};
use lifeboat_notify::{Outbox, SignalError};
use lifeboat_vault::Incidents;

use crate::bench::{Bench, database};
use crate::log;

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
                    `verification-finding`, `drill-failed` and 12 more";
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
    let policy = on_the_dashboard_alone(|rule| rule.severity == Severity::Warning);
    assert_eq!(look(&bench, &policy, &[Severity::Warning]).await, (None, None));
}

/// The default policy, but for the channels of some kinds.
fn on_the_dashboard_alone(is_meant: impl Fn(&AlertRule) -> bool) -> Arc<Policy> {
    let mut policy = Policy::default();
    for kind in AlertKind::ALL.iter().copied() {
        let mut rule = policy.rule(kind);
        if is_meant(&rule) {
            rule.channels = vec![Channel::Dashboard];
        }
        policy.alerts.rules.insert(kind, rule);
    }
    Arc::new(policy)
}

/// The notice is critical and has all channels, whatever the rule says: a rule must not silence the change that silenced it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_must_get_the_notice_of_a_weaker_policy_also_when_its_rule_names_nobody() {
    let bench = Bench::with("weaker-notice", "CREATE TABLE t (a int)");
    bench.back_up().await;
    let mut policy = Arc::unwrap_or_clone(on_the_dashboard_alone(|_| true));
    let rule = AlertRule { severity: Severity::Info, ..policy.rule(AlertKind::PolicyChanged) };
    policy.alerts.rules.insert(AlertKind::PolicyChanged, rule);
    let policy = Arc::new(policy);
    assert_eq!(look(&bench, &policy, &[Severity::Info, Severity::Warning]).await, (None, None));
    let (what, _) = look(&bench, &policy, &[Severity::Critical]).await;
    let expected = "no confirmed subscription receives alerts of severity critical: `policy-changed`";
    assert_eq!(what.as_deref(), Some(expected));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alarms_without_a_subscriber_are_a_part_of_it_with_a_name_of_its_own() {
    let bench = Bench::with("alarms-unheard", "CREATE TABLE t (a int)");
    bench.back_up().await;
    let process = bench.process();
    let request = HealthRequest { databases: vec![database()], drills: false };
    let wrong = async |deaf_to: &[Severity]| {
        process.outbox.deafen(deaf_to);
        let report = look_at_health(&process.again(), &request).await;
        let probe = report.probes.into_iter().find(|probe| probe.name.kind == AlertKind::AlertsUnheard);
        probe.unwrap().wrong
    };
    assert_eq!(wrong(&[]).await, None);
    process.outbox.deafen_to_alarms(true);
    let alone = wrong(&[]).await.unwrap();
    let alarms = "the CloudWatch alarms about Lifeboat itself";
    assert_eq!(alone.what, format!("no confirmed subscription receives {alarms}"));
    assert_eq!(alone.objects.named.into_iter().collect::<Vec<_>>(), ["cloudwatch-alarms"]);
    let both = wrong(&[Severity::Warning]).await.unwrap();
    assert!(
        both.what.contains("alerts of severity warning: ") && both.what.ends_with(&format!("; or {alarms}")),
        "{both:?}"
    );
    assert!(
        both.objects.named.contains("cloudwatch-alarms") && both.objects.named.contains("drill-overdue"),
        "{both:?}"
    );
}

/// A service that takes the question and never answers.
struct Silent;

#[async_trait]
impl Outbox for Silent {
    async fn publish(&self, _: &Event) -> Result<(), SignalError> {
        Ok(())
    }

    async fn alert(&self, _: &Alert) -> Result<(), SignalError> {
        Ok(())
    }

    async fn unheard(&self, _: Vec<Alert>) -> Result<Vec<Alert>, SignalError> {
        std::future::pending().await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_nobody_says_who_listens_the_log_says_so_and_the_check_says_nothing() {
    let bench = Bench::with("silent-topics", "CREATE TABLE t (a int)");
    bench.back_up().await;
    let mut process = bench.process();
    process.run.ports.outbox = Arc::new(Silent);
    let request = HealthRequest { databases: vec![database()], drills: false };
    let report = look_at_health(&process.again(), &request).await;
    assert!(report.probes.iter().all(|probe| probe.name.kind != AlertKind::AlertsUnheard), "{report:?}");
    assert!(log::text().lines().any(|line| line.contains("it is unknown who receives alerts") && line.contains("8 s")));
}
