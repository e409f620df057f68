//! Beginning a restore into a database that is kept, or continuing it where it was killed.

use std::sync::Arc;
use std::time::Duration;

use lifeboat_model::BackupId;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep};

use crate::error::{PostgresError, PostgresResult as Result};
use crate::restore::done_marks::{DoneMarks, Unfinished};
use crate::restore::obstacles::Obstacles;
use crate::restore::target::RestoreTarget;
use crate::schema::tools::ClientTools;
use crate::session::Session;
use crate::session::identifier::MARKS_SCHEMA;

const STEP: &str = "looking for an unfinished restore";

/// The form of the marks. Another one is needed when units or notes change.
const FORM: &str = "marks 1";

/// The pause between two looks at the lock of another restore.
const PAUSE: Duration = Duration::from_millis(500);

impl DoneMarks {
    /// How long a restore waits for another one. The server learns within a minute that a client's machine is gone, and ends its sessions then.
    pub const PATIENCE: Duration = Duration::from_secs(90);
}

impl RestoreTarget {
    /// Begins the restore of a backup into an empty database, or continues the one that is unfinished there. The marks have the id of the run that
    /// began. `tools` are the client programs that read the archive: programs of another version may cut it into other statements.
    ///
    /// # Errors
    /// [`PostgresError::NotEmpty`]; [`PostgresError::UnfinishedRestore`] when it is one of another backup;
    /// [`PostgresError::UnfinishedByAnotherVersion`]; [`PostgresError::RestoreUnderWay`]
    /// when another process is at it after `patience`.
    pub async fn begin_marks(
        &self,
        run_id: &str,
        backup_id: &BackupId,
        tools: &ClientTools,
        patience: Duration,
    ) -> Result<DoneMarks> {
        let form = format!("{FORM}, pg_restore {}", tools.major());
        let session = self.connect().await?;
        self.lock_out_others(&session, patience).await?;
        match self.unfinished(&session).await? {
            None => {
                self.require_empty().await?;
                DoneMarks::create(session, run_id, backup_id, &form).await
            }
            Some(unfinished) if unfinished.backup_id != backup_id.to_string() => {
                Err(PostgresError::UnfinishedRestore {
                    database: self.settings().database().to_owned(),
                    backup_id: unfinished.backup_id,
                })
            }
            Some(unfinished) if unfinished.form == form => DoneMarks::read(session, unfinished).await,
            Some(Unfinished { form, .. }) => {
                Err(PostgresError::UnfinishedByAnotherVersion { database: self.settings().database().to_owned(), form })
            }
        }
    }

    /// The backup whose restore is unfinished in the database.
    ///
    /// # Errors
    /// [`PostgresError::NotEmpty`] when somebody else has a schema of the marks' name.
    pub async fn unfinished_backup(&self) -> Result<Option<String>> {
        let session = self.connect().await?;
        let unfinished = self.unfinished(&session).await;
        session.close().await;
        Ok(unfinished?.map(|unfinished| unfinished.backup_id))
    }

    /// The obstacles that this restore has met so far. `search_paths` are those that the source knows, as SQL.
    pub fn obstacles(&self, search_paths: Vec<String>) -> Result<Obstacles> {
        let obstacles = Obstacles::new(search_paths);
        match self.marks() {
            Some(marks) => obstacles.continued(Arc::clone(marks)),
            None => Ok(obstacles),
        }
    }

    /// Runs a step, unless an earlier attempt has ended it: then this is what it gave. The step must be idempotent, because an attempt can be
    /// killed before it is known to have ended. Without marks, it simply runs.
    pub async fn once<T, E>(&self, step: &str, work: impl Future<Output = Result<T, E>>) -> Result<T, E>
    where
        T: Serialize + DeserializeOwned,
        E: From<PostgresError>,
    {
        if let Some(result) = self.result_of(step)? {
            return Ok(result);
        }
        let result = work.await?;
        self.keep_result(step, &result).await?;
        Ok(result)
    }

    /// What a step gave that an earlier attempt ended.
    pub fn result_of<T: DeserializeOwned>(&self, step: &str) -> Result<Option<T>> {
        self.marks().map_or(Ok(None), |marks| marks.result(step))
    }

    /// Keeps what a step gave, for a later attempt.
    pub async fn keep_result<T: Serialize>(&self, step: &str, result: &T) -> Result<()> {
        match self.marks() {
            Some(marks) => marks.keep(step, result).await,
            None => Ok(()),
        }
    }

    /// The lock belongs to the session, and to the database.
    async fn lock_out_others(&self, session: &Session, patience: Duration) -> Result<()> {
        const LOCK: &str = "SELECT pg_catalog.pg_try_advisory_lock(pg_catalog.hashtextextended('lifeboat restore', 0))";
        let begun = Instant::now();
        while !session.row(STEP, LOCK, &[]).await?.get::<_, bool>(0) {
            if begun.elapsed() >= patience {
                return Err(PostgresError::RestoreUnderWay { database: self.settings().database().to_owned() });
            }
            sleep(PAUSE).await;
        }
        Ok(())
    }

    /// The unfinished restore of the database. A schema of that name that this role did not make is somebody's.
    async fn unfinished(&self, session: &Session) -> Result<Option<Unfinished>> {
        const SQL: &str = "
            SELECT r.rolname = CURRENT_USER AND pg_catalog.to_regclass('lifeboat_restore.done') IS NOT NULL
                   AND pg_catalog.to_regclass('lifeboat_restore.restore') IS NOT NULL
            FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_roles r ON r.oid = n.nspowner WHERE n.nspname = $1";
        let found = session.rows(STEP, SQL, &[&MARKS_SCHEMA]).await?;
        let Some(row) = found.first() else { return Ok(None) };
        let names = match row.get(0) {
            true => session.rows(STEP, "SELECT run_id, backup_id, form FROM lifeboat_restore.restore", &[]).await?,
            false => Vec::new(),
        };
        match names.first() {
            Some(row) => Ok(Some(Unfinished { run_id: row.get(0), backup_id: row.get(1), form: row.get(2) })),
            None => Err(PostgresError::NotEmpty {
                database: self.settings().database().to_owned(),
                example: format!("schema {MARKS_SCHEMA}"),
            }),
        }
    }
}
