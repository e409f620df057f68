//! One consistent view of a database, held by a leader session and shared with others.

mod block_ranges;
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
use crate::schema::stderr::WITHHELD;
use crate::schema::tools::ClientTools;
use crate::session::Session;
use crate::session::identifier::RelationName;
use crate::session::libpq_environment::LibpqEnvironment;
use crate::session::settings::ConnectionSettings;

/// How often `pg_dump` runs when it fails while no table was altered: it may have waited too long for a lock. A third run would meet
/// what the second met, and the next backup runs it again.
const DUMP_ATTEMPTS: u32 = 2;

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

/// A view of one database at one moment, with every table that is copied held against being truncated, rewritten or dropped.
///
/// Tables of which only the definition is wanted are locked while `pg_dump` describes them, and for a moment afterwards.
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
    /// Locks every table that is copied in ACCESS SHARE mode, takes a snapshot, and makes sure that no table changed in between.
    ///
    /// Errors: those of [`Session::connect`], [`PostgresError::LeftOutIsReferenced`], [`PostgresError::LockTimeout`],
    /// [`PostgresError::RewrittenDuringSnapshot`], and [`PostgresError::GaveWay`] when another session waits for a table
    /// that is already locked.
    pub async fn take(settings: &ConnectionSettings, options: &SnapshotOptions) -> Result<Self> {
        let leader = Session::connect(settings, &options.application_name).await?;
        let backends = Backends::default();
        let backend = backends.enrol(&leader).await?;
        let watch = Watch {
            settings: settings.clone(),
            backends,
            dump: Backends::name_of_dump(&backend),
            began: Instant::now(),
            lock_wait_limit: options.lock_wait_limit,
            age_limit: options.age_limit,
        };
        let (id, mut relations) = tokio::select! {
            taken = lock_and_export(&leader, settings, options) => taken?,
            must_end = watch.clone().until_it_must_end() => return Err(must_end),
        };
        catalog::measure(&leader, &mut relations).await?;
        block_ranges::try_out(&leader, &mut relations).await?;
        let source = source::read(&leader).await?;
        let (settings, options) = (settings.clone(), options.clone());
        Ok(Self { leader, settings, options, id, source, relations, watch, _backend: backend })
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
    /// session has been waiting longer than [`lock_wait_limit`](SnapshotOptions::lock_wait_limit) for a table that the snapshot,
    /// one of its readers or its `pg_dump` holds, with [`PostgresError::SnapshotTooOld`] after
    /// [`age_limit`](SnapshotOptions::age_limit), or with the error that keeps it from asking.
    pub fn guard(&self) -> impl Future<Output = PostgresError> + Send + use<> {
        self.watch.clone().until_it_must_end()
    }

    /// Writes `pg_dump`'s custom-format archive of the definitions to `into`. An unchanged schema gives the same bytes, as long
    /// as the server plans `pg_dump`'s queries alike: objects are numbered in the order in which they are found.
    ///
    /// Relations that this role may not even lock are left out of it; they are [`Disposition::Unreadable`], or policy leaves
    /// out their rows.
    ///
    /// `pg_dump` locks what it describes until it ends. Its locks are the only ones on tables that are not copied: with locks of ours, a
    /// TRUNCATE that arrives before `pg_dump` would wait for us, and `pg_dump` for the TRUNCATE. [`inventory`](Self::inventory) finds
    /// out afterwards whether such a table changed before `pg_dump` had locked it.
    ///
    /// Errors: [`PostgresError::RewrittenDuringSnapshot`], [`PostgresError::LockTimeout`] and [`PostgresError::GaveWay`] when one of these
    /// is why `pg_dump` failed, else [`PostgresError::ToolFailed`].
    pub async fn schema_archive(&self, tools: &ClientTools, into: &Path) -> Result<()> {
        let excluded: Vec<&RelationName> = self.undescribed().map(|relation| &relation.name).collect();
        let environment = self.environment(into).await?.named(&self.watch.dump);
        for attempt in 1.. {
            let encoding = &self.source.encoding;
            let dump = archive::dump_schema(tools, &environment, &self.id, &excluded, encoding, into);
            match dump.await {
                Err(failed @ PostgresError::ToolFailed { .. }) => {
                    // Its message names no table when a lock was not to be had.
                    if is_about_locks(&failed)
                        && let Some(relation) = self.watch.waiting_now().await?
                    {
                        return Err(PostgresError::GaveWay { relation: relation.to_string() });
                    }
                    self.for_a_moment(self.expect_unchanged()).await?;
                    if attempt >= DUMP_ATTEMPTS {
                        return Err(failed);
                    }
                    tracing::info!(error = %failed, attempt, "no table changed, running `pg_dump` again");
                }
                other => return other,
            }
        }
        Ok(())
    }

    /// Writes the SQL of the server's roles, without passwords, to `into`. Roles belong to the server, not to the snapshot.
    pub async fn roles(&self, tools: &ClientTools, into: &Path) -> Result<()> {
        archive::dump_roles(tools, &self.environment(into).await?, &self.settings, into).await
    }

    /// The environment of a client program that writes this file. The leader finds the startup options, so that it takes no other connection.
    async fn environment(&self, into: &Path) -> Result<LibpqEnvironment> {
        let startup_options = self.leader.startup_options().await?;
        let environment = self.settings.libpq_environment(archive::directory_of(into))?;
        Ok(environment.with_known_options(startup_options))
    }

    /// The database's own properties and the server's roles. They belong to the server, not to the snapshot.
    pub async fn globals(&self) -> Result<Globals> {
        globals::read(&self.leader).await
    }

    /// The sequences' values. PostgreSQL keeps no versions of them, so they are current, never older than the snapshot.
    ///
    /// A sequence can be dropped with a table that is not copied, and a TRUNCATE … RESTART IDENTITY can hold it for long. Then its value is
    /// that of `earlier`, which must have been read since the snapshot was taken: it is at or after every copied row, too. An unlogged one on a
    /// standby has its start, as it would after the standby's promotion.
    ///
    /// Errors, when `earlier` lacks the sequence: [`PostgresError::RewrittenDuringSnapshot`] when it is gone, and
    /// [`PostgresError::LockTimeout`].
    pub async fn sequences(&self, earlier: Option<&SequenceValues>) -> Result<SequenceValues> {
        let sequences = || self.relations.iter().filter(|relation| relation.kind == RelationKind::Sequence);
        let is = |disposition| move |relation: &&Relation| relation.disposition == disposition;
        let carried: Vec<RelationName> =
            sequences().filter(is(Disposition::Carried)).map(|relation| relation.name.clone()).collect();
        let reading = sequence::read_or_recall(&self.leader, &carried, earlier, self.options.lock_attempts);
        let values = self.for_a_moment(reading).await?;
        let elsewhere: Vec<u32> =
            sequences().filter(is(Disposition::OnPrimaryOnly)).map(|relation| relation.oid).collect();
        if elsewhere.is_empty() {
            return Ok(values);
        }
        let names: Vec<&RelationName> = sequences().map(|relation| &relation.name).collect();
        Ok(values.merged(&sequence::starts(&self.leader, &elsewhere).await?, &names))
    }

    /// The definitions a restore must bring back, read while nobody can alter a table. Call it after
    /// [`schema_archive`](Self::schema_archive): it also proves that the archive has the same tables.
    ///
    /// Errors: [`PostgresError::RewrittenDuringSnapshot`] when a table was altered or dropped since the snapshot, and
    /// [`PostgresError::LockTimeout`].
    pub async fn inventory(&self) -> Result<Inventory> {
        let undescribed: Vec<u32> = self.undescribed().map(|relation| relation.oid).collect();
        let read = async {
            self.expect_unchanged().await?;
            inventory::read(&self.leader, &undescribed).await
        };
        self.for_a_moment(read).await
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

    /// Locks the tables that are not copied, and fails if one differs from the snapshot.
    async fn expect_unchanged(&self) -> Result<()> {
        let described: Vec<&Relation> = self.relations.iter().filter(|relation| relation.is_only_described()).collect();
        hold_as_seen(&self.leader, &self.settings, &self.options, &described).await
    }

    /// Does this work with the leader's session and releases the locks that it took: rolling back to a savepoint does.
    async fn for_a_moment<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        const STEP: &str = "holding tables for a moment";
        self.leader.run(STEP, "SAVEPOINT lifeboat_moment").await?;
        let done = work.await;
        let release = "ROLLBACK TO SAVEPOINT lifeboat_moment; RELEASE SAVEPOINT lifeboat_moment";
        let released = self.leader.run(STEP, release).await;
        done.and_then(|done| released.map(|()| done))
    }
}

/// Whether `pg_dump` may have failed because another session held or dropped a table. A message in another language is withheld.
fn is_about_locks(failed: &PostgresError) -> bool {
    const WORDS: [&str; 3] = ["canceling statement", "does not exist", WITHHELD];
    matches!(failed, PostgresError::ToolFailed { stderr, .. } if WORDS.iter().any(|words| stderr.contains(words)))
}

/// Locks the tables that are copied, and takes the snapshot and its relations.
///
/// The locks come first: nobody can truncate or rewrite a table between the snapshot and its lock. A job that does so again and again
/// would otherwise keep every snapshot from being taken.
async fn lock_and_export(
    leader: &Session,
    settings: &ConnectionSettings,
    options: &SnapshotOptions,
) -> Result<(String, Vec<Relation>)> {
    const STEP: &str = "taking the snapshot";
    let now = catalog::list_relations(leader, settings.user(), &options.left_out).await?;
    // The transaction has no snapshot yet: LOCK and SAVEPOINT take none.
    leader.run(STEP, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let copied: Vec<&Relation> = now.iter().filter(|relation| relation.is_copied()).collect();
    // What is gone by now, the snapshot does not show either.
    table_locks::hold(leader, &copied, options.lock_attempts).await?;
    let id = leader.row(STEP, "SELECT pg_catalog.pg_export_snapshot()", &[]).await?.get(0);

    let mut relations = catalog::list_relations(leader, settings.user(), &options.left_out).await?;
    catalog::describe(leader, &mut relations).await?;
    // These are the same tables, but for those that were created or renamed since.
    let copied: Vec<&Relation> = relations.iter().filter(|relation| relation.is_copied()).collect();
    hold_as_seen(leader, settings, options, &copied).await?;
    Ok((id, relations))
}

/// Locks tables and fails if one of them differs from the snapshot.
async fn hold_as_seen(
    leader: &Session,
    settings: &ConnectionSettings,
    options: &SnapshotOptions,
    tables: &[&Relation],
) -> Result<()> {
    let mut changed = table_locks::hold(leader, tables, options.lock_attempts).await?;
    if changed.is_none() {
        changed = catalog::find_rewritten(leader, tables).await?;
    }
    if changed.is_none() {
        // The leader's transaction sees the catalog of the snapshot.
        let now = Session::connect(settings, &options.application_name).await?;
        let redefined = catalog::find_redefined(leader, &now, tables).await;
        now.close().await;
        changed = redefined?;
    }
    match changed {
        None => Ok(()),
        Some(relation) => Err(PostgresError::RewrittenDuringSnapshot { relation: relation.to_string() }),
    }
}
