//! The laws of the repository on the emulator's S3 and KMS, in two regions.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use aws_sdk_kms::types::{KeySpec, KeyUsageType};
use aws_sdk_s3::config::Credentials;
use aws_sdk_s3::types::{
    CreateBucketConfiguration, DefaultRetention, ObjectLockConfiguration, ObjectLockEnabled, ObjectLockRetentionMode,
    ObjectLockRule,
};
use jiff::{SignedDuration, Timestamp};
use lifeboat_aws::{AwsOutbox, KmsDataKeys, KmsKey, KmsMacKey, S3Store, kms_client, s3_client};
use lifeboat_local::Emulator;
use lifeboat_model::{Alert, AlertKind, AlertState, Channel, Meter, Response, Severity, Site};
use lifeboat_notify::Outbox as _;
use lifeboat_seal::{DataKeyError, DataKeys, EncryptionContext};
use lifeboat_vault::{
    Journal, LedgerFilter, Listed, LockPeriod, MacKey, MacKeys, NewObject, ObjectState, ObjectStore, PutCondition,
    Repository, Scratch, Sites, States, StoreError, VaultError, chunk_key,
};

use lifeboat_bench::{
    PLACEMENTS, assert_each_change_counts_once, assert_numbers_have_no_gap, assert_restores, back_up, backup_id,
    conformance, database, now,
};

const REGIONS: [&str; 2] = ["eu-central-1", "eu-west-1"];

struct Region {
    s3: aws_sdk_s3::Client,
    kms: aws_sdk_kms::Client,
    key_arn: String,
    mac_key_arn: String,
    bucket: String,
    meter: Meter,
}

impl Region {
    async fn new(endpoint: &str, region: &'static str) -> Self {
        let shared = aws_config::defaults(aws_config::BehaviorVersion::latest())
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .load()
            .await;
        let (endpoint, meter) = (Some(endpoint), Meter::default());
        let (s3, kms) = (s3_client(&shared, region, endpoint, &meter), kms_client(&shared, region, endpoint, &meter));
        let bucket = format!("vault-{region}");
        let location = CreateBucketConfiguration::builder().location_constraint(region.into()).build();
        s3.create_bucket().bucket(&bucket).create_bucket_configuration(location).send().await.unwrap();
        let key = kms.create_key().send().await.unwrap();
        let key_arn = key.key_metadata().unwrap().arn().unwrap().to_owned();
        let mac_key = kms.create_key().key_spec(KeySpec::Hmac256).key_usage(KeyUsageType::GenerateVerifyMac);
        let mac_key_arn = mac_key.send().await.unwrap().key_metadata().unwrap().arn().unwrap().to_owned();
        Self { s3, kms, key_arn, mac_key_arn, bucket, meter }
    }

    fn store(&self) -> S3Store {
        S3Store::new(self.s3.clone(), &self.bucket)
    }

    fn mac_key(&self) -> Arc<dyn MacKey> {
        Arc::new(KmsMacKey::new(self.kms.clone(), &self.mac_key_arn))
    }

    fn key(&self) -> KmsKey {
        KmsKey::new(self.kms.clone(), &self.key_arn)
    }
}

async fn bucket_bytes(region: &Region, key: &str) -> Vec<u8> {
    let object = region.s3.get_object().bucket(&region.bucket).key(key).send().await.unwrap();
    object.body.collect().await.unwrap().to_vec()
}

struct Cloud {
    primary: Region,
    offsite: Region,
    // Dropped last: it ends the emulator.
    _emulator: Emulator,
}

impl Cloud {
    async fn start() -> Self {
        let emulator = Emulator::start().await.unwrap();
        let [near, far] = REGIONS;
        Self {
            primary: Region::new(emulator.endpoint(), near).await,
            offsite: Region::new(emulator.endpoint(), far).await,
            _emulator: emulator,
        }
    }

    fn sites(&self) -> Sites {
        Sites::new(Some(Arc::new(self.primary.store())), Some(Arc::new(self.offsite.store())))
    }

    fn keys(&self) -> Arc<dyn DataKeys> {
        Arc::new(KmsDataKeys::new(self.primary.key(), Some(self.offsite.key())))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s3_keeps_every_rule_of_the_port() {
    let cloud = Cloud::start().await;
    conformance(&cloud.primary.store(), &cloud.offsite.store(), "suite").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_is_counted_as_it_is_billed() {
    let Cloud { primary, _emulator, .. } = Cloud::start().await;
    let store = primary.store();
    let before = primary.meter.requests();
    store.put("counted/one", NewObject::new("one"), PutCondition::CreateOnly).await.unwrap();
    store.list("counted/", None).await.unwrap();
    store.get("counted/one", 10).await.unwrap();
    store.head("counted/one").await.unwrap();
    store.head("counted/two").await.unwrap();
    primary.mac_key().mac(b"one").await.unwrap();
    let after = primary.meter.requests();
    assert_eq!((after.writes - before.writes, after.reads - before.reads), (2, 3), "a listing is priced as a write");
    assert_eq!(after.key_requests - before.key_requests, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_is_not_there_is_told_apart_from_an_object_that_is_not() {
    let cloud = Cloud::start().await;
    let nowhere = S3Store::new(cloud.primary.s3.clone(), "no-such-bucket-anywhere");
    let refused = nowhere.get("x", 10).await.unwrap_err();
    assert!(matches!(refused, StoreError::NoBucket { .. }), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_on_s3_and_kms_is_reused_healed_and_restored_from_the_other_region_with_its_key_alone() {
    let cloud = Cloud::start().await;
    let repository = Repository::open_or_create(cloud.sites(), cloud.keys(), now()).await.unwrap();
    let first = back_up(&repository, &backup_id(1), None).await.unwrap();
    // Nothing remembered: marks alone tell that everything is there.
    let second = back_up(&repository, &backup_id(2), None).await.unwrap();
    assert_eq!((first.totals.new_chunks, second.totals.new_chunks), (4, 0));

    let mut entries = repository.chunk_entries(&first, Site::Primary).unwrap();
    let chunk = Listed::chunk(&entries.next().await.unwrap().unwrap().chunk.unwrap());
    let Region { s3, bucket, .. } = &cloud.primary;
    s3.put_object().bucket(bucket).key(chunk.key()).body(b"spoiled".to_vec().into()).send().await.unwrap();
    let state = repository.inspect(Site::Primary, &chunk).await.unwrap();
    assert!(matches!(state, ObjectState::Size { actual_bytes: 7, .. }), "{state}");
    repository.heal(Site::Primary, &chunk).await.unwrap();
    let third = back_up(&repository, &backup_id(3), None).await.unwrap();
    assert_eq!(third.totals.new_chunks, 0);

    let mut spoiled = bucket_bytes(&cloud.primary, chunk.key()).await;
    spoiled[100] ^= 1;
    s3.put_object().bucket(bucket).key(chunk.key()).body(spoiled.into()).send().await.unwrap();
    assert!(matches!(repository.inspect(Site::Primary, &chunk).await.unwrap(), ObjectState::Checksum { .. }));
    repository.heal(Site::Primary, &chunk).await.unwrap();

    let macs = MacKeys::new([(Site::Primary, cloud.primary.mac_key()), (Site::Offsite, cloud.offsite.mac_key())]);
    let ledger = repository.ledger(&macs);
    for actor in ["one", "two"] {
        ledger.append(lifeboat_bench::act(actor), now()).await.unwrap();
    }
    let report = ledger.verify_chain().await.unwrap();
    assert_eq!((report.entries, &report.vouched), (2, &[(Site::Primary, 2), (Site::Offsite, 2)].into()));
    // A site that takes the place of the other brings its key along.
    let swapped = MacKeys::new([(Site::Primary, cloud.offsite.mac_key()), (Site::Offsite, cloud.primary.mac_key())]);
    let report = repository.ledger(&swapped).verify_chain().await.unwrap();
    assert_eq!(
        (report.is_proved(), report.entries),
        (true, 2),
        "a key is known by its ARN, whichever site it is set for"
    );
    let spoiled = bucket_bytes(&cloud.primary, "ledger/000000000002.json").await;
    let spoiled = String::from_utf8(spoiled).unwrap().replace("two", "owt");
    for region in [&cloud.primary, &cloud.offsite] {
        let put = region.s3.put_object().bucket(&region.bucket).key("ledger/000000000002.json");
        put.body(spoiled.clone().into_bytes().into()).send().await.unwrap();
    }
    let broken = ledger.verify_chain().await.unwrap_err();
    assert!(matches!(broken, VaultError::LedgerBroken { .. }), "{broken:?}");
    let leases = repository.leases().unwrap();
    let mut held = leases.acquire("backup-clinic", "a", lifeboat_bench::TTL, now()).await.unwrap();
    assert!(leases.acquire("backup-clinic", "b", lifeboat_bench::TTL, now()).await.is_err());
    leases.renew(&mut held, lifeboat_bench::TTL, now()).await.unwrap();
    leases.release(held, now()).await.unwrap();

    cloud.primary.kms.disable_key().key_id(&cloud.primary.key_arn).send().await.unwrap();
    let both_configured = Repository::open(cloud.sites(), cloud.keys()).await.unwrap();
    assert_restores(&both_configured, &backup_id(3), Site::Offsite).await;
    let offsite = Sites::new(None, Some(Arc::new(cloud.offsite.store())));
    let alone = Repository::open(offsite, Arc::new(KmsDataKeys::new(cloud.offsite.key(), None))).await.unwrap();
    assert_restores(&alone, &backup_id(2), Site::Offsite).await;
    let refused = both_configured.begin_writing(now()).await.err().unwrap();
    assert!(refused.advice().hint.contains("enable the key"), "{refused:?}");
    assert_eq!(alone.manifests(&database(), Site::Offsite).await.unwrap().len(), 3);
}

/// Writers as different processes are: each with its own view of both sites and nothing but S3 between them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_entries_by_eight_writers_at_once_are_one_unbroken_chain_on_s3_and_kms() {
    let cloud = Cloud::start().await;
    Repository::open_or_create(cloud.sites(), cloud.keys(), now()).await.unwrap();
    let macs = || MacKeys::new([(Site::Primary, cloud.primary.mac_key()), (Site::Offsite, cloud.offsite.mac_key())]);
    let began = Instant::now();
    let mut writers = Vec::new();
    for writer in 0..8 {
        let repository = Repository::open(cloud.sites(), cloud.keys()).await.unwrap();
        let ledger = repository.ledger(&macs());
        writers.push(tokio::spawn(async move {
            for round in 0..125 {
                ledger.append(lifeboat_bench::act(&format!("writer-{writer}-{round}")), now()).await.unwrap();
            }
        }));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    eprintln!("1,000 entries by 8 writers in {:?}", began.elapsed());
    let began = Instant::now();
    let ledger = Repository::open(cloud.sites(), cloud.keys()).await.unwrap().ledger(&macs());
    let report = ledger.verify_chain().await.unwrap();
    eprintln!("proved in {:?}; {:?}", began.elapsed(), cloud.primary.meter.requests());
    assert_eq!((report.entries, report.vouched), (1000, [(Site::Primary, 1000), (Site::Offsite, 1000)].into()));
    assert_eq!((report.behind, report.findings.len()), (0, 0));
    let entries = ledger.entries(&LedgerFilter::default(), usize::MAX).await.unwrap();
    let actors: BTreeSet<String> = entries.into_iter().map(|entry| entry.actor).collect();
    assert_eq!(actors.len(), 1000, "each act is on record once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_writers_at_once_lose_no_change_of_a_register_on_s3() {
    for placement in PLACEMENTS {
        let cloud = Cloud::start().await;
        assert_each_change_counts_once(|| cloud.sites(), placement, 5).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_writers_at_once_number_a_journal_without_a_gap_on_s3_and_either_region_tells_it() {
    let cloud = Cloud::start().await;
    let numbers = assert_numbers_have_no_gap(|| cloud.sites(), "run-1", 4).await;
    for (site, region) in [(Site::Primary, &cloud.primary), (Site::Offsite, &cloud.offsite)] {
        let store: Arc<dyn ObjectStore> = Arc::new(region.store());
        let alone = match site {
            Site::Primary => Sites::new(Some(store), None),
            Site::Offsite => Sites::new(None, Some(store)),
        };
        let journal = Journal::open(&alone, "run-1").await.unwrap();
        assert_eq!(journal.entries().iter().map(|entry| entry.number).collect::<Vec<_>>(), numbers, "{site}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_given_by_anything_but_its_arn_is_refused_before_anything_is_sealed_under_it() {
    let cloud = Cloud::start().await;
    let id = cloud.primary.key_arn.rsplit('/').next().unwrap().to_owned();
    let keys = KmsDataKeys::new(KmsKey::new(cloud.primary.kms.clone(), id), None);
    let refused = keys.generate(&EncryptionContext::new()).await.unwrap_err();
    assert!(matches!(refused, DataKeyError::WrappingKey { .. }), "{refused:?}");
    let gone = KmsKey::new(cloud.primary.kms.clone(), format!("{}0", cloud.primary.key_arn));
    let refused = KmsDataKeys::new(gone, None).generate(&EncryptionContext::new()).await.unwrap_err();
    assert!(matches!(refused, DataKeyError::Disabled { .. }), "{refused:?}");
}

/// Alerts of each severity for one channel.
fn alerts(channel: Channel) -> Vec<Alert> {
    let alert = |severity: &Severity| Alert {
        kind: AlertKind::BackupFailed,
        severity: *severity,
        state: AlertState::Opened,
        channels: vec![channel],
        database: Some(database()),
        incident: None,
        since: now(),
        what: String::new(),
        hint: None,
        facts: Vec::new(),
    };
    Severity::ALL.iter().map(alert).collect()
}

/// Emulated mail is confirmed at once, and an HTTPS endpoint that does not exist never is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_confirmed_subscription_whose_filter_lets_an_alert_through_counts_as_a_listener() {
    let emulator = Emulator::start().await.unwrap();
    let shared = aws_config::defaults(aws_config::BehaviorVersion::latest())
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .region("eu-central-1")
        .endpoint_url(emulator.endpoint())
        .load()
        .await;
    let sns = aws_sdk_sns::Client::new(&shared);
    let topic = async |name| sns.create_topic().name(name).send().await.unwrap().topic_arn().unwrap().to_owned();
    let (topic, chat) = (topic("alerts").await, topic("chat").await);
    let outbox = AwsOutbox::new(&shared, None, Some(topic.clone()), Some(chat.clone()));
    let unheard = async |channel| -> Vec<String> {
        let unheard = outbox.unheard(alerts(channel)).await.unwrap();
        unheard.iter().map(|alert| alert.severity.to_string()).collect()
    };
    let subscribe = async |topic: &str, protocol: &str, endpoint: &str, filter: &str| {
        let request =
            sns.subscribe().topic_arn(topic).protocol(protocol).endpoint(endpoint).attributes("FilterPolicy", filter);
        let answer = request.return_subscription_arn(true).send().await.unwrap();
        answer.subscription_arn().unwrap().to_owned()
    };
    let all = ["info", "warning", "critical"];
    assert_eq!(unheard(Channel::Email).await, all, "there is no subscription");
    subscribe(&topic, "https", "https://127.0.0.1:9/", r#"{"severity":["critical"]}"#).await;
    assert_eq!(unheard(Channel::Email).await, all, "nobody confirmed it");
    subscribe(&topic, "email", "typo@clinic.example", r#"{"severity":["critcal"]}"#).await;
    assert_eq!(unheard(Channel::Email).await, all, "the severity is misspelt");
    let mail = subscribe(&topic, "email", "a@clinic.example", r#"{"severity":["critical"],"channel":["email"]}"#).await;
    assert_eq!(unheard(Channel::Email).await, ["info", "warning"]);
    assert_eq!(unheard(Channel::Sms).await, all, "it wants another channel");
    subscribe(&chat, "email", "b@clinic.example", "{}").await;
    assert_eq!(unheard(Channel::Sms).await, all, "only alerts for chat go to the topic of chat");
    assert_eq!(unheard(Channel::Chat).await, Vec::<String>::new());
    sns.unsubscribe().subscription_arn(mail).send().await.unwrap();
    assert_eq!(unheard(Channel::Email).await, all, "it was removed");

    assert!(!outbox.alarms_are_unheard().await.unwrap(), "this process does not know their topic");
    let alarms = sns.create_topic().name("alarms").send().await.unwrap().topic_arn().unwrap().to_owned();
    let outbox = AwsOutbox::new(&shared, None, Some(topic.clone()), None).with_alarms_topic(Some(alarms.clone()));
    assert!(outbox.alarms_are_unheard().await.unwrap(), "there is no subscription");
    subscribe(&alarms, "https", "https://127.0.0.1:9/", "{}").await;
    subscribe(&alarms, "email", "c@clinic.example", r#"{"severity":["critical"]}"#).await;
    assert!(outbox.alarms_are_unheard().await.unwrap(), "nobody confirmed the one, and alarms have no severity");
    subscribe(&alarms, "email", "d@clinic.example", "{}").await;
    assert!(!outbox.alarms_are_unheard().await.unwrap());
    let gone = AwsOutbox::new(&shared, None, Some(format!("{topic}-gone")), None);
    let refused = gone.unheard(alerts(Channel::Email)).await.unwrap_err();
    assert_eq!(refused.advice().response, Response::Fail, "{refused:?}");
}

/// The days for which an object is locked, from now on, and the mode.
async fn lock_of(region: &Region, key: &str) -> (f64, String) {
    let head = region.s3.head_object().bucket(&region.bucket).key(key).send().await.unwrap();
    let until = head.object_lock_retain_until_date().unwrap().as_secs_f64();
    let hours = (until - Timestamp::now().as_second() as f64) / 3600.0;
    (hours / 24.0, head.object_lock_mode().unwrap().as_str().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_kind_of_object_is_locked_for_its_own_time_in_the_mode_of_the_bucket() {
    let cloud = Cloud::start().await;
    let (primary, at) = (&cloud.primary, Timestamp::now());
    let locked = Region { bucket: "locked".to_owned(), ..Region::new(cloud._emulator.endpoint(), "eu-north-1").await };
    let location = CreateBucketConfiguration::builder().location_constraint("eu-north-1".into()).build();
    let made = locked.s3.create_bucket().bucket("locked").create_bucket_configuration(location);
    made.object_lock_enabled_for_bucket(true).send().await.unwrap();
    let default = DefaultRetention::builder().mode(ObjectLockRetentionMode::Governance).days(120).build();
    let configuration = ObjectLockConfiguration::builder()
        .object_lock_enabled(ObjectLockEnabled::Enabled)
        .rule(ObjectLockRule::builder().default_retention(default).build())
        .build();
    let put = locked.s3.put_object_lock_configuration().bucket("locked");
    put.object_lock_configuration(configuration).send().await.unwrap();

    let sites = Sites::new(Some(Arc::new(locked.store())), None);
    let keys = Arc::new(KmsDataKeys::new(locked.key(), None));
    let repository = Repository::open_or_create(sites.clone(), keys, at).await.unwrap();
    let writer = repository.begin_writing(at).await.unwrap();
    let chunk = writer.store(b"rows", &mut Scratch::new().unwrap()).await.unwrap();
    let held = repository.leases().unwrap().acquire("backup-clinic", "a", lifeboat_bench::TTL, at).await.unwrap();
    assert_eq!(held.lease().holder, "a");
    let add = |_: Option<&Vec<String>>| Some(vec!["one".to_owned()]);
    States::new(&sites).change("tally", add).await.unwrap();
    let macs = MacKeys::new([(Site::Primary, locked.mac_key())]);
    let ledger = |days: i64| repository.ledger(&macs).kept_for(SignedDuration::from_hours(24 * days));
    for days in [30, 2555] {
        ledger(days).append(lifeboat_bench::act("one"), at).await.unwrap();
    }
    let chunk = chunk_key(chunk.epoch, &chunk.id);
    let expected = [
        ("leases/backup-clinic.json", 1.0),
        ("state/tally.json", 1.0),
        // The bucket's policy refuses less than its default.
        ("ledger/000000000001.json", 120.0 + 1.0 / 24.0),
        ("ledger/000000000002.json", 2555.0),
        ("repository.json", 120.0),
        (chunk.as_str(), 120.0),
    ];
    for (key, days) in expected {
        let (locked, mode) = lock_of(&locked, key).await;
        assert!((locked - days).abs() < 0.02 && mode == "GOVERNANCE", "{key} is locked for {locked} days, {mode}");
    }
    // A bucket that locks nothing gets no lock.
    let store = primary.store();
    let put = store.put(
        "leases/x.json",
        NewObject { period: LockPeriod::Day, ..NewObject::new("x") },
        PutCondition::CreateOnly,
    );
    put.await.unwrap();
    let head = primary.s3.head_object().bucket(&primary.bucket).key("leases/x.json").send().await.unwrap();
    assert!(head.object_lock_mode().is_none());
}

/// A server that takes connections and never answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_server_is_given_up_and_does_not_hang_the_run() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let silent = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((connection, _)) = listener.accept().await {
            held.push(connection);
        }
    });
    let shared = aws_config::defaults(aws_config::BehaviorVersion::latest())
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .load()
        .await;
    let meter = Meter::default();
    let store = S3Store::new(s3_client(&shared, "eu-central-1", Some(&endpoint), &meter), "bucket");
    let began = std::time::Instant::now();
    let refused = store.head("x").await.unwrap_err();
    assert!(matches!(refused, StoreError::TimedOut { .. }), "{refused:?}");
    assert!(began.elapsed() < std::time::Duration::from_secs(40), "{:?}", began.elapsed());
    assert!(meter.requests().reads > 1, "what is repeated is billed: {:?}", meter.requests());
    silent.abort();
}
