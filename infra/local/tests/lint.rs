//! The templates under cfn-lint.

use std::fs;

use lifeboat_local::{TEMPLATES, lint, lint_template, root};

#[test]
fn the_templates_are_clean() {
    lint().unwrap();
}

#[test]
fn a_mistake_in_a_template_is_found() {
    let text = fs::read_to_string(root().join(TEMPLATES[0])).unwrap();
    let wrong = text.replace("MemorySize: !Ref MemorySizeMb", "MemorySizes: !Ref MemorySizeMb");
    assert_ne!(text, wrong);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("template.yaml");
    fs::write(&path, wrong).unwrap();
    let complaint = lint_template(&path).unwrap_err().to_string();
    assert!(complaint.contains("MemorySizes"), "{complaint}");
}
