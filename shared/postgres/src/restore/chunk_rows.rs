//! The rows of a chunk, one by one: for what is refused as a whole.

use std::ops::Range;

use lifeboat_model::CopyFormat;

use crate::session::partial_chunk::{BINARY_HEADER, BINARY_TRAILER};

/// A chunk whose rows can be told apart.
pub(super) struct ChunkOfRows<'a> {
    bytes: &'a [u8],
    format: CopyFormat,
    rows: Vec<Range<usize>>,
}

impl<'a> ChunkOfRows<'a> {
    /// Finds the rows. `None` if the bytes are not a COPY file of this format.
    ///
    /// Source: PostgreSQL documentation, COPY. A line is a row in text: COPY escapes line breaks. A row in binary is a count of fields, and for
    /// each its length (-1 for NULL) and bytes.
    pub(super) fn read(bytes: &'a [u8], format: CopyFormat) -> Option<Self> {
        let rows = match format {
            CopyFormat::Text => lines(bytes),
            CopyFormat::Binary => tuples(bytes)?,
        };
        Some(Self { bytes, format, rows })
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// A chunk of its own with these rows.
    pub(super) fn part(&self, rows: Range<usize>) -> Vec<u8> {
        let chosen = self.rows.get(rows).unwrap_or_default();
        let (start, end) = (chosen.first().map_or(0, |row| row.start), chosen.last().map_or(0, |row| row.end));
        let inside = self.bytes.get(start..end).unwrap_or_default();
        match self.format {
            CopyFormat::Text => inside.to_vec(),
            CopyFormat::Binary => [&BINARY_HEADER, inside, &BINARY_TRAILER].concat(),
        }
    }
}

fn lines(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut start = 0;
    let mut rows = Vec::new();
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        rows.push(start..start + line.len());
        start += line.len();
    }
    rows
}

fn tuples(bytes: &[u8]) -> Option<Vec<Range<usize>>> {
    let mut at = BINARY_HEADER.len();
    let mut rows = Vec::new();
    bytes.strip_prefix(&BINARY_HEADER)?;
    loop {
        let start = at;
        let fields = i16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?);
        at += 2;
        if fields < 0 {
            return Some(rows);
        }
        for _ in 0..fields {
            let length = i32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?);
            at = at + 4 + usize::try_from(length.max(0)).ok()?;
        }
        rows.push(start..at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_of_a_chunk_are_told_apart_in_both_formats() {
        let text = ChunkOfRows::read(b"a\t1\n\\N\t2\nc\t3\n", CopyFormat::Text).unwrap();
        assert_eq!((text.len(), text.part(1..3)), (3, b"\\N\t2\nc\t3\n".to_vec()));
        let row = |field: Option<&[u8]>| {
            let mut row = 1_i16.to_be_bytes().to_vec();
            row.extend(field.map_or(-1, |field| field.len() as i32).to_be_bytes());
            row.extend(field.unwrap_or_default());
            row
        };
        let rows = [row(Some(b"abc")), row(None), row(Some(b""))];
        let bytes = [&BINARY_HEADER[..], &rows.concat(), &BINARY_TRAILER].concat();
        let binary = ChunkOfRows::read(&bytes, CopyFormat::Binary).unwrap();
        assert_eq!(binary.len(), 3);
        assert_eq!(binary.part(1..2), [&BINARY_HEADER[..], &rows[1], &BINARY_TRAILER].concat());
        assert!(ChunkOfRows::read(&bytes[..bytes.len() - 3], CopyFormat::Binary).is_none(), "it is cut off");
    }
}
