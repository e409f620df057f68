//! The checks of sites and keys that a backup needs.

use std::time::Instant;

use lifeboat_model::{Diagnosis, Site, story};
use lifeboat_seal::{DataKeyError, DataKeys, EncryptionContext};

use crate::error::{VaultError, advice_on_data_key, advice_on_seal};
use crate::layout::{PROBE_KEY, REPOSITORY_KEY};
use crate::ledger::mac_keys::MacKeys;
use crate::operations::protection::judge_protection;
use crate::store::error::StoreError;
use crate::store::port::{NewObject, PutCondition};
use crate::store::sites::{SiteStore, Sites};

/// The same bytes each time: the first doctor writes them, and every later one finds them. S3 checks the right to write before the
/// condition, so either answer proves the right.
const PROBE: &[u8] = b"{\"written_by\":\"lifeboat doctor\"}";

/// Whether a site answers. Needs only the right to read. There need not be a repository yet.
///
/// # Errors
/// [`VaultError::NoSite`], [`VaultError::Store`].
pub async fn answers(sites: &Sites, site: Site) -> Result<(), VaultError> {
    sites.get(site)?.head(REPOSITORY_KEY).await.map(drop)
}

/// Whether a site can be written to and keeps what is written.
pub async fn check_site(site: &SiteStore) -> Vec<Diagnosis> {
    let name = |what: &str| format!("{} {what}", site.site());
    let place = site.store().describe();
    let failed = |check: String, error: &StoreError| Diagnosis::failed(check, story(error), error.advice().hint);
    let probe = site.store().put(PROBE_KEY, NewObject::new(PROBE), PutCondition::CreateOnly).await;
    if let Err(error) = &probe {
        return vec![failed(name("writable"), error)];
    }
    let read = site.store().get(PROBE_KEY, PROBE.len() as u64).await;
    let writable = match &read {
        Ok(fetched) if fetched.body == PROBE => Diagnosis::ok(name("writable"), place),
        Ok(_) => Diagnosis::failed(
            name("writable"),
            format!("`{PROBE_KEY}` was read back with other bytes than were written"),
            "something between here and the bucket changes bytes, or somebody changed the object: compare its versions",
        ),
        Err(error) => failed(name("writable"), error),
    };
    vec![writable, judge_protection(site.site(), &site.store().protection().await)]
}

/// Whether a data key can be made, and recovered from each of its encrypted forms alone: that is what a restore with one
/// region gone comes down to.
///
/// Without a repository's context: nothing that this makes opens anything stored. `sites` names the keys in their order.
pub async fn check_keys(keys: &dyn DataKeys, sites: &[Site]) -> Vec<Diagnosis> {
    let failed =
        |check: String, error: &DataKeyError| Diagnosis::failed(check, story(error), advice_on_data_key(error).hint);
    let context = match EncryptionContext::from_pairs([("lifeboat-purpose", "doctor")]) {
        Ok(context) => context,
        Err(error) => return vec![Diagnosis::failed("keys", error.to_string(), advice_on_seal(&error).hint)],
    };
    let generated = match keys.generate(&context).await {
        Ok(generated) => generated,
        Err(error) => return vec![failed("keys".to_owned(), &error)],
    };
    if generated.encrypted.len() < sites.len() {
        let seen = format!("of {} sites, {} have a key", sites.len(), generated.encrypted.len());
        return vec![Diagnosis::failed("keys", seen, "set the key of each site: each must open what is sealed")];
    }
    let mut checks = Vec::new();
    for (site, entry) in sites.iter().zip(&generated.encrypted) {
        let (name, asked) = (format!("{site} key"), Instant::now());
        let checked = match keys.decrypt(&context, std::slice::from_ref(entry)).await {
            Ok(key) if key.expose_bytes() == generated.key.expose_bytes() => {
                Diagnosis::ok(name, "encrypts, and decrypts alone what it encrypted")
            }
            Ok(_) => Diagnosis::failed(
                name,
                "decrypts to another data key than it encrypted",
                "the key service is not reliable: check its endpoint",
            ),
            Err(error) => failed(name, &error),
        };
        checks.push(checked.on(*site).after(asked.elapsed()));
    }
    checks
}

/// Whether the key of each site makes MACs for ledger entries, and confirms them.
pub async fn check_mac_keys(macs: &MacKeys, sites: &[Site]) -> Vec<Diagnosis> {
    let mut checks = Vec::new();
    for site in sites {
        let name = format!("{site} ledger key");
        let Some(key) = macs.get(*site) else {
            let absent = Diagnosis::failed(
                name,
                "no key is configured to vouch for ledger entries",
                "set the ARN of the site's HMAC key",
            );
            checks.push(absent.on(*site));
            continue;
        };
        let asked = Instant::now();
        let answer = match key.mac(PROBE).await {
            Ok(mac) => key.is_mac(PROBE, &mac).await,
            Err(error) => Err(error),
        };
        let checked = match answer {
            Ok(true) => Diagnosis::ok(name, "makes a MAC for an entry, and confirms it"),
            Ok(false) => Diagnosis::failed(
                name,
                "does not confirm the MAC that it made",
                "the key service is not reliable: check its endpoint",
            ),
            Err(error) => Diagnosis::failed(name, story(&error), advice_on_data_key(&error).hint),
        };
        checks.push(checked.on(*site).after(asked.elapsed()));
    }
    checks
}
