//! A database of its own for each test, and the whole way from it into a restored one.

use std::collections::{HashMap, HashSet};

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};

use lifeboat_local::{PostgresOptions, PostgresServer};
use lifeboat_model::{CHUNK_BYTES, ChunkKey, Difference, RowDigest, RowHasher, SLICE_BLOCKS, Source};
use lifeboat_postgres::{
    ClientTools, ConnectionSettings, Disposition, Prover, Relation, RelationName, ScratchDatabase, ScratchServer,
    Snapshot, SnapshotOptions, TableTarget,
};

pub struct Fixture {
    pub server: Arc<PostgresServer>,
    pub database: String,
}

/// Counts, digest and chunks of one table as the backup saw them.
pub struct Copied {
    pub table: TableTarget,
    pub rows: u64,
    pub digest: RowDigest,
    pub chunks: Vec<Vec<u8>>,
}

impl Fixture {
    /// A fresh database with `sql` run in it, on the server that all tests share while any of them runs.
    pub fn new(sql: &str) -> Self {
        Self::with_options("", sql)
    }

    /// The same, with options of CREATE DATABASE.
    pub fn with_options(database_options: &str, sql: &str) -> Self {
        static SHARED: Mutex<Weak<PostgresServer>> = Mutex::new(Weak::new());
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let server = {
            let mut shared = SHARED.lock().unwrap();
            shared.upgrade().unwrap_or_else(|| {
                let server = Arc::new(PostgresServer::start(options()).unwrap());
                *shared = Arc::downgrade(&server);
                server
            })
        };
        let database = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        Self::create(server, database, database_options, sql)
    }

    /// A server of its own, for what concerns the whole server: other tests create and drop roles on the shared one.
    pub fn with_server_of_its_own(sql: &str) -> Self {
        Self::create(Arc::new(PostgresServer::start(options()).unwrap()), "test".to_owned(), "", sql)
    }

    fn create(server: Arc<PostgresServer>, database: String, database_options: &str, sql: &str) -> Self {
        server.psql("postgres", &format!("CREATE DATABASE {database} TEMPLATE template0 {database_options}")).unwrap();
        let fixture = Self { server, database };
        fixture.sql(sql);
        fixture
    }

    pub fn sql(&self, sql: &str) -> String {
        self.server.psql(&self.database, sql).unwrap()
    }

    pub fn settings(&self) -> ConnectionSettings {
        ConnectionSettings::from_secret(&self.server.url(&self.database)).unwrap()
    }

    /// The settings of another role, whose password is its name.
    pub fn settings_as(&self, role: &str) -> ConnectionSettings {
        ConnectionSettings::from_secret(&self.server.url_as(role, role, &self.database)).unwrap()
    }

    pub async fn snapshot(&self) -> Snapshot {
        Snapshot::take(&self.settings(), &SnapshotOptions::default()).await.unwrap()
    }

    pub async fn tools(&self) -> ClientTools {
        ClientTools::find(Some(self.server.bin_dir())).await.unwrap()
    }

    pub fn scratch_server(&self) -> ScratchServer {
        ScratchServer::new(self.settings().with_database("postgres"))
    }
}

/// `LIFEBOAT_TEST_POSTGRES_BIN` names the programs of another version: that is the compatibility matrix.
fn options() -> PostgresOptions {
    let bin_dir = std::env::var_os("LIFEBOAT_TEST_POSTGRES_BIN").map(PathBuf::from);
    PostgresOptions { bin_dir, ..PostgresOptions::named("shared") }
}

pub fn hasher() -> RowHasher {
    ChunkKey::new([3; 32]).row_hasher()
}

pub fn relation<'a>(snapshot: &'a Snapshot, name: &str) -> &'a Relation {
    let found = snapshot.relations().iter().find(|relation| relation.name.to_string() == name);
    found.unwrap_or_else(|| panic!("no relation `{name}`"))
}

/// Reads every slice of every table that is to be copied.
pub async fn copy_all(snapshot: &Snapshot, chunk_bytes: usize) -> Vec<Copied> {
    let mut reader = snapshot.reader().await.unwrap();
    let mut copied = Vec::new();
    for relation in snapshot.relations().iter().filter(|r| r.disposition == Disposition::Copy) {
        let mut table = Copied { table: relation.into(), rows: 0, digest: RowDigest::default(), chunks: Vec::new() };
        for slice in relation.slices(SLICE_BLOCKS) {
            let mut stream = reader.copy_slice(relation, slice).await.unwrap();
            let mut buffer = Vec::new();
            while let Some(chunk) = stream.next_chunk(&mut buffer, &hasher(), chunk_bytes).await.unwrap() {
                table.rows += chunk.rows;
                table.digest += chunk.digest;
                table.chunks.push(buffer.clone());
            }
        }
        copied.push(table);
    }
    copied
}

/// Takes a database through backup and restore, proves every table, the schema, the sequences and the large objects, and
/// returns the restored database.
pub async fn restore_and_prove(fixture: &Fixture) -> (ScratchDatabase, Prover) {
    restore_and_prove_where(fixture, |_| {}).await
}

/// The same, on a server that has to take the database for another one.
pub async fn restore_and_prove_where(fixture: &Fixture, pretend: impl Fn(&mut Source)) -> (ScratchDatabase, Prover) {
    let directory = tempfile::tempdir().unwrap();
    let (archive, roles) = (directory.path().join("schema"), directory.path().join("roles.sql"));
    let tools = fixture.tools().await;
    let snapshot = fixture.snapshot().await;
    snapshot.schema_archive(&tools, &archive).await.unwrap();
    snapshot.roles(&tools, &roles).await.unwrap();
    let (sequences, inventory) = (snapshot.sequences(None).await.unwrap(), snapshot.inventory().await.unwrap());
    let copied = copy_all(&snapshot, CHUNK_BYTES).await;
    let (pages, page_chunks) = copy_large_objects(&snapshot, CHUNK_BYTES).await;
    let views: Vec<RelationName> = snapshot
        .relations()
        .iter()
        .filter(|relation| relation.disposition == Disposition::Rebuilt)
        .map(|relation| relation.name.clone())
        .collect();

    let name = format!("{}_restored", fixture.database);
    let mut source = snapshot.source().clone();
    pretend(&mut source);
    let scratch = fixture.scratch_server().create_database(&name, &source).await.unwrap();
    snapshot.close().await.unwrap();
    let target = scratch.target();
    target.require_empty().await.unwrap();
    target.restore_roles(&std::fs::read_to_string(&roles).unwrap(), true).await.unwrap();
    let mut definitions = target.archive_restore(&tools, &archive, true, Vec::new()).await.unwrap();
    definitions.restore_pre_data().await.unwrap();
    let mut loader = target.loader().await.unwrap();
    for Copied { table, chunks, .. } in &copied {
        for chunk in chunks {
            loader.load_chunk(table, chunk).await.unwrap();
        }
    }
    assert_eq!(target.set_sequences(&sequences.sql).await.unwrap(), []);
    for chunk in &page_chunks {
        loader.load_large_objects(0, chunk).await.unwrap();
    }
    loader.close().await;
    definitions.restore_post_data(&HashSet::new(), &HashMap::new()).await.unwrap();
    definitions.restore_grants().await.unwrap();
    assert_eq!(definitions.set_aside().await.unwrap(), []);
    assert_eq!(target.refresh_materialized_views(&views, &[]).await.unwrap(), []);

    let mut prover = target.prover().await.unwrap();
    for Copied { table, rows, digest, .. } in &copied {
        let restored = prover.digest_table(table, &hasher()).await.unwrap();
        assert_eq!((restored.rows, restored.digest), (*rows, *digest), "{}", table.name);
    }
    let restored = prover.digest_large_objects(&hasher()).await.unwrap();
    assert_eq!((restored.rows, restored.digest), pages);
    assert_eq!(prover.sequences().await.unwrap(), sequences);
    let differences = inventory.differences(&prover.inventory().await.unwrap());
    assert_eq!(differences, Vec::<Difference>::new());
    (scratch, prover)
}

pub async fn copy_large_objects(snapshot: &Snapshot, chunk_bytes: usize) -> ((u64, RowDigest), Vec<Vec<u8>>) {
    let mut reader = snapshot.reader().await.unwrap();
    let mut stream = reader.copy_large_objects().await.unwrap();
    let (mut rows, mut digest, mut chunks, mut buffer) = (0, RowDigest::default(), Vec::new(), Vec::new());
    while let Some(chunk) = stream.next_chunk(&mut buffer, &hasher(), chunk_bytes).await.unwrap() {
        rows += chunk.rows;
        digest += chunk.digest;
        chunks.push(buffer.clone());
    }
    ((rows, digest), chunks)
}
