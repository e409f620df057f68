//! The zoo: everything that PostgreSQL keeps, through a backup and a restore on a server that knows nothing of it, beside the
//! same by `pg_dump | pg_restore`.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use lifeboat_engine::{Asked, BackupRequest, RestoreRequest};
use lifeboat_local::{Installation, PostgresOptions, PostgresServer};
use lifeboat_model::{DrillReport, Manifest, RelationStatus, Site};
use lifeboat_postgres::ConnectionSettings;

use crate::bench::{database, process_with};
use crate::sample::RELATIONS;
use crate::stores::Stores;

const ZOO: &str = include_str!("../../../infra/local/sample/zoo.sql");

/// Cells of 100 MiB, once; elsewhere a mebibyte will do.
const SMALL: &str = "\\set small 1\n";
/// For a target that is built without libxml.
const WITHOUT_XML: &str = "\\set without_xml 1\n";

fn start(name: &str, installation: &Installation) -> PostgresServer {
    let options = PostgresOptions { bin_dir: Some(installation.bin_dir.clone()), ..PostgresOptions::named(name) };
    PostgresServer::start(options).unwrap()
}

fn create(server: &PostgresServer, name: &str, encoding: &str) -> ConnectionSettings {
    let create = format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' LOCALE 'C'");
    server.psql("postgres", &create).unwrap();
    ConnectionSettings::from_secret(&server.url(name)).unwrap()
}

/// Backs the database up with one version's tools and restores it with another's into an empty one, which it keeps.
async fn carry(
    source: ConnectionSettings,
    into: ConnectionSettings,
    [dump, restore]: [&Path; 2],
) -> (Manifest, DrillReport) {
    let stores = Stores::default();
    let request = BackupRequest { database: database(), source, asked: Asked::Now };
    let manifest = process_with(stores.sites(), dump.to_owned()).back_up(&request).await.unwrap();
    let request = RestoreRequest { database: database(), backup: None, site: Some(Site::Offsite), to: into };
    let report = process_with(stores.sites(), restore.to_owned()).restore(&request).await.unwrap();
    (manifest, report.proved)
}

/// What the native tools make of the same, on the server that was given its roles.
fn carry_natively(from: &str, into: &str, [dump, restore]: [&Path; 2]) {
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("native.dump");
    run(Command::new(dump.join("pg_dump")).args(["-Fc", "-Z0", "-f"]).arg(&archive).arg(from));
    run(Command::new(restore.join("pg_restore")).args(["--exit-on-error", "-d"]).arg(into).arg(&archive));
}

fn run(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// The definitions as text, without the random word that newer tools frame a script with.
fn definitions(server: &PostgresServer, name: &str, tools: &Path) -> String {
    let dump = run(Command::new(tools.join("pg_dump")).args(["--schema-only"]).arg(server.url(name)));
    // Bytes of the database: a SQL_ASCII one has others than UTF-8.
    let text: String = dump.iter().map(|byte| char::from(*byte)).collect();
    let framed = |line: &&str| line.starts_with("\\restrict ") || line.starts_with("\\unrestrict ");
    text.lines().filter(|line| !framed(line)).flat_map(|line| [line, "\n"]).collect()
}

/// Each table, sequence and filled materialized view by a digest of its contents, as the server prints them.
fn contents(server: &PostgresServer, name: &str) -> String {
    // Undone at the end: the function it needs sets off the zoo's event trigger.
    const DIGESTS: &str = r#"
BEGIN;
SET client_min_messages = error;
SET search_path = '';
SET extra_float_digits = 3;
CREATE FUNCTION pg_temp.digest(relation regclass) RETURNS text LANGUAGE plpgsql AS $$
DECLARE found text;
BEGIN
    EXECUTE format('SELECT count(*) || '' '' || COALESCE(sum((''x'' || left(md5(t::text), 15))::bit(60)::bigint), 0) FROM ONLY %s t', relation) INTO found;
    RETURN found;
END $$;
SELECT replace(c.oid::regclass::text, E'\n', ' ') || '|' || CASE WHEN c.relkind = 'S'
       THEN (SELECT COALESCE(last_value, start_value)::text FROM pg_sequences s WHERE format('%I.%I', schemaname, sequencename)::regclass = c.oid)
       ELSE pg_temp.digest(c.oid::regclass) END
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE (c.relkind IN ('r', 'S') OR c.relkind = 'm' AND c.relispopulated) AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
ORDER BY c.oid::regclass::text COLLATE "C";
ROLLBACK"#;
    server.psql(name, DIGESTS).unwrap()
}

/// Large objects: bytes, owner, grants without grantors, comment.
const LARGE_OBJECTS: &str = "
SELECT oid, md5(lo_get(oid)), length(lo_get(oid)), lomowner::regrole,
       (SELECT string_agg(concat_ws(' ', grantee::regrole, privilege_type, is_grantable), ', ' ORDER BY grantee::regrole::text, privilege_type)
        FROM aclexplode(COALESCE(lomacl, acldefault('L', lomowner)))), replace(obj_description(oid, 'pg_largeobject'), E'\\n', '/')
FROM pg_largeobject_metadata ORDER BY oid";

/// The database itself: owner, limit, settings, grants, comment.
const DATABASE: &str = "
SELECT datdba::regrole, datconnlimit, shobj_description(oid, 'pg_database'),
       (SELECT string_agg(concat_ws(' ', grantee::regrole, privilege_type, is_grantable), ', ' ORDER BY grantee::regrole::text, privilege_type)
        FROM aclexplode(datacl)),
       (SELECT string_agg(concat_ws(' ', setrole::regrole, setconfig), ', ' ORDER BY setrole::regrole::text)
        FROM pg_db_role_setting WHERE setdatabase = d.oid)
FROM pg_database d WHERE datname = current_database()";

/// The zoo's roles: attributes, settings, comments.
const ROLES: &str = "
SELECT rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, rolconnlimit, rolvaliduntil AT TIME ZONE 'UTC',
       rolbypassrls, rolconfig, replace(shobj_description(oid, 'pg_authid'), E'\\n', '/')
FROM pg_roles r WHERE rolname ~ '^zoo' ORDER BY rolname";

/// Who is a member of what, and how: newer servers know more ways.
const MEMBERSHIPS: &str = "
SELECT roleid::regrole, member::regrole, to_jsonb(m) - 'oid' - 'roleid' - 'member' - 'grantor'
FROM pg_auth_members m WHERE member::regrole::text ~ 'zoo' ORDER BY roleid::regrole::text, member::regrole::text";

/// One way through: from a server to another, which may be newer.
struct Way<'a> {
    source: &'a PostgresServer,
    target: &'a PostgresServer,
    /// The database's name on both.
    name: String,
    is_same_version: bool,
    /// What was not as it should be: all of it, since one run takes its time.
    problems: Vec<String>,
}

impl<'a> Way<'a> {
    fn hold(&mut self, what: &str, ours: &str, expected: &str) {
        if ours != expected {
            let differing = ours.lines().zip(expected.lines()).find(|(one, other)| one != other);
            let counts = (ours.lines().count(), expected.lines().count());
            self.problems.push(format!("{}: {what} differ, {counts:?} lines, first {differing:?}", self.name));
        }
    }

    fn hold_on_both(&mut self, what: &str, sql: &str) {
        let (ours, source) = (self.target.psql(&self.name, sql).unwrap(), self.source.psql(&self.name, sql).unwrap());
        self.hold(what, &ours, &source);
    }

    async fn go(&mut self, encoding: &str, cells: &str) {
        let (source, target, name) = (self.source, self.target, self.name.clone());
        let settings = create(source, &name, encoding);
        source.psql(&name, &format!("{cells}{ZOO}")).unwrap();
        let tools = self.tools();
        let (manifest, report) = carry(settings, create(target, &name, encoding), tools).await;
        self.problems.extend(report.findings.iter().map(|finding| format!("{name}: {finding}")));
        // Each major version has its own versions of the extensions.
        let is_expected = |note: &&String| {
            note.contains("was there before") || !self.is_same_version && note.starts_with("extension `")
        };
        let notes = report.notes.iter().filter(|note| !is_expected(note));
        self.problems.extend(notes.map(|note| format!("{name}: {note}")));

        // Beside what the native tools make of it.
        let native = format!("{name}_native");
        create(target, &native, encoding);
        carry_natively(&source.url(&name), &target.url(&native), tools);
        self.hold("definitions", &definitions(target, &name, tools[1]), &definitions(target, &native, tools[1]));
        let ours = contents(target, &name);
        assert!(ours.lines().count() > 35, "{ours}");
        // There, REFRESH MATERIALIZED VIEW sets off the event trigger.
        let quiet = |lines: &str| -> String {
            lines.lines().filter(|line| !line.starts_with("zoo.defined|")).flat_map(|line| [line, "\n"]).collect()
        };
        self.hold("contents and native ones", &quiet(&ours), &quiet(&contents(target, &native)));
        let large_objects = target.psql(&native, LARGE_OBJECTS).unwrap();
        assert_eq!(large_objects.lines().count(), 5);
        self.hold("large objects and native ones", &target.psql(&name, LARGE_OBJECTS).unwrap(), &large_objects);
        let fired = "SELECT (SELECT count(*) FROM zoo.fired), (SELECT count(*) FROM zoo.defined)";
        self.hold("triggers that fired", &target.psql(&name, fired).unwrap(), "0|0");

        // Beside the source: also what the native tools leave out.
        // An inheritance child gets its parent's columns first, by native tools, too: its rows print in another order.
        let comparable = |lines: &str| -> String {
            lines.lines().filter(|line| !line.starts_with("zoo.child|")).flat_map(|line| [line, "\n"]).collect()
        };
        self.hold("contents and the source's", &comparable(&ours), &comparable(&contents(source, &name)));
        self.hold_on_both("large objects", LARGE_OBJECTS);
        self.hold_on_both("properties of the database", DATABASE);
        self.hold_on_both("roles", ROLES);
        if self.is_same_version {
            self.hold_on_both("memberships", MEMBERSHIPS);
        }
        assert_covered(source, &name, &manifest);
        self.clear();
    }

    /// The tools to dump and to restore with: the target's, which must be at least as new as either server.
    ///
    /// Servers of minor versions from late 2026 on keep an option `pg_attver` with each column, and a `pg_dump` that is older
    /// than that, whatever its major version, writes it out for a server that refuses it. Then the source's own dumps.
    fn tools(&self) -> [&'a Path; 2] {
        let (source, target) = (self.source.bin_dir(), self.target.bin_dir());
        let is_old = definitions(self.source, &self.name, target).contains("pg_attver");
        [if is_old { source } else { target }, target]
    }

    /// The next one begins without the roles again.
    fn clear(&self) {
        let roles = "SELECT string_agg(quote_ident(rolname), ', ') FROM pg_roles WHERE rolname ~ '^zoo'";
        let roles = self.target.psql("postgres", roles).unwrap();
        let (name, native) = (&self.name, format!("{}_native", self.name));
        self.target
            .psql("postgres", &format!("DROP DATABASE {native}; DROP DATABASE {name}; DROP ROLE {roles}"))
            .unwrap();
        self.source.psql("postgres", &format!("DROP DATABASE {name}; DROP ROLE {roles}")).unwrap();
    }
}

/// Every relation of the catalog is in the manifest, each with what became of it.
fn assert_covered(source: &PostgresServer, name: &str, manifest: &Manifest) {
    let one_line = |name: &str| name.replace('\n', " ");
    let listed: BTreeSet<String> =
        manifest.relations.iter().map(|r| one_line(&format!("{}.{}", r.schema, r.name))).collect();
    let relations = RELATIONS.replace("|| c.relname ||", "|| replace(c.relname, E'\\n', ' ') ||");
    let expected = source.psql(name, &format!("SET client_encoding = 'UTF8'; {relations}")).unwrap();
    let expected: BTreeSet<String> =
        expected.lines().filter_map(|line| Some(line.rsplit_once('|')?.0.to_owned())).collect();
    assert_eq!(listed, expected);
    let coverage = manifest.coverage();
    // Two tables of the same rows are one chunk: the second is reused.
    assert_eq!((coverage.copied + coverage.reused) as usize, manifest.tables().count());
    assert_eq!((coverage.unreadable, coverage.rebuilt), (0, 2));
    assert!(coverage.definition > 10 && coverage.carried > 5, "{coverage:?}");
    let left_out = manifest.relations.iter().filter_map(|relation| match &relation.status {
        RelationStatus::LeftOut { rule } => Some((relation.name.as_str(), rule.as_str())),
        _ => None,
    });
    let (name, rule) = left_out.clone().next().unwrap();
    assert_eq!((name, rule), ("pg_buffercache", "member of extension `pg_buffercache`"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zoo_comes_back_as_native_tools_bring_it_and_with_what_they_leave_out_on_each_version_and_in_each_encoding() {
    let mut problems = Vec::new();
    let installations = Installation::all().unwrap();
    for (place, installation) in installations.iter().enumerate() {
        let (source, target) = (start("zoo", installation), start("zoo-restored", installation));
        for encoding in ["UTF8", "LATIN1", "SQL_ASCII"] {
            let cells = if place == 0 && encoding == "UTF8" { "" } else { SMALL };
            let name = format!("zoo_{}_{}", installation.major, encoding.to_lowercase());
            let mut way = Way { source: &source, target: &target, name, is_same_version: true, problems: Vec::new() };
            way.go(encoding, cells).await;
            problems.append(&mut way.problems);
        }
    }
    assert!(problems.is_empty(), "{problems:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zoo_of_an_older_server_comes_back_on_each_newer_one() {
    let installations = Installation::all().unwrap();
    let mut problems = Vec::new();
    for (place, older) in installations.iter().enumerate() {
        let source = start("zoo-old", older);
        for newer in &installations[place + 1..] {
            let target = start("zoo-new", newer);
            let name = format!("zoo_{}_to_{}", older.major, newer.major);
            let mut way = Way { source: &source, target: &target, name, is_same_version: false, problems: Vec::new() };
            way.go("UTF8", &format!("{SMALL}{WITHOUT_XML}")).await;
            problems.append(&mut way.problems);
        }
    }
    assert!(problems.is_empty(), "{problems:#?}");
}
