//! Damage on either site, on both, and by somebody who knows what he does.

use std::sync::Arc;

use lifeboat_engine::{BackupChoice, DrillRequest};
use lifeboat_model::{
    AlertKind, AlertState, BackupId, Event, FindingKind, IncidentState, Part, Severity, Site, VerificationReport,
    VerificationScope,
};
use lifeboat_vault::{Incidents, Sites};

use crate::bench::Bench;
use crate::sample::CLINIC;
use crate::stores::{BOTH, Stores};
use crate::wrapped_tools::tools_that_cannot_read;

/// Harms the object of this key on this site.
type Harm = fn(&Stores, Site, &str);

/// What happens to objects.
const HARMS: [(&str, Harm); 6] = [
    ("a bit of the first byte", |stores, site, key| flip(stores, site, key, |_| 0)),
    ("a bit in the middle", |stores, site, key| flip(stores, site, key, |len| len / 2)),
    ("a bit of the last byte", |stores, site, key| flip(stores, site, key, |len| len - 1)),
    ("cut off", |stores, site, key| {
        let len = stores.of(site).bytes(key).unwrap().len();
        assert!(stores.of(site).truncate(key, len - 1));
    }),
    ("made longer", |stores, site, key| {
        let longer = [&stores.of(site).bytes(key).unwrap()[..], b"\n"].concat();
        stores.of(site).replace(key, longer);
    }),
    ("lost", |stores, site, key| assert!(stores.of(site).remove(key))),
];

fn flip(stores: &Stores, site: Site, key: &str, place: fn(usize) -> usize) {
    let len = stores.of(site).bytes(key).unwrap().len();
    assert!(stores.of(site).flip_bit(key, place(len), len as u32));
}

/// The one finding of a report: of this object, on this site.
fn only_finding<'a>(report: &'a VerificationReport, site: Site, key: &str) -> &'a lifeboat_model::Finding {
    let [finding] = report.findings.as_slice() else { panic!("{key} on {site}: {:?}", report.findings) };
    assert_eq!((finding.subject.to_string().as_str(), finding.site), (key, Some(site)));
    finding
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_object_damaged_in_any_way_on_either_site_is_found_named_and_healed() {
    let bench = Bench::with("damage", CLINIC);
    bench.back_up().await;
    let sound = bench.stores.copy().await;
    let mut healed = 0;
    for site in BOTH {
        for key in sound.backup_objects(site) {
            for (what, harm) in HARMS {
                let stores = sound.copy().await;
                harm(&stores, site, &key);
                let process = bench.process_on(stores.sites());
                let report = process.verify(VerificationScope::All).await.unwrap();
                let finding = only_finding(&report, site, &key);
                assert!(finding.healed && report.is_sound(), "{key} on {site}, {what}: {finding}");
                assert_eq!(finding.kind == FindingKind::Missing, what == "lost", "{key} on {site}, {what}: {finding}");
                assert_eq!(stores.of(site).bytes(&key), sound.of(site).bytes(&key), "{key} on {site}, {what}");
                assert_eq!(
                    (process.said(), process.alerted()),
                    (vec!["Verification Completed"], vec![Severity::Warning])
                );
                assert_eq!(stores.of(site.other()).keys("findings/clinic/").len(), 1, "{key} on {site}, {what}");

                let again = process.verify(VerificationScope::All).await.unwrap();
                assert!(again.findings.is_empty(), "{key} on {site}, {what}: {:?}", again.findings);
                assert_eq!(process.alerted()[1], Severity::Info);
                healed += 1;
            }
        }
    }
    println!("{healed} damages healed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_damaged_on_both_sites_is_found_on_both_not_healed_and_no_verification_calls_it_sound() {
    let bench = Bench::with("both", CLINIC);
    let manifest = bench.back_up().await;
    let sound = bench.stores.copy().await;
    let scopes = [VerificationScope::All, VerificationScope::Backup { backup_id: manifest.backup_id.clone() }];
    for key in sound.backup_objects(Site::Primary).into_iter().filter(|key| key != "repository.json") {
        for scope in &scopes {
            let stores = sound.copy().await;
            flip(&stores, Site::Primary, &key, |len| len / 3);
            assert!(stores.offsite.truncate(&key, 10));
            let harmed = BOTH.map(|site| stores.of(site).bytes(&key));
            let process = bench.process_on(stores.sites());
            let report = process.verify(scope.clone()).await.unwrap();
            for site in BOTH {
                let found = report.findings.iter().find(|f| f.subject.to_string() == key && f.site == Some(site));
                assert!(found.is_some_and(|finding| !finding.healed), "{key} on {site}: {:?}", report.findings);
            }
            assert!(!report.is_sound(), "{key}");
            assert_eq!(
                BOTH.map(|site| stores.of(site).bytes(&key)),
                harmed,
                "{key}: a bad copy was written over a bad copy"
            );
            assert_eq!((process.said(), process.alerted()), (vec!["Verification Failed"], vec![Severity::Critical]));
            let Event::VerificationFailed { damaged, error, .. } = &process.outbox.events()[0] else { panic!() };
            assert!(*damaged >= 2 && error.contains(&key), "{error}");
            assert_eq!(process.outbox.alerts()[0].kind, AlertKind::VerificationFinding);
        }
    }
    // Without any readable document at the root there is nothing to follow: an error, never a clean report.
    for site in BOTH {
        flip(&bench.stores, site, "repository.json", |len| len / 2);
    }
    let process = bench.process();
    process.verify(VerificationScope::All).await.unwrap_err();
    assert_eq!(process.said(), ["Verification Failed"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunks_that_no_site_has_any_more_are_stored_again_by_the_backup_after_the_verification() {
    let bench = Bench::with("again", CLINIC);
    let first = bench.back_up().await;
    let chunks = bench.stores.primary.keys("chunks/");
    let (lost, damaged) = (&chunks[0], &chunks[chunks.len() / 2]);
    for site in BOTH {
        assert!(bench.stores.of(site).remove(lost));
        flip(&bench.stores, site, damaged, |len| len / 2);
    }
    assert!(!bench.verify_all().await.is_sound());

    let again = bench.back_up().await;
    assert!(again.totals.new_chunks >= 2, "{:?}", again.totals);
    for site in BOTH {
        assert!(bench.drill(site).await.equal);
        bench.stores.assert_whole(&again.backup_id, site).await;
    }
    // The first backup lists the bytes that the chunks had. Those that the second one lists are as good.
    for backup_id in [&again.backup_id, &first.backup_id] {
        let scope = VerificationScope::Backup { backup_id: backup_id.clone() };
        assert_eq!(bench.process().verify(scope).await.unwrap().findings, []);
    }
    // And they heal a site that lost its copy, whichever of the two backups is read.
    for backup_id in [again.backup_id, first.backup_id] {
        assert!(bench.stores.offsite.remove(lost) && bench.stores.primary.keys("chunks/").contains(lost));
        let report = bench.process().verify(VerificationScope::Backup { backup_id }).await.unwrap();
        assert!(report.is_sound() && report.findings.iter().all(|finding| finding.healed), "{:?}", report.findings);
        assert_eq!(bench.stores.offsite.bytes(lost), bench.stores.primary.bytes(lost));
    }
    let all = bench.verify_all().await;
    assert!(all.is_sound(), "the first backup is whole again, too: {:?}", all.findings);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chunk_replaced_by_another_sound_chunk_is_found_and_healed_and_never_restored() {
    let bench = Bench::with("swapped", CLINIC);
    bench.back_up().await;
    let chunks = bench.stores.primary.keys("chunks/");
    for (one, other) in chunks.iter().zip(chunks.iter().skip(1)) {
        let stores = bench.stores.copy().await;
        stores.primary.replace(one, bench.stores.primary.bytes(other).unwrap());
        let drill = bench.process_on(stores.sites());
        drill.drill(&bench.drill_request(Site::Primary)).await.unwrap_err();
        assert_eq!(drill.said(), ["Restore Test Failed"]);
        let report = bench.process_on(stores.sites()).verify(VerificationScope::All).await.unwrap();
        assert!(only_finding(&report, Site::Primary, one).healed);
        assert_eq!(stores.primary.bytes(one), bench.stores.primary.bytes(one));
    }
    assert_eq!(bench.scratch_databases(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_from_a_damaged_site_is_an_error_and_one_from_the_other_site_is_equal() {
    let bench = Bench::with("restore-damaged", CLINIC);
    bench.back_up().await;
    for (turn, key) in bench.stores.backup_objects(Site::Offsite).into_iter().enumerate() {
        let stores = bench.stores.copy().await;
        let (what, harm) = HARMS[turn % HARMS.len()];
        harm(&stores, Site::Offsite, &key);
        let process = bench.process_on(stores.sites());
        let error = process.drill(&bench.drill_request(Site::Offsite)).await.unwrap_err();
        assert!(!error.hint().is_empty(), "{key}, {what}: {error}");
        assert_eq!(process.said(), ["Restore Test Failed"], "{key}, {what}");
        if turn % 5 == 0 {
            assert!(process.drill(&bench.drill_request(Site::Primary)).await.unwrap().equal, "{key}, {what}");
        }
    }
    assert_eq!(bench.scratch_databases(), Vec::<String>::new());
}

/// An attacker who may write to the bucket and knows the format still has no chunk key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_manifest_is_not_restored_stops_no_backup_and_is_healed_not_spread() {
    let bench = Bench::with("forged", CLINIC);
    let manifest = bench.back_up().await;
    let key = lifeboat_vault::manifest_key(&manifest.database, &manifest.backup_id);
    let text = String::from_utf8(bench.stores.primary.bytes(&key).unwrap().to_vec()).unwrap();
    // Only the row count of one table: what a drill expects. The signature stays.
    let forged = text.replacen("\"rows\":200", "\"rows\":201", 1);
    assert_ne!(forged, text);
    bench.stores.primary.replace(&key, forged);

    let process = bench.process();
    let error = process.drill(&bench.drill_request(Site::Primary)).await.unwrap_err();
    let is_forged =
        |error: &lifeboat_vault::VaultError| matches!(error, lifeboat_vault::VaultError::ManifestForged { .. });
    assert!(matches!(&error, lifeboat_engine::EngineError::Vault(error) if is_forged(error)), "{error:?}");
    assert!(bench.drill(Site::Offsite).await.equal);
    // It stops no new backup: the newest one is only what unchanged chunks are known from.
    bench.sql("INSERT INTO clinic.remark VALUES ('after the forgery')");
    let next = bench.back_up().await;
    assert_eq!(next.totals.rows, manifest.totals.rows + 1);
    let mut request = bench.drill_request(Site::Primary);
    request.backup = BackupChoice::Id(next.backup_id);
    assert!(process.drill(&request).await.unwrap().equal);
    // And a verification, without any key, takes the signed one back from the other site rather than spread the forgery.
    assert!(only_finding(&bench.verify_all().await, Site::Primary, &key).healed);
    assert_eq!(bench.stores.primary.bytes(&key).unwrap(), text.as_bytes());
    assert_eq!(bench.stores.offsite.bytes(&key).unwrap(), text.as_bytes());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newest_backup_whose_documents_are_damaged_on_both_sites_stops_no_new_backup() {
    let bench = Bench::with("stopped", CLINIC);
    let old = bench.back_up().await;
    for site in BOTH {
        for key in bench.stores.of(site).keys("backups/") {
            let stores = bench.stores.copy().await;
            for both in BOTH {
                flip(&stores, both, &key, |len| len / 2);
            }
            let next = bench.process_on(stores.sites()).back_up(&bench.request()).await.unwrap();
            assert_ne!(next.backup_id, old.backup_id);
            for both in BOTH {
                stores.assert_whole(&next.backup_id, both).await;
            }
            assert_eq!(next.totals.new_chunks, 0, "{key}: the chunks are there all the same");
        }
    }
}

/// Two chunks are lost for good: one is accepted by name, the other one is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chunk_that_is_accepted_by_name_is_told_no_more_and_another_one_is() {
    let bench = Bench::with("accepted", CLINIC);
    bench.back_up().await;
    let chunks = bench.stores.primary.keys("chunks/");
    let lose = |chunk: &String| BOTH.iter().for_each(|site| assert!(bench.stores.of(*site).remove(chunk)));
    let verify = async || {
        let process = bench.process();
        process.verify(VerificationScope::All).await.unwrap();
        process.alerted()
    };
    lose(&chunks[0]);
    assert_eq!(verify().await, [Severity::Critical]);
    let name = "verification-finding/clinic".parse().unwrap();
    let names = vec![chunks[0].clone()];
    let typed = [chunks[0].clone(), "chunks/typo".to_owned()];
    let refused = lifeboat_engine::acknowledge(&bench.process().again(), &name, &typed).await.unwrap_err();
    assert!(refused.to_string().contains("`chunks/typo` cannot be accepted"), "{refused}");
    assert!(refused.hint().contains("lifeboat incidents list"), "{}", refused.hint());
    let accepted = lifeboat_engine::acknowledge(&bench.process().again(), &name, &names).await.unwrap();
    assert_eq!(accepted.state, IncidentState::Acknowledged, "{accepted:?}");
    let entry = bench.stores.ledger().await.pop().unwrap();
    assert_eq!(
        (entry.action.as_str(), &entry.detail["accepted"]),
        ("acknowledge", &serde_json::json!(names).to_string())
    );
    assert_eq!(verify().await, []);
    lose(&chunks[1]);
    assert_eq!(verify().await, [Severity::Critical]);
    assert_eq!(verify().await, [], "it is open, and told once");
}

/// A chunk that only the old backup has is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_drill_of_an_old_backup_is_resolved_by_a_drill_of_that_backup_and_not_of_the_newest() {
    let bench = Bench::with("old-drill", CLINIC);
    let old = bench.back_up().await.backup_id;
    let before = bench.stores.primary.keys("chunks/");
    bench.sql("TRUNCATE clinic.remark");
    let newest = bench.back_up().await;
    let listed = bench.stores.chunk_entries(&newest, Site::Primary).await;
    let listed: Vec<String> = listed.iter().filter_map(|entry| Some(entry.chunk.as_ref()?.id.to_string())).collect();
    let only_old: Vec<&String> = before.iter().filter(|key| listed.iter().all(|id| !key.contains(id))).collect();
    assert!(!only_old.is_empty());
    let of_old = DrillRequest { backup: BackupChoice::Id(old.clone()), ..bench.drill_request(Site::Primary) };
    let drill = async |request: &DrillRequest| {
        let process = bench.process();
        let equal = process.drill(request).await.is_ok_and(|report| report.equal);
        let alerts = process.outbox.alerts().into_iter().filter(|alert| alert.state != AlertState::Notice);
        (equal, alerts.map(|alert| alert.state).collect::<Vec<_>>())
    };
    let lost = bench.stores.primary.bytes(only_old[0]).unwrap();
    assert!(bench.stores.primary.remove(only_old[0]));
    assert_eq!(drill(&of_old).await, (false, vec![AlertState::Opened]));
    assert_eq!(drill(&bench.drill_request(Site::Primary)).await, (true, vec![]));
    bench.stores.primary.replace(only_old[0], lost);
    assert_eq!(drill(&of_old).await, (true, vec![AlertState::Resolved]));

    // When the old backup is there no more, nothing can prove it.
    assert!(bench.stores.primary.remove(only_old[0]));
    assert_eq!(drill(&of_old).await, (false, vec![AlertState::Opened]));
    assert!(bench.stores.primary.remove(&lifeboat_vault::manifest_key(&newest.database, &old)));
    assert_eq!(drill(&bench.drill_request(Site::Primary)).await, (true, vec![AlertState::Resolved]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_backup_that_the_server_refuses_stays_an_incident_and_a_site_that_is_given_up_does_not() {
    let bench = Bench::with("refused-drill", "CREATE TABLE t AS SELECT i FROM generate_series(1, 100) i");
    let old = bench.back_up().await.backup_id;
    let newest = bench.back_up().await.backup_id;
    let broken = tools_that_cannot_read(&bench);
    let name = "drill-failed/clinic".parse().unwrap();
    let incidents = Incidents::new(&bench.stores.sites());
    let parts = async || incidents.get(&name).await.unwrap().unwrap().parts.into_iter().collect::<Vec<Part>>();
    let by_id =
        |id: &BackupId, site| DrillRequest { backup: BackupChoice::Id(id.clone()), ..bench.drill_request(site) };
    let fail = async |request: DrillRequest| {
        let mut process = bench.process();
        process.run.ports.tools_dir = Some(broken.path().to_owned());
        process.drill(&request).await.unwrap_err();
    };
    // The newest backup by its id stands for its site, as a verification asks for it.
    fail(by_id(&newest, Site::Primary)).await;
    assert_eq!(parts().await, [Part::Site(Site::Primary)]);
    assert!(bench.drill(Site::Primary).await.equal);
    assert_eq!(parts().await, []);
    for site in BOTH {
        fail(by_id(&old, site)).await;
    }
    let of_old = BOTH.map(|site| Part::Backup(site, old.clone()));
    assert_eq!(parts().await, [of_old[1].clone(), of_old[0].clone()]);
    assert!(bench.process().drill(&by_id(&newest, Site::Primary)).await.unwrap().equal);
    assert_eq!(parts().await.len(), 2);
    let primary = || Sites::new(Some(Arc::new(bench.stores.primary.clone())), None);
    let process = bench.process_on(primary());
    assert!(process.drill(&bench.drill_request(Site::Primary)).await.unwrap().equal);
    assert_eq!(Incidents::new(&primary()).get(&name).await.unwrap().unwrap().parts, [of_old[0].clone()].into());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_of_a_newer_version_is_reported_as_such_and_not_as_damage() {
    let bench = Bench::with("newer-entry", CLINIC);
    bench.back_up().await;
    let key = bench.stores.primary.keys("ledger/").pop().unwrap();
    let newer = r#"{"entry":{"format":9},"macs":{},"block":"of a newer version"}"#;
    BOTH.iter().for_each(|site| bench.stores.of(*site).replace(&key, newer));
    let process = bench.process();
    let report = process.verify(VerificationScope::All).await.unwrap();
    let [finding] = report.findings.as_slice() else { panic!("{:?}", report.findings) };
    assert_eq!((finding.kind, finding.subject.to_string()), (FindingKind::NewerFormat, key.clone()));
    assert!(!report.is_sound());
    let alert = process.outbox.alerts().remove(0);
    assert!(alert.what.contains("1 object(s) have a newer format"), "{}", alert.what);
    let hint = alert.hint.unwrap();
    assert!(hint.contains("update this one") && !hint.contains("delete"), "{hint}");
    BOTH.iter().for_each(|site| assert_eq!(bench.stores.of(*site).bytes(&key).unwrap(), newer.as_bytes()));
}
