//! A database to restore into.

use crate::error::{PostgresError, PostgresResult as Result};
use crate::restore::loader::Loader;
use crate::restore::proof::Prover;
use crate::session::Session;
use crate::session::identifier::RelationName;
use crate::session::settings::ConnectionSettings;

const APPLICATION: &str = "lifeboat restore";

/// A database that receives a backup. The order: [`PreData`](crate::Section::PreData), rows, sequences, large objects,
/// [`PostData`](crate::Section::PostData), materialized views, [what comes last](Self::restore_last), the database's own properties.
/// In this order no trigger fires, and creating a foreign key proves it.
#[derive(Debug, Clone)]
pub struct RestoreTarget {
    settings: ConnectionSettings,
}

impl RestoreTarget {
    /// The database of these settings.
    pub fn new(settings: ConnectionSettings) -> Self {
        Self { settings }
    }

    /// Its connection settings.
    pub fn settings(&self) -> &ConnectionSettings {
        &self.settings
    }

    /// A session that loads rows and large objects. Several can load at once, large objects one at a time.
    pub async fn loader(&self) -> Result<Loader> {
        Loader::connect(&self.settings, APPLICATION).await
    }

    /// A session that reads back what was restored.
    pub async fn prover(&self) -> Result<Prover> {
        Prover::connect(&self.settings, APPLICATION).await
    }

    /// Sets the sequences: runs the lines of [`SequenceValues::sql`](crate::SequenceValues::sql), of which each must be a `setval`.
    pub async fn set_sequences(&self, sql: &str) -> Result<()> {
        const STEP: &str = "setting the sequences";
        if let Some(line) = sql.lines().position(|line| !is_setval(line)) {
            let fact = format!("line {} is not a `setval`", line + 1);
            return Err(PostgresError::UnexpectedAnswer { step: STEP.to_owned(), fact });
        }
        let session = self.connect().await?;
        session.run(STEP, sql).await?;
        session.close().await;
        Ok(())
    }

    /// Computes these materialized views, each after those it reads from.
    pub async fn refresh_materialized_views(&self, views: &[RelationName]) -> Result<()> {
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
        for row in session.rows("ordering materialized views", SQL, &[]).await? {
            let name = RelationName::new(row.get::<_, String>(0), row.get::<_, String>(1));
            if views.contains(&name) {
                let refresh = format!("REFRESH MATERIALIZED VIEW {}", name.sql());
                session.run(&format!("computing materialized view `{name}`"), &refresh).await?;
            }
        }
        session.close().await;
        Ok(())
    }

    pub(crate) async fn connect(&self) -> Result<Session> {
        Session::connect(&self.settings, APPLICATION).await
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
