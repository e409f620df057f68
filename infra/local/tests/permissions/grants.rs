//! What the policies of a site say by themselves, without the roles' own policies beside them: so they stand when the main stack is in
//! another account.

use lifeboat_local::{ACCOUNT, Cloud, Deployment, OFFSITE_REGION, PRIMARY_REGION};
use serde_json::{Value, json};

use crate::caller::{Answer, At};
use crate::statements::{beside_everything, decide, without};

/// Roles that may ask: the six functions, those of `OperatorArns`, and two that the site has not heard of.
const ROLES: [&str; 9] =
    ["backup", "verify", "test-restore", "restore", "health", "status", "operator", "administrator", "another-backup"];

const PURPOSES: [&str; 4] = ["chunk", "chunk-key", "doctor", "other"];

const KEY_ACTIONS: [&str; 6] = [
    "kms:GenerateDataKey",
    "kms:Encrypt",
    "kms:Decrypt",
    "kms:ReEncryptFrom",
    "kms:GenerateDataKeyWithoutPlaintext",
    "kms:DescribeKey",
];

const MAC_ACTIONS: [&str; 3] = ["kms:GenerateMac", "kms:VerifyMac", "kms:DescribeKey"];

const BUCKET_ACTIONS: [&str; 5] =
    ["s3:GetObject", "s3:PutObject", "s3:PutObjectRetention", "s3:GetObjectVersion", "s3:PutObjectTagging"];

const KEYS: [&str; 11] = [
    "repository.json",
    "chunks/0001/ab/cd",
    "backups/clinic/1/manifest.json",
    "findings/clinic/1.json",
    "drills/clinic/1.json",
    "ledger/000000000001.json",
    "incidents/backup-failed/clinic.json",
    "leases/backup-clinic.json",
    "state/history.json",
    "state/doctor.json",
    "state/scratch.json",
];

fn role_arn(role: &str) -> String {
    match role {
        "operator" | "administrator" => format!("arn:aws:iam::{ACCOUNT}:role/{role}"),
        "another-backup" => format!("arn:aws:iam::{ACCOUNT}:role/another-{PRIMARY_REGION}-backup"),
        function => format!("arn:aws:iam::{ACCOUNT}:role/lifeboat-{PRIMARY_REGION}-{function}"),
    }
}

fn may_use_key(role: &str, action: &str, purpose: &str, at: At) -> bool {
    let seals = if at == At::Primary { "kms:GenerateDataKey" } else { "kms:Encrypt" };
    match (role, action) {
        ("backup", "kms:Decrypt") => at == At::Primary && purpose == "chunk-key",
        ("backup", action) => action == seals && purpose != "other",
        ("test-restore" | "restore", "kms:Decrypt") => matches!(purpose, "chunk" | "chunk-key"),
        ("health" | "operator", "kms:GenerateDataKey" | "kms:Encrypt" | "kms:Decrypt") => purpose == "doctor",
        _ => false,
    }
}

fn may_use_mac_key(role: &str, action: &str) -> bool {
    matches!(role, "backup" | "verify" | "test-restore" | "restore" | "health" | "operator")
        && action != "kms:DescribeKey"
}

fn may_use_bucket(role: &str, action: &str, key: &str) -> bool {
    let folder = key.split('/').next().unwrap_or_default();
    let (is_record, is_entry) = (matches!(folder, "incidents" | "leases" | "state"), folder == "ledger");
    let is_of_backup = matches!(folder, "repository.json" | "chunks" | "backups");
    let is_operators = matches!(key, "state/doctor.json" | "state/scratch.json") || is_entry || folder == "incidents";
    match (role, action) {
        ("administrator" | "another-backup", _) => false,
        (_, "s3:GetObject") => true,
        ("status", _) => false,
        ("operator", "s3:PutObject" | "s3:PutObjectRetention") => is_operators,
        (_, "s3:PutObjectRetention") => is_record || is_entry,
        ("backup", "s3:PutObject") => is_record || is_entry || is_of_backup,
        ("verify", "s3:PutObject") => is_record || is_entry || is_of_backup || folder == "findings",
        ("test-restore", "s3:PutObject") => is_record || is_entry || folder == "drills",
        ("restore" | "health", "s3:PutObject") => is_record || is_entry,
        _ => false,
    }
}

/// Questions with the answer that is wanted to each.
#[derive(Default)]
struct Questions {
    asked: Vec<Value>,
    wanted: Vec<Answer>,
}

impl Questions {
    fn ask(
        &mut self,
        (policy, principal): (&str, &str),
        (action, resource): (&str, &str),
        keys: Value,
        is_wanted: bool,
    ) {
        self.asked.push(json!({
            "policy": policy, "principal": principal, "action": action, "resource": resource, "keys": keys,
        }));
        self.wanted.push(if is_wanted { Answer::Allowed } else { Answer::Denied });
    }

    /// The questions whose answer is another one.
    async fn wrong(&self) -> Vec<String> {
        let answers = decide(&self.asked).await;
        let each = self.asked.iter().zip(answers.iter().zip(&self.wanted));
        let wrong = each.filter(|(_, (answer, wanted))| answer != wanted);
        wrong
            .map(|(asked, (answer, _))| {
                let [principal, action, resource] =
                    ["principal", "action", "resource"].map(|field| asked[field].as_str().unwrap());
                format!("{answer:?}: {principal} {action} {resource} {}", asked["keys"])
            })
            .collect()
    }
}

/// Every role with every action on the keys and the bucket of each site. What no policy names is refused.
pub async fn each_grant(cloud: &Cloud, at: &Deployment) {
    for (site, region) in [(At::Primary, PRIMARY_REGION), (At::Offsite, OFFSITE_REGION)] {
        let far = at.offsite.clone().unwrap();
        let (key, mac_key, bucket) = match site {
            At::Primary => (&at.primary_key_arn, &at.primary_mac_key_arn, &at.primary_bucket),
            At::Offsite => (&far.key_arn, &far.mac_key_arn, &far.bucket),
        };
        let kms = cloud.kms(region).await;
        let policy_of = async |key: &str| {
            let answer = kms.get_key_policy().key_id(key).send().await.unwrap();
            without(answer.policy().unwrap(), "AccountAdministers")
        };
        let (of_key, of_mac_key) = (policy_of(key).await, policy_of(mac_key).await);
        let answer = cloud.s3(region).await.get_bucket_policy().bucket(bucket).send().await.unwrap();
        let of_bucket = answer.policy().unwrap();
        let mut questions = Questions::default();
        for role in ROLES {
            let principal = role_arn(role);
            for (action, purpose) in KEY_ACTIONS.iter().flat_map(|action| PURPOSES.map(|purpose| (*action, purpose))) {
                let keys = json!({ "kms:EncryptionContext:lifeboat-purpose": purpose });
                let is_wanted = may_use_key(role, action, purpose, site);
                questions.ask((&of_key, &principal), (action, key), keys, is_wanted);
            }
            for action in MAC_ACTIONS {
                let is_wanted = may_use_mac_key(role, action);
                questions.ask((&of_mac_key, &principal), (action, mac_key), json!({}), is_wanted);
            }
            for (action, key) in BUCKET_ACTIONS.iter().flat_map(|action| KEYS.map(|key| (*action, key))) {
                let is_wanted = may_use_bucket(role, action, key);
                let (resource, keys) = (format!("arn:aws:s3:::{bucket}/{key}"), json!({ "s3:if-none-match": "*" }));
                questions.ask((of_bucket, &principal), (action, &resource), keys, is_wanted);
            }
        }
        assert_eq!(questions.wrong().await, Vec::<String>::new(), "{site:?}");
    }
}

/// Every lock that a write or a later request can ask for. Beside the bucket's policy, everything is allowed.
pub async fn each_lock(cloud: &Cloud, at: &Deployment) {
    let bucket = at.offsite.clone().unwrap().bucket;
    let answer = cloud.s3(OFFSITE_REGION).await.get_bucket_policy().bucket(&bucket).send().await.unwrap();
    let (policy, principal) = (beside_everything(answer.policy().unwrap()), role_arn("administrator"));
    let mut questions = Questions::default();
    for (action, key) in
        ["s3:PutObject", "s3:PutObjectRetention"].iter().flat_map(|action| KEYS.map(|key| (*action, key)))
    {
        let is_record = ["incidents/", "leases/", "state/"].iter().any(|folder| key.starts_with(folder));
        for (mode, days) in
            ["GOVERNANCE", "COMPLIANCE"].iter().flat_map(|mode| [1, 119, 120, 7305, 7311].map(|days| (mode, days)))
        {
            let is_in_bounds = if is_record { days <= 2 } else { (120..=7310).contains(&days) };
            let (resource, days) = (format!("arn:aws:s3:::{bucket}/{key}"), days.to_string());
            let keys = json!({
                "s3:if-none-match": "*", "s3:object-lock-mode": mode, "s3:object-lock-remaining-retention-days": days,
            });
            questions.ask((&policy, &principal), (action, &resource), keys, is_in_bounds && *mode == "GOVERNANCE");
        }
    }
    assert_eq!(questions.wrong().await, Vec::<String>::new());
}
