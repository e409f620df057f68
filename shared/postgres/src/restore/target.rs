//! A database to restore into.

use std::sync::Arc;

use lifeboat_model::SetAside;

use crate::error::server_error::ServerError;
use crate::error::{PostgresError, PostgresResult as Result};
use crate::restore::done_marks::DoneMarks;
use crate::restore::loader::Loader;
use crate::restore::proof::Prover;
use crate::restore::unit::{Ran, Unit};
use crate::session::Session;
use crate::session::identifier::RelationName;
use crate::session::settings::ConnectionSettings;

/// What the sessions of restores and drills call themselves.
pub(super) const APPLICATION: &str = "lifeboat restore";

/// A database that receives a backup. The order: [what the rows need](crate::ArchiveRestore::restore_pre_data), rows, sequences, large objects,
/// [what proves the rows](crate::ArchiveRestore::restore_post_data), materialized views, [what comes last](crate::ArchiveRestore::restore_last), the
/// database's own properties. In this order no trigger fires, and creating a foreign key proves it.
#[derive(Debug, Clone)]
pub struct RestoreTarget {
    settings: ConnectionSettings,
    marks: Option<Arc<DoneMarks>>,
}

impl RestoreTarget {
    /// The database of these settings.
    pub fn new(settings: ConnectionSettings) -> Self {
        Self { settings, marks: None }
    }

    /// The same for a restore that can be killed and continued: each unit of its work is marked as done in the database.
    #[must_use]
    pub fn with_marks(self, marks: DoneMarks) -> Self {
        Self { marks: Some(Arc::new(marks)), ..self }
    }

    /// The marks of a restore that can be continued.
    pub fn marks(&self) -> Option<&Arc<DoneMarks>> {
        self.marks.as_ref()
    }

    /// Its connection settings.
    pub fn settings(&self) -> &ConnectionSettings {
        &self.settings
    }

    /// A session that loads rows and large objects. Several can load at once, large objects one at a time.
    pub async fn loader(&self) -> Result<Loader> {
        Loader::connect(&self.settings, APPLICATION, self.marks.clone()).await
    }

    /// A session that reads back what was restored.
    pub async fn prover(&self) -> Result<Prover> {
        Prover::connect(&self.settings, APPLICATION).await
    }

    /// Sets the sequences: runs the lines of [`SequenceValues::sql`](crate::SequenceValues::sql), of which each must be a `setval`. Returns those
    /// that the server refused.
    pub async fn set_sequences(&self, sql: &str) -> Result<Vec<SetAside>> {
        const STEP: &str = "setting the sequences";
        if let Some(line) = sql.lines().position(|line| !is_setval(line)) {
            let fact = format!("line {} is not a `setval`", line + 1);
            return Err(PostgresError::UnexpectedAnswer { step: STEP.to_owned(), fact });
        }
        let session = self.connect().await?;
        let mut refused = Vec::new();
        match session.run(STEP, sql).await {
            // One refusal undoes all. Each is then set alone.
            Err(PostgresError::Query { source, .. }) if !source.ends_a_restore() => {
                for line in sql.lines().filter(|line| !line.is_empty()) {
                    match session.run(STEP, line).await {
                        Err(PostgresError::Query { source, .. }) if !source.ends_a_restore() => {
                            refused.push(unset_sequence(line, &source));
                        }
                        other => other?,
                    }
                }
            }
            other => other?,
        }
        session.close().await;
        Ok(refused)
    }

    /// Computes these materialized views, each after those it reads from: with an empty search path, then with each of the source's. Returns
    /// those that stay unfilled.
    pub async fn refresh_materialized_views(
        &self,
        views: &[RelationName],
        search_paths: &[String],
    ) -> Result<Vec<SetAside>> {
        // The level of a view is the length of the longest path of views below it; a cycle cannot be.
        const SQL: &str = "
            WITH RECURSIVE reads AS (
                SELECT DISTINCT r.ev_class AS view, d.refobjid AS source FROM pg_catalog.pg_rewrite r
                JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.objid = r.oid
                JOIN pg_catalog.pg_class c ON c.oid = d.refobjid AND c.relkind IN ('v', 'm')
                WHERE d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid <> r.ev_class
            ), below (view, level) AS (
                SELECT c.oid, 0 FROM pg_catalog.pg_class c WHERE c.relkind IN ('v', 'm')
                UNION
                SELECT reads.view, below.level + 1 FROM below JOIN reads ON reads.source = below.view
            )
            SELECT n.nspname::text, c.relname::text FROM pg_catalog.pg_class c
            JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN below ON below.view = c.oid
            WHERE c.relkind = 'm' GROUP BY c.oid, n.nspname, c.relname ORDER BY pg_catalog.max(below.level), 1, 2";
        let session = self.connect().await?;
        // A materialized view runs as its owner, to whom policies may apply as they did on the source.
        session.run("computing materialized views", "SET row_security = on").await?;
        let mut unfilled = Vec::new();
        for row in session.rows("ordering materialized views", SQL, &[]).await? {
            let name = RelationName::new(row.get::<_, String>(0), row.get::<_, String>(1));
            if views.contains(&name) {
                unfilled.extend(refresh(&session, &name, search_paths, self.marks.as_deref()).await?);
            }
        }
        session.close().await;
        Ok(unfilled)
    }

    pub(crate) async fn connect(&self) -> Result<Session> {
        Session::connect(&self.settings, APPLICATION).await
    }
}

async fn refresh(
    session: &Session,
    name: &RelationName,
    search_paths: &[String],
    marks: Option<&DoneMarks>,
) -> Result<Option<SetAside>> {
    let step = format!("computing materialized view `{name}`");
    let refresh = format!("REFRESH MATERIALIZED VIEW {}", name.sql());
    let unit = Unit::named("materialized view", &name.sql());
    if marks.is_some_and(|marks| marks.has(&unit)) {
        return Ok(None);
    }
    let mut refused = None;
    for search_path in std::iter::once("''").chain(search_paths.iter().map(String::as_str)) {
        session.run(&step, &format!("SET search_path = {search_path}")).await?;
        let done = match marks {
            Some(_) => unit.run(session, &step, None, &refresh).await,
            None => session.run(&step, &refresh).await.map(|()| Ran::Now),
        };
        match done {
            Ok(_) => {
                refused = None;
                break;
            }
            Err(PostgresError::Query { source, .. }) if !source.ends_a_restore() => {
                refused.get_or_insert(source);
            }
            Err(error) => return Err(error),
        }
    }
    session.run(&step, "SET search_path = ''").await?;
    Ok(refused.map(|why| SetAside {
        kind: "materialized view".to_owned(),
        object: name.to_string(),
        reason: format!("it is there and not filled: {why}"),
        what_to_do: format!("remove the cause, then run `{refresh}`"),
        definition: Some(refresh),
    }))
}

fn unset_sequence(line: &str, why: &ServerError) -> SetAside {
    let object = line.split('\'').nth(1).unwrap_or_default().to_owned();
    SetAside {
        kind: "sequence".to_owned(),
        reason: format!("its value could not be set: {why}"),
        what_to_do: format!("set it by hand once the sequence `{object}` is there"),
        object,
        definition: Some(line.to_owned()),
    }
}

/// `SELECT pg_catalog.setval('…', 5, true);` and nothing else: the text comes from a repository.
fn is_setval(line: &str) -> bool {
    let Some(rest) = line.strip_prefix("SELECT pg_catalog.setval(") else { return line.is_empty() };
    let Some((literal, arguments)) = rest.strip_suffix(");").and_then(|rest| rest.rsplit_once("', ")) else {
        return false;
    };
    let (inner, may_escape) = match literal.strip_prefix("E'") {
        Some(inner) => (inner, true),
        None => (literal.strip_prefix('\'').unwrap_or("'"), false),
    };
    let literal_is_one = is_inside_of_literal(inner, may_escape);
    let Some((value, is_called)) = arguments.split_once(", ") else { return false };
    literal_is_one && value.parse::<i64>().is_ok() && matches!(is_called, "true" | "false")
}

/// Whether this text ends no literal: each quote is doubled, and each backslash begins an escape that `quote_literal` writes.
fn is_inside_of_literal(text: &str, may_escape: bool) -> bool {
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        let is_kept = match letter {
            '\'' => letters.next() == Some('\''),
            '\\' => may_escape && matches!(letters.next(), Some('\\' | 'n' | 'r')),
            _ => true,
        };
        if !is_kept {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_setval_is_run_from_a_sequences_stream() {
        for good in [
            "",
            "SELECT pg_catalog.setval('public.a', 5, true);",
            "SELECT pg_catalog.setval('s.\"it''s, b\"', -1, false);",
            "SELECT pg_catalog.setval(E's.\"two\\nlines\\\\n\"', -1, false);",
        ] {
            assert!(is_setval(good), "{good}");
        }
        for bad in [
            "DROP TABLE x;",
            "SELECT pg_catalog.setval('a', 5, true); DROP TABLE x; SELECT ('b', 5, true);",
            "SELECT pg_catalog.setval('a', (SELECT 1), true);",
            "SELECT pg_catalog.setval('a' || (SELECT 'b'), 5, true);",
            "SELECT pg_catalog.setval(E'x\\''n || (SELECT 1) || ', 5, true);",
            "SELECT pg_catalog.setval(E'x\\''\\', 5, true);",
            "SELECT pg_catalog.setval('x\\n', 5, true);",
        ] {
            assert!(!is_setval(bad), "{bad}");
        }
    }
}
