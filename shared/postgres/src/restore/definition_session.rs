//! A session that restores definitions, each statement together with its mark if there are marks.

use std::sync::Arc;

use lifeboat_model::SetAside;
use serde::{Deserialize, Serialize};

use crate::error::{PostgresError, PostgresResult as Result};
use crate::restore::bare_table::BareTable;
use crate::restore::done_marks::DoneMarks;
use crate::restore::entry::{ArchiveFile, Entry};
use crate::restore::outstanding::{Outstanding, Refused};
use crate::restore::set_aside;
use crate::restore::unit::{Ran, Unit, read_note, write_note};
use crate::session::Session;
use crate::session::identifier::quote_literal;

const STEP: &str = "restoring definitions";

const STATEMENT: &str = "statement";

/// How a statement was restored, other than as it is written: the note of its mark.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum How {
    /// A table without the defaults and checks that may be why the server refused it.
    Bare,
    /// A constraint that is not checked against the rows that are there, and why.
    NotValid(Refused),
}

/// A session that restores definitions.
pub(super) struct DefinitionSession {
    pub(super) session: Session,
    /// The settings of the archive that it has made.
    settings: Arc<str>,
    marks: Option<Arc<DoneMarks>>,
    /// What an earlier attempt restored weaker than it was.
    pub(super) weaker: Vec<SetAside>,
}

impl DefinitionSession {
    pub(super) fn new(session: Session, marks: Option<Arc<DoneMarks>>) -> Self {
        Self { session, settings: "".into(), marks, weaker: Vec::new() }
    }

    pub(super) async fn restore(
        &mut self,
        file: &ArchiveFile<'_>,
        entry: &Arc<Entry>,
        refused: &mut Vec<Outstanding>,
    ) -> Result<()> {
        let Some(statements) = &entry.statements else {
            let whole = Outstanding { entry: Arc::clone(entry), statement: None, why: Refused::Tool(String::new()) };
            refused.extend(self.retry(file, whole).await?);
            return Ok(());
        };
        for (setting, why) in self.apply_settings(entry).await? {
            refused.push(Outstanding { entry: Arc::clone(entry), statement: Some(setting), why });
        }
        for statement in statements {
            match self.how(entry, statement)? {
                None => refused.extend(self.try_first(entry, statement).await?),
                Some(None) => {}
                Some(Some(How::Bare)) => {
                    for rest in BareTable::of(statement).map(|bare| bare.rest).unwrap_or_default() {
                        if self.how(entry, &rest)?.is_none() {
                            refused.extend(self.try_first(entry, &rest).await?);
                        }
                    }
                }
                Some(Some(How::NotValid(why))) => {
                    let statement = Some(statement.clone());
                    let weaker = Outstanding { entry: Arc::clone(entry), statement, why };
                    self.weaker.push(set_aside::describe_not_valid(&self.session, &weaker).await?);
                }
            }
        }
        Ok(())
    }

    /// Tries it, and returns it if it is refused.
    pub(super) async fn try_first(&mut self, entry: &Arc<Entry>, statement: &str) -> Result<Option<Outstanding>> {
        let why = self.attempt(entry, statement).await?;
        Ok(why.map(|why| Outstanding { entry: Arc::clone(entry), statement: Some(statement.to_owned()), why }))
    }

    /// How an earlier attempt restored a statement. The inner value is absent when it is restored as it is written.
    fn how(&self, entry: &Entry, statement: &str) -> Result<Option<Option<How>>> {
        let note = self.marks.as_ref().and_then(|marks| marks.note(&unit_of(entry, statement)));
        note.map(|note| note.map(read_note).transpose()).transpose()
    }

    /// Creates an extension in the version that the source has. A view may name a column that a newer version no longer has. Whether that
    /// worked; most servers have only the newest version.
    pub(super) async fn create_extension(&mut self, entry: &Entry, version: Option<&String>) -> Result<bool> {
        let (Some(version), Some([create])) = (version, entry.statements.as_deref()) else { return Ok(false) };
        if entry.kind != "EXTENSION" || self.how(entry, create)?.is_some() {
            return Ok(false);
        }
        let sql = format!("{create} VERSION {}", quote_literal(version));
        Ok(self.attempt_as(entry, create, &sql, None).await?.is_none())
    }

    /// Creates a table that was refused without what may be why. Whether that worked.
    pub(super) async fn create_bare(&mut self, refused: &Outstanding, bare: &BareTable) -> Result<bool> {
        let written = refused.statement.as_deref().unwrap_or_default();
        Ok(self.attempt_as(&refused.entry, written, &bare.create, Some(How::Bare)).await?.is_none())
    }

    /// Makes the archive's settings for what is stored in files. Returns those that the server refuses, such as an access method that it lacks:
    /// its own is used then.
    pub(super) async fn apply_settings(&mut self, entry: &Entry) -> Result<Vec<(String, Refused)>> {
        let mut refused = Vec::new();
        if entry.is_stored() && self.settings != entry.settings {
            for setting in entry.settings.split(";\n").filter(|setting| !setting.is_empty()) {
                let why = refusal(self.alone(entry, setting).await.map(|()| Ran::Now))?;
                refused.extend(why.map(|why| (setting.to_owned(), why)));
            }
            self.settings = Arc::clone(&entry.settings);
        }
        Ok(refused)
    }

    /// Tries it again, and returns it if it is still refused.
    pub(super) async fn retry(&mut self, file: &ArchiveFile<'_>, refused: Outstanding) -> Result<Option<Outstanding>> {
        let Outstanding { entry, statement, .. } = refused;
        // A refused setting is among what is outstanding already.
        self.apply_settings(&entry).await?;
        let why = match &statement {
            Some(statement) => self.attempt(&entry, statement).await?,
            None => self.restore_by_tool(file, &entry).await?,
        };
        Ok(why.map(|why| Outstanding { entry, statement, why }))
    }

    /// Restores a constraint that is not checked against the rows that are there. `None` if it is no such constraint or was refused again.
    pub(super) async fn restore_not_valid(&mut self, refused: &Outstanding) -> Result<Option<SetAside>> {
        let (Some(written), Some(statement)) = (&refused.statement, set_aside::not_valid(refused)) else {
            return Ok(None);
        };
        let how = How::NotValid(refused.why.clone());
        if self.attempt_as(&refused.entry, written, &statement, Some(how)).await?.is_some() {
            return Ok(None);
        }
        set_aside::describe_not_valid(&self.session, refused).await.map(Some)
    }

    /// Runs one statement, and returns why the server refused it.
    pub(super) async fn attempt(&mut self, entry: &Entry, statement: &str) -> Result<Option<Refused>> {
        self.attempt_as(entry, statement, statement, None).await
    }

    /// Runs `sql` in place of a statement of the archive.
    pub(super) async fn attempt_as(
        &mut self,
        entry: &Entry,
        written: &str,
        sql: &str,
        how: Option<How>,
    ) -> Result<Option<Refused>> {
        /// The server runs such a statement only outside of a transaction.
        const NOT_IN_A_TRANSACTION: &str = "25001";
        if self.marks.is_none() {
            return refusal(self.alone(entry, sql).await.map(|()| Ran::Now));
        }
        let (unit, step) = (unit_of(entry, written), step_of(entry));
        let note = how.as_ref().map(write_note).transpose()?;
        let done = match reads_rows(entry, sql) {
            true => unit.run(&self.session, &step, note.as_deref(), sql).await,
            false => unit.run_definition(&self.session, &step, note.as_deref(), sql).await,
        };
        match done {
            Err(error) if error.sqlstate() == Some(NOT_IN_A_TRANSACTION) => {
                let why = refusal(self.alone(entry, sql).await.map(|()| Ran::Now))?;
                if why.is_none() {
                    self.run(&unit.mark(note.as_deref())).await?;
                }
                Ok(why)
            }
            // It is weaker than written, or its rest is missing: the next attempt reads the mark as it begins.
            Ok(Ran::Before(Some(_))) => Err(PostgresError::DoneBefore { step }),
            done => refusal(done),
        }
    }

    /// Runs a statement that has no mark.
    async fn alone(&self, entry: &Entry, sql: &str) -> Result<()> {
        let step = step_of(entry);
        match reads_rows(entry, sql) {
            true => self.session.run(&step, sql).await,
            false => self.session.run_definition(&step, sql).await,
        }
    }

    /// Restores an entry that only `pg_restore` can send. It has no transaction of ours, so that a mark before it says that it may be there.
    async fn restore_by_tool(&self, file: &ArchiveFile<'_>, entry: &Entry) -> Result<Option<Refused>> {
        const BEGUN: &str = "begun by pg_restore";
        let (begun, done) = (Unit::named(BEGUN, &entry.key), unit_of(entry, ""));
        let has = |unit: &Unit| self.marks.as_ref().is_some_and(|marks| marks.has(unit));
        if has(&done) {
            return Ok(None);
        }
        let may_be_there = has(&begun);
        if self.marks.is_some() && !may_be_there {
            match self.run(&begun.mark(None)).await {
                // It is tried again.
                Err(PostgresError::DoneBefore { .. }) => {}
                other => other?,
            }
        }
        let why = match file.restore_entry(entry).await {
            Ok(()) => None,
            Err(PostgresError::ToolFailed { stderr, .. }) if may_be_there && stderr.contains("already exists") => None,
            Err(PostgresError::ToolFailed { stderr, .. }) => Some(Refused::Tool(stderr)),
            Err(error) => return Err(error),
        };
        if self.marks.is_some() && why.is_none() {
            self.run(&done.mark(None)).await?;
        }
        Ok(why)
    }

    pub(super) async fn run(&self, sql: &str) -> Result<()> {
        self.session.run(STEP, sql).await
    }

    /// Ends the session. Returns what an earlier attempt restored weaker than it was.
    pub(super) async fn close(self) -> Vec<SetAside> {
        self.session.close().await;
        self.weaker
    }
}

/// The unit of a statement of the archive. Its text can hold a password, so that the mark has only a hash.
fn unit_of(entry: &Entry, statement: &str) -> Unit {
    Unit::named(STATEMENT, &format!("{}\n{statement}", entry.key))
}

fn step_of(entry: &Entry) -> String {
    format!("restoring {} `{}`", entry.kind, entry.object())
}

fn reads_rows(entry: &Entry, sql: &str) -> bool {
    entry.reads_rows(sql) || !entry.may_be_shown()
}

fn refusal(done: Result<Ran>) -> Result<Option<Refused>> {
    match done {
        Ok(_) => Ok(None),
        Err(PostgresError::Query { source, .. }) if !source.ends_a_restore() => Ok(Some(Refused::Server(source))),
        Err(error) => Err(error),
    }
}
