//! Failures that a person must understand: one clear sentence, a hint, an event, an alert, an entry in the ledger.

use std::sync::Arc;

use async_trait::async_trait;
use lifeboat_engine::{BackupRequest, EngineError};
use lifeboat_model::{Event, Outcome, Severity, Site};
use lifeboat_postgres::ConnectionSettings;
use lifeboat_seal::{DataKey, DataKeyError, DataKeys, EncryptedDataKey, EncryptionContext, GeneratedDataKey};
use lifeboat_vault::{Fault, Operation, Refusal, Rule, Script};

use crate::bench::{Bench, Process};
use crate::sample::CLINIC;
use crate::stores::BOTH;

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
}

/// Runs a backup that must fail, and holds what must be true of every failure. Returns its sentence and its hint.
async fn fails(bench: &Bench, process: &Process, request: &BackupRequest) -> (String, String) {
    let before = (bench.stores.backups(Site::Primary).await, bench.stores.ledger().await.len());
    let result = process.back_up(request).await;
    let error: EngineError = result.unwrap_err();
    assert_eq!(process.said(), ["Backup Failed"], "{error:?}");
    assert_eq!(process.alerted(), [Severity::Critical], "{error:?}");
    let Event::BackupFailed { error: sentence, hint, .. } = process.outbox.events()[0].clone() else { panic!() };
    let alert = process.outbox.alerts()[0].clone();
    assert!(alert.text.contains(&sentence) && alert.text.contains(&hint), "{}", alert.text);
    assert!(!alert.text.contains("..") && !alert.text.contains(" ."), "{}", alert.text);
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
    process.lifeboat.keys = Arc::new(DisabledKey);
    let before = bench.stores.primary.keys("chunks/");
    let (sentence, hint) = fails(&bench, &process, &bench.request()).await;
    assert!(sentence.contains("alias/lifeboat") && sentence.contains("disabled"), "{sentence}");
    assert!(hint.contains("Enable the key"), "{hint}");
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
    assert_eq!(bench.stores.primary.keys(""), Vec::<String>::new());
}
