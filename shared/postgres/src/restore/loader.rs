//! Loading: each chunk of rows is one COPY.

use std::pin::pin;

use bytes::Bytes;
use futures_util::SinkExt;
use lifeboat_model::{CopyFormat, RelationEntry, TableData};

use crate::error::{PostgresError, PostgresResult as Result};
use crate::restore::refusal::Refusals;
use crate::session::Session;
use crate::session::identifier::{RelationName, column_list};
use crate::session::settings::ConnectionSettings;
use crate::snapshot::large_object;
use crate::snapshot::relation::{Relation, copy_options};

/// One message of COPY: large enough that its overhead vanishes, small enough that what waits for the socket is bounded.
const MESSAGE_BYTES: usize = 256 * 1024;

/// A table of a restored database, and the form in which its rows are written and read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableTarget {
    /// The table.
    pub name: RelationName,
    /// Its columns in the order of the COPY.
    pub columns: Vec<String>,
    /// The form of the rows.
    pub format: CopyFormat,
}

impl TableTarget {
    /// The table that a manifest describes.
    pub fn new(relation: &RelationEntry, data: &TableData) -> Self {
        Self {
            name: RelationName::new(&relation.schema, &relation.name),
            columns: data.columns.clone(),
            format: data.format,
        }
    }
}

impl From<&Relation> for TableTarget {
    fn from(relation: &Relation) -> Self {
        Self { name: relation.name.clone(), columns: relation.columns.clone(), format: relation.format }
    }
}

/// A session that loads chunks.
#[derive(Debug)]
pub struct Loader {
    session: Session,
}

impl Loader {
    pub(crate) async fn connect(settings: &ConnectionSettings, application_name: &str) -> Result<Self> {
        let session = Session::connect(settings, application_name).await?;
        session.expect_bytes_as_stored().await?;
        // A later commit that waits, such as that of the indexes, makes all earlier ones durable.
        session.run("preparing to load", "SET synchronous_commit = off").await?;
        Ok(Self { session })
    }

    /// Loads one chunk of a table and returns its rows. All of them or, on an error, none.
    pub async fn load_chunk(&mut self, table: &TableTarget, plaintext: &[u8]) -> Result<u64> {
        // A table without columns of its own takes no column list.
        let columns = match table.columns.as_slice() {
            [] => String::new(),
            columns => format!("({})", column_list(columns)),
        };
        let query = format!("COPY {} {columns} FROM STDIN {}", table.name.sql(), copy_options(table.format));
        self.copy_in(&format!("loading `{}`", table.name), &query, plaintext).await
    }

    /// Loads one chunk of the large objects stream and returns its pages. Objects get the OIDs they had; chunks are loaded in
    /// their order, because a chunk may end inside an object.
    pub async fn load_large_objects(&mut self, plaintext: &[u8]) -> Result<u64> {
        const STEP: &str = "loading large objects";
        self.session.run(STEP, "BEGIN").await?;
        let loaded = self.store_pages(plaintext).await;
        self.session.run(STEP, if loaded.is_ok() { "COMMIT" } else { "ROLLBACK" }).await?;
        loaded
    }

    /// Gives large objects that are loaded the owners, grants and comments of one chunk. Returns one
    /// sentence for each refusal. Idempotent.
    pub async fn load_large_object_properties(&mut self, plaintext: &[u8]) -> Result<Vec<String>> {
        const STEP: &str = "restoring the owners of large objects";
        self.session.run(STEP, large_object::CREATE_PROPERTIES).await?;
        self.copy_in(STEP, large_object::COPY_PROPERTIES_IN, plaintext).await?;
        self.session.expect_utf8().await?;
        let rows = self.session.rows(STEP, large_object::PROPERTY_STATEMENTS, &[]).await?;
        let mut refusals = Refusals::default();
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
            for (row, statement) in batch.iter().zip(&statements) {
                let object: u32 = row.get(0);
                let what = format!("owner, grants or comment of large object {object} could not be restored");
                refusals.attempt(&self.session, &what, statement).await?;
            }
        }
        self.session.run(STEP, large_object::DROP_PROPERTIES).await?;
        self.session.expect_bytes_as_stored().await?;
        Ok(refusals.notes())
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

    async fn copy_in(&self, step: &str, query: &str, plaintext: &[u8]) -> Result<u64> {
        let failed = |error| PostgresError::query(step, error);
        let mut sink = pin!(self.session.client().copy_in::<_, Bytes>(query).await.map_err(failed)?);
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
