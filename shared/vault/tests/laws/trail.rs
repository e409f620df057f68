//! The audit trail against somebody who may write to the buckets and not ask the keys.

use std::sync::Arc;

use async_trait::async_trait;
use lifeboat_bench::{Fault, FaultyStore, HmacKey, Operation, Refusal, Rule, Script};
use lifeboat_model::Site;
use lifeboat_seal::DataKeyError;
use lifeboat_vault::{
    Anchor, Ledger, LedgerFault, LedgerFilter, MacKey, MacKeys, NewObject, ObjectStore, PutCondition, Repository,
    Sites, VaultError, Walk, WalkEnd, sha256,
};
use serde_json::{Value, json};

use crate::crowds::healing;
use lifeboat_bench::act;
use lifeboat_bench::{Bench, mac_key, mac_keys, now};

/// A ledger of five entries, and their keys.
async fn trail() -> (Bench, Ledger, Vec<String>) {
    let bench = Bench::new();
    let ledger = bench.repository().await.ledger(&bench.macs);
    for actor in ["one", "two", "three", "four", "five"] {
        ledger.append(act(actor), now()).await.unwrap();
    }
    let keys = bench.primary.keys("ledger/");
    (bench, ledger, keys)
}

/// The key that a walk names, also one that may heal: what fits on no site is put right by nobody.
async fn named(ledger: &Ledger) -> String {
    let broken = |walked| match walked {
        Err(VaultError::LedgerBroken { key, .. }) => key,
        other => panic!("{other:?}"),
    };
    let key = broken(ledger.walk(&healing(), |_, _| true).await);
    assert_eq!(broken(ledger.verify_chain().await), key);
    key
}

fn document(bench: &Bench, key: &str) -> Value {
    serde_json::from_slice(&bench.primary.bytes(key).unwrap()).unwrap()
}

/// Writes the same bytes to both sites, in the form that entries have.
fn put(bench: &Bench, key: &str, document: &Value) {
    let Value::Object(entry) = &document["entry"] else { panic!("{document}") };
    let order = ["format", "number", "previous", "at", "actor", "reason", "action", "subject", "outcome", "detail"];
    let fields: Vec<String> = order.iter().map(|name| format!("{:?}:{}", name, entry[*name])).collect();
    let text = format!(r#"{{"entry":{{{}}},"macs":{}}}"#, fields.join(","), document["macs"]);
    for store in [&bench.primary, &bench.offsite] {
        store.replace(key, text.clone());
    }
}

/// Makes every later entry fit the entry at `place` again: as much as can be done without the keys.
fn relink(bench: &Bench, keys: &[String], place: usize) {
    for pair in keys[place..].windows(2) {
        let previous = sha256(&bench.primary.bytes(&pair[0]).unwrap()).to_string();
        let mut next = document(bench, &pair[1]);
        next["entry"]["previous"] = json!(previous);
        put(bench, &pair[1], &next);
    }
}

#[tokio::test]
async fn an_entry_that_was_altered_is_named_whatever_is_done_behind_it() {
    for place in 0..5 {
        for (field, value) in [
            ("actor", json!("nobody")),
            ("outcome", json!("failed")),
            ("detail", json!({"rows": "1"})),
            ("at", json!("2026-11-21T20:49:34Z")),
        ] {
            for relinked in [false, true] {
                let (bench, ledger, keys) = trail().await;
                let mut altered = document(&bench, &keys[place]);
                altered["entry"][field] = value.clone();
                put(&bench, &keys[place], &altered);
                if relinked {
                    relink(&bench, &keys, place);
                }
                assert_eq!(named(&ledger).await, keys[place], "{field}, relinked: {relinked}");
            }
        }
    }
}

#[tokio::test]
async fn a_mac_that_was_swapped_or_altered_or_taken_away_is_named() {
    for place in 0..5 {
        let (bench, ledger, keys) = trail().await;
        let mut altered = document(&bench, &keys[place]);
        altered["macs"] = document(&bench, &keys[(place + 1) % 5])["macs"].clone();
        put(&bench, &keys[place], &altered);
        relink(&bench, &keys, place);
        assert_eq!(named(&ledger).await, keys[place]);

        let (bench, ledger, keys) = trail().await;
        let mut altered = document(&bench, &keys[place]);
        let macs = altered["macs"].clone();
        (altered["macs"]["primary"], altered["macs"]["offsite"]) = (macs["offsite"].clone(), macs["primary"].clone());
        put(&bench, &keys[place], &altered);
        relink(&bench, &keys, place);
        assert_eq!(named(&ledger).await, keys[place]);

        // One of two, as well: each is also of the names of both.
        let one = json!({"primary": macs["primary"]});
        for macs in [json!({}), one, json!({"offsite": "", "primary": ""}), json!({"offsite": "A".repeat(10_000)})] {
            let (bench, ledger, keys) = trail().await;
            let mut altered = document(&bench, &keys[place]);
            altered["macs"] = macs;
            put(&bench, &keys[place], &altered);
            relink(&bench, &keys, place);
            assert_eq!(named(&ledger).await, keys[place]);
        }
    }
}

/// The writer of the next entry must not vouch for what somebody made without the keys.
#[tokio::test]
async fn on_a_trail_that_was_made_anew_without_the_keys_nothing_is_built() {
    for place in 0..5 {
        let (bench, ledger, keys) = trail().await;
        for key in &keys[place..] {
            let mut altered = document(&bench, key);
            altered["macs"] = json!({});
            altered["entry"]["actor"] = json!("nobody");
            put(&bench, key, &altered);
        }
        relink(&bench, &keys, place);
        assert_eq!(named(&ledger).await, keys[place]);
        let refused = ledger.append(act("six"), now()).await.unwrap_err();
        assert!(matches!(refused, VaultError::LedgerBroken { .. }), "{refused:?}");
        assert_eq!(named(&ledger).await, keys[place]);
        assert_eq!(bench.primary.keys("ledger/"), keys);
    }
}

/// A key that does not answer.
struct Away;

#[async_trait]
impl MacKey for Away {
    fn id(&self) -> &str {
        "offsite"
    }

    async fn mac(&self, _: &[u8]) -> Result<Vec<u8>, DataKeyError> {
        Err(DataKeyError::Disabled { key: "away".to_owned(), source: Arc::new(std::io::Error::other("no")) })
    }

    async fn is_mac(&self, message: &[u8], _: &[u8]) -> Result<bool, DataKeyError> {
        self.mac(message).await.map(|_| true)
    }
}

#[tokio::test]
async fn a_key_that_does_not_answer_vouches_for_nothing_and_the_other_one_suffices() {
    let (bench, _, keys) = trail().await;
    let with = |near: Arc<dyn MacKey>| MacKeys::new([(Site::Primary, near), (Site::Offsite, Arc::new(Away) as _)]);
    let repository = bench.repository().await;
    let near = || mac_key(Site::Primary);
    let report = repository.ledger(&with(near())).verify_chain().await.unwrap();
    assert_eq!((report.is_proved(), report.vouched), (true, [(Site::Primary, 5)].into()));
    assert_eq!(report.silent.keys().collect::<Vec<_>>(), [&Site::Offsite]);
    let report = repository.ledger(&MacKeys::new([(Site::Offsite, Arc::new(Away) as _)])).verify_chain().await.unwrap();
    assert_eq!((report.is_proved(), report.proved), (false, 0));
    // With one key away, its MAC alone is nobody's word.
    let mut altered = document(&bench, &keys[4]);
    altered["entry"]["actor"] = json!("nobody");
    altered["macs"] = json!({ "offsite": altered["macs"]["offsite"] });
    put(&bench, &keys[4], &altered);
    let report = repository.ledger(&with(near())).verify_chain().await.unwrap();
    assert_eq!((report.is_proved(), report.proved), (false, 4));

    // What was written while a key was away is proved by it all the same: a later entry that it vouches for names it.
    let (bench, ledger, _) = trail().await;
    let repository = bench.repository().await;
    repository.ledger(&with(near())).append(act("six"), now()).await.unwrap();
    let far = repository.ledger(&MacKeys::new([(Site::Offsite, Arc::new(Away) as _)]));
    let refused = far.append(act("seven"), now()).await.unwrap_err();
    assert!(matches!(&refused, VaultError::LedgerBroken { .. } | VaultError::NotVouched { .. }), "{refused:?}");
    let far = repository.ledger(&mac_keys(&[Site::Offsite])).verify_chain().await.unwrap();
    assert_eq!((far.entries, far.proved), (6, 5));
    ledger.append(act("seven"), now()).await.unwrap();
    let far = repository.ledger(&mac_keys(&[Site::Offsite])).verify_chain().await.unwrap();
    assert_eq!((far.entries, far.proved, far.vouched), (7, 7, [(Site::Offsite, 6)].into()));
}

#[tokio::test]
async fn without_a_key_nothing_is_put_on_record() {
    let (bench, _, keys) = trail().await;
    for trail in [bench.clone(), Bench::new()] {
        let refused = trail.repository().await.ledger(&MacKeys::default()).append(act("six"), now()).await.unwrap_err();
        assert!(matches!(refused, VaultError::NotVouched { .. } | VaultError::LedgerBroken { .. }), "{refused:?}");
    }
    assert_eq!(bench.primary.keys("ledger/"), keys);
}

/// HMAC keys have no successor: what a lost one vouched for is proved by the one that is left, and by what is built on it.
#[tokio::test]
async fn a_site_made_anew_with_another_key_neither_breaks_the_trail_nor_stops_it() {
    let (bench, ..) = trail().await;
    let anew: Arc<dyn MacKey> = Arc::new(HmacKey::new("offsite made anew", b"other"));
    let macs = MacKeys::new([(Site::Primary, mac_key(Site::Primary)), (Site::Offsite, anew.clone())]);
    let ledger = bench.repository().await.ledger(&macs);
    ledger.append(act("six"), now()).await.unwrap();
    let report = ledger.verify_chain().await.unwrap();
    assert_eq!((report.is_proved(), report.vouched), (true, [(Site::Primary, 6), (Site::Offsite, 1)].into()));
    let alone = bench.repository().await.ledger(&MacKeys::new([(Site::Primary, anew)])).verify_chain().await.unwrap();
    assert!(alone.is_proved(), "{alone:?}");
}

/// From some entry on made anew with MACs of a key that nobody knows: not wrong, but nobody's word.
#[tokio::test]
async fn what_is_made_anew_under_the_name_of_an_unknown_key_breaks_the_trail_where_it_begins() {
    let names = ["arn:aws:kms:eu-central-1:111122223333:key/other".to_owned(), "k".repeat(5000), "k".repeat(511)];
    for (name, place) in names.iter().flat_map(|name| (0..5).map(move |place| (name, place))) {
        let (bench, ledger, keys) = trail().await;
        for key in &keys[place..] {
            let mut altered = document(&bench, key);
            altered["entry"]["actor"] = json!("nobody");
            altered["macs"] = json!({ name.as_str(): "AAAA" });
            put(&bench, key, &altered);
        }
        relink(&bench, &keys, place);
        let report = match ledger.walk(&healing(), |_, _| true).await {
            Ok(report) => (report.is_proved(), report.unproved()),
            Err(VaultError::LedgerBroken { key, .. }) => (false, Some(key)),
            Err(other) => panic!("{other:?}"),
        };
        assert_eq!(report, (false, Some(keys[place].clone())), "{name}");
        let refused = ledger.append(act("six"), now()).await.unwrap_err();
        assert!(matches!(refused, VaultError::LedgerBroken { .. }), "{refused:?}");
        // A part of the trail is walked until something vouches for it.
        let part = Walk { from: 1, end: WalkEnd::At(place as u64), ..healing() };
        let part = ledger.walk(&part, |_, _| true).await;
        assert_eq!(part.is_ok_and(|report| report.is_proved()), place > 0, "{name}");
    }
}

#[tokio::test]
async fn an_off_site_that_is_far_behind_gets_the_trail_without_a_hole() {
    let (bench, ledger, keys) = trail().await;
    keys.iter().for_each(|key| assert!(bench.offsite.remove(key)));
    let tail = Walk { from: 3, ..healing() };
    let report = ledger.walk(&tail, |_, _| true).await.unwrap();
    assert_eq!((report.behind, report.findings.len()), (3, 0));
    assert!(bench.offsite.keys("ledger/").is_empty());
    let report = ledger.walk(&healing(), |_, _| true).await.unwrap();
    assert_eq!((report.behind, report.findings.len()), (0, 0));
    assert_eq!(bench.offsite.keys("ledger/"), keys);
    // One that it lost among others is damage.
    assert!(bench.offsite.remove(&keys[2]));
    let report = ledger.walk(&tail, |_, _| true).await.unwrap();
    assert!(report.findings.len() == 1 && report.findings[0].healed, "{report:?}");
}

/// The end of the trail, cut off on both sites, is missed by nothing in the trail itself.
#[tokio::test]
async fn an_end_that_was_cut_off_is_missed_by_a_backup_that_names_it() {
    for left in 0..5 {
        let (bench, ledger, keys) = trail().await;
        let anchor = ledger.newest_link(None).await.unwrap().unwrap();
        let walk = Walk { anchors: vec![Anchor { link: anchor, proves: false }], ..healing() };
        assert!(ledger.walk(&walk, |_, _| true).await.unwrap().is_proved());
        for key in &keys[left..] {
            assert!(bench.primary.remove(key) && bench.offsite.remove(key));
        }
        let broken = |walked| match walked {
            Err(VaultError::LedgerBroken { key, .. }) => key,
            other => panic!("{other:?}"),
        };
        assert_eq!(broken(ledger.walk(&walk, |_, _| true).await), keys[left]);
        match bench.repository().await.ledger(&bench.macs).newest_link(Some(anchor)).await {
            Err(VaultError::LedgerBroken { key, reason }) => {
                assert_eq!((key, reason), (keys[4].clone(), LedgerFault::AnchorLost))
            }
            other => panic!("{other:?}"),
        }
        // What is written in their place does not hide it.
        let fresh = bench.repository().await.ledger(&bench.macs);
        for actor in ["six", "seven", "eight", "nine", "ten"] {
            fresh.append(act(actor), now()).await.unwrap();
        }
        assert_eq!(broken(fresh.walk(&walk, |_, _| true).await), keys[4]);
        match fresh.newest_link(Some(anchor)).await {
            Err(VaultError::LedgerBroken { key, reason }) => {
                assert_eq!((key, reason), (keys[4].clone(), LedgerFault::AnchorDiffers))
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn what_the_primary_lost_is_not_written_anew_and_comes_back_from_the_off_site() {
    for left in 0..5 {
        let (bench, ledger, keys) = trail().await;
        keys[left..].iter().for_each(|key| assert!(bench.primary.remove(key)));
        let fresh = bench.repository().await.ledger(&bench.macs);
        for ledger in [&ledger, &fresh] {
            match ledger.append(act("six"), now()).await {
                Err(VaultError::LedgerBroken { key, .. }) => assert_eq!(key, keys[left]),
                other => panic!("{other:?}"),
            }
        }
        let report = fresh.walk(&healing(), |_, _| true).await.unwrap();
        assert!(report.is_sound() && report.findings.len() == 5 - left, "{report:?}");
        assert_eq!(fresh.append(act("six"), now()).await.unwrap().number, 6);
        assert!(fresh.verify_chain().await.unwrap().is_proved());
    }
    // A trail may go on in an off-site that cannot be asked: the first entry of all waits for its answer.
    let bench = Bench::new();
    bench.repository().await;
    without_offsite(&bench).await.ledger(&bench.macs).append(act("one"), now()).await.unwrap_err();
    assert!(bench.primary.keys("ledger/").is_empty());
}

/// An intruder who may write to a bucket can stop the trail, but not for ever: the object in the way is named, and once it is gone the
/// trail goes on.
#[tokio::test]
async fn what_stands_in_the_way_of_the_next_entry_is_named_and_nothing_is_built_on_it() {
    let garbage: [(&str, Vec<u8>); 6] = [
        ("ledger/000000000006.json", b"{}".to_vec()),
        ("ledger/000000000006.json", vec![b' '; 300 * 1024]),
        ("ledger/000000000006.json", Vec::new()),
        ("ledger/999999999999.json", b"{}".to_vec()),
        ("ledger/18446744073709551615.json", b"{}".to_vec()),
        ("ledger/zzz", b"{}".to_vec()),
    ];
    for (key, bytes) in garbage {
        let (bench, ledger, keys) = trail().await;
        bench.primary.replace(key, bytes);
        for ledger in [&ledger, &bench.repository().await.ledger(&bench.macs)] {
            match ledger.append(act("six"), now()).await {
                Err(VaultError::LedgerBroken { key: named, .. }) => assert_eq!(named, key),
                other => panic!("{key}: {other:?}"),
            }
        }
        assert!(ledger.verify_chain().await.is_err(), "{key}");
        assert!(bench.primary.remove(key));
        assert_eq!(ledger.append(act("six"), now()).await.unwrap().number, 6);
        assert_eq!(bench.primary.keys("ledger/")[..5], keys);
    }
}

#[tokio::test]
async fn the_newest_of_many_entries_is_found_with_few_looks_and_one_that_is_gone_is_not_taken_for_it() {
    let bench = Bench::new();
    let ledger = bench.repository().await.ledger(&bench.macs);
    ledger.append(act("one"), now()).await.unwrap();
    let template = bench.primary.bytes("ledger/000000000001.json").unwrap();
    for number in 2..=20_000_u64 {
        bench.primary.replace(&format!("ledger/{number:012}.json"), template.clone());
    }
    for newest in [20_000_u64, 19_999, 15_000, 2_001, 2_000, 1_001, 1_000, 999, 2] {
        for number in newest + 1..=20_000 {
            bench.primary.remove(&format!("ledger/{number:012}.json"));
        }
        let fresh = bench.repository().await.ledger(&bench.macs);
        bench.script.clear();
        assert_eq!(fresh.newest_number_anywhere().await.unwrap(), newest);
        let lists = bench.script.log().iter().filter(|(operation, _)| *operation == Operation::List).count();
        assert!(lists <= 20, "{lists} listings for {newest} entries");
    }
}

#[tokio::test]
async fn an_entry_that_was_removed_inserted_or_put_elsewhere_is_named() {
    // Removed, with those after it moved up.
    for place in 0..4 {
        let (bench, ledger, keys) = trail().await;
        for pair in keys[place..].windows(2) {
            let mut moved = document(&bench, &pair[1]);
            moved["entry"]["number"] = json!(moved["entry"]["number"].as_u64().unwrap() - 1);
            put(&bench, &pair[0], &moved);
        }
        for store in [&bench.primary, &bench.offsite] {
            store.remove(&keys[4]);
        }
        relink(&bench, &keys[..4], place);
        assert_eq!(named(&ledger).await, keys[place]);
    }
    // Removed, and nothing done about it.
    for place in 0..4 {
        let (bench, ledger, keys) = trail().await;
        for store in [&bench.primary, &bench.offsite] {
            store.remove(&keys[place]);
        }
        assert_eq!(named(&ledger).await, keys[place]);
    }
    // Two that changed places.
    for place in 0..4 {
        let (bench, ledger, keys) = trail().await;
        let [first, second] = [document(&bench, &keys[place]), document(&bench, &keys[place + 1])];
        for (key, mut entry, number) in [(&keys[place], second, place + 1), (&keys[place + 1], first, place + 2)] {
            entry["entry"]["number"] = json!(number);
            put(&bench, key, &entry);
        }
        relink(&bench, &keys, place);
        assert_eq!(named(&ledger).await, keys[place]);
    }
    // One more at the end, without a MAC and with that of another.
    for macs in [json!({}), json!(null)] {
        let (bench, ledger, keys) = trail().await;
        let mut forged = document(&bench, &keys[4]);
        forged["entry"]["number"] = json!(6);
        if macs.is_object() {
            forged["macs"] = macs;
        }
        let key = keys[4].replace("5.json", "6.json");
        put(&bench, &key, &forged);
        let keys = [keys, vec![key.clone()]].concat();
        relink(&bench, &keys, 4);
        assert_eq!(named(&ledger).await, key);
    }
}

#[tokio::test]
async fn an_entry_of_another_repository_is_vouched_for_by_nobody() {
    let (bench, _, keys) = trail().await;
    let other = Bench { macs: bench.macs.clone(), ..Bench::new() };
    let ledger = other.repository().await.ledger(&bench.macs);
    for key in &keys {
        let object = NewObject::new(bench.primary.bytes(key).unwrap());
        other.primary.put(key, object, PutCondition::CreateOnly).await.unwrap();
    }
    assert_eq!(named(&ledger).await, keys[0]);
}

#[tokio::test]
async fn each_site_alone_proves_the_trail_with_its_own_key_and_says_which_keys_it_asked() {
    let (bench, ledger, _) = trail().await;
    let report = ledger.verify_chain().await.unwrap();
    assert_eq!(report.vouched, [(Site::Primary, 5), (Site::Offsite, 5)].into());
    for site in [Site::Primary, Site::Offsite] {
        let alone = match site {
            Site::Primary => Sites::new(Some(bench.store(site)), None),
            Site::Offsite => Sites::new(None, Some(bench.store(site))),
        };
        let repository = Repository::open(alone, bench.keys.clone()).await.unwrap();
        let report = repository.ledger(&mac_keys(&[site])).verify_chain().await.unwrap();
        assert_eq!((report.entries, report.vouched), (5, [(site, 5)].into()));
        let report = repository.ledger(&MacKeys::default()).verify_chain().await.unwrap();
        assert_eq!((report.entries, report.proved), (5, 0), "hashes alone");
    }
}

#[tokio::test]
async fn entries_are_found_by_time_actor_and_action_newest_first() {
    let bench = Bench::new();
    let ledger = bench.repository().await.ledger(&bench.macs);
    let day = |n: i64| now() + jiff::SignedDuration::from_hours(24 * n);
    for n in 0..6 {
        let action = if n % 2 == 0 { lifeboat_model::Act::Backup } else { lifeboat_model::Act::Verify };
        let act = lifeboat_model::LedgerAct { action, ..act(&format!("stated by user {n}")) };
        ledger.append(act, day(n)).await.unwrap();
    }
    let numbers = async |filter: LedgerFilter, limit| {
        ledger.entries(&filter, limit).await.unwrap().iter().map(|entry| entry.number).collect::<Vec<_>>()
    };
    assert_eq!(numbers(LedgerFilter::default(), 2).await, [6, 5]);
    let since = LedgerFilter { since: Some(day(3)), ..LedgerFilter::default() };
    assert_eq!(numbers(since, 100).await, [6, 5, 4]);
    let between = LedgerFilter { since: Some(day(1)), until: Some(day(3)), ..LedgerFilter::default() };
    assert_eq!(numbers(between, 100).await, [3, 2]);
    let by = LedgerFilter { actor: Some("user 4".to_owned()), ..LedgerFilter::default() };
    assert_eq!(numbers(by, 100).await, [5]);
    let verified = LedgerFilter { action: Some("verify".to_owned()), ..LedgerFilter::default() };
    assert_eq!(numbers(verified, 2).await, [6, 4]);
}

/// The repository, whose off-site gives no entry of the trail.
async fn without_offsite(bench: &Bench) -> Repository {
    let script = Script::new();
    let offsite: Arc<dyn ObjectStore> = Arc::new(FaultyStore::new(bench.offsite.clone(), script.clone()));
    let sites = Sites::new(Some(bench.store(Site::Primary)), Some(offsite));
    let repository = Repository::open(sites, bench.keys.clone()).await.unwrap();
    script.add(Rule::always(Fault::Reject(Refusal::Unavailable)).under("ledger/"));
    repository
}

#[tokio::test]
async fn a_site_that_does_not_serve_is_named_and_the_other_one_proves_the_trail() {
    let (bench, ..) = trail().await;
    let report = without_offsite(&bench).await.ledger(&bench.macs).verify_chain().await.unwrap();
    assert_eq!((report.is_proved(), report.is_sound(), report.away), (true, false, vec![Site::Offsite]));
}
