//! A chunk that the tap fills with rows of a COPY. The hot path: a row is appended and hashed, nothing else.

use lifeboat_model::{CopyFormat, RowDigest, RowHasher};

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

/// The progress of a COPY.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CopyStage {
    /// Before its first row, and its header if it has one.
    Start,
    Rows,
    /// After the trailer of a binary one.
    Trailer,
    End,
}

/// A chunk while the tap fills it, message by message. The protocol promises one row per message; the binary header comes glued
/// to the first one or, before an empty result, to the trailer, or alone.
pub(crate) struct PartialChunk {
    /// A COPY file as far as it goes.
    pub(crate) bytes: Vec<u8>,
    /// The beginning of the message that is arriving.
    message_at: usize,
    pub(crate) chunk: ChunkRows,
    pub(crate) at: CopyStage,
    pub(crate) format: CopyFormat,
    columns: u16,
    hasher: RowHasher,
    limit_bytes: usize,
    /// The fault of the last message, if it has one.
    pub(crate) fault: Option<&'static str>,
}

impl PartialChunk {
    /// Fills `bytes`, which is empty, from this place of a COPY of `columns` columns on.
    pub(crate) fn new(
        mut bytes: Vec<u8>,
        at: CopyStage,
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

    /// Whether the stream has to take it back, because it reached its limit or a message is faulty.
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
            CopyStage::Start if self.message().starts_with(&BINARY_HEADER) => {
                // The chunk has one already, as the later ones have.
                self.bytes.drain(self.message_at..self.message_at + BINARY_HEADER.len());
                self.at = CopyStage::Rows;
            }
            CopyStage::Start => return self.fault = Some("a binary COPY with an unknown header"),
            CopyStage::Rows => {}
            CopyStage::Trailer | CopyStage::End => {
                return self.fault = Some("a binary COPY that goes on after its trailer");
            }
        }
        let message = self.message();
        if message == BINARY_TRAILER {
            self.bytes.truncate(self.message_at);
            self.at = CopyStage::Trailer;
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
    fn filled(messages: &[Vec<u8>]) -> Result<(u64, Vec<u8>, CopyStage), &'static str> {
        let hasher = ChunkKey::new([7; 32]).row_hasher();
        let mut filling = PartialChunk::new(Vec::new(), CopyStage::Start, CopyFormat::Binary, 1, hasher, 1000);
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
        assert_eq!(filled(&[header(), row(), row()]), Ok((2, file(2), CopyStage::Rows)));
        assert_eq!(filled(&[[header(), row()].concat(), row(), trailer()]), Ok((2, file(2), CopyStage::Trailer)));
        assert_eq!(filled(&[[header(), trailer()].concat()]), Ok((0, file(0), CopyStage::Trailer)));
        assert_eq!(filled(&[header(), trailer()]), Ok((0, file(0), CopyStage::Trailer)));
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
