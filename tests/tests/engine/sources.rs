//! Sources with which `pg_dump` works, and with which a backup works too.

use lifeboat_engine::{BackupRequest, DrillRequest};
use lifeboat_model::{DatabaseName, Manifest, RelationStatus, Site};
use lifeboat_postgres::ConnectionSettings;

use crate::bench::Bench;

const TABLE: &str = "CREATE TABLE t AS SELECT i, md5(i::text) AS word FROM generate_series(1, 300) i;
    ALTER TABLE t ADD PRIMARY KEY (i); CREATE SEQUENCE s; SELECT nextval('s')";

/// What a setting of a role or a database may be, and should change nothing.
const SETTINGS: [&str; 12] = [
    "statement_timeout = '1ms'",
    "lock_timeout = '1ms'",
    "idle_session_timeout = '1ms'",
    "idle_in_transaction_session_timeout = '1ms'",
    "role = outsider",
    "default_transaction_read_only = on",
    "default_transaction_isolation = serializable",
    "default_transaction_deferrable = on",
    "quote_all_identifiers = on",
    "array_nulls = off",
    "transform_null_equals = on",
    "DateStyle = 'German, DMY'",
];

/// A name for the repository's records, since the server's own may be any text.
fn named(number: usize) -> DatabaseName {
    format!("odd-{number}").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_of_the_roles_disturb_neither_a_backup_nor_a_drill() {
    let bench = Bench::with("settings", TABLE);
    bench.sql(
        "CREATE ROLE outsider; CREATE ROLE keeper LOGIN PASSWORD 'keeper'; GRANT pg_read_all_data, outsider TO keeper",
    );
    let driller = bench.driller();
    bench.scratch().psql("postgres", &format!("CREATE ROLE {driller}_outsider")).unwrap();
    for setting in SETTINGS {
        bench.sql(&format!("ALTER ROLE keeper SET {setting}"));
        let setting = setting.replace("outsider", &format!("{driller}_outsider"));
        bench.scratch().psql("postgres", &format!("ALTER ROLE {driller} SET {setting}")).unwrap();
    }
    bench.process().back_up(&bench.request_as("keeper", "keeper")).await.unwrap();
    let report = bench.drill(Site::Primary).await;
    assert!(report.equal, "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_may_have_any_name_that_the_server_allows() {
    let bench = Bench::with("names", TABLE);
    let longest = "x=".repeat(31);
    for (number, name) in [
        "A=b",
        "postgres://x",
        "dbname=x user='y'",
        "it's \"one\" \\ name",
        " ",
        "größe\tund\n=",
        "-",
        longest.as_str(),
    ]
    .into_iter()
    .enumerate()
    {
        let quoted = name.replace('"', "\"\"");
        bench.server.psql("postgres", &format!("CREATE DATABASE \"{quoted}\"")).unwrap();
        let conninfo = format!("dbname='{}'", name.replace('\\', "\\\\").replace('\'', "\\'"));
        bench.server.psql(&conninfo, TABLE).unwrap();
        let source = bench.settings("postgres").with_database(name);
        let request = BackupRequest { database: named(number), source, ..bench.request() };
        let manifest = bench.process().back_up(&request).await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        assert_eq!((manifest.source.datname.as_str(), manifest.totals.rows), (name, 300));
        let drill = DrillRequest { database: named(number), ..bench.drill_request(Site::Primary) };
        assert!(bench.process().drill(&drill).await.unwrap().equal, "{name}");
    }
}

fn status<'m>(manifest: &'m Manifest, name: &str) -> &'m RelationStatus {
    &manifest.relations.iter().find(|relation| relation.name == name).unwrap().status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_unlogged_has_its_definition_in_the_backup_of_a_standby_and_a_rule_says_why_no_more() {
    let bench = Bench::with(
        "primary",
        &format!(
            "{TABLE}; CREATE UNLOGGED TABLE cache (id int GENERATED ALWAYS AS IDENTITY (START 7), n serial, word text);
             INSERT INTO cache (word) VALUES ('a'), ('b');
             CREATE UNLOGGED SEQUENCE alone START 5; SELECT nextval('alone');
             CREATE ROLE keeper SUPERUSER LOGIN PASSWORD 'keeper'; ALTER ROLE keeper SET default_transaction_isolation = serializable"
        ),
    );
    let standby = bench.server.start_standby("standby").unwrap();
    // A standby refuses serializable transactions.
    let url = standby.url_as("keeper", "keeper", "clinic_source");
    let request = BackupRequest { source: ConnectionSettings::from_secret(&url).unwrap(), ..bench.request() };
    let manifest = bench.process().back_up(&request).await.unwrap();
    assert_eq!((status(&manifest, "t"), manifest.totals.rows), (&RelationStatus::Copied, 300));
    assert_eq!(status(&manifest, "s"), &RelationStatus::Carried);
    for name in ["cache", "cache_id_seq", "cache_n_seq", "alone"] {
        let RelationStatus::LeftOut { rule } = status(&manifest, name) else { panic!("{name}") };
        assert!(rule.contains("unlogged") && rule.contains("standby"), "{rule}");
    }
    let report = bench.drill(Site::Primary).await;
    assert!(report.equal, "{report:?}");
    assert!(report.left_out.is_empty(), "no policy left it out: {:?}", report.left_out);
    let checks = lifeboat_engine::doctor(&bench.process().again(), &request.source).await;
    let seen = checks.into_iter().find(|check| check.check == "role of the server").unwrap();
    assert!(seen.seen.contains("unlogged"), "{}", seen.seen);
    // The primary has everything.
    let manifest = bench.back_up().await;
    assert_eq!((status(&manifest, "cache"), manifest.totals.rows), (&RelationStatus::Copied, 302));
    assert_eq!(status(&manifest, "alone"), &RelationStatus::Carried);
}
