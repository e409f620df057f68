//! A source database on a server of its own, and the processes that run verbs on it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};

use lifeboat_bench::RecordingOutbox;
pub use lifeboat_bench::database;
use lifeboat_engine::{
    Asked, BackupChoice, BackupRequest, Deadline, DrillRequest, EngineError, Order, Ports, RestoreRequest, Run,
    VerifyRequest, backup, drill, plan_restore, restore, verify,
};
use lifeboat_local::{PostgresOptions, PostgresServer};
use lifeboat_model::Meter;
use lifeboat_model::{
    DrillReport, Event, Mandate, Manifest, Policy, RestoreReport, Severity, Site, VerificationReport, VerificationScope,
};
use lifeboat_postgres::ConnectionSettings;
use lifeboat_vault::Sites;

use crate::log;
use crate::stores::{BOTH, Stores, keys_of, macs};

/// The source database's name on its server; its name in the repository is [`database`].
const SOURCE: &str = "clinic_source";

/// The password of the roles that drill.
const DRILLER: &str = "driller";

/// A server with one database that is backed up, and an empty repository.
pub struct Bench {
    pub server: PostgresServer,
    pub stores: Stores,
    /// The server that drills restore to, once there is one.
    pub scratch: OnceLock<Arc<PostgresServer>>,
    /// The superuser of this bench's drills on the scratch server.
    pub driller: OnceLock<String>,
}

/// The server that the drills of all tests restore to, while any of them runs.
fn shared_scratch() -> Arc<PostgresServer> {
    static SHARED: Mutex<Weak<PostgresServer>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap();
    shared.upgrade().unwrap_or_else(|| {
        let server = new_scratch();
        *shared = Arc::downgrade(&server);
        server
    })
}

fn new_scratch() -> Arc<PostgresServer> {
    Arc::new(PostgresServer::start(PostgresOptions::named("scratch").for_drills()).unwrap())
}

impl Bench {
    /// Starts a server and fills the source database.
    pub fn with(name: &str, sql: &str) -> Self {
        Self::on(PostgresServer::start(name).unwrap(), sql)
    }

    /// Fills the source database of a server that runs.
    pub fn on(server: PostgresServer, sql: &str) -> Self {
        log::start();
        server.psql("postgres", &format!("CREATE DATABASE {SOURCE}")).unwrap();
        let bench = Self { server, stores: Stores::default(), scratch: OnceLock::new(), driller: OnceLock::new() };
        bench.sql(sql);
        bench
    }

    /// The same with a scratch server that no other test uses.
    pub fn with_own_scratch(name: &str, sql: &str) -> Self {
        Self { scratch: new_scratch().into(), ..Self::with(name, sql) }
    }

    /// The server that drills restore to.
    pub fn scratch(&self) -> &PostgresServer {
        self.scratch.get_or_init(shared_scratch)
    }

    /// The role of this bench's drills.
    pub fn driller(&self) -> &str {
        self.driller.get_or_init(|| {
            static DRILLERS: AtomicU32 = AtomicU32::new(1);
            let name = format!("driller_{}", DRILLERS.fetch_add(1, Ordering::Relaxed));
            let create = format!("CREATE ROLE {name} LOGIN SUPERUSER PASSWORD '{DRILLER}'");
            self.scratch().psql("postgres", &create).unwrap();
            name
        })
    }

    /// The connection of drills to the scratch server.
    pub fn scratch_settings(&self) -> ConnectionSettings {
        ConnectionSettings::from_secret(&self.scratch().url_as(self.driller(), DRILLER, "postgres")).unwrap()
    }

    /// Runs SQL in the source database.
    pub fn sql(&self, sql: &str) -> String {
        self.server.psql(SOURCE, sql).unwrap()
    }

    /// A fresh and empty database to restore into.
    pub fn empty_database(&self, name: &str) -> ConnectionSettings {
        self.server.psql("postgres", &format!("CREATE DATABASE {name} TEMPLATE template0")).unwrap();
        self.settings(name)
    }

    /// The superuser's settings of a database.
    pub fn settings(&self, name: &str) -> ConnectionSettings {
        ConnectionSettings::from_secret(&self.server.url(name)).unwrap()
    }

    pub fn request(&self) -> BackupRequest {
        BackupRequest { database: database(), source: self.settings(SOURCE), asked: Asked::Now }
    }

    /// The same request as another role.
    pub fn request_as(&self, role: &str, password: &str) -> BackupRequest {
        let source = ConnectionSettings::from_secret(&self.server.url_as(role, password, SOURCE)).unwrap();
        BackupRequest { source, ..self.request() }
    }

    pub fn drill_request(&self, site: Site) -> DrillRequest {
        let scratch = self.scratch_settings();
        DrillRequest { database: database(), backup: BackupChoice::Newest, site, scratch }
    }

    /// A restore of the newest backup of one site.
    pub fn restore_request(&self, site: Site, to: ConnectionSettings) -> RestoreRequest {
        RestoreRequest { database: database(), backup: None, site: Some(site), to }
    }

    /// A restore of the newest backup that nothing disturbs.
    pub async fn restore(&self, site: Site, to: ConnectionSettings) -> DrillReport {
        self.process().restore(&self.restore_request(site, to)).await.unwrap().proved
    }

    /// A process that works on both sites and holds both keys.
    pub fn process(&self) -> Process {
        self.process_on(self.stores.sites())
    }

    pub fn process_on(&self, sites: Sites) -> Process {
        process_with(sites, self.server.bin_dir().to_owned())
    }

    /// A backup that nothing disturbs.
    pub async fn back_up(&self) -> Manifest {
        self.process().back_up(&self.request()).await.unwrap()
    }

    /// A drill of the newest backup that nothing disturbs.
    pub async fn drill(&self, site: Site) -> DrillReport {
        self.process().drill(&self.drill_request(site)).await.unwrap()
    }

    /// Verifies everything; nothing disturbs it.
    pub async fn verify_all(&self) -> VerificationReport {
        self.process().verify(VerificationScope::All).await.unwrap()
    }

    /// The scratch databases that drills of this bench have left.
    pub fn scratch_databases(&self) -> Vec<String> {
        let names = format!(
            "SELECT datname FROM pg_database WHERE starts_with(datname, 'lifeboat_drill') AND datdba = '{}'::regrole ORDER BY 1",
            self.driller()
        );
        self.scratch().psql("postgres", &names).unwrap().lines().map(str::to_owned).collect()
    }
}

/// A process that works on these sites, with PostgreSQL's tools of this folder.
pub fn process_with(sites: Sites, tools_dir: PathBuf) -> Process {
    static RUNS: AtomicU32 = AtomicU32::new(1);
    let outbox = Arc::new(RecordingOutbox::default());
    let ports = Ports {
        sites,
        keys: keys_of(&BOTH),
        macs: macs(),
        outbox: outbox.clone(),
        tools_dir: Some(tools_dir),
        sessions: 2,
        scratch_is_a_clone: false,
    };
    let id = format!("run-{}", RUNS.fetch_add(1, Ordering::Relaxed));
    Process { run: begin(id, ports, Arc::default()), outbox }
}

fn begin(id: String, ports: Ports, policy: Arc<Policy>) -> Run {
    let mandate = Mandate { actor: "schedule".to_owned(), reason: "a test".to_owned() };
    let (act, deadline, meter) = (None, Deadline::none(), Meter::default());
    Run::begin(Order::new(id, act, mandate, deadline, &meter, 0), ports, policy)
}

/// One invocation: it has an id, and what it said is kept.
pub struct Process {
    pub run: Run,
    pub outbox: Arc<RecordingOutbox>,
}

impl Process {
    /// The run as the platform begins it again: with the same id, and nothing of what it has read.
    pub fn again(&self) -> Run {
        let Run { ports, id, policy, deadline, mandate, must_notify, act, .. } = &self.run;
        let mut run = begin(id.clone(), ports.clone(), Arc::clone(policy));
        (run.deadline, run.mandate, run.must_notify, run.act) = (*deadline, mandate.clone(), *must_notify, *act);
        run
    }

    pub async fn back_up(&self, request: &BackupRequest) -> Result<Manifest, EngineError> {
        backup(&self.again(), request).await
    }

    pub async fn drill(&self, request: &DrillRequest) -> Result<DrillReport, EngineError> {
        drill(&self.again(), request).await
    }

    /// Plans a restore and executes the plan.
    pub async fn restore(&self, request: &RestoreRequest) -> Result<RestoreReport, EngineError> {
        let planned = plan_restore(&self.again(), request).await?;
        restore(&self.again(), request, planned.hash).await
    }

    pub async fn verify(&self, scope: VerificationScope) -> Result<VerificationReport, EngineError> {
        verify(&self.again(), &VerifyRequest { database: database(), scope }).await
    }

    /// The types of the events so far, in order.
    pub fn said(&self) -> Vec<&'static str> {
        self.outbox.events().iter().map(Event::detail_type).collect()
    }

    /// The severities of the alerts so far, in order.
    pub fn alerted(&self) -> Vec<Severity> {
        self.outbox.alerts().iter().map(|alert| alert.severity).collect()
    }
}
