//! Scratch databases of drills: dropped in any case, named while they are not, and never made on the server of a source.

use std::time::Duration;

use lifeboat_bench::{Fault, Gate, Operation, Refusal, Rule, Script};
use lifeboat_engine::{
    BackupRequest, Deadline, DrillRequest, EngineError, HealthRequest, check_health, clean_scratch,
    clean_scratch_on_request, forget_scratch, incidents,
};
use lifeboat_local::{PostgresOptions, PostgresServer};
use lifeboat_model::{Act, AlertKind, AlertState, Event, Fact, Incident, Outcome, Severity, Site};
use lifeboat_postgres::ConnectionSettings;

use crate::bench::{Bench, Process, database};
use crate::wrapped_tools::{Moment, tools_that_cannot_read, tools_with};

const TABLE: &str = "CREATE TABLE patient AS SELECT i, md5(i::text) AS name FROM generate_series(1, 200) i";

/// A server drops no template, whoever asks.
const KEEP: &str = "UPDATE pg_catalog.pg_database SET datistemplate = true WHERE datname = current_database()";
const RELEASE: &str = "UPDATE pg_catalog.pg_database SET datistemplate = false WHERE datname ~ '^lifeboat_drill'";

fn health() -> HealthRequest {
    HealthRequest { databases: vec![database()], drills: true }
}

async fn leftover_incident(bench: &Bench) -> Option<Incident> {
    let all = incidents(&bench.process().again()).await.unwrap();
    all.into_iter().find(|incident| incident.name.kind == AlertKind::DrillLeftover)
}

/// A drill that stops in the middle of its restore, until the gate opens.
fn held(bench: &Bench) -> (Process, Gate) {
    let (script, gate) = (Script::new(), Gate::new());
    script.add(Rule::always(Fault::Hold(gate.clone())).on(Operation::Get).under("chunks/"));
    (bench.process_on(bench.stores.behind(&script, &script)), gate)
}

/// A drill that is killed while its database exists. Returns the database.
async fn killed_drill(bench: &Bench) -> String {
    let (process, gate) = held(bench);
    let (run, request) = (process.again(), bench.drill_request(Site::Primary));
    let story = tokio::spawn(async move { lifeboat_engine::drill(&run, &request).await.map(drop) });
    gate.arrival().await;
    story.abort();
    assert!(story.await.is_err_and(|error| error.is_cancelled()));
    let [left] = <[String; 1]>::try_from(bench.scratch_databases()).unwrap();
    left
}

/// The server notices in its own time that the sessions of a killed drill are gone.
async fn wait_for_the_claim(bench: &Bench, name: &str) {
    let sql = format!(
        "SELECT pg_advisory_lock(hashtextextended('lifeboat scratch {name}', 0)),
                pg_advisory_unlock(hashtextextended('lifeboat scratch {name}', 0))"
    );
    bench.scratch().psql("postgres", &sql).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drill_whose_time_is_up_has_kept_enough_of_it_to_drop_its_database() {
    let bench = Bench::with("time-up", TABLE);
    bench.back_up().await;
    let (mut process, _gate) = held(&bench);
    process.run.deadline = Deadline::after(Duration::from_secs(20));
    let error = process.drill(&bench.drill_request(Site::Primary)).await.unwrap_err();
    // A quarter is kept for dropping it, and a quarter of the rest for the last words.
    assert!(matches!(error, EngineError::OutOfTime { seconds: ..=12 }), "{error:?}");
    assert_eq!(bench.scratch_databases(), Vec::<String>::new());
    assert_eq!(bench.stores.scratch_on_record(), Vec::<String>::new());
    assert_eq!((process.said(), process.alerted()), (vec!["Restore Test Failed"], vec![Severity::Critical]));
    let Event::RestoreTestFailed { leftover: None, .. } = &process.outbox.events()[0] else {
        panic!("nothing is left")
    };
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_cannot_be_dropped_is_named_everywhere_until_a_cleanup_has_dropped_it() {
    let bench = Bench::with_own_scratch("undroppable", TABLE);
    bench.back_up().await;
    let tools = tools_with(&bench, Moment::Whole, KEEP);
    let mut process = bench.process();
    process.run.ports.tools_dir = Some(tools.path().to_owned());
    let report = process.drill(&bench.drill_request(Site::Primary)).await.unwrap();
    let [name] = <[String; 1]>::try_from(bench.scratch_databases()).unwrap();
    let place = format!("`{name}` on `127.0.0.1:{}`", bench.scratch().port());

    assert!(report.equal && report.notes.iter().any(|note| note.contains(&place)), "{:?}", report.notes);
    let [Event::RestoreTestCompleted { leftover: Some(leftover), .. }] =
        <[Event; 1]>::try_from(process.outbox.events()).unwrap()
    else {
        panic!("the event names it")
    };
    assert_eq!(leftover, place);
    let alerts = process.outbox.alerts();
    let kinds: Vec<_> = alerts.iter().map(|alert| (alert.kind, alert.state, alert.severity)).collect();
    assert_eq!(
        kinds,
        [
            (AlertKind::DrillCompleted, AlertState::Notice, Severity::Warning),
            (AlertKind::DrillLeftover, AlertState::Opened, Severity::Critical),
        ]
    );
    assert!(alerts.iter().all(|alert| alert.what.contains(&place)), "{alerts:?}");
    let ledger = bench.stores.ledger().await;
    assert_eq!(Fact::Leftover.read::<String>(&ledger.last().unwrap().detail), Some(place.clone()));
    assert!(!serde_json::to_string(&ledger).unwrap().contains("postgres://"));

    // A failed drill names it, too; and the next one is not kept from its work by what is left.
    let failing = tools_that_cannot_read(&bench);
    process.run.ports.tools_dir = Some(failing.path().to_owned());
    process.drill(&bench.drill_request(Site::Primary)).await.unwrap_err();
    assert!(bench.drill(Site::Offsite).await.equal);
    assert_eq!(bench.scratch_databases(), [name.as_str()]);

    // The health check asks for a cleanup each time, and says why the last one failed. It alerts no second time.
    let process = bench.process();
    check_health(&process.again(), &health(), None).await.unwrap();
    assert_eq!((process.said(), process.alerted()), (vec!["Scratch Cleanup Requested"], vec![]));
    let report = clean_scratch(&process.again(), Ok(bench.scratch_settings())).await.unwrap();
    assert_eq!((report.dropped.len(), report.left.len()), (0, 1));
    let open = leftover_incident(&bench).await.unwrap();
    assert!(open.is_open() && open.what.contains(&place) && open.what.contains("template"), "{}", open.what);

    bench.scratch().psql("postgres", RELEASE).unwrap();
    let process = bench.process();
    let report = clean_scratch(&process.again(), Ok(bench.scratch_settings())).await.unwrap();
    assert_eq!((report.dropped, report.left), (vec![name.clone()], vec![]));
    assert_eq!(bench.scratch_databases(), Vec::<String>::new());
    assert!(!leftover_incident(&bench).await.unwrap().is_open());
    let last = bench.stores.ledger().await.pop().unwrap();
    assert_eq!((last.act(), last.outcome), (Some(Act::Clean), Outcome::Completed));
    assert_eq!(Fact::Dropped.read::<String>(&last.detail), Some(name));
    let entries = bench.stores.ledger().await.len();
    clean_scratch(&process.again(), Ok(bench.scratch_settings())).await.unwrap();
    assert_eq!(bench.stores.ledger().await.len(), entries, "a cleanup that finds nothing is no act");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_drill_left_is_reported_by_the_health_check_and_dropped_at_its_request() {
    let bench = Bench::with_own_scratch("killed-early", TABLE);
    bench.back_up().await;
    let left = killed_drill(&bench).await;
    assert_eq!(bench.stores.scratch_on_record(), [left.as_str()], "it was on record before it existed");

    // As far as the health check can know, that drill is at work.
    let process = bench.process();
    check_health(&process.again(), &health(), None).await.unwrap();
    assert_eq!((process.said(), process.alerted()), (vec![], vec![]));
    bench.stores.let_scratch_expire();
    check_health(&process.again(), &health(), None).await.unwrap();
    assert_eq!((process.said(), process.alerted()), (vec!["Scratch Cleanup Requested"], vec![Severity::Critical]));
    let alert = process.outbox.alerts().remove(0);
    let place = format!("`{left}` on `127.0.0.1:{}` of clinic", bench.scratch().port());
    assert!(alert.kind == AlertKind::DrillLeftover && alert.what.contains(&place), "{}", alert.what);

    // Without a scratch server in the stack, nobody could answer the request.
    let mut elsewhere = health();
    elsewhere.drills = false;
    check_health(&process.again(), &elsewhere, None).await.unwrap();
    assert_eq!(process.said(), ["Scratch Cleanup Requested"]);

    wait_for_the_claim(&bench, &left).await;
    let report = clean_scratch(&process.again(), Ok(bench.scratch_settings())).await.unwrap();
    assert_eq!((report.dropped, report.left), (vec![left], vec![]));
    assert_eq!(bench.scratch_databases(), Vec::<String>::new());
    assert_eq!(process.outbox.alerts().pop().unwrap().state, AlertState::Resolved);
    check_health(&process.again(), &health(), None).await.unwrap();
    assert_eq!(process.said(), ["Scratch Cleanup Requested"], "nothing is left to ask for");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cleanup_leaves_a_running_drill_its_database_and_its_entry() {
    let bench = Bench::with_own_scratch("running", TABLE);
    bench.back_up().await;
    let (process, gate) = held(&bench);
    let (run, request) = (process.again(), bench.drill_request(Site::Primary));
    let story = tokio::spawn(async move { lifeboat_engine::drill(&run, &request).await });
    gate.arrival().await;
    let report = clean_scratch(&bench.process().again(), Ok(bench.scratch_settings())).await.unwrap();
    assert_eq!((report.dropped, report.gone, report.left.len()), (vec![], vec![], 1));
    let name = report.left[0].name.clone();
    assert_eq!(bench.stores.scratch_on_record(), [name.as_str()]);
    let error = forget_scratch(&bench.process().again(), &name).await.unwrap_err();
    assert!(matches!(error, EngineError::ScratchInUse { .. }), "{error:?}");
    gate.open();
    assert!(story.await.unwrap().unwrap().equal);
    assert_eq!(bench.stores.scratch_on_record(), Vec::<String>::new());
    assert_eq!(leftover_incident(&bench).await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_no_longer_exists_is_taken_off_the_record_by_a_person_and_by_nobody_else() {
    let bench = Bench::with_own_scratch("no-server", TABLE);
    bench.back_up().await;
    let left = killed_drill(&bench).await;
    bench.stores.let_scratch_expire();
    // Another server, under another address: that it does not have the database says nothing.
    let report = clean_scratch(&bench.process().again(), Ok(bench.settings("postgres"))).await.unwrap();
    assert_eq!((report.dropped, report.gone, report.left.len()), (vec![], vec![], 1));
    let nowhere = ConnectionSettings::from_secret("postgres://u:p@127.0.0.1:1/postgres?sslmode=disable").unwrap();
    clean_scratch(&bench.process().again(), Ok(nowhere)).await.unwrap_err();
    let secret = EngineError::NoAnswer { seconds: 7 };
    clean_scratch(&bench.process().again(), Err(secret)).await.unwrap_err();
    let open = leftover_incident(&bench).await.unwrap();
    assert!(open.is_open() && open.what.contains("no answer within 7 s"), "{}", open.what);
    // A health check repeats its request, so a reason that is on record is not one more failure each time.
    let secret = EngineError::NoAnswer { seconds: 8 };
    let report = clean_scratch_on_request(&bench.process().again(), Err(secret)).await.unwrap();
    assert_eq!(report.left[0].fault.as_deref(), Some("there was no answer within 8 s"));
    // The server of the settings may be the recorded one under another address.
    let nowhere = || ConnectionSettings::from_secret("postgres://u:p@127.0.0.1:1/postgres?sslmode=disable").unwrap();
    let report = clean_scratch_on_request(&bench.process().again(), Ok(nowhere())).await.unwrap();
    assert!(report.left[0].fault.as_deref().unwrap().contains("127.0.0.1:1/"), "{:?}", report.left);

    // A clone has the identifier of the server that it was made from, and not its databases.
    let clone = PostgresServer::start(PostgresOptions::named("clone").for_drills()).unwrap();
    let settings = ConnectionSettings::from_secret(&clone.url("postgres")).unwrap();
    let identifier = "SELECT system_identifier FROM pg_control_system()";
    let ours = bench.scratch().psql("postgres", identifier).unwrap();
    assert_eq!(clone.psql("postgres", identifier).unwrap(), ours);
    let report = clean_scratch(&bench.process().again(), Ok(settings)).await.unwrap();
    assert_eq!((report.gone, report.left.len()), (vec![], 1));

    let unknown = forget_scratch(&bench.process().again(), "lifeboat_drill_00000000").await.unwrap_err();
    assert!(matches!(unknown, EngineError::NoScratch { .. }), "{unknown:?}");
    // Nobody forgets without a trace.
    let script = Script::new();
    script.add(Rule::always(Fault::Reject(Refusal::Denied)).on(Operation::Put).under("ledger/"));
    let mute = bench.process_on(bench.stores.behind(&script, &script));
    forget_scratch(&mute.again(), &left).await.unwrap_err();
    assert_eq!(bench.stores.scratch_on_record(), [left.as_str()]);
    let report = forget_scratch(&bench.process().again(), &left).await.unwrap();
    assert_eq!((report.gone, report.left), (vec![left.clone()], vec![]));
    clean_scratch_on_request(&bench.process().again(), Ok(nowhere())).await.expect_err("nothing is left");
    assert!(!leftover_incident(&bench).await.unwrap().is_open());
    let last = bench.stores.ledger().await.pop().unwrap();
    assert_eq!((last.act(), Fact::Gone.read(&last.detail)), (Some(Act::Clean), Some(left)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_was_found_and_dropped_is_off_the_record_wherever_it_was_thought_to_be() {
    let bench = Bench::with_own_scratch("moved", TABLE);
    bench.back_up().await;
    let left = killed_drill(&bench).await;
    bench.stores.let_scratch_expire();
    bench.stores.change_scratch(|entry| {
        entry.server = "before.example.com:5432".to_owned();
        entry.system_identifier = None;
    });
    wait_for_the_claim(&bench, &left).await;
    let report = clean_scratch(&bench.process().again(), Ok(bench.scratch_settings())).await.unwrap();
    assert_eq!((report.dropped, report.left), (vec![left], vec![]));
    assert_eq!(bench.stores.scratch_on_record(), Vec::<String>::new());
}

/// The recorded server still has the database, and a snapshot of it was restored as the server of the settings.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_was_dropped_on_a_clone_takes_the_original_off_no_record() {
    let bench = Bench::with_own_scratch("copied", TABLE);
    bench.back_up().await;
    let left = killed_drill(&bench).await;
    bench.stores.let_scratch_expire();
    bench.stores.change_scratch(|entry| {
        entry.server = "original.example.com:5432".to_owned();
        entry.server_started_at = Some(jiff::Timestamp::UNIX_EPOCH);
    });
    wait_for_the_claim(&bench, &left).await;
    let report = clean_scratch(&bench.process().again(), Ok(bench.scratch_settings())).await.unwrap();
    assert_eq!((report.dropped, report.left.len()), (vec![left.clone()], 1));
    assert_eq!(bench.stores.scratch_on_record(), [left.as_str()]);
    let open = leftover_incident(&bench).await.unwrap();
    assert!(open.is_open() && open.what.contains("may be a copy of its server"), "{}", open.what);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clone_is_a_scratch_server_only_where_a_person_states_that_it_is_one() {
    let bench = Bench::with("image", TABLE);
    bench.back_up().await;
    // The start is compared by the second.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let clone = PostgresServer::start("clone").unwrap();
    let on = |server: &PostgresServer| {
        let scratch = ConnectionSettings::from_secret(&server.url("postgres")).unwrap();
        DrillRequest { scratch, ..bench.drill_request(Site::Primary) }
    };
    let mut process = bench.process();
    let error = process.drill(&on(&clone)).await.unwrap_err();
    assert!(matches!(error, EngineError::ScratchIsSource { is_certain: false, .. }), "{error:?}");
    assert!(error.hint().contains("`ScratchIsAClone`"), "{}", error.hint());

    process.run.ports.scratch_is_a_clone = true;
    // It might be the source, which has restarted since the backup.
    let error = process.drill(&on(&clone)).await.unwrap_err();
    assert!(matches!(error, EngineError::ScratchMayBeSource { .. }), "{error:?}");
    tokio::time::sleep(Duration::from_millis(1100)).await;
    bench.back_up().await;
    let report = process.drill(&on(&clone)).await.unwrap();
    let is_stated = |note: &String| note.contains("LIFEBOAT_SCRATCH_IS_A_CLONE") && note.contains("`clinic`");
    assert!(report.equal && report.notes.iter().any(is_stated), "{:?}", report.notes);
    // The source itself started when its newest backup says.
    let error = process.drill(&on(&bench.server)).await.unwrap_err();
    assert!(matches!(error, EngineError::ScratchIsSource { is_certain: true, .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_of_a_database_that_is_backed_up_is_no_scratch_server() {
    let bench = Bench::with("source", TABLE);
    bench.back_up().await;
    let drills_on =
        |server: &Bench| DrillRequest { scratch: server.settings("postgres"), ..bench.drill_request(Site::Primary) };
    let process = bench.process();
    let error = process.drill(&drills_on(&bench)).await.unwrap_err();
    let EngineError::ScratchIsSource { server, database: source, is_certain: true } = &error else {
        panic!("{error:?}")
    };
    assert_eq!((server, source), (&format!("127.0.0.1:{}", bench.server.port()), &database()));
    assert!(error.hint().contains("ScratchSecretArn"), "{}", error.hint());
    assert_eq!(process.said(), ["Restore Test Failed"]);
    let names = "SELECT count(*) FROM pg_database WHERE starts_with(datname, 'lifeboat')";
    assert_eq!(bench.server.psql("postgres", names).unwrap(), "0");
    assert_eq!(bench.stores.scratch_on_record(), Vec::<String>::new());

    // Another database's server is no scratch server either, also for a backup that came from elsewhere.
    let mut request = bench.request();
    request.database = "billing".parse().unwrap();
    request.source = bench.scratch_settings();
    bench.process().back_up(&request).await.unwrap();
    let error = bench.process().drill(&bench.drill_request(Site::Primary)).await.unwrap_err();
    assert!(
        matches!(&error, EngineError::ScratchIsSource { database, .. } if database.as_str() == "billing"),
        "{error:?}"
    );

    // A database that a person names, and that is empty, may be there.
    assert!(bench.restore(Site::Primary, bench.empty_database("kept")).await.equal);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_whose_identity_a_role_may_not_read_is_used_and_the_report_says_so() {
    let bench =
        Bench::with_own_scratch("unknown", &format!("CREATE ROLE app; {TABLE}; ALTER TABLE patient OWNER TO app"));
    bench.back_up().await;
    let plain = "CREATE ROLE plain LOGIN CREATEDB CREATEROLE PASSWORD 'plain'";
    bench.scratch().psql("postgres", plain).unwrap();
    let drill = || async {
        let url = bench.scratch().url_as("plain", "plain", "postgres");
        let scratch = ConnectionSettings::from_secret(&url).unwrap();
        let request = DrillRequest { scratch, ..bench.drill_request(Site::Primary) };
        bench.process().drill(&request).await.unwrap()
    };
    let is_noted = |note: &String| note.contains("could not be checked");
    let report = drill().await;
    assert!(
        report.equal && !report.notes.iter().any(is_noted),
        "a plain role may read it: {:?} {:?}",
        report.findings,
        report.notes
    );
    // The function's rights belong to each database.
    bench.scratch().psql("postgres", "REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC").unwrap();
    let report = drill().await;
    assert!(report.equal && report.notes.iter().any(is_noted), "{:?}", report.notes);

    // The identity of another database's server may be unknown, and that of this one not.
    bench.scratch().psql("postgres", "GRANT EXECUTE ON FUNCTION pg_control_system() TO PUBLIC").unwrap();
    bench.sql(
        "CREATE ROLE humble LOGIN PASSWORD 'humble'; GRANT pg_read_all_data TO humble;
         REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC",
    );
    let request = BackupRequest { database: "billing".parse().unwrap(), ..bench.request_as("humble", "humble") };
    bench.process().back_up(&request).await.unwrap();
    let report = drill().await;
    let named = |note: &String| is_noted(note) && note.contains("`billing`") && !note.contains("`clinic`");
    assert!(report.equal && report.notes.iter().any(named), "{:?}", report.notes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drill_drops_the_roles_that_it_created_and_no_other_and_a_kept_database_takes_them_over() {
    let source = format!(
        "CREATE ROLE app CONNECTION LIMIT 7; CREATE ROLE auditor; {TABLE}; ALTER TABLE patient OWNER TO app; GRANT SELECT ON patient TO auditor"
    );
    let bench = Bench::with_own_scratch("roles", &source);
    bench.back_up().await;
    let roles = || {
        let names =
            "SELECT string_agg(rolname, ' ' ORDER BY rolname) FROM pg_roles WHERE rolname IN ('app', 'auditor')";
        bench.scratch().psql("postgres", names).unwrap()
    };
    bench.scratch().psql("postgres", "CREATE ROLE auditor").unwrap();
    assert!(bench.drill(Site::Primary).await.equal);
    assert_eq!(roles(), "auditor", "it was there before");

    // A drill that dies leaves the role. A kept database that needs it makes it a role like any other.
    leave_roles(&bench).await;
    assert_eq!(roles(), "app auditor");
    bench.scratch().psql("postgres", "CREATE DATABASE kept TEMPLATE template0").unwrap();
    assert!(bench.restore(Site::Primary, bench.scratch_settings().with_database("kept")).await.equal);
    let limit = "SELECT rolconnlimit FROM pg_roles WHERE rolname = 'app'";
    assert_eq!(bench.scratch().psql("postgres", limit).unwrap(), "7", "it has its attributes");
    assert!(bench.drill(Site::Primary).await.equal);
    assert_eq!(roles(), "app auditor");
}

/// A drill that leaves its roles, because its database cannot be dropped. The database is dropped by hand.
async fn leave_roles(bench: &Bench) {
    let tools = tools_with(bench, Moment::Whole, KEEP);
    let mut process = bench.process();
    process.run.ports.tools_dir = Some(tools.path().to_owned());
    process.drill(&bench.drill_request(Site::Primary)).await.unwrap();
    bench.scratch().psql("postgres", RELEASE).unwrap();
    let names = bench.scratch_databases();
    bench.scratch().psql("postgres", &format!("DROP DATABASE {}", names[0])).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scratch_database_that_cannot_be_recorded_is_not_created() {
    let bench = Bench::with("unrecorded", TABLE);
    bench.back_up().await;
    let script = Script::new();
    script.add(Rule::always(Fault::Reject(Refusal::Denied)).on(Operation::Put).under("state/scratch"));
    let process = bench.process_on(bench.stores.behind(&script, &script));
    let error = process.drill(&bench.drill_request(Site::Primary)).await.unwrap_err();
    assert!(matches!(error, EngineError::Vault(_)), "{error:?}");
    assert_eq!(bench.scratch_databases(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scratch_database_is_on_record_before_it_exists() {
    let bench = Bench::with("record-first", TABLE);
    bench.back_up().await;
    let (script, gate) = (Script::new(), Gate::new());
    script.add(Rule::always(Fault::Hold(gate.clone())).on(Operation::Put).under("state/scratch").only_nth(1));
    let (process, request) =
        (bench.process_on(bench.stores.behind(&script, &script)), bench.drill_request(Site::Primary));
    let drilling = tokio::spawn(async move { process.drill(&request).await.map(|report| report.equal) });
    gate.arrival().await;
    assert_eq!(bench.scratch_databases(), Vec::<String>::new());
    gate.open();
    assert!(drilling.await.unwrap().unwrap());
}
