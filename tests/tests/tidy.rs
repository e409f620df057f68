//! The shape of the tree, held as a test: layers, words, sizes.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

/// Lines a source file may have; more is a smell of two nouns in one file.
const MOST_LINES: usize = 500;

/// Lines of a function's or the CLI's `main.rs`.
const MOST_MAIN_LINES: usize = 40;

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 9] = ["utils", "util", "helpers", "common", "types", "core", "base", "manager", "misc"];

/// What each crate may use of the others, and which foreign crates it must never know. The order is the order of layers.
const LAYERS: [(&str, &[&str], &[&str]); 17] = [
    ("shared/model", &[], &["tokio", "aws-", "tokio-postgres"]),
    ("shared/seal", &[], &["aws-", "tokio-postgres"]),
    ("shared/postgres", &["model"], &["aws-"]),
    ("shared/vault", &["model", "seal"], &["aws-", "tokio-postgres", "lambda_runtime"]),
    ("shared/notify", &["model"], &["aws-", "tokio-postgres"]),
    ("shared/report", &["model"], &["tokio", "aws-", "tokio-postgres"]),
    ("shared/aws", &["model", "seal", "vault", "notify"], &["tokio-postgres", "lambda_runtime"]),
    ("shared/bench", &["model", "seal", "vault", "notify"], &["aws-", "tokio-postgres", "lambda_runtime"]),
    ("shared/engine", &["model", "seal", "postgres", "vault", "notify"], &["aws-", "tokio-postgres", "lambda_runtime"]),
    ("shared/runtime", &["model", "seal", "postgres", "vault", "notify", "aws", "engine"], &["aws-", "tokio-postgres"]),
    ("functions/backup", &["model", "engine", "runtime"], &["aws-", "tokio-postgres"]),
    ("functions/verify", &["model", "engine", "runtime"], &["aws-", "tokio-postgres"]),
    ("functions/test-restore", &["model", "engine", "runtime"], &["aws-", "tokio-postgres"]),
    ("functions/health", &["model", "engine", "runtime"], &["aws-", "tokio-postgres"]),
    ("functions/status", &["model", "engine", "runtime", "report"], &["aws-", "tokio-postgres"]),
    ("cli", &["model", "postgres", "vault", "report", "engine", "runtime"], &["aws-", "tokio-postgres"]),
    ("infra/local", &["model"], &[]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The names under `[dependencies]` of a manifest; development and build dependencies are not part of a layer.
fn dependencies(manifest: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(manifest).unwrap_or_else(|error| panic!("{}: {error}", manifest.display()));
    text.lines()
        .skip_while(|line| *line != "[dependencies]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split(['.', ' ', '=']).next())
        .filter(|name| !name.is_empty() && !name.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> =
        ["shared", "functions", "cli", "infra/local", "tests"].iter().map(|folder| root().join(folder)).collect();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() && path.file_name().is_none_or(|name| name != "target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    assert!(found.len() > 50, "the tree has moved: only {} source files found", found.len());
    found
}

#[test]
fn a_crate_uses_only_crates_below_it_and_knows_nothing_it_must_not_know() {
    for (folder, allowed, forbidden) in LAYERS {
        for name in dependencies(&root().join(folder).join("Cargo.toml")) {
            if let Some(own) = name.strip_prefix("lifeboat-") {
                assert!(allowed.contains(&own), "{folder} must not use {name}");
            }
            for prefix in forbidden {
                let is_cryptography = name == "aws-lc-rs";
                assert!(is_cryptography || !name.starts_with(prefix), "{folder} must never know {name}");
            }
        }
    }
}

#[test]
fn every_crate_has_its_place_in_the_layers() {
    for group in ["shared", "functions"] {
        for entry in std::fs::read_dir(root().join(group)).unwrap() {
            let folder = format!("{group}/{}", entry.unwrap().file_name().to_string_lossy());
            assert!(LAYERS.iter().any(|(known, ..)| *known == folder), "{folder} has no layer");
        }
    }
}

#[test]
fn no_source_file_is_long_and_none_has_a_name_that_says_nothing() {
    for path in sources() {
        let lines = std::fs::read_to_string(&path).unwrap().lines().count();
        let limit = if path.ends_with("src/main.rs") { MOST_MAIN_LINES } else { MOST_LINES };
        assert!(lines <= limit, "{} has {lines} lines, {limit} are allowed", path.display());
        let name = path.file_stem().unwrap().to_string_lossy().to_lowercase();
        assert!(!EMPTY_NAMES.contains(&name.as_str()), "{} has a name that says nothing", path.display());
    }
}

#[test]
fn every_crate_says_what_it_owns_and_what_it_must_never_know() {
    for (folder, ..) in LAYERS.iter().filter(|(folder, ..)| folder.starts_with("shared/")) {
        let text = std::fs::read_to_string(root().join(folder).join("src/lib.rs")).unwrap();
        let lines: Vec<&str> = text.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim).collect();
        let paragraph = lines.join(" ");
        assert!(paragraph.contains("owns"), "{folder}/src/lib.rs does not say what the crate owns");
        let limits = ["never know", "knows no", "must not know"];
        assert!(
            limits.iter().any(|l| paragraph.contains(l)),
            "{folder}/src/lib.rs does not say what it must never know"
        );
    }
}

#[test]
fn no_stub_is_left_in_the_code() {
    let marks = [concat!("todo", "!("), concat!("unimplemented", "!("), concat!("FIX", "ME")];
    let ignored = concat!("#[ign", "ore");
    for path in sources() {
        let text = std::fs::read_to_string(&path).unwrap();
        for mark in marks {
            assert!(!text.contains(mark), "{} has `{mark}`", path.display());
        }
        // A test may be the body of a process that another test starts; none may be put aside.
        for line in text.lines().filter(|line| line.contains(ignored)) {
            assert!(line.contains("= \"run by "), "{} puts a test aside: {line}", path.display());
        }
    }
}

#[test]
fn one_table_holds_all_versions() {
    for (folder, ..) in LAYERS {
        let text = std::fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
        let own = text.lines().find(|line| line.contains("version = \""));
        assert_eq!(own, None, "{folder}/Cargo.toml names a version of its own");
    }
}
