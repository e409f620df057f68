//! What must be true of sites and keys before a backup can work.

use std::time::Instant;

use lifeboat_model::{Diagnosis, Site};
use lifeboat_seal::{DataKeyError, DataKeys, EncryptionContext};

use crate::error::VaultError;
use crate::layout::{PROBE_KEY, REPOSITORY_KEY};
use crate::mac::MacKeys;
use crate::sites::{SiteStore, Sites};
use crate::store::{NewObject, Protection, PutCondition};
use crate::store_error::StoreError;

/// The same bytes each time: the first doctor writes them, every later one is told that they are there. S3 asks who may write
/// before it looks at the condition, so either answer proves the right to.
const PROBE: &[u8] = b"{\"written_by\":\"lifeboat doctor\"}";

/// Whether a site answers, without asking anything of anyone's rights but to read. A repository need not be there yet.
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
    let told = |check: String, error: &StoreError| Diagnosis::failed(check, story(error), plain(error.hint()));
    let probe = site.store().put(PROBE_KEY, NewObject::new(PROBE), PutCondition::CreateOnly).await;
    if let Err(error) = &probe {
        return vec![told(name("writable"), error)];
    }
    let read = site.store().get(PROBE_KEY, PROBE.len() as u64).await;
    let writable = match &read {
        Ok(fetched) if fetched.body == PROBE => Diagnosis::ok(name("writable"), place),
        Ok(_) => Diagnosis::failed(
            name("writable"),
            format!("`{PROBE_KEY}` reads otherwise than it was written"),
            "something between here and the bucket changes bytes, or somebody changed the object: compare its versions",
        ),
        Err(error) => told(name("writable"), error),
    };
    vec![writable, check_protection(name("protected"), site.store().protection().await)]
}

fn check_protection(check: String, protection: Result<Protection, StoreError>) -> Diagnosis {
    match protection {
        Ok(Protection { versioned: true, locked: Some(locked) }) => {
            Diagnosis::ok(check, format!("versioned, locked ({locked})"))
        }
        Ok(Protection { versioned: true, locked: None }) => Diagnosis::warn(
            check,
            "versioned, and not locked: whoever may delete versions may delete every backup",
            "turn Object Lock on with a default retention longer than an epoch of 90 days",
        ),
        Ok(Protection { versioned: false, .. }) => Diagnosis::warn(
            check,
            "not versioned: what is overwritten or deleted is gone",
            "turn versioning on, and Object Lock with a default retention",
        ),
        Err(error) => Diagnosis::warn(
            check,
            format!("not known: {}", story(&error)),
            "allow `s3:GetBucketVersioning` and `s3:GetBucketObjectLockConfiguration` to see it",
        ),
    }
}

/// Whether a data key can be made, and recovered from each of its encrypted forms alone: that is what a restore with one
/// region gone comes down to.
///
/// Without a repository's context: nothing that this makes opens anything stored. `sites` names the keys in their order.
pub async fn check_keys(keys: &dyn DataKeys, sites: &[Site]) -> Vec<Diagnosis> {
    let told = |check: String, error: &DataKeyError| Diagnosis::failed(check, story(error), plain(error.hint()));
    let context = match EncryptionContext::from_pairs([("lifeboat-purpose", "doctor")]) {
        Ok(context) => context,
        Err(error) => return vec![Diagnosis::failed("keys", error.to_string(), plain(error.hint()))],
    };
    let generated = match keys.generate(&context).await {
        Ok(generated) => generated,
        Err(error) => return vec![told("keys".to_owned(), &error)],
    };
    if generated.encrypted.len() < sites.len() {
        let seen = format!("of {} sites, {} have a key", sites.len(), generated.encrypted.len());
        return vec![Diagnosis::failed("keys", seen, "set the key of each site: what is sealed must open with either")];
    }
    let mut checks = Vec::new();
    for (site, entry) in sites.iter().zip(&generated.encrypted) {
        let (name, asked) = (format!("{site} key"), Instant::now());
        let checked = match keys.decrypt(&context, std::slice::from_ref(entry)).await {
            Ok(key) if key.expose_bytes() == generated.key.expose_bytes() => {
                Diagnosis::ok(name, "encrypts, and opens alone what it encrypted")
            }
            Ok(_) => Diagnosis::failed(
                name,
                "gives another data key than was encrypted",
                "this is no key service that can be relied on: check the endpoint",
            ),
            Err(error) => told(name, &error),
        };
        checks.push(checked.on(*site).after(asked.elapsed()));
    }
    checks
}

/// Whether the key of each site vouches for what is put on record, and knows its own MACs.
pub async fn check_mac_keys(macs: &MacKeys, sites: &[Site]) -> Vec<Diagnosis> {
    let mut checks = Vec::new();
    for site in sites {
        let name = format!("{site} ledger key");
        let Some(key) = macs.get(*site) else {
            let absent = Diagnosis::failed(
                name,
                "there is none to vouch for what is put on record",
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
            Ok(true) => Diagnosis::ok(name, "vouches for an entry, and knows that it did"),
            Ok(false) => Diagnosis::failed(
                name,
                "does not know the MAC that it made",
                "this is no key service that can be relied on: check the endpoint",
            ),
            Err(error) => Diagnosis::failed(name, story(&error), plain(error.hint())),
        };
        checks.push(checked.on(*site).after(asked.elapsed()));
    }
    checks
}

/// Causes that are told at most: chains are short, and one that leads back to itself must end.
const MOST_CAUSES: usize = 8;

/// An error and its causes. A cause that its error has quoted already is not repeated.
fn story(error: &dyn std::error::Error) -> String {
    let mut story = error.to_string();
    let mut cause = error.source();
    for _ in 0..MOST_CAUSES {
        let Some(error) = cause else { break };
        let text = error.to_string();
        if !story.ends_with(text.trim_end_matches('.')) {
            story.push_str(&format!(": {}", text.trim_end_matches('.')));
        }
        cause = error.source();
    }
    story
}

fn plain(hint: &str) -> &str {
    hint.trim_end_matches('.')
}
