//! What is wrong is told once, whoever sees it and how often, and once more when it is over.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use jiff::SignedDuration;
use lifeboat_bench::RecordingOutbox;
use lifeboat_bench::{Fault, FaultyStore, Refusal, Rule, Script};
use lifeboat_engine::{
    Adopted, BackupRequest, HealthRequest, adopt_policy, check_health, look_at_health, policy_in_force,
};
use lifeboat_model::{
    Alert, AlertKind, AlertState, Event, FindingKind, Incident, IncidentName, IncidentState, Outcome, Policy,
    PolicyDocument, PolicyVersions, Site, VerificationScope,
};
use lifeboat_notify::{Outbox, SignalError};
use lifeboat_vault::{Incidents, ObjectStore, Sites};

use crate::bench::{Bench, Process, database};
use crate::stores::BOTH;

const TABLE: &str = "CREATE TABLE t AS SELECT i FROM generate_series(1, 100) i";

pub fn told(process: &Process) -> Vec<(AlertKind, AlertState)> {
    let alerts = process.outbox.alerts().into_iter().filter(|alert| alert.state != AlertState::Notice);
    alerts.map(|alert| (alert.kind, alert.state)).collect()
}

async fn incident(bench: &Bench, name: &str) -> Incident {
    Incidents::new(&bench.stores.sites()).get(&name.parse().unwrap()).await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_incident_that_this_version_cannot_read_holds_up_no_other_and_the_health_check_names_it() {
    let bench = Bench::with("unreadable", TABLE);
    bench.back_up().await;
    let key = "incidents/drill-failed/clinic.json";
    BOTH.iter().for_each(|site| bench.stores.of(*site).replace(key, r#"{"format":9,"revision":1}"#));
    let mut process = bench.process();
    process.run.policy = impatient();
    let refused = check_health(&process.again(), &health(), None).await.unwrap_err();
    assert!(refused.story().contains(key), "{}", refused.story());
    assert!(told(&process).contains(&(AlertKind::BackupOverdue, AlertState::Opened)), "{:?}", told(&process));
    // Those about to be sent again are sent, too.
    let again = bench.process();
    let (_, unreadable) = Incidents::new(&bench.stores.sites()).list().await.unwrap();
    assert_eq!((unreadable.len(), told(&again)), (1, vec![]));
    assert_eq!(lifeboat_engine::incidents(&again.run).await.unwrap().len(), 3);
}

/// A request for a database that is not there.
fn nowhere(bench: &Bench) -> BackupRequest {
    let url = bench.server.url("nothing_here");
    BackupRequest { source: lifeboat_postgres::ConnectionSettings::from_secret(&url).unwrap(), ..bench.request() }
}

pub fn health() -> HealthRequest {
    HealthRequest { databases: vec![database()], drills: true }
}

/// Policy in which nothing may be older than some seconds cannot be written; one in which all is overdue can be made.
fn impatient() -> Arc<Policy> {
    let mut policy = Policy::default();
    let at_once = SignedDuration::from_secs(-1);
    (policy.freshness.backup, policy.freshness.verification, policy.freshness.drill) = (at_once, at_once, at_once);
    Arc::new(policy)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_failures_of_one_kind_are_one_alert_one_incident_and_one_resolution() {
    let bench = Bench::with("twenty", TABLE);
    bench.back_up().await;
    let mut all = Vec::new();
    for _ in 0..20 {
        let process = bench.process();
        process.back_up(&nowhere(&bench)).await.unwrap_err();
        assert_eq!(process.said(), ["Backup Failed"], "each failure is an event");
        all.extend(told(&process));
    }
    assert_eq!(all, [(AlertKind::BackupFailed, AlertState::Opened)]);
    let open = incident(&bench, "backup-failed/clinic").await;
    assert_eq!((open.state, open.sightings, open.sent), (IncidentState::Open, 20, 1));
    assert!(open.what.contains("nothing_here"), "{open:?}");

    let process = bench.process();
    process.back_up(&bench.request()).await.unwrap();
    assert_eq!(told(&process), [(AlertKind::BackupFailed, AlertState::Resolved)]);
    let process = bench.process();
    process.back_up(&bench.request()).await.unwrap();
    assert_eq!(told(&process), []);
    assert_eq!(incident(&bench, "backup-failed/clinic").await.state, IncidentState::Resolved);

    // Each act is on record, with what became of the incident by it.
    let ledger = bench.stores.ledger().await;
    let changes: Vec<_> = ledger.iter().map(|entry| entry.detail.get("incident").map(String::as_str)).collect();
    let again = Some("seen again backup-failed/clinic");
    let mut expected = vec![None, Some("opened backup-failed/clinic")];
    expected.extend([again; 19]);
    expected.extend([Some("resolved backup-failed/clinic"), None]);
    assert_eq!(changes, expected);

    // And it may begin anew.
    let process = bench.process();
    process.back_up(&nowhere(&bench)).await.unwrap_err();
    assert_eq!(told(&process), [(AlertKind::BackupFailed, AlertState::Opened)]);
    assert_eq!(incident(&bench, "backup-failed/clinic").await.sightings, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_runs_that_see_the_same_at_once_tell_it_once_and_so_do_eight_that_see_it_over() {
    let bench = Bench::with("eight", TABLE);
    bench.back_up().await;
    for (policy, state) in [(impatient(), AlertState::Opened), (Arc::default(), AlertState::Resolved)] {
        let looks = (0..8).map(|_| async {
            let mut process = bench.process();
            process.run.policy = policy.clone();
            check_health(&process.again(), &health(), None).await.unwrap();
            told(&process)
        });
        let mut counted: BTreeMap<AlertKind, usize> = BTreeMap::new();
        for (kind, seen) in join_all(looks).await.into_iter().flatten() {
            assert_eq!(seen, state, "{kind}");
            *counted.entry(kind).or_default() += 1;
        }
        let once =
            [AlertKind::BackupOverdue, AlertKind::VerificationOverdue, AlertKind::DrillOverdue].map(|kind| (kind, 1));
        assert_eq!(counted, once.into(), "{state}");
    }
}

/// Takes events, and alerts only once it is told to.
pub struct NoTopic(pub Arc<RecordingOutbox>);

#[async_trait]
impl Outbox for NoTopic {
    async fn publish(&self, event: &Event) -> Result<(), SignalError> {
        self.0.publish(event).await
    }

    async fn alert(&self, alert: &Alert) -> Result<(), SignalError> {
        let source = std::io::Error::other("no topic").into();
        Err(SignalError::NotSent { signal: alert.kind.to_string(), service: "SNS", source })
    }

    async fn unheard(&self, _: Vec<Alert>) -> Result<Vec<Alert>, SignalError> {
        Ok(Vec::new())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_that_did_not_leave_is_owed_and_leaves_later_once() {
    let bench = Bench::with("owed", TABLE);
    bench.back_up().await;
    let mut process = bench.process();
    process.run.ports.outbox = Arc::new(NoTopic(process.outbox.clone()));
    process.back_up(&nowhere(&bench)).await.unwrap_err();
    let open = incident(&bench, "backup-failed/clinic").await;
    assert_eq!((open.sent, open.owed.map(|owed| owed.state)), (0, Some(AlertState::Opened)));
    // While the claim of the one that failed lasts, nobody else sends it; Lambda's repetition of the same run may.
    let other = bench.process();
    other.back_up(&nowhere(&bench)).await.unwrap_err();
    assert_eq!(told(&other), []);
    process.run.ports.outbox = process.outbox.clone();
    process.back_up(&nowhere(&bench)).await.unwrap_err();
    assert_eq!(told(&process), [(AlertKind::BackupFailed, AlertState::Opened)]);
    let last = bench.process();
    last.back_up(&nowhere(&bench)).await.unwrap_err();
    check_health(&last.again(), &health(), None).await.unwrap();
    assert_eq!(told(&last), []);
}

/// The primary, whose store is what is wrong.
fn with_primary(bench: &Bench, script: &Script) -> Sites {
    let primary: Arc<dyn ObjectStore> = Arc::new(FaultyStore::new(bench.stores.primary.clone(), script.clone()));
    let offsite: Arc<dyn ObjectStore> = Arc::new(bench.stores.offsite.clone());
    Sites::new(Some(primary), Some(offsite))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_primary_away_the_off_site_knows_what_was_told() {
    let bench = Bench::with("away", TABLE);
    bench.back_up().await;
    let script = Script::new();
    script.add(Rule::always(Fault::Reject(Refusal::Unavailable)));
    let mut all = Vec::new();
    for _ in 0..5 {
        let process = bench.process_on(with_primary(&bench, &script));
        process.back_up(&bench.request()).await.unwrap_err();
        all.extend(told(&process));
    }
    assert_eq!(all, [(AlertKind::BackupFailed, AlertState::Opened)]);
    assert!(bench.stores.primary.keys("incidents/").is_empty());
    let process = bench.process();
    process.back_up(&bench.request()).await.unwrap();
    assert_eq!(told(&process), [(AlertKind::BackupFailed, AlertState::Resolved)]);
    assert_eq!(bench.stores.primary.keys("incidents/"), bench.stores.offsite.keys("incidents/"));

    // With both away nobody knows, and better twice than never.
    let nothing = || {
        let store =
            || -> Arc<dyn ObjectStore> { Arc::new(FaultyStore::new(bench.stores.primary.clone(), script.clone())) };
        Sites::new(Some(store()), Some(store()))
    };
    for _ in 0..2 {
        let process = bench.process_on(nothing());
        process.back_up(&bench.request()).await.unwrap_err();
        assert_eq!(told(&process), [(AlertKind::BackupFailed, AlertState::Opened)]);
        assert!(process.outbox.alerts()[0].facts.iter().any(|(name, _)| name == "note"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sound_verification_of_something_else_does_not_resolve_damage() {
    let bench = Bench::with("scopes", TABLE);
    bench.back_up().await;
    let chunk = bench.stores.primary.keys("chunks/").into_iter().next().unwrap();
    BOTH.iter().for_each(|site| assert!(bench.stores.of(*site).flip_bit(&chunk, 60, 0)));
    let process = bench.process();
    assert!(!process.verify(VerificationScope::All).await.unwrap().is_sound());
    assert_eq!(told(&process), [(AlertKind::VerificationFinding, AlertState::Opened)]);
    let newer = bench.back_up().await;
    let process = bench.process();
    let scope = VerificationScope::Backup { backup_id: newer.backup_id };
    assert!(process.verify(scope).await.unwrap().is_sound());
    assert_eq!(told(&process), []);
    // The newer backup has stored anew what was damaged; that is seen by whoever reads everything.
    assert_eq!(incident(&bench, "verification-finding/clinic").await.state, IncidentState::Open);
    let process = bench.process();
    assert!(process.verify(VerificationScope::All).await.unwrap().is_sound());
    assert_eq!(told(&process), [(AlertKind::VerificationFinding, AlertState::Resolved)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_did_not_happen_and_a_key_that_does_not_open_are_told_and_on_record() {
    let bench = Bench::with("silent", TABLE);
    // Before the first backup nothing is overdue at once.
    let process = bench.process();
    let report = check_health(&process.again(), &health(), None).await.unwrap();
    assert!(report.is_well() && told(&process).is_empty(), "{report:?}");
    bench.back_up().await;
    // Whoever only looks tells nobody.
    let mut process = bench.process();
    process.run.policy = impatient();
    assert!(!look_at_health(&process.again(), &health()).await.is_well());
    assert_eq!((told(&process), Incidents::new(&bench.stores.sites()).list().await.unwrap().0), (vec![], vec![]));
    let process = bench.process();
    assert!(check_health(&process.again(), &health(), None).await.unwrap().is_well());

    let mut process = bench.process();
    process.run.policy = impatient();
    let report = check_health(&process.again(), &health(), None).await.unwrap();
    let wrong: Vec<String> =
        report.probes.iter().filter(|probe| probe.wrong.is_some()).map(|probe| probe.name.to_string()).collect();
    assert_eq!(wrong, ["backup-overdue/clinic", "verification-overdue/clinic", "drill-overdue/clinic"]);
    let process = bench.process();
    process.back_up(&bench.request()).await.unwrap();
    assert_eq!(told(&process), [], "another backup may have been deleted: the health check says so");

    let mut process = bench.process();
    process.run.ports.keys = crate::stores::keys_of(&[Site::Primary]);
    check_health(&process.again(), &health(), None).await.unwrap();
    assert_eq!(process.outbox.alerts()[0].incident, Some("key-unusable/repository".parse().unwrap()));
    let patient = [
        (AlertKind::KeyUnusable, AlertState::Opened),
        (AlertKind::BackupOverdue, AlertState::Resolved),
        (AlertKind::VerificationOverdue, AlertState::Resolved),
        (AlertKind::DrillOverdue, AlertState::Resolved),
    ];
    assert_eq!(told(&process), patient, "and the policy is patient again");

    let ledger = bench.stores.ledger().await;
    let recorded: Vec<(&str, Outcome)> = ledger
        .iter()
        .filter(|entry| entry.action == "health")
        .map(|entry| (entry.subject.as_str(), entry.outcome))
        .collect();
    assert!(recorded.contains(&("backup-overdue/clinic", Outcome::Failed)), "{recorded:?}");
    assert!(recorded.contains(&("key-unusable/repository", Outcome::Failed)), "{recorded:?}");
}

fn document(text: &str, version: i64) -> PolicyDocument {
    let modified_at = jiff::Timestamp::from_second(1_700_000_000 + version).unwrap();
    let modified_by = Some("arn:aws:iam::111122223333:user/anna".to_owned());
    let reason = Some("hourly is enough".to_owned());
    PolicyDocument { text: text.to_owned(), version, modified_at, modified_by, reason }
}

fn versions(documents: &[&PolicyDocument]) -> PolicyVersions {
    let history: Vec<PolicyDocument> = documents.iter().map(|document| (*document).clone()).collect();
    PolicyVersions { in_place: history.last().unwrap().clone(), history: Some(history) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_is_on_record_in_the_name_of_who_changed_it_and_a_bad_one_takes_nothing_down() {
    let bench = Bench::with("policy", TABLE);
    let good = document("version = 1\n[freshness]\nbackup_minutes = 7\n", 2);
    // Before the first backup there is no trail; that keeps no policy from being in force.
    let process = bench.process();
    assert_eq!(adopt_policy(&process.again(), Ok(&versions(&[&good]))).await.unwrap(), Adopted::New);
    bench.back_up().await;
    assert_eq!(adopt_policy(&process.again(), Ok(&versions(&[&good]))).await.unwrap(), Adopted::Unchanged);
    // A late look at an older version changes nothing.
    assert_eq!(
        adopt_policy(&process.again(), Ok(&versions(&[&document("version = 1\n", 1)]))).await.unwrap(),
        Adopted::Unchanged
    );

    let bad = document("version = 1\n[freshnes]\nbackup_minutes = 7\n", 3);
    let mut all = Vec::new();
    for _ in 0..3 {
        let process = bench.process();
        let Adopted::Refused(faults) = adopt_policy(&process.again(), Ok(&versions(&[&good, &bad]))).await.unwrap()
        else {
            panic!()
        };
        assert_eq!(faults[0].line, 2);
        all.extend(process.outbox.alerts());
    }
    let [alert] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!((alert.kind, alert.state), (AlertKind::PolicyRefused, AlertState::Opened));
    assert!(alert.what.contains("version 3 of the policy is refused: line 2: `freshnes` is unknown"), "{}", alert.what);
    let in_force = policy_in_force(&bench.stores.sites(), Some(&bad)).await;
    assert_eq!(in_force.freshness.backup, SignedDuration::from_mins(7));
    assert_eq!(policy_in_force(&bench.stores.sites(), None).await, in_force);

    let process = bench.process();
    // Of several changes between two looks, each is on record and the last counts.
    let between = document("version = 2\n", 4);
    let corrected = document("version = 1\n[freshness]\nbackup_minutes = 8\n", 5);
    let all = versions(&[&good, &bad, &between, &corrected]);
    // What cannot be had is no reason to wait for a policy; it goes on record when it can be had.
    let alone = PolicyVersions { history: None, ..all.clone() };
    assert_eq!(adopt_policy(&process.again(), Ok(&alone)).await.unwrap(), Adopted::New);
    assert_eq!(adopt_policy(&bench.process().again(), Ok(&all)).await.unwrap(), Adopted::Unchanged);
    assert_eq!(adopt_policy(&bench.process().again(), Ok(&all)).await.unwrap(), Adopted::Unchanged);
    assert_eq!(told(&process), [(AlertKind::PolicyRefused, AlertState::Resolved)]);

    let ledger = bench.stores.ledger().await;
    let acts: Vec<(&str, &str, Outcome)> = ledger
        .iter()
        .filter(|entry| entry.action == "policy")
        .map(|entry| (entry.actor.as_str(), entry.subject.as_str(), entry.outcome))
        .collect();
    let hashes = |name: &str| -> Vec<String> {
        ledger.iter().filter(|entry| entry.action == "policy").map(|entry| entry.detail[name].clone()).collect()
    };
    let [first, second] = [&hashes("sha256")[0], &hashes("sha256")[3]];
    assert_eq!(hashes("before_sha256"), ["none", first, first, first]);
    assert_ne!(first, second);
    let anna = "arn:aws:iam::111122223333:user/anna";
    assert_eq!(
        acts,
        [
            (anna, "policy version 2", Outcome::Completed),
            (anna, "policy version 3", Outcome::Failed),
            (anna, "policy version 4", Outcome::Failed),
            (anna, "policy version 5", Outcome::Completed),
        ]
    );
}

/// A claim outlives no sender for ever, and a reminder comes when its time has come.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_takes_up_is_told_again_and_what_somebody_did_is_not() {
    let bench = Bench::with("reminded", TABLE);
    bench.back_up().await;
    bench.process().back_up(&nowhere(&bench)).await.unwrap_err();
    let mut process = bench.process();
    let mut policy = Policy::default();
    policy.alerts.repeat = SignedDuration::from_millis(1);
    process.run.policy = Arc::new(policy);
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(check_health(&process.again(), &health(), None).await.unwrap().sent, 1);
    assert_eq!(told(&process), [(AlertKind::BackupFailed, AlertState::Reminder)]);
    let name: IncidentName = "backup-failed/clinic".parse().unwrap();
    lifeboat_engine::acknowledge(&process.again(), &name, &[]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(check_health(&process.again(), &health(), None).await.unwrap().sent, 0);
    let taken = incident(&bench, "backup-failed/clinic").await;
    assert_eq!((taken.state, taken.acknowledged.unwrap().by.as_str()), (IncidentState::Acknowledged, "schedule"));
    assert_eq!(bench.stores.ledger().await.last().unwrap().action, "acknowledge");
    // An acknowledgement ends, also when the problem is not seen again.
    let mut process = bench.process();
    let mut policy = Policy::default();
    policy.alerts.acknowledged = SignedDuration::from_millis(1);
    process.run.policy = Arc::new(policy);
    assert_eq!(check_health(&process.again(), &health(), None).await.unwrap().sent, 1);
    assert_eq!(told(&process), [(AlertKind::BackupFailed, AlertState::Opened)]);
    assert_eq!(incident(&bench, "backup-failed/clinic").await.state, IncidentState::Open);
    lifeboat_engine::acknowledge(&process.again(), &"drill-failed/clinic".parse().unwrap(), &[]).await.unwrap_err();
}

/// The look sends what is owed, and takes a policy into force, in the name of one run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_that_refuses_a_policy_again_tells_it_once() {
    let bench = Bench::with("refused-again", TABLE);
    bench.back_up().await;
    let [good, bad] = [document("version = 1\n", 1), document("version = 2\n", 2)];
    adopt_policy(&bench.process().again(), Ok(&versions(&[&good, &bad]))).await.unwrap();
    let again = document("version = 1\n", 3);
    adopt_policy(&bench.process().again(), Ok(&versions(&[&good, &bad, &again]))).await.unwrap();
    let worse = document("version = 3\n", 4);
    let process = bench.process();
    let policy = versions(&[&good, &bad, &again, &worse]);
    check_health(&process.again(), &health(), Some(Ok(&policy))).await.unwrap();
    check_health(&process.again(), &health(), Some(Ok(&policy))).await.unwrap();
    assert_eq!(told(&process), [(AlertKind::PolicyRefused, AlertState::Opened)]);
    assert_eq!(incident(&bench, "policy-refused/repository").await.sent, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_taken_out_of_the_settings_is_wrong_no_more() {
    let bench = Bench::with("taken-out", TABLE);
    bench.back_up().await;
    bench.process().back_up(&nowhere(&bench)).await.unwrap_err();
    let process = bench.process();
    check_health(&process.again(), &health(), None).await.unwrap();
    assert_eq!(told(&process), [], "it is there, and wrong");
    let other = HealthRequest { databases: vec!["billing".parse().unwrap()], drills: true };
    check_health(&process.again(), &other, None).await.unwrap();
    assert_eq!(told(&process), [(AlertKind::BackupFailed, AlertState::Resolved)]);
}

/// Objects that did not answer are no damage, and stay due: whoever reads others says nothing of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_that_did_not_answer_are_told_until_they_were_read() {
    let bench = Bench::with("unanswered", TABLE);
    let backup_id = bench.back_up().await.backup_id;
    let script = Script::new();
    script.add(Rule::always(Fault::Reject(Refusal::Unavailable)).under("chunks/"));
    let process = bench.process_on(bench.stores.behind(&Script::new(), &script));
    let report = process.verify(VerificationScope::Rotation { day: 0, days: 1 }).await.unwrap();
    assert!(report.damage().all(|finding| finding.kind == FindingKind::Unanswered) && !report.is_sound(), "{report:?}");
    assert_eq!(told(&process), [(AlertKind::VerificationFinding, AlertState::Opened)]);
    let open = incident(&bench, "verification-finding/clinic").await;
    assert!(
        open.what.contains("could not be read") && open.hint.starts_with("check why the site did not answer"),
        "{open:?}"
    );
    assert!(open.objects.is_empty() && !report.is_complete(), "nobody can accept what was not judged: {open:?}");
    let process = bench.process();
    assert!(process.verify(VerificationScope::Backup { backup_id: backup_id.clone() }).await.unwrap().is_sound());
    assert_eq!(told(&process), []);
    assert!(process.verify(VerificationScope::Rotation { day: 0, days: 1 }).await.unwrap().is_sound());
    assert_eq!(told(&process), [(AlertKind::VerificationFinding, AlertState::Resolved)]);

    // The verification of one backup is not repeated. The rotation reads what did not answer.
    let process = bench.process_on(bench.stores.behind(&Script::new(), &script));
    process.verify(VerificationScope::Backup { backup_id }).await.unwrap();
    assert_eq!(told(&process), [(AlertKind::VerificationFinding, AlertState::Opened)]);
    let process = bench.process();
    assert!(process.verify(VerificationScope::Rotation { day: 0, days: 1 }).await.unwrap().is_sound());
    assert_eq!(told(&process), [(AlertKind::VerificationFinding, AlertState::Resolved)]);
}

/// On the worst day there may be no topic any more: what was restored is restored, and whoever restored it sees so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_s_drill_that_nobody_else_can_be_told_of_is_no_failure() {
    let bench = Bench::with("worst-day", TABLE);
    bench.back_up().await;
    let mut process = bench.process();
    process.run.ports.outbox = Arc::new(NoTopic(process.outbox.clone()));
    let request = bench.drill_request(Site::Offsite);
    assert!(process.drill(&request).await.unwrap_err().story().contains("no topic"), "the platform repeats it");
    process.run.must_notify = false;
    assert!(process.drill(&request).await.unwrap().equal);
}
