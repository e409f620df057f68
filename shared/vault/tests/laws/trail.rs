//! The audit trail against somebody who may write to the buckets and not ask the keys.

use std::sync::Arc;

use async_trait::async_trait;
use lifeboat_model::Site;
use lifeboat_seal::DataKeyError;
use lifeboat_vault::{
    HmacKey, Ledger, LedgerFilter, MacKey, MacKeys, NewObject, ObjectStore, PutCondition, VaultError, sha256,
};
use serde_json::{Value, json};

use crate::bench::{Bench, mac_keys, now};
use crate::crowds::act;

const HEAD: &str = "state/ledger-head.json";

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

/// The key that the verification names.
async fn named(ledger: &Ledger) -> String {
    match ledger.verify_chain().await {
        Err(VaultError::LedgerBroken { key, .. } | VaultError::Document { key, .. }) => key,
        other => panic!("{other:?}"),
    }
}

fn document(bench: &Bench, key: &str) -> Value {
    serde_json::from_slice(&bench.primary.bytes(key).unwrap()).unwrap()
}

/// Writes the same bytes to both sites.
fn put(bench: &Bench, key: &str, document: &Value) {
    for store in [&bench.primary, &bench.offsite] {
        store.replace(key, document.to_string());
    }
}

/// Makes every later entry, and the head, fit the entry at `place` again: as much as can be done without the keys.
fn relink(bench: &Bench, keys: &[String], place: usize) {
    for pair in keys[place..].windows(2) {
        let previous = sha256(&bench.primary.bytes(&pair[0]).unwrap()).to_string();
        let mut next = document(bench, &pair[1]);
        next["entry"]["previous"] = json!(previous);
        put(bench, &pair[1], &next);
    }
    let newest = keys.last().unwrap();
    let stored = String::from_utf8(bench.primary.bytes(newest).unwrap().to_vec()).unwrap();
    bench.primary.replace(HEAD, format!(r#"{{"key":"{newest}","stored":{stored}}}"#));
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

        for macs in [json!({}), json!({"primary": "", "offsite": ""}), json!({"offsite": "A".repeat(10_000)})] {
            let (bench, ledger, keys) = trail().await;
            let mut altered = document(&bench, &keys[place]);
            altered["macs"] = macs;
            put(&bench, &keys[place], &altered);
            relink(&bench, &keys, place);
            assert_eq!(named(&ledger).await, keys[place]);
        }
    }
}

/// Whoever writes the next entry must not vouch for what somebody made without the keys.
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

/// A head alone is put right: what it held had not been acknowledged to anybody.
#[tokio::test]
async fn a_forged_head_is_named_and_the_next_entry_takes_its_place() {
    let (bench, ledger, keys) = trail().await;
    let mut forged = document(&bench, &keys[4]);
    forged["entry"]["number"] = json!(6);
    forged["entry"]["previous"] = json!(sha256(&bench.primary.bytes(&keys[4]).unwrap()).to_string());
    let key = keys[4].replace("5.json", "6.json");
    for macs in [forged["macs"].clone(), json!({})] {
        forged["macs"] = macs;
        bench.primary.replace(HEAD, format!(r#"{{"key":"{key}","stored":{forged}}}"#));
        assert_eq!(named(&ledger).await, HEAD);
    }
    ledger.append(act("six"), now()).await.unwrap();
    let report = ledger.verify_chain().await.unwrap();
    assert_eq!((report.entries, report.is_proved()), (6, true));
    assert_eq!(ledger.entries(&LedgerFilter::default(), 1).await.unwrap()[0].actor, "six");
}

/// A key that does not answer.
struct Away;

#[async_trait]
impl MacKey for Away {
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
    let near: Arc<dyn MacKey> = Arc::new(HmacKey::new(b"primary"));
    let with = |near: Arc<dyn MacKey>| MacKeys::new([(Site::Primary, near), (Site::Offsite, Arc::new(Away) as _)]);
    let repository = bench.repository().await;
    let report = repository.ledger(&with(near.clone())).verify_chain().await.unwrap();
    assert_eq!((report.is_proved(), report.vouched), (true, [(Site::Primary, 5)].into()));
    assert_eq!(report.silent.keys().collect::<Vec<_>>(), [&Site::Offsite]);
    let unproved = repository.ledger(&with(Arc::new(Away))).verify_chain().await;
    assert!(unproved.is_err() || !unproved.as_ref().unwrap().is_proved(), "{unproved:?}");
    // With one key away, its MAC alone is nobody's word.
    let mut altered = document(&bench, &keys[4]);
    altered["entry"]["actor"] = json!("nobody");
    altered["macs"] = json!({ "offsite": altered["macs"]["offsite"] });
    put(&bench, &keys[4], &altered);
    relink(&bench, &keys, 4);
    let report = repository.ledger(&with(near.clone())).verify_chain().await;
    assert!(report.is_err() || !report.as_ref().unwrap().is_proved(), "{report:?}");

    let (bench, ..) = trail().await;
    let repository = bench.repository().await;
    repository.ledger(&with(near)).append(act("six"), now()).await.unwrap();
    let refused = repository.ledger(&with(Arc::new(Away))).append(act("seven"), now()).await.unwrap_err();
    assert!(matches!(refused, VaultError::NotVouched), "{refused:?}");
    let report = repository.ledger(&bench.macs).verify_chain().await.unwrap();
    assert_eq!((report.entries, report.is_proved()), (6, true));
    assert_eq!(report.vouched, [(Site::Primary, 6), (Site::Offsite, 5)].into());
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
        bench.primary.remove(&keys[place]);
        assert_eq!(named(&ledger).await, keys[place + 1]);
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
    for key in keys.iter().map(String::as_str).chain([HEAD]) {
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
            Site::Primary => lifeboat_vault::Sites::new(Some(bench.store(site)), None),
            Site::Offsite => lifeboat_vault::Sites::new(None, Some(bench.store(site))),
        };
        let repository = lifeboat_vault::Repository::open(alone, bench.keys.clone()).await.unwrap();
        let report = repository.ledger(&mac_keys(&[site])).verify_chain().await.unwrap();
        assert_eq!((report.entries, report.vouched), (5, [(site, 5)].into()));
        let report = repository.ledger(&MacKeys::default()).verify_chain().await.unwrap();
        assert_eq!((report.entries, report.vouched.len()), (5, 0), "hashes alone");
    }
}

#[tokio::test]
async fn entries_are_found_by_time_actor_and_action_newest_first() {
    let bench = Bench::new();
    let ledger = bench.repository().await.ledger(&bench.macs);
    let day = |n: i64| now() + jiff::SignedDuration::from_hours(24 * n);
    for n in 0..6 {
        let action = if n % 2 == 0 { "backup" } else { "verify" };
        let act = lifeboat_model::LedgerAct { action: action.to_owned(), ..act(&format!("stated by user {n}")) };
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
