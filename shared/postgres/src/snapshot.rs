//! One consistent view of a database, held by a leader session and shared with others.

pub(crate) mod catalog;
mod copy_format;
pub(crate) mod large_object;
pub(crate) mod reader;
pub(crate) mod relation;
pub(crate) mod rows;
pub(crate) mod sequence;
mod source;
mod table_locks;
mod watch;

use std::path::Path;
use std::time::{Duration, Instant};

use lifeboat_model::{Globals, Inventory, LeftOut, RelationKind, Source};

use self::large_object::LargeObjectCount;
use self::reader::SliceReader;
use self::relation::{Disposition, Relation};
use self::sequence::SequenceValues;
use self::watch::{Backend, Backends, LOCK_WAIT_LIMIT, SNAPSHOT_AGE_LIMIT, Watch};
use crate::error::{PostgresError, PostgresResult as Result};
use crate::schema::archive;
use crate::schema::globals;
use crate::schema::inventory;
use crate::schema::tools::ClientTools;
use crate::session::Session;
use crate::session::identifier::RelationName;
use crate::session::settings::ConnectionSettings;

/// How often a snapshot is thrown away because a table was rewritten before it could be locked.
const SNAPSHOT_ATTEMPTS: u32 = 5;

/// How a snapshot is taken.
#[derive(Debug, Clone)]
pub struct SnapshotOptions {
    /// Shown in the server's `pg_stat_activity`, with the run's id for example.
    pub application_name: String,
    /// How often one table's lock is waited for, 5 s each.
    pub lock_attempts: u32,
    /// How long another session may wait for a table that the snapshot holds.
    pub lock_wait_limit: Duration,
    /// How long the snapshot may live.
    pub age_limit: Duration,
    /// Relations whose rows are not wanted.
    pub left_out: Vec<LeftOut>,
}

impl Default for SnapshotOptions {
    fn default() -> Self {
        Self {
            application_name: "lifeboat".to_owned(),
            lock_attempts: table_locks::LOCK_ATTEMPTS,
            lock_wait_limit: LOCK_WAIT_LIMIT,
            age_limit: SNAPSHOT_AGE_LIMIT,
            left_out: Vec::new(),
        }
    }
}

/// A view of one database at one moment, with every table held against being truncated, rewritten or dropped.
///
/// It holds back the server's cleanup for as long as it lives: close it as soon as the rows are read.
#[derive(Debug)]
pub struct Snapshot {
    leader: Session,
    settings: ConnectionSettings,
    options: SnapshotOptions,
    id: String,
    source: Source,
    relations: Vec<Relation>,
    watch: Watch,
    /// The leader's process, for the watcher.
    _backend: Backend,
}

impl Snapshot {
    /// Takes a snapshot, locks every table in ACCESS SHARE mode and makes sure that none changed in between.
    ///
    /// Errors: those of [`Session::connect`], [`PostgresError::LeftOutIsReferenced`], [`PostgresError::LockTimeout`],
    /// [`PostgresError::RewrittenDuringSnapshot`], and [`PostgresError::GaveWay`] when another session waits for a table
    /// that is already locked.
    pub async fn take(settings: &ConnectionSettings, options: &SnapshotOptions) -> Result<Self> {
        let mut last_changed = None;
        for _ in 0..SNAPSHOT_ATTEMPTS {
            let leader = Session::connect(settings, &options.application_name).await?;
            let backends = Backends::default();
            let backend = backends.enrol(&leader).await?;
            let watch = Watch {
                settings: settings.clone(),
                backends,
                began: Instant::now(),
                lock_wait_limit: options.lock_wait_limit,
                age_limit: options.age_limit,
            };
            let id = begin_and_export(&leader).await?;
            let mut relations = catalog::list_relations(&leader, settings.user(), &options.left_out).await?;
            let changed = tokio::select! {
                changed = lock_and_compare(&leader, settings, options, &relations) => changed?,
                must_end = watch.clone().until_it_must_end() => return Err(must_end),
            };
            match changed {
                Some(changed) => {
                    tracing::info!(table = %changed, "changed between snapshot and lock, starting over");
                    last_changed = Some(changed);
                    leader.close().await;
                }
                None => {
                    catalog::measure(&leader, &mut relations).await?;
                    let source = source::read(&leader).await?;
                    let (settings, options) = (settings.clone(), options.clone());
                    return Ok(Self { leader, settings, options, id, source, relations, watch, _backend: backend });
                }
            }
        }
        Err(PostgresError::RewrittenDuringSnapshot {
            relation: last_changed.map(|name| name.to_string()).unwrap_or_default(),
            attempts: SNAPSHOT_ATTEMPTS,
        })
    }

    /// The server and the moment.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Every relation outside PostgreSQL's own schemas, by schema and name.
    pub fn relations(&self) -> &[Relation] {
        &self.relations
    }

    /// A separate session that sees the same rows. It can move to another task and outlives the snapshot's leader.
    pub async fn reader(&self) -> Result<SliceReader> {
        SliceReader::join(&self.settings, &self.options.application_name, &self.id, &self.watch.backends).await
    }

    /// Resolves when the snapshot has to end, and never while all is well: race it against the work, and close the snapshot
    /// when it wins.
    ///
    /// It checks the server on a separate connection, `lifeboat watcher`. Ends with [`PostgresError::GaveWay`] when another
    /// session has been waiting longer than [`lock_wait_limit`](SnapshotOptions::lock_wait_limit) for a table that the snapshot
    /// or one of its readers holds, with [`PostgresError::SnapshotTooOld`] after [`age_limit`](SnapshotOptions::age_limit), or
    /// with the error that keeps it from asking.
    pub fn guard(&self) -> impl Future<Output = PostgresError> + Send + use<> {
        self.watch.clone().until_it_must_end()
    }

    /// Writes `pg_dump`'s custom-format archive of the definitions to `into`. An unchanged schema gives the same bytes, as long
    /// as the server plans `pg_dump`'s queries alike: objects are numbered in the order in which they are found.
    ///
    /// Relations that this role may not even lock are left out of it; they are [`Disposition::Unreadable`], or policy leaves
    /// out their rows.
    pub async fn schema_archive(&self, tools: &ClientTools, into: &Path) -> Result<()> {
        let excluded: Vec<&RelationName> = self.undescribed().map(|relation| &relation.name).collect();
        archive::dump_schema(tools, &self.settings, &self.id, &excluded, &self.source.encoding, into).await
    }

    /// Writes the SQL of the server's roles, without passwords, to `into`. Roles belong to the server, not to the snapshot.
    pub async fn roles(&self, tools: &ClientTools, into: &Path) -> Result<()> {
        archive::dump_roles(tools, &self.settings, into).await
    }

    /// The database's own properties and the server's roles. They belong to the server, not to the snapshot.
    pub async fn globals(&self) -> Result<Globals> {
        globals::read(&self.leader).await
    }

    /// The sequences' values. PostgreSQL keeps no versions of them, so they are current, never older than the snapshot.
    pub async fn sequences(&self) -> Result<SequenceValues> {
        let carried: Vec<RelationName> = self
            .relations
            .iter()
            .filter(|r| r.kind == RelationKind::Sequence && r.disposition == Disposition::Carried)
            .map(|relation| relation.name.clone())
            .collect();
        sequence::read(&self.leader, &carried).await
    }

    /// The definitions a restore must bring back.
    pub async fn inventory(&self) -> Result<Inventory> {
        let undescribed: Vec<u32> = self.undescribed().map(|relation| relation.oid).collect();
        inventory::read(&self.leader, &undescribed).await
    }

    /// How many large objects there are, and how many of them this role cannot read.
    pub async fn large_objects(&self) -> Result<LargeObjectCount> {
        large_object::count(&self.leader).await
    }

    /// Ends the snapshot and its locks. An error means that it had ended before.
    pub async fn close(self) -> Result<()> {
        let ended = self.leader.run("ending the snapshot", "COMMIT").await;
        self.leader.close().await;
        ended
    }

    fn undescribed(&self) -> impl Iterator<Item = &Relation> {
        self.relations.iter().filter(|relation| relation.definition_is_unreadable)
    }
}

/// Locks the tables; gives the name of one that is not what the snapshot shows.
async fn lock_and_compare(
    leader: &Session,
    settings: &ConnectionSettings,
    options: &SnapshotOptions,
    relations: &[Relation],
) -> Result<Option<RelationName>> {
    if let Some(changed) = table_locks::hold(leader, relations, options.lock_attempts).await? {
        return Ok(Some(changed));
    }
    // The leader's transaction sees the catalog of the snapshot.
    let now = Session::connect(settings, &options.application_name).await?;
    let redefined = catalog::find_redefined(leader, &now, relations).await;
    now.close().await;
    redefined
}

async fn begin_and_export(leader: &Session) -> Result<String> {
    const STEP: &str = "taking the snapshot";
    leader.run(STEP, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    Ok(leader.row(STEP, "SELECT pg_catalog.pg_export_snapshot()", &[]).await?.get(0))
}
