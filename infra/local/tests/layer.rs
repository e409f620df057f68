//! The layer of the functions carries the newest PostgreSQL that is promised.

#![allow(clippy::unwrap_used, reason = "a test file: a panic is a failed test")]

use lifeboat_local::{ClientLayer, Installation, PostgresOptions, PostgresServer, SUPPORTED_MAJORS};

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
