//! Rows as COPY sends them, cut into chunks at row boundaries. The hot path: a row is hashed and appended, nothing else.

use std::marker::PhantomData;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::StreamExt;
use lifeboat_model::{CopyFormat, RowDigest, RowHasher};
use tokio_postgres::CopyOutStream;

use crate::error::{PostgresError, Result};
use crate::session::Session;

/// Signature, flags (none) and the length of an empty extension: what every binary COPY file of ours begins with.
/// Source: PostgreSQL documentation, COPY, "Binary Format".
pub(crate) const BINARY_HEADER: [u8; 19] = *b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// A field count of -1 ends a binary COPY file.
pub(crate) const BINARY_TRAILER: [u8; 2] = [0xff, 0xff];

/// What one chunk holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkRows {
    /// Rows; at least one.
    pub rows: u64,
    /// The sum of their digests.
    pub digest: RowDigest,
}

/// The sums over all rows of a stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RowTotals {
    /// Rows.
    pub rows: u64,
    /// The sum of their digests.
    pub digest: RowDigest,
    /// Bytes of the rows, without headers and trailers.
    pub size_bytes: u64,
}

/// The rows of one COPY. It borrows its session: a session sends one stream at a time.
///
/// A stream that failed or was dropped half-way leaves its session to be dropped, too.
pub struct RowStream<'session> {
    copy: Pin<Box<CopyOutStream>>,
    format: CopyFormat,
    columns: u16,
    step: String,
    header_seen: bool,
    ended: bool,
    session: PhantomData<&'session mut Session>,
}

impl<'session> RowStream<'session> {
    /// Starts `query`, a COPY TO STDOUT of `columns` columns in `format`; `step` completes "while …" in errors.
    pub(crate) async fn start(
        session: &'session Session,
        query: &str,
        columns: usize,
        format: CopyFormat,
        step: String,
    ) -> Result<Self> {
        let copy = match session.client().copy_out(query).await {
            Ok(copy) => Box::pin(copy),
            Err(error) => return Err(PostgresError::query(step, error)),
        };
        // A table has at most 1600 columns.
        let columns = u16::try_from(columns).unwrap_or(u16::MAX);
        Ok(Self { copy, format, columns, step, header_seen: false, ended: false, session: PhantomData })
    }

    /// Fills `buffer` with one complete COPY file of the next rows; `None`, and an empty buffer, when there are no more.
    ///
    /// The file is closed at the first row boundary at or after `limit_bytes`, so it is longer than that by at most a row.
    /// Text is lines; binary is header, rows and trailer. The digest is of the rows alone.
    pub async fn next_chunk(
        &mut self,
        buffer: &mut Vec<u8>,
        hasher: &RowHasher,
        limit_bytes: usize,
    ) -> Result<Option<ChunkRows>> {
        buffer.clear();
        let mut chunk = ChunkRows { rows: 0, digest: RowDigest::default() };
        while chunk.rows == 0 || buffer.len() < limit_bytes {
            let Some((message, start)) = self.next_row().await? else { break };
            let row = message.get(start..).unwrap_or_default();
            if chunk.rows == 0 && self.format == CopyFormat::Binary {
                buffer.extend_from_slice(&BINARY_HEADER);
            }
            buffer.extend_from_slice(row);
            chunk.digest += hasher.row(row);
            chunk.rows += 1;
        }
        if chunk.rows == 0 {
            return Ok(None);
        }
        if self.format == CopyFormat::Binary {
            buffer.extend_from_slice(&BINARY_TRAILER);
        }
        Ok(Some(chunk))
    }

    /// Reads all remaining rows and keeps only their sums.
    pub async fn totals(mut self, hasher: &RowHasher) -> Result<RowTotals> {
        let mut totals = RowTotals::default();
        while let Some((message, start)) = self.next_row().await? {
            let row = message.get(start..).unwrap_or_default();
            totals.digest += hasher.row(row);
            totals.rows += 1;
            totals.size_bytes += row.len() as u64;
        }
        Ok(totals)
    }

    /// The next message that holds a row, and where in it the row begins. The protocol promises one row per message; the
    /// binary header comes glued to the first one or, before an empty result, to the trailer, or alone.
    async fn next_row(&mut self) -> Result<Option<(Bytes, usize)>> {
        while !self.ended {
            let Some(message) = self.copy.next().await else {
                self.ended = true;
                if self.format == CopyFormat::Binary {
                    return Err(self.unexpected("a binary COPY ended without its trailer"));
                }
                break;
            };
            let message = message.map_err(|error| PostgresError::query(self.step.clone(), error))?;
            match self.format {
                CopyFormat::Text if message.ends_with(b"\n") => return Ok(Some((message, 0))),
                CopyFormat::Text => return Err(self.unexpected("a line of COPY without its end")),
                CopyFormat::Binary => {
                    let start = self.skip_header(&message)?;
                    let row = message.get(start..).unwrap_or_default();
                    if row == BINARY_TRAILER {
                        self.drain().await?;
                    } else if row.starts_with(&self.columns.to_be_bytes()) {
                        return Ok(Some((message, start)));
                    } else if !row.is_empty() {
                        return Err(self.unexpected("a row of a binary COPY with another number of columns"));
                    }
                }
            }
        }
        Ok(None)
    }

    fn skip_header(&mut self, message: &[u8]) -> Result<usize> {
        if self.header_seen {
            return Ok(0);
        }
        if !message.starts_with(&BINARY_HEADER) {
            return Err(self.unexpected("a binary COPY with an unknown header"));
        }
        self.header_seen = true;
        Ok(BINARY_HEADER.len())
    }

    /// Reads to the end of the stream: an error may still come after the trailer.
    async fn drain(&mut self) -> Result<()> {
        self.ended = true;
        match self.copy.next().await {
            None => Ok(()),
            Some(Ok(_)) => Err(self.unexpected("a binary COPY that goes on after its trailer")),
            Some(Err(error)) => Err(PostgresError::query(self.step.clone(), error)),
        }
    }

    fn unexpected(&self, fact: &str) -> PostgresError {
        PostgresError::UnexpectedAnswer { step: self.step.clone(), fact: fact.to_owned() }
    }
}
