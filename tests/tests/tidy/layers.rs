//! No arrow runs upward: a crate uses only crates below it, and says on top what it must never know.

use std::path::Path;

use crate::tree::{read, root};

/// What each crate may use of the others, and which foreign crates it must never know. The order is the order of layers.
const LAYERS: [Layer; 18] = [
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
    ("functions/restore", &["model", "engine", "runtime"], &["aws-", "tokio-postgres"]),
    ("functions/health", &["model", "engine", "runtime"], &["aws-", "tokio-postgres"]),
    ("functions/status", &["model", "engine", "runtime", "report"], &["aws-", "tokio-postgres"]),
    ("cli", &["model", "postgres", "vault", "report", "engine", "runtime"], &["aws-", "tokio-postgres"]),
    ("infra/local", &["model"], &[]),
];

/// A crate's folder, the crates it may use, and the beginnings of the names of those it must never know.
type Layer = (&'static str, &'static [&'static str], &'static [&'static str]);

/// The names under `[dependencies]` of a manifest; development and build dependencies are not part of a layer.
pub fn dependencies(manifest: &str) -> Vec<String> {
    manifest
        .lines()
        .skip_while(|line| *line != "[dependencies]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split(['.', ' ', '=']).next())
        .filter(|name| !name.is_empty() && !name.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

fn upward_arrows((folder, allowed, forbidden): Layer, manifest: &str) -> Vec<String> {
    let mut found = Vec::new();
    for name in dependencies(manifest) {
        let own = name.strip_prefix("lifeboat-");
        let is_cryptography = name == "aws-lc-rs";
        if own.is_some_and(|own| !allowed.contains(&own)) {
            found.push(format!("{folder} must not use {name}"));
        } else if !is_cryptography && forbidden.iter().any(|prefix| name.starts_with(prefix)) {
            found.push(format!("{folder} must never know {name}"));
        }
    }
    found
}

#[test]
fn a_crate_uses_only_crates_below_it_and_knows_nothing_it_must_not_know() {
    for layer in LAYERS {
        assert_eq!(upward_arrows(layer, &read(&format!("{}/Cargo.toml", layer.0))), [""; 0]);
    }
}

#[test]
fn the_layers_themselves_point_downward() {
    for (index, (folder, allowed, _)) in LAYERS.iter().enumerate() {
        for name in *allowed {
            let place = LAYERS.iter().position(|(below, ..)| *below == format!("shared/{name}"));
            assert!(place.is_some_and(|place| place < index), "{folder} may use {name}, which is not below it");
        }
    }
}

#[test]
fn an_upward_arrow_and_a_forbidden_crate_are_refused() {
    let manifest = "[dependencies]\naws-lc-rs.workspace = true\naws-sdk-s3.workspace = true\nlifeboat-model.workspace = true\n\
                    lifeboat-engine = { workspace = true }\n\n[dev-dependencies]\nlifeboat-bench.workspace = true\n";
    let layer: Layer = ("shared/vault", &["model"], &["aws-"]);
    let expected = ["shared/vault must never know aws-sdk-s3", "shared/vault must not use lifeboat-engine"];
    assert_eq!(upward_arrows(layer, manifest), expected);
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
fn no_crate_that_ships_uses_the_test_doubles() {
    for (folder, ..) in LAYERS {
        let names = dependencies(&read(&format!("{folder}/Cargo.toml")));
        assert!(!names.iter().any(|name| name == "lifeboat-bench"), "{folder} must use lifeboat-bench for tests only");
    }
}

#[test]
fn every_crate_says_what_it_owns_and_what_it_must_never_know() {
    for (folder, ..) in LAYERS.iter().filter(|(folder, ..)| Path::new(folder).starts_with("shared")) {
        let text = read(&format!("{folder}/src/lib.rs"));
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
fn one_table_holds_all_versions() {
    for (folder, ..) in LAYERS {
        let text = read(&format!("{folder}/Cargo.toml"));
        let own = text.lines().find(|line| line.contains("version = \""));
        assert_eq!(own, None, "{folder}/Cargo.toml names a version of its own");
    }
}
