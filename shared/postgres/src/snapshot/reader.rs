//! A session that reads rows in an imported snapshot.

use futures_util::future::join;
use lifeboat_model::{CopyFormat, Slice};

use crate::error::{PostgresError, PostgresResult as Result};
use crate::session::Session;
use crate::session::identifier::quote_literal;
use crate::session::settings::ConnectionSettings;
use crate::snapshot::large_object;
use crate::snapshot::relation::{Disposition, Relation};
use crate::snapshot::rows::RowStream;
use crate::snapshot::watch::{Backend, Backends};

/// Before each slice, the locks that the last one took are released: on its table, which the leader holds, and on the indexes that the planner
/// opened. Somebody may want to rebuild one, and the server's lock table has room for each table about twice.
const MARK: &str = "SAVEPOINT lifeboat_slice";
const RELEASE: &str = "ROLLBACK TO SAVEPOINT lifeboat_slice";

/// Reads slices and large objects as one snapshot shows them.
///
/// It takes its table locks one by one as it reads. If another session waits for an exclusive lock on the table, reading fails
/// with [`PostgresError::LockTimeout`] after 5 s. The backup stops and runs again later. Otherwise the whole application would
/// queue behind that session until the last row is read.
#[derive(Debug)]
pub struct SliceReader {
    session: Session,
    /// Registers our server process with the snapshot's watcher.
    _backend: Backend,
}

impl SliceReader {
    pub(crate) async fn join(
        settings: &ConnectionSettings,
        application_name: &str,
        snapshot: &str,
        backends: &Backends,
    ) -> Result<Self> {
        const STEP: &str = "joining the snapshot";
        let session = Session::connect(settings, application_name).await?;
        session.expect_bytes_as_stored().await?;
        let backend = backends.enrol(&session).await?;
        session.run(STEP, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        let join = format!("SET TRANSACTION SNAPSHOT {}", quote_literal(snapshot));
        match session.run(STEP, &join).await {
            // Invalid identifier, or the transaction that exported it is over.
            Err(error) if matches!(error.sqlstate(), Some("22023" | "42704" | "55000")) => {
                return Err(PostgresError::SnapshotLost);
            }
            joined => joined?,
        }
        session.run(STEP, MARK).await?;
        Ok(Self { session, _backend: backend })
    }

    /// The rows of one slice of a relation whose disposition is [`Disposition::Copy`].
    pub async fn copy_slice(&mut self, relation: &Relation, slice: Slice) -> Result<RowStream<'_>> {
        if relation.disposition != Disposition::Copy {
            let reason = "it is not among the relations to copy".to_owned();
            return Err(PostgresError::Unreadable { relation: relation.name.to_string(), reason });
        }
        let step = format!("copying `{}` from block {}", relation.name, slice.first_block);
        let (query, columns) = (relation.copy_query(slice), relation.columns.len());
        // One round trip: the driver sends both, and the server answers in this order.
        let release = self.session.run("releasing the last table", RELEASE);
        let start = RowStream::start(&self.session, &query, columns, relation.format, step);
        let (released, started) = join(release, start).await;
        released?;
        match started {
            Err(error) => Err(match error.sqlstate() {
                Some("55P03") => PostgresError::LockTimeout { relation: relation.name.to_string() },
                // The lock is held now: the drop or rename happened between snapshot and lock.
                Some("42703" | "42P01") => {
                    PostgresError::RewrittenDuringSnapshot { relation: relation.name.to_string() }
                }
                _ => error,
            }),
            stream => stream,
        }
    }

    /// The large objects that this role can read, in pages of at most 1 MiB: a binary COPY of (oid, offset, bytes), in that order.
    pub async fn copy_large_objects(&mut self) -> Result<RowStream<'_>> {
        let step = "copying large objects".to_owned();
        RowStream::start(&self.session, large_object::COPY_PAGES, 3, CopyFormat::Binary, step).await
    }

    /// Owner, grants and comment of each large object: a binary COPY of (oid, owner, grants, comment), by oid.
    pub async fn copy_large_object_properties(&mut self) -> Result<RowStream<'_>> {
        let step = "copying the owners of large objects".to_owned();
        RowStream::start(&self.session, large_object::COPY_PROPERTIES, 4, CopyFormat::Binary, step).await
    }

    /// Ends the session and waits until the server knows.
    pub async fn close(self) {
        self.session.close().await;
    }
}
