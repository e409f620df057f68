//! The marks of what a restore has done, on its target: a restore that is killed anywhere continues, and does nothing twice.

use std::collections::HashMap;

use lifeboat_model::BackupId;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{PostgresError, PostgresResult as Result};
use crate::restore::unit::{PART, Unit, read_note, write_note};
use crate::session::Session;
use crate::session::identifier::MARKS_SCHEMA;

const STEP: &str = "keeping the marks of the restore";

/// The step whose items are the results of whole steps.
const RESULT: &str = "result";

/// The unfinished restore that a database holds.
#[derive(Debug)]
pub(super) struct Unfinished {
    pub(super) run_id: String,
    pub(super) backup_id: String,
    /// The form of the marks, and what reads the archive.
    pub(super) form: String,
}

/// What is done of a restore into a database that is kept. The process that has it is the only one that restores into the database: it holds a lock
/// there, in a session of its own, until it is dropped.
///
/// The marks of earlier attempts are in memory, without those of parts of chunks: about 40 bytes for each chunk of rows. A database of 1 TB has
/// 130,000 of them.
#[derive(Debug)]
pub struct DoneMarks {
    session: Session,
    run_id: String,
    /// By step and item, as earlier attempts left them.
    known: HashMap<String, HashMap<i64, Option<Box<str>>>>,
}

impl DoneMarks {
    /// The run that began the restore.
    pub fn run_id(&self) -> &str {
        &self.run_id
    }

    /// Whether an earlier attempt has loaded the chunk of rows or large objects at this place of the chunk list.
    pub fn has_chunk(&self, place: u64) -> bool {
        self.has(&Unit::chunk(place))
    }

    /// Drops the marks, when the restored database is proved. Event triggers of the database do not fire for it.
    ///
    /// # Errors
    /// [`PostgresError::Query`] when something of the database forbids it, such as an event trigger of another owner.
    pub async fn finish(&self) -> Result<()> {
        const EVENT_TRIGGERS: &str = "
            SELECT pg_catalog.format('ALTER EVENT TRIGGER %I DISABLE', t.evtname),
                   pg_catalog.format('ALTER EVENT TRIGGER %I ENABLE %s', t.evtname,
                                     CASE t.evtenabled WHEN 'R' THEN 'REPLICA' WHEN 'A' THEN 'ALWAYS' ELSE '' END)
            FROM pg_catalog.pg_event_trigger t WHERE t.evtenabled <> 'D'";
        let drop = format!("DROP TABLE {MARKS_SCHEMA}.done, {MARKS_SCHEMA}.restore; DROP SCHEMA {MARKS_SCHEMA};");
        let (mut off, mut on) = (String::new(), String::new());
        for row in self.session.rows(STEP, EVENT_TRIGGERS, &[]).await? {
            off.push_str(&format!("{}; ", row.get::<_, String>(0)));
            on.push_str(&format!("{}; ", row.get::<_, String>(1)));
        }
        let silent = format!("BEGIN; SET LOCAL lock_timeout = 0; {off}{drop} {on}COMMIT");
        let refused = match self.session.run(STEP, &silent).await {
            Err(error) if error.is_a_refusal() => error,
            done => return done,
        };
        self.session.run(STEP, "ROLLBACK").await?;
        if off.is_empty() {
            return Err(refused);
        }
        // A role that owns none of the event triggers lets them fire.
        self.session.run(STEP, &format!("BEGIN; {drop} COMMIT")).await
    }

    /// Creates the marks of a restore that begins, in one transaction. The database must be empty.
    pub(super) async fn create(session: Session, run_id: &str, backup_id: &BackupId, form: &str) -> Result<Self> {
        let sql = format!(
            "BEGIN; CREATE SCHEMA {MARKS_SCHEMA};
             CREATE TABLE {MARKS_SCHEMA}.restore (run_id text NOT NULL, backup_id text NOT NULL, form text NOT NULL,
                 begun timestamptz NOT NULL DEFAULT pg_catalog.now());
             CREATE TABLE {MARKS_SCHEMA}.done (step text NOT NULL, item int8 NOT NULL, note text, PRIMARY KEY (step, item))"
        );
        let named = format!("INSERT INTO {MARKS_SCHEMA}.restore (run_id, backup_id, form) VALUES ($1, $2, $3)");
        session.run(STEP, &sql).await?;
        session.rows(STEP, &named, &[&run_id, &backup_id.to_string(), &form]).await?;
        session.run(STEP, "COMMIT").await?;
        Ok(Self { session, run_id: run_id.to_owned(), known: HashMap::new() })
    }

    /// Reads the marks that earlier attempts left.
    pub(super) async fn read(session: Session, unfinished: Unfinished) -> Result<Self> {
        // There can be many parts of chunks. Whoever needs them reads those of one chunk; here, only the tables count that they were routed to.
        let sql = format!(
            "SELECT step, item, note FROM {MARKS_SCHEMA}.done WHERE NOT pg_catalog.starts_with(step, $1)
             UNION ALL
             SELECT $1::text, pg_catalog.row_number() OVER (), note FROM (
                 SELECT DISTINCT '{{\"routed\":' || (note::json -> 'routed')::text || '}}' AS note FROM {MARKS_SCHEMA}.done
                 WHERE pg_catalog.starts_with(step, $1) AND note::json -> 'routed' IS NOT NULL) AS parts"
        );
        let mut known: HashMap<String, HashMap<i64, Option<Box<str>>>> = HashMap::new();
        for row in session.rows(STEP, &sql, &[&PART]).await? {
            let note = row.get::<_, Option<&str>>(2).map(Into::into);
            match known.get_mut(row.get::<_, &str>(0)) {
                Some(items) => {
                    items.insert(row.get(1), note);
                }
                None => {
                    known.insert(row.get(0), HashMap::from([(row.get(1), note)]));
                }
            }
        }
        Ok(Self { session, run_id: unfinished.run_id, known })
    }

    pub(super) fn has(&self, unit: &Unit) -> bool {
        self.note(unit).is_some()
    }

    /// The note of a unit that earlier attempts have done. `None` if they have not.
    pub(super) fn note(&self, unit: &Unit) -> Option<Option<&str>> {
        self.known.get(&unit.step)?.get(&unit.item).map(Option::as_deref)
    }

    /// The notes of all units of a step.
    pub(super) fn notes(&self, step: &str) -> impl Iterator<Item = &str> {
        self.known.get(step).into_iter().flatten().filter_map(|(_, note)| note.as_deref())
    }

    /// All steps of which a unit is done.
    pub(super) fn steps(&self) -> impl Iterator<Item = &str> {
        self.known.keys().map(String::as_str)
    }

    /// What a whole step gave that an earlier attempt ended.
    pub(super) fn result<T: DeserializeOwned>(&self, step: &str) -> Result<Option<T>> {
        self.note(&Unit::named(RESULT, step)).flatten().map(read_note).transpose()
    }

    /// Keeps what a whole step gave, which is not run again.
    pub(super) async fn keep<T: Serialize>(&self, step: &str, result: &T) -> Result<()> {
        let note = write_note(result)?;
        match self.session.run(STEP, &Unit::named(RESULT, step).mark(Some(&note))).await {
            // The last message of an attempt that was killed.
            Err(PostgresError::DoneBefore { .. }) => Ok(()),
            kept => kept,
        }
    }
}
