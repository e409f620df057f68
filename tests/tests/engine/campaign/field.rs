//! Where the campaign takes place: a small source database, a repository with an old backup, and runs on copies of it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use lifeboat_bench::RecordingOutbox;
use lifeboat_engine::{
    Asked, BackupChoice, BackupRequest, Deadline, DrillRequest, EngineError, Order, Ports, Run, VerifyRequest, backup,
    clean_scratch, drill, verify,
};
use lifeboat_local::{PostgresOptions, PostgresServer};
use lifeboat_model::Meter;
use lifeboat_model::{BackupId, Mandate, Outcome, Site, VerificationScope};
use lifeboat_postgres::ConnectionSettings;
use lifeboat_vault::{ObjectStore, Sites};
use tokio::runtime::{Builder, Runtime};

use crate::bench::database;
use crate::stores::{BOTH, Stores, keys_of};
use lifeboat_bench::{KillPoint, KillSwitch, PORTS, PostgresWire};
use lifeboat_bench::{MortalKeys, MortalMacs, MortalStore};

/// Sessions of a run: two, so that requests of both are under way at once.
const SESSIONS: usize = 2;

/// How long the threads of a killed run are waited for, and how long its sessions on the server: both end at once, on a
/// machine that has time for them.
const GONE_WITHIN: Duration = Duration::from_secs(60);

/// One of each thing that takes another way through a verb.
const SOURCE: &str = "
CREATE EXTENSION pgcrypto;
CREATE TYPE mood AS ENUM ('calm', 'tense');
CREATE TYPE address AS (street text, town text);
CREATE TABLE patient (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, mood mood, home address);
CREATE TABLE visit (id int PRIMARY KEY, patient int REFERENCES patient, fee numeric) PARTITION BY RANGE (id);
CREATE TABLE visit_1 PARTITION OF visit FOR VALUES FROM (0) TO (50);
CREATE TABLE visit_2 PARTITION OF visit DEFAULT;
CREATE MATERIALIZED VIEW fees AS SELECT patient, sum(fee) FROM visit GROUP BY 1;
CREATE INDEX ON patient (name);
INSERT INTO patient (name, mood, home) SELECT 'patient ' || i, 'calm', ROW('street ' || i, 'town ' || i)::address FROM generate_series(1, 20) i;
INSERT INTO visit SELECT i, 1 + i % 20, i * 1.5 FROM generate_series(1, 80) i;
REFRESH MATERIALIZED VIEW fees;
SELECT lo_from_bytea(50001, 'a scanned letter')";

/// What the run that is killed has new to store.
const CHANGE: &str =
    "INSERT INTO visit VALUES (81, 1, 1); CREATE TABLE added AS SELECT 1 AS a; SELECT nextval('patient_id_seq')";

/// Sessions of ours, and whoever is in a scratch database.
const OURS: &str =
    "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'lifeboat%' OR datname LIKE 'lifeboat%'";

/// Locks on anything in a database, and advisory locks, of sessions other than the one that asks.
const LOCKS: &str =
    "SELECT count(*) FROM pg_locks WHERE pid <> pg_backend_pid() AND locktype IN ('relation', 'advisory')";

const SCRATCH: &str = "SELECT datname::text FROM pg_database WHERE starts_with(datname, 'lifeboat')";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Backup,
    Verify,
    Drill,
    Clean,
}

pub struct Field {
    verb: Verb,
    server: PostgresServer,
    /// The server that drills restore to.
    scratch: PostgresServer,
    /// Outlives every run: in it are the proxies and the campaign's own session.
    runtime: Runtime,
    observer: tokio_postgres::Client,
    scratch_observer: tokio_postgres::Client,
    /// Whether the next run after a killed drill is a cleanup, which takes turns with a drill.
    cleans: std::cell::Cell<bool>,
    /// As before each run.
    start: Stores,
    /// As the latest killed run left it.
    left: std::cell::RefCell<Stores>,
    /// Backups that were there before each run.
    old: Vec<BackupId>,
    /// The objects of those backups as they should be.
    sound: Stores,
    source: String,
}

impl Field {
    pub fn new(verb: Verb) -> Self {
        let server = PostgresServer::start("campaign").unwrap();
        let scratch = PostgresServer::start(PostgresOptions::named("campaign-scratch").for_drills()).unwrap();
        server.psql("postgres", "CREATE DATABASE source").unwrap();
        server.psql("source", SOURCE).unwrap();
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let observer = runtime.block_on(observe(&server));
        let scratch_observer = runtime.block_on(observe(&scratch));
        let mut field = Self {
            verb,
            server,
            scratch,
            runtime,
            observer,
            scratch_observer,
            cleans: false.into(),
            start: Stores::default(),
            left: Stores::default().into(),
            old: Vec::new(),
            sound: Stores::default(),
            source: String::new(),
        };
        field.prepare();
        field
    }

    /// An old backup; what the killed run of the verb finds to do; and what the source is at that time.
    fn prepare(&mut self) {
        let stores = self.start.clone();
        self.run_on(Verb::Backup, &stores).unwrap();
        self.old = self.runtime.block_on(stores.backups(Site::Primary));
        self.sound = self.runtime.block_on(stores.copy());
        self.server.psql("source", CHANGE).unwrap();
        if self.verb == Verb::Verify {
            // Something of each kind, on both sites, never the same object on both.
            let (chunks, backups) = (stores.primary.keys("chunks/"), stores.primary.keys("backups/"));
            assert!(stores.primary.flip_bit(&chunks[0], 40, 3) && stores.offsite.remove(&chunks[1]));
            assert!(stores.primary.truncate(&backups[0], 5) && stores.offsite.remove(&backups[1]));
            assert!(stores.offsite.flip_bit("repository.json", 30, 1));
        }
        self.source = self.source_as_it_is();
    }

    /// A run that nothing happens to, but whose requests are counted.
    pub fn undisturbed(&self) -> KillSwitch {
        let switch = KillSwitch::new(None);
        let stores = self.runtime.block_on(self.start.copy());
        let ended = self.run(self.verb, &stores, &switch).expect("nothing killed it");
        ended.unwrap();
        let wanted = PORTS.map(|port| self.verb == Verb::Verify || switch.count(port) > 0);
        assert_eq!(wanted, [true; 3], "every port is asked");
        switch
    }

    /// Kills a run at a point, and looks at what it left. Returns that state in short, or nothing when the run ended
    /// well because it makes no such request, or none after it.
    pub fn kill(&self, point: KillPoint) -> Option<String> {
        let at = format!("{:?}, {point:?}", self.verb);
        let switch = KillSwitch::new(Some(point));
        let stores = self.runtime.block_on(self.start.copy());
        let before = self.scratch_databases();
        let ended = self.run(self.verb, &stores, &switch);
        if let Some(ended) = ended {
            ended.unwrap_or_else(|error| panic!("{at}: {error}"));
            return None;
        }
        self.assert_nobody_is_left(&at);
        self.runtime.block_on(self.assert_backups(&stores, &at));
        let on_record = stores.scratch_on_record();
        for left in self.scratch_databases().difference(&before) {
            assert!(on_record.contains(left), "{at}: nobody would learn of scratch database {left}: {on_record:?}");
        }
        let state = self.state(&stores);
        self.left.replace(stores);
        Some(state)
    }

    /// The next run of the verb on what the killed one left: it ends well, without help.
    pub fn run_again(&self, at: &str) {
        let stores = self.left.borrow().clone();
        stores.let_the_lease_expire();
        let listed = self.runtime.block_on(stores.backups(Site::Primary)).len();
        if self.verb == Verb::Drill && self.cleans.replace(!self.cleans.get()) {
            self.run_on(Verb::Clean, &stores).unwrap_or_else(|error| panic!("{at}: the cleanup: {error}"));
            self.assert_clean(&stores, at);
        }
        self.run_on(self.verb, &stores).unwrap_or_else(|error| panic!("{at}: the next run: {error}"));
        self.assert_nobody_is_left(at);
        self.assert_clean(&stores, at);
        self.runtime.block_on(async {
            self.assert_backups(&stores, at).await;
            let backups = stores.backups(Site::Primary).await;
            assert_eq!(backups.len(), listed + usize::from(self.verb == Verb::Backup), "{at}");
            assert_eq!(stores.backups(Site::Offsite).await, backups, "{at}");
            assert_eq!(stores.primary.keys("chunks/"), stores.offsite.keys("chunks/"), "{at}");
            self.assert_ledger(&stores, &backups, at).await;
        });
        if self.verb == Verb::Verify {
            for (site, key) in objects(&self.sound) {
                assert_eq!(stores.of(site).bytes(&key), self.sound.of(site).bytes(&key), "{at}: {key} on {site}");
            }
        }
    }

    fn assert_clean(&self, stores: &Stores, at: &str) {
        assert_eq!(self.scratch_databases(), BTreeSet::new(), "{at}: a scratch database is left");
        assert_eq!(stores.scratch_on_record(), Vec::<String>::new(), "{at}: it is on record, and gone");
    }

    fn scratch_databases(&self) -> BTreeSet<String> {
        let names = self.runtime.block_on(self.scratch_observer.query(SCRATCH, &[])).unwrap();
        names.iter().map(|row| row.get(0)).collect()
    }

    /// The source's definitions, rows and sequences are what they were before the first run.
    pub fn assert_source_untouched(&self) {
        assert_eq!(self.source_as_it_is(), self.source);
    }

    /// Every backup that a site lists is complete there, and no old backup is missing. Verifications begin with damage, which only they
    /// may reduce.
    async fn assert_backups(&self, stores: &Stores, at: &str) {
        if self.verb == Verb::Verify {
            for (site, key) in objects(&self.sound) {
                let (now, sound) = (stores.of(site).bytes(&key), self.sound.of(site).bytes(&key));
                let before = self.start.of(site).bytes(&key);
                assert!(now == sound || now == before, "{at}: {key} on {site} is neither sound nor as it was");
            }
            return;
        }
        for site in BOTH {
            let listed = stores.backups(site).await;
            assert!(self.old.iter().all(|old| listed.contains(old)), "{at}: an old backup is gone from {site}");
            for backup in &listed {
                stores.assert_whole(backup, site).await;
            }
        }
    }

    /// Nothing that did not happen is on record, and nothing twice.
    async fn assert_ledger(&self, stores: &Stores, backups: &[BackupId], at: &str) {
        let entries = stores.ledger().await;
        let done =
            |action: &str| entries.iter().filter(|e| e.action == action && e.outcome == Outcome::Completed).count();
        let claimed = entries.iter().filter(|entry| entry.action == "backup" && entry.outcome == Outcome::Completed);
        let subjects: Vec<String> = claimed.map(|entry| entry.subject.clone()).collect();
        let distinct: BTreeSet<&String> = subjects.iter().collect();
        assert_eq!(distinct.len(), subjects.len(), "{at}: a backup is on record twice");
        let true_ones: BTreeSet<String> = backups.iter().map(ToString::to_string).collect();
        assert!(subjects.iter().all(|subject| true_ones.iter().any(|id| subject.contains(id))), "{at}: {subjects:?}");
        assert!(entries.iter().all(|entry| entry.outcome == Outcome::Completed), "{at}: a failure is on record");
        match self.verb {
            Verb::Backup => assert!((2..=3).contains(&done("backup")), "{at}"),
            Verb::Verify => assert!((1..=2).contains(&done("verify")), "{at}"),
            Verb::Drill | Verb::Clean => assert!((1..=2).contains(&done("test-restore")), "{at}"),
        }
    }

    fn run_on(&self, verb: Verb, stores: &Stores) -> Result<(), EngineError> {
        self.run(verb, stores, &KillSwitch::new(None)).expect("nothing killed it")
    }

    /// One process; nothing when it was killed.
    fn run(&self, verb: Verb, stores: &Stores, switch: &KillSwitch) -> Option<Result<(), EngineError>> {
        let process = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let server = if matches!(verb, Verb::Drill | Verb::Clean) { &self.scratch } else { &self.server };
        let wire = self.runtime.block_on(PostgresWire::start(server.port(), switch.clone()));
        let mut story = process.spawn(story(verb, self.begin(stores, switch), settings(server, &wire)));
        let ended = self.runtime.block_on(async {
            tokio::select! {
                ended = &mut story => Some(ended.unwrap()),
                () = switch.death() => {
                    story.abort();
                    assert!(story.await.is_err_and(|error| error.is_cancelled()), "a dead process ended or panicked");
                    None
                }
            }
        });
        process.shutdown_timeout(GONE_WITHIN);
        ended
    }

    fn begin(&self, stores: &Stores, switch: &KillSwitch) -> Run {
        static RUNS: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(1);
        let store = |site| -> Option<Arc<dyn ObjectStore>> {
            Some(Arc::new(MortalStore { store: stores.of(site).clone(), switch: switch.clone() }))
        };
        let ports = Ports {
            sites: Sites::new(store(Site::Primary), store(Site::Offsite)),
            keys: Arc::new(MortalKeys { keys: keys_of(&BOTH), switch: switch.clone() }),
            macs: MortalMacs::of(&BOTH, switch),
            outbox: Arc::new(RecordingOutbox::default()),
            tools_dir: Some(self.server.bin_dir().to_owned()),
            sessions: SESSIONS,
            scratch_is_a_clone: false,
        };
        let id = format!("campaign-{}", RUNS.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        let mandate = Mandate { actor: "schedule".to_owned(), reason: "a test".to_owned() };
        let order = Order::new(id, None, mandate, Deadline::none(), &Meter::default(), 0);
        Run::begin(order, ports, Arc::default())
    }

    /// Waits until the server has noticed the death, and no lock is left.
    fn assert_nobody_is_left(&self, at: &str) {
        let begun = std::time::Instant::now();
        let remain = |sql| self.ask(&self.observer, sql) + self.ask(&self.scratch_observer, sql);
        while remain(OURS) > 0 || remain(LOCKS) > 0 {
            assert!(begun.elapsed() < GONE_WITHIN, "{at}: sessions or locks are left");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn ask(&self, observer: &tokio_postgres::Client, sql: &str) -> i64 {
        self.runtime.block_on(observer.query_one(sql, &[])).unwrap().get(0)
    }

    /// What decides how the next run goes, without what is random in it.
    fn state(&self, stores: &Stores) -> String {
        let mut state = format!("{} scratch databases", self.scratch_databases().len());
        for site in BOTH {
            for key in stores.of(site).keys("") {
                let folder = key.split('/').next().unwrap_or_default();
                let is_damaged = stores.of(site).bytes(&key) != self.sound.of(site).bytes(&key);
                let is_old = self.sound.of(site).bytes(&key).is_some();
                // Keys of backups, reports and ledger entries hold times and random words: that they are there is enough.
                match folder {
                    "chunks" => state.push_str(&format!("\n{site} {key} {is_damaged}")),
                    _ if is_old => state.push_str(&format!("\n{site} {key} {is_damaged}")),
                    _ => state.push_str(&format!("\n{site} {folder} {:?}", key.rsplit('/').next().map(str::len))),
                }
            }
        }
        state.push_str(&format!("\n{:?}", stores.lease().map(|lease| lease.released)));
        state
    }

    fn source_as_it_is(&self) -> String {
        let arguments = ["--dbname", &self.server.url("source")];
        let dump = std::process::Command::new(self.server.bin_dir().join("pg_dump")).args(arguments).output().unwrap();
        assert!(dump.status.success(), "{dump:?}");
        // From a security release on, `pg_dump` frames its text with a random word.
        let text = String::from_utf8(dump.stdout).unwrap();
        text.lines().filter(|line| !line.contains("restrict ")).collect::<Vec<_>>().join("\n")
    }
}

/// How to reach a database of a server through the wire.
fn settings(server: &PostgresServer, wire: &PostgresWire) -> impl Fn(&str) -> ConnectionSettings + Send + use<> {
    let (template, own, port) = (server.url("DATABASE"), server.port(), wire.port());
    move |name| {
        let url = template.replace(&format!(":{own}/"), &format!(":{port}/")).replace("DATABASE", name);
        ConnectionSettings::from_secret(&url).unwrap()
    }
}

/// What backups are made of, on both sites.
fn objects(stores: &Stores) -> Vec<(Site, String)> {
    BOTH.into_iter().flat_map(|site| stores.backup_objects(site).into_iter().map(move |key| (site, key))).collect()
}

/// A session that looks at the server and is none of ours.
async fn observe(server: &PostgresServer) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(&server.url("postgres"), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// What the process does.
async fn story(verb: Verb, run: Run, settings: impl Fn(&str) -> ConnectionSettings + Send) -> Result<(), EngineError> {
    let database = database();
    match verb {
        Verb::Backup => {
            let request = BackupRequest { database, source: settings("source"), asked: Asked::Now };
            backup(&run, &request).await.map(drop)
        }
        Verb::Verify => {
            let request = VerifyRequest { database, scope: VerificationScope::All };
            let report = verify(&run, &request).await?;
            assert!(report.is_sound(), "{:?}", report.findings);
            Ok(())
        }
        Verb::Clean => {
            let report = clean_scratch(&run, Ok(settings("postgres"))).await?;
            assert_eq!(report.left, [], "nothing keeps it");
            Ok(())
        }
        Verb::Drill => {
            let scratch = settings("postgres");
            let request = DrillRequest { database, backup: BackupChoice::Newest, site: Site::Offsite, scratch };
            let report = drill(&run, &request).await?;
            assert!(report.equal, "{:?}", report.findings);
            Ok(())
        }
    }
}
