//! Databases that other tools do not bring back whole: `tests/cases`. Each goes through a backup and a restore, and through the native tools.
//!
//! A case says how it ends (`-- ends: rows-whole`) and what is set aside (`-- aside: index public.person_plain`). The restore brings back
//! everything that `pg_dump` and `pg_restore` bring back. Other cases can be tried: `LIFEBOAT_CASES=folder cargo test --test engine cases`
//! prints how they end.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use lifeboat_engine::{Asked, BackupRequest, RestoreRequest};
use lifeboat_local::PostgresServer;
use lifeboat_model::DrillReport;
use lifeboat_postgres::ConnectionSettings;

use crate::bench::process_with;
use crate::stores::Stores;

/// Cases in which the native tools bring back something that the restore does not, and why that is right.
const NATIVE_HAS_MORE: [(&str, &str); 1] =
    [("a37-zero-bytes-in-text", "the native tools cut a text at its zero byte, and nobody is told")];

/// A case: its name, its SQL, and what its comments expect.
struct Case {
    name: String,
    sql: String,
    ends: String,
    aside: BTreeSet<String>,
}

impl Case {
    fn read(file: &Path) -> Self {
        let sql = std::fs::read_to_string(file).unwrap();
        let after = |mark: &str| {
            let lines = sql.lines().filter_map(|line| line.strip_prefix(mark));
            lines.map(|rest| rest.trim().to_owned()).collect::<Vec<String>>()
        };
        let ends = after("-- ends:").join("");
        let aside = after("-- aside:").into_iter().collect();
        Self { name: file.file_stem().unwrap().to_string_lossy().into_owned(), ends, aside, sql }
    }

    fn all(folder: &Path) -> Vec<Self> {
        let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
        files.retain(|file| file.extension().is_some_and(|extension| extension == "sql"));
        files.sort();
        files.iter().map(|file| Self::read(file)).collect()
    }

    fn database(&self, what: &str) -> String {
        format!("{}-{what}", self.name)
    }
}

fn settings(server: &PostgresServer, database: &str) -> ConnectionSettings {
    ConnectionSettings::from_secret(&server.url(database)).unwrap()
}

/// Backs the case up, and restores it into an empty database of the same server.
async fn there_and_back(server: &PostgresServer, case: &Case) -> Result<DrillReport, String> {
    let stores = Stores::default();
    let process = process_with(stores.sites(), server.bin_dir().to_owned());
    let database: lifeboat_model::DatabaseName = "case".parse().unwrap();
    let source = settings(server, &case.database("source"));
    let request = BackupRequest { database: database.clone(), source, asked: Asked::Now };
    process.back_up(&request).await.map_err(|error| format!("backup: {}", lifeboat_model::story(&error)))?;
    let to = settings(server, &case.database("back"));
    let request = RestoreRequest { database, backup: None, site: None, to };
    let restored = process.restore(&request).await;
    Ok(restored.map_err(|error| format!("restore: {}", lifeboat_model::story(&error)))?.proved)
}

/// The same with `pg_dump -Fc` and `pg_restore`.
fn there_and_back_natively(server: &PostgresServer, case: &Case) {
    let archive = tempfile::NamedTempFile::new().unwrap();
    let run = |tool: &str, database: String, arguments: &[&std::ffi::OsStr]| {
        let mut command = Command::new(server.bin_dir().join(tool));
        command.args(["--host=127.0.0.1", "--username=postgres", "--dbname", &database]);
        command.arg(format!("--port={}", server.port())).args(arguments).env("PGPASSWORD", server.password());
        command.output().unwrap()
    };
    // What `pg_dump` cannot read at all, the native tools do not bring back.
    let dumped = run("pg_dump", case.database("source"), &["-Fc".as_ref(), "-f".as_ref(), archive.path().as_os_str()]);
    if !dumped.status.success() {
        return;
    }
    // It ends with an error when anything was refused: that is what these cases are about.
    run("pg_restore", case.database("native"), &[archive.path().as_os_str()]);
}

/// The rows of each table, by name. Those of partitions count for their root.
fn rows(server: &PostgresServer, database: &str) -> BTreeMap<String, u64> {
    const TABLES: &str = "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_class r ON r.oid = COALESCE(pg_partition_root(c.oid), c.oid) JOIN pg_namespace rn ON rn.oid = r.relnamespace
        WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema')";
    const MARK: &str = "--next--";
    // A name may have line breaks, and COPY plans nothing: a query on some of these tables cannot be planned. Each row is one line.
    let names = format!("SELECT string_agg(format('%I.%I', rn.nspname, r.relname), '{MARK}' ORDER BY c.oid) {TABLES}");
    let copy = format!(
        "SELECT string_agg(format(E'\\\\echo {MARK}\\nCOPY %I.%I TO STDOUT;\\n', n.nspname, c.relname), '' ORDER BY c.oid) {TABLES}"
    );
    let names = server.psql(database, &names).unwrap();
    let copied = server.psql(database, &server.psql(database, &copy).unwrap()).unwrap();
    let count = |rows: &str| rows.trim_start_matches('\n').lines().count() as u64;
    let mut counted = BTreeMap::new();
    for (name, rows) in names.split(MARK).zip(copied.split(MARK).skip(1)) {
        *counted.entry(name.to_owned()).or_default() += count(rows);
    }
    counted
}

/// The names of everything in it, with the grants. A name that the server began with is no user's.
fn objects(server: &PostgresServer, database: &str) -> BTreeSet<String> {
    const NAMES: &str = "
        SELECT o.type || ' ' || o.identity FROM (
            SELECT 'pg_class'::regclass AS class, oid FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm', 'S', 'f') UNION ALL
            SELECT 'pg_class', indexrelid FROM pg_index WHERE indisvalid UNION ALL
            SELECT 'pg_constraint', oid FROM pg_constraint WHERE conparentid = 0 UNION ALL
            SELECT 'pg_trigger', oid FROM pg_trigger WHERE NOT tgisinternal UNION ALL
            SELECT 'pg_proc', oid FROM pg_proc UNION ALL SELECT 'pg_type', oid FROM pg_type UNION ALL
            SELECT 'pg_policy', oid FROM pg_policy UNION ALL SELECT 'pg_rewrite', oid FROM pg_rewrite UNION ALL
            SELECT 'pg_statistic_ext', oid FROM pg_statistic_ext UNION ALL SELECT 'pg_extension', oid FROM pg_extension UNION ALL
            SELECT 'pg_event_trigger', oid FROM pg_event_trigger UNION ALL SELECT 'pg_attrdef', oid FROM pg_attrdef
        ) AS x (class, oid), pg_identify_object(x.class, x.oid, 0) o WHERE x.oid >= 16384 AND o.schema IS DISTINCT FROM 'pg_toast'
        UNION ALL
        SELECT 'grant of ' || g.privilege_type || ' on ' || n.nspname || '.' || c.relname || ' to ' || g.grantee::regrole
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, aclexplode(c.relacl) g WHERE c.oid >= 16384
        UNION ALL
        SELECT 'rows of ' || n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'm' AND c.relispopulated";
    server.psql(database, NAMES).unwrap().lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_can_come_back_does_and_what_cannot_is_named_and_the_native_tools_never_bring_back_more() {
    let server = PostgresServer::start("cases").unwrap();
    let other = std::env::var_os("LIFEBOAT_CASES").map(PathBuf::from);
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let mut wrong = Vec::new();
    for case in Case::all(other.as_ref().unwrap_or(&own)) {
        for what in ["source", "back", "native"] {
            server
                .psql("postgres", &format!("CREATE DATABASE \"{}\" TEMPLATE template0", case.database(what)))
                .unwrap();
        }
        server.psql(&case.database("source"), &case.sql).unwrap();
        let report = match there_and_back(&server, &case).await {
            Ok(report) => report,
            Err(error) => {
                wrong.push(format!("{}: {error}", case.name));
                continue;
            }
        };
        let ended = report.outcome.unwrap().to_string();
        let aside: BTreeSet<String> =
            report.set_aside.iter().map(|one| format!("{} {}", one.kind, one.object)).collect();
        if other.is_some() {
            println!("{}: {ended}; {aside:?}; {:?}", case.name, report.findings);
            continue;
        }
        if ended != case.ends || aside != case.aside {
            wrong.push(format!(
                "{} ended {ended} instead of {}: {:#?} {:#?}",
                case.name, case.ends, report.set_aside, report.findings
            ));
        }
        there_and_back_natively(&server, &case);
        if NATIVE_HAS_MORE.iter().any(|(name, _)| *name == case.name) {
            continue;
        }
        let (native, ours) = (rows(&server, &case.database("native")), rows(&server, &case.database("back")));
        if native.iter().any(|(table, count)| ours.get(table).is_none_or(|ours| ours < count)) {
            wrong.push(format!("{}: the native tools bring back {native:?}, and the restore {ours:?}", case.name));
        }
        let more: Vec<String> = objects(&server, &case.database("native"))
            .difference(&objects(&server, &case.database("back")))
            .cloned()
            .collect();
        // What the source lacks, such as a schema `public`, a restore must not bring back.
        let source = objects(&server, &case.database("source"));
        let more: Vec<&String> = more.iter().filter(|name| source.contains(*name)).collect();
        if !more.is_empty() {
            wrong.push(format!("{}: only the native tools bring back {more:?}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
