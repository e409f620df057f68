//! One consistent view of a database, held by a leader session and shared with others.

use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use lifeboat_model::{Globals, Inventory, LeftOut, RelationKind, Source};
use serde::Deserialize;

use crate::archive;
use crate::catalog;
use crate::error::{PostgresError, Result};
use crate::globals;
use crate::identifier::RelationName;
use crate::inventory;
use crate::large_object::{self, LargeObjectCount};
use crate::reader::SliceReader;
use crate::relation::{Disposition, Relation};
use crate::sequence::{self, SequenceValues};
use crate::session::Session;
use crate::settings::ConnectionSettings;
use crate::tools::ClientTools;
use crate::watch::{Backend, Backends, LOCK_WAIT_LIMIT, SNAPSHOT_AGE_LIMIT, Watch};

/// Tables named in one LOCK: a statement of some kilobytes, and one that can be taken apart to name the table that is held.
const LOCK_BATCH: usize = 100;

/// How often one table's lock is waited for. With the session's lock timeout of 5 s: half a minute, enough for a migration's
/// statement, short enough that nobody queues behind us for long.
const LOCK_ATTEMPTS: u32 = 6;

/// Between two attempts, others in the queue get their turn.
const LOCK_PAUSE: Duration = Duration::from_millis(500);

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
            lock_attempts: LOCK_ATTEMPTS,
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
    /// [`PostgresError::RewrittenDuringSnapshot`], and [`PostgresError::GaveWay`] when somebody waits for a table already locked while another one is waited for.
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
                held = hold_tables(&leader, &relations, options) => held?,
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
                    let source = read_source(&leader).await?;
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

    /// A session of its own that sees the same rows. It can move to another task and outlives the snapshot's leader.
    pub async fn reader(&self) -> Result<SliceReader> {
        SliceReader::join(&self.settings, &self.options.application_name, &self.id, &self.watch.backends).await
    }

    /// Resolves when the snapshot has to end, and never while all is well: race it against the work, and close the snapshot
    /// when it wins.
    ///
    /// It asks the server on a connection of its own, `lifeboat watcher`. Ends with [`PostgresError::GaveWay`] when another
    /// session has been waiting longer than [`lock_wait_limit`](SnapshotOptions::lock_wait_limit) for a table that the snapshot
    /// or one of its readers holds, with [`PostgresError::SnapshotTooOld`] after [`age_limit`](SnapshotOptions::age_limit), or
    /// with the error that keeps it from asking.
    pub fn guard(&self) -> impl Future<Output = PostgresError> + Send + use<> {
        self.watch.clone().until_it_must_end()
    }

    /// Writes `pg_dump`'s custom-format archive of the definitions to `into`. An unchanged schema gives the same bytes.
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

    /// Where the sequences stand. PostgreSQL keeps no versions of them: they stand at now, never before the snapshot.
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

    /// Ends the snapshot and its locks; an error tells that it had ended before.
    pub async fn close(self) -> Result<()> {
        let ended = self.leader.run("ending the snapshot", "COMMIT").await;
        self.leader.close().await;
        ended
    }

    fn undescribed(&self) -> impl Iterator<Item = &Relation> {
        self.relations.iter().filter(|relation| relation.definition_is_unreadable)
    }
}

async fn begin_and_export(leader: &Session) -> Result<String> {
    const STEP: &str = "taking the snapshot";
    leader.run(STEP, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    Ok(leader.row(STEP, "SELECT pg_catalog.pg_export_snapshot()", &[]).await?.get(0))
}

/// Locks what can be locked; gives the name of a table that is not what the snapshot shows.
async fn hold_tables(
    leader: &Session,
    relations: &[Relation],
    options: &SnapshotOptions,
) -> Result<Option<RelationName>> {
    let tables: Vec<&Relation> = relations
        .iter()
        .filter(|r| matches!(r.kind, RelationKind::Table | RelationKind::PartitionedTable))
        .filter(|r| !r.definition_is_unreadable && !matches!(r.disposition, Disposition::LeftOut { .. }))
        .collect();
    for batch in tables.chunks(LOCK_BATCH) {
        if try_lock(leader, batch).await?.is_held() {
            continue;
        }
        for table in batch {
            match lock_one(leader, table, options).await? {
                Lock::Held => {}
                Lock::Gone => return Ok(Some(table.name.clone())),
                Lock::Busy => return Err(PostgresError::LockTimeout { relation: table.name.to_string() }),
            }
        }
    }
    catalog::find_rewritten(leader, &tables).await
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Lock {
    Held,
    Busy,
    Gone,
}

impl Lock {
    fn is_held(self) -> bool {
        self == Self::Held
    }
}

async fn lock_one(leader: &Session, table: &Relation, options: &SnapshotOptions) -> Result<Lock> {
    for attempt in 0..options.lock_attempts.max(1) {
        if attempt > 0 {
            tokio::time::sleep(LOCK_PAUSE).await;
        }
        match try_lock(leader, std::slice::from_ref(&table)).await? {
            Lock::Busy => {}
            done => return Ok(done),
        }
    }
    Ok(Lock::Busy)
}

/// A failed statement would end the transaction and with it the snapshot: a savepoint contains it.
async fn try_lock(leader: &Session, tables: &[&Relation]) -> Result<Lock> {
    const STEP: &str = "locking the tables";
    let names: Vec<String> = tables.iter().map(|table| format!("ONLY {}", table.name.sql())).collect();
    let lock = format!("LOCK TABLE {} IN ACCESS SHARE MODE", names.join(", "));
    leader.run(STEP, "SAVEPOINT lifeboat_lock").await?;
    let outcome = match leader.run(STEP, &lock).await {
        Ok(()) => Lock::Held,
        Err(error) => match error.sqlstate() {
            Some("55P03") => Lock::Busy,
            // Undefined table or schema, or no longer a table: it was there in the snapshot.
            Some("42P01" | "3F000" | "42809") => Lock::Gone,
            _ => return Err(error),
        },
    };
    let end = if outcome.is_held() { "" } else { "ROLLBACK TO SAVEPOINT lifeboat_lock;" };
    leader.run(STEP, &format!("{end} RELEASE SAVEPOINT lifeboat_lock")).await?;
    Ok(outcome)
}

/// The columns of `pg_database` that not every version has, or has under this name.
#[derive(Deserialize)]
struct Locale {
    /// From 15 on.
    datlocprovider: Option<String>,
    /// From 17 on, of ICU and of the builtin provider.
    datlocale: Option<String>,
    /// 15 and 16.
    daticulocale: Option<String>,
    /// From 16 on.
    daticurules: Option<String>,
    /// From 15 on.
    datcollversion: Option<String>,
}

fn provider_in_words(datlocprovider: String) -> String {
    match datlocprovider.as_str() {
        "c" => "libc".to_owned(),
        "i" => "icu".to_owned(),
        "b" => "builtin".to_owned(),
        _ => datlocprovider,
    }
}

async fn read_source(leader: &Session) -> Result<Source> {
    const STEP: &str = "describing the server";
    const SQL: &str = "
        SELECT d.datname::text, pg_catalog.current_setting('server_version_num'), pg_catalog.pg_encoding_to_char(d.encoding)::text,
               d.datcollate::text, d.datctype::text, pg_catalog.pg_current_snapshot()::text,
               (EXTRACT(epoch FROM pg_catalog.now()) * 1000000)::int8, pg_catalog.to_jsonb(d)::text
        FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()";
    let row = leader.row(STEP, SQL, &[]).await?;
    let unexpected = |fact: &str| PostgresError::UnexpectedAnswer { step: STEP.to_owned(), fact: fact.to_owned() };
    let version: String = row.get(1);
    let Locale { datlocprovider, datlocale, daticulocale, daticurules, datcollversion } =
        serde_json::from_str(row.get(7)).map_err(|_| unexpected("the database's locale"))?;
    Ok(Source {
        datname: row.get(0),
        server_version_num: version.parse().map_err(|_| unexpected("`server_version_num` is not a number"))?,
        system_identifier: optional(leader, "SELECT system_identifier::text FROM pg_catalog.pg_control_system()")
            .await?,
        timeline: optional(leader, "SELECT timeline_id::text FROM pg_catalog.pg_control_checkpoint()")
            .await?
            .and_then(|timeline| timeline.parse().ok()),
        lsn: optional(
            leader,
            "SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()
                         ELSE pg_catalog.pg_current_wal_lsn() END::text",
        )
        .await?,
        encoding: row.get(2),
        collate: row.get(3),
        ctype: row.get(4),
        locale_provider: datlocprovider.map(provider_in_words),
        provider_locale: datlocale.or(daticulocale),
        icu_rules: daticurules,
        collation_version: datcollversion,
        snapshot: row.get(5),
        snapshot_at: Timestamp::from_microsecond(row.get(6)).map_err(|_| unexpected("the server's clock"))?,
    })
}

/// One text that a plain role or a managed server may refuse to give.
async fn optional(leader: &Session, sql: &str) -> Result<Option<String>> {
    const STEP: &str = "describing the server";
    leader.run(STEP, "SAVEPOINT lifeboat_optional").await?;
    match leader.row(STEP, sql, &[]).await {
        Ok(row) => {
            leader.run(STEP, "RELEASE SAVEPOINT lifeboat_optional").await?;
            Ok(row.get(0))
        }
        Err(PostgresError::Query { .. }) => {
            leader.run(STEP, "ROLLBACK TO SAVEPOINT lifeboat_optional; RELEASE SAVEPOINT lifeboat_optional").await?;
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
