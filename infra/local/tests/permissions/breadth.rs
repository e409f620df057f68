//! How much the statements of the templates allow, as they are written.

use serde_json::Value;

use crate::statements::each_statement_of_templates;

/// Statements that allow more than they name, each with its reason.
const BROAD: [(&str, &str); 2] = [
    ("Key/AccountAdministers", "it delegates to the roles' policies, which are looked at here as well"),
    ("HealthRole/ReadFilters", "IAM knows no resource for the action"),
];

/// Uses of a key that open or seal. What it is for must be stated.
const KEY_USES: [&str; 3] = ["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey"];

#[test]
fn no_statement_allows_more_than_it_names() {
    let mut wrong = Vec::new();
    for (name, kind, statement) in each_statement_of_templates() {
        let is_broad = BROAD.iter().any(|(broad, _)| *broad == name);
        if statement["Effect"] != "Allow" || is_broad {
            continue;
        }
        let actions = texts(&statement["Action"]);
        assert!(!actions.is_empty(), "{name}");
        if actions.iter().any(|action| action.contains('*')) {
            wrong.push(format!("{name} allows actions by a pattern"));
        }
        // The resource of a key's policy is the key.
        if kind != "AWS::KMS::Key" && texts(&statement["Resource"]).contains(&"*".to_owned()) {
            wrong.push(format!("{name} allows it on everything"));
        }
        let conditions = texts(&statement["Condition"]).join(" ");
        let has = |key: &str| conditions.contains(key);
        let is_open = statement["Principal"]["Service"].is_string() || principal_is_an_account(&statement);
        if is_open && !(has("aws:PrincipalArn") || has("aws:SourceAccount") || has("aws:SourceArn")) {
            wrong.push(format!("{name} allows it to a whole account or service"));
        }
        let uses_key = actions.iter().any(|action| KEY_USES.contains(&action.as_str()));
        if uses_key && !(has("kms:EncryptionContext:lifeboat-purpose") || has("kms:ViaService")) {
            wrong.push(format!("{name} does not say what the key is for"));
        }
        // The sites' policies refuse blind writes by themselves.
        if kind == "AWS::IAM::Role" && actions == ["s3:PutObject"] && !(has("s3:if-none-match") || has("s3:if-match")) {
            wrong.push(format!("{name} allows blind writes"));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

fn principal_is_an_account(statement: &Value) -> bool {
    texts(&statement["Principal"]).iter().any(|text| text.ends_with(":root"))
}

/// Every name and every text in a value.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(items) => items.iter().flat_map(texts).collect(),
        Value::Object(fields) => {
            fields.iter().flat_map(|(name, value)| std::iter::once(name.clone()).chain(texts(value))).collect()
        }
        _ => Vec::new(),
    }
}
