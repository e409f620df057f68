//! Loading: each chunk of rows is one COPY.

use std::collections::BTreeMap;
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::SinkExt;
use lifeboat_model::SetAside;

use crate::error::server_error::ServerError;
use crate::error::{PostgresError, PostgresResult as Result};
use crate::restore::chunk_rows::ChunkOfRows;
use crate::restore::done_marks::DoneMarks;
use crate::restore::obstacles::{Loaded, Obstacles, Way};
use crate::restore::refused_rows::{Kept, RefusedRows};
use crate::restore::relaxed::Kind;
use crate::restore::script::{Piece, pieces};
use crate::restore::table_target::TableTarget;
use crate::restore::unit::{Unit, fingerprint, part_step, read_note, write_note};
use crate::session::Session;
use crate::session::identifier::{RelationName, column_list};
use crate::session::settings::ConnectionSettings;
use crate::snapshot::large_object;
use crate::snapshot::relation::copy_options;

/// Parts of one chunk that are refused and looked into. Each costs some statements.
const MOST_PARTS: u32 = 10_000;

const NOT_NULL_VIOLATION: &str = "23502";

/// One message of COPY: large enough that its overhead vanishes, small enough that what waits for the socket is bounded.
const MESSAGE_BYTES: usize = 256 * 1024;

/// A session that loads chunks.
#[derive(Debug)]
pub struct Loader {
    session: Session,
    settings: ConnectionSettings,
    application_name: String,
    marks: Option<Arc<DoneMarks>>,
}

/// What one transaction of a restore that can be continued loads.
struct Loading {
    unit: Unit,
    place: u64,
    /// The row that it ends before, when it is a part of the chunk.
    end: Option<usize>,
}

impl Loader {
    pub(crate) async fn connect(
        settings: &ConnectionSettings,
        application_name: &str,
        marks: Option<Arc<DoneMarks>>,
    ) -> Result<Self> {
        let session = connect(settings, application_name).await?;
        Ok(Self { session, settings: settings.clone(), application_name: application_name.to_owned(), marks })
    }

    /// Loads one chunk of a table and returns its rows. All of them or, on an error, none.
    pub async fn load_chunk(&mut self, table: &TableTarget, plaintext: &[u8]) -> Result<u64> {
        self.copy_rows(table, &table.name.sql(), plaintext).await
    }

    /// Loads the chunk at this place of the chunk list, although the server refuses it at first: with a search path of the source, without the
    /// table's constraints, or through the root of its partitions. All of its rows or none. The rows that an earlier attempt loaded are not
    /// counted.
    ///
    /// Constraints are taken off only if `may_relax`: a CHECK may read rows that are not there yet.
    ///
    /// # Errors
    /// [`PostgresError::Query`] when no way is left, which says nothing about other chunks. Any other error ends the session.
    pub async fn load_chunk_around(
        &mut self,
        place: u64,
        table: &TableTarget,
        plaintext: &[u8],
        obstacles: &Obstacles,
        may_relax: bool,
    ) -> Result<u64> {
        let loading = Loading { unit: Unit::chunk(place), place, end: None };
        self.load_around(&loading, table, plaintext, obstacles, may_relax).await
    }

    async fn load_around(
        &mut self,
        loading: &Loading,
        table: &TableTarget,
        plaintext: &[u8],
        obstacles: &Obstacles,
        may_relax: bool,
    ) -> Result<u64> {
        let simple = obstacles.known_way(&table.name).unwrap_or_default();
        let refused = match self.load_by(simple, loading, table, plaintext, obstacles).await {
            Err(error) if error.is_a_refusal() => error,
            other => return other,
        };
        if !self.has_table(&table.name).await? {
            return Err(refused);
        }
        let has_root = self.root(&table.name).await?.is_some();
        let mut has_null = refused.sqlstate() == Some(NOT_NULL_VIOLATION);
        for off in [None, Some(Kind::Check), Some(Kind::NotNull)] {
            match off {
                Some(_) if !may_relax => break,
                Some(Kind::NotNull) if !has_null => break,
                Some(kind) => obstacles.relax(&self.session, &table.name, kind).await?,
                None => {}
            }
            for way in obstacles.ways(has_root).into_iter().filter(|way| off.is_some() || *way != simple) {
                match self.load_by(way, loading, table, plaintext, obstacles).await {
                    Ok(rows) => {
                        obstacles.remember(&table.name, way);
                        return Ok(rows);
                    }
                    Err(error) if error.is_a_refusal() => has_null |= error.sqlstate() == Some(NOT_NULL_VIOLATION),
                    Err(error) => return Err(error),
                }
            }
        }
        Err(refused)
    }

    /// Loads the rows of a chunk that the server takes, and keeps the others. It halves what is refused, so that it costs few statements when
    /// few rows are refused. Parts that an earlier attempt loaded stay as they are.
    pub async fn load_rows_around(
        &mut self,
        place: u64,
        table: &TableTarget,
        plaintext: &[u8],
        obstacles: &Obstacles,
        refused: &RefusedRows,
    ) -> Result<u64> {
        let Some(chunk) = ChunkOfRows::read(plaintext, table.format) else {
            let step = format!("loading `{}`", table.name);
            return Err(PostgresError::UnexpectedAnswer { step, fact: "a chunk is no COPY file".to_owned() });
        };
        let done = self.parts_done(place).await?;
        let (mut waiting, mut loaded, mut parts) = (Vec::new(), 0, 0);
        waiting.push(0..chunk.len());
        while let Some(range) = waiting.pop() {
            if done.get(&range.start) == Some(&range.end) {
                continue;
            }
            let part = chunk.part(range.clone());
            // What was taken apart before was refused as a whole.
            let is_apart = done.range(range.clone()).next().is_some();
            let refusal = match is_apart {
                true => None,
                false => match self.load_part(place, &range, table, &part, obstacles).await {
                    Ok(rows) => {
                        loaded += rows;
                        continue;
                    }
                    Err(PostgresError::Query { source, .. }) if !source.ends_a_restore() => Some(source),
                    Err(error) => return Err(error),
                },
            };
            parts += 1;
            match refusal.filter(|_| range.len() == 1 || parts >= MOST_PARTS) {
                Some(why) => refused.keep(table, place, range, part, why),
                None => {
                    let middle = range.start + range.len() / 2;
                    waiting.extend([middle..range.end, range.start..middle]);
                }
            }
        }
        Ok(loaded)
    }

    async fn load_part(
        &mut self,
        place: u64,
        rows: &Range<usize>,
        table: &TableTarget,
        part: &[u8],
        obstacles: &Obstacles,
    ) -> Result<u64> {
        let loading = Loading { unit: Unit::part(place, rows.start), place, end: Some(rows.end) };
        self.load_around(&loading, table, part, obstacles, true).await
    }

    /// The parts of a chunk that are loaded, each by its first row. A session of an earlier attempt may still be at one of them: they have
    /// different keys, and it is waited for at a lock that all of them share.
    async fn parts_done(&self, place: u64) -> Result<BTreeMap<usize, usize>> {
        const STEP: &str = "looking for parts of a chunk";
        const SQL: &str = "SELECT item, note FROM lifeboat_restore.done WHERE step = $1";
        let mut done = BTreeMap::new();
        if self.marks.is_none() {
            return Ok(done);
        }
        let wait = format!("BEGIN; SELECT pg_catalog.pg_advisory_xact_lock({}); COMMIT", lock_of_parts(place));
        self.session.run(STEP, &wait).await?;
        for row in self.session.rows(STEP, SQL, &[&part_step(place)]).await? {
            let (start, note): (i64, &str) = (row.get(0), row.get(1));
            let end = read_note::<Loaded>(note)?.end.unwrap_or_default();
            done.insert(start.unsigned_abs() as usize, end as usize);
        }
        Ok(done)
    }

    /// Loads rows that were refused before everything else was there, while no trigger of a user fires.
    pub(super) async fn load_without_triggers(&mut self, kept: &Kept) -> Result<Option<ServerError>> {
        const TRIGGERS: &str = "
            SELECT pg_catalog.format('ALTER TABLE %s DISABLE TRIGGER %I', g.tgrelid::pg_catalog.regclass, g.tgname),
                   pg_catalog.format('ALTER TABLE %s ENABLE %s TRIGGER %I', g.tgrelid::pg_catalog.regclass,
                                     CASE g.tgenabled WHEN 'R' THEN 'REPLICA' WHEN 'A' THEN 'ALWAYS' ELSE '' END, g.tgname)
            FROM pg_catalog.pg_trigger g
            WHERE g.tgrelid = pg_catalog.to_regclass($1)::oid AND NOT g.tgisinternal AND g.tgenabled <> 'D'";
        let Kept { table, place, rows, plaintext, .. } = kept;
        let unit = Unit::numbered(&format!("last rows of chunk {place}"), rows.start as u64);
        if self.marks.as_ref().is_some_and(|marks| marks.has(&unit)) {
            return Ok(None);
        }
        let begin = match &self.marks {
            Some(_) => unit.begin(None),
            None => "BEGIN; SET LOCAL lock_timeout = 0".to_owned(),
        };
        let step = format!("loading `{}`", table.name);
        let (mut off, mut on) = (String::new(), String::new());
        for row in self.session.rows(&step, TRIGGERS, &[&table.name.sql()]).await? {
            off.push_str(&format!("{}; ", row.get::<_, String>(0)));
            on.push_str(&format!("{}; ", row.get::<_, String>(1)));
        }
        let work = async {
            self.session.run(&step, &format!("{begin}; {off}")).await?;
            self.load_chunk(table, plaintext).await?;
            self.session.run(&step, &format!("{on} COMMIT")).await
        };
        match work.await {
            Ok(()) => Ok(None),
            Err(PostgresError::DoneBefore { .. }) => {
                self.session.run(&step, "ROLLBACK").await?;
                Ok(None)
            }
            Err(PostgresError::Query { source, .. }) if !source.ends_a_restore() => {
                self.session.run(&step, "ROLLBACK").await?;
                Ok(Some(source))
            }
            Err(error) => Err(error),
        }
    }

    async fn load_by(
        &mut self,
        way: Way,
        loading: &Loading,
        table: &TableTarget,
        plaintext: &[u8],
        obstacles: &Obstacles,
    ) -> Result<u64> {
        let routed = way.by_root.then(|| table.name.clone());
        let into = match way.by_root {
            true => self.root(&table.name).await?.unwrap_or_else(|| table.name.sql()),
            false => table.name.sql(),
        };
        let Some(search_path) = way.search_path.and_then(|place| obstacles.search_paths.get(place)) else {
            return self.copy_as_unit(loading, routed, table, &into, plaintext, obstacles).await;
        };
        self.session.run("preparing to load", &format!("SET search_path = {search_path}")).await?;
        let loaded = self.copy_as_unit(loading, routed, table, &into, plaintext, obstacles).await;
        if loaded.as_ref().err().is_none_or(PostgresError::is_a_refusal) {
            self.session.run("preparing to load", "SET search_path = ''").await?;
        }
        loaded
    }

    /// Loads rows together with their mark, if there are marks.
    async fn copy_as_unit(
        &mut self,
        Loading { unit, place, end }: &Loading,
        routed: Option<RelationName>,
        table: &TableTarget,
        into: &str,
        plaintext: &[u8],
        obstacles: &Obstacles,
    ) -> Result<u64> {
        if self.marks.is_none() {
            return self.copy_rows(table, into, plaintext).await;
        }
        let step = format!("loading `{}`", table.name);
        let loaded = Loaded { end: end.map(|end| end as u64), routed };
        let note = (loaded.end.is_some() || loaded.routed.is_some()).then(|| write_note(&loaded)).transpose()?;
        let mut begin = unit.begin(note.as_deref());
        if end.is_some() {
            begin = format!("{begin}; SELECT pg_catalog.pg_advisory_xact_lock_shared({})", lock_of_parts(*place));
        }
        let copied = match self.session.run(&step, &begin).await {
            Ok(()) => self.copy_rows(table, into, plaintext).await,
            Err(error) => Err(error),
        };
        let done = match copied {
            Ok(rows) => self.session.run(&step, "COMMIT").await.map(|()| rows),
            Err(error) => Err(error),
        };
        if matches!(done, Err(PostgresError::Query { .. } | PostgresError::DoneBefore { .. })) {
            self.session.run(&step, "ROLLBACK").await?;
        }
        match done {
            Err(PostgresError::DoneBefore { .. }) if end.is_none() => {
                if let Some(note) = unit.note(&self.session).await? {
                    obstacles.know(read_note(&note)?);
                }
                Ok(0)
            }
            done => done,
        }
    }

    /// The topmost table of which this is a partition, as SQL.
    async fn root(&self, table: &RelationName) -> Result<Option<String>> {
        const SQL: &str = "
            SELECT pg_catalog.pg_partition_root(c.oid)::text FROM pg_catalog.pg_class c
            WHERE c.oid = pg_catalog.to_regclass($1)::oid AND c.relispartition";
        let rows = self.session.rows("looking for partitions", SQL, &[&table.sql()]).await?;
        Ok(rows.first().and_then(|row| row.get(0)))
    }

    async fn copy_rows(&mut self, table: &TableTarget, into: &str, plaintext: &[u8]) -> Result<u64> {
        // A table without columns of its own takes no column list.
        let columns = match table.columns.as_slice() {
            [] => String::new(),
            columns => format!("({})", column_list(columns)),
        };
        let query = format!("COPY {into} {columns} FROM STDIN {}", copy_options(table.format));
        self.copy_in(&format!("loading `{}`", table.name), &query, plaintext).await
    }

    /// Loads the chunk of the large objects stream at this place of the chunk list, and returns its pages: none if an earlier attempt has loaded
    /// them. Objects get the OIDs they had; chunks are loaded in their order, because a chunk may end inside an object.
    pub async fn load_large_objects(&mut self, place: u64, plaintext: &[u8]) -> Result<u64> {
        const STEP: &str = "loading large objects";
        let begin = match &self.marks {
            Some(_) => Unit::chunk(place).begin(None),
            None => "BEGIN".to_owned(),
        };
        let loaded = match self.session.run(STEP, &begin).await {
            Ok(()) => self.store_pages(plaintext).await,
            Err(error) => Err(error),
        };
        self.session.run(STEP, if loaded.is_ok() { "COMMIT" } else { "ROLLBACK" }).await?;
        match loaded {
            Err(PostgresError::DoneBefore { .. }) => Ok(0),
            loaded => loaded,
        }
    }

    /// Gives large objects that are loaded the owners, grants and comments of one chunk. Returns what
    /// the server refused. Idempotent.
    pub async fn load_large_object_properties(&mut self, plaintext: &[u8]) -> Result<Vec<SetAside>> {
        const STEP: &str = "restoring the owners of large objects";
        self.session.run(STEP, large_object::CREATE_PROPERTIES).await?;
        self.copy_in(STEP, large_object::COPY_PROPERTIES_IN, plaintext).await?;
        self.session.expect_utf8().await?;
        let rows = self.session.rows(STEP, large_object::PROPERTY_STATEMENTS, &[]).await?;
        let mut refused: BTreeMap<String, (u64, SetAside)> = BTreeMap::new();
        for batch in rows.chunks(large_object::PROPERTY_BATCH) {
            let statements: Vec<String> = batch.iter().map(|row| row.get(1)).collect();
            // One refusal undoes the whole batch. Each object is then tried alone.
            match self.session.run(STEP, &statements.join(";")).await {
                Err(PostgresError::Query { .. }) => {}
                other => {
                    other?;
                    continue;
                }
            }
            for (row, statements) in batch.iter().zip(&statements) {
                let object: u32 = row.get(0);
                for piece in pieces(statements.as_bytes()) {
                    let Piece::Statement(statement) = piece else { continue };
                    let statement = String::from_utf8_lossy(statement);
                    match self.session.run(STEP, &statement).await {
                        Err(PostgresError::Query { source, .. }) if !source.ends_a_restore() => {
                            let first = || (0, unlike_on_source(object, &statement, &source));
                            refused.entry(source.to_string()).or_insert_with(first).0 += 1;
                        }
                        other => other?,
                    }
                }
            }
        }
        self.session.run(STEP, large_object::DROP_PROPERTIES).await?;
        self.session.expect_bytes_as_stored().await?;
        Ok(refused.into_values().map(|(count, first)| with_others(first, count)).collect())
    }

    async fn store_pages(&mut self, plaintext: &[u8]) -> Result<u64> {
        const STEP: &str = "loading large objects";
        self.session.run(STEP, large_object::CREATE_PAGES).await?;
        let pages = self.copy_in(STEP, large_object::COPY_PAGES_IN, plaintext).await?;
        for sql in large_object::STORE_PAGES {
            // Executed, not queried: the answer has a row per page.
            self.session.client().execute(sql, &[]).await.map_err(|error| PostgresError::query(STEP, error))?;
        }
        Ok(pages)
    }

    /// Whether the table is there to be loaded.
    pub async fn has_table(&self, table: &RelationName) -> Result<bool> {
        const SQL: &str = "SELECT pg_catalog.to_regclass($1) IS NOT NULL";
        Ok(self.session.row("looking for tables", SQL, &[&table.sql()]).await?.get(0))
    }

    async fn copy_in(&mut self, step: &str, query: &str, plaintext: &[u8]) -> Result<u64> {
        let failed = |error| PostgresError::query(step, error);
        let sink = match self.session.client().copy_in::<_, Bytes>(query).await.map_err(failed) {
            Ok(sink) => sink,
            Err(error) => {
                // The driver ends a COPY that never began, and the server's answer would be taken for that of the next statement.
                if error.is_a_refusal() {
                    self.session = connect(&self.settings, &self.application_name).await?;
                }
                return Err(error);
            }
        };
        let mut sink = pin!(sink);
        for part in plaintext.chunks(MESSAGE_BYTES) {
            if sink.feed(Bytes::copy_from_slice(part)).await.is_err() {
                // The server has refused already: `finish` returns the reason.
                break;
            }
        }
        sink.finish().await.map_err(failed)
    }

    /// Ends the session and waits until the server knows.
    pub async fn close(self) {
        self.session.close().await;
    }
}

/// The key of the advisory lock that sessions share while they load a part of a chunk.
fn lock_of_parts(place: u64) -> i64 {
    fingerprint(&part_step(place))
}

/// An owner, a grant or a comment of a large object that the server refused.
fn unlike_on_source(object: u32, statement: &str, why: &ServerError) -> SetAside {
    SetAside {
        kind: "large object".to_owned(),
        object: object.to_string(),
        reason: format!("its owner, a grant or its comment could not be restored: {why}"),
        what_to_do: "create the role that is missing and run the statement, or leave it: the bytes are restored"
            .to_owned(),
        // A comment is a user's text.
        definition: (!statement.starts_with("COMMENT ")).then(|| statement.to_owned()),
    }
}

/// The first of several that have one reason.
fn with_others(first: SetAside, count: u64) -> SetAside {
    match count.saturating_sub(1) {
        0 => first,
        more => SetAside { reason: format!("{}; {more} more refusal(s) like this", first.reason), ..first },
    }
}

async fn connect(settings: &ConnectionSettings, application_name: &str) -> Result<Session> {
    let session = Session::connect(settings, application_name).await?;
    session.expect_bytes_as_stored().await?;
    // A later commit that waits, such as that of the indexes, makes all earlier ones durable.
    session.run("preparing to load", "SET synchronous_commit = off").await?;
    // A session that takes constraints off a table waits for the others' COPY, and they for it. Nobody else is in the database.
    session.run("preparing to load", "SET lock_timeout = 0").await?;
    Ok(session)
}
