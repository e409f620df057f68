//! The whole way: backup, verify, drill; from each site; with one site gone.

use lifeboat_bench::{Fault, Refusal, Rule, Script};
use lifeboat_engine::{EngineError, ListRequest};
use lifeboat_model::{
    AlertKind, AlertState, CopyFormat, Event, ListedBackup, Manifest, Outcome, Presence, RelationKind, RelationStatus,
    Severity, ShownBackup, Site, VerificationScope,
};
use lifeboat_vault::Sites;

use crate::bench::{Bench, Process, database};
use crate::sample::{CLINIC, LARGE_OBJECTS, RELATIONS, ROWS};
use crate::stores::{BOTH, keys_of, stranger_s_key};

fn relation_lines(manifest: &Manifest) -> String {
    let letter = |kind| match kind {
        RelationKind::Table => 'r',
        RelationKind::PartitionedTable => 'p',
        RelationKind::View => 'v',
        RelationKind::MaterializedView => 'm',
        RelationKind::ForeignTable => 'f',
        RelationKind::Sequence => 'S',
    };
    let line = |r: &lifeboat_model::RelationEntry| format!("{}.{}|{}", r.schema, r.name, letter(r.kind));
    manifest.relations.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn status<'a>(manifest: &'a Manifest, name: &str) -> &'a RelationStatus {
    &manifest.relations.iter().find(|relation| relation.name == name).unwrap().status
}

async fn assert_equal_from_each_site(bench: &Bench, process: &Process, manifest: &Manifest) {
    for site in BOTH {
        let report = process.drill(&bench.drill_request(site)).await.unwrap();
        assert!(report.equal && report.findings.is_empty(), "{:?}", report.findings);
        assert_eq!((report.site, &report.backup_id), (site, &manifest.backup_id));
        assert_eq!((report.rows, report.large_objects), (ROWS, LARGE_OBJECTS));
        assert_eq!(report.tables.len(), manifest.tables().count());
        assert!(report.tables.iter().all(|table| table.equal));
        assert!(report.schema_objects > 30, "{}", report.schema_objects);
        let phases: Vec<&str> = report.seconds.iter().map(|(phase, _)| phase).collect();
        assert_eq!(phases, ["choose", "create", "schema", "data", "indexes", "prove", "drop"]);
        assert!(report.seconds.total() > 0.0);
    }
}

/// Five good ends, each one event and one notice.
fn assert_announced(process: &Process, manifest: &Manifest, chunks: u64) {
    assert_eq!(
        process.said(),
        [
            "Backup Completed",
            "Verification Completed",
            "Verification Completed",
            "Restore Test Completed",
            "Restore Test Completed",
        ]
    );
    assert_eq!(process.alerted(), [Severity::Info; 5]);
    let kinds: Vec<AlertKind> = process.outbox.alerts().iter().map(|alert| alert.kind).collect();
    assert_eq!(kinds[0], AlertKind::BackupCompleted);
    assert!(process.outbox.alerts().iter().all(|alert| alert.state == AlertState::Notice && alert.incident.is_none()));
    let Event::BackupCompleted { rows, new_chunks, sites, backup_id, .. } = &process.outbox.events()[0] else {
        panic!("the first event is of the backup");
    };
    assert_eq!((*rows, *new_chunks, backup_id), (ROWS, chunks, &manifest.backup_id));
    assert_eq!(sites, &BOTH);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_verified_and_proved_from_each_site_and_each_act_is_on_record_once_and_in_order() {
    let bench = Bench::with("way", CLINIC);
    let process = bench.process();
    let manifest = process.back_up(&bench.request()).await.unwrap();

    assert_eq!(relation_lines(&manifest), bench.sql(RELATIONS), "every relation of the catalog, and no other");
    assert_eq!(*status(&manifest, "patient"), RelationStatus::Copied);
    assert_eq!(*status(&manifest, "nothing_yet"), RelationStatus::Copied);
    assert_eq!(*status(&manifest, "visit"), RelationStatus::Definition);
    assert_eq!(*status(&manifest, "tense"), RelationStatus::Definition);
    assert_eq!(*status(&manifest, "by_town"), RelationStatus::Rebuilt);
    assert_eq!(*status(&manifest, "invoice"), RelationStatus::Carried);
    assert_eq!((manifest.totals.rows, manifest.large_objects), (ROWS, LARGE_OBJECTS));
    assert_eq!(manifest.totals.relations, manifest.relations.len() as u64);
    assert_eq!(manifest.totals.reused_chunks, 0);
    let formats: Vec<_> = manifest.tables().map(|(relation, data)| (relation.name.as_str(), data.format)).collect();
    assert!(formats.contains(&("account", CopyFormat::Binary)), "{formats:?}");
    assert!(formats.contains(&("patient", CopyFormat::Text)), "a composite's binary form holds oids: {formats:?}");

    // Published on both sites, and nothing of it on one alone.
    for site in BOTH {
        assert_eq!(bench.stores.backups(site).await, std::slice::from_ref(&manifest.backup_id));
        assert_eq!(bench.stores.manifest(&manifest.backup_id, site).await, manifest);
        bench.stores.assert_whole(&manifest.backup_id, site).await;
    }
    assert_eq!(bench.stores.backup_objects(Site::Primary), bench.stores.backup_objects(Site::Offsite));
    let chunks = bench.stores.primary.keys("chunks/").len() as u64;
    assert_eq!(chunks, manifest.totals.new_chunks);

    let scope = VerificationScope::Backup { backup_id: manifest.backup_id.clone() };
    let one = process.verify(scope).await.unwrap();
    let all = process.verify(VerificationScope::All).await.unwrap();
    assert!(one.is_sound() && one.findings.is_empty(), "{:?}", one.findings);
    assert!(all.is_sound() && all.findings.is_empty(), "{:?}", all.findings);
    assert_eq!(
        one.objects,
        2 * (chunks + 4),
        "on both sites: chunks, manifest, the one part of the list, repository.json, its entry of the ledger"
    );
    assert_eq!(
        all.objects,
        one.objects + 2,
        "the first backup is everything that there is, and now the verification's entry"
    );

    assert_equal_from_each_site(&bench, &process, &manifest).await;
    assert_eq!(bench.scratch_databases(), Vec::<String>::new());
    assert_eq!(bench.stores.primary.keys("drills/clinic/").len(), 2);
    assert_eq!(bench.stores.offsite.keys("drills/clinic/").len(), 2);
    assert_eq!(bench.stores.primary.keys("findings/"), Vec::<String>::new());

    assert_announced(&process, &manifest, chunks);
    let acts = bench.stores.acts().await;
    let done = |action: &str| (action.to_owned(), Outcome::Completed);
    assert_eq!(acts, [done("backup"), done("verify"), done("verify"), done("test-restore"), done("test-restore")]);
    assert!(bench.stores.ledger().await.iter().all(|entry| entry.actor == "schedule"));
    assert_eq!(bench.stores.primary.keys("ledger/"), bench.stores.offsite.keys("ledger/"));
    assert!(bench.stores.lease().unwrap().released, "the next run need not wait");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_primary_gone_a_drill_from_the_offsite_with_its_key_alone_is_equal_and_is_announced() {
    let bench = Bench::with("offsite", CLINIC);
    let manifest = bench.back_up().await;
    let broken = Script::new();
    broken.add(Rule::always(Fault::Reject(Refusal::Unavailable)));
    // That it is not on record is told, once.
    let ways: [(&str, Sites, &[Severity]); 2] = [
        ("not configured", bench.stores.offsite_alone(), &[Severity::Info, Severity::Critical]),
        ("out of reach", bench.stores.behind(&broken, &Script::new()), &[Severity::Info]),
    ];
    for (primary, sites, alerted) in ways {
        let mut process = bench.process_on(sites);
        process.run.ports.keys = keys_of(&[Site::Offsite]);
        let report = process.drill(&bench.drill_request(Site::Offsite)).await.unwrap();
        assert!(report.equal, "primary {primary}: {:?}", report.findings);
        assert_eq!((report.rows, report.large_objects), (ROWS, LARGE_OBJECTS));
        assert_eq!(report.backup_id, manifest.backup_id);
        assert_eq!(process.said(), ["Restore Test Completed"], "primary {primary}");
        assert_eq!(process.alerted(), alerted, "primary {primary}");
    }
    assert_eq!(bench.scratch_databases(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_primary_restores_with_its_own_key_alone_and_neither_with_a_stranger_s() {
    let bench = Bench::with("keys", CLINIC);
    bench.back_up().await;
    let mut process = bench.process();
    process.run.ports.keys = keys_of(&[Site::Primary]);
    assert!(process.drill(&bench.drill_request(Site::Primary)).await.unwrap().equal);

    process.run.ports.keys = stranger_s_key();
    for site in BOTH {
        let error = process.drill(&bench.drill_request(site)).await.unwrap_err();
        assert!(matches!(error, EngineError::Vault(_)), "{error:?}");
    }
    assert_eq!(process.said()[1..], ["Restore Test Failed", "Restore Test Failed"]);
    assert_eq!(bench.scratch_databases(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_there_is_can_be_listed_and_shown_from_each_site_without_a_key() {
    let bench = Bench::with("listing", "CREATE TABLE t AS SELECT 1 AS a");
    let (one, two) = (bench.back_up().await, bench.back_up().await);
    let mut process = bench.process();
    process.run.ports.keys = stranger_s_key();
    for site in BOTH {
        let request = ListRequest::newest(database(), site);
        let page = lifeboat_engine::backups(&process.again(), &request).await.unwrap();
        let on_both = |manifest: &Manifest| ShownBackup {
            manifest: manifest.clone(),
            sites: BOTH.map(|site| (site, Presence::Complete)).into(),
        };
        let listed = |manifest| ListedBackup::Usable(Box::new(on_both(manifest)));
        assert_eq!((page.backups, page.more), (vec![listed(&one), listed(&two)], false));
        let shown = lifeboat_engine::show(&process.again(), &[database()], &two.backup_id, site).await.unwrap();
        assert_eq!(shown, on_both(&two));
    }
    let unknown = "2020-01-01T00-00-00Z-aaaa".parse().unwrap();
    let error = lifeboat_engine::show(&process.again(), &[database()], &unknown, Site::Primary).await.unwrap_err();
    assert!(matches!(error, EngineError::UnknownBackup { .. }), "{error:?}");
}
