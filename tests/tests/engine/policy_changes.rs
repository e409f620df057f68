//! A change of the policy is told by the rules before it, which it cannot silence.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use lifeboat_engine::{HealthRequest, adopt_policy, check_health};
use lifeboat_model::{Alert, AlertKind, AlertState, Channel, Event, Policy, PolicyDocument, PolicyVersions, Severity};
use lifeboat_notify::{Outbox, SignalError};

use crate::bench::{Bench, Process, database};
use crate::incidents::NoTopic;

const TABLE: &str = "CREATE TABLE t AS SELECT i FROM generate_series(1, 100) i";

/// It silences itself and leaves out the patients.
const SILENT: &str = r#"
version = 1
[backup]
leave_out = [{ relation = "public.patients", reason = "the words of somebody" }]
[alerts]
notices = false
[alerts.policy-changed]
severity = "info"
channels = ["dashboard"]
[alerts.backup-failed]
severity = "info"
"#;

fn document(text: &str, version: i64) -> PolicyDocument {
    let modified_at = Timestamp::from_second(1_700_000_000 + version).unwrap();
    let modified_by = Some("arn:aws:iam::111122223333:user/mallory".to_owned());
    PolicyDocument { text: text.to_owned(), version, modified_at, modified_by, reason: Some("tidy up".to_owned()) }
}

fn versions(texts: &[&str]) -> PolicyVersions {
    let history: Vec<PolicyDocument> = texts.iter().zip(1..).map(|(text, version)| document(text, version)).collect();
    PolicyVersions { in_place: history.last().unwrap().clone(), history: Some(history) }
}

/// A health check of a process that already runs under the newest document, as every process does at once.
async fn look(bench: &Bench, versions: &PolicyVersions) -> Vec<Alert> {
    let process = under(bench.process(), versions);
    check_health(&process.again(), &health(), Some(Ok(versions))).await.unwrap();
    changes(&process)
}

fn under(mut process: Process, versions: &PolicyVersions) -> Process {
    process.run.policy = Arc::new(Policy::from_toml(&versions.in_place.text).unwrap());
    process
}

fn changes(process: &Process) -> Vec<Alert> {
    process.outbox.alerts().into_iter().filter(|alert| alert.kind == AlertKind::PolicyChanged).collect()
}

fn health() -> HealthRequest {
    HealthRequest { databases: vec![database()], drills: true }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_silences_everything_is_told_once_by_the_rules_before_it() {
    let bench = Bench::with("policy-silent", TABLE);
    bench.back_up().await;
    let careful = "version = 1\n[alerts.policy-changed]\nchannels = [\"pager\", \"sms\"]\n";
    let [first] = look(&bench, &versions(&[careful])).await.try_into().unwrap();
    assert_eq!((first.severity, first.state), (Severity::Critical, AlertState::Notice), "it has fewer channels");
    assert!(first.what.contains("is weaker than the default, which was in force"), "{}", first.what);

    let both = versions(&[careful, SILENT]);
    let [change] = look(&bench, &both).await.try_into().unwrap();
    assert_eq!((change.severity, change.state), (Severity::Critical, AlertState::Notice));
    assert_eq!(change.channels, [Channel::Pager, Channel::Sms]);
    for part in [
        "version 2 of the policy weakens the protection: ",
        "`backup.leave_out: public.patients` from copied to left out",
        "`alerts.backup-failed.severity` from critical to info",
        "`alerts.policy-changed.channels` from sms, pager to dashboard",
        "`alerts.notices` from true to false",
    ] {
        assert!(change.what.contains(part), "{}\nshould have: {part}", change.what);
    }
    let facts: Vec<(&str, &str)> = change.facts.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let by = "arn:aws:iam::111122223333:user/mallory";
    assert_eq!(facts, [("version", "2"), ("changed_by", by), ("reason", "tidy up"), ("changes", "5")]);
    assert!(change.hint.unwrap().contains("lifeboat policy push"));
    assert!(!change.what.contains("the words of somebody"));

    assert_eq!(look(&bench, &both).await, [], "it is told once");
    // The change back protects more; the policy that it replaces wants no notices.
    let back = "version = 1\n[alerts.policy-changed]\nchannels = [\"pager\", \"sms\", \"dashboard\"]\n";
    assert_eq!(look(&bench, &versions(&[careful, SILENT, back])).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_was_taken_back_before_anybody_looked_is_told_all_the_same() {
    let bench = Bench::with("policy-back", TABLE);
    let plain = "version = 1\n";
    look(&bench, &versions(&[plain])).await;
    let weaker = "version = 1\n[freshness]\nbackup_minutes = 1000\n";
    // A process without the history knows only what is in place.
    let alone = PolicyVersions { history: None, ..versions(&[plain, weaker]) };
    let [change] = look(&bench, &alone).await.try_into().unwrap();
    assert!(change.what.ends_with("`freshness.backup_minutes` from 90 to 1000"), "{}", change.what);
    assert_eq!(look(&bench, &versions(&[plain, weaker])).await, [], "it was told already");

    let all = versions(&[plain, weaker, "# a remark\nversion = 1\n", "version = 2\n", SILENT, plain]);
    let told = look(&bench, &all).await;
    let told: Vec<(Severity, &str)> =
        told.iter().map(|alert| (alert.severity, alert.what.split(" of ").next().unwrap())).collect();
    assert_eq!(told, [(Severity::Info, "version 3"), (Severity::Critical, "version 5")], "each by the rules before it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_was_muted_does_not_hide_the_change_after_it() {
    let bench = Bench::with("policy-muted", TABLE);
    let muted = "version = 1\n[alerts]\nnotices = false\n[alerts.policy-changed]\nseverity = \"info\"\nchannels = [\"dashboard\"]\n";
    let [first] = look(&bench, &versions(&[muted])).await.try_into().unwrap();
    assert_eq!(first.severity, Severity::Critical, "the first one is weaker than the default");
    let weaker = format!("{muted}[backup]\nleave_out = [{{ relation = \"public.patients\", reason = \"x\" }}]\n");
    let [change] = look(&bench, &versions(&[muted, &weaker])).await.try_into().unwrap();
    assert_eq!((change.severity, change.channels.len()), (Severity::Critical, 5), "{:?}", change.channels);
    assert!(change.what.contains("public.patients"), "{}", change.what);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_differences_are_counted_and_what_weakens_is_named() {
    let bench = Bench::with("policy-many", TABLE);
    look(&bench, &versions(&["version = 1\n"])).await;
    let relation = |number: u32| format!("{{ relation = \"public.{}{number}\", reason = \"x\" }}", "t".repeat(30));
    let left_out: Vec<String> = (0..99).map(relation).collect();
    let muted = "[alerts.backup-failed]\nseverity = \"info\"\nchannels = [\"dashboard\"]\n";
    let noise = "[freshness]\nbackup_minutes = 1\nverification_hours = 1\ndrill_days = 1\noffsite_minutes = 1\n";
    let text = format!("version = 1\n{noise}{muted}[backup]\nleave_out = [{}]\n", left_out.join(", "));
    let [change] = look(&bench, &versions(&["version = 1\n", &text])).await.try_into().unwrap();
    assert!(change.what.ends_with("; and 4 more") && !change.what.contains("freshness"), "{}", change.what);
    assert_eq!(change.what.matches("from copied to left out").count(), 99, "each one is named");
    let muted = ["`alerts.backup-failed.severity` from critical to info", "`alerts.backup-failed.channels` from "];
    assert!(muted.iter().all(|muted| change.what.contains(muted)), "{}", change.what);
    assert!(change.what.len() < 16_000, "{} bytes", change.what.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kind_of_business_hours_waits_for_those_of_the_policy_before() {
    let bench = Bench::with("policy-hours", TABLE);
    // Hours of one minute, on the day before yesterday: they are not now.
    let day = (Timestamp::now() - SignedDuration::from_hours(48)).to_zoned(jiff::tz::TimeZone::UTC).strftime("%A");
    let hours = format!(
        "[business_hours]\ndays = [\"{}\"]\nfrom = \"00:00\"\nto = \"00:01\"\n",
        day.to_string().to_lowercase()
    );
    let patient = format!("version = 1\n{hours}[alerts.policy-changed]\nescalation = \"business-hours\"\n");
    look(&bench, &versions(&[&patient])).await;
    let stronger = format!("{patient}[freshness]\nbackup_minutes = 10\n");
    let both = versions(&[&patient, &stronger]);
    assert_eq!(look(&bench, &both).await, [], "it waits");
    let state = || -> serde_json::Value {
        serde_json::from_slice(&bench.stores.primary.bytes("state/policy.json").unwrap()).unwrap()
    };
    let mut waiting = state();
    assert!(waiting["unannounced"][0]["due"].as_str().unwrap().parse::<Timestamp>().unwrap() > Timestamp::now());
    waiting["unannounced"][0]["due"] = serde_json::json!(Timestamp::now());
    bench.stores.primary.replace("state/policy.json", serde_json::to_vec(&waiting).unwrap());
    assert_eq!(look(&bench, &both).await.len(), 1);
    assert_eq!(state().get("unannounced"), None);
    assert_eq!(look(&bench, &versions(&[&patient, &stronger, SILENT])).await.len(), 1, "what weakens does not wait");
}

/// A process that reaches nobody, such as a person's terminal.
struct Terminal;

#[async_trait]
impl Outbox for Terminal {
    async fn publish(&self, _: &Event) -> Result<(), SignalError> {
        Ok(())
    }

    async fn alert(&self, _: &Alert) -> Result<(), SignalError> {
        panic!("it has no topic")
    }

    fn reaches_people(&self) -> bool {
        false
    }

    async fn unheard(&self, _: Vec<Alert>) -> Result<Vec<Alert>, SignalError> {
        Ok(Vec::new())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_was_claimed_and_not_told_is_told_by_the_next_health_check() {
    let bench = Bench::with("policy-claimed", TABLE);
    let plain = "version = 1\n";
    look(&bench, &versions(&[plain])).await;
    let all = versions(&[plain, SILENT]);
    // Whoever pushes it from a terminal puts it in force; people hear of it from a function.
    let mut terminal = under(bench.process(), &all);
    terminal.run.ports.outbox = Arc::new(Terminal);
    adopt_policy(&terminal.again(), Ok(&all)).await.unwrap();
    // The first function that may tell them dies of it.
    let mut dying = under(bench.process(), &all);
    dying.run.ports.outbox = Arc::new(NoTopic(dying.outbox.clone()));
    assert!(check_health(&dying.again(), &health(), Some(Ok(&all))).await.is_err());
    assert_eq!(look(&bench, &all).await, [], "its claim keeps the others away for a while");
    let mut state: serde_json::Value =
        serde_json::from_slice(&bench.stores.primary.bytes("state/policy.json").unwrap()).unwrap();
    state["announcing"]["at"] = serde_json::json!(Timestamp::now() - SignedDuration::from_secs(121));
    bench.stores.primary.replace("state/policy.json", serde_json::to_vec(&state).unwrap());
    let [change] = look(&bench, &all).await.try_into().unwrap();
    assert_eq!(change.severity, Severity::Critical);
    assert_eq!(look(&bench, &all).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_weakens_is_not_forgotten_behind_more_changes_than_can_wait() {
    let bench = Bench::with("policy-flood", TABLE);
    let plain = "version = 1\n".to_owned();
    look(&bench, &versions(&[&plain])).await;
    let minutes = |number: i64| format!("version = 1\n[freshness]\nbackup_minutes = {number}\n");
    let stronger = (10..119).rev().map(minutes);
    let texts: Vec<String> = [plain, minutes(120)].into_iter().chain(stronger).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let told = look(&bench, &versions(&texts)).await;
    assert_eq!(told.len(), 100, "as many as can wait");
    let critical: Vec<&Alert> = told.iter().filter(|alert| alert.severity == Severity::Critical).collect();
    let [weaker] = critical.as_slice() else { panic!("{critical:?}") };
    assert!(weaker.what.contains("`freshness.backup_minutes` from 90 to 120"), "{}", weaker.what);
}
