//! The templates under cfn-lint and checkov.

#![allow(clippy::unwrap_used, reason = "a test file: a panic is a failed test")]

use std::fs;

use lifeboat_local::{TEMPLATES, lint, lint_templates, root};

#[test]
fn the_templates_are_clean() {
    lint().unwrap();
}

/// Lints the main template with `there` replaced, and returns the complaint.
fn complaint(there: &str, instead: &str) -> String {
    let text = fs::read_to_string(root().join(TEMPLATES[0])).unwrap();
    let wrong = text.replace(there, instead);
    assert_ne!(text, wrong);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("template.yaml");
    fs::write(&path, wrong).unwrap();
    lint_templates(&[path]).unwrap_err().to_string()
}

#[test]
fn a_mistake_in_a_template_is_found() {
    let complaint = complaint("MemorySize: !Ref MemorySizeMb", "MemorySizes: !Ref MemorySizeMb");
    assert!(complaint.contains("MemorySizes"), "{complaint}");
}

#[test]
fn an_unsafe_resource_is_found() {
    let open = "  OpenBucket:\n    Type: AWS::S3::Bucket\n";
    let complaint = complaint("  Alarms:\n", &format!("{open}\n  Alarms:\n"));
    assert!(complaint.contains("AWS::S3::Bucket.OpenBucket"), "{complaint}");
}
