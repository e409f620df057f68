//! What the templates must have, and neither the linters nor a deployment on the local cloud would miss.

use std::collections::BTreeSet;
use std::fs;

use lifeboat_local::{TEMPLATES, Template, root};
use lifeboat_model::Severity;
use lifeboat_vault::LEAST_LOCK_DAYS;
use serde_json::{Value, json};

const MAIN: usize = 0;
const SITE: usize = 1;

fn template(which: usize) -> Value {
    let template = Template::read(&root().join(TEMPLATES[which])).unwrap();
    serde_json::from_str(&template.to_json()).unwrap()
}

/// The resources of a type, by name.
fn resources<'a>(template: &'a Value, kind: &str) -> Vec<(&'a str, &'a Value)> {
    let all = template["Resources"].as_object().unwrap().iter();
    let found: Vec<_> = all.filter(|(_, one)| one["Type"] == kind).map(|(name, one)| (name.as_str(), one)).collect();
    assert!(!found.is_empty(), "no {kind}");
    found
}

#[test]
fn each_log_bucket_and_key_stays_when_its_stack_goes() {
    for (which, kinds) in [
        (MAIN, &["AWS::Logs::LogGroup"][..]),
        (SITE, &["AWS::Logs::LogGroup", "AWS::S3::Bucket", "AWS::S3::BucketPolicy", "AWS::KMS::Key"]),
    ] {
        let template = template(which);
        for (name, resource) in kinds.iter().flat_map(|kind| resources(&template, kind)) {
            let policies = [&resource["DeletionPolicy"], &resource["UpdateReplacePolicy"]];
            assert_eq!(policies, ["Retain"; 2], "{name}");
        }
    }
}

#[test]
fn each_function_logs_to_a_group_of_its_own_and_each_write_in_a_bucket_is_on_record() {
    let main = template(MAIN);
    let groups: BTreeSet<&str> = resources(&main, "AWS::Serverless::Function")
        .into_iter()
        .map(|(name, function)| {
            let group = function.pointer("/Properties/LoggingConfig/LogGroup/Ref");
            group.and_then(Value::as_str).unwrap_or_else(|| panic!("{name} has no log group"))
        })
        .collect();
    let made: BTreeSet<&str> = resources(&main, "AWS::Logs::LogGroup").into_iter().map(|(name, _)| name).collect();
    assert_eq!(groups, made);

    let site = template(SITE);
    let trail = &site["Resources"]["Trail"]["Properties"];
    assert_eq!([&trail["IsLogging"], &trail["EnableLogFileValidation"]], [true, true]);
    assert_eq!(trail["CloudWatchLogsLogGroupArn"], json!({ "Fn::GetAtt": ["TrailLogs", "Arn"] }));
    let fields = |selector: &Value| {
        let fields = selector["FieldSelectors"].as_array().unwrap().iter();
        fields.map(|field| (field["Field"].clone(), field.get("Equals").or(field.get("StartsWith")).cloned())).collect()
    };
    let selected: Vec<(Value, Option<Value>)> =
        trail["AdvancedEventSelectors"].as_array().unwrap().iter().flat_map(|one| -> Vec<_> { fields(one) }).collect();
    let expected = [
        (json!("eventCategory"), Some(json!(["Data"]))),
        (json!("resources.type"), Some(json!(["AWS::S3::Object"]))),
        (json!("readOnly"), Some(json!(["false"]))),
        (json!("resources.ARN"), Some(json!([{ "Fn::Sub": "${Bucket.Arn}/" }]))),
    ];
    assert_eq!(selected, expected);
}

#[test]
fn a_bucket_locks_what_backups_reuse_and_lets_go_of_what_proves_nothing() {
    let site = template(SITE);
    let days = &site["Parameters"]["ObjectLockDays"];
    assert_eq!(days["MinValue"], LEAST_LOCK_DAYS);
    assert!(days["Default"].as_u64().unwrap() >= LEAST_LOCK_DAYS);
    let bucket = &site["Resources"]["Bucket"]["Properties"];
    assert_eq!(bucket["VersioningConfiguration"]["Status"], "Enabled");
    let lock = json!({ "Mode": { "Ref": "ObjectLockMode" }, "Days": { "Ref": "ObjectLockDays" } });
    assert_eq!(bucket["ObjectLockConfiguration"]["Rule"]["DefaultRetention"], lock);
    let rules = bucket["LifecycleConfiguration"]["Rules"].as_array().unwrap();
    let expiring: Vec<(&Value, &Value)> = rules
        .iter()
        .filter(|rule| rule.get("AbortIncompleteMultipartUpload").is_none())
        .map(|rule| (&rule["Prefix"], &rule["NoncurrentVersionExpiration"]["NoncurrentDays"]))
        .collect();
    let kept = [(json!("leases/"), json!(1)), (json!("state/"), json!(30)), (json!("incidents/"), json!(30))];
    assert_eq!(expiring, kept.iter().map(|(folder, days)| (folder, days)).collect::<Vec<_>>());
    assert!(
        rules.iter().all(|rule| rule["Status"] == "Enabled" && rule.get("ExpirationInDays").is_none()),
        "{rules:?}"
    );
}

#[test]
fn a_severity_of_a_subscription_cannot_be_misspelt() {
    let main = template(MAIN);
    let severities: Vec<&str> = Severity::ALL.iter().map(|severity| severity.as_str()).collect();
    for channel in ["Email", "Sms", "Https"] {
        assert_eq!(
            main["Parameters"][format!("Alert{channel}Severities")]["AllowedValues"],
            json!(severities),
            "{channel}"
        );
    }
}

#[test]
fn each_alarm_watches_a_metric_that_there_is_and_all_but_one_notify_somebody() {
    let main = template(MAIN);
    let written = fs::read_to_string(root().join("shared/engine/src/health/metrics.rs")).unwrap();
    let alarms = resources(&main, "AWS::CloudWatch::Alarm");
    for (name, alarm) in &alarms {
        let alarm = &alarm["Properties"];
        // Alerts are sent about what it shows.
        if *name != "SomethingWrong" {
            assert_eq!(alarm["AlarmActions"], json!([{ "Ref": "Alarms" }]), "{name}");
        }
        let metric = alarm.pointer("/Metrics/1/MetricStat/Metric").unwrap_or(alarm);
        if metric["Namespace"] == "Lifeboat" {
            let metric = metric["MetricName"].as_str().unwrap();
            assert!(written.contains(&format!("\"{metric}\"")), "{name} watches {metric}");
        }
    }
    for (queue, _) in resources(&main, "AWS::SQS::Queue") {
        let name = json!({ "Fn::GetAtt": [queue, "QueueName"] });
        let watches = |alarm: &Value| alarm["Properties"].pointer("/Dimensions/0/Value") == Some(&name);
        assert!(alarms.iter().any(|(_, alarm)| watches(alarm)), "nobody hears of {queue}");
    }
}

#[test]
fn a_rule_takes_only_events_of_lifeboat_in_this_account_from_the_bus() {
    let main = template(MAIN);
    let mut rules = 0;
    for (function, resource) in resources(&main, "AWS::Serverless::Function") {
        let events = resource["Properties"]["Events"].as_object().into_iter().flatten();
        for (name, event) in events.filter(|(_, event)| event["Properties"].get("EventBusName").is_some()) {
            let pattern = &event["Properties"]["Pattern"];
            assert_eq!(pattern["source"], json!(["lifeboat"]), "{function}/{name}");
            assert_eq!(pattern["account"], json!([{ "Ref": "AWS::AccountId" }]), "{function}/{name}");
            rules += 1;
        }
    }
    assert_eq!(rules, 5);
}
