//! The statements that the templates have, the people who meet them, and what they act on.

use std::collections::BTreeSet;
use std::process::Stdio;

use aws_sdk_cloudformation::types::Capability;
use lifeboat_local::{
    ACCOUNT, Cloud, Deployment, EMULATOR, OFFSITE_REGION, PRIMARY_REGION, Parameters, TEMPLATES, Template, Venv, root,
};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::time::{Duration, sleep};

use crate::caller::{Answer, Caller};

/// `Resource/Sid` of each statement of each policy.
pub fn of_templates() -> BTreeSet<String> {
    each_statement_of_templates().into_iter().map(|(name, _, _)| name).collect()
}

/// Each statement of each policy: `Resource/Sid`, the type of its resource, and the statement. A bucket's policy goes by the bucket's name.
pub fn each_statement_of_templates() -> Vec<(String, String, Value)> {
    let mut named = Vec::new();
    for file in TEMPLATES {
        let template = Template::read(&root().join(file)).unwrap();
        for resource in template.resources() {
            let owner = match resource.kind {
                "AWS::S3::BucketPolicy" => resource.logical_id.trim_end_matches("Policy"),
                _ => resource.logical_id,
            };
            let mut statements = Vec::new();
            collect(resource.properties, &mut statements);
            for statement in statements {
                let sid = statement["Sid"].as_str().unwrap();
                // The same delegation to IAM in both keys.
                let owner = if sid == "AccountAdministers" { "Key" } else { owner };
                named.push((format!("{owner}/{sid}"), resource.kind.to_owned(), statement.clone()));
            }
        }
    }
    named
}

fn collect<'a>(value: &'a Value, statements: &mut Vec<&'a Value>) {
    match value {
        Value::Object(fields) => {
            statements.extend(fields.get("Sid").and_then(Value::as_str).map(|_| value));
            fields.values().for_each(|field| collect(field, statements));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, statements)),
        _ => {}
    }
}

/// Makes the roles of people: each may do everything that IAM can allow, and an operator only what the audit trail and the key check take.
pub async fn hire(cloud: &Cloud) {
    let role = |name: &str, actions: Value| {
        json!({
            "Type": "AWS::IAM::Role",
            "Properties": {
                "RoleName": name,
                "AssumeRolePolicyDocument": { "Version": "2012-10-17", "Statement": [
                    { "Effect": "Allow", "Principal": { "AWS": format!("arn:aws:iam::{ACCOUNT}:root") }, "Action": "sts:AssumeRole" }
                ] },
                "Policies": [{ "PolicyName": "all", "PolicyDocument": { "Version": "2012-10-17", "Statement": [
                    { "Effect": "Allow", "Action": actions, "Resource": "*" }
                ] } }],
            },
        })
    };
    let template = json!({ "Resources": {
        "Administrator": role("administrator", json!("*")),
        "BreakGlass": role("break-glass", json!("*")),
        "Operator": role("operator", json!(["kms:GenerateMac", "kms:VerifyMac", "kms:Decrypt"])),
    } });
    let client = aws_sdk_cloudformation::Client::new(&cloud.config(PRIMARY_REGION).await);
    let create = client.create_stack().stack_name("people").template_body(template.to_string());
    create.capabilities(Capability::CapabilityNamedIam).send().await.unwrap();
    for _ in 0..600 {
        let answer = client.describe_stacks().stack_name("people").send().await.unwrap();
        match answer.stacks()[0].stack_status().unwrap().as_str() {
            "CREATE_COMPLETE" => return,
            "CREATE_IN_PROGRESS" => sleep(Duration::from_millis(100)).await,
            other => panic!("{other}"),
        }
    }
    panic!("the roles of people are not made");
}

pub async fn people(cloud: &Cloud, at: &Deployment) -> [Caller; 3] {
    let assume = |name| Caller::assume(cloud, at, name);
    [assume("administrator").await, assume("break-glass").await, assume("operator").await]
}

/// The parameters of a deployment with all that is optional.
pub async fn parameters(cloud: &Cloud) -> Parameters {
    let source = cloud.put_secret("source", "postgres://source").await.unwrap();
    let scratch = cloud.put_secret("scratch", "postgres://scratch").await.unwrap();
    let restore = cloud.put_secret("restore", "postgres://restore").await.unwrap();
    let person = |name: &str| format!("arn:aws:iam::{ACCOUNT}:role/{name}");
    let given = [
        ("DatabaseNames", "clinic".to_owned()),
        ("DatabaseSecretArns", source),
        ("ScratchSecretArn", scratch),
        ("RestoreSecretArn", restore),
        ("BreakGlassRoleName", "break-glass".to_owned()),
        ("OperatorArns", person("operator")),
    ];
    given.map(|(name, value)| (name.to_owned(), value)).into()
}

/// Gives both buckets an object to act on.
pub async fn store_something(cloud: &Cloud, at: &Deployment, key: &str) {
    for (region, bucket) in
        [(PRIMARY_REGION, at.primary_bucket.clone()), (OFFSITE_REGION, at.offsite.clone().unwrap().bucket)]
    {
        let put = cloud.s3(region).await.put_object().bucket(bucket).key(key).body(b"chunk".to_vec().into());
        put.send().await.unwrap();
    }
}

/// The bucket of a site's trail.
pub async fn trail_bucket(cloud: &Cloud, region: &'static str) -> String {
    let stack = if region == PRIMARY_REGION { "lifeboat-primary" } else { "lifeboat-offsite" };
    let client = aws_sdk_cloudformation::Client::new(&cloud.config(region).await);
    let answer = client.describe_stack_resources().stack_name(stack).logical_resource_id("TrailBucket").send().await;
    answer.unwrap().stack_resources()[0].physical_resource_id().unwrap().to_owned()
}

/// A policy without one of its statements.
pub fn without(policy: &str, sid: &str) -> String {
    let mut policy: Value = serde_json::from_str(policy).unwrap();
    let statements = policy["Statement"].as_array_mut().unwrap();
    let before = statements.len();
    statements.retain(|statement| statement["Sid"] != sid);
    assert_eq!(statements.len() + 1, before);
    policy.to_string()
}

/// A policy beside a statement that allows everything, so that only what it denies is refused.
pub fn beside_everything(policy: &str) -> String {
    let mut policy: Value = serde_json::from_str(policy).unwrap();
    let all = json!({ "Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*" });
    policy["Statement"].as_array_mut().unwrap().push(all);
    policy.to_string()
}

/// Decides each question as the emulator would, if somebody of another account or a service asked it.
const DECIDE: &str = r#"
import json, sys
from ministack.core.iam_evaluator import EvalContext, evaluate_resource_policy
answers = []
for ask in json.load(sys.stdin):
    service = ask["principal"] if ask["principal"].endswith(".amazonaws.com") else None
    keys = {name.lower(): value for name, value in ask["keys"].items()}
    keys["aws:sourceaccount"] = ACCOUNT = "000000000000"
    context = EvalContext(principal_arn=ask["principal"], principal_type="AssumedRole", principal_account=ACCOUNT,
                          action=ask["action"], resource_arn=ask["resource"], region="eu-west-1", service_context=keys)
    answers.append(evaluate_resource_policy(ask["policy"], context, service=service).decision == "Allow")
print(json.dumps(answers))
"#;

pub async fn decide(questions: &[Value]) -> Vec<Answer> {
    let venv = Venv::ensure(EMULATOR).unwrap();
    let mut python = Command::new(venv.program("python"))
        .args(["-c", DECIDE])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    python.stdin.take().unwrap().write_all(json!(questions).to_string().as_bytes()).await.unwrap();
    let output = python.wait_with_output().await.unwrap();
    let answers: Vec<bool> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answers.len(), questions.len());
    answers.into_iter().map(|allowed| if allowed { Answer::Allowed } else { Answer::Denied }).collect()
}
