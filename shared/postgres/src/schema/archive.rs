//! The schema archive of `pg_dump` and the roles of `pg_dumpall`, without what changes from run to run.

use std::ffi::OsString;
use std::path::Path;

use tokio::fs::OpenOptions;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt, SeekFrom};

use crate::error::{PostgresError, PostgresResult as Result};
use crate::schema::tools::ClientTools;
use crate::session::LOCK_TIMEOUT;
use crate::session::identifier::{MARKS_SCHEMA, RelationName};
use crate::session::libpq_environment::LibpqEnvironment;
use crate::session::settings::ConnectionSettings;

/// The position of the creation time in a custom-format archive. Before it are `PGDMP`, three bytes of version, the sizes
/// of an integer and of an offset, the format and the compression. Source: `ReadHead()` in pg_backup_archiver.c.
const MAGIC: &[u8; 5] = b"PGDMP";
const INTEGER_SIZE_AT: usize = 8;
const COMPRESSION_AT: usize = 11;
/// From archive version 1.15 (pg_dump 16) on, compression is one byte instead of an integer.
const COMPRESSION_IS_A_BYTE_FROM: (u8, u8) = (1, 15);
/// Second, minute, hour, day, month from 0, year from 1900, daylight saving: 2000-01-01 00:00:00.
const FIXED_TIME: [u8; 7] = [0, 0, 0, 1, 0, 100, 0];
/// These bytes hold the header of any version.
const HEADER_BYTES: usize = 128;

/// Writes the archive of the definitions in `snapshot` to `into`. The database has this encoding.
pub(crate) async fn dump_schema(
    tools: &ClientTools,
    environment: &LibpqEnvironment,
    snapshot: &str,
    excluded: &[&RelationName],
    encoding: &str,
    into: &Path,
) -> Result<()> {
    let mut arguments: Vec<OsString> = vec![
        "--schema-only".into(),
        "--format=custom".into(),
        "--compress=0".into(),
        "--quote-all-identifiers".into(),
        "--no-password".into(),
        format!("--exclude-schema={MARKS_SCHEMA}").into(),
        format!("--lock-wait-timeout={}", LOCK_TIMEOUT.as_millis()).into(),
        format!("--snapshot={snapshot}").into(),
    ];
    if encoding == "SQL_ASCII" {
        // The archive keeps the stored bytes, which need not be UTF-8.
        arguments.push("--encoding=SQL_ASCII".into());
    }
    for name in excluded {
        arguments.push(format!("--exclude-table={}", name.sql()).into());
    }
    arguments.push("--file".into());
    arguments.push(into.into());
    tools.run("pg_dump", environment, &arguments).await?;
    fix_creation_time(into).await
}

/// An archive carries its creation time. A fixed time keeps the chunk of an unchanged schema unchanged.
async fn fix_creation_time(archive: &Path) -> Result<()> {
    let failed = |source| PostgresError::File { path: archive.display().to_string(), source };
    let mut file = OpenOptions::new().read(true).write(true).open(archive).await.map_err(failed)?;
    let mut header = [0; HEADER_BYTES];
    let read = file.read(&mut header).await.map_err(failed)?;
    let header = header.get_mut(..read).unwrap_or_default();
    let Some(time) = creation_time(header) else {
        return Err(PostgresError::UnexpectedAnswer {
            step: "reading the schema archive".to_owned(),
            fact: "it does not begin as a custom-format archive does".to_owned(),
        });
    };
    let (start, integer) = time;
    let fixed: Vec<u8> = FIXED_TIME
        .iter()
        .flat_map(|value| {
            // A sign byte, then the integer, least significant byte first.
            let mut bytes = vec![0; 1 + integer];
            if let Some(low) = bytes.get_mut(1) {
                *low = *value;
            }
            bytes
        })
        .collect();
    file.seek(SeekFrom::Start(start as u64)).await.map_err(failed)?;
    file.write_all(&fixed).await.map_err(failed)?;
    file.flush().await.map_err(failed)
}

/// The offset of the creation time, and the size of an integer.
fn creation_time(header: &[u8]) -> Option<(usize, usize)> {
    header.strip_prefix(MAGIC)?;
    let version = (*header.get(5)?, *header.get(6)?);
    let integer = usize::from(*header.get(INTEGER_SIZE_AT)?);
    let compression = if version >= COMPRESSION_IS_A_BYTE_FROM { 1 } else { 1 + integer };
    let start = COMPRESSION_AT + compression;
    let end = start + FIXED_TIME.len() * (1 + integer);
    (integer == 4 && end <= header.len()).then_some((start, integer))
}

/// Writes the roles to `into`.
pub(crate) async fn dump_roles(
    tools: &ClientTools,
    environment: &LibpqEnvironment,
    settings: &ConnectionSettings,
    into: &Path,
) -> Result<()> {
    let arguments: Vec<OsString> = vec![
        "--roles-only".into(),
        "--no-role-passwords".into(),
        "--quote-all-identifiers".into(),
        "--no-password".into(),
        "--database".into(),
        settings.database_argument().into(),
        "--file".into(),
        into.into(),
    ];
    tools.run("pg_dumpall", environment, &arguments).await?;
    let failed = |source| PostgresError::File { path: into.display().to_string(), source };
    let sql = tokio::fs::read_to_string(into).await.map_err(failed)?;
    tokio::fs::write(into, with_fixed_frame(&sql)).await.map_err(failed)
}

const RESTRICT: &str = "\\restrict ";
const UNRESTRICT: &str = "\\unrestrict ";

/// Length of the word in the frame, as `pg_dump` has it.
const FRAME_WORD_LETTERS: usize = 63;

/// Newer minor versions frame a script with `\restrict` and a random word. Until `\unrestrict` with the same word, `psql` obeys no other
/// backslash command, so that a name in the script cannot run one on the machine that restores it (CVE-2025-8714).
///
/// With a random word, identical roles would never give identical bytes. The word is the hash of what it frames instead: no text
/// can contain its own hash, so nobody can write the end of the frame into a name.
fn with_fixed_frame(sql: &str) -> String {
    let framed = |line: &&str| line.starts_with(RESTRICT) || line.starts_with(UNRESTRICT);
    let inside: String = sql.lines().filter(|line| !framed(line)).flat_map(|line| [line, "\n"]).collect();
    if !sql.lines().any(|line| framed(&line)) {
        return inside;
    }
    let hash = blake3::hash(inside.as_bytes()).to_hex();
    let word: String = hash.chars().take(FRAME_WORD_LETTERS).collect();
    format!("{RESTRICT}{word}\n{inside}{UNRESTRICT}{word}\n")
}

/// The roles that a script of `pg_dumpall` creates, in its order.
pub(crate) fn role_names(sql: &str) -> Vec<String> {
    sql.lines().filter_map(|line| unquote(line.strip_prefix("CREATE ROLE ")?.strip_suffix(';')?)).collect()
}

/// A name as `pg_dumpall` writes it: plain, or in quotes with inner quotes doubled. Other text is not a name.
fn unquote(identifier: &str) -> Option<String> {
    let Some(quoted) = identifier.strip_prefix('"') else {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        return (!identifier.is_empty() && identifier.chars().all(plain)).then(|| identifier.to_owned());
    };
    let inner = quoted.strip_suffix('"')?;
    let name = inner.replace("\"\"", "\0");
    (!name.contains('"')).then(|| name.replace('\0', "\""))
}

/// The folder of a file, where the certificates that a program trusts can be written.
pub(crate) fn directory_of(file: &Path) -> &Path {
    file.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_role_names_are_taken_from_a_script() {
        let sql = "CREATE ROLE app;\nALTER ROLE app WITH LOGIN;\nCREATE ROLE \"We\"\"ird; role\";\n\
                   CREATE ROLE x; DROP TABLE y;\nCREATE ROLE \"a\" SUPERUSER \"b\";\n";
        assert_eq!(role_names(sql), ["app", "We\"ird; role"]);
    }

    #[test]
    fn the_frame_of_a_script_stays_and_its_word_is_the_same_for_the_same_roles() {
        let framed = with_fixed_frame("\\restrict Xy\nCREATE ROLE a;\n\\unrestrict Xy\n");
        assert_eq!(framed, with_fixed_frame("\\restrict zZ9\nCREATE ROLE a;\n\\unrestrict zZ9\n"));
        let lines: Vec<&str> = framed.lines().collect();
        let [first, "CREATE ROLE a;", last] = lines.as_slice() else { panic!("{framed}") };
        let word = first.strip_prefix(RESTRICT).unwrap();
        assert_eq!(last.strip_prefix(UNRESTRICT), Some(word));
        assert!(word.len() == FRAME_WORD_LETTERS && word.chars().all(|c| c.is_ascii_alphanumeric()), "{word}");
        let other = with_fixed_frame("\\restrict Xy\nCREATE ROLE b;\n\\unrestrict Xy\n");
        assert!(!other.contains(word), "other roles have another word");
        // The tools of an older minor version write no frame, and their psql knows none.
        assert_eq!(with_fixed_frame("CREATE ROLE a;\n"), "CREATE ROLE a;\n");
        assert_eq!(role_names(&framed), ["a"]);
    }

    #[test]
    fn the_creation_time_is_found_in_archives_of_both_header_forms() {
        let mut old = b"PGDMP\x01\x0e\x00\x04\x08\x01".to_vec();
        old.extend([0; 80]);
        assert_eq!(creation_time(&old), Some((16, 4)));
        old[6] = 0x10;
        assert_eq!(creation_time(&old), Some((12, 4)));
        assert_eq!(creation_time(b"PGDMP"), None);
        assert_eq!(creation_time(b"something else entirely"), None);
    }
}
