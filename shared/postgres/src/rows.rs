//! Rows as COPY sends them, cut into chunks at row boundaries. The hot path: a row is appended and hashed, nothing else.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use futures_util::Stream;
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

/// Rows of which only the sums are wanted are read in pieces of this size.
const TOTALS_BYTES: usize = 256 * 1024;

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
/// A stream that failed or was dropped half-way ends its session: rows of it may still be on their way, and must not be taken
/// for those of another.
pub struct RowStream<'session> {
    session: &'session Session,
    /// All of the COPY but its rows, which go to the session's intake.
    copy: Pin<Box<CopyOutStream>>,
    format: CopyFormat,
    columns: u16,
    step: String,
    at: Place,
}

/// How far a COPY is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Before its first row, and its header if it has one.
    Start,
    Rows,
    /// After the trailer of a binary one.
    Trailer,
    End,
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
        Ok(Self { session, copy, format, columns, step, at: Place::Start })
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
        if self.at == Place::End {
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
    async fn fill(&mut self, bytes: Vec<u8>, hasher: &RowHasher, limit_bytes: usize) -> Result<Filling> {
        let Self { session, copy, step, .. } = self;
        let intake = session.intake();
        let unexpected = |fact: &str| PostgresError::UnexpectedAnswer { step: step.clone(), fact: fact.to_owned() };
        if !intake.lend(Filling::new(bytes, self.at, self.format, self.columns, hasher.clone(), limit_bytes)) {
            return Err(unexpected("rows that two streams wanted"));
        }
        let has_ended = poll_fn(|cx| match copy.as_mut().poll_next(cx) {
            Poll::Ready(None) => Poll::Ready(Ok(true)),
            Poll::Ready(Some(Ok(_))) => Poll::Ready(Err(unexpected("a row that went past the tap"))),
            Poll::Ready(Some(Err(error))) => Poll::Ready(Err(PostgresError::query(step.clone(), error))),
            Poll::Pending => intake.poll_full(cx).map(|()| Ok(false)),
        });
        let has_ended = has_ended.await;
        let filling = intake.take_back();
        let (has_ended, filling) = (has_ended?, filling.ok_or_else(|| unexpected("rows that two streams wanted"))?);
        if let Some(fact) = filling.fault {
            return Err(unexpected(fact));
        }
        if has_ended && filling.format == CopyFormat::Binary && filling.at != Place::Trailer {
            return Err(unexpected("a binary COPY ended without its trailer"));
        }
        Ok(Filling { at: if has_ended { Place::End } else { filling.at }, ..filling })
    }
}

impl Drop for RowStream<'_> {
    fn drop(&mut self) {
        if self.at != Place::End {
            self.session.end();
        }
    }
}

/// A chunk while the tap fills it, message by message. The protocol promises one row per message; the binary header comes glued
/// to the first one or, before an empty result, to the trailer, or alone.
pub(crate) struct Filling {
    /// A COPY file as far as it goes.
    bytes: Vec<u8>,
    /// Where the message that is arriving begins.
    message_at: usize,
    chunk: ChunkRows,
    at: Place,
    format: CopyFormat,
    columns: u16,
    hasher: RowHasher,
    limit_bytes: usize,
    /// What is wrong with the last message.
    fault: Option<&'static str>,
}

impl Filling {
    /// Fills `bytes`, which is empty, from this place of a COPY of `columns` columns on.
    pub(crate) fn new(
        mut bytes: Vec<u8>,
        at: Place,
        format: CopyFormat,
        columns: u16,
        hasher: RowHasher,
        limit_bytes: usize,
    ) -> Self {
        if format == CopyFormat::Binary {
            bytes.extend_from_slice(&BINARY_HEADER);
        }
        let chunk = ChunkRows { rows: 0, digest: RowDigest::default() };
        Self { message_at: bytes.len(), bytes, chunk, at, format, columns, hasher, limit_bytes, fault: None }
    }

    /// Whether it is for the stream to go on, with a chunk of rows or with what is wrong with them.
    pub(crate) fn is_full(&self) -> bool {
        self.fault.is_some() || self.chunk.rows > 0 && self.message_at >= self.limit_bytes
    }

    /// Takes the next bytes of a message.
    pub(crate) fn add(&mut self, part: &[u8]) {
        self.bytes.extend_from_slice(part);
    }

    /// States that the message is whole.
    pub(crate) fn end_message(&mut self) {
        match self.format {
            CopyFormat::Text if self.message().last() == Some(&b'\n') => self.count_row(),
            CopyFormat::Text => self.fault = Some("a line of COPY without its end"),
            CopyFormat::Binary => self.end_binary_message(),
        }
        self.message_at = self.bytes.len();
    }

    fn end_binary_message(&mut self) {
        match self.at {
            Place::Start if self.message().starts_with(&BINARY_HEADER) => {
                // The chunk has one already, as the later ones have.
                self.bytes.drain(self.message_at..self.message_at + BINARY_HEADER.len());
                self.at = Place::Rows;
            }
            Place::Start => return self.fault = Some("a binary COPY with an unknown header"),
            Place::Rows => {}
            Place::Trailer | Place::End => return self.fault = Some("a binary COPY that goes on after its trailer"),
        }
        let message = self.message();
        if message == BINARY_TRAILER {
            self.bytes.truncate(self.message_at);
            self.at = Place::Trailer;
        } else if message.first_chunk() == Some(&self.columns.to_be_bytes()) {
            self.count_row();
        } else if !message.is_empty() {
            self.fault = Some("a row of a binary COPY with another number of columns");
        }
    }

    fn count_row(&mut self) {
        self.chunk.digest += self.hasher.row(self.message());
        self.chunk.rows += 1;
    }

    /// The file so far, without a trailer.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    #[cfg(test)]
    pub(crate) fn rows(&self) -> u64 {
        self.chunk.rows
    }

    fn message(&self) -> &[u8] {
        self.bytes.get(self.message_at..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use lifeboat_model::ChunkKey;

    use super::*;

    const ROW: [u8; 7] = [0, 1, 0, 0, 0, 1, b'x'];

    /// What becomes of these messages of a binary COPY of one column: the chunk, or what is wrong.
    fn filled(messages: &[Vec<u8>]) -> Result<(u64, Vec<u8>, Place), &'static str> {
        let hasher = ChunkKey::new([7; 32]).row_hasher();
        let mut filling = Filling::new(Vec::new(), Place::Start, CopyFormat::Binary, 1, hasher, 1000);
        for message in messages {
            filling.add(message);
            filling.end_message();
            if let Some(fault) = filling.fault {
                return Err(fault);
            }
        }
        Ok((filling.rows(), filling.bytes().to_vec(), filling.at))
    }

    #[test]
    fn the_header_of_a_binary_copy_may_come_alone_or_glued_to_a_row_or_to_the_trailer() {
        let header = || BINARY_HEADER.to_vec();
        let row = || ROW.to_vec();
        let trailer = || BINARY_TRAILER.to_vec();
        let file = |rows: usize| [header(), row().repeat(rows)].concat();
        assert_eq!(filled(&[header(), row(), row()]), Ok((2, file(2), Place::Rows)));
        assert_eq!(filled(&[[header(), row()].concat(), row(), trailer()]), Ok((2, file(2), Place::Trailer)));
        assert_eq!(filled(&[[header(), trailer()].concat()]), Ok((0, file(0), Place::Trailer)));
        assert_eq!(filled(&[header(), trailer()]), Ok((0, file(0), Place::Trailer)));
    }

    #[test]
    fn a_binary_copy_that_is_not_as_it_should_be_is_named() {
        let start = [BINARY_HEADER.to_vec(), ROW.to_vec()].concat();
        let named = |messages: &[Vec<u8>], words: &str| {
            let fault = filled(messages).unwrap_err();
            assert!(fault.contains(words), "{fault}");
        };
        named(&[ROW.to_vec()], "unknown header");
        named(&[start.clone(), vec![0, 2, 0, 0]], "another number of columns");
        named(&[start.clone(), BINARY_TRAILER.to_vec(), ROW.to_vec()], "goes on after its trailer");
        named(&[start, vec![0]], "another number of columns");
    }
}
