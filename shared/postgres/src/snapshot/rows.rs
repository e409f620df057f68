//! Rows as COPY sends them, cut into chunks at row boundaries. The hot path: a row is appended and hashed, nothing else.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use futures_util::Stream;
use lifeboat_model::{CopyFormat, RowDigest, RowHasher};
use serde::{Deserialize, Serialize};
use tokio_postgres::CopyOutStream;

use crate::error::{PostgresError, PostgresResult as Result};
use crate::session::Session;
use crate::session::partial_chunk::{BINARY_HEADER, BINARY_TRAILER, ChunkRows, CopyStage, PartialChunk};

/// Rows of which only the sums are wanted are read in pieces of this size.
const TOTALS_BYTES: usize = 256 * 1024;

/// The sums over all rows of a stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
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
/// A stream that failed or was dropped half-way ends its session: its rows may still arrive, and must not be
/// mistaken for those of another.
pub struct RowStream<'session> {
    session: &'session Session,
    /// All of the COPY but its rows, which go to the session's intake.
    copy: Pin<Box<CopyOutStream>>,
    format: CopyFormat,
    columns: u16,
    step: String,
    at: CopyStage,
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
        Ok(Self { session, copy, format, columns, step, at: CopyStage::Start })
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
        if self.at == CopyStage::End {
            return Ok(None);
        }
        let filled = self.fill(std::mem::take(buffer), hasher, limit_bytes).await?;
        self.at = filled.at;
        let chunk = filled.chunk;
        *buffer = filled.bytes;
        if chunk.rows == 0 {
            buffer.clear();
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
        let mut buffer = Vec::new();
        let frame_bytes = match self.format {
            CopyFormat::Text => 0,
            CopyFormat::Binary => BINARY_HEADER.len() + BINARY_TRAILER.len(),
        };
        while let Some(chunk) = self.next_chunk(&mut buffer, hasher, TOTALS_BYTES).await? {
            totals.digest += chunk.digest;
            totals.rows += chunk.rows;
            totals.size_bytes += (buffer.len() - frame_bytes) as u64;
        }
        Ok(totals)
    }

    /// Has `bytes` filled up to the limit, or to the end of the COPY.
    async fn fill(&mut self, bytes: Vec<u8>, hasher: &RowHasher, limit_bytes: usize) -> Result<PartialChunk> {
        let Self { session, copy, step, .. } = self;
        let intake = session.intake();
        let unexpected = |fact: &str| PostgresError::UnexpectedAnswer { step: step.clone(), fact: fact.to_owned() };
        if !intake.lend(PartialChunk::new(bytes, self.at, self.format, self.columns, hasher.clone(), limit_bytes)) {
            return Err(unexpected("two streams requested rows at once"));
        }
        let has_ended = poll_fn(|cx| match copy.as_mut().poll_next(cx) {
            Poll::Ready(None) => Poll::Ready(Ok(true)),
            Poll::Ready(Some(Ok(_))) => Poll::Ready(Err(unexpected("a row bypassed the tap"))),
            Poll::Ready(Some(Err(error))) => Poll::Ready(Err(PostgresError::query(step.clone(), error))),
            Poll::Pending => intake.poll_full(cx).map(|()| Ok(false)),
        });
        let has_ended = has_ended.await;
        let partial = intake.take_back();
        let (has_ended, mut partial) =
            (has_ended?, partial.ok_or_else(|| unexpected("two streams requested rows at once"))?);
        if let Some(fact) = partial.fault {
            return Err(unexpected(fact));
        }
        if has_ended && partial.format == CopyFormat::Binary && partial.at != CopyStage::Trailer {
            return Err(unexpected("a binary COPY ended without its trailer"));
        }
        if has_ended {
            partial.at = CopyStage::End;
        }
        Ok(partial)
    }
}

impl Drop for RowStream<'_> {
    fn drop(&mut self) {
        if self.at != CopyStage::End {
            self.session.end();
        }
    }
}
