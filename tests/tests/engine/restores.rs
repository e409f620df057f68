//! `restore`: the plan and what it finds, the approval, and what is on record afterwards.

use lifeboat_engine::{EngineError, RestoreRequest, plan_restore, restore};
use lifeboat_model::{
    Act, AlertKind, AlertState, Event, Fact, PlannedRestore, RestoreOutcome, Severity, Site, Stream, TargetState,
};
use lifeboat_postgres::ConnectionSettings;

use crate::bench::{Bench, Process, database};

const CLINIC: &str = "
    CREATE ROLE app; CREATE TABLE patient (id int PRIMARY KEY, name text); ALTER TABLE patient OWNER TO app;
    CREATE TABLE visit (patient int REFERENCES patient, at timestamptz CHECK (at > now() - interval '1 minute'));
    INSERT INTO patient SELECT i, 'p' || i FROM generate_series(1, 500) i;
    INSERT INTO visit SELECT i, now() FROM generate_series(1, 500) i";

async fn plan(process: &Process, request: &RestoreRequest) -> PlannedRestore {
    plan_restore(&process.again(), request).await.unwrap()
}

fn databases(bench: &Bench, name: &str) -> String {
    bench.server.psql("postgres", &format!("SELECT count(*) FROM pg_database WHERE datname = '{name}'")).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_changes_nothing_and_its_execution_creates_the_database_and_is_on_record() {
    let bench = Bench::with("restored", CLINIC);
    let backup = bench.back_up().await;
    let (mut process, request) = (bench.process(), bench.restore_request(Site::Primary, bench.settings("back")));
    process.run.act = Some(Act::Restore);
    let planned = plan(&process, &request).await;
    assert_eq!(
        (planned.target, planned.plan.rows, &planned.plan.backup_id),
        (TargetState::New, 1000, &backup.backup_id)
    );
    assert!(planned.findings.is_empty() && planned.estimate.seconds.total() > 0.0, "{planned:?}");
    assert_eq!(planned.hash, plan(&process, &request).await.hash, "the same plan has the same hash");
    assert_eq!((databases(&bench, "back"), process.said().len()), ("0".to_owned(), 0));

    let report = restore(&process.again(), &request, planned.hash).await.unwrap();
    assert_eq!(report.proved.outcome, Some(RestoreOutcome::Whole), "{:?}", report.proved.findings);
    assert_eq!(bench.server.psql("back", "SELECT count(*) FROM visit JOIN patient ON id = patient").unwrap(), "500");
    let events = process.outbox.events();
    let [Event::RestoreCompleted { target, restore_outcome, rows: 1000, .. }] = events.as_slice() else {
        panic!("{events:?}")
    };
    assert_eq!((target, restore_outcome), (&report.to.to_string(), &Some(RestoreOutcome::Whole)));
    let notice = process.outbox.alerts().into_iter().next().unwrap();
    assert_eq!(
        (notice.kind, notice.state, notice.severity),
        (AlertKind::RestoreCompleted, AlertState::Notice, Severity::Warning)
    );
    let entry = bench.stores.ledger().await.into_iter().next_back().unwrap();
    assert_eq!((entry.action.as_str(), entry.subject.as_str()), ("restore", backup.backup_id.as_str()));
    assert_eq!(Fact::Target.read::<String>(&entry.detail), Some(report.to.to_string()));
    assert_eq!(Fact::Plan.read::<String>(&entry.detail), Some(planned.hash.to_string()));
    let everything = serde_json::to_string(&(&report, &entry, &notice.what)).unwrap();
    assert!(!everything.contains(bench.server.password()), "no record holds a password");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_plan_that_was_approved_is_executed() {
    let bench = Bench::with("approved", CLINIC);
    bench.back_up().await;
    let process = bench.process();
    let request = bench.restore_request(Site::Primary, bench.settings("back"));
    let approved = plan(&process, &request).await;
    let elsewhere = bench.restore_request(Site::Primary, bench.settings("elsewhere"));
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    bench.back_up().await;
    for request in [&request, &elsewhere] {
        let refused = restore(&process.again(), request, approved.hash).await.unwrap_err();
        assert!(matches!(refused, EngineError::PlanChanged { .. }), "{refused:?}");
    }
    assert_eq!((databases(&bench, "back"), databases(&bench, "elsewhere")), ("0".to_owned(), "0".to_owned()));
    let named = RestoreRequest { backup: Some(approved.plan.backup_id.clone()), ..request };
    let report = restore(&process.again(), &named, approved.hash).await.unwrap();
    assert_eq!((report.proved.outcome, report.plan), (Some(RestoreOutcome::Whole), approved.hash));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_the_way_of_a_plan_is_said_with_the_command_and_the_target_stays_as_it_is() {
    let bench = Bench::with("in-the-way", CLINIC);
    bench.back_up().await;
    bench.server.psql("postgres", "CREATE ROLE humble LOGIN PASSWORD 'humble'").unwrap();
    bench.server.psql("postgres", "CREATE DATABASE taken TEMPLATE template0").unwrap();
    bench.server.psql("taken", "CREATE TABLE mine ()").unwrap();
    let humble = |name: &str| ConnectionSettings::from_secret(&bench.server.url_as("humble", "humble", name)).unwrap();
    for (to, what, hint) in [
        (bench.settings("taken"), "is not empty: it holds `public.mine`", "`taken_restored`"),
        (
            humble("none"),
            "does not exist, and role `humble` may not create databases",
            "CREATE DATABASE \"none\" OWNER \"humble\"",
        ),
    ] {
        let (process, request) = (bench.process(), bench.restore_request(Site::Offsite, to));
        let planned = plan(&process, &request).await;
        let obstacle = planned.obstacle().unwrap();
        assert!(obstacle.what.contains(what) && obstacle.hint.contains(hint), "{obstacle:?}");
        let refused = restore(&process.again(), &request, planned.hash).await.unwrap_err();
        assert!(
            matches!(&refused, EngineError::CannotRestore { what: said, .. } if said.contains(what)),
            "{refused:?}"
        );
        assert_eq!(process.said(), <[&str; 0]>::default(), "only who asked needs to know");
    }
    // What is merely different is said, and the restore begins.
    bench.server.psql("postgres", "CREATE DATABASE plain TEMPLATE template0 OWNER humble; ").unwrap();
    let elsewhere = lifeboat_local::PostgresServer::start("in-the-way-else").unwrap();
    elsewhere.psql("postgres", "CREATE ROLE humble LOGIN PASSWORD 'humble'").unwrap();
    elsewhere.psql("postgres", "CREATE DATABASE plain TEMPLATE template0 OWNER humble").unwrap();
    let to = ConnectionSettings::from_secret(&elsewhere.url_as("humble", "humble", "plain")).unwrap();
    let (process, request) = (bench.process(), bench.restore_request(Site::Primary, to));
    let planned = plan(&process, &request).await;
    assert_eq!((planned.target, planned.obstacle()), (TargetState::Empty, None));
    let [finding] = planned.findings.as_slice() else { panic!("{:?}", planned.findings) };
    assert!(
        finding.what.contains("may not create the role(s) `app`") && finding.hint.contains("CREATEROLE"),
        "{finding:?}"
    );
    let report = restore(&process.again(), &request, planned.hash).await.unwrap();
    assert_eq!(report.proved.outcome, Some(RestoreOutcome::RowsWhole));
    assert_eq!(elsewhere.psql("plain", "SELECT count(*) FROM patient").unwrap(), "500");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_that_breaks_opens_an_incident_and_the_next_good_one_resolves_it() {
    let bench = Bench::with("broken", CLINIC);
    let backup = bench.back_up().await;
    let mut process = bench.process();
    process.run.act = Some(Act::Restore);
    let request = bench.restore_request(Site::Primary, bench.empty_database("back"));
    let planned = plan(&process, &request).await;
    let entries = bench.stores.chunk_entries(&backup, Site::Primary).await;
    let row_chunk = entries.iter().find(|entry| matches!(entry.stream, Stream::Table(_))).unwrap();
    let lost = row_chunk.chunk.as_ref().unwrap().id.to_string();
    let key = bench.stores.primary.keys("chunks/").into_iter().find(|key| key.ends_with(&lost)).unwrap();
    bench.stores.primary.remove(&key);
    let failed = restore(&process.again(), &request, planned.hash).await.unwrap_err();
    assert!(matches!(failed, EngineError::Vault(_)) && failed.story().contains(&lost), "{failed:?}");
    let events = process.outbox.events();
    let [Event::RestoreFailed { database: name, backup_id: id, hint, .. }] = events.as_slice() else {
        panic!("{events:?}")
    };
    assert!(*name == database() && *id == backup.backup_id && hint.contains("/back` where it stopped"), "{hint}");
    let opened = process.outbox.alerts().into_iter().next().unwrap();
    assert_eq!(
        (opened.kind, opened.state, opened.severity),
        (AlertKind::RestoreFailed, AlertState::Opened, Severity::Critical)
    );

    // Without a site named, what the primary lacks comes from the off-site.
    let request = RestoreRequest { site: None, ..request };
    let report = process.restore(&request).await.unwrap();
    assert_eq!(report.proved.outcome, Some(RestoreOutcome::Whole));
    assert!(
        report.proved.notes.iter().any(|note| note.contains("from offsite") && note.contains(&lost)),
        "{:?}",
        report.proved.notes
    );
    let states: Vec<_> = process.outbox.alerts().into_iter().map(|alert| (alert.kind, alert.state)).collect();
    assert!(states.contains(&(AlertKind::RestoreFailed, AlertState::Resolved)), "{states:?}");
}
