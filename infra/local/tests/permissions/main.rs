//! Each statement of each policy in the templates, exercised by a request that it lets through and one that it does not.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test file: a panic is a failed test")]

mod breadth;
mod caller;
mod destruction;
mod grants;
mod record;
mod statements;

use std::collections::BTreeSet;
use std::path::PathBuf;

use aws_sdk_s3::types::ObjectLockMode;
use lifeboat_local::{ACCOUNT, Cloud, CloudOptions, Deployment, Functions, OFFSITE_REGION, PRIMARY_REGION};
use serde_json::json;

use crate::caller::{Answer, At, Caller, Write};
use crate::destruction::{each_destruction, each_opening};
use crate::grants::{each_grant, each_lock};
use crate::record::Record;
use crate::statements::{decide, hire, of_templates, parameters, people, store_something, trail_bucket, without};

/// Statements without a request here, each with its reason.
const NOT_EXERCISED: [(&str, &str); 11] = [
    ("AlertsPolicy/TlsOnly", "the emulator speaks plain HTTP"),
    ("Bucket/TlsOnly", "the emulator speaks plain HTTP"),
    ("TrailBucket/TlsOnly", "the emulator speaks plain HTTP"),
    ("FailureQueuesPolicy/TlsOnly", "the emulator speaks plain HTTP"),
    ("FailureQueuesPolicy/UndeliveredEvents", "no role calls as EventBridge"),
    ("AlarmsPolicy/CloudWatchAlarms", "no role calls as CloudWatch"),
    ("TrailRole/Log", "there is no CloudTrail"),
    ("BackupRole/OpenSecrets", "no secret is encrypted under a key here"),
    ("TestRestoreRole/OpenSecrets", "no secret is encrypted under a key here"),
    ("RestoreRole/OpenSecrets", "no secret is encrypted under a key here"),
    ("Key/AccountAdministers", "it delegates to the roles' policies, which are exercised"),
];

/// What one function may do with a site.
struct Reach {
    read: (&'static str, &'static str),
    create: Option<(&'static str, &'static str)>,
    replace: Option<(&'static str, &'static str)>,
}

/// A function's role.
struct Function {
    role: &'static str,
    logical: &'static str,
    /// A kind of event that it puts, and one that another function puts.
    event: Option<(&'static str, &'static str)>,
    primary: Reach,
    offsite: Reach,
}

const CHUNK: &str = "chunks/0001/ab/cd";
const MANIFEST: &str = "backups/clinic/1/manifest.json";
const ENTRY: &str = "ledger/000000000001.json";

fn functions() -> [Function; 6] {
    let reach = |read, create, replace| Reach { read, create, replace };
    [
        Function {
            role: "backup",
            logical: "BackupRole",
            event: Some(("Backup Completed", "Verification Completed")),
            primary: reach((CHUNK, "drills/x"), Some((MANIFEST, "findings/x")), Some((CHUNK, MANIFEST))),
            offsite: reach((MANIFEST, "drills/x"), Some((CHUNK, "state/x.json")), Some((CHUNK, ENTRY))),
        },
        Function {
            role: "verify",
            logical: "VerifyRole",
            event: Some(("Verification Completed", "Backup Completed")),
            primary: reach(
                ("drills/x", ""),
                Some(("state/rotation-clinic.json", "state/history.json")),
                Some((MANIFEST, "incidents/backup-failed/clinic.json")),
            ),
            offsite: reach(("drills/x", ""), Some(("findings/x", "drills/x")), Some((CHUNK, "state/rotation-x.json"))),
        },
        Function {
            role: "test-restore",
            logical: "TestRestoreRole",
            event: Some(("Restore Test Failed", "Backup Requested")),
            primary: reach(
                (CHUNK, ""),
                Some(("drills/x", MANIFEST)),
                Some(("incidents/drill-failed/clinic.json", "incidents/verification-finding/clinic.json")),
            ),
            offsite: reach((CHUNK, ""), Some((ENTRY, CHUNK)), Some(("incidents/drill-failed/clinic.json", "drills/x"))),
        },
        Function {
            role: "restore",
            logical: "RestoreRole",
            event: Some(("Restore Completed", "Restore Test Completed")),
            primary: reach(
                (CHUNK, ""),
                Some((ENTRY, "drills/x")),
                Some(("incidents/restore-failed/clinic.json", "incidents/drill-failed/clinic.json")),
            ),
            offsite: reach((CHUNK, ""), Some((ENTRY, CHUNK)), Some(("incidents/restore-failed/clinic.json", ENTRY))),
        },
        Function {
            role: "health",
            logical: "HealthRole",
            event: Some(("Scratch Cleanup Requested", "Backup Requested")),
            primary: reach(("state/history.json", CHUNK), Some((ENTRY, MANIFEST)), Some(("state/history.json", ENTRY))),
            offsite: reach(
                (ENTRY, "state/x.json"),
                Some((ENTRY, "repository.json")),
                Some(("incidents/offsite-lag/clinic.json", ENTRY)),
            ),
        },
        Function {
            role: "status",
            logical: "StatusRole",
            event: None,
            primary: reach(("state/history.json", MANIFEST), None, None),
            offsite: reach((ENTRY, CHUNK), None, None),
        },
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_statement_of_the_templates_lets_through_what_it_should_and_nothing_else() {
    let functions = Functions::StandIn(PathBuf::from("/dev/null"));
    let options = CloudOptions { functions, offsite: true, postgres_client_dir: PathBuf::new() };
    let cloud = Cloud::start(options).await.unwrap();
    hire(&cloud).await;
    let at = cloud.deploy(&parameters(&cloud).await).await.unwrap();
    store_something(&cloud, &at, CHUNK).await;
    let mail = cloud.sns().await.subscribe().topic_arn(&at.topic_arn).protocol("email").endpoint("a@clinic.example");
    let subscription = mail.send().await.unwrap().subscription_arn().unwrap().to_owned();

    let mut record = Record::default();
    for function in self::functions() {
        let name = format!("lifeboat-{PRIMARY_REGION}-{}", function.role);
        let caller = Caller::assume(&cloud, &at, &name).await;
        own(&mut record, &caller, &function, &at, &subscription).await;
        for (site, reach) in [(At::Primary, &function.primary), (At::Offsite, &function.offsite)] {
            site_of(&mut record, &caller, function.logical, site, reach).await;
        }
        keys(&mut record, &caller, function.role).await;
    }
    let people = people(&cloud, &at).await;
    let [administrator, break_glass, _] = &people;
    sites(&mut record, &cloud, &at, administrator, break_glass).await;
    bus(&mut record, administrator, break_glass).await;
    elsewhere(&mut record, &cloud, &at).await;
    each_destruction(&mut record, &cloud, &at).await;
    each_opening(&cloud, &at).await;
    each_grant(&cloud, &at).await;
    each_lock(&cloud, &at).await;
    Box::pin(keys_alone(&mut record, &cloud, &at, &people)).await;

    assert!(record.wrong.is_empty(), "{:#?}", record.wrong);
    let left_out: BTreeSet<String> = NOT_EXERCISED.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(record.exercised.intersection(&left_out).count(), 0);
    let known: BTreeSet<String> = record.exercised.union(&left_out).cloned().collect();
    assert_eq!(known.symmetric_difference(&of_templates()).collect::<Vec<_>>(), Vec::<&String>::new());
}

/// What a function has of its own: log, failure queue, topics, parameter, secrets, events.
async fn own(record: &mut Record, caller: &Caller, function: &Function, at: &Deployment, subscription: &str) {
    let Function { role, logical, event, .. } = function;
    let named = |sid: &str| format!("{logical}/{sid}");
    let other = if *role == "backup" { "verify" } else { "backup" };
    let another = if *role == "backup" { "Verify" } else { "Backup" };
    record.statement(&named("Log"), caller.log(logical.trim_end_matches("Role")).await, caller.log(another).await);
    record.statement(&named("ReadPolicy"), caller.parameter(&at.policy).await, caller.parameter("another").await);
    if *role == "status" {
        return;
    }
    let queues = [
        ("backup", &at.backup),
        ("verify", &at.verify),
        ("test-restore", &at.test_restore),
        ("restore", &at.restore),
        ("health", &at.health),
    ];
    let queue = |of: &str| queues.iter().find(|(role, _)| *role == of).unwrap().1.failures_queue_url.clone();
    record.statement(&named("FailAloud"), caller.send(&queue(role)).await, caller.send(&queue(other)).await);
    let elsewhere = at.topic_arn.replace(&at.topic_arn[at.topic_arn.rfind(':').unwrap()..], ":another");
    record.statement(&named("Alert"), caller.publish(&at.topic_arn).await, caller.publish(&elsewhere).await);
    assert_eq!(caller.publish(&at.chat_topic_arn).await, Answer::Allowed, "{role}");
    let subscribers = [caller.subscriptions(&at.topic_arn).await, caller.filter(subscription).await];
    match *role {
        "health" => {
            record.statement(&named("ListSubscribers"), subscribers[0], caller.subscriptions(&elsewhere).await);
            assert_eq!(caller.subscriptions(&at.alarms_topic_arn).await, Answer::Allowed, "who gets the alarms");
            assert_eq!(caller.publish(&at.alarms_topic_arn).await, Answer::Denied, "only CloudWatch sends alarms");
            // It may read any filter, so what it may not is read another topic's list.
            record.statement(&named("ReadFilters"), subscribers[1], caller.subscriptions(&elsewhere).await);
        }
        _ => assert_eq!(subscribers, [Answer::Denied; 2], "{role}"),
    }
    record.statement(&named("Vouch"), caller.mac(At::Primary).await, caller.disable(At::Primary, true).await);
    record.statement(&named("VouchOffsite"), caller.mac(At::Offsite).await, caller.disable(At::Offsite, true).await);
    if let Some((ours, theirs)) = event {
        record.statement(
            &named("Signal"),
            caller.speak("lifeboat", ours).await,
            caller.speak("lifeboat", theirs).await,
        );
        assert_eq!(caller.speak("another", ours).await, Answer::Denied, "{role}");
    }
    let [source, scratch] = [caller.secret("source").await, caller.secret("scratch").await];
    match *role {
        "backup" => record.statement(&named("Connect"), source, scratch),
        "test-restore" => record.statement(&named("Connect"), scratch, source),
        "restore" => {
            record.statement(&named("Connect"), caller.secret("restore").await, source);
            assert_eq!(scratch, Answer::Denied);
        }
        _ => assert_eq!([source, scratch], [Answer::Denied; 2], "{role}"),
    }
    let history = caller.parameter_history(&at.policy).await;
    assert_eq!(history == Answer::Allowed, *role == "health", "{role}");
}

/// What a function may read, create and replace on a site.
async fn site_of(record: &mut Record, caller: &Caller, logical: &str, site: At, reach: &Reach) {
    let suffix = if site == At::Primary { "OnPrimary" } else { "Offsite" };
    let named = |verb: &str| format!("{logical}/{verb}{suffix}");
    let (ours, theirs) = reach.read;
    let refused = match theirs {
        // It may read everything, so what it may not is delete.
        "" => caller.delete(site, ours).await,
        theirs => caller.get(site, theirs).await,
    };
    record.statement(&named("Read"), caller.get(site, ours).await, refused);
    let looks = [caller.list(site).await, caller.lock_settings(site).await];
    assert_eq!(looks, [Answer::Allowed; 2], "{logical}");
    let refused = match logical {
        "HealthRole" => caller.delete(site, CHUNK).await,
        _ => caller.versioning(site).await,
    };
    record.statement(&named("Look"), Answer::Allowed, refused);
    let Some((ours, theirs)) = reach.create else {
        assert_eq!(caller.put(site, ENTRY, Write::Create, None).await, Answer::Denied, "{logical}");
        return;
    };
    let create = |key| caller.put(site, key, Write::Create, None);
    record.statement(&named("Create"), create(ours).await, create(theirs).await);
    assert_eq!(caller.put(site, ours, Write::Blind, None).await, Answer::Denied, "{logical}: {ours}");
    if let Some((ours, theirs)) = reach.replace {
        let replace = |key| caller.put(site, key, Write::Replace, None);
        record.statement(&named("Replace"), replace(ours).await, replace(theirs).await);
    }
    let lock = |key, days| caller.put(site, key, Write::Create, Some((ObjectLockMode::Governance, days)));
    record.statement(&named("Lock"), lock(ENTRY, 2555.0).await, lock(MANIFEST, 2555.0).await);
}

/// What a function may do with the key of each site.
async fn keys(record: &mut Record, caller: &Caller, role: &str) {
    use At::{Offsite, Primary};
    match role {
        "backup" => {
            let other = caller.generate(Primary, "other").await;
            record.statement("BackupRole/SealOnPrimary", caller.generate(Primary, "chunk").await, other);
            let chunk = caller.decrypt(Primary, "chunk").await;
            let chunk_key = caller.decrypt(Primary, "chunk-key").await;
            record.statement("BackupRole/OpenChunkKeys", chunk_key, chunk);
            let opened = caller.decrypt(Offsite, "chunk-key").await;
            record.statement("BackupRole/SealOffsite", caller.encrypt(Offsite, "chunk").await, opened);
        }
        "test-restore" | "restore" => {
            let logical = if role == "restore" { "RestoreRole" } else { "TestRestoreRole" };
            for (site, sid) in [(Primary, "OpenOnPrimary"), (Offsite, "OpenOffsite")] {
                let sealed = caller.encrypt(site, "chunk").await;
                record.statement(&format!("{logical}/{sid}"), caller.decrypt(site, "chunk").await, sealed);
            }
        }
        "health" => {
            let stored = caller.decrypt(Primary, "chunk").await;
            record.statement("HealthRole/TryPrimaryKey", caller.decrypt(Primary, "doctor").await, stored);
            let stored = caller.decrypt(Offsite, "chunk-key").await;
            record.statement("HealthRole/TryOffsiteKey", caller.encrypt(Offsite, "doctor").await, stored);
        }
        _ => {
            for site in [Primary, Offsite] {
                let answers = [caller.decrypt(site, "chunk").await, caller.decrypt(site, "doctor").await];
                assert_eq!(answers, [Answer::Denied; 2], "{role}");
                assert_eq!(caller.generate(site, "chunk").await, Answer::Denied, "{role}");
            }
        }
    }
}

/// What a site's own policies refuse to an administrator and leave to the break-glass role.
async fn sites(record: &mut Record, cloud: &Cloud, at: &Deployment, administrator: &Caller, break_glass: &Caller) {
    for (site, region) in [(At::Primary, PRIMARY_REGION), (At::Offsite, OFFSITE_REGION)] {
        let bucket = if site == At::Primary { at.primary_bucket.clone() } else { at.offsite.clone().unwrap().bucket };
        let s3 = cloud.s3(region).await;
        let head = s3.head_object().bucket(&bucket).key(CHUNK).send().await.unwrap();
        let version = head.version_id().unwrap().to_owned();
        let policy = s3.get_bucket_policy().bucket(&bucket).send().await.unwrap().policy().unwrap().to_owned();
        for refused in [
            administrator.delete(site, CHUNK).await,
            administrator.delete_version(site, CHUNK, &version).await,
            administrator.suspend_versioning(&bucket, region).await,
            administrator.replace_policy(site, "{}").await,
            administrator.drop_lifecycle(site).await,
            administrator.hold(site, CHUNK).await,
        ] {
            let allowed = break_glass.replace_policy(site, &policy).await;
            record.statement("Bucket/OnlyBreakGlassDestroys", allowed, refused);
        }
        let blind = administrator.put(site, "repository.json", Write::Blind, None).await;
        let allowed = break_glass.put(site, "repository.json", Write::Blind, None).await;
        record.statement("Bucket/OnlyBreakGlassWritesBlindly", allowed, blind);
        let days = |mode, days| administrator.put(site, "ledger/7.json", Write::Create, Some((mode, days)));
        let kept = days(ObjectLockMode::Governance, 7305.0).await;
        record.statement("Bucket/NoLockIsEndless", kept, days(ObjectLockMode::Governance, 36_500.0).await);
        let retain = |days| administrator.retain(site, CHUNK, (ObjectLockMode::Governance, days));
        record.statement("Bucket/NoLockIsEndless", retain(400.0).await, retain(36_500.0).await);
        record.statement("Bucket/EachLockHasTheModeOfTheBucket", kept, days(ObjectLockMode::Compliance, 2555.0).await);
        record.statement("Bucket/EvidenceIsNotLockedForLess", kept, days(ObjectLockMode::Governance, 1.0).await);
        let state =
            |days| administrator.put(site, "state/x.json", Write::Create, Some((ObjectLockMode::Governance, days)));
        record.statement("Bucket/NoLockOfARecordLasts", state(1.0).await, state(400.0).await);
        let disable = [administrator.disable(site, false).await, administrator.disable(site, true).await];
        record.statement("Key/OnlyBreakGlassDestroys", break_glass.disable(site, false).await, disable[0]);
        record.statement("MacKey/OnlyBreakGlassDestroys", break_glass.disable(site, true).await, disable[1]);
        let opened = administrator.decrypt(site, "chunk").await;
        record.statement("Key/OnlyLifeboatOpens", break_glass.decrypt(site, "chunk").await, opened);
        assert_eq!(administrator.decrypt(site, "doctor").await, Answer::Allowed, "it opens nothing of value");
        let trail = trail_bucket(cloud, region).await;
        let suspend = [
            break_glass.suspend_versioning(&trail, region).await,
            administrator.suspend_versioning(&trail, region).await,
        ];
        record.statement("TrailBucket/OnlyBreakGlassDestroys", suspend[0], suspend[1]);
        assert_eq!(administrator.put_into(&trail, region, "AWSLogs/x").await, Answer::Denied);
    }
}

/// Only Lifeboat's roles and the break-glass role speak as Lifeboat. Others may use the bus in their own name.
async fn bus(record: &mut Record, administrator: &Caller, break_glass: &Caller) {
    for kind in ["Backup Requested", "Backup Completed", "Anything"] {
        record.statement(
            "Bus/OnlyLifeboatSpeaksAsLifeboat",
            break_glass.speak("lifeboat", kind).await,
            administrator.speak("lifeboat", kind).await,
        );
    }
    assert_eq!(administrator.speak("pipeline", "Deployment Started").await, Answer::Allowed);
}

/// The statements that no request here reaches, decided by the emulator's own evaluation of the deployed policies: grants to
/// another account, services that call by themselves, and connections without TLS.
async fn elsewhere(record: &mut Record, cloud: &Cloud, at: &Deployment) {
    let s3 = cloud.s3(OFFSITE_REGION).await;
    let bucket = at.offsite.clone().unwrap().bucket;
    let policy = s3.get_bucket_policy().bucket(&bucket).send().await.unwrap().policy().unwrap().to_owned();
    let object = |key: &str| format!("arn:aws:s3:::{bucket}/{key}");
    let function = |name: &str| format!("arn:aws:iam::{ACCOUNT}:role/lifeboat-{PRIMARY_REGION}-{name}");
    let keys = json!({ "s3:if-none-match": "*", "aws:PrincipalIsAWSService": "true" });
    let operator = format!("arn:aws:iam::{ACCOUNT}:role/operator");
    let mut ask = Vec::new();
    let mut both = |name: &str, policy: &str, action: &str, allowed: (String, String), refused: (String, String)| {
        for (principal, resource) in [allowed, refused] {
            ask.push(json!({
                "statement": name, "policy": policy, "principal": principal, "action": action, "resource": resource, "keys": keys,
            }));
        }
    };
    let other = format!("arn:aws:iam::{ACCOUNT}:role/lifeboat-{PRIMARY_REGION}x-backup");
    both(
        "Bucket/FunctionsRead",
        &policy,
        "s3:GetObject",
        (function("status"), object(CHUNK)),
        (other.clone(), object(CHUNK)),
    );
    for (name, role, ours, theirs) in [
        ("Bucket/BackupStores", "backup", CHUNK, "findings/x"),
        ("Bucket/VerifyHeals", "verify", "findings/x", "drills/x"),
        ("Bucket/TestRestoreReports", "test-restore", "drills/x", CHUNK),
        ("Bucket/FunctionsKeepRecords", "health", ENTRY, "repository.json"),
    ] {
        both(name, &policy, "s3:PutObject", (function(role), object(ours)), (function(role), object(theirs)));
    }
    both(
        "Bucket/OperatorsLook",
        &policy,
        "s3:GetObject",
        (operator.clone(), object(CHUNK)),
        (other.clone(), object(CHUNK)),
    );
    both(
        "Bucket/OperatorsAcknowledge",
        &policy,
        "s3:PutObject",
        (operator.clone(), object(ENTRY)),
        (operator, object(CHUNK)),
    );
    let trail = trail_bucket(cloud, OFFSITE_REGION).await;
    let policy = s3.get_bucket_policy().bucket(&trail).send().await.unwrap().policy().unwrap().to_owned();
    let (bucket, cloudtrail) = (format!("arn:aws:s3:::{trail}"), "cloudtrail.amazonaws.com".to_owned());
    let logs = format!("{bucket}/AWSLogs/{ACCOUNT}/CloudTrail/x");
    both(
        "TrailBucket/CloudTrailLooks",
        &policy,
        "s3:GetBucketAcl",
        (cloudtrail.clone(), bucket.clone()),
        (other.clone(), bucket.clone()),
    );
    both(
        "TrailBucket/CloudTrailWrites",
        &policy,
        "s3:PutObject",
        (cloudtrail.clone(), logs.clone()),
        (cloudtrail.clone(), format!("{bucket}/x")),
    );
    let answers = decide(&ask).await;
    for pair in ask.chunks(2).zip(answers.chunks(2)) {
        let (asked, [allowed, refused]) = (&pair.0[0], <[Answer; 2]>::try_from(pair.1).unwrap());
        record.statement(asked["statement"].as_str().unwrap(), allowed, refused);
    }
}

/// Key policies are asked in one account only when IAM may not decide: with the delegation to IAM taken out.
async fn keys_alone(record: &mut Record, cloud: &Cloud, at: &Deployment, people: &[Caller; 3]) {
    let [administrator, break_glass, operator] = people;
    for (site, region) in [(At::Primary, PRIMARY_REGION), (At::Offsite, OFFSITE_REGION)] {
        let far = at.offsite.clone().unwrap();
        let [key, mac_key] = match site {
            At::Primary => [at.primary_key_arn.clone(), at.primary_mac_key_arn.clone()],
            At::Offsite => [far.key_arn, far.mac_key_arn],
        };
        let kms = cloud.kms(region).await;
        for key in [&key, &mac_key] {
            let policy = kms.get_key_policy().key_id(key).send().await.unwrap().policy().unwrap().to_owned();
            let policy = without(&policy, "AccountAdministers");
            kms.put_key_policy().key_id(key).policy(policy).send().await.unwrap();
        }
        let caller = async |role: &str| Caller::assume(cloud, at, &format!("lifeboat-{PRIMARY_REGION}-{role}")).await;
        let (backup, drill, health) = (caller("backup").await, caller("test-restore").await, caller("health").await);
        let seals = async |caller: &Caller| match site {
            At::Primary => caller.generate(site, "chunk").await,
            At::Offsite => caller.encrypt(site, "chunk").await,
        };
        record.statement("Key/BackupSeals", seals(&backup).await, seals(administrator).await);
        if site == At::Primary {
            let chunk = backup.decrypt(site, "chunk").await;
            record.statement("Key/BackupOpensChunkKeys", backup.decrypt(site, "chunk-key").await, chunk);
        }
        record.statement("Key/RestoresOpen", drill.decrypt(site, "chunk").await, drill.decrypt(site, "doctor").await);
        record.statement("Key/HealthTries", health.decrypt(site, "doctor").await, health.decrypt(site, "chunk").await);
        record.statement(
            "Key/OperatorsTry",
            operator.decrypt(site, "doctor").await,
            operator.decrypt(site, "chunk").await,
        );
        for (mac, name) in [(false, "Key/BreakGlassExists"), (true, "MacKey/BreakGlassExists")] {
            record.statement(name, break_glass.describe(site, mac).await, administrator.describe(site, mac).await);
        }
        record.statement("MacKey/FunctionsVouch", backup.mac(site).await, administrator.mac(site).await);
        record.statement("MacKey/OperatorsVouch", operator.mac(site).await, administrator.mac(site).await);
    }
}
