//! Restores the definitions of an archive, statement by statement. What the server refuses is set aside, and everything else goes on.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use lifeboat_model::SetAside;
use tokio::sync::{Mutex, Notify};
use tokio::task::JoinSet;

use crate::error::{PostgresError, PostgresResult as Result};
use crate::restore::bare_table::BareTable;
use crate::restore::definition_session::DefinitionSession;
use crate::restore::entry::{ArchiveFile, Entry, Section};
use crate::restore::outstanding::Outstanding;
use crate::restore::schedule::Schedule;
use crate::restore::set_aside;
use crate::restore::target::RestoreTarget;
use crate::schema::tools::ClientTools;
use crate::session::identifier::RelationName;
use crate::session::settings::ConnectionSettings;

/// Indexes and constraints are built in this many sessions: the server does the work, and a drill's server is a small one.
const JOBS: usize = 2;

/// Rounds in which refused statements are tried again. Each but the last brought at least one back; chains of objects in the wrong order are
/// shorter.
const MOST_ROUNDS: usize = 8;

const STEP: &str = "restoring definitions";

/// The definitions of a backup on their way into a database.
///
/// A refused statement is tried again after all others of its section, then with each of the search paths that the source knows: a definition
/// may lean on one, although `pg_dump` writes all names in full.
pub struct ArchiveRestore<'a> {
    pub(super) target: &'a RestoreTarget,
    file: ArchiveFile<'a>,
    /// All entries, by their number.
    pub(super) entries: HashMap<u32, Arc<Entry>>,
    pre_data: Vec<Arc<Entry>>,
    /// Those that wait for rows.
    pub(super) post_data: Vec<Arc<Entry>>,
    preamble: Arc<[String]>,
    search_paths: Vec<String>,
    versions: BTreeMap<String, String>,
    /// How often what comes after the rows was begun.
    post_rounds: u32,
    pub(super) outstanding: Vec<Outstanding>,
    pub(super) weaker: Vec<SetAside>,
}

impl RestoreTarget {
    /// Reads an archive. `search_paths` are those that the source's database and roles have, the database's own first. Tables and indexes come
    /// into the tablespaces that the archive names only with `tablespaces`, else into the database's own.
    pub async fn archive_restore<'a>(
        &'a self,
        tools: &'a ClientTools,
        archive: &'a Path,
        tablespaces: bool,
        search_paths: Vec<String>,
    ) -> Result<ArchiveRestore<'a>> {
        let file = ArchiveFile { tools, settings: self.settings(), path: archive, tablespaces };
        let (pre, post) = (file.entries(Section::PreData).await?, file.entries(Section::PostData).await?);
        let entries = pre.entries.iter().chain(&post.entries).map(|entry| (entry.id, Arc::clone(entry))).collect();
        Ok(ArchiveRestore {
            target: self,
            file,
            entries,
            post_rounds: 0,
            pre_data: pre.entries,
            post_data: post.entries,
            preamble: pre.preamble.into(),
            search_paths,
            versions: BTreeMap::new(),
            outstanding: Vec::new(),
            weaker: Vec::new(),
        })
    }
}

impl ArchiveRestore<'_> {
    /// The versions of extensions to create first, by name, where the server has them.
    #[must_use]
    pub fn with_versions(mut self, versions: BTreeMap<String, String>) -> Self {
        self.versions = versions;
        self
    }

    /// Restores what the rows need: schemas, types, functions, bare tables.
    pub async fn restore_pre_data(&mut self) -> Result<()> {
        const PHASE: &str = "pre-data";
        if self.has_ended(PHASE)? {
            return Ok(());
        }
        let mut session = self.session().await?;
        for entry in self.pre_data.iter().filter(|entry| !entry.is_last() && !entry.is_grant()) {
            if !session.create_extension(entry, self.versions.get(&entry.name)).await? {
                session.restore(&self.file, entry, &mut self.outstanding).await?;
            }
        }
        self.weaker.extend(session.close().await);
        self.retry().await?;
        self.restore_bare_tables().await?;
        self.end(PHASE).await
    }

    /// Creates tables without the defaults and checks that may be why the server refused them: their rows come first.
    async fn restore_bare_tables(&mut self) -> Result<()> {
        if !self.outstanding.iter().any(|refused| refused.entry.kind == "TABLE") {
            return Ok(());
        }
        let mut session = self.session().await?;
        let mut still = Vec::new();
        for refused in std::mem::take(&mut self.outstanding) {
            session.apply_settings(&refused.entry).await?;
            let bare = refused.statement.as_deref().filter(|_| refused.entry.kind == "TABLE").and_then(BareTable::of);
            match bare {
                Some(bare) if session.create_bare(&refused, &bare).await? => {
                    for statement in &bare.rest {
                        still.extend(session.try_first(&refused.entry, statement).await?);
                    }
                }
                _ => still.push(refused),
            }
        }
        self.outstanding = still;
        self.weaker.extend(session.close().await);
        self.retry().await
    }

    /// Restores what proves the rows or is built from them, except for what depends on these tables. `sizes` are the bytes of the tables: the
    /// largest indexes begin first.
    pub async fn restore_post_data(
        &mut self,
        except: &HashSet<RelationName>,
        sizes: &HashMap<RelationName, u64>,
    ) -> Result<()> {
        self.post_rounds += 1;
        let phase = format!("post-data {}", self.post_rounds);
        if self.has_ended(&phase)? {
            return Ok(());
        }
        self.restore_those_after_rows(except, sizes).await?;
        self.end(&phase).await
    }

    async fn restore_those_after_rows(
        &mut self,
        except: &HashSet<RelationName>,
        sizes: &HashMap<RelationName, u64>,
    ) -> Result<()> {
        let except = &self.with_ancestors(except).await?;
        let named = |entry: &Entry| RelationName::new(&entry.schema, &entry.name);
        let tables: HashMap<u32, RelationName> = self
            .pre_data
            .iter()
            .filter(|entry| matches!(entry.kind.as_str(), "TABLE" | "MATERIALIZED VIEW"))
            .map(|entry| (entry.id, named(entry)))
            .collect();
        let of = |entry: &Entry| entry.dependencies.iter().filter_map(|id| tables.get(id)).cloned().collect::<Vec<_>>();
        let is_wanted = |entry: &Arc<Entry>| {
            !entry.is_last() && !entry.is_grant() && !of(entry).iter().any(|table| except.contains(table))
        };
        let (wanted, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.post_data).into_iter().partition(is_wanted);
        self.post_data = later;
        if wanted.is_empty() {
            return self.retry().await;
        }
        let size = |entry: &Entry| of(entry).iter().filter_map(|table| sizes.get(table)).max().copied().unwrap_or(0);
        let schedule = Schedule::new(wanted, tables.keys().copied().collect(), size);
        let shared = Arc::new((Mutex::new(schedule), Notify::new()));
        let mut workers = JoinSet::new();
        for _ in 0..JOBS {
            let (file, session) = (OwnedFile::of(&self.file), self.session().await?);
            workers.spawn(work(file, session, Arc::clone(&shared)));
        }
        while let Some(ended) = workers.join_next().await {
            let (refused, weaker) = ended.map_err(|error| PostgresError::UnexpectedAnswer {
                step: STEP.to_owned(),
                fact: format!("a session ended: {error}"),
            })??;
            self.outstanding.extend(refused);
            self.weaker.extend(weaker);
        }
        self.retry().await
    }

    /// These tables and all that they inherit from: a trigger or a key of a partitioned table is one of its partitions, too.
    async fn with_ancestors(&self, tables: &HashSet<RelationName>) -> Result<HashSet<RelationName>> {
        const SQL: &str = "
            WITH RECURSIVE above (rel) AS (
                SELECT pg_catalog.to_regclass(name)::oid FROM pg_catalog.unnest($1::text[]) AS one (name)
                UNION SELECT i.inhparent FROM pg_catalog.pg_inherits i JOIN above ON i.inhrelid = above.rel
            )
            SELECT n.nspname::text, c.relname::text FROM above JOIN pg_catalog.pg_class c ON c.oid = above.rel
            JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace";
        let mut all = tables.clone();
        if !tables.is_empty() {
            let names: Vec<String> = tables.iter().map(RelationName::sql).collect();
            let session = self.target.connect().await?;
            let rows = session.rows(STEP, SQL, &[&names]).await?;
            session.close().await;
            all.extend(rows.iter().map(|row| RelationName::new(row.get::<_, String>(0), row.get::<_, String>(1))));
        }
        Ok(all)
    }

    /// Tries again what was refused, then with the search paths of the source. Constraints that the rows break come back NOT VALID.
    pub async fn retry(&mut self) -> Result<()> {
        self.retry_where(Outstanding::may_pass_later).await
    }

    async fn retry_where(&mut self, is_worth_it: impl Fn(&Outstanding) -> bool) -> Result<()> {
        if self.outstanding.is_empty() {
            return Ok(());
        }
        let mut session = self.session().await?;
        let search_paths: Vec<String> = std::iter::once("''".to_owned()).chain(self.search_paths.clone()).collect();
        for _ in 0..MOST_ROUNDS {
            let before = self.outstanding.len();
            for search_path in &search_paths {
                session.run(&format!("SET search_path = {search_path}")).await?;
                let mut still = Vec::new();
                for refused in std::mem::take(&mut self.outstanding) {
                    if is_worth_it(&refused) {
                        still.extend(session.retry(&self.file, refused).await?);
                    } else {
                        still.push(refused);
                    }
                }
                self.outstanding = still;
            }
            session.run("SET search_path = ''").await?;
            if self.outstanding.is_empty() || self.outstanding.len() == before {
                break;
            }
        }
        let mut still = Vec::new();
        for refused in std::mem::take(&mut self.outstanding) {
            match session.restore_not_valid(&refused).await? {
                Some(weaker) => self.weaker.push(weaker),
                None => still.push(refused),
            }
        }
        self.outstanding = still;
        self.weaker.extend(session.close().await);
        Ok(())
    }

    /// Restores the grants. Natively, too, they come after the indexes: one is built although its owner may not execute the function that it
    /// calls.
    pub async fn restore_grants(&mut self) -> Result<()> {
        const PHASE: &str = "grants";
        if self.has_ended(PHASE)? {
            return Ok(());
        }
        let mut session = self.session().await?;
        for entry in self.pre_data.iter().chain(&self.post_data).filter(|entry| entry.is_grant()) {
            session.restore(&self.file, entry, &mut self.outstanding).await?;
        }
        self.weaker.extend(session.close().await);
        // What lacked a right may have it now.
        self.retry_where(|refused| refused.may_pass_later() || refused.lacked_a_right()).await?;
        self.end(PHASE).await
    }

    /// Restores event triggers, publications and security labels, and subscriptions if `subscriptions`. Subscriptions stay disabled, and a
    /// database that has one cannot be dropped.
    pub async fn restore_last(&mut self, subscriptions: bool) -> Result<()> {
        const PHASE: &str = "last";
        if self.has_ended(PHASE)? {
            return Ok(());
        }
        let mut session = self.session().await?;
        let is_wanted = |entry: &&Arc<Entry>| entry.is_last() && (subscriptions || !entry.is_about_a_subscription());
        for entry in self.pre_data.iter().chain(&self.post_data).filter(is_wanted) {
            session.restore(&self.file, entry, &mut self.outstanding).await?;
        }
        self.weaker.extend(session.close().await);
        self.end(PHASE).await
    }

    /// What could not be restored as it was, with what is known about why.
    pub async fn set_aside(self) -> Result<Vec<SetAside>> {
        let mut found = self.weaker;
        let session = self.target.connect().await?;
        let mut seen = HashSet::new();
        let is_creation =
            |refused: &&Outstanding| refused.statement.as_ref().is_none_or(|one| one.starts_with("CREATE "));
        let creates: HashSet<u32> =
            self.outstanding.iter().filter(is_creation).map(|refused| refused.entry.id).collect();
        for refused in &self.outstanding {
            // What follows in an entry, such as the one that sets its owner, fails with what creates the object. Other statements are independent.
            if seen.insert(refused.entry.id) || !creates.contains(&refused.entry.id) {
                found.push(set_aside::describe(&session, refused, &self.outstanding).await?);
            }
        }
        session.close().await;
        Ok(found)
    }

    async fn session(&self) -> Result<DefinitionSession> {
        let session = self.target.connect().await?;
        for setting in self.preamble.iter() {
            match session.run(STEP, setting).await {
                // The tools are newer than the server, and it does not have the setting.
                Err(error) if error.sqlstate() == Some("42704") => {}
                other => other?,
            }
        }
        Ok(DefinitionSession::new(session, self.target.marks().cloned()))
    }
}

/// [`ArchiveFile`] for a task of its own.
struct OwnedFile {
    tools: ClientTools,
    settings: ConnectionSettings,
    path: std::path::PathBuf,
    tablespaces: bool,
}

impl OwnedFile {
    fn of(file: &ArchiveFile<'_>) -> Self {
        let ArchiveFile { tools, settings, path, tablespaces } = *file;
        Self { tools: tools.clone(), settings: settings.clone(), path: path.to_owned(), tablespaces }
    }

    fn borrowed(&self) -> ArchiveFile<'_> {
        let Self { tools, settings, path, tablespaces } = self;
        ArchiveFile { tools, settings, path, tablespaces: *tablespaces }
    }
}

/// Restores what the schedule gives until it is finished.
async fn work(
    file: OwnedFile,
    mut session: DefinitionSession,
    shared: Arc<(Mutex<Schedule>, Notify)>,
) -> Result<(Vec<Outstanding>, Vec<SetAside>)> {
    let (schedule, changed) = &*shared;
    let mut refused = Vec::new();
    loop {
        let waiting = changed.notified();
        tokio::pin!(waiting);
        waiting.as_mut().enable();
        let (next, is_finished) = {
            let mut schedule = schedule.lock().await;
            (schedule.take(), schedule.is_finished())
        };
        match next {
            Some((place, entry)) => {
                session.restore(&file.borrowed(), &entry, &mut refused).await?;
                schedule.lock().await.finish(place);
                changed.notify_waiters();
            }
            None if is_finished => break,
            None => waiting.await,
        }
    }
    Ok((refused, session.close().await))
}
