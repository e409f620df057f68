//! A role is taken over: what its policies refuse, what is found of the rest, who is told, and how it is repaired.

use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::error::ProvideErrorMetadata as _;
use lifeboat_local::{AlertInbox, DATABASE, OFFSITE_REGION, PRIMARY_REGION, Stage};
use lifeboat_model::{BackupId, Site};
use serde_json::{Value, json};

use crate::bench::small_stage;
use crate::stored::{BOTH, Stored};

const PATIENCE: Duration = Duration::from_secs(60);

/// A backup that claims to have begun in a hundred years.
const FUTURE: &str = "2126-11-21T20-49-33Z-k3f9";

/// The role of a function in the hands of an intruder.
pub struct Intruder {
    clients: [(Client, String); 2],
}

impl Intruder {
    pub async fn take_over(stage: &Stage, function: &str) -> Self {
        let (role, at) = (format!("lifeboat-{PRIMARY_REGION}-{function}"), stage.deployment());
        let client = async |region| Client::new(&stage.cloud().config_as(&role, region).await.unwrap());
        let offsite = at.offsite.clone().unwrap().bucket;
        Self {
            clients: [
                (client(PRIMARY_REGION).await, at.primary_bucket.clone()),
                (client(OFFSITE_REGION).await, offsite),
            ],
        }
    }

    fn bucket(&self, site: Site) -> (&Client, &str) {
        let (client, bucket) = &self.clients[usize::from(site == Site::Offsite)];
        (client, bucket)
    }

    /// Replaces an object by nonsense, with the state that it has: the most that a compare-and-swap lets through. Says whether
    /// the bucket took it.
    async fn overwrite(&self, stored: &Stored, site: Site, key: &str) -> bool {
        let (s3, bucket) = self.bucket(site);
        let tag = stored.tag(site, key).await;
        let put = s3.put_object().bucket(bucket).key(key).if_match(tag).body(b"nonsense".to_vec().into());
        is_taken(put.send().await.map_err(|error| error.code().unwrap_or_default().to_owned()))
    }

    pub async fn create(&self, site: Site, key: &str, body: Vec<u8>) -> bool {
        let (s3, bucket) = self.bucket(site);
        let put = s3.put_object().bucket(bucket).key(key).if_none_match("*").body(body.into());
        is_taken(put.send().await.map_err(|error| error.code().unwrap_or_default().to_owned()))
    }

    pub async fn delete(&self, site: Site, key: &str) -> bool {
        let (s3, bucket) = self.bucket(site);
        let delete = s3.delete_object().bucket(bucket).key(key);
        is_taken(delete.send().await.map_err(|error| error.code().unwrap_or_default().to_owned()))
    }
}

fn is_taken<T>(answer: Result<T, String>) -> bool {
    match answer {
        Ok(_) => true,
        Err(code) => {
            assert_eq!(code, "AccessDenied");
            false
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_was_taken_over_is_refused_heard_of_and_repaired() {
    let stage = small_stage(&[]).await;
    let (cloud, at) = (stage.cloud(), stage.deployment());
    let backup = cloud.invoke(&at.backup, &json!({"database": DATABASE})).await.unwrap();
    assert!(!backup.failed, "{backup:?}");
    let backup_id: BackupId = backup.payload["backup_id"].as_str().unwrap().parse().unwrap();
    stage.tap().wait_for("Verification Completed", PATIENCE, |_| ()).await.unwrap();
    assert!(!cloud.invoke(&at.health, &json!({})).await.unwrap().failed);
    let stored = Stored::on(&stage).await;
    let inbox = AlertInbox::open(&cloud.sns().await, &at.topic_arn, &["critical"]).await.unwrap();
    let intruder = Intruder::take_over(&stage, "backup").await;

    // Refused: history, evidence of others, freshness, acknowledgements of others, deletion.
    let manifest = format!("backups/{DATABASE}/{backup_id}/manifest.json");
    let list = format!("backups/{DATABASE}/{backup_id}/chunks-00000.jsonl.zst");
    for site in BOTH {
        for key in [&manifest, &list, "ledger/000000000001.json"] {
            assert!(!intruder.overwrite(&stored, site, key).await, "{key} on {site}");
            assert!(!intruder.delete(site, key).await, "{key} on {site}");
        }
        for key in [
            "incidents/verification-finding/clinic.json",
            "incidents/backup-overdue/clinic.json",
            "findings/clinic/2026-11-21T20-49-33.000Z.json",
        ] {
            assert!(!intruder.create(site, key, b"{}".to_vec()).await, "{key} on {site}");
        }
    }
    for key in ["state/history.json", "state/health.json", "state/policy.json"] {
        assert!(!intruder.overwrite(&stored, Site::Primary, key).await, "{key}");
    }

    // Not refused, and found: a backup that is dated in the future, told by the health check.
    assert!(
        intruder.create(Site::Primary, &format!("backups/{DATABASE}/{FUTURE}/manifest.json"), b"{}".to_vec()).await
    );
    assert!(!cloud.invoke(&at.health, &json!({})).await.unwrap().failed);
    let told = inbox.wait_for(1, PATIENCE).await.unwrap();
    assert_eq!(told[0].attributes["type"], "backup-misdated");
    assert!(told[0].message.contains(FUTURE), "{}", told[0].message);

    // Not refused, found and healed: a chunk of one site.
    let chunks: Vec<String> = stored.keys(Site::Primary, "chunks/").await.into_iter().collect();
    let (one, both) = (&chunks[0], &chunks[1]);
    assert!(intruder.overwrite(&stored, Site::Offsite, one).await);
    let findings = verify(&stage).await;
    assert!(findings.iter().any(|finding| finding["subject"] == **one && finding["healed"] == true), "{findings:?}");
    assert_eq!(stored.bytes(Site::Offsite, one).await, stored.bytes(Site::Primary, one).await);

    let healed = [manifest.as_str(), "ledger/000000000001.json", "repository.json"];
    verify_is_taken_over(&stage, &stored, &healed).await;

    // Not refused, found, told: a chunk of both sites. The locked versions below are put back in front.
    let sound = stored.bytes(Site::Primary, both).await;
    for site in BOTH {
        assert!(intruder.overwrite(&stored, site, both).await);
    }
    let findings = verify(&stage).await;
    assert!(findings.iter().any(|finding| finding["subject"] == **both && finding["healed"] == false), "{findings:?}");
    let told = inbox.wait_for(2, PATIENCE).await.unwrap();
    assert_eq!(told[1].attributes["type"], "verification-finding");
    stored.put_version_back(Site::Primary, both).await;
    assert_eq!(stored.bytes(Site::Primary, both).await, sound);
    let findings = verify(&stage).await;
    assert!(findings.iter().all(|finding| finding["healed"] == true), "the off-site is healed from it: {findings:?}");
    assert_eq!(stored.bytes(Site::Offsite, both).await, sound);
}

/// The role of `verify` may replace what it heals, and no more. On one site, that is found and healed.
async fn verify_is_taken_over(stage: &Stage, stored: &Stored, healed: &[&str]) {
    let healer = Intruder::take_over(stage, "verify").await;
    for key in
        ["incidents/backup-failed/clinic.json", "drills/clinic/2026-11-21T20-49-33.000Z.json", "state/history.json"]
    {
        for site in BOTH {
            assert!(!healer.create(site, key, b"{}".to_vec()).await, "{key} on {site}");
        }
    }
    for key in healed {
        assert!(healer.overwrite(stored, Site::Offsite, key).await, "{key}");
        let findings = verify(stage).await;
        assert!(findings.iter().any(|finding| finding["healed"] == true), "{key}: {findings:?}");
        assert_eq!(stored.bytes(Site::Offsite, key).await, stored.bytes(Site::Primary, key).await, "{key}");
    }
}

/// What a verification of everything finds, except of the forged backup, which it names each time: only the break-glass role can
/// remove that.
async fn verify(stage: &Stage) -> Vec<Value> {
    let order = json!({"database": DATABASE, "scope": "all"});
    let answer = stage.cloud().invoke(&stage.deployment().verify, &order).await.unwrap();
    let findings = answer.payload[0]["findings"].as_array().unwrap_or_else(|| panic!("{answer:?}")).clone();
    let of_the_forged = |finding: &Value| finding["subject"].as_str().unwrap().contains(FUTURE);
    let (forged, others) = findings.into_iter().partition::<Vec<_>, _>(of_the_forged);
    assert!(!forged.is_empty() && forged.iter().all(|finding| finding["healed"] == false), "{forged:?}");
    others
}
