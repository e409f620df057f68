//! The local cloud itself, with stand-ins for the functions: what it deploys, what is delivered, and that it goes away.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test file: a panic is a failed test"
)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lambda_runtime::{LambdaEvent, service_fn};
use lifeboat_local::{
    AlertInbox, Cloud, CloudOptions, DeployedFunction, DeployedSite, Deployment, Functions, OFFSITE_REGION,
    PRIMARY_REGION, Parameters,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::sleep;

/// The stand-in for every function: this test binary, started by the emulator through a `bootstrap` script.
#[test]
#[ignore = "run by the emulator, not by people"]
fn act_as_a_function() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(lambda_runtime::run(service_fn(stand_in))).unwrap();
}

async fn stand_in(event: LambdaEvent<Value>) -> Result<Value, lambda_runtime::Error> {
    println!("GOT {}", event.payload);
    match event.payload.get("do").and_then(Value::as_str) {
        Some("fail") => return Err("told to fail".into()),
        Some("exit") => std::process::exit(3),
        Some("sleep") => sleep(Duration::from_secs(2)).await,
        _ => {}
    }
    let environment: BTreeMap<String, String> = std::env::vars().collect();
    fs::write(std::env::temp_dir().join(&event.context.request_id), "scratch")?;
    Ok(json!({ "environment": environment, "process": std::process::id(), "tmp": std::env::temp_dir() }))
}

struct Stage {
    cloud: Cloud,
    at: Deployment,
    _bootstrap: TempDir,
}

/// A cloud of stand-ins, deployed.
async fn deployed(parameters: &[(&str, &str)]) -> Stage {
    let (options, bootstrap) = stand_ins();
    let cloud = Cloud::start(options).await.unwrap();
    let at = cloud.deploy(&basic_parameters(&cloud, parameters).await).await.unwrap();
    Stage { cloud, at, _bootstrap: bootstrap }
}

fn stand_ins() -> (CloudOptions, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let bootstrap = folder.path().join("bootstrap");
    let myself = std::env::current_exe().unwrap();
    let script = format!("#!/bin/sh\nexec '{}' --exact act_as_a_function --ignored --nocapture\n", myself.display());
    fs::write(&bootstrap, script).unwrap();
    fs::set_permissions(&bootstrap, fs::Permissions::from_mode(0o755)).unwrap();
    let options = CloudOptions {
        functions: Functions::StandIn(bootstrap),
        offsite: true,
        postgres_client_dir: PathBuf::from("/somewhere/bin"),
    };
    (options, folder)
}

async fn basic_parameters(cloud: &Cloud, more: &[(&str, &str)]) -> Parameters {
    let mut parameters = Parameters::from([
        ("DatabaseNames".to_owned(), "clinic,billing".to_owned()),
        ("ScratchSecretArn".to_owned(), cloud.put_secret("scratch", "postgres://scratch").await.unwrap()),
    ]);
    let first = cloud.put_secret("clinic", "postgres://clinic").await.unwrap();
    let second = cloud.put_secret("billing", "postgres://billing").await.unwrap();
    parameters.insert("DatabaseSecretArns".to_owned(), format!("{first},{second}"));
    parameters.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    parameters
}

/// What a function was given, parsed, once at least `count` invocations have ended.
async fn received(cloud: &Cloud, function: &DeployedFunction, count: usize, within: Duration) -> Vec<Value> {
    let deadline = Instant::now() + within;
    loop {
        let lines = cloud.log_lines(function).await.unwrap_or_default();
        let got: Vec<Value> =
            lines.iter().filter_map(|line| serde_json::from_str(line.split_once("GOT ")?.1).ok()).collect();
        if got.len() >= count {
            return got;
        }
        assert!(Instant::now() < deadline, "{}: {} of {count} invocations: {got:?}", function.name, got.len());
        sleep(Duration::from_millis(100)).await;
    }
}

fn alive(group: u32) -> usize {
    let listing = Command::new("ps").args(["-eo", "pgid=,stat="]).output().unwrap();
    let text = String::from_utf8_lossy(&listing.stdout).into_owned();
    text.lines()
        .filter_map(|line| line.trim().split_once(char::is_whitespace))
        .filter(|(pgid, state)| *pgid == group.to_string() && !state.trim().starts_with('Z'))
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn both_stacks_deploy_and_nothing_is_left_when_the_cloud_goes() {
    let Stage { cloud, at, .. } = deployed(&[("ObjectLockDays", "130")]).await;
    let DeployedSite { bucket: offsite_bucket, key_arn: offsite_key, .. } = at.offsite.clone().unwrap();
    assert!(at.primary_key_arn.contains(PRIMARY_REGION) && offsite_key.contains(OFFSITE_REGION));

    // What the emulator's CloudFormation ignores is there all the same, as the parameters say, and works.
    for (region, bucket) in [(PRIMARY_REGION, &at.primary_bucket), (OFFSITE_REGION, &offsite_bucket)] {
        let s3 = cloud.s3(region).await;
        let lock = s3.get_object_lock_configuration().bucket(bucket).send().await.unwrap();
        let rule = lock.object_lock_configuration().and_then(|lock| lock.rule()).unwrap();
        assert_eq!(rule.default_retention().and_then(|retention| retention.days()), Some(130));
        let put = s3.put_object().bucket(bucket).key("kept").body(b"bytes".to_vec().into()).send().await.unwrap();
        let version = put.version_id().unwrap();
        let delete = s3.delete_object().bucket(bucket).key("kept").version_id(version).send().await;
        assert!(delete.is_err(), "a locked version of `{bucket}` was deleted");
        let lifecycle = s3.get_bucket_lifecycle_configuration().bucket(bucket).send().await.unwrap();
        let kept = |prefix: &str| {
            let rule =
                lifecycle.rules().iter().find(|rule| rule.filter().and_then(|filter| filter.prefix()) == Some(prefix));
            rule.and_then(|rule| rule.noncurrent_version_expiration()?.noncurrent_days())
        };
        // The older version repairs a record that was damaged before a weekend. A lease ends by itself.
        assert_eq!(["leases/", "state/", "incidents/"].map(kept), [Some(1), Some(30), Some(30)]);
    }

    // What stays different is said.
    for word in ["layer", "HTTP", "KMS", "scheduled-time", "never repeated"] {
        assert!(at.gaps.iter().any(|gap| gap.contains(word)), "no gap speaks of {word}: {:#?}", at.gaps);
    }

    // Start function processes, so that there is something to leave behind.
    for function in [&at.backup, &at.verify, &at.test_restore] {
        assert!(!cloud.invoke(function, &json!({})).await.unwrap().failed);
    }
    let (group, scratch) = (cloud.process_group(), cloud.scratch().to_path_buf());
    assert!(alive(group) >= 4, "the emulator and three functions run");
    drop(cloud);
    assert_eq!(alive(group), 0);
    assert!(!scratch.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_function_gets_what_it_uses_and_nothing_else() {
    let Stage { cloud, at, .. } = deployed(&[]).await;
    let mut environments = Vec::new();
    for function in [&at.backup, &at.verify, &at.test_restore, &at.restore, &at.health, &status_of(&at)] {
        let answer = cloud.invoke(function, &json!({})).await.unwrap().payload;
        assert!(answer["tmp"].as_str().unwrap().starts_with(cloud.scratch().to_str().unwrap()));
        environments.push(answer["environment"].clone());
    }
    let [backup, verify, drill, restore, health, status] = environments.try_into().unwrap();
    for environment in [&backup, &verify, &drill, &restore, &health, &status] {
        assert_eq!(environment["LIFEBOAT_DATABASES"], "clinic,billing");
        assert_eq!(environment["LIFEBOAT_PRIMARY_BUCKET"], at.primary_bucket.as_str());
        assert_eq!(environment["LIFEBOAT_PRIMARY_REGION"], PRIMARY_REGION);
        assert_eq!(environment["LIFEBOAT_OFFSITE_REGION"], OFFSITE_REGION);
        assert_eq!(environment["LIFEBOAT_PRIMARY_MAC_KEY"], at.primary_mac_key_arn.as_str());
        assert_eq!(environment["LIFEBOAT_OFFSITE_MAC_KEY"], at.offsite.as_ref().unwrap().mac_key_arn.as_str());
        assert_eq!(environment["LIFEBOAT_BUS"], at.bus.as_str());
        assert_eq!(environment["LIFEBOAT_TOPIC"], at.topic_arn.as_str());
        assert_eq!(environment["AWS_ENDPOINT_URL"], cloud.endpoint());
        assert_eq!(environment["AWS_REGION"], PRIMARY_REGION);
        // Cargo's variables of this process stand for everything that must not leak into a function.
        assert!(environment.get("CARGO_MANIFEST_DIR").is_none());
    }
    assert_eq!(backup["LIFEBOAT_DATABASE_SECRETS"].as_str().unwrap().split(',').count(), 2);
    assert_eq!(backup["LIFEBOAT_PG_BIN"], "/somewhere/bin");
    assert_eq!(drill["LIFEBOAT_PRIMARY_KEY"], at.primary_key_arn.as_str());
    assert!(drill["LIFEBOAT_SCRATCH_SECRET"].as_str().unwrap().contains("scratch"));
    assert_eq!(health["LIFEBOAT_ALARMS_TOPIC"], at.alarms_topic_arn.as_str());
    let mut withheld = vec![(&backup, "LIFEBOAT_SCRATCH_SECRET"), (&drill, "LIFEBOAT_DATABASE_SECRETS")];
    withheld.extend(["LIFEBOAT_DATABASE_SECRETS", "LIFEBOAT_SCRATCH_SECRET"].map(|name| (&restore, name)));
    withheld.extend([&backup, &verify, &drill, &health, &status].map(|function| (function, "LIFEBOAT_RESTORE_SECRET")));
    withheld.extend([&backup, &verify, &drill, &restore, &status].map(|function| (function, "LIFEBOAT_ALARMS_TOPIC")));
    let for_openers =
        ["LIFEBOAT_DATABASE_SECRETS", "LIFEBOAT_SCRATCH_SECRET", "LIFEBOAT_PRIMARY_KEY", "LIFEBOAT_OFFSITE_KEY"];
    withheld.extend([&verify, &status].into_iter().flat_map(|function| for_openers.map(|name| (function, name))));
    withheld.extend(for_openers[..2].iter().map(|name| (&health, *name)));
    for (environment, name) in withheld {
        assert!(environment.get(name).is_none(), "`{name}` is given to a function that does not use it");
    }
}

/// The function behind the URL, which has no queue.
fn status_of(at: &Deployment) -> DeployedFunction {
    DeployedFunction { name: at.status.clone(), logs: String::new(), failures_queue_url: String::new() }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schedule_fires_and_the_rules_carry_the_chain_on() {
    let soon = [("BackupSchedule", "at(2026-01-01T00:00:00)"), ("DrillAfterVerification", "true")];
    let Stage { cloud, at, .. } = deployed(&soon).await;
    let ticks = received(&cloud, &at.backup, 1, Duration::from_secs(30)).await;
    assert_eq!(ticks[0]["trigger"], "schedule");

    let put = async |source: &str, detail_type: &str, detail: Value| {
        cloud.put_event(&at, source, detail_type, &detail).await.unwrap();
    };
    put("lifeboat", "Backup Requested", json!({ "database": "clinic" })).await;
    put("lifeboat", "Backup Completed", json!({ "database": "clinic" })).await;
    put("lifeboat", "Verification Completed", json!({ "scope": "rotation" })).await;
    put("somebody", "Verification Completed", json!({ "scope": "backup" })).await;
    put("lifeboat", "Verification Completed", json!({ "scope": "backup", "n": 1 })).await;
    let patience = Duration::from_secs(15);
    assert_eq!(received(&cloud, &at.backup, 2, patience).await[1]["detail-type"], "Backup Requested");
    assert_eq!(received(&cloud, &at.verify, 1, patience).await[0]["detail"]["database"], "clinic");
    let drills = received(&cloud, &at.test_restore, 1, patience).await;
    assert_eq!(drills.len(), 1, "only the verification of a backup, and only ours, starts a drill");
    assert_eq!(drills[0]["detail"]["n"], 1);

    // An update of the parameters changes the stack in place: no drill follows any more.
    let mut parameters = Parameters::from([("DrillAfterVerification".to_owned(), "false".to_owned())]);
    let secret = cloud.put_secret("other", "postgres://other").await.unwrap();
    parameters
        .extend([("DatabaseNames".to_owned(), "clinic".to_owned()), ("DatabaseSecretArns".to_owned(), secret.clone())]);
    parameters.insert("ScratchSecretArn".to_owned(), secret);
    let updated = cloud.deploy(&parameters).await.unwrap();
    assert_eq!(updated.primary_bucket, at.primary_bucket);
    put("lifeboat", "Verification Completed", json!({ "scope": "backup", "n": 2 })).await;
    put("lifeboat", "Backup Completed", json!({ "n": 2 })).await;
    received(&cloud, &at.verify, 2, patience).await;
    assert_eq!(received(&cloud, &at.test_restore, 1, patience).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_told_repeated_and_kept() {
    let Stage { cloud, at, .. } = deployed(&[("TimeoutSeconds", "1")]).await;
    let ask = async |what: &str| cloud.invoke(&at.backup, &json!({ "do": what })).await.unwrap();
    let failed = ask("fail").await;
    assert!(failed.failed && failed.payload["errorMessage"] == "told to fail", "{failed:?}");
    assert_eq!(ask("exit").await.payload["errorType"], "Runtime.ExitError");
    assert_eq!(ask("sleep").await.payload["errorType"], "Sandbox.Timedout");

    let asked = json!({ "do": "fail", "asynchronously": true });
    cloud.invoke_later(&at.verify, &asked).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    let failures = loop {
        let failures = cloud.take_failures(&at.verify).await.unwrap();
        if !failures.is_empty() {
            break failures;
        }
        assert!(Instant::now() < deadline, "no failure reached the queue");
        sleep(Duration::from_millis(200)).await;
    };
    assert_eq!(failures.len(), 1);
    assert_eq!(failures[0]["requestPayload"], asked);
    assert_eq!(failures[0]["responsePayload"]["errorMessage"], "told to fail");
    let attempts = received(&cloud, &at.verify, 2, Duration::from_secs(5)).await;
    assert_eq!(attempts.len(), 2, "the template says one retry");
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_invocations_have_environments_of_their_own() {
    let Stage { cloud, at, .. } = deployed(&[]).await;
    let nap = json!({ "do": "sleep" });
    let started = Instant::now();
    let (a, b, c) =
        tokio::join!(cloud.invoke(&at.backup, &nap), cloud.invoke(&at.backup, &nap), cloud.invoke(&at.backup, &nap));
    let mut processes: Vec<u64> = [a, b, c].map(|one| one.unwrap().payload["process"].as_u64().unwrap()).to_vec();
    assert!(started.elapsed() < Duration::from_secs(6), "three naps of 2 s ran one after the other");
    processes.sort_unstable();
    processes.dedup();
    assert_eq!(processes.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_reach_only_those_who_asked_for_their_severity() {
    let Stage { cloud, at, .. } = deployed(&[]).await;
    let sns = cloud.sns().await;
    let all = AlertInbox::open(&sns, &at.topic_arn, &[]).await.unwrap();
    let urgent = AlertInbox::open(&sns, &at.topic_arn, &["critical"]).await.unwrap();
    for severity in ["info", "critical"] {
        let attribute = |value: &str| {
            let builder = aws_sdk_sns::types::MessageAttributeValue::builder();
            builder.data_type("String").string_value(value).build().unwrap()
        };
        let message = sns.publish().topic_arn(&at.topic_arn).subject(format!("a {severity} thing")).message("text");
        let message = message.message_attributes("severity", attribute(severity));
        message.message_attributes("type", attribute("backup-failed")).send().await.unwrap();
    }
    assert_eq!(all.wait_for(2, Duration::from_secs(10)).await.unwrap().len(), 2);
    let alerts = urgent.wait_for(1, Duration::from_secs(10)).await.unwrap();
    assert_eq!(alerts.len(), 1);
    assert_eq!(alerts[0].subject, "a critical thing");
    assert_eq!(alerts[0].attributes["type"], "backup-failed");
}

/// The victim of the next test: holds a cloud until it is killed.
#[test]
#[ignore = "run by another test, not by people"]
fn hold_a_cloud() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let Stage { cloud, at, _bootstrap } = deployed(&[]).await;
        cloud.invoke(&at.backup, &json!({})).await.unwrap();
        let note = format!("{} {}", cloud.process_group(), cloud.scratch().display());
        fs::write(std::env::var_os("NOTE").unwrap(), note).unwrap();
        sleep(Duration::from_secs(600)).await;
    });
}

#[test]
fn a_killed_or_interrupted_owner_leaves_no_process_and_no_folder() {
    for signal in ["KILL", "INT"] {
        let folder = tempfile::tempdir().unwrap();
        let note = folder.path().join("note");
        let mut owner = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "hold_a_cloud", "--ignored"])
            .env("NOTE", &note)
            .env("TMPDIR", folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let wait_for = |what: &str, happened: &mut dyn FnMut() -> bool| {
            let deadline = Instant::now() + Duration::from_secs(90);
            while !happened() {
                assert!(Instant::now() < deadline, "{what} did not happen after SIG{signal}");
                std::thread::sleep(Duration::from_millis(50));
            }
        };
        wait_for("the cloud", &mut || fs::read_to_string(&note).is_ok_and(|text| text.contains(' ')));
        let text = fs::read_to_string(&note).unwrap();
        let (group, scratch) = text.split_once(' ').unwrap();
        let group: u32 = group.parse().unwrap();
        assert!(alive(group) >= 2);
        assert!(Command::new("kill").args(["-s", signal, &owner.id().to_string()]).status().unwrap().success());
        owner.wait().unwrap();
        wait_for("the end of all processes", &mut || alive(group) == 0);
        wait_for("the end of the folder", &mut || !Path::new(scratch).exists());
    }
}
