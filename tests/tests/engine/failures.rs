//! Failures that a person must understand: one clear sentence, a hint, an event, an alert, an entry in the ledger.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use async_trait::async_trait;
use lifeboat_bench::RecordingOutbox;
use lifeboat_bench::{Fault, Gate, Operation, Refusal, Rule, Script};
use lifeboat_engine::{BackupRequest, EngineError, Requestable, request_each};
use lifeboat_model::{Alert, AlertKind, DatabaseName, Event, Outcome, Severity, Site, Verdict};
use lifeboat_notify::{Message, Outbox, SignalError};
use lifeboat_postgres::ConnectionSettings;
use lifeboat_seal::{DataKey, DataKeyError, DataKeys, EncryptedDataKey, EncryptionContext, GeneratedDataKey};

use crate::bench::{Bench, Process};
use crate::log;
use crate::sample::CLINIC;
use crate::stores::{BOTH, keys_of};

/// A key service whose key an administrator has disabled.
struct DisabledKey;

fn disabled() -> DataKeyError {
    DataKeyError::Disabled {
        key: "alias/lifeboat".to_owned(),
        source: Arc::new(std::io::Error::other("DisabledException")),
    }
}

#[async_trait]
impl DataKeys for DisabledKey {
    async fn generate(&self, _: &EncryptionContext) -> Result<GeneratedDataKey, DataKeyError> {
        Err(disabled())
    }

    async fn decrypt(&self, _: &EncryptionContext, _: &[EncryptedDataKey]) -> Result<DataKey, DataKeyError> {
        Err(disabled())
    }

    fn entry_of_each<'a>(&self, keys: &'a [EncryptedDataKey]) -> Vec<Option<&'a EncryptedDataKey>> {
        keys_of(&BOTH).entry_of_each(keys)
    }
}

/// Runs a backup that must fail, and holds what must be true of every failure. Returns its sentence and its hint.
async fn fails(bench: &Bench, process: &Process, request: &BackupRequest) -> (String, String) {
    bench.stores.forget_incidents();
    let before = (bench.stores.backups(Site::Primary).await, bench.stores.ledger().await.len());
    let result = process.back_up(request).await;
    let error: EngineError = result.unwrap_err();
    assert_eq!(process.said(), ["Backup Failed"], "{error:?}");
    assert_eq!(process.alerted(), [Severity::Critical], "{error:?}");
    let Event::BackupFailed { error: sentence, hint, .. } = process.outbox.events()[0].clone() else { panic!() };
    let alert = process.outbox.alerts()[0].clone();
    assert_eq!((&alert.what, alert.hint.as_ref()), (&sentence, Some(&hint)));
    let letter = Message::from(&alert).email;
    assert!(!letter.replace("...", "").contains(".."), "{letter}");
    for text in [&sentence, &hint] {
        assert!(!text.is_empty() && !text.contains('\n') && text.len() < 400, "{text}");
    }
    // Nobody has to wait for a dead lease, nothing is listed, and the failure is on record.
    if let Some(lease) = bench.stores.lease() {
        assert!(lease.released, "{sentence}");
    }
    for site in BOTH {
        assert_eq!(bench.stores.backups(site).await, before.0, "{sentence}");
    }
    let ledger = bench.stores.ledger().await;
    assert_eq!(ledger.len(), before.1 + 1, "{sentence}");
    let entry = ledger.last().unwrap();
    assert_eq!((entry.action.as_str(), entry.outcome, &entry.detail["error"]), ("backup", Outcome::Failed, &sentence));
    (sentence, hint)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_refuses_or_is_not_there_is_named_with_what_to_do() {
    let bench = Bench::with("refused", CLINIC);
    bench.back_up().await;
    let (sentence, hint) = fails(&bench, &bench.process(), &bench.request_as("postgres", "wrong")).await;
    assert!(sentence.contains("refused role `postgres`") && hint.contains("password"), "{sentence}; {hint}");

    let nowhere = ConnectionSettings::from_secret("postgres://a:b@127.0.0.1:1/clinic?sslmode=disable").unwrap();
    let request = BackupRequest { source: nowhere, ..bench.request() };
    let (sentence, hint) = fails(&bench, &bench.process(), &request).await;
    assert!(sentence.contains("no connection to `127.0.0.1:1/clinic`"), "{sentence}");
    assert!(hint.contains("host and port"), "{hint}");
    assert!(bench.process().back_up(&bench.request()).await.is_ok(), "the next good run is not held up");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_the_role_cannot_read_whole_fails_the_backup_and_is_named_never_left_out() {
    let bench = Bench::with("unreadable", CLINIC);
    bench.back_up().await;
    bench.sql(
        "CREATE ROLE reader LOGIN PASSWORD 'reader';
         GRANT USAGE ON SCHEMA clinic TO reader;
         GRANT SELECT ON ALL TABLES IN SCHEMA clinic TO reader;
         GRANT SELECT ON ALL SEQUENCES IN SCHEMA clinic TO reader;
         GRANT SELECT ON LARGE OBJECT 50001, 50002, 50003 TO reader",
    );
    let request = bench.request_as("reader", "reader");
    let (sentence, hint) = fails(&bench, &bench.process(), &request).await;
    assert!(sentence.contains("`clinic.patient`") && sentence.contains("row level security"), "{sentence}");
    assert!(hint.contains("BYPASSRLS"), "{hint}");

    bench.sql("ALTER ROLE reader BYPASSRLS; REVOKE SELECT ON clinic.account FROM reader");
    let (sentence, hint) = fails(&bench, &bench.process(), &request).await;
    assert!(sentence.contains("`clinic.account`") && sentence.contains("no SELECT"), "{sentence}");
    assert!(hint.contains("grant"), "{hint}");

    bench.sql("GRANT SELECT ON clinic.account TO reader; REVOKE SELECT ON LARGE OBJECT 50002 FROM reader");
    let (sentence, _) = fails(&bench, &bench.process(), &request).await;
    assert!(sentence.contains("large objects"), "{sentence}");

    // With everything granted, a plain role is enough, and its backup is as good as the superuser's.
    bench.sql("GRANT SELECT ON LARGE OBJECT 50002 TO reader");
    let manifest = bench.process().back_up(&request).await.unwrap();
    assert_eq!(manifest.totals.rows, crate::sample::ROWS);
    let report = bench.drill(Site::Primary).await;
    assert!(report.equal, "{:?}", report.findings);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disabled_key_fails_the_backup_and_is_named() {
    let bench = Bench::with("key", CLINIC);
    bench.back_up().await;
    bench.sql("INSERT INTO clinic.remark VALUES ('new')");
    let mut process = bench.process();
    process.run.ports.keys = Arc::new(DisabledKey);
    let before = bench.stores.primary.keys("chunks/");
    let (sentence, hint) = fails(&bench, &process, &bench.request()).await;
    assert!(sentence.contains("alias/lifeboat") && sentence.contains("disabled"), "{sentence}");
    assert!(hint.contains("enable the key"), "{hint}");
    assert_eq!(bench.stores.primary.keys("chunks/"), before, "nothing is stored without a key");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_says_no_fails_the_backup_and_says_which_site_what_and_why() {
    let bench = Bench::with("stores", CLINIC);
    bench.back_up().await;
    let faults = [
        (Operation::Put, "chunks/", Refusal::Denied, "denied"),
        (Operation::Put, "backups/", Refusal::Unavailable, "did not serve"),
    ];
    for (turn, (operation, prefix, refusal, why)) in faults.into_iter().enumerate() {
        bench.sql(&format!("INSERT INTO clinic.remark VALUES ('turn {turn}')"));
        let script = Script::new();
        script.add(Rule::always(Fault::Reject(refusal)).on(operation).under(prefix));
        let sites = bench.stores.behind(&script, &Script::new());
        let (sentence, hint) = fails(&bench, &bench.process_on(sites), &bench.request()).await;
        assert!(sentence.contains("primary"), "{sentence}");
        assert!(sentence.contains(why) && sentence.contains(prefix), "{refusal:?}: {sentence}");
        assert!(!hint.is_empty());
    }
    // Once the site is back, the next run completes on both.
    let manifest = bench.back_up().await;
    for site in BOTH {
        bench.stores.assert_whole(&manifest.backup_id, site).await;
    }
}

/// There is no ledger yet to write to; the bus and the subscribers are told all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_backup_ever_that_fails_is_told_although_there_is_no_repository() {
    let bench = Bench::with("first-fails", "CREATE TABLE t (a int)");
    let process = bench.process();
    process.back_up(&bench.request_as("postgres", "wrong")).await.unwrap_err();
    assert_eq!((process.said(), process.alerted()), (vec!["Backup Failed"], vec![Severity::Critical]));
    assert_eq!(bench.stores.primary.keys(""), ["incidents/backup-failed/clinic.json"]);
}

/// A bus that is gone, beside a topic that is there.
struct NoBus(Arc<RecordingOutbox>);

#[async_trait]
impl Outbox for NoBus {
    async fn publish(&self, event: &Event) -> Result<(), SignalError> {
        Err(SignalError::Refused { signal: event.detail_type().to_owned(), code: "NoSuchBus".to_owned() })
    }

    async fn alert(&self, alert: &Alert) -> Result<(), SignalError> {
        self.0.alert(alert).await
    }

    async fn unheard(&self, _: Vec<Alert>) -> Result<Vec<Alert>, SignalError> {
        Ok(Vec::new())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tick_whose_requests_do_not_get_onto_the_bus_is_told_to_the_subscribers_for_each_database() {
    let bench = Bench::with("no-bus", "CREATE TABLE t (a int)");
    let mut process = bench.process();
    process.run.ports.outbox = Arc::new(NoBus(Arc::clone(&process.outbox)));
    let databases: Vec<DatabaseName> = ["billing", "clinic"].map(|name| name.parse().unwrap()).into();
    let error =
        request_each(&process.again(), Requestable::Backup, &databases, jiff::Timestamp::now()).await.unwrap_err();
    assert!(
        error.story().starts_with("the backup of `billing` could not be requested: EventBridge refused"),
        "{error:?}"
    );
    let alerts = process.outbox.alerts();
    assert_eq!(alerts.iter().filter_map(|alert| alert.database.clone()).collect::<Vec<_>>(), databases);
    for alert in alerts {
        assert_eq!((alert.severity, alert.kind), (Severity::Critical, AlertKind::BackupFailed));
        assert!(alert.what.contains("could not be requested"), "{}", alert.what);
        assert_eq!(alert.hint, Some(error.hint()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tick_asks_for_each_database_by_an_event_of_its_own() {
    let bench = Bench::with("ticks", "CREATE TABLE t (a int)");
    let databases: Vec<DatabaseName> = ["billing", "clinic", "labor"].map(|name| name.parse().unwrap()).into();
    for (what, kind) in [
        (Requestable::Backup, "Backup Requested"),
        (Requestable::Verification, "Verification Requested"),
        (Requestable::Drill, "Restore Test Requested"),
    ] {
        let (process, at) = (bench.process(), jiff::Timestamp::now());
        request_each(&process.again(), what, &databases, at).await.unwrap();
        assert_eq!(process.said(), [kind; 3]);
        let asked = process.outbox.events().into_iter().map(|event| match event {
            Event::BackupRequested { database, requested_at, .. }
            | Event::VerificationRequested { database, requested_at, .. }
            | Event::RestoreTestRequested { database, requested_at, .. } => (database, requested_at),
            other => panic!("{other:?}"),
        });
        let wanted: Vec<_> = databases.iter().map(|database| (database.clone(), at)).collect();
        assert_eq!(asked.collect::<Vec<_>>(), wanted);
    }
}

/// What a doctor says of everything, as `name: verdict`.
async fn diagnoses(process: &Process, bench: &Bench) -> Vec<(String, Verdict)> {
    let checks = lifeboat_engine::doctor(&process.again(), &bench.request().source).await;
    for check in &checks {
        assert_eq!(check.hint.is_none(), check.verdict == Verdict::Ok, "{check:?}");
        assert!(!check.seen.contains('\n') && !check.seen.ends_with('.'), "{check:?}");
    }
    checks.into_iter().map(|check| (check.check, check.verdict)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_names_every_thing_that_is_not_as_it_should_be_and_writes_one_object_once() {
    let bench = Bench::with("doctor", CLINIC);
    let mut all: Vec<(String, Verdict)> = [
        "reachable",
        "provider",
        "TLS",
        "session mode",
        "connections",
        "server version",
        "privileges",
        "large objects",
        "role of the server",
        "clock",
        "work folder",
        "primary writable",
        "primary protected",
        "offsite writable",
        "offsite protected",
        "primary key",
        "offsite key",
        "primary ledger key",
        "offsite ledger key",
    ]
    .map(|name| (name.to_owned(), Verdict::Ok))
    .into();
    for _ in 0..2 {
        assert_eq!(diagnoses(&bench.process(), &bench).await, all);
        for site in BOTH {
            assert_eq!(bench.stores.of(site).keys(""), ["state/doctor.json"]);
        }
    }

    let script = Script::new();
    script.add(Rule::always(Fault::Reject(Refusal::Denied)).on(Operation::Put));
    let mut process = bench.process_on(bench.stores.behind(&Script::new(), &script));
    process.run.ports.keys = Arc::new(DisabledKey);
    all.retain(|(name, _)| !name.starts_with("offsite") && !name.ends_with("key"));
    all.push(("offsite writable".to_owned(), Verdict::Failed));
    all.push(("keys".to_owned(), Verdict::Failed));
    all.extend(BOTH.map(|site| (format!("{site} ledger key"), Verdict::Ok)));
    assert_eq!(diagnoses(&process, &bench).await, all);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_doctor_warns_of_is_in_the_log_of_each_backup_once_and_keeps_none_from_completing() {
    let bench = Bench::with("warned", CLINIC);
    // Its server has no TLS, and nothing says that this is meant so.
    let url = bench.server.url("clinic_source").replace("sslmode=disable", "sslmode=prefer");
    let request = BackupRequest { source: ConnectionSettings::from_secret(&url).unwrap(), ..bench.request() };
    let warnings = || -> Vec<serde_json::Value> {
        let lines = log::text();
        let lines = lines.lines().filter(|line| line.contains(r#""step":"TLS""#) && line.contains(r#""level":"WARN""#));
        lines.map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    for run in 1..=2 {
        bench.process().back_up(&request).await.unwrap();
        let warned = warnings();
        assert_eq!(warned.len(), run, "{warned:#?}");
        let fields = &warned.last().unwrap()["fields"];
        assert_eq!(fields["message"], "off: all rows cross the network unencrypted");
        assert!(fields["hint"].as_str().unwrap().contains("enable TLS on"), "{fields}");
    }
}

/// A folder of tools whose `pg_dump` is this shell script; `"$REAL"` is the right one.
fn tools_with_pg_dump(bench: &Bench, script: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let real = bench.server.bin_dir();
    for tool in ["pg_dumpall", "pg_restore"] {
        std::os::unix::fs::symlink(real.join(tool), folder.path().join(tool)).unwrap();
    }
    let path = folder.path().join("pg_dump");
    std::fs::write(&path, format!("#!/bin/sh\nREAL='{}'\n{script}\n", real.join("pg_dump").display())).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tools_that_are_too_old_and_a_full_work_folder_are_named_with_what_to_do() {
    let bench = Bench::with("tools", CLINIC);
    bench.back_up().await;
    let old = r#"case "$1" in --version) echo 'pg_dump (PostgreSQL) 13.22';; *) exec "$REAL" "$@";; esac"#;
    // The archive goes to a device that is always full.
    let full = r#"prev=
for a; do shift; if [ "$prev" = --file ]; then set -- "$@" /dev/full; else set -- "$@" "$a"; fi; prev=$a; done
exec "$REAL" "$@""#;
    for (script, words, advice) in [
        (old, "`pg_dump` is of major version 13, the server of", "install client tools of the server's major version"),
        (full, "No space left on device", "ephemeral storage"),
    ] {
        let folder = tools_with_pg_dump(&bench, script);
        let mut process = bench.process();
        process.run.ports.tools_dir = Some(folder.path().to_owned());
        let (sentence, hint) = fails(&bench, &process, &bench.request()).await;
        assert!(sentence.contains(words) && hint.contains(advice), "{sentence}; {hint}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_s_lock_and_a_server_that_goes_down_end_the_backup_and_are_named() {
    let bench = Bench::with("locked", CLINIC);
    bench.back_up().await;
    let (mut client, connection) =
        tokio_postgres::connect(&bench.server.url("clinic_source"), tokio_postgres::NoTls).await.unwrap();
    let driving = tokio::spawn(connection);
    let migration = client.transaction().await.unwrap();
    migration.batch_execute("LOCK TABLE clinic.account IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let (sentence, hint) = fails(&bench, &bench.process(), &bench.request()).await;
    assert!(sentence.contains("`clinic.account` is locked by another session"), "{sentence}");
    assert!(hint.contains("migration"), "{hint}");
    migration.rollback().await.unwrap();
    drop(client);
    driving.await.unwrap().unwrap();

    bench.sql("UPDATE clinic.account SET balance = 0");
    let (gate, script) = (Gate::new(), Script::new());
    script.add(Rule::always(Fault::Hold(gate.clone())).on(Operation::Put).under("chunks/").only_nth(1));
    let process = bench.process_on(bench.stores.behind(&script, &script));
    let request = bench.request();
    let ((sentence, hint), ()) = tokio::join!(fails(&bench, &process, &request), async {
        gate.arrival().await;
        // What the server does to every session when it is stopped.
        bench
            .server
            .psql(
                "postgres",
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'lifeboat%'",
            )
            .unwrap();
        gate.open();
    });
    assert!(sentence.contains("server closed the connection") || sentence.contains("snapshot has ended"), "{sentence}");
    assert!(hint.contains("restart"), "{hint}");
}
