//! The way of a backup as it is deployed: a schedule fires, and events carry the rest from function to function.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_cloudformation::types::TemplateStage;
use lifeboat_local::{
    DATABASE, DeployedFunction, OFFSITE_REGION, PRIMARY_REGION, Stage, TEMPLATES, Template, deployable, root,
};
use lifeboat_model::{DrillReport, Outcome};
use lifeboat_vault::LedgerFilter;
use serde_json::{Value, json};

use crate::bench::small_stage;
use crate::stored::{BOTH, Stored};

/// The emulator looks at its schedules every ten seconds; functions start in one.
const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
async fn the_schedule_alone_leads_to_a_backup_its_verification_and_a_drill_on_the_unmodified_templates() {
    let stage = small_stage(&[("BackupSchedule", "at(2026-01-01T00:00:00)"), ("DrillAfterVerification", "true")]).await;

    // Nobody but the schedule has called anything.
    let mut kinds = Vec::new();
    let last = stage.tap().wait_for("Restore Test Completed", PATIENCE, |event| kinds.push(event.clone())).await;
    let last = last.unwrap();
    assert_eq!(
        kinds.iter().map(|event| event.kind.as_str()).collect::<Vec<_>>(),
        ["Backup Requested", "Backup Completed", "Verification Completed"]
    );
    let [requested, completed, verified] = kinds.try_into().unwrap();
    assert_eq!(requested.detail["trigger"], "schedule");
    assert_eq!(requested.detail["database"], DATABASE);
    let backup_id = completed.detail["backup_id"].as_str().unwrap();
    assert_eq!(completed.detail["sites"], json!(["primary", "offsite"]));
    assert_eq!(verified.detail["scope"], "backup");
    assert_eq!(verified.detail["backup_id"], backup_id);
    assert_eq!(verified.detail["healed"], 0);
    assert_eq!(last.detail["backup_id"], backup_id);
    assert_eq!(last.detail["equal"], true);

    assert_deployed_as_written(&stage).await;
    assert_on_record(&stage, backup_id).await;
    for (function, metrics) in [
        (&stage.deployment().backup, "backup"),
        (&stage.deployment().verify, "verification"),
        (&stage.deployment().test_restore, "restore_test"),
    ] {
        assert_logged(&stage, function, metrics).await;
        assert_eq!(stage.cloud().take_failures(function).await.unwrap(), Vec::<Value>::new());
    }
    // The chain has ended: what it told started nothing that nobody asked for.
    assert_eq!(stage.tap().next(Duration::from_secs(2)).await.unwrap(), None);
}

/// What CloudFormation says it deployed is the file as the emulator can take it, with the code of each function and layer where it was uploaded.
async fn assert_deployed_as_written(stage: &Stage) {
    let stacks = [("lifeboat", PRIMARY_REGION), ("lifeboat-offsite", OFFSITE_REGION)];
    for (file, (stack, region)) in TEMPLATES.into_iter().zip(stacks) {
        let client = aws_sdk_cloudformation::Client::new(&stage.cloud().config(region).await);
        let answer =
            client.get_template().stack_name(stack).template_stage(TemplateStage::Original).send().await.unwrap();
        let deployed: Value = serde_json::from_str(answer.template_body().unwrap()).unwrap();
        let written = deployable(&Template::read(&root().join(file)).unwrap()).unwrap();
        let written: Value = serde_json::from_str(&written).unwrap();
        assert!(written["Resources"].as_object().unwrap().len() >= 3, "{file}");
        assert!(without_code(deployed) == without_code(written), "{file} is not what is deployed as `{stack}`");
    }
}

/// The template without the one thing that `sam package` changes: where the code of functions and layers lies.
fn without_code(mut template: Value) -> Value {
    for resource in template["Resources"].as_object_mut().unwrap().values_mut() {
        let code = match resource["Type"].as_str() {
            Some("AWS::Serverless::Function") => "CodeUri",
            Some("AWS::Serverless::LayerVersion") => "ContentUri",
            _ => continue,
        };
        resource["Properties"].as_object_mut().unwrap().remove(code);
    }
    template
}

/// Ledger, report and findings, on both sites.
async fn assert_on_record(stage: &Stage, backup_id: &str) {
    let stored = Stored::on(stage).await;
    let ledger = stored.repository.ledger(&stored.macs);
    let report = ledger.verify_chain().await.unwrap();
    assert_eq!((report.entries, report.vouched), (3, BOTH.map(|site| (site, 3)).into()));
    let mut entries = ledger.entries(&LedgerFilter::default(), 10).await.unwrap();
    entries.reverse();
    let acts: Vec<_> = entries.iter().map(|entry| (entry.action.as_str(), entry.actor.as_str())).collect();
    assert_eq!(acts, [("backup", "schedule"), ("verify", "event"), ("test-restore", "event")]);
    assert!(entries.iter().all(|entry| entry.outcome == Outcome::Completed));
    assert_eq!(entries[0].subject, backup_id);
    assert_eq!(entries[2].subject, backup_id);

    let prefix = format!("drills/{DATABASE}/");
    for site in BOTH {
        let drills = stored.keys(site, &prefix).await;
        assert_eq!(drills.len(), 1, "{drills:?} on {site}");
        let report = stored.bytes(site, drills.first().unwrap()).await;
        let report: DrillReport = serde_json::from_slice(&report).unwrap();
        assert!(report.equal && report.findings.is_empty(), "{report:?}");
        assert_eq!(report.backup_id.to_string(), backup_id);
        assert_eq!(stored.keys(site, "findings/").await, BTreeSet::new());
        assert_eq!(stored.keys(site, "ledger/").await.len(), 3, "on {site}");
        let backups = stored.backups(&DATABASE.parse().unwrap(), site).await;
        assert_eq!(backups.iter().map(ToString::to_string).collect::<Vec<_>>(), [backup_id]);
    }
}

/// Every line of a function's log is Lambda's or JSON with the fixed fields; one is its metrics; none tells of trouble.
async fn assert_logged(stage: &Stage, function: &DeployedFunction, metrics: &str) {
    let lines = stage.cloud().log_lines(function).await.unwrap();
    let name = function.name.as_str();
    let (mut told, mut measured) = (0, 0);
    for line in lines.iter().map(|line| line.trim_end()).filter(|line| !is_lambda_s_own(line)) {
        let entry: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{name}: {error}: {line}"));
        if entry.get("_aws").is_some() {
            measured += 1;
            assert_metrics(&entry, name, metrics);
            continue;
        }
        assert!(matches!(entry["level"].as_str(), Some("INFO" | "DEBUG")), "{name}: {line}");
        assert!(!line.contains("AccessDenied") && !line.contains("not authorized"), "{name}: {line}");
        assert!(entry["timestamp"].is_string(), "{name}: {line}");
        assert!(entry["message"].is_string() || entry["action"].is_string(), "{name}: {line}");
        assert_eq!(entry["span"]["name"], "invocation", "{name}: {line}");
        assert_eq!(entry["span"]["function"], name.trim_start_matches("lifeboat-"), "{name}: {line}");
        assert!(entry["span"]["run_id"].is_string(), "{name}: {line}");
        if entry["outcome"] == "completed" {
            told += 1;
            assert_eq!(entry["database"], DATABASE);
        }
    }
    assert_eq!((told, measured), (1, 1), "{name}: {lines:#?}");
}

fn is_lambda_s_own(line: &str) -> bool {
    ["START RequestId", "END RequestId", "REPORT RequestId"].iter().any(|word| line.starts_with(word))
}

/// The embedded metric format, as CloudWatch's specification demands it.
fn assert_metrics(line: &Value, function: &str, prefix: &str) {
    assert!(line["_aws"]["Timestamp"].is_u64());
    let directives = line["_aws"]["CloudWatchMetrics"].as_array().unwrap();
    assert_eq!(directives.len(), 1);
    assert_eq!(directives[0]["Namespace"], "Lifeboat");
    assert_eq!(directives[0]["Dimensions"], json!([["database", "function"]]));
    assert_eq!([&line["database"], &line["function"]], [DATABASE, function]);
    let metrics = directives[0]["Metrics"].as_array().unwrap();
    assert!(metrics.len() > 2);
    for metric in metrics {
        let name = metric["Name"].as_str().unwrap();
        assert!(name.starts_with(prefix), "{name}");
        assert!(matches!(metric["Unit"].as_str(), Some("Seconds" | "Bytes" | "Count")), "{name}");
        assert!(line[name].is_number(), "{name} has no value");
    }
    assert_eq!(line[format!("{prefix}_completed")], 1.0);
}
