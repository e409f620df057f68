//! Restores into a database that is kept, killed anywhere and continued: the database is as whole as after a restore that nothing disturbed.
//!
//! A sample of all moments is tried. `LIFEBOAT_CAMPAIGN=every` kills at each request to the server and to the stores.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lifeboat_bench::{
    KillMoment, KillPoint, KillSwitch, MOMENTS, MortalKeys, MortalMacs, MortalStore, Port, PostgresWire,
    RecordingOutbox,
};
use lifeboat_engine::{
    Asked, BackupRequest, Deadline, EngineError, Order, Ports, RestoreRequest, Run, plan_restore, restore,
};
use lifeboat_local::PostgresServer;
use lifeboat_model::{DrillReport, Mandate, Meter, RestoreOutcome, Site};
use lifeboat_postgres::ConnectionSettings;
use lifeboat_vault::{ObjectStore, Sites};
use tokio::runtime::{Builder, Runtime};

use crate::bench::{database, process_with};
use crate::stores::{BOTH, Stores, keys_of};

/// What takes a way of its own through a restore, in cases that are known already.
const CASES: [&str; 8] = [
    include_str!("../../cases/01-hash-partition-by-enum.sql"),
    include_str!("../../cases/03-check-reads-another-table.sql"),
    include_str!("../../cases/08-index-by-search-path.sql"),
    include_str!("../../cases/10-orphans-behind-a-foreign-key.sql"),
    include_str!("../../cases/38-grants-to-nobody.sql"),
    include_str!("../../cases/a01-check-by-the-clock.sql"),
    include_str!("../../cases/a05-not-null-and-nulls.sql"),
    include_str!("../../cases/a20-values-that-no-input-takes.sql"),
];

/// Tables without keys, in which a row that is loaded twice shows; one of them has several chunks. The rest is what the cases lack.
const MORE: &str = "
CREATE ROLE reader LOGIN CONNECTION LIMIT 3;
GRANT reader TO builder;
CREATE TABLE broad (n int, filler text);
INSERT INTO broad SELECT i % 5000, repeat('x', 150) FROM generate_series(1, 20000) i;
CREATE INDEX broad_n ON broad (n);
CREATE TABLE plain (a int, b text);
INSERT INTO plain SELECT i % 7, 'twice' FROM generate_series(1, 300) i;
GRANT SELECT ON plain TO reader WITH GRANT OPTION;
CREATE MATERIALIZED VIEW sums AS SELECT a, count(*) FROM plain GROUP BY 1;
CREATE UNIQUE INDEX ON sums (a);
CREATE TABLE counted (id serial, note text DEFAULT 'x');
INSERT INTO counted (note) SELECT 'n' FROM generate_series(1, 40);
CREATE FUNCTION no_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''no''; END';
CREATE TRIGGER no_change BEFORE INSERT ON counted FOR EACH ROW EXECUTE FUNCTION no_change();
SELECT lo_from_bytea(50001, 'a scanned letter'), lo_from_bytea(50002, decode(repeat('ab', 300000), 'hex'));
GRANT SELECT ON LARGE OBJECT 50001 TO reader;
COMMENT ON DATABASE source IS 'carried';
CREATE PUBLICATION spread FOR TABLE plain";

/// Everything that a row loaded twice, a constraint forgotten or a right left behind would change. Which partition has a row depends on OIDs.
const CONTENTS: &str = r#"
SELECT format('SELECT %L, count(*), sum(hashtext(t::text)::bigint) FROM %s %s t', c.oid::regclass,
              CASE WHEN c.relkind <> 'p' THEN 'ONLY' END, c.oid::regclass)
FROM pg_class c WHERE c.relkind IN ('r', 'm', 'p') AND NOT c.relispartition AND c.relnamespace = 'public'::regnamespace ORDER BY c.oid::regclass::text \gexec
SELECT conrelid::regclass, conname, convalidated, pg_get_constraintdef(oid) FROM pg_constraint
WHERE connamespace = 'public'::regnamespace ORDER BY 1::text, 2;
SELECT oid, md5(lo_get(oid)), lomowner::regrole, lomacl FROM pg_largeobject_metadata ORDER BY 1;
SELECT schemaname, sequencename, last_value FROM pg_sequences ORDER BY 1, 2;
SELECT nspname, nspowner::regrole, nspacl FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' ORDER BY 1;
SELECT rolname, rolsuper, rolcanlogin, rolconnlimit FROM pg_roles WHERE rolname IN ('builder', 'reader', 'mover') ORDER BY 1;
SELECT roleid::regrole, member::regrole FROM pg_auth_members WHERE roleid >= 16384 OR member >= 16384 ORDER BY 1::text, 2::text"#;

const TARGET: &str = "resumed";

/// How an attempt ends.
#[derive(Debug, Clone, Copy)]
enum Death {
    Never,
    At(KillPoint),
    After(Duration),
}

struct Field {
    server: PostgresServer,
    /// Outlives every attempt: in it are the proxies.
    runtime: Runtime,
    stores: Stores,
}

/// What a restore came to, without its times.
#[derive(Debug, Clone, PartialEq)]
struct Whole {
    outcome: RestoreOutcome,
    set_aside: BTreeSet<String>,
    findings: BTreeSet<String>,
    notes: BTreeSet<String>,
    tables: String,
    counts: [u64; 3],
    contents: String,
}

impl Field {
    /// A backup of a database that is gone with its roles: only the backup has them.
    fn new() -> Self {
        let server = PostgresServer::start("resumed").unwrap();
        let roles = "CREATE ROLE builder SUPERUSER; CREATE ROLE mover LOGIN CREATEROLE PASSWORD 'mover'";
        roles.split("; ").chain(["CREATE DATABASE source"]).for_each(|sql| drop(server.psql("postgres", sql).unwrap()));
        for sql in CASES.into_iter().chain([MORE]) {
            server.psql("source", &format!("SET SESSION AUTHORIZATION builder;\n{sql}")).unwrap();
        }
        server.psql("postgres", "ALTER ROLE builder NOSUPERUSER").unwrap();
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let stores = Stores::default();
        let source = ConnectionSettings::from_secret(&server.url("source")).unwrap();
        let request = BackupRequest { database: database(), source, asked: Asked::Now };
        let process = process_with(stores.sites(), server.bin_dir().to_owned());
        runtime.block_on(process.back_up(&request)).unwrap();
        let field = Self { server, runtime, stores };
        field.drop_with_roles("source");
        field
    }

    fn drop_with_roles(&self, name: &str) {
        let sql = format!("DROP DATABASE {name} WITH (FORCE)");
        [&sql, "DROP ROLE builder, reader"].iter().for_each(|sql| drop(self.server.psql("postgres", sql).unwrap()));
    }

    /// Attempts that die one after the other, and a last one that does not: it comes to the same as `undisturbed`. Returns how many died.
    fn restore(&self, deaths: &[Death], undisturbed: &Whole) -> usize {
        self.create();
        let mut died = 0;
        let mut attempts = deaths.iter().chain([&Death::Never]);
        let whole = loop {
            let death = attempts.next().unwrap();
            match self.attempt(*death, &KillSwitch::new(point(death))) {
                None => died += 1,
                Some(Ok(report)) => break self.whole(report),
                // The one before died after its last request, which dropped the marks: its result was on record.
                Some(Err(EngineError::CannotRestore { .. })) if died > 0 && !self.has_marks() => {
                    break Whole { contents: self.contents(), ..undisturbed.clone() };
                }
                Some(Err(error)) => panic!("{deaths:?}, {died} died: {}", lifeboat_model::story(&error)),
            }
        };
        assert!(whole == *undisturbed, "{deaths:?}: {:#?}", differing(&whole, undisturbed));
        assert!(!self.has_marks());
        self.drop_with_roles(TARGET);
        died
    }

    fn contents(&self) -> String {
        self.server.psql(TARGET, CONTENTS).unwrap()
    }

    fn has_marks(&self) -> bool {
        self.server.psql(TARGET, "SELECT to_regnamespace('lifeboat_restore') IS NOT NULL").unwrap() == "t"
    }

    fn create(&self) {
        self.server.psql("postgres", &format!("CREATE DATABASE {TARGET} TEMPLATE template0 OWNER mover")).unwrap();
    }

    /// One process; nothing when it was killed.
    fn attempt(&self, death: Death, switch: &KillSwitch) -> Option<Result<DrillReport, EngineError>> {
        let process = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let wire = self.runtime.block_on(PostgresWire::start(self.server.port(), switch.clone()));
        let url = self.server.url_as("mover", "mover", TARGET);
        let url = url.replace(&format!(":{}/", self.server.port()), &format!(":{}/", wire.port()));
        let to = ConnectionSettings::from_secret(&url).unwrap();
        let request = RestoreRequest { database: database(), backup: None, site: Some(Site::Primary), to };
        let run = self.begin(switch);
        let mut story = process.spawn(async move {
            let planned = plan_restore(&run, &request).await?;
            restore(&run, &request, planned.hash).await.map(|report| report.proved)
        });
        let ended = self.runtime.block_on(async {
            let dies = async {
                match death {
                    Death::After(time) => tokio::time::sleep(time).await,
                    Death::At(_) | Death::Never => switch.death().await,
                }
            };
            tokio::select! {
                ended = &mut story => Some(ended.unwrap()),
                () = dies => {
                    story.abort();
                    None
                }
            }
        });
        process.shutdown_timeout(Duration::from_secs(60));
        ended
    }

    fn begin(&self, switch: &KillSwitch) -> Run {
        let store = |site| -> Option<Arc<dyn ObjectStore>> {
            Some(Arc::new(MortalStore { store: self.stores.of(site).clone(), switch: switch.clone() }))
        };
        let ports = Ports {
            sites: Sites::new(store(Site::Primary), store(Site::Offsite)),
            keys: Arc::new(MortalKeys { keys: keys_of(&BOTH), switch: switch.clone() }),
            macs: MortalMacs::of(&BOTH, switch),
            outbox: Arc::new(RecordingOutbox::default()),
            tools_dir: Some(self.server.bin_dir().to_owned()),
            sessions: 2,
            scratch_is_a_clone: false,
        };
        let mandate = Mandate { actor: "person".to_owned(), reason: "a test".to_owned() };
        let order = Order::new("resumed".to_owned(), None, mandate, Deadline::none(), &Meter::default(), 0);
        Run::begin(order, ports, Arc::default())
    }

    fn whole(&self, report: DrillReport) -> Whole {
        let tables = report.tables.iter().map(|one| format!("{} {} {}\n", one.table, one.rows, one.equal)).collect();
        Whole {
            outcome: report.outcome.unwrap(),
            set_aside: report.set_aside.iter().map(|one| format!("{one:?}")).collect(),
            findings: report.findings.iter().map(ToString::to_string).collect(),
            notes: report.notes.into_iter().collect(),
            tables,
            counts: [report.rows, report.schema_objects, report.large_objects],
            contents: self.contents(),
        }
    }
}

/// The lines that only one of two has.
fn differing(one: &Whole, other: &Whole) -> Vec<String> {
    let lines = |whole: &Whole| {
        let contents = whole.contents.lines().map(str::to_owned).collect::<Vec<_>>();
        let Whole { outcome, set_aside, findings, notes, tables, counts, .. } = whole;
        let rest = format!("{:#?}", (outcome, set_aside, findings, notes, tables.lines().collect::<Vec<_>>(), counts));
        rest.lines().map(str::to_owned).chain(contents).collect::<BTreeSet<String>>()
    };
    lines(one).symmetric_difference(&lines(other)).cloned().collect()
}

fn point(death: &Death) -> Option<KillPoint> {
    match death {
        Death::At(point) => Some(*point),
        Death::Never | Death::After(_) => None,
    }
}

/// Where attempts die: one of `step` requests of each port, and at some moments between them.
fn deaths(requests: [(Port, u64, u64); 2], whole: Duration) -> Vec<Vec<Death>> {
    let mut deaths: Vec<Vec<Death>> = Vec::new();
    for (port, count, step) in requests {
        for (number, moment) in (1 + step / 2..=count).step_by(step as usize).zip(MOMENTS.into_iter().cycle()) {
            let first = KillPoint { port, number, moment };
            // The second attempt has fewer requests, of which the first are the same.
            let second = KillPoint { number: count / 4 + number / 3, moment: KillMoment::After, ..first };
            deaths.push(vec![Death::At(first), Death::At(second)]);
        }
    }
    deaths.extend([3, 5, 7].map(|tenth| vec![Death::After(whole * tenth / 10)]));
    deaths
}

#[test]
fn a_restore_killed_at_any_moment_continues_and_is_as_whole_as_one_that_nothing_disturbed() {
    let field = Field::new();
    let begun = Instant::now();
    let switch = KillSwitch::new(None);
    field.create();
    let report = field.attempt(Death::Never, &switch).unwrap().unwrap();
    let took = begun.elapsed();
    let undisturbed = field.whole(report);
    field.drop_with_roles(TARGET);

    // What makes it worth comparing.
    let aside: Vec<&str> = undisturbed.set_aside.iter().map(String::as_str).collect();
    for kind in ["fk constraint", "check constraint", "not null", "rows", "acl"] {
        assert!(aside.iter().any(|one| one.contains(&format!("kind: \"{kind}\""))), "{kind}: {aside:#?}");
    }
    assert!(undisturbed.contents.contains("broad|20000|"), "{}", undisturbed.contents);
    assert!(!undisturbed.contents.contains("lifeboat_restore"), "{}", undisturbed.contents);
    assert!(!undisturbed.contents.contains("|mover\n"), "no membership is left: {}", undisturbed.contents);
    assert!(!undisturbed.contents.contains("builder=C"), "no right is left: {}", undisturbed.contents);

    let (postgres, stores) = (switch.count(Port::Postgres), switch.count(Port::S3));
    let every = std::env::var("LIFEBOAT_CAMPAIGN").is_ok_and(|value| value == "every");
    let steps = if every { (1, 1) } else { (postgres.div_ceil(9), stores.div_ceil(3)) };
    let deaths = deaths([(Port::Postgres, postgres, steps.0), (Port::S3, stores, steps.1)], took);
    let mut all = 0;
    for deaths in &deaths {
        all += field.restore(deaths, &undisturbed);
    }
    eprintln!(
        "{postgres} requests to the server, {stores} to the stores; {} restores, {all} deaths, {:?}",
        deaths.len(),
        begun.elapsed()
    );
    assert!(all >= deaths.len(), "{all}");
}
