//! What a newer version wrote is neither damage nor forgery, and an older version changes nothing of it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use lifeboat_bench::{Bench, PLACEMENTS, TALLY_KEY, act, add_name, mac_key, now, tally};
use lifeboat_model::{
    DamagedObjects, FindingKind, Incident, IncidentName, LEDGER_FORMAT, LedgerLink, Policy, Sighting, Site,
};
use lifeboat_vault::{Anchor, Incidents, Journal, Ledger, LedgerFault, LedgerFilter, States, VaultError, Walk, sha256};
use serde_json::{Value, json};

use crate::crowds::healing;

const BOTH: [Site; 2] = [Site::Primary, Site::Offsite];
const NEWER: &str = "ledger/000000000004.json";

/// An entry of a newer format, with all that every format has and something that this version does not know.
fn newer_entry(number: u64, previous: &str) -> String {
    format!(
        r#"{{"format":2,"number":{number},"previous":"{previous}","at":"{}","who":{{"kind":"robot"}},"outcome":"half"}}"#,
        now()
    )
}

/// With the MACs of both sites' keys, or with others of the same length.
async fn envelope(bench: &Bench, entry: &str, genuine: bool) -> String {
    let document: Value = serde_json::from_slice(&bench.primary.bytes("repository.json").unwrap()).unwrap();
    let id = document["repository"]["repository_id"].as_str().unwrap();
    let sum = sha256(entry.as_bytes());
    let text = format!("lifeboat ledger entry of repository {id}, sha-256 {sum}, keys offsite primary");
    let mut macs = serde_json::Map::new();
    for site in [Site::Offsite, Site::Primary] {
        let mac = if genuine { mac_key(site).mac(text.as_bytes()).await.unwrap() } else { vec![7; 32] };
        macs.insert(site.to_string(), json!(BASE64.encode(mac)));
    }
    format!(r#"{{"entry":{entry},"macs":{}}}"#, Value::Object(macs))
}

/// Three entries of this version, and a fourth of a newer one on both sites.
async fn trail(genuine: bool) -> (Bench, Ledger) {
    let bench = Bench::new();
    let ledger = bench.repository().await.ledger(&bench.macs);
    for actor in ["one", "two", "three"] {
        ledger.append(act(actor), now()).await.unwrap();
    }
    let previous = sha256(&bench.primary.bytes("ledger/000000000003.json").unwrap()).to_string();
    let newer = envelope(&bench, &newer_entry(4, &previous), genuine).await;
    BOTH.iter().for_each(|site| bench.memory(*site).replace(NEWER, newer.clone()));
    (bench, ledger)
}

fn everything_of(bench: &Bench) -> Vec<(Site, String, Vec<u8>)> {
    let of = |site| {
        let keys = bench.memory(site).keys("").into_iter();
        keys.map(move |key| (site, key.clone(), bench.memory(site).bytes(&key).unwrap().to_vec()))
    };
    BOTH.into_iter().flat_map(of).collect()
}

fn is_newer(error: &VaultError) -> bool {
    let hint = error.advice().hint;
    matches!(error, VaultError::NewerFormat { .. }) && hint.contains("update") && error.to_string().contains("format")
}

#[tokio::test]
async fn an_entry_of_a_newer_format_is_proved_by_its_place_and_its_macs_and_the_trail_goes_on_after_it() {
    let (bench, ledger) = trail(true).await;
    ledger.append(act("five"), now()).await.unwrap();
    let before = everything_of(&bench);
    let link = LedgerLink { number: 4, sha256: sha256(&bench.primary.bytes(NEWER).unwrap()) };
    let walk = Walk { anchors: vec![Anchor { link, proves: false }], ..healing() };
    let mut taken = Vec::new();
    let report = ledger.walk(&walk, |entry, _| {
        taken.push(entry.number);
        true
    });
    let report = report.await.unwrap();
    assert_eq!(taken, [1, 2, 3, 5]);
    assert_eq!((report.entries, report.is_proved(), report.findings.len()), (5, true, 0));
    assert_eq!((report.newer, report.first_newer.clone()), (1, Some((NEWER.to_owned(), 2))));
    assert!(!report.is_sound(), "it was not read");
    let words = report.newer_in_words().unwrap();
    assert!(words.contains("written by a newer version of Lifeboat (format 2)"), "{words}");
    assert_eq!(everything_of(&bench), before);

    // What this version does not understand is not passed over in silence.
    let refused = ledger.entries(&LedgerFilter::default(), 10).await.unwrap_err();
    assert!(is_newer(&refused), "{refused:?}");
    let known = ledger.after(1, 10).await.unwrap();
    assert_eq!(known.iter().map(|entry| entry.number).collect::<Vec<_>>(), [2, 3]);
    assert!(is_newer(&ledger.after(3, 10).await.unwrap_err()));
}

#[tokio::test]
async fn a_newer_entry_is_brought_to_a_site_that_lacks_it_and_replaces_nothing() {
    let (bench, ledger) = trail(true).await;
    let whole = bench.primary.bytes(NEWER).unwrap();
    ledger.append(act("five"), now()).await.unwrap();
    assert!(bench.offsite.remove(NEWER));
    let report = ledger.walk(&healing(), |_, _| true).await.unwrap();
    assert!(report.findings.iter().all(|finding| finding.healed) && report.findings.len() == 1, "{report:?}");
    assert_eq!(bench.offsite.bytes(NEWER).unwrap(), whole);

    bench.offsite.replace(NEWER, "no entry");
    let report = ledger.walk(&healing(), |_, _| true).await.unwrap();
    assert!(!report.findings[0].healed, "{report:?}");
    assert_eq!(bench.offsite.bytes(NEWER).unwrap(), "no entry".as_bytes());
}

#[tokio::test]
async fn a_forged_entry_does_not_pass_for_one_of_a_newer_format() {
    let (_bench, ledger) = trail(false).await;
    for refused in
        [ledger.verify_chain().await.unwrap_err(), ledger.append(act("five"), now()).await.map(drop).unwrap_err()]
    {
        assert!(matches!(refused, VaultError::LedgerBroken { reason: LedgerFault::Mac, .. }), "{refused:?}");
    }
}

const CLAIMS: [&str; 2] = [r#"{"format":9,"block":"…"}"#, r#"{"entry":{"format":9},"macs":{},"seal":"…"}"#];

/// Not even what every format has can be read of it: an older version cannot tell whether it is genuine.
#[tokio::test]
async fn what_claims_a_newer_format_and_cannot_be_checked_is_named_and_not_replaced_while_no_key_vouches_for_the_other_copy()
 {
    let key = "ledger/000000000002.json";
    for claim in CLAIMS {
        let (bench, ledger) = trail(true).await;
        bench.offsite.replace(key, claim);
        let without_keys = bench.repository().await.ledger(&lifeboat_bench::mac_keys(&[]));
        let report = without_keys.walk(&healing(), |_, _| true).await.unwrap();
        let [finding] = report.findings.as_slice() else { panic!("{report:?}") };
        let seen = (finding.kind, finding.site, finding.healed);
        assert_eq!(seen, (FindingKind::NewerFormat, Some(Site::Offsite), false));
        assert_eq!(bench.offsite.bytes(key).unwrap(), claim.as_bytes());

        bench.primary.replace(key, claim);
        let before = everything_of(&bench);
        let refused = ledger.walk(&healing(), |_, _| true).await.unwrap_err();
        assert!(is_newer(&refused), "{refused:?}");
        assert_eq!(refused.advice().hint, LedgerFault::NewerFormat(9).hint());
        // At the end of the trail nothing is built on it.
        BOTH.iter().for_each(|site| bench.memory(*site).replace(NEWER, claim));
        assert!(is_newer(&ledger.append(act("five"), now()).await.unwrap_err()));
        assert_eq!(everything_of(&bench).len(), before.len());
    }
}

#[tokio::test]
async fn a_claim_of_a_newer_format_hides_no_tampering() {
    let key = "ledger/000000000002.json";
    for (claim, site) in CLAIMS.into_iter().zip(BOTH) {
        let (bench, ledger) = trail(true).await;
        let genuine = bench.primary.bytes(key).unwrap();
        bench.memory(site).replace(key, claim);
        // A key vouches for the other site's entry, and a number has one entry.
        let report = ledger.walk(&healing(), |_, _| true).await.unwrap();
        let [finding] = report.findings.as_slice() else { panic!("{report:?}") };
        assert_eq!((finding.kind, finding.site, finding.healed), (FindingKind::Checksum, Some(site), true));
        assert_eq!(bench.memory(site).bytes(key).unwrap(), genuine);

        // An entry with other MACs on the other site is what is wrong.
        let text = String::from_utf8(genuine.to_vec()).unwrap();
        let entry = text.strip_prefix(r#"{"entry":"#).unwrap().split_once(r#","macs""#).unwrap().0;
        bench.memory(site).replace(key, claim);
        bench.memory(site.other()).replace(key, envelope(&bench, entry, false).await);
        let broken = ledger.walk(&healing(), |_, _| true).await.unwrap_err();
        assert!(matches!(broken, VaultError::LedgerBroken { reason: LedgerFault::Mac, .. }), "{broken:?}");
    }
}

#[tokio::test]
async fn new_entries_state_their_format_and_those_without_one_are_older() {
    let bench = Bench::new();
    let ledger = bench.repository().await.ledger(&bench.macs);
    assert_eq!(ledger.append(act("one"), now()).await.unwrap().format, LEDGER_FORMAT);
    let stored = String::from_utf8(bench.primary.bytes("ledger/000000000001.json").unwrap().to_vec()).unwrap();
    assert!(stored.starts_with(r#"{"entry":{"format":1,"number":1,"#), "{stored}");
    // As it was written before.
    let (_, rest) = stored.split_once(r#""format":1,"#).unwrap();
    let entry = format!("{{{}", rest.split_once(r#","macs""#).unwrap().0);
    let older = envelope(&bench, &entry, true).await;
    BOTH.iter().for_each(|site| bench.memory(*site).replace("ledger/000000000001.json", older.clone()));
    let report = ledger.verify_chain().await.unwrap();
    assert!(report.is_proved() && report.is_sound(), "{report:?}");
    assert_eq!(ledger.entries(&LedgerFilter::default(), 1).await.unwrap()[0].format, 0);
}

#[tokio::test]
async fn a_register_of_a_newer_format_is_an_error_to_whoever_reads_or_changes_it() {
    let newer = r#"{"format":2,"revision":0,"names":[],"tree":{}}"#;
    for placement in PLACEMENTS {
        for site in BOTH {
            let bench = Bench::new();
            let register = tally(&bench.sites(), placement);
            add_name(&register, "one").await.unwrap();
            bench.memory(site).replace(TALLY_KEY, newer);
            let before = everything_of(&bench);
            if placement != lifeboat_bench::Placement::EverySite && site == Site::Offsite {
                continue;
            }
            assert!(is_newer(&register.read().await.unwrap_err()));
            assert!(is_newer(&add_name(&register, "two").await.unwrap_err()));
            if site == Site::Primary {
                assert!(is_newer(&States::new(&bench.sites()).read::<Value>("tally").await.unwrap_err()));
            }
            assert_eq!(everything_of(&bench), before, "{placement:?} {site}");
        }
    }
}

#[tokio::test]
async fn a_lease_of_a_newer_format_is_obeyed_by_its_fields_and_no_longer_than_a_lease_may_last() {
    let ttl = jiff::SignedDuration::from_mins(5);
    let hours = |hours| now() + jiff::SignedDuration::from_hours(hours);
    let newer = |until| {
        format!(
            r#"{{"format":2,"name":"backup-clinic","holder":"newer","acquired_at":"{}","expires_at":"{until}","released":false,"more":[]}}"#,
            now()
        )
    };
    // What no lease claims is a forgery, or damaged: it must not stop the backups until a person replaces it.
    let cases = [
        (newer(hours(1)), false),
        (newer(hours(2)), true),
        (newer(hours(0)), true),
        (r#"{"format":9,"holders":["one","two"]}"#.to_owned(), true),
    ];
    for (stored, is_taken) in cases {
        let bench = Bench::new();
        let leases = bench.repository().await.leases().unwrap();
        bench.primary.replace("leases/backup-clinic.json", stored.clone());
        let acquired = leases.acquire("backup-clinic", "run-1", ttl, now()).await;
        match acquired {
            Ok(held) => assert!(is_taken && held.lease().holder == "run-1", "{stored}"),
            Err(VaultError::LeaseHeld { holder, .. }) => assert!(!is_taken && holder == "newer", "{stored}"),
            Err(error) => panic!("{stored}: {error:?}"),
        }
    }
}

#[tokio::test]
async fn an_incident_that_cannot_be_read_does_not_hide_the_others() {
    for unreadable in [r#"{"format":2,"revision":7}"#, "no incident"] {
        let bench = Bench::new();
        let incidents = Incidents::new(&bench.sites());
        for kind in ["backup-failed/clinic", "drill-failed/clinic"] {
            let name: IncidentName = kind.parse().unwrap();
            incidents.change(&name, |before| Some(before.cloned().unwrap_or_else(|| incident(&name)))).await.unwrap();
        }
        let key = "incidents/backup-failed/clinic.json";
        BOTH.iter().for_each(|site| bench.memory(*site).replace(key, unreadable));
        let (listed, faults) = incidents.list().await.unwrap();
        assert_eq!(listed.iter().map(|one| one.name.to_string()).collect::<Vec<_>>(), ["drill-failed/clinic"]);
        let [fault] = faults.as_slice() else { panic!("{faults:?}") };
        assert!(fault.to_string().contains(key), "{fault}");
    }
}

fn incident(name: &IncidentName) -> Incident {
    let sighting = Sighting {
        what: "it failed".to_owned(),
        hint: "look".to_owned(),
        database: None,
        part: None,
        objects: DamagedObjects::default(),
        facts: Vec::new(),
    };
    Incident::seen(None, name, sighting, &Policy::default(), now())
}

#[tokio::test]
async fn a_journal_of_a_newer_format_is_neither_continued_nor_healed() {
    let bench = Bench::new();
    let mut journal = Journal::open(&bench.sites(), "run-1").await.unwrap();
    journal.append("schema", "restored", &json!({}), now()).await.unwrap();
    bench.offsite.replace("runs/run-1/0001.json", r#"{"format":2,"entries":[]}"#);
    let before = everything_of(&bench);
    assert!(is_newer(&Journal::open(&bench.sites(), "run-1").await.map(drop).unwrap_err()));
    assert_eq!(everything_of(&bench), before);
}

#[test]
fn no_hint_asks_anybody_to_delete_evidence() {
    use LedgerFault as Fault;
    for fault in [
        Fault::Lost,
        Fault::LostHere,
        Fault::StrayKey,
        Fault::NoEntry,
        Fault::NewerFormat(2),
        Fault::NotGiven,
        Fault::Number,
        Fault::Previous,
        Fault::Mac,
        Fault::NoMac,
        Fault::NotVouched,
        Fault::SitesDiffer,
        Fault::OffsiteDiffers,
        Fault::AnchorDiffers,
        Fault::AnchorLost,
    ] {
        let hint = fault.hint();
        assert!(!["delete it", "delete the", "remove"].iter().any(|word| hint.contains(word)), "{fault}: {hint}");
    }
}
