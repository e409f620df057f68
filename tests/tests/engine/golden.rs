//! A repository that version 0.1 wrote before the house was rebuilt: every later version reads, verifies, drills and continues it.
//!
//! `tests/golden/0.1` holds the objects of both sites as they were stored, under their keys, and `marks.json` the marks beside them.
//! Three backups of `source.sql` on PostgreSQL 15 are in it, one of which was brought over later, a drill, a verification that healed, an
//! incident that was acknowledged and one that is open, and the states. Its keys are those of [`keys_of`](crate::stores::keys_of).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lifeboat_engine::{
    BackupChoice, DrillRequest, HealthRequest, LedgerFilter, ListRequest, TrailRequest, acknowledge, backups,
    check_health, incidents, ledger_entries, policy_in_force, restore_ledger, status, verify_ledger,
};
use lifeboat_model::{
    Act, DrillReport, Fact, Finding, IncidentState, ListedBackup, Outcome, Part, Site, VerificationScope,
};
use lifeboat_vault::{NewObject, ObjectStore, PutCondition};

use crate::bench::{Bench, database};
use crate::stores::{BOTH, Stores};

const SOURCE: &str = include_str!("../../golden/0.1/source.sql");

/// Entries of its ledger.
const ENTRIES: u64 = 11;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/0.1")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

/// The repository as it was stored.
async fn golden() -> Stores {
    let marks = std::fs::read(folder().join("marks.json")).unwrap();
    let marks: BTreeMap<String, String> = serde_json::from_slice(&marks).unwrap();
    let stores = Stores::default();
    for site in BOTH {
        let root = folder().join(site.to_string());
        for path in files(&root) {
            let key = path.strip_prefix(&root).unwrap().to_str().unwrap();
            let mark = marks.get(&format!("{site}/{key}")).cloned();
            let object = NewObject { mark, ..NewObject::new(std::fs::read(&path).unwrap()) };
            stores.of(site).put(key, object, PutCondition::CreateOnly).await.unwrap();
        }
    }
    stores
}

async fn bench(name: &str) -> Bench {
    let bench = Bench::with(name, SOURCE);
    Bench { stores: golden().await, ..bench }
}

fn health() -> HealthRequest {
    HealthRequest { databases: vec![database()], drills: true }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_stored_document_is_read_as_it_was_meant() {
    let bench = bench("golden_read").await;
    let run = bench.process().again();
    for site in BOTH {
        let page = backups(&run, &ListRequest::newest(database(), site)).await.unwrap();
        let rows = page.backups.iter().map(|listed| match listed {
            ListedBackup::Usable(backup) => backup.manifest.totals.rows,
            ListedBackup::Unusable(backup) => panic!("{backup:?}"),
        });
        assert_eq!(rows.collect::<Vec<_>>(), [100, 101, 102], "{site}");
        let entries = ledger_entries(&run, site, &LedgerFilter::default(), 100).await.unwrap();
        assert_eq!(entries.len() as u64, ENTRIES);
        assert!(entries.iter().all(|entry| entry.act().is_some()), "{entries:?}");
        let healed: Vec<_> = entries.iter().filter_map(|entry| Fact::Healed.read::<u64>(&entry.detail)).collect();
        assert_eq!(healed, [1]);
        let scopes = entries.iter().filter_map(|entry| Fact::Scope.read::<VerificationScope>(&entry.detail));
        assert_eq!(scopes.collect::<Vec<_>>(), [VerificationScope::All]);
    }
    let report = verify_ledger(&run, None, |_, _| true).await.unwrap();
    assert!(report.is_proved() && report.is_sound() && report.entries == ENTRIES, "{report:?}");

    let mut known = incidents(&run).await.unwrap();
    known.sort_by_key(|incident| incident.name.to_string());
    let known: Vec<_> = known.iter().map(|one| (one.name.to_string(), one.state)).collect();
    let expected = [
        ("backup-failed/clinic".to_owned(), IncidentState::Acknowledged),
        ("policy-refused/repository".to_owned(), IncidentState::Open),
    ];
    assert_eq!(known, expected);
    assert_eq!(policy_in_force(&run.ports.sites, None).await.rotation_days, 20, "the last valid version");

    let status = status(&run, &health()).await;
    assert_eq!(status.unread, Vec::<String>::new());
    let history = status.history.unwrap();
    assert_eq!((history.folded, history.first), (ENTRIES, 1));
    let drill = history.runs(&database(), Act::TestRestore).next_back().unwrap();
    assert_eq!((drill.outcome, drill.site), (Outcome::Completed, Some(Site::Offsite)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_are_written_back_in_the_bytes_in_which_they_were_stored() {
    let stores = golden().await;
    let mut seen = 0;
    for site in BOTH {
        for key in stores.of(site).keys("") {
            let stored = stores.of(site).bytes(&key).unwrap();
            let written = match key.split('/').next().unwrap() {
                "drills" => serde_json::to_vec(&serde_json::from_slice::<DrillReport>(&stored).unwrap()),
                "findings" => serde_json::to_vec(&serde_json::from_slice::<Vec<Finding>>(&stored).unwrap()),
                "state" if key.ends_with("history.json") => {
                    serde_json::to_vec(&serde_json::from_slice::<lifeboat_model::History>(&stored).unwrap())
                }
                "state" if key.ends_with("health.json") => {
                    serde_json::to_vec(&serde_json::from_slice::<lifeboat_model::HealthReport>(&stored).unwrap())
                }
                "leases" => serde_json::to_vec(&serde_json::from_slice::<lifeboat_model::Lease>(&stored).unwrap()),
                "incidents" => {
                    #[derive(serde::Serialize, serde::Deserialize)]
                    struct Revised {
                        revision: u64,
                        incident: lifeboat_model::Incident,
                    }
                    serde_json::to_vec(&serde_json::from_slice::<Revised>(&stored).unwrap())
                }
                _ => continue,
            };
            assert_eq!(
                String::from_utf8(written.unwrap()).unwrap(),
                String::from_utf8(stored.to_vec()).unwrap(),
                "{key}"
            );
            seen += 1;
        }
    }
    assert!(seen >= 9, "{seen}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_backup_is_verified_and_restores_from_either_site() {
    let bench = bench("golden_drill").await;
    let report = bench.verify_all().await;
    assert!(report.is_sound() && report.findings.is_empty(), "{:?}", report.findings);
    for site in BOTH {
        for backup in bench.stores.backups(site).await {
            let choice = BackupChoice::Id(backup.clone());
            let request = DrillRequest { backup: choice, ..bench.drill_request(site) };
            let report = bench.process().drill(&request).await.unwrap();
            assert!(report.equal, "{backup} from {site}: {:?}", report.findings);
            let unlisted =
                |item: &String| item.starts_with("versions of extensions, owner and grants of the schema `public`");
            assert!(report.not_compared.iter().any(unlisted), "{:?}", report.not_compared);
        }
    }
    let newest = bench.stores.backups(Site::Offsite).await.pop().unwrap();
    let until = jiff::Timestamp::now();
    let request = TrailRequest { backup_id: newest, until, site: Site::Offsite };
    let run = bench.process().again();
    let trail = restore_ledger(&run, &[database()], &request, |_, _| true).await.unwrap();
    assert!(trail.is_proved() && trail.is_sound(), "{trail:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_continued_with_backups_incidents_and_entries() {
    let bench = bench("golden_continue").await;
    let manifest = bench.back_up().await;
    let both = BOTH.map(|site| {
        bench.stores.of(site).keys("backups/").iter().filter(|key| key.contains(manifest.backup_id.as_str())).count()
    });
    assert!(both[0] > 1 && both[0] == both[1], "{both:?}");
    assert!(bench.verify_all().await.is_sound());
    assert!(bench.drill(Site::Offsite).await.equal);
    // A look resolves nothing by itself, and what a person does is on record.
    let process = bench.process();
    check_health(&process.again(), &health(), None).await.unwrap();
    acknowledge(&process.again(), &"policy-refused/repository".parse().unwrap(), &[]).await.unwrap();
    let ledger = bench.stores.ledger().await;
    let acts: Vec<&str> = ledger.iter().skip(ENTRIES as usize).map(|entry| entry.action.as_str()).collect();
    assert_eq!((acts.first(), acts.last()), (Some(&"backup"), Some(&"acknowledge")), "{acts:?}");
    let failed = incidents(&process.again())
        .await
        .unwrap()
        .into_iter()
        .find(|one| one.name.to_string() == "backup-failed/clinic");
    let failed = failed.unwrap();
    assert_eq!((failed.state, failed.parts.contains(&Part::Everything)), (IncidentState::Resolved, false));
}
