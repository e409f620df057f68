//! One unit of work of a restore that can be continued: it and the mark that it is done are one transaction on the target.
//!
//! The mark comes first. A session whose client was killed may still be at the unit: the second attempt waits at the key of the mark until that
//! one has ended, and finds the unit done or undone. A second unit never waits for a first one while it holds a lock of its own.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{PostgresError, PostgresResult as Result};
use crate::session::Session;
use crate::session::identifier::{MARKS_SCHEMA, quote_literal};

const CHUNK: &str = "chunk";
/// The beginning of the steps whose units are parts of chunks.
pub(super) const PART: &str = "part of chunk ";

/// A unit of work, as its mark names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unit {
    pub(super) step: String,
    pub(super) item: i64,
}

/// What became of a unit.
#[derive(Debug)]
pub(super) enum Ran {
    Now,
    /// An earlier attempt has ended it meanwhile, and left this note.
    Before(Option<String>),
}

impl Unit {
    /// One of many that are counted.
    pub(super) fn numbered(step: &str, item: u64) -> Self {
        Self { step: step.to_owned(), item: item.cast_signed() }
    }

    /// One of many that have names. 64 bits of a hash tell them apart: a million names share one with a probability of 10^-7.
    pub(super) fn named(step: &str, name: &str) -> Self {
        Self { step: step.to_owned(), item: fingerprint(name) }
    }

    /// A chunk of rows or large objects, by its place in the chunk list.
    pub(super) fn chunk(place: u64) -> Self {
        Self::numbered(CHUNK, place)
    }

    /// Rows of a chunk of which the server refuses others, by their first row.
    pub(super) fn part(place: u64, start: usize) -> Self {
        Self::numbered(&part_step(place), start as u64)
    }

    /// Whether the units of this step load rows.
    pub(super) fn is_about_rows(step: &str) -> bool {
        step == CHUNK || step.starts_with(PART)
    }

    /// Begins the transaction with its mark. Nobody else works in the database, so it waits for a lock as long as it takes.
    pub(super) fn begin(&self, note: Option<&str>) -> String {
        format!("BEGIN; SET LOCAL lock_timeout = 0; {}", self.mark(note))
    }

    /// The mark alone.
    pub(super) fn mark(&self, note: Option<&str>) -> String {
        let note = note.map_or_else(|| "NULL".to_owned(), quote_literal);
        format!("INSERT INTO {MARKS_SCHEMA}.done VALUES ({}, {}, {note})", quote_literal(&self.step), self.item)
    }

    /// Runs statements as this unit. A refusal undoes all of them.
    pub(super) async fn run(&self, session: &Session, step: &str, note: Option<&str>, sql: &str) -> Result<Ran> {
        let done = session.run(step, &self.transaction(note, sql)).await;
        self.settle(session, step, done).await
    }

    /// The same for a definition that reads no row.
    pub(super) async fn run_definition(
        &self,
        session: &Session,
        step: &str,
        note: Option<&str>,
        sql: &str,
    ) -> Result<Ran> {
        let done = session.run_definition(step, &self.transaction(note, sql)).await;
        self.settle(session, step, done).await
    }

    /// All of it is one message: a server whose client is killed runs it to its end. A statement may end in a comment.
    fn transaction(&self, note: Option<&str>, sql: &str) -> String {
        format!("{};\n{sql}\n;\nCOMMIT", self.begin(note))
    }

    async fn settle(&self, session: &Session, step: &str, done: Result<()>) -> Result<Ran> {
        match done {
            Ok(()) => Ok(Ran::Now),
            Err(error @ PostgresError::Query { .. }) => {
                session.run(step, "ROLLBACK").await?;
                Err(error)
            }
            Err(PostgresError::DoneBefore { .. }) => {
                session.run(step, "ROLLBACK").await?;
                self.note(session).await.map(Ran::Before)
            }
            Err(error) => Err(error),
        }
    }

    /// The note of its mark, which must be there.
    pub(super) async fn note(&self, session: &Session) -> Result<Option<String>> {
        let sql = format!("SELECT note FROM {MARKS_SCHEMA}.done WHERE step = $1 AND item = $2");
        Ok(session.row("reading a mark", &sql, &[&self.step, &self.item]).await?.get(0))
    }
}

/// The step whose units are the parts of a chunk.
pub(super) fn part_step(place: u64) -> String {
    format!("{PART}{place}")
}

/// 64 bits that stand for a text.
pub(super) fn fingerprint(text: &str) -> i64 {
    let [a, b, c, d, e, f, g, h, ..] = *blake3::hash(text.as_bytes()).as_bytes();
    i64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// A note as it is stored: JSON in ASCII, which every encoding of a database has.
pub(super) fn write_note<T: Serialize>(note: &T) -> Result<String> {
    let json = serde_json::to_string(note).map_err(|error| PostgresError::UnexpectedAnswer {
        step: "writing a mark".to_owned(),
        fact: error.to_string(),
    })?;
    let mut ascii = String::with_capacity(json.len());
    for letter in json.chars() {
        if letter.is_ascii() {
            ascii.push(letter);
        } else {
            let mut units = [0; 2];
            ascii.extend(letter.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    Ok(ascii)
}

/// Reads what [`write_note`] wrote.
pub(super) fn read_note<T: DeserializeOwned>(note: &str) -> Result<T> {
    serde_json::from_str(note).map_err(|_| PostgresError::UnexpectedAnswer {
        step: "reading a mark".to_owned(),
        fact: "its note has another form".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_ascii_and_comes_back_as_it_was() {
        let note = ("Grüße, 東京 🐘 \"quoted\" \\ ' \n".to_owned(), Some(7_u64));
        let written = write_note(&note).unwrap();
        assert!(written.is_ascii(), "{written}");
        assert_eq!(read_note::<(String, Option<u64>)>(&written).unwrap(), note);
        assert!(read_note::<Vec<u8>>(&written).is_err());
    }

    #[test]
    fn the_mark_comes_before_the_statement_and_a_comment_hides_no_commit() {
        let unit = Unit::numbered("it's", 7);
        assert_eq!(
            unit.transaction(None, "SELECT 1 -- one"),
            "BEGIN; SET LOCAL lock_timeout = 0; INSERT INTO lifeboat_restore.done VALUES ('it''s', 7, NULL);\n\
             SELECT 1 -- one\n;\nCOMMIT"
        );
        assert_ne!(Unit::named("a", "x"), Unit::named("a", "y"));
    }
}
