//! The schema archive, restored in three steps: before the rows, after them, and last.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::error::{PostgresError, PostgresResult as Result};
use crate::restore::refusal::Refusals;
use crate::restore::target::RestoreTarget;
use crate::schema::tools::ClientTools;

/// `pg_restore` builds this many indexes at a time: the server does the work, and a drill's server is a small one.
const RESTORE_JOBS: u32 = 2;

/// Entries of the last step that may be refused. Each costs one more run of `pg_restore`. The entries left after that are
/// reported as not tried.
const MOST_REFUSALS: usize = 100;

/// Entries that come last, by the kind that `pg_restore --list` prints.
///
/// An event trigger fires for every later definition and for REFRESH MATERIALIZED VIEW. Event triggers, publications for all
/// tables and subscriptions need a superuser, and a security label needs its provider. A managed server may have neither. A
/// restore reports these entries and continues.
const LAST: [&str; 4] = ["EVENT TRIGGER ", "PUBLICATION ", "SECURITY LABEL ", SUBSCRIPTION];
const SUBSCRIPTION: &str = "SUBSCRIPTION ";

/// The two halves of a schema archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// Before the rows: schemas, types, functions, bare tables.
    PreData,
    /// After the rows, which prove it: indexes, constraints, triggers, policies.
    PostData,
}

impl RestoreTarget {
    /// Runs `pg_restore` for one half of a schema archive, less what comes [last](Self::restore_last); the first error ends it. Tables and
    /// indexes come into the tablespaces that the archive names only with `tablespaces`, else into the database's own.
    pub async fn restore_section(
        &self,
        tools: &ClientTools,
        archive: &Path,
        section: Section,
        tablespaces: bool,
    ) -> Result<()> {
        let listing = Listing::of(self, tools, archive).await?;
        let chosen = listing.keep("section.list", |line| !is_last(line)).await?;
        let mut arguments = vec!["--exit-on-error".into(), use_list(&chosen)];
        if !tablespaces {
            arguments.push("--no-tablespaces".into());
        }
        match section {
            Section::PreData => arguments.push("--section=pre-data".into()),
            Section::PostData => {
                arguments.push("--section=post-data".into());
                arguments.push(format!("--jobs={RESTORE_JOBS}").into());
            }
        }
        listing.restore(arguments).await
    }

    /// Restores event triggers, publications and security labels, and subscriptions if `subscriptions`. Subscriptions stay
    /// disabled, and a database that has one cannot be dropped. Returns one sentence for each refusal.
    pub async fn restore_last(&self, tools: &ClientTools, archive: &Path, subscriptions: bool) -> Result<Vec<String>> {
        let listing = Listing::of(self, tools, archive).await?;
        let wanted = |line: &&str| is_last(line) && (subscriptions || !is_of(line, SUBSCRIPTION));
        let mut entries: Vec<&str> = listing.text.lines().filter(wanted).collect();
        let mut refusals = Refusals::default();
        for _ in 0..MOST_REFUSALS {
            if entries.is_empty() {
                return Ok(refusals.notes());
            }
            let chosen = listing.keep("last.list", |line| entries.contains(&line)).await?;
            let failed = match listing.restore(vec!["--exit-on-error".into(), use_list(&chosen)]).await {
                Ok(()) => return Ok(refusals.notes()),
                Err(failed) => failed,
            };
            // The error names the entry. Earlier entries are restored; later ones are tried without it.
            let PostgresError::ToolFailed { stderr, .. } = &failed else { return Err(failed) };
            let refused = stderr.strip_prefix("from TOC entry ").and_then(|rest| rest.split(';').next());
            let place = refused.and_then(|id| entries.iter().position(|line| line.split(';').next() == Some(id)));
            let Some(place) = place else { return Err(failed) };
            let entry = entries.get(place).copied().unwrap_or_default();
            let why = stderr.split_once("; error: ").map_or(stderr.as_str(), |(_, why)| why);
            let why = why.strip_prefix("could not execute query: ERROR: ").unwrap_or(why);
            refusals.add(format!("{} could not be restored: {why}", described(entry)));
            entries.drain(..=place);
        }
        for entry in entries {
            refusals.add(format!("{} was not tried, because too many other entries were refused", described(entry)));
        }
        Ok(refusals.notes())
    }
}

/// The list of contents of an archive, and how it is restored from.
struct Listing<'a> {
    target: &'a RestoreTarget,
    tools: &'a ClientTools,
    archive: &'a Path,
    directory: &'a Path,
    text: String,
}

impl<'a> Listing<'a> {
    async fn of(target: &'a RestoreTarget, tools: &'a ClientTools, archive: &'a Path) -> Result<Self> {
        let directory = archive.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let path = directory.join("contents.list");
        let environment = target.settings().libpq_environment(directory)?;
        let arguments: Vec<OsString> = vec!["--list".into(), "--file".into(), (&path).into(), archive.into()];
        tools.run("pg_restore", &environment, &arguments).await?;
        // Names are in the database's encoding, which need not be UTF-8; what matters is ASCII.
        let bytes = tokio::fs::read(&path).await.map_err(|source| unusable(&path, source))?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Ok(Self { target, tools, archive, directory, text })
    }

    /// Writes a list of the entries that are wanted, and gives its path.
    async fn keep(&self, name: &str, is_wanted: impl Fn(&str) -> bool) -> Result<PathBuf> {
        let path = self.directory.join(name);
        let kept: String = self.text.lines().filter(|line| is_wanted(line)).flat_map(|line| [line, "\n"]).collect();
        tokio::fs::write(&path, kept).await.map_err(|source| unusable(&path, source))?;
        Ok(path)
    }

    async fn restore(&self, mut arguments: Vec<OsString>) -> Result<()> {
        let settings = self.target.settings();
        let environment = settings.libpq_environment(self.directory)?;
        // Only with `--verbose` does an error name its archive entry. The other lines are not kept.
        arguments.extend(["--verbose".into(), "--no-password".into()]);
        arguments.push(format!("--dbname={}", settings.database_argument()).into());
        arguments.push(self.archive.into());
        self.tools.run("pg_restore", &environment, &arguments).await
    }
}

fn unusable(path: &Path, source: std::io::Error) -> PostgresError {
    PostgresError::File { path: path.display().to_string(), source }
}

fn use_list(path: &Path) -> OsString {
    let mut argument = OsString::from("--use-list=");
    argument.push(path);
    argument
}

/// `EVENT TRIGGER - on_drop postgres` of the line `215; 3466 16390 EVENT TRIGGER - on_drop postgres`.
fn described(line: &str) -> &str {
    line.split_once("; ").and_then(|(_, rest)| rest.splitn(3, ' ').nth(2)).unwrap_or(line)
}

/// Whether an entry is of this kind, or a comment on one that is.
fn is_of(line: &str, kind: &str) -> bool {
    let described = described(line);
    described.starts_with(kind) || described.strip_prefix("COMMENT - ").is_some_and(|on| on.starts_with(kind))
}

fn is_last(line: &str) -> bool {
    !line.starts_with(';') && LAST.iter().any(|kind| is_of(line, kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_that_come_last_are_known_by_their_kind_and_nothing_else_is_taken_for_one() {
        for last in [
            "3500; 3466 16390 EVENT TRIGGER - on_drop postgres",
            "3501; 6104 16391 PUBLICATION - everything postgres",
            "3502; 6106 16392 PUBLICATION TABLE zoo some_tables keeper postgres",
            "3503; 6237 16393 PUBLICATION TABLES IN SCHEMA zoo p zoo postgres",
            "3504; 0 0 COMMENT - EVENT TRIGGER on_drop postgres",
            "3505; 0 0 SECURITY LABEL zoo TABLE animal postgres",
            "3506; 6100 16394 SUBSCRIPTION - s postgres",
        ] {
            assert!(is_last(last), "{last}");
        }
        for not in [
            ";     Format: CUSTOM",
            "215; 1259 16390 TABLE public EVENT TRIGGER postgres",
            "216; 0 0 COMMENT public TABLE PUBLICATION postgres",
            "217; 1255 16391 FUNCTION zoo note_definition() postgres",
        ] {
            assert!(!is_last(not), "{not}");
        }
    }
}
