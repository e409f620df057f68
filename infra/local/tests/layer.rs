//! The layer of the functions carries the newest PostgreSQL that is promised.

#![allow(clippy::unwrap_used, reason = "a test file: a panic is a failed test")]

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

use lifeboat_local::{ClientLayer, Installation, PostgresOptions, PostgresServer, SUPPORTED_MAJORS, root};

#[test]
fn the_layer_as_the_makefile_builds_it_dumps_and_restores_the_newest_server() {
    let newest = *SUPPORTED_MAJORS.end();
    let Some(installation) = Installation::all().unwrap().into_iter().find(|one| one.major == newest) else {
        eprintln!("skipped: PostgreSQL {newest} is not available here");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let layer = ClientLayer::build(&installation, folder.path()).unwrap();
    assert_eq!(layer.packages.trim(), format!("install -y -q postgresql{newest}"), "the Makefile's default");

    let linked = layer.run("ldd /opt/bin/pg_dump").unwrap();
    let libpq = linked.lines().find(|line| line.contains("libpq")).unwrap();
    assert!(libpq.contains("=> /opt/"), "{libpq}");
    assert!(!layer.run("ls /opt/lib").unwrap().contains("libc.so"), "the runtime has its own");

    let options = PostgresOptions { bin_dir: Some(installation.bin_dir), ..PostgresOptions::named("layer") };
    let server = PostgresServer::start(options).unwrap();
    server
        .psql("postgres", "CREATE TABLE visit (id int PRIMARY KEY, at timestamptz DEFAULT now()); CREATE ROLE nurse")
        .unwrap();
    let url = server.url("postgres");
    let script = format!(
        "/opt/bin/pg_dump --schema-only --format=custom '{url}' | /opt/bin/pg_restore --list; \
         /opt/bin/pg_dumpall --roles-only --no-role-passwords --dbname='{url}'"
    );
    let dumped = layer.run(&script).unwrap();
    for expected in [&*format!("Dumped from database version: {newest}."), "TABLE public visit", "CREATE ROLE nurse"] {
        assert!(dumped.contains(expected), "{expected}: {dumped}");
    }
}

/// The tools that `collect.sh` finds on its search path, and `sh` to run it with. `/bin/true` stands for `dnf`.
const TOOLS: [(&str, &str); 12] = [
    ("sh", "sh"),
    ("dnf", "/bin/true"),
    ("mkdir", "mkdir"),
    ("mktemp", "mktemp"),
    ("readlink", "readlink"),
    ("cp", "cp"),
    ("rm", "rm"),
    ("ldd", "ldd"),
    ("cat", "cat"),
    ("awk", "awk"),
    ("sort", "sort"),
    ("basename", "basename"),
];

/// Runs `collect.sh` where these client programs are all that was installed.
fn collect(folder: &Path, programs: &[&str], program: &str) -> Output {
    let (tools, target) = (folder.join("tools"), folder.join("layer"));
    std::fs::create_dir_all(&tools).unwrap();
    let provide = |name: &str, tool: &str| {
        let found = Command::new("sh").args(["-c", &format!("command -v {tool}")]).output().unwrap();
        symlink(String::from_utf8(found.stdout).unwrap().trim(), tools.join(name)).unwrap();
    };
    TOOLS.iter().for_each(|(name, tool)| provide(name, tool));
    programs.iter().for_each(|name| provide(name, program));
    let script = root().join("infra/postgres-client/collect.sh");
    Command::new("sh").arg(script).arg("18").arg(&target).env("PATH", &tools).output().unwrap()
}

#[test]
fn a_layer_that_lacks_a_program_or_a_library_is_not_built() {
    let all = ["pg_dump", "pg_dumpall", "pg_restore"];
    let folder = tempfile::tempdir().unwrap();
    let collected = collect(folder.path(), &all, "bash");
    assert!(collected.status.success(), "{}", String::from_utf8_lossy(&collected.stderr));
    for program in all {
        assert!(folder.path().join("layer/bin").join(program).exists(), "{program}");
    }
    assert!(std::fs::read_dir(folder.path().join("layer/lib")).unwrap().next().is_some(), "what `bash` is linked to");

    for missing in all {
        let folder = tempfile::tempdir().unwrap();
        let others: Vec<&str> = all.into_iter().filter(|program| *program != missing).collect();
        let collected = collect(folder.path(), &others, "bash");
        let said = String::from_utf8_lossy(&collected.stderr);
        assert!(!collected.status.success() && said.contains(missing), "{missing}: {said}");
    }
    // `ldd` cannot tell what this one needs.
    let folder = tempfile::tempdir().unwrap();
    assert!(!collect(folder.path(), &all, "ldd").status.success());
}
